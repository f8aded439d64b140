/* SPDX-License-Identifier: MIT */
#include "pipeline/warp.h"

#include "core/base/memory.h"

#include <math.h>
#include <string.h>

enum { CHANNELS = 3 };

/* Where a pixel of the result comes from: from + (at + 0.5) * step - 0.5. */
struct axis {
    double from, step;
};

/* Even in -1..1. */
static double even(struct rng *rng)
{
    return rng_bits(rng) * 0x1p-31 - 1;
}

/* One pixel of a picture, white outside. */
static float pixel(const float *from, int size, int x, int y, int channel)
{
    const float white = 1;
    if (x < 0 || y < 0 || x >= size || y >= size) return white;
    return from[((size_t)y * (size_t)size + (size_t)x) * CHANNELS + (size_t)channel];
}

static float between(const float *from, int size, double x, double y, int channel)
{
    const int left = (int)floor(x), top = (int)floor(y);
    const float right = (float)(x - left), bottom = (float)(y - top);
    const float above =
        pixel(from, size, left, top, channel) * (1 - right) + pixel(from, size, left + 1, top, channel) * right;
    const float below =
        pixel(from, size, left, top + 1, channel) * (1 - right) + pixel(from, size, left + 1, top + 1, channel) * right;
    return above * (1 - bottom) + below * bottom;
}

static void move(float *to, const float *from, int size, struct axis x, struct axis y)
{
    for (int row = 0; row < size; row++)
        for (int column = 0; column < size; column++)
            for (int channel = 0; channel < CHANNELS; channel++)
                *to++ = between(from, size, x.from + (column + 0.5) * x.step - 0.5, y.from + (row + 0.5) * y.step - 0.5,
                                channel);
}

void warp_picture(float *to, const float *from, int size, const struct warp_range *range, struct rng *rng)
{
    const size_t pixels = (size_t)size * (size_t)size;
    const double step = 1 / (1 + range->scale * even(rng)), middle = 0.5 * size * (1 - step);
    const struct axis x = {middle + range->shift * size * even(rng), step};
    const struct axis y = {middle + range->shift * size * even(rng), step};
    float chance[4]; /* brightness, and a tint for each channel */
    rng_normal(rng, chance, 4);
    if (range->shift > 0 || range->scale > 0)
        move(to, from, size, x, y);
    else
        memcpy(to, from, pixels * CHANNELS * sizeof *to);
    if (range->brightness <= 0 && range->colour <= 0) return;
    const float factor = 1 + (float)range->brightness * chance[0];
    for (size_t i = 0; i < pixels * CHANNELS; i++)
        to[i] = to[i] * factor + (float)range->colour * chance[1 + i % CHANNELS];
}
