/* SPDX-License-Identifier: MIT
 *
 * Lettering for pictures: one line of text drawn with a round pen. The alphabet is limn's own, strokes on a grid:
 * printable ASCII, and Hangul put together from its letters. What it does not have is drawn as an empty box.
 *
 *     lettering_draw(&canvas, "1. a red apple", 10, 30, 12);
 *     canvas_paint(&canvas, 0x202020, 1);
 */
#ifndef IO_LETTERING_H
#define IO_LETTERING_H

#include "core/io/canvas.h"

/* text is UTF-8, and one line: control characters are blanks. (x, y): its left end on the line that letters stand on.
 * size: of a capital letter, in pixels. */
void lettering_draw(struct canvas *canvas, const char *text, float x, float y, float size);
float lettering_width(const char *text, size_t bytes, float size);

#endif
