/* SPDX-License-Identifier: MIT
 *
 * Curves over the steps of a training, drawn as a picture: the values themselves faint, and a line through their
 * running mean. The vertical axis is logarithmic if the values are positive and span more than a factor of ten.
 *
 *     const struct plot_series series[] = {{.name = "loss", .step = steps, .value = losses, .count = n}};
 *     plot_draw(&picture, series, 1, &err);
 *     image_write(&picture, "loss.png", NULL, &err);
 */
#ifndef IO_PLOT_H
#define IO_PLOT_H

#include "core/io/image.h"

enum { PLOT_WIDTH = 960, PLOT_HEIGHT = 540, PLOT_MOST_SERIES = 6 };

struct plot_series {
    const char *name;    /* for the legend: small letters, digits, blanks, full stops and hyphens */
    const int64_t *step; /* rising */
    const double *value; /* those that are not finite, or beyond 1e30, are left out */
    int64_t count;
};

/* 1 to PLOT_MOST_SERIES series, each in a colour of its own. The picture is RGB and the caller's. */
MUST_CHECK enum status plot_draw(struct image *picture, const struct plot_series *series, int count, struct error *err);

#endif
