/* SPDX-License-Identifier: MIT */
#include "core/cpu/patches.h"

#include "core/cpu/cut.h"

#include <string.h>

void patches_line(const struct patches *p, float *to, int64_t line, int64_t ky, int64_t from, int64_t floats)
{
    const int64_t y = line % p->tall * p->conv.stride - p->conv.pad.top + ky, there = p->W * p->I;
    const int64_t start = from - p->conv.pad.left * p->I; /* in the picture's row */
    int64_t before = start < 0 ? cut_smaller(-start, floats) : 0, inside = cut_smaller(there - start, floats) - before;
    if (y < 0 || y >= p->H || inside < 0) {
        before = floats;
        inside = 0;
    }
    memset(to, 0, (size_t)before * sizeof *to);
    if (inside > 0)
        memcpy(to + before, p->x + (line / p->tall * p->H + y) * there + start + before, (size_t)inside * sizeof *to);
    memset(to + before + inside, 0, (size_t)(floats - before - inside) * sizeof *to);
}

void patches_gather(const struct patches *p, float *to, int64_t pitch, int64_t row, int64_t rows, int64_t k,
                    int64_t depth)
{
    const int64_t run = p->kernel_width * p->I, step = p->conv.stride * p->I;
    for (int64_t r = row; r < row + rows; r++, to += pitch)
        for (int64_t at = k, floats; at < k + depth; at += floats) {
            const int64_t from = at % run;
            floats = cut_smaller(run - from, k + depth - at);
            patches_line(p, to + at - k, r / p->wide, at / run, r % p->wide * step + from, floats);
        }
}
