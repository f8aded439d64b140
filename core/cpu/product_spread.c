/* SPDX-License-Identifier: MIT
 *
 * Transposed convolution to few channels, a picture's colours for example, of which the phases of product_transpose.c
 * would fill a small part of each vector. Here the channels of all taps stand side by side: a pixel gives
 *
 *     t [kh, kw, O] = x [I] w [I, kh kw O],     and     y[h stride - top + ky, c stride - left + kx, o] += t[ky, kx,
 * o].
 *
 * A task owns some lines of the result, and computes again what pixels at their borders give to both sides.
 */
#include "core/cpu/cut.h"
#include "core/cpu/product.h"

enum {
    FEW_CHANNELS = 8,
    MOST_COLUMNS = 512, /* of t */
    LINES = 16,         /* of a task */
    PIXELS = 96,        /* that are multiplied at once */
    MOST_PIXELS = 128,  /* in whole tiles */
    APART = 16,         /* floats between rows, lest all rows share a few cache sets */
};

struct spread {
    const struct product_core *core;
    const struct cpu_call *call;
    struct conv conv;
    int64_t H, W, I, kernel_height, kernel_width, O, tall, wide;
    int64_t N, padded; /* channels of all taps, and in whole strips */
    int64_t lines, bands;
    float *w, *own; /* scratch: of all, and of the threads */
};

bool product_spread_suits(const struct node *node, const struct product_core *core)
{
    const int64_t *w = node->input[1]->shape.dim;
    return core->pack_columns && dtype_block(node->input[1]->dtype) == 1 && w[3] <= FEW_CHANNELS &&
           w[1] * w[2] * w[3] <= MOST_COLUMNS;
}

static struct spread describe(const struct node *node, const struct product_core *core)
{
    const int64_t *x = node->input[0]->shape.dim, *w = node->input[1]->shape.dim, *y = node->shape.dim;
    struct spread s = {.core = core, .conv = node->as.gemm.conv, .H = x[1], .W = x[2], .I = x[3], .O = w[3]};
    s.kernel_height = w[1];
    s.kernel_width = w[2];
    s.tall = y[1];
    s.wide = y[2];
    s.N = w[1] * w[2] * w[3];
    s.padded = cut_round_up(s.N, core->tile_columns);
    s.lines = cut_evenly(s.tall, LINES, 1);
    s.bands = cut_count(s.tall, s.lines);
    return s;
}

static int64_t own_floats(const struct spread *s)
{
    return MOST_PIXELS * (s->padded + APART);
}

size_t product_spread_work(const struct node *node, int threads, const struct product_core *core)
{
    const struct spread s = describe(node, core);
    return (size_t)(cut_round_up(s.I * s.padded, APART) + threads * own_floats(&s)) * sizeof(float);
}

/* A strip of w, in blocks of summands. */
static void unpack_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct spread *s = context;
    const int64_t column = task * s->core->tile_columns, n = cut_smaller(s->core->tile_columns, s->N - column);
    for (int64_t k = 0, depth; k < s->I; k += depth) {
        depth = cut_smaller(PRODUCT_DEPTH, s->I - k);
        const struct cpu_weight w = {s->call->in[1], s->call->node->input[1]->dtype, k * s->N + column, s->N};
        s->core->pack_columns(s->w + k * s->padded + column * depth, depth, 0, &w, n, depth);
    }
}

/* t of so many pixels of a row of the picture. */
static void multiply(const struct spread *s, float *t, const float *x, int64_t pixels)
{
    const float *rows[MOST_PIXELS];
    for (int64_t k = 0, depth; k < s->I; k += depth) {
        depth = cut_smaller(PRODUCT_DEPTH, s->I - k);
        for (int64_t i = 0; i < MOST_PIXELS; i++) rows[i] = x + cut_smaller(i, pixels - 1) * s->I + k;
        s->core->multiply(t, s->padded + APART, rows, s->w + k * s->padded, pixels, s->N, depth, k > 0);
    }
}

/* What pixels from column c of a row give to line y by kernel row ky. */
static void add_up(const struct spread *s, float *y, const float *t, int64_t c, int64_t pixels, int64_t ky)
{
    t += ky * s->kernel_width * s->O;
    for (int64_t i = 0; i < pixels; i++, t += s->padded + APART) {
        const int64_t left = (c + i) * s->conv.stride - s->conv.pad.left;
        const int64_t from = left < 0 ? -left : 0, end = cut_smaller(s->kernel_width, s->wide - left);
        for (int64_t j = from * s->O; j < end * s->O; j++) y[left * s->O + j] += t[j];
    }
}

static void band_task(void *context, int64_t task, int worker)
{
    const struct spread *s = context;
    const int64_t image = task / s->bands, first = task % s->bands * s->lines;
    const int64_t end = cut_smaller(first + s->lines, s->tall), line = s->wide * s->O;
    const float *bias = s->call->in[2], *x = (const float *)s->call->in[0] + image * s->H * s->W * s->I;
    float *y = (float *)s->call->out + image * s->tall * line, *t = s->own + worker * own_floats(s);
    for (int64_t i = first * line; i < end * line; i++) y[i] = bias ? bias[i % s->O] : 0;
    for (int64_t h = 0; h < s->H; h++) {
        const int64_t top = h * s->conv.stride - s->conv.pad.top; /* the line of kernel row 0 */
        if (top >= end || top + s->kernel_height <= first) continue;
        for (int64_t c = 0; c < s->W; c += PIXELS) {
            const int64_t pixels = cut_smaller(PIXELS, s->W - c);
            multiply(s, t, x + (h * s->W + c) * s->I, pixels);
            for (int64_t ky = 0; ky < s->kernel_height; ky++)
                if (top + ky >= first && top + ky < end) add_up(s, y + (top + ky) * line, t, c, pixels, ky);
        }
    }
}

void product_spread_run(const struct cpu_call *call, const struct product_core *core)
{
    struct spread s = describe(call->node, core);
    s.call = call;
    s.w = call->work;
    s.own = s.w + cut_round_up(s.I * s.padded, APART);
    pool_run(call->pool, unpack_task, &s, s.padded / core->tile_columns);
    pool_run(call->pool, band_task, &s, call->node->shape.dim[0] * s.bands);
}
