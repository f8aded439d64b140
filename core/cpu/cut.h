/* SPDX-License-Identifier: MIT
 *
 * Arithmetic of cutting work into pieces.
 */
#ifndef CPU_CUT_H
#define CPU_CUT_H

#include <stdint.h>

static inline int64_t cut_smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Pieces that `whole` has, the last of which may be smaller. */
static inline int64_t cut_count(int64_t whole, int64_t piece)
{
    return (whole + piece - 1) / piece;
}

static inline int64_t cut_round_up(int64_t a, int64_t step)
{
    return cut_count(a, step) * step;
}

/* The size of equal pieces, multiples of `step`, that `whole` is cut into if a piece may be `most` long, or a step. */
static inline int64_t cut_evenly(int64_t whole, int64_t most, int64_t step)
{
    return cut_round_up(cut_count(whole, cut_count(whole, most < step ? step : most)), step);
}

#endif
