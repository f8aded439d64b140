/* SPDX-License-Identifier: MIT
 *
 * Gradient of a convolution's weight as a matrix product, dw [O, K] = dy^T [O, M] patches [M, K], where a row of
 * `patches` is what one result pixel saw, M = B h w of them, K = kh kw I.
 *
 *                 patches            A task owns a block of dw and walks down M: it gathers a piece of its columns of
 *              k0      k1            the patches and adds the product with the same rows of dy, which are there as they
 *            +-------+-------+       are. So dw never leaves the cache, and the scratch has one size for any picture.
 *      m     | piece |       |
 *            +-------+-------+       Where dw has few blocks but M is long, M is cut into parts too, each with a dw of
 *                                    its own, which are added up at the end in order.
 */
#include "core/cpu/blas_gradients.h"
#include "core/cpu/blas.h"
#include "core/cpu/patches.h"

enum {
    BLOCK_ROWS = 256,    /* of dw: outputs */
    BLOCK_COLUMNS = 192, /* of dw, and of a piece */
    PIECE_ROWS = 256,    /* of the patches */
    WANTED_TASKS = 16,
    PART_ROWS = 2048, /* a part of M is at least so long */
};

struct weight_gradient {
    const struct cpu_call *call;
    struct patches patches;
    int64_t O, M, K;
    int64_t row_blocks, column_blocks, columns, parts, part_rows;
    float *piece, *partial; /* scratch: of the threads, and of all parts but the first */
};

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static struct weight_gradient describe(const struct node *node)
{
    const int64_t *x = node->input[0]->shape.dim, *dy = node->input[1]->shape.dim;
    struct weight_gradient g = {.O = dy[3], .M = dy[0] * dy[1] * dy[2], .K = shape_count(node->shape) / dy[3]};
    g.patches = (struct patches){.H = x[1], .W = x[2], .I = x[3], .kernel_width = node->shape.dim[2]};
    g.patches.tall = dy[1];
    g.patches.wide = dy[2];
    g.patches.conv = node->as.gemm.conv;
    g.row_blocks = divide_up(g.O, BLOCK_ROWS);
    g.column_blocks = divide_up(g.K, BLOCK_COLUMNS);
    g.columns = divide_up(g.K, g.column_blocks);
    const int64_t blocks = g.row_blocks * g.column_blocks;
    g.parts = smaller(divide_up(WANTED_TASKS, blocks), divide_up(g.M, PART_ROWS));
    g.part_rows = divide_up(divide_up(g.M, g.parts), PIECE_ROWS) * PIECE_ROWS;
    g.parts = divide_up(g.M, g.part_rows);
    return g;
}

static size_t conv2d_weight_work(const struct node *node, int threads)
{
    const struct weight_gradient g = describe(node);
    return (size_t)(threads * PIECE_ROWS * BLOCK_COLUMNS + (g.parts - 1) * g.O * g.K) * sizeof(float);
}

static void block_task(void *context, int64_t task, int worker)
{
    const struct weight_gradient *g = context;
    const int64_t blocks = g->row_blocks * g->column_blocks, part = task / blocks;
    const int64_t o = task % blocks / g->column_blocks * BLOCK_ROWS, k = task % g->column_blocks * g->columns;
    const int64_t depth = smaller(g->columns, g->K - k), first = part * g->part_rows;
    const int64_t end = smaller(first + g->part_rows, g->M);
    float *piece = g->piece + worker * PIECE_ROWS * BLOCK_COLUMNS;
    float *dw = (part == 0 ? (float *)g->call->out : g->partial + (part - 1) * g->O * g->K) + o * g->K + k;
    for (int64_t m = first; m < end && depth > 0; m += PIECE_ROWS) {
        const int64_t rows = smaller(PIECE_ROWS, end - m);
        patches_gather(&g->patches, piece, depth, m, rows, k, depth);
        blas_multiply(&(struct blas_product){.m = smaller(BLOCK_ROWS, g->O - o),
                                             .n = depth,
                                             .k = rows,
                                             .a = (const float *)g->call->in[1] + m * g->O + o,
                                             .a_pitch = g->O,
                                             .transpose_a = true,
                                             .b = piece,
                                             .b_pitch = depth,
                                             .c = dw,
                                             .c_pitch = g->K,
                                             .add = m > first});
    }
}

static void add_parts(void *context, int64_t o, int worker)
{
    (void)worker;
    const struct weight_gradient *g = context;
    float *dw = (float *)g->call->out + o * g->K;
    for (int64_t part = 1; part < g->parts; part++) {
        const float *more = g->partial + ((part - 1) * g->O + o) * g->K;
        for (int64_t k = 0; k < g->K; k++) dw[k] += more[k];
    }
}

static void conv2d_weight(const struct cpu_call *call)
{
    struct weight_gradient g = describe(call->node);
    g.call = call;
    g.patches.x = call->in[0];
    g.piece = call->work;
    g.partial = g.piece + pool_threads(call->pool) * PIECE_ROWS * BLOCK_COLUMNS;
    pool_run(call->pool, block_task, &g, g.row_blocks * g.column_blocks * g.parts);
    if (g.parts > 1) pool_run(call->pool, add_parts, &g, g.O);
}

void blas_gradients(struct cpu_kernels *table)
{
    table->slot[OP_CONV2D_WEIGHT] = (struct cpu_slot){conv2d_weight, conv2d_weight_work};
}
