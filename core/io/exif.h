/* SPDX-License-Identifier: MIT
 *
 * The two things that limn wants from EXIF data (a small TIFF file inside a picture): which side is up, and the user
 * comment, where A1111 keeps a JPEG's `parameters`. EXIF 2.32, section 4.6.
 */
#ifndef IO_EXIF_H
#define IO_EXIF_H

#include "core/io/bytes.h"

enum { EXIF_UPRIGHT = 1 };

struct exif {
    int orientation; /* 1 to 8; EXIF_UPRIGHT if there is none */
    char *comment;   /* UTF-8, the caller's; NULL if there is none */
};

/* bytes: from the TIFF header on. Damaged data simply hold nothing. False only if there is no memory. */
MUST_CHECK bool exif_parse(struct exif *out, const uint8_t *bytes, size_t size);

/* Appends EXIF data that hold a comment, as piexif writes it: big-endian, UTF-16. False if there is no memory. */
MUST_CHECK bool exif_build(struct bytes *out, const char *comment);

#endif
