/* SPDX-License-Identifier: MIT
 *
 * Animated PNG (W3C PNG specification, third edition, 2025): an ordinary PNG file whose first frame every viewer shows,
 * with the other frames in chunks that those who do not know them pass over.
 *
 *     IHDR  acTL(frames, plays)  fcTL(0) IDAT...  fcTL(1) fdAT(2, ...)  fcTL(3) fdAT(4, ...)  ...  IEND
 */
#ifndef IO_ANIMATION_H
#define IO_ANIMATION_H

#include "core/io/image.h"

enum { ANIMATION_MAX_FRAMES = 10000, ANIMATION_MAX_MILLISECONDS = 65535 };

/* Writes frames of one size and number of channels, each shown so long, over and over: a GIF (core/io/gif.h) if the
 * path ends in .gif, else an animated PNG. `text` may be NULL, as in image_write; so is what becomes of the file. A GIF
 * has no room for `text`, only a comment on who made it. */
MUST_CHECK enum status animation_write(const struct image *frames, int count, int milliseconds, const char *path,
                                       const struct image_text *text, struct error *err);

#endif
