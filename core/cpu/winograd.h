/* SPDX-License-Identifier: MIT
 *
 * 3x3 convolutions of stride 1 with 4 multiplications a result pixel instead of 9: F(2x2, 3x3) of Lavin and Gray 2015
 * (arXiv 1509.09308), after Winograd 1980. winograd.c cuts the work; what depends on the instruction set is in a
 * winograd_core:
 *
 *     if (winograd_suits(node)) winograd_run(call, &core); else product_run(call, &core.product);
 */
#ifndef CPU_WINOGRAD_H
#define CPU_WINOGRAD_H

#include "core/cpu/product.h"

enum { WINOGRAD_PLANES = 16, WINOGRAD_OUTPUTS = 4 };

/* A 2x2 square of result pixels, in reading order. */
struct winograd_square {
    const float *m; /* its 16 sums, `plane` floats apart */
    int64_t plane;
    float *y[WINOGRAD_OUTPUTS];              /* NULL: not in the picture */
    const float *residual[WINOGRAD_OUTPUTS]; /* NULL: none */
    const float *bias;                       /* NULL: none */
    int64_t columns;
    enum unary act;
};

struct winograd_core {
    const struct product_core *product;
    /* to[16], `plane` floats apart = B^T d B for `channels` channels of 4x4 pixels, in reading order. */
    void (*input)(float *to, int64_t plane, const float *const pixel[WINOGRAD_PLANES], int64_t channels);
    /* to[16], `plane` floats apart = G g G^T for n <= tile_columns filters and k of their channels, each plane in the
     * order of product->pack. A filter is 9 rows of w, which begins at the first one's channel at hand. */
    void (*weights)(float *to, int64_t plane, const struct cpu_weight *w, int64_t n, int64_t k);
    /* y = act(A^T m A + bias) + residual. */
    void (*output)(const struct winograd_square *square);
};

/* By the shapes of one picture alone, so that a batch and a single picture are computed alike. */
bool winograd_suits(const struct node *node);
void winograd_run(const struct cpu_call *call, const struct winograd_core *core);
size_t winograd_work(const struct node *node, int threads, const struct winograd_core *core);

#endif
