/* SPDX-License-Identifier: MIT
 *
 * Small chance changes to a picture that is learnt from, so that what is learnt is the drawing and not its pixels: it
 * is moved, made larger or smaller, and its brightness and tint change a little.
 *
 *     struct warp_range range = {.shift = 0.05, .scale = 0.1};
 *     warp_picture(to, from, 64, &range, &rng);
 */
#ifndef PIPELINE_WARP_H
#define PIPELINE_WARP_H

#include "core/base/random.h"

/* Each is the most of its kind, or for the last two the usual amount (a standard deviation). All 0: nothing changes. */
struct warp_range {
    double shift;      /* of a side */
    double scale;      /* 0.1: to 90 % to 110 % */
    double brightness; /* of 1: values are multiplied about 0 */
    double colour;     /* added to each channel; values go from -1 to 1 */
};

/* size * size RGB pixels in -1..1; to and from do not overlap. What comes in from outside is white. */
void warp_picture(float *to, const float *from, int size, const struct warp_range *range, struct rng *rng);

#endif
