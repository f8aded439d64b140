/* SPDX-License-Identifier: MIT
 *
 * The patches of a convolution as rows of a matrix, [B h w, kh kw I], of which any block can be had; the matrix itself
 * is never in memory. In NHWC a line of a patch, kw pixels of I channels, is one run of memory; a patch is kh such
 * lines.
 */
#ifndef CPU_PATCHES_H
#define CPU_PATCHES_H

#include "core/tensor/graph.h"

struct patches {
    const float *x; /* [B, H, W, I] */
    int64_t H, W, I;
    int64_t kernel_width, tall, wide; /* of the weight, and of the result */
    struct conv conv;
};

/* Columns k..k + depth of rows row..row + rows, at `to`, `pitch` floats apart; zeros outside the picture. */
void patches_gather(const struct patches *p, float *to, int64_t pitch, int64_t row, int64_t rows, int64_t k,
                    int64_t depth);

#endif
