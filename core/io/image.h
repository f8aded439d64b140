/* SPDX-License-Identifier: MIT
 *
 * Pictures in memory, and PNG and JPEG files. The format of a file is found from its first bytes.
 *
 *     struct image picture = {0};
 *     image_read(&picture, "photo.jpg", NULL, &err);
 *     image_write(&picture, "out.png", &(struct image_text){.parameters = text}, &err);
 *     image_clear(&picture);
 */
#ifndef IO_IMAGE_H
#define IO_IMAGE_H

#include "core/base/status.h"

#include <stddef.h>
#include <stdint.h>

enum { IMAGE_MAX_SIDE = 16384 };

struct image {
    int width, height;
    int channels;    /* 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA */
    uint8_t *pixels; /* owned; height rows of width * channels bytes, no padding */
    int file_bits;   /* a channel in the file it was read from, of which 8 are kept; 0: not read from a file */
};

/* Text that travels in a picture: A1111's `parameters` (PNG tEXt/iTXt, JPEG EXIF UserComment) and an XMP packet. */
struct image_text {
    char *parameters; /* UTF-8, NULL if none */
    char *xmp;        /* NULL if none */
};

/* Zero-filled pixels. */
MUST_CHECK enum status image_create(struct image *image, int width, int height, int channels, struct error *err);
void image_clear(struct image *image);

/* Reads 8-bit (16-bit is reduced, palettes are expanded, CMYK is converted) and turns the picture upright as its EXIF
 * orientation asks. `text` may be NULL; else its strings are the caller's, freed by image_text_clear. A damaged or
 * truncated file is refused; pixels are never made up. */
MUST_CHECK enum status image_read(struct image *image, const char *path, struct image_text *text, struct error *err);
MUST_CHECK enum status image_read_memory(struct image *image, const void *bytes, size_t size, const char *name,
                                         struct image_text *text, struct error *err);
/* .png, .jpg or .jpeg by the path's ending. Written to a temporary name beside it, synced and renamed: a file that is
 * there afterwards is whole. `text` may be NULL; its strings must be UTF-8. The same picture gives the same bytes. JPEG
 * has no alpha: a transparent picture is laid on white. */
MUST_CHECK enum status image_write(const struct image *image, const char *path, const struct image_text *text,
                                   struct error *err);
void image_text_clear(struct image_text *text);

enum image_format { IMAGE_PNG, IMAGE_JPEG };

/* The file that image_write would write, as a block that the caller frees with memory_free. */
MUST_CHECK enum status image_encode(const struct image *image, enum image_format format, const struct image_text *text,
                                    uint8_t **bytes, size_t *size, struct error *err);

#endif
