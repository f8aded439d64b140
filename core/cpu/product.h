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

/* c [m, n] (+)= sum over so many lines of k pixels each of a^T b, where a pixel's m floats of `a` and n floats of b are
 * side by side: those of b lie b_pitch apart in a line, and lines line_pitch; all of a's lie a_pitch apart. */
struct product_outer {
    const float *a, *b;
    float *c;
    int64_t a_pitch, b_pitch, line_pitch, c_pitch;
    int64_t m, n, lines, k;
    bool add;
};

struct product_core {
    int tile_rows, tile_columns; /* blocks of A and W are padded to multiples of these */
    int depth_step;              /* and packed W to so many summands; 1: it is as deep as it is */
    /* True if the bytes of a result row do not depend on which rows are computed along with it. Then blocks may span
     * the pictures of a batch, and a weight that is unpacked serves them all. */
    bool rows_independent;
    /* True if multiply's rows may lie anywhere and outer's overlap; else rows must be equally far apart, and by no less
     * than they are long. */
    bool rows_anywhere;
    /* Unpacks n rows and k columns of W in this core's own order: as much as multiply wants to see of them, n rounded
     * up to tile_columns. */
    void (*pack)(float *to, const struct cpu_weight *w, int64_t n, int64_t k);
    /* The same of a W that lies the other way round, k rows of n, of which these are summands `from`.. of one strip:
     * n <= tile_columns, and the strip has `depth` summands. NULL: such weights are turned first, and there are no
     * products of matrices. */
    void (*pack_columns)(float *strip, int64_t depth, int64_t from, const struct cpu_weight *w, int64_t n, int64_t k);
    /* c [m, n] (+)= a [m, k] w [n, k]^T, where a's rows are at `rows`, w is as pack left it, and m and n are rounded up
     * to whole tiles. */
    void (*multiply)(float *c, int64_t c_pitch, const float *const *rows, const float *w, int64_t m, int64_t n,
                     int64_t k, bool add);
    void (*finish)(const struct product_block *block);
    /* Here, too, m and n are rounded up to whole tiles, of all of a, b and c. NULL: none, for weights' gradients. */
    void (*outer)(const struct product_outer *o);
};

/* A convolution that is one phase of a transpose. */
struct product_phase {
    int64_t pixel_pitch, line_pitch, image_pitch; /* where its pixels lie from call->out on, in floats */
    /* The transpose's weight, [I, kh, kw, O], takes the place of the convolution's, [O, height, width, I], whose last
     * kernel row is its first_ky, the one before that first_ky + step; likewise columns. */
    const struct node *weight; /* NULL: it was turned */
    int64_t first_ky, first_kx, step;
};

/* For LINEAR and CONV2D nodes, and for MATMUL nodes whose first operand is not transposed. */
void product_run(const struct cpu_call *call, const struct product_core *core);
/* A CONV2D node without residual and activation; call->in[1] is the phase's weight. */
void product_run_phase(const struct cpu_call *call, const struct product_core *core, const struct product_phase *phase);
size_t product_work(const struct node *node, int threads, const struct product_core *core);

/* For CONV2D_WEIGHT nodes, and for MATMUL nodes of which only the first operand is transposed. */
void product_weight_run(const struct cpu_call *call, const struct product_core *core);
size_t product_weight_work(const struct node *node, int threads, const struct product_core *core);

/* Another way to convolve. */
struct product_rival {
    bool (*suits)(const struct node *node);
    struct cpu_slot slot;
};

/* For CONV2D_TRANSPOSE nodes (core/cpu/product_transpose.c). One with a stride of 1 goes to the rival if that suits. */
void product_transpose_run(const struct cpu_call *call, const struct product_core *core,
                           const struct product_rival *rival);
size_t product_transpose_work(const struct node *node, int threads, const struct product_core *core,
                              const struct product_rival *rival);

/* The same to few channels (core/cpu/product_spread.c), if it suits. */
bool product_spread_suits(const struct node *node, const struct product_core *core);
void product_spread_run(const struct cpu_call *call, const struct product_core *core);
size_t product_spread_work(const struct node *node, int threads, const struct product_core *core);

#endif
