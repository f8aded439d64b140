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

#include "core/cpu/cut.h"
#include "core/cpu/patches.h"

#include <assert.h>
#include <string.h>

enum {
    SHARED_FROM_ROWS = 192,          /* from here on W is unpacked once for all tasks */
    SHARED_FLOATS = 4 * 1024 * 1024, /* and at most so much of it at a time */
    SHARED_ROWS = 128,
    SHARED_COLUMNS = 640,
    OWN_ROWS = 192,
    MOST_ROWS = 208, /* either, in whole tiles */
    OWN_COLUMNS = 128,
    OWN_TASKS = 16, /* columns are cut finer if there were fewer tasks */
};

struct product {
    const struct product_core *core;
    const struct cpu_call *call;
    const struct node *node;
    /* Rows of an image; a core with independent rows sees the batch as one image, unless it is one of matrices that
     * have a W each. */
    int64_t images, rows, N, K;
    int64_t packed_K; /* K, rounded up to the core's step */
    /* Of a k block, of which a run has so many and perhaps a smaller one; a function of the weight's shape alone, so
     * that sums are cut alike everywhere. A run is K, or what one kernel row sees if that is read where it lies. */
    int64_t depth, run;
    int64_t block_rows, block_columns, row_blocks, column_blocks;
    int64_t shared_blocks;             /* column blocks that are unpacked together; 0: tasks unpack their own */
    int64_t first_block;               /* of those that are unpacked now */
    float *shared, *own;               /* scratch: of all, and of the threads */
    const struct product_phase *phase; /* NULL: none */
};

static bool is_batch(const struct product *p)
{
    return p->node->op == OP_MATMUL && p->images > 1;
}

/* What one kernel row sees of a pixel. */
static int64_t run_of(const struct node *conv)
{
    return shape_dim(conv->input[1]->shape, 2) * shape_dim(conv->input[1]->shape, 3);
}

/* True if a pixel's patch is read where it lies in the picture, a kernel row at a time, unless it is at the edge. That
 * saves copying each pixel for all the patches that it is in. K blocks of quantised weights begin at whole halves of
 * their blocks (vec_product_ends.inc.h). */
static bool in_place(const struct product *p)
{
    const struct node *w = p->node->input[1];
    return p->core->rows_anywhere && p->node->op == OP_CONV2D && shape_dim(w->shape, 2) > 1 &&
           (dtype_block(w->dtype) == 1 || run_of(p->node) % DTYPE_MAX_BLOCK == 0);
}

static int64_t depth_at(const struct product *p, int64_t k)
{
    return cut_smaller(p->depth, p->run - k % p->run);
}

static void cut(struct product *p)
{
    const bool share = p->rows >= SHARED_FROM_ROWS && !is_batch(p);
    const int64_t row_step = p->core->tile_rows, column_step = p->core->tile_columns;
    p->run = in_place(p) ? run_of(p->node) : p->K;
    p->depth = cut_evenly(p->run, PRODUCT_DEPTH, p->core->depth_step > 16 ? p->core->depth_step : 16);
    p->packed_K = cut_round_up(p->K, p->core->depth_step);
    int64_t columns;
    if (share) {
        p->block_rows = cut_evenly(p->rows, SHARED_ROWS, row_step);
        columns = cut_smaller(SHARED_COLUMNS, SHARED_FLOATS / p->K / column_step * column_step);
    } else {
        p->block_rows = cut_evenly(p->rows, OWN_ROWS, row_step);
        columns = is_batch(p) ? OWN_COLUMNS : cut_smaller(OWN_COLUMNS, p->N / OWN_TASKS / column_step * column_step);
    }
    if (columns < column_step) columns = column_step;
    p->block_columns = cut_evenly(p->N, columns, column_step);
    p->row_blocks = p->images * cut_count(p->rows, p->block_rows);
    p->column_blocks = cut_count(p->N, p->block_columns);
    if (!share) return;
    p->shared_blocks = cut_smaller(p->column_blocks, SHARED_FLOATS / p->K / p->block_columns);
    if (p->shared_blocks < 1) p->shared_blocks = 1;
}

static struct product describe(const struct node *node, const struct product_core *core)
{
    struct product p = {.core = core, .node = node};
    p.N = shape_dim(node->shape, -1);
    if (node->op == OP_MATMUL) {
        p.K = shape_dim(node->input[0]->shape, node->as.matmul.transpose_a ? -2 : -1);
        p.images = shape_rows(node->shape) / shape_dim(node->shape, -2);
    } else {
        p.K = shape_count(node->input[1]->shape) / p.N;
        p.images = node->op == OP_CONV2D || node->shape.rank > 1 ? node->shape.dim[0] : 1;
    }
    p.rows = shape_rows(node->shape) / p.images;
    if (core->rows_independent && node->op != OP_MATMUL) {
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
    return cut_round_up(p->packed_K * p->block_columns * p->shared_blocks, 16);
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

/* A lies as [K, rows]. */
static void gather_transposed(const struct product *p, float *to, int64_t row, int64_t rows, int64_t k, int64_t depth)
{
    const float *x = (const float *)p->call->in[0] + (row / p->rows * p->K + k) * p->rows + row % p->rows;
    for (int64_t i = 0; i < depth; i++, x += p->rows)
        for (int64_t r = 0; r < rows; r++) to[r * PRODUCT_PITCH + i] = x[r];
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
    } else if (p->node->op == OP_MATMUL && p->node->as.matmul.transpose_a) {
        gather_transposed(p, to, row, rows, k, depth);
    } else {
        gather_linear(p, to, row, rows, k, depth);
    }
}

/* Rows of patches where they lie in the picture; those that reach beyond its edge are copied to `spare`. */
static void find_patches(const struct product *p, const float **at, float *spare, int64_t row, int64_t rows, int64_t k,
                         int64_t depth)
{
    const struct patches patches = patches_of(p);
    const int64_t step = patches.conv.stride * patches.I, ky = k / p->run, whole = patches.W * patches.I;
    int64_t line = row / patches.wide, column = row % patches.wide;
    for (int64_t r = 0; r < rows; line++, column = 0) {
        const int64_t y = line % patches.tall * patches.conv.stride - patches.conv.pad.top + ky;
        const int64_t x = (line / patches.tall * patches.H + y) * whole;
        const bool there = y >= 0 && y < patches.H;
        for (; column < patches.wide && r < rows; column++, r++) {
            const int64_t from = column * step + k % p->run, start = from - patches.conv.pad.left * patches.I;
            if (there && start >= 0 && start + depth <= whole) {
                at[r] = patches.x + x + start;
            } else {
                at[r] = spare + r * PRODUCT_PITCH;
                patches_line(&patches, spare + r * PRODUCT_PITCH, line, ky, from, depth);
            }
        }
    }
}

/* Where rows of A are, columns k..; the last one again up to a whole tile. */
static void find_rows(const struct product *p, const float **at, float *spare, int64_t row, int64_t rows, int64_t k,
                      int64_t depth)
{
    if (in_place(p)) {
        find_patches(p, at, spare, row, rows, k, depth);
    } else {
        gather(p, spare, row, rows, k, depth);
        for (int64_t r = 0; r < rows; r++) at[r] = spare + r * PRODUCT_PITCH;
    }
    const int64_t padded = cut_round_up(rows, p->core->tile_rows);
    assert(padded <= MOST_ROWS);
    for (int64_t r = rows; r < padded; r++) at[r] = at[rows - 1];
}

/* Strips of a matrix that lies as [K, N]. */
static void unpack_columns(const struct product *p, float *to, int64_t image, int64_t column, int64_t columns,
                           int64_t k, int64_t depth)
{
    struct cpu_weight w = {p->call->in[1], p->node->input[1]->dtype, (image * p->K + k) * p->N + column, p->N};
    for (int64_t j = 0, n; j < columns; j += n, w.first += n) {
        n = cut_smaller(p->core->tile_columns, columns - j);
        p->core->pack_columns(to + j * depth, depth, 0, &w, n, depth);
    }
}

/* Strips of a phase's weight, tap by tap. */
static void unpack_phase(const struct product *p, float *to, int64_t column, int64_t columns, int64_t k, int64_t depth)
{
    const struct product_phase *phase = p->phase;
    const int64_t *dim = phase->weight->shape.dim, I = dim[0];
    struct cpu_weight w = {.stored = p->call->in[1], .dtype = phase->weight->dtype, .pitch = dim[1] * dim[2] * dim[3]};
    const int64_t height = shape_dim(p->node->input[1]->shape, 1), width = shape_dim(p->node->input[1]->shape, 2);
    for (int64_t at = 0, taken; at < depth; at += taken) {
        const int64_t tap = (k + at) / I, i = (k + at) % I;
        const int64_t ky = phase->first_ky + (height - 1 - tap / width) * phase->step;
        const int64_t kx = phase->first_kx + (width - 1 - tap % width) * phase->step;
        w.first = ((i * dim[1] + ky) * dim[2] + kx) * dim[3] + column;
        taken = cut_smaller(I - i, depth - at);
        for (int64_t j = 0, n; j < columns; j += n, w.first += n) {
            n = cut_smaller(p->core->tile_columns, columns - j);
            p->core->pack_columns(to + j * depth, depth, at, &w, n, taken);
        }
    }
}

static void unpack(const struct product *p, float *to, int64_t image, int64_t column, int64_t columns, int64_t k,
                   int64_t depth)
{
    const bool matrices = p->node->op == OP_MATMUL;
    if (p->phase && p->phase->weight) {
        unpack_phase(p, to, column, columns, k, depth);
        return;
    }
    if (matrices && !p->node->as.matmul.transpose_b) {
        unpack_columns(p, to, image, column, columns, k, depth);
        return;
    }
    const int64_t at = ((matrices ? image * p->N : 0) + column) * p->K + k;
    const struct cpu_weight w = {p->call->in[1], p->node->input[1]->dtype, at, p->K};
    p->core->pack(to, &w, columns, depth);
}

/* Columns of column block b; the last one may be narrower. */
static int64_t columns_of(const struct product *p, int64_t b)
{
    return cut_smaller(p->block_columns, p->N - b * p->block_columns);
}

/* One tile's breadth of W's shared part, through all of K. */
static void unpack_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct product *p = context;
    const int64_t step = p->core->tile_columns, per_block = p->block_columns / step;
    const int64_t block = p->first_block + task / per_block, at = task % per_block * step;
    const int64_t columns = columns_of(p, block), padded = cut_round_up(columns, step);
    if (at >= columns) return;
    float *to = p->shared + (block - p->first_block) * p->block_columns * p->packed_K;
    for (int64_t k = 0, depth; k < p->K; k += depth) {
        depth = depth_at(p, k);
        float *strip = to + k * padded + at * cut_round_up(depth, p->core->depth_step);
        unpack(p, strip, 0, block * p->block_columns + at, cut_smaller(step, columns - at), k, depth);
    }
}

static int64_t place_in_phase(const struct product *p, int64_t row)
{
    const int64_t wide = shape_dim(p->node->shape, 2), tall = shape_dim(p->node->shape, 1), line = row / wide;
    return line / tall * p->phase->image_pitch + line % tall * p->phase->line_pitch +
           row % wide * p->phase->pixel_pitch;
}

/* A run of rows with one residual for all, or one for each, which lie equally far apart. */
static void finish_rows(const struct product *p, const float *c, int64_t row, int64_t rows, int64_t column,
                        int64_t columns)
{
    const struct node *residual = p->node->input[3];
    const int64_t all = p->images * p->rows, stored = residual ? shape_rows(residual->shape) : all;
    const int64_t sharing = all / stored; /* result rows for each of the residual's */
    const int64_t longest = p->phase ? shape_dim(p->node->shape, 2) : sharing == 1 ? all : sharing;
    for (int64_t r = row; r < row + rows;) {
        const int64_t run = cut_smaller(row + rows - r, longest - r % longest);
        const struct product_block block = {
            .c = c + (r - row) * c_pitch(p),
            .c_pitch = c_pitch(p),
            .y = (float *)p->call->out + (p->phase ? place_in_phase(p, r) : r * p->N) + column,
            .y_pitch = p->phase ? p->phase->pixel_pitch : p->N,
            .bias = p->call->in[2] ? (const float *)p->call->in[2] + column : NULL,
            .residual = residual ? (const float *)p->call->in[3] + r / sharing * p->N + column : NULL,
            .residual_pitch = sharing == 1 ? p->N : 0,
            .rows = run,
            .columns = columns,
            .act = p->node->op == OP_MATMUL ? UNARY_NONE : p->node->as.gemm.act,
        };
        p->core->finish(&block);
        r += run;
    }
}

static void block_task(void *context, int64_t task, int worker)
{
    const struct product *p = context;
    const int64_t block = p->first_block + task / p->row_blocks, column = block * p->block_columns;
    const int64_t columns = columns_of(p, block), padded = cut_round_up(columns, p->core->tile_columns);
    const int64_t per_image = p->row_blocks / p->images, at = task % p->row_blocks % per_image * p->block_rows;
    const int64_t image = task % p->row_blocks / per_image, row = image * p->rows + at;
    const int64_t rows = cut_smaller(p->block_rows, p->rows - at);
    float *c = p->own + worker * own_floats(p), *a = c + p->block_rows * c_pitch(p);
    float *w = a + p->block_rows * PRODUCT_PITCH;
    const float *at_row[MOST_ROWS];
    for (int64_t k = 0, depth; k < p->K; k += depth) {
        depth = depth_at(p, k);
        find_rows(p, at_row, a, row, rows, k, depth);
        if (p->shared_blocks)
            w = p->shared + (block - p->first_block) * p->block_columns * p->packed_K + k * padded;
        else
            unpack(p, w, image, column, columns, k, depth);
        p->core->multiply(c, c_pitch(p), at_row, w, rows, columns, depth, k > 0);
    }
    finish_rows(p, c, row, rows, column, columns);
}

void product_run(const struct cpu_call *call, const struct product_core *core)
{
    product_run_phase(call, core, NULL);
}

void product_run_phase(const struct cpu_call *call, const struct product_core *core, const struct product_phase *phase)
{
    struct product p = describe(call->node, core);
    p.call = call;
    p.phase = phase;
    p.shared = call->work;
    p.own = p.shared + shared_floats(&p);
    if (!p.shared_blocks) {
        pool_run(call->pool, block_task, &p, p.column_blocks * p.row_blocks);
        return;
    }
    for (; p.first_block < p.column_blocks; p.first_block += p.shared_blocks) {
        const int64_t blocks = cut_smaller(p.shared_blocks, p.column_blocks - p.first_block);
        pool_run(call->pool, unpack_task, &p, blocks * (p.block_columns / core->tile_columns));
        pool_run(call->pool, block_task, &p, blocks * p.row_blocks);
    }
}
