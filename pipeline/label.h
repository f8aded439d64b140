/* SPDX-License-Identifier: MIT
 *
 * Lettering for pictures: one line of text drawn with a round pen. The alphabet is limn's own, strokes on a grid:
 * printable ASCII, and Hangul put together from its letters. What it does not have is drawn as an empty box.
 *
 *     label_draw(&image, "1. a red apple", (struct label){.x = 10, .y = 30, .size = 12, .ink = 40});
 */
#ifndef PIPELINE_LABEL_H
#define PIPELINE_LABEL_H

#include "core/io/image.h"

struct label {
    double x, y; /* where the line begins: its left end, on the base line */
    double size; /* of a capital letter, in pixels */
    int ink;     /* grey level, 0 to 255; the picture is darkened to it */
};

/* text is UTF-8, and one line: control characters are drawn as blanks. */
void label_draw(struct image *image, const char *text, struct label where);
double label_width(const char *text, size_t bytes, double size);

#endif
