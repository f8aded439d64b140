/* SPDX-License-Identifier: MIT
 *
 * The blocked product behind linear layers and convolutions (Goto and van de Geijn 2008, doi 10.1145/1356052.1356053,
 * with the patches of a convolution gathered while A is packed).
 *
 *               W^T  [K, N]  column block
 *                        +---+
 *                        |   |  k block     A task owns one block of C and goes through all of K:
 *                        +---+
 *                        |   |                  for each k block
 *                        +---+                      gather A's block        rows x k
 *      A [M, K]                                     unpack W's block        columns x k, unless it is already
 *        +---+---+       +---+                      C's block += A W^T
 *  rows  |   |   |       | C |                  y = act(C + bias) + residual
 *        +---+---+       +---+
 *
 * C's block lives in the thread's scratch, so sums of K/256 blocks never travel further than the second-level cache,
 * and y may lie on the residual's bytes.
 *
 * Weights stay in memory as they are stored. Where there are many rows, W is unpacked once for all tasks, a few
 * megabytes at a time
 * ("shared"); where there are few, each task unpacks what it alone needs.
 */
#include "core/cpu/product.h"

#include "core/cpu/patches.h"

#include <string.h>

enum {
    SHARED_FROM_ROWS = 192,          /* from here on W is unpacked once for all tasks */
    SHARED_FLOATS = 4 * 1024 * 1024, /* and at most so much of it at a time */
    SHARED_ROWS = 128,
    SHARED_COLUMNS = 640,
    OWN_ROWS = 192,
    OWN_COLUMNS = 128,
    OWN_TASKS = 16, /* columns are cut finer if there were fewer tasks */
};

struct product {
    const struct product_core *core;
    const struct cpu_call *call;
    const struct node *node;
    int64_t images, rows, N, K; /* rows of an image; a core with independent rows sees the batch as one image */
    int64_t depth;              /* of a k block; a function of K alone, so that sums are cut alike everywhere */
    int64_t packed_K;           /* K, rounded up to the core's step */
    int64_t block_rows, block_columns, row_blocks, column_blocks;
    int64_t shared_blocks; /* column blocks that are unpacked together; 0: tasks unpack their own */
    int64_t first_block;   /* of those that are unpacked now */
    float *shared, *own;   /* scratch: of all, and of the threads */
};

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t round_up(int64_t a, int64_t to)
{
    return divide_up(a, to) * to;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The size of equal pieces, multiples of `step`, that `whole` is cut into if a piece may be `most` long. */
static int64_t even_piece(int64_t whole, int64_t most, int64_t step)
{
    return round_up(divide_up(whole, divide_up(whole, most)), step);
}

static void cut(struct product *p)
{
    const int64_t row_step = p->core->tile_rows, column_step = p->core->tile_columns;
    p->depth = even_piece(p->K, PRODUCT_DEPTH, p->core->depth_step > 16 ? p->core->depth_step : 16);
    p->packed_K = round_up(p->K, p->core->depth_step);
    int64_t columns;
    if (p->rows >= SHARED_FROM_ROWS) {
        p->block_rows = even_piece(p->rows, SHARED_ROWS, row_step);
        columns = smaller(SHARED_COLUMNS, SHARED_FLOATS / p->K / column_step * column_step);
    } else {
        p->block_rows = even_piece(p->rows, OWN_ROWS, row_step);
        columns = smaller(OWN_COLUMNS, p->N / OWN_TASKS / column_step * column_step);
    }
    if (columns < column_step) columns = column_step;
    p->block_columns = even_piece(p->N, columns, column_step);
    p->row_blocks = p->images * divide_up(p->rows, p->block_rows);
    p->column_blocks = divide_up(p->N, p->block_columns);
    if (p->rows < SHARED_FROM_ROWS) return;
    p->shared_blocks = smaller(p->column_blocks, SHARED_FLOATS / p->K / p->block_columns);
    if (p->shared_blocks < 1) p->shared_blocks = 1;
}

static struct product describe(const struct node *node, const struct product_core *core)
{
    struct product p = {.core = core, .node = node};
    p.images = node->op == OP_CONV2D || node->shape.rank > 1 ? node->shape.dim[0] : 1;
    p.rows = shape_rows(node->shape) / p.images;
    p.N = shape_dim(node->shape, -1);
    p.K = shape_count(node->input[1]->shape) / p.N;
    if (core->rows_independent) {
        p.rows *= p.images;
        p.images = 1;
    }
    cut(&p);
    return p;
}

/* Scratch of one thread: a block of C, a block of A, and a block of W if it is its own. */
static int64_t c_pitch(const struct product *p)
{
    return p->block_columns + 16;
}

static int64_t own_floats(const struct product *p)
{
    const int64_t w = p->shared_blocks ? 0 : p->depth * p->block_columns;
    return p->block_rows * (c_pitch(p) + PRODUCT_PITCH) + w;
}

static int64_t shared_floats(const struct product *p)
{
    return round_up(p->packed_K * p->block_columns * p->shared_blocks, 16);
}

size_t product_work(const struct node *node, int threads, const struct product_core *core)
{
    const struct product p = describe(node, core);
    return (size_t)(shared_floats(&p) + threads * own_floats(&p)) * sizeof(float);
}

static void gather_linear(const struct product *p, float *to, int64_t row, int64_t rows, int64_t k, int64_t depth)
{
    const float *x = (const float *)p->call->in[0] + row * p->K + k;
    for (int64_t r = 0; r < rows; r++, x += p->K, to += PRODUCT_PITCH) memcpy(to, x, (size_t)depth * sizeof *to);
}

static struct patches patches_of(const struct product *p)
{
    const struct node *x = p->node->input[0], *w = p->node->input[1];
    return (struct patches){
        .x = p->call->in[0],
        .H = x->shape.dim[1],
        .W = x->shape.dim[2],
        .I = x->shape.dim[3],
        .kernel_width = w->shape.dim[2],
        .tall = p->node->shape.dim[1],
        .wide = p->node->shape.dim[2],
        .conv = p->node->as.gemm.conv,
    };
}

static void gather(const struct product *p, float *to, int64_t row, int64_t rows, int64_t k, int64_t depth)
{
    if (p->node->op == OP_CONV2D) {
        const struct patches patches = patches_of(p);
        patches_gather(&patches, to, PRODUCT_PITCH, row, rows, k, depth);
    } else {
        gather_linear(p, to, row, rows, k, depth);
    }
    const int64_t padded = round_up(rows, p->core->tile_rows);
    for (int64_t r = rows; r < padded; r++) memset(to + r * PRODUCT_PITCH, 0, (size_t)depth * sizeof *to);
}

static void unpack(const struct product *p, float *to, int64_t column, int64_t columns, int64_t k, int64_t depth)
{
    const struct cpu_weight w = {p->call->in[1], p->node->input[1]->dtype, column * p->K + k, p->K};
    p->core->pack(to, &w, columns, depth);
}

/* Columns of column block b; the last one may be narrower. */
static int64_t columns_of(const struct product *p, int64_t b)
{
    return smaller(p->block_columns, p->N - b * p->block_columns);
}

/* One tile's breadth of W's shared part, through all of K. */
static void unpack_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct product *p = context;
    const int64_t step = p->core->tile_columns, per_block = p->block_columns / step;
    const int64_t block = p->first_block + task / per_block, at = task % per_block * step;
    const int64_t columns = columns_of(p, block), padded = round_up(columns, step);
    if (at >= columns) return;
    float *to = p->shared + (block - p->first_block) * p->block_columns * p->packed_K;
    for (int64_t k = 0; k < p->K; k += p->depth) {
        const int64_t depth = smaller(p->depth, p->K - k);
        const int64_t packed = round_up(depth, p->core->depth_step);
        unpack(p, to + k * padded + at * packed, block * p->block_columns + at, smaller(step, columns - at), k, depth);
    }
}

/* The residual of result row `row`, or NULL: it has all rows, or one for each picture. */
static void finish_rows(const struct product *p, const float *c, int64_t row, int64_t rows, int64_t column,
                        int64_t columns)
{
    const struct node *residual = p->node->input[3];
    const int64_t all = p->images * p->rows, stored = residual ? shape_rows(residual->shape) : all;
    const int64_t sharing = all / stored; /* result rows for each of the residual's */
    for (int64_t r = row; r < row + rows;) {
        const int64_t run = sharing == 1 ? rows : smaller(row + rows - r, sharing - r % sharing);
        const struct product_block block = {
            .c = c + (r - row) * c_pitch(p),
            .c_pitch = c_pitch(p),
            .y = (float *)p->call->out + r * p->N + column,
            .y_pitch = p->N,
            .bias = p->call->in[2] ? (const float *)p->call->in[2] + column : NULL,
            .residual = residual ? (const float *)p->call->in[3] + r / sharing * p->N + column : NULL,
            .residual_pitch = sharing == 1 ? p->N : 0,
            .rows = run,
            .columns = columns,
            .act = p->node->as.gemm.act,
        };
        p->core->finish(&block);
        r += run;
    }
}

static void block_task(void *context, int64_t task, int worker)
{
    const struct product *p = context;
    const int64_t block = p->first_block + task / p->row_blocks, column = block * p->block_columns;
    const int64_t columns = columns_of(p, block), padded = round_up(columns, p->core->tile_columns);
    const int64_t per_image = p->row_blocks / p->images, at = task % p->row_blocks % per_image * p->block_rows;
    const int64_t row = task % p->row_blocks / per_image * p->rows + at;
    const int64_t rows = smaller(p->block_rows, p->rows - at);
    float *c = p->own + worker * own_floats(p), *a = c + p->block_rows * c_pitch(p);
    float *w = a + p->block_rows * PRODUCT_PITCH;
    for (int64_t k = 0; k < p->K; k += p->depth) {
        const int64_t depth = smaller(p->depth, p->K - k);
        gather(p, a, row, rows, k, depth);
        if (p->shared_blocks)
            w = p->shared + (block - p->first_block) * p->block_columns * p->packed_K + k * padded;
        else
            unpack(p, w, column, columns, k, depth);
        p->core->multiply(c, c_pitch(p), a, PRODUCT_PITCH, w, rows, columns, depth, k > 0);
    }
    finish_rows(p, c, row, rows, column, columns);
}

void product_run(const struct cpu_call *call, const struct product_core *core)
{
    struct product p = describe(call->node, core);
    p.call = call;
    p.shared = call->work;
    p.own = p.shared + shared_floats(&p);
    if (!p.shared_blocks) {
        pool_run(call->pool, block_task, &p, p.column_blocks * p.row_blocks);
        return;
    }
    for (; p.first_block < p.column_blocks; p.first_block += p.shared_blocks) {
        const int64_t blocks = smaller(p.shared_blocks, p.column_blocks - p.first_block);
        pool_run(call->pool, unpack_task, &p, blocks * (p.block_columns / core->tile_columns));
        pool_run(call->pool, block_task, &p, blocks * p.row_blocks);
    }
}
