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

/* Floats from..from + floats, at `to`, of what kernel row ky sees in all of a result line, which is a row of the
 * picture with zeros around it; float 0 is the first that the line's first pixel sees. Lines go on from picture to
 * picture. */
void patches_line(const struct patches *p, float *to, int64_t line, int64_t ky, int64_t from, int64_t floats);

/* Columns k..k + depth of rows row..row + rows, at `to`, `pitch` floats apart; zeros outside the picture. */
void patches_gather(const struct patches *p, float *to, int64_t pitch, int64_t row, int64_t rows, int64_t k,
                    int64_t depth);

#endif
