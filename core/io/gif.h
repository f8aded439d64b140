/* SPDX-License-Identifier: MIT
 *
 * Animated GIF (GIF89a, CompuServe 1990), for viewers that know no other animation. It has 256 colours: those of the
 * frames if they are no more, else six levels of red and blue and seven of green. See core/io/animation.h.
 */
#ifndef IO_GIF_H
#define IO_GIF_H

#include "core/io/file.h"
#include "core/io/image.h"

/* Appends the whole file. Frames are RGB and of one size; milliseconds are rounded to hundredths of a second. */
MUST_CHECK enum status gif_append(struct file_writer *file, const struct image *frames, int count, int milliseconds,
                                  const char *comment, struct error *err);

#endif
