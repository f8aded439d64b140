/* SPDX-License-Identifier: MIT
 *
 * A 2x2 square of results needs a 4x4 square of pixels. With U = G g G^T of a filter and V = B^T d B of the pixels,
 *
 *     y = A^T (sum over channels of U * V, element by element) A
 *
 * so each of the 16 elements ("planes") is a matrix product over the channels, squares by filters:
 *
 *     U  [plane][k block]  as product_core packs it      for many filters at a time, shared by all tasks
 *     V  [plane][square][channel of the k block]         a task's squares
 *     M  [plane][square][filter]                         a task's squares and filters
 *
 * V and M of a task stay in the second-level cache: the transforms are made where their results are used, and squares
 * of the picture's size never lie in memory. (With one step after the other for some megabytes of squares, the task's
 * data went to the third-level cache and back, and 128 channels took a third longer.)
 *
 * The transforms add up at most four values of like size, so the error stays near that of the direct sum: 2 to 3 times
 * it, measured. (F(4x4, 3x3) would save as much again, at 10 to 30 times the error.)
 */
#include "core/cpu/winograd.h"

#include "core/cpu/cut.h"

enum {
    FEWEST_PIXELS = 256,  /* of a picture; below, transforming the weights costs more than is saved */
    FEWEST_CHANNELS = 32, /* in and out */
    WEIGHT_FLOATS = 4 * 1024 * 1024,
    DEPTH = 128,        /* channels of a k block */
    PITCH = DEPTH + 16, /* of V's squares */
    SQUARES = 48,       /* of a task */
    COLUMNS = 128,      /* filters of a task */
};

static const float zeros[DEPTH];

struct winograd {
    const struct winograd_core *core;
    const struct cpu_call *call;
    const struct node *node;
    int64_t H, W, I, tall, wide, O;
    int64_t squares_wide, squares_of_image, squares; /* of all images */
    int64_t depth;                                   /* of a k block */
    int64_t block_squares, block_columns;            /* of a task */
    int64_t columns;                                 /* whose U is held at a time; a multiple of block_columns */
    int64_t first_column, columns_now;
    float *u, *own;
};

bool winograd_suits(const struct node *node)
{
    const struct shape y = node->shape, w = node->input[1]->shape;
    return node->op == OP_CONV2D && node->as.gemm.conv.stride == 1 && w.dim[1] == 3 && w.dim[2] == 3 &&
           w.dim[0] >= FEWEST_CHANNELS && w.dim[3] >= FEWEST_CHANNELS && y.dim[1] * y.dim[2] >= FEWEST_PIXELS;
}

/* Floats of a plane of U, V and M. Sixteen planes are written side by side, so they must not share cache sets. */
static int64_t u_plane(const struct winograd *g)
{
    return g->columns * g->I;
}

static int64_t v_plane(const struct winograd *g)
{
    return g->block_squares * PITCH + 16;
}

static int64_t m_pitch(const struct winograd *g)
{
    return g->block_columns + 16;
}

static int64_t m_plane(const struct winograd *g)
{
    return g->block_squares * m_pitch(g) + 16;
}

static struct winograd describe(const struct node *node, const struct winograd_core *core)
{
    const int64_t *x = node->input[0]->shape.dim, *y = node->shape.dim;
    struct winograd g = {.core = core, .node = node, .H = x[1], .W = x[2], .I = x[3]};
    g.tall = y[1];
    g.wide = y[2];
    g.O = y[3];
    g.squares_wide = cut_count(g.wide, 2);
    g.squares_of_image = cut_count(g.tall, 2) * g.squares_wide;
    g.squares = y[0] * g.squares_of_image;
    g.depth = cut_evenly(g.I, DEPTH, 16);
    g.block_squares = cut_evenly(g.squares, SQUARES, core->product->tile_rows);
    g.block_columns = cut_evenly(g.O, COLUMNS, core->product->tile_columns);
    const int64_t blocks = WEIGHT_FLOATS / WINOGRAD_PLANES / g.I / g.block_columns;
    g.columns = cut_evenly(g.O, blocks * g.block_columns, g.block_columns);
    return g;
}

size_t winograd_work(const struct node *node, int threads, const struct winograd_core *core)
{
    const struct winograd g = describe(node, core);
    return (size_t)(WINOGRAD_PLANES * (u_plane(&g) + threads * (v_plane(&g) + m_plane(&g)))) * sizeof(float);
}

/* U for one tile's breadth of filters. Strips of a k block lie side by side, as multiply wants them. */
static void weights_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct winograd *g = context;
    const int64_t step = g->core->product->tile_columns, at = task * step;
    const int64_t n = cut_smaller(step, g->columns_now - at), padded = cut_round_up(g->columns_now, step);
    const int64_t first = (g->first_column + at) * 9 * g->I;
    for (int64_t k = 0; k < g->I; k += g->depth) {
        const int64_t depth = cut_smaller(g->depth, g->I - k);
        const struct cpu_weight w = {g->call->in[1], g->node->input[1]->dtype, first + k, g->I};
        g->core->weights(g->u + k * padded + at * depth, u_plane(g), &w, n, depth);
    }
}

/* Channel k of the 4x4 pixels that square `square` of all images needs; outside the picture they are zeros. */
static void find_pixels(const struct winograd *g, int64_t square, int64_t k, const float *pixel[WINOGRAD_PLANES])
{
    const int64_t image = square / g->squares_of_image, at = square % g->squares_of_image;
    const int64_t top = at / g->squares_wide * 2 - g->node->as.gemm.conv.pad.top;
    const int64_t left = at % g->squares_wide * 2 - g->node->as.gemm.conv.pad.left;
    const float *x = (const float *)g->call->in[0] + image * g->H * g->W * g->I + k;
    for (int64_t i = 0; i < WINOGRAD_PLANES; i++) {
        const int64_t r = top + i / 4, c = left + i % 4;
        pixel[i] = r >= 0 && r < g->H && c >= 0 && c < g->W ? x + (r * g->W + c) * g->I : zeros;
    }
}

/* V of n squares in one k block. */
static void transform_input(const struct winograd *g, float *v, int64_t first, int64_t n, int64_t k, int64_t depth)
{
    for (int64_t s = 0; s < n; s++) {
        const float *pixel[WINOGRAD_PLANES];
        find_pixels(g, first + s, k, pixel);
        g->core->input(v + s * PITCH, v_plane(g), pixel, depth);
    }
}

/* Results of n squares, for `columns` filters from `column` on. */
static void transform_output(const struct winograd *g, const float *m, int64_t first, int64_t n, int64_t column,
                             int64_t columns)
{
    const struct node *residual = g->node->input[3];
    const int64_t pixels = g->tall * g->wide;
    const int64_t sharing = residual ? shape_rows(g->node->shape) / shape_rows(residual->shape) : 1;
    const float *bias = g->call->in[2];
    for (int64_t s = 0; s < n; s++) {
        const int64_t image = (first + s) / g->squares_of_image, at = (first + s) % g->squares_of_image;
        struct winograd_square square = {
            .m = m + s * m_pitch(g),
            .plane = m_plane(g),
            .bias = bias ? bias + column : NULL,
            .columns = columns,
            .act = g->node->as.gemm.act,
        };
        for (int i = 0; i < WINOGRAD_OUTPUTS; i++) {
            const int64_t r = at / g->squares_wide * 2 + i / 2, c = at % g->squares_wide * 2 + i % 2;
            if (r >= g->tall || c >= g->wide) continue;
            const int64_t row = image * pixels + r * g->wide + c;
            square.y[i] = (float *)g->call->out + row * g->O + column;
            if (residual) square.residual[i] = (const float *)g->call->in[3] + row / sharing * g->O + column;
        }
        g->core->output(&square);
    }
}

/* Some squares, some filters. Rows of V behind the last square hold anything: rows are independent. */
/* Sums of a k block for so many squares and filters, plane by plane. */
static void multiply_planes(const struct winograd *g, float *m, const float *v, const float *u, int64_t squares,
                            int64_t columns, int64_t depth, bool add)
{
    const float *rows[SQUARES];
    for (int plane = 0; plane < WINOGRAD_PLANES; plane++, u += u_plane(g)) {
        for (int64_t i = 0; i < g->block_squares; i++) rows[i] = v + plane * v_plane(g) + i * PITCH;
        g->core->product->multiply(m + plane * m_plane(g), m_pitch(g), rows, u, squares, columns, depth, add);
    }
}

static void block_task(void *context, int64_t task, int worker)
{
    const struct winograd *g = context;
    const int64_t square_blocks = cut_count(g->squares, g->block_squares);
    const int64_t first = task % square_blocks * g->block_squares,
                  n = cut_smaller(g->block_squares, g->squares - first);
    const int64_t at = task / square_blocks * g->block_columns,
                  columns = cut_smaller(g->block_columns, g->columns_now - at);
    const int64_t padded = cut_round_up(g->columns_now, g->core->product->tile_columns);
    float *v = g->own + worker * WINOGRAD_PLANES * (v_plane(g) + m_plane(g)), *m = v + WINOGRAD_PLANES * v_plane(g);
    for (int64_t k = 0; k < g->I; k += g->depth) {
        const int64_t depth = cut_smaller(g->depth, g->I - k);
        transform_input(g, v, first, n, k, depth);
        multiply_planes(g, m, v, g->u + k * padded + at * depth, n, columns, depth, k > 0);
    }
    transform_output(g, m, first, n, g->first_column + at, columns);
}

void winograd_run(const struct cpu_call *call, const struct winograd_core *core)
{
    struct winograd g = describe(call->node, core);
    g.call = call;
    g.u = call->work;
    g.own = g.u + WINOGRAD_PLANES * u_plane(&g);
    const int64_t square_blocks = cut_count(g.squares, g.block_squares);
    for (; g.first_column < g.O; g.first_column += g.columns) {
        g.columns_now = cut_smaller(g.columns, g.O - g.first_column);
        pool_run(call->pool, weights_task, &g, cut_count(g.columns_now, core->product->tile_columns));
        pool_run(call->pool, block_task, &g, cut_count(g.columns_now, g.block_columns) * square_blocks);
    }
}
