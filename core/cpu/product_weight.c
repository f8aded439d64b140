/* SPDX-License-Identifier: MIT
 *
 * Gradient of a weight as a matrix product, dw [O, K] = dy^T [O, M] patches [M, K], where a row of `patches` is what
 * one result pixel saw, M = B h w of them, K = kh kw I. A linear layer's, and any a^T b, is the same with patches of
 * one pixel.
 *
 * What kernel row ky sees in a result line is one row of the picture, in which pixel c's share begins c stride I after
 * the first one's: those columns of `patches` overlap in memory and need not be gathered, only lines be copied.
 *
 *     line of result row 0   |--------------|      A task owns a block of dw and walks down M in pieces of some lines:
 *       patch of pixel 0     |-----|               it copies what they see and the same pixels of dy, and adds up the
 *       patch of pixel 1        |-----|            product. So its block of dw never leaves the cache, and the scratch
 *       patch of pixel 2           |-----|         has one size for any picture.
 *     line of result row 1   |--------------|
 *
 * Where dw has few blocks but M is long, M is cut into parts too, each with a dw of its own, which are added up at the
 * end in order.
 */
#include "core/cpu/cut.h"
#include "core/cpu/patches.h"
#include "core/cpu/product.h"

#include <assert.h>
#include <string.h>

enum {
    BLOCK_ROWS = 128,    /* of dw: outputs */
    BLOCK_COLUMNS = 640, /* of dw */
    PIECE_PIXELS = 128,
    WANTED_TASKS = 16,
    PART_PIXELS = 1024, /* a part has at least so many */
    APART = 16,         /* floats between rows, lest all rows share a few cache sets */
    ROW_STEP = 8,       /* blocks are cut alike for any tile, so that sums are */
    COLUMN_STEP = 32,
    WHOLE_ROWS = 24, /* which whole tiles of any core fill */
};

struct weight {
    const struct product_core *core;
    const struct cpu_call *call;
    struct patches patches;
    int64_t matrices, O, kernel_height, run; /* run: kw I, what a kernel row sees for one pixel */
    int64_t width, units_wide, units;        /* M in units, lines or pieces of a line */
    int64_t piece_units;                     /* that are multiplied at once */
    int64_t rows, row_blocks;                /* of dw, for a task */
    int64_t kernel_rows, columns, run_blocks,
        all_blocks;                  /* of dw, for a task: columns of each of so many kernel rows */
    int64_t pixel_pitch, line_pitch; /* of the copies */
    int64_t part_units, parts;
    float *own, *partial; /* scratch: of the threads, and of all parts but the first */
};

/* M pixels in one line, if it is a product of matrices. */
static void describe_operands(struct weight *g, const struct node *node)
{
    const struct shape a = node->input[0]->shape, b = node->input[1]->shape;
    g->matrices = 1;
    if (node->op == OP_MATMUL) {
        const int64_t M = shape_dim(a, -2), I = shape_dim(b, -1);
        g->matrices = shape_rows(a) / M;
        g->O = shape_dim(a, -1);
        g->kernel_height = 1;
        g->patches = (struct patches){.H = 1, .W = M, .I = I, .kernel_width = 1, .tall = 1, .wide = M};
        g->patches.conv.stride = 1;
        g->units = 1;
    } else {
        g->O = b.dim[3];
        g->kernel_height = node->shape.dim[1];
        g->patches = (struct patches){.H = a.dim[1], .W = a.dim[2], .I = a.dim[3], .tall = b.dim[1], .wide = b.dim[2]};
        g->patches.kernel_width = node->shape.dim[2];
        g->patches.conv = node->as.gemm.conv;
        g->units = b.dim[0] * b.dim[1];
    }
    g->run = g->patches.kernel_width * g->patches.I;
}

static struct weight describe(const struct node *node, const struct product_core *core)
{
    struct weight g = {.core = core};
    describe_operands(&g, node);
    const int64_t wide = g.patches.wide;
    assert(WHOLE_ROWS % core->tile_rows == 0 && COLUMN_STEP % core->tile_columns == 0);
    g.width = cut_evenly(wide, PIECE_PIXELS, 1);
    g.units_wide = cut_count(wide, g.width);
    g.units *= g.units_wide;
    g.piece_units = g.units_wide > 1 ? 1 : cut_smaller(g.units, PIECE_PIXELS / g.width);
    g.rows = cut_evenly(g.O, BLOCK_ROWS, ROW_STEP);
    g.row_blocks = cut_count(g.O, g.rows);
    const bool whole = g.kernel_height * cut_round_up(g.run, COLUMN_STEP) <= BLOCK_COLUMNS;
    g.kernel_rows = whole ? g.kernel_height : 1;
    g.columns = cut_evenly(g.run, BLOCK_COLUMNS, COLUMN_STEP);
    g.run_blocks = cut_count(g.run, g.columns);
    g.all_blocks = g.row_blocks * g.run_blocks * (g.kernel_height / g.kernel_rows);
    const int64_t pixel = g.patches.conv.stride * g.patches.I;
    g.pixel_pitch = g.columns + APART;
    if (core->rows_anywhere || pixel >= g.columns) g.pixel_pitch = cut_smaller(pixel, g.pixel_pitch);
    g.line_pitch = cut_round_up((g.width - 1) * g.pixel_pitch + g.columns, APART);
    g.part_units = cut_count(PART_PIXELS, g.width);
    const int64_t most = cut_count(WANTED_TASKS, g.all_blocks * g.matrices);
    g.parts = cut_smaller(most, cut_count(g.units, g.part_units));
    g.part_units = cut_round_up(cut_count(g.units, g.parts), g.piece_units);
    g.parts = cut_count(g.units, g.part_units);
    return g;
}

/* Scratch of one thread: a block of dw, pixels of dy, and what they saw. */
static int64_t whole_rows(const struct weight *g)
{
    return cut_round_up(g->rows, WHOLE_ROWS);
}

static int64_t dw_pitch(const struct weight *g)
{
    return g->kernel_rows * g->columns + APART;
}

static int64_t dy_pitch(const struct weight *g)
{
    return whole_rows(g) + APART;
}

static int64_t own_floats(const struct weight *g)
{
    const int64_t pixels = g->piece_units * g->width;
    return cut_round_up(whole_rows(g) * dw_pitch(g) + pixels * dy_pitch(g), APART) +
           g->piece_units * g->kernel_rows * g->line_pitch;
}

static int64_t partial_floats(const struct weight *g)
{
    return g->matrices * g->O * g->kernel_height * g->run;
}

size_t product_weight_work(const struct node *node, int threads, const struct product_core *core)
{
    const struct weight g = describe(node, core);
    return (size_t)(threads * own_floats(&g) + (g.parts - 1) * partial_floats(&g)) * sizeof(float);
}

/* What kernel rows ky.. see of a unit's pixels, columns from `column` of each. */
static void copy_seen(const struct weight *g, const struct patches *p, float *to, int64_t unit, int64_t pixels,
                      int64_t ky, int64_t column)
{
    const int64_t step = p->conv.stride * p->I, from = unit % g->units_wide * g->width * step + column;
    for (int64_t i = 0; i < g->kernel_rows; i++, to += g->line_pitch) {
        if (g->pixel_pitch == step) {
            patches_line(p, to, unit / g->units_wide, ky + i, from, (pixels - 1) * step + g->columns);
            continue;
        }
        for (int64_t c = 0; c < pixels; c++)
            patches_line(p, to + c * g->pixel_pitch, unit / g->units_wide, ky + i, from + c * step, g->columns);
    }
}

/* Outputs o.. of so many pixels of dy, with zeros up to whole tiles. */
static void copy_outputs(const struct weight *g, float *to, const float *dy, int64_t pixels, int64_t o)
{
    const int64_t there = cut_smaller(g->rows, g->O - o);
    for (int64_t i = 0; i < pixels; i++, to += dy_pitch(g), dy += g->O) {
        memcpy(to, dy + o, (size_t)there * sizeof *to);
        memset(to + there, 0, (size_t)(dy_pitch(g) - there) * sizeof *to);
    }
}

static void block_task(void *context, int64_t task, int worker)
{
    const struct weight *g = context;
    const int64_t block = task % g->all_blocks, part = task / g->all_blocks % g->parts;
    const int64_t matrix = task / g->all_blocks / g->parts, column = block % g->run_blocks * g->columns;
    const int64_t ky = block / g->run_blocks % (g->kernel_height / g->kernel_rows) * g->kernel_rows;
    const int64_t o = block / (g->all_blocks / g->row_blocks) * g->rows, first = part * g->part_units;
    const int64_t end = cut_smaller(first + g->part_units, g->units), wide = g->patches.wide;
    const bool product = g->call->node->op == OP_MATMUL;
    const float *dy = (const float *)g->call->in[product ? 0 : 1] + matrix * wide * g->O;
    struct patches patches = g->patches;
    patches.x = (const float *)g->call->in[product ? 1 : 0] + matrix * wide * g->run;
    float *dw = g->own + worker * own_floats(g), *rows = dw + whole_rows(g) * dw_pitch(g);
    float *seen = dw + cut_round_up(whole_rows(g) * dw_pitch(g) + g->piece_units * g->width * dy_pitch(g), APART);
    for (int64_t unit = first; unit < end; unit += g->piece_units) {
        const int64_t units = cut_smaller(g->piece_units, end - unit), c = unit % g->units_wide * g->width;
        const int64_t pixels = cut_smaller(g->width, wide - c);
        copy_outputs(g, rows, dy + (unit / g->units_wide * wide + c) * g->O, units * pixels, o);
        for (int64_t i = 0; i < units; i++)
            copy_seen(g, &patches, seen + i * g->kernel_rows * g->line_pitch, unit + i, pixels, ky, column);
        for (int64_t i = 0; i < g->kernel_rows; i++)
            g->core->outer(&(struct product_outer){.c = dw + i * g->columns,
                                                   .c_pitch = dw_pitch(g),
                                                   .a = rows,
                                                   .a_pitch = dy_pitch(g),
                                                   .b = seen + i * g->line_pitch,
                                                   .b_pitch = g->pixel_pitch,
                                                   .line_pitch = g->kernel_rows * g->line_pitch,
                                                   .m = cut_smaller(g->rows, g->O - o),
                                                   .n = cut_smaller(g->columns, g->run - column),
                                                   .lines = units,
                                                   .k = pixels,
                                                   .add = unit > first});
    }
    const int64_t K = g->kernel_height * g->run, there = cut_smaller(g->columns, g->run - column);
    float *to = (part == 0 ? (float *)g->call->out : g->partial + (part - 1) * partial_floats(g)) + matrix * g->O * K;
    for (int64_t r = 0; r < g->rows && o + r < g->O; r++)
        for (int64_t i = 0; i < g->kernel_rows; i++)
            memcpy(to + (o + r) * K + (ky + i) * g->run + column, dw + r * dw_pitch(g) + i * g->columns,
                   (size_t)there * sizeof *to);
}

static void add_parts(void *context, int64_t o, int worker)
{
    (void)worker;
    const struct weight *g = context;
    const int64_t K = g->kernel_height * g->run;
    float *dw = (float *)g->call->out + o * K;
    for (int64_t part = 1; part < g->parts; part++) {
        const float *more = g->partial + (part - 1) * partial_floats(g) + o * K;
        for (int64_t k = 0; k < K; k++) dw[k] += more[k];
    }
}

void product_weight_run(const struct cpu_call *call, const struct product_core *core)
{
    struct weight g = describe(call->node, core);
    g.call = call;
    g.own = call->work;
    g.partial = g.own + pool_threads(call->pool) * own_floats(&g);
    pool_run(call->pool, block_task, &g, g.matrices * g.parts * g.all_blocks);
    if (g.parts > 1) pool_run(call->pool, add_parts, &g, g.matrices * g.O);
}
