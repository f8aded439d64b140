/* SPDX-License-Identifier: MIT */
#include "core/cpu/patches.h"

#include <string.h>

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Floats from..upto of one pixel's patch line: `line` is where the line begins in the picture, were it there, and
 * inside..outside are the floats of it that are. */
static void copy_clipped(float *to, const float *line, int64_t from, int64_t upto, int64_t inside, int64_t outside)
{
    const int64_t first = from > inside ? from : inside, last = smaller(upto, outside);
    if (first >= last) {
        memset(to, 0, (size_t)(upto - from) * sizeof *to);
        return;
    }
    memset(to, 0, (size_t)(first - from) * sizeof *to);
    memcpy(to + first - from, line + first, (size_t)(last - first) * sizeof *to);
    memset(to + last - from, 0, (size_t)(upto - last) * sizeof *to);
}

void patches_gather(const struct patches *p, float *to, int64_t pitch, int64_t row, int64_t rows, int64_t k,
                    int64_t depth)
{
    const int64_t line = p->kernel_width * p->I;
    for (int64_t r = row; r < row + rows; r++, to += pitch) {
        const int64_t image = r / (p->tall * p->wide), left = r % p->wide * p->conv.stride - p->conv.pad.left;
        const int64_t top = r / p->wide % p->tall * p->conv.stride - p->conv.pad.top;
        const int64_t inside = left < 0 ? -left * p->I : 0, outside = smaller((p->W - left) * p->I, line);
        for (int64_t at = k; at < k + depth;) {
            const int64_t ky = at / line, from = at % line, upto = smaller(line, from + k + depth - at), y = top + ky;
            if (y < 0 || y >= p->H)
                memset(to + at - k, 0, (size_t)(upto - from) * sizeof *to);
            else
                copy_clipped(to + at - k, p->x + ((image * p->H + y) * p->W + left) * p->I, from, upto, inside,
                             outside);
            at += upto - from;
        }
    }
}
