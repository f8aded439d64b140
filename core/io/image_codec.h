/* SPDX-License-Identifier: MIT
 *
 * PNG and JPEG, from and to memory. image.c chooses between them, turns pictures upright and does the files.
 */
#ifndef IO_IMAGE_CODEC_H
#define IO_IMAGE_CODEC_H

#include "core/io/bytes.h"
#include "core/io/image.h"

/* A file in memory; the name is for sentences. */
struct image_source {
    const uint8_t *bytes;
    size_t size;
    const char *name;
};

/* What a decoder finds beside the pixels. Strings are the caller's. */
struct image_found {
    struct image_text text;
    int orientation; /* EXIF's, 1 to 8; 0 if the file says nothing */
};

/* On failure `image` and `found` may be half filled; the caller clears them. */
MUST_CHECK enum status png_decode(struct image *image, struct image_found *found, const struct image_source *source,
                                  struct error *err);
MUST_CHECK enum status jpeg_decode(struct image *image, struct image_found *found, const struct image_source *source,
                                   struct error *err);
MUST_CHECK enum status png_encode(struct bytes *out, const struct image *image, const struct image_text *text,
                                  struct error *err);
MUST_CHECK enum status jpeg_encode(struct bytes *out, const struct image *image, const struct image_text *text,
                                   struct error *err);

/* Refuses, with this status, a size that is zero or above IMAGE_MAX_SIDE. */
MUST_CHECK enum status image_check_size(long width, long height, const char *name, enum status status,
                                        struct error *err);

#endif
