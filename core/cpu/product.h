/* SPDX-License-Identifier: MIT
 *
 * Linear layers and convolutions as one blocked matrix product, y = act(A W^T + bias) + residual. A has a row for each
 * token or pixel; for a convolution that row is the pixel's patch, gathered when it is needed and never kept, so that a
 * picture of any size needs the same small scratch.
 *
 * product.c cuts the work and gathers the patches; what depends on the instruction set is in a product_core:
 *
 *     static const struct product_core core = {...};
 *     static void conv2d(const struct cpu_call *call) { product_run(call, &core); }
 */
#ifndef CPU_PRODUCT_H
#define CPU_PRODUCT_H

#include "core/cpu/kernels.h"

enum {
    PRODUCT_DEPTH = 256, /* at most so many of the K summands are gathered at once */
    PRODUCT_PITCH =
        PRODUCT_DEPTH + 16, /* between rows of A; not a power of two, lest all rows share a few cache sets */
};

/* A finished block: rows of `columns` sums at c, for rows of the result at y. */
struct product_block {
    const float *c, *bias, *residual; /* bias and residual: NULL for none */
    float *y;
    int64_t c_pitch, y_pitch;
    int64_t residual_pitch; /* 0: one row for all */
    int64_t rows, columns;
    enum unary act;
};

struct product_core {
    int tile_rows, tile_columns; /* blocks of A and W are padded to multiples of these */
    int depth_step;              /* and packed W to so many summands; 1: it is as deep as it is */
    /* True if the bytes of a result row do not depend on which rows are computed along with it. Then blocks may span
     * the pictures of a batch, and a weight that is unpacked serves them all. */
    bool rows_independent;
    /* Unpacks n rows and k columns of W in this core's own order: as much as multiply wants to see of them, n rounded
     * up to tile_columns. */
    void (*pack)(float *to, const struct cpu_weight *w, int64_t n, int64_t k);
    /* c [m, n] (+)= a [m, k] w [n, k]^T, where w is as pack left it, and m and n are rounded up to whole tiles. */
    void (*multiply)(float *c, int64_t c_pitch, const float *a, int64_t a_pitch, const float *w, int64_t m, int64_t n,
                     int64_t k, bool add);
    void (*finish)(const struct product_block *block);
};

/* For LINEAR and CONV2D nodes. */
void product_run(const struct cpu_call *call, const struct product_core *core);
size_t product_work(const struct node *node, int threads, const struct product_core *core);

/* For CONV2D_TRANSPOSE nodes (core/cpu/product_transpose.c). */
void product_transpose_run(const struct cpu_call *call, const struct product_core *core);
size_t product_transpose_work(const struct node *node, int threads, const struct product_core *core);

#endif
