/* SPDX-License-Identifier: MIT
 *
 * A contact sheet: small pictures side by side on one large one.
 *
 *     struct image sheet;
 *     sheet_draw(&sheet, samples, 64, 0, &err);          8 columns
 *     image_write(&sheet, "samples.png", NULL, &err);
 */
#ifndef IO_SHEET_H
#define IO_SHEET_H

#include "core/io/image.h"

/* Draws pictures[0..count), row by row, on white with margins; columns 0: about as many as rows. All cells have the
 * size of the largest picture, smaller ones lie in the middle of theirs. Pictures below 64 pixels are shown larger, a
 * pixel as a square. The sheet is RGB and the caller's. A sheet beyond IMAGE_MAX_SIDE is refused. */
MUST_CHECK enum status sheet_draw(struct image *sheet, const struct image *pictures, int count, int columns,
                                  struct error *err);

/* Would a sheet of so many pictures of that size be refused? */
MUST_CHECK enum status sheet_check(int width, int height, int count, int columns, struct error *err);

#endif
