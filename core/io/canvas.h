/* SPDX-License-Identifier: MIT
 *
 * Lines, dots and small text with smooth edges, drawn on an RGB picture. What is drawn gathers in a mask of one byte a
 * pixel, the largest coverage counting; canvas_paint then lays a colour on. So strokes that cross do not show where,
 * however faint the colour.
 *
 *     canvas_open(&c, &picture, &err);
 *     canvas_line(&c, 10.5f, 10.5f, 90.5f, 40.5f, 1.5f);           (0.5, 0.5) is the middle of the first pixel
 *     canvas_text(&c, 50, 60, CANVAS_MIDDLE, "0.25");
 *     canvas_paint(&c, 0x1f6fb4, 1);
 *     canvas_close(&c);
 */
#ifndef IO_CANVAS_H
#define IO_CANVAS_H

#include "core/io/image.h"

struct canvas {
    struct image *picture;        /* borrowed, RGB */
    uint8_t *mask;                /* owned */
    int left, top, right, bottom; /* nothing is drawn outside: pixels left to right - 1, top to bottom - 1 */
};

MUST_CHECK enum status canvas_open(struct canvas *c, struct image *picture, struct error *err);
void canvas_close(struct canvas *c);

void canvas_clip(struct canvas *c, int left, int top, int right, int bottom);

/* With round ends: a line without length is a dot. */
void canvas_line(struct canvas *c, float x0, float y0, float x1, float y1, float width);

/* rgb: 0xRRGGBB. Empties the mask. */
void canvas_paint(struct canvas *c, uint32_t rgb, float opacity);

/* Text of one size (core/io/lettering.h has all). (x, y) is its left end, middle or right end on the line that digits
 * stand on. */
enum canvas_place { CANVAS_LEFT, CANVAS_MIDDLE, CANVAS_RIGHT };
enum { CANVAS_DIGIT_HEIGHT = 10 };
void canvas_text(struct canvas *c, float x, float y, enum canvas_place place, const char *text);
float canvas_text_width(const char *text);

#endif
