/* SPDX-License-Identifier: MIT
 *
 * Transposed convolution as convolutions. A result row r gets from input row h what kernel row ky = r + top - h stride
 * says; so rows of one remainder (r mod stride) see the same kernel rows, every stride-th, and are a convolution of
 * stride 1 with those, turned round (Dumoulin and Visin 2016, arXiv 1603.07285, section 4). For stride 2 and a kernel
 * of 4 rows, with top = 1:
 *
 *     r even   kernel rows 1 and 3        phase 0:  y[2 p]     = w[3] x[p - 1] + w[1] x[p]
 *     r odd    kernel rows 0 and 2        phase 1:  y[2 p + 1] = w[2] x[p]     + w[0] x[p + 1]
 *
 * No zeros are multiplied and no sums collide. A phase's result is computed in one piece, then dealt out; with stride 1
 * there is one phase, and its result is the result.
 */
#include "core/cpu/product.h"

#include <string.h>

enum { TURN_COLUMNS = 16 };

/* The convolution that makes rows and columns of one remainder. */
struct phase {
    struct node conv, w;
    int64_t first_ky, first_kx, step; /* the kernel rows and columns it uses */
    int64_t row, column;              /* remainders */
};

struct transpose {
    const struct cpu_call *call;
    const struct phase *phase;
    float *w, *y;
};

static int64_t round_to_line(int64_t floats)
{
    return (floats + 15) / 16 * 16;
}

static int64_t largest(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t every(int64_t n, int64_t first, int64_t step)
{
    return n > first ? (n - first + step - 1) / step : 0;
}

/* Phase number `number` of stride^2. */
static struct phase describe(const struct node *node, int64_t number)
{
    const struct conv conv = node->as.gemm.conv;
    const int64_t s = conv.stride, row = number / s, column = number % s;
    const int64_t *w = node->input[1]->shape.dim;
    struct phase p = {.row = row, .column = column, .step = s};
    p.first_ky = (row + conv.pad.top) % s;
    p.first_kx = (column + conv.pad.left) % s;
    const int64_t height = every(w[1], p.first_ky, s), width = every(w[2], p.first_kx, s);
    p.w = (struct node){.op = OP_CONSTANT, .dtype = DTYPE_F32, .shape = SHAPE(w[3], height, width, w[0])};
    p.conv = (struct node){.op = OP_CONV2D, .inputs = 3, .input = {node->input[0], NULL, node->input[2]}};
    p.conv.shape =
        SHAPE(node->shape.dim[0], every(node->shape.dim[1], row, s), every(node->shape.dim[2], column, s), w[3]);
    p.conv.as.gemm.conv.stride = 1;
    p.conv.as.gemm.conv.pad.top = (int)(height - 1 - (row + conv.pad.top) / s);
    p.conv.as.gemm.conv.pad.left = (int)(width - 1 - (column + conv.pad.left) / s);
    return p;
}

struct needs {
    int64_t w, y; /* floats */
    size_t product;
};

static struct needs measure(const struct node *node, int threads, const struct product_core *core)
{
    const int64_t stride = node->as.gemm.conv.stride;
    struct needs most = {0};
    for (int64_t i = 0; i < stride * stride; i++) {
        struct phase p = describe(node, i);
        p.conv.input[1] = &p.w;
        most.w = largest(most.w, round_to_line(shape_count(p.w.shape)));
        if (stride > 1) most.y = largest(most.y, round_to_line(shape_count(p.conv.shape)));
        if (shape_count(p.w.shape) == 0 || shape_count(p.conv.shape) == 0) continue;
        const size_t work = product_work(&p.conv, threads, core);
        if (work > most.product) most.product = work;
    }
    return most;
}

size_t product_transpose_work(const struct node *node, int threads, const struct product_core *core)
{
    const struct needs needs = measure(node, threads, core);
    return (size_t)(needs.w + needs.y) * sizeof(float) + needs.product;
}

/* [I, kh, kw, O] becomes [O, height, width, I], turned round; a task is a few of the O. */
static void turn_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct transpose *t = context;
    const struct phase *p = t->phase;
    const struct node *weight = t->call->node->input[1];
    const int64_t *from = weight->shape.dim, *to = p->w.shape.dim, O = to[0], taps = to[1] * to[2], I = to[3];
    const int64_t first = task * TURN_COLUMNS, columns = O - first < TURN_COLUMNS ? O - first : TURN_COLUMNS;
    for (int64_t tap = 0; tap < taps; tap++) {
        const int64_t ky = p->first_ky + (to[1] - 1 - tap / to[2]) * p->step;
        const int64_t kx = p->first_kx + (to[2] - 1 - tap % to[2]) * p->step;
        for (int64_t i = 0; i < I; i++) {
            const int64_t at = ((i * from[1] + ky) * from[2] + kx) * O + first;
            float values[TURN_COLUMNS];
            dtype_to_f32(values, t->call->in[1], weight->dtype, (size_t)at, (size_t)columns);
            for (int64_t o = 0; o < columns; o++) t->w[((first + o) * taps + tap) * I + i] = values[o];
        }
    }
}

/* Row `task` of the phase's result goes to its place in the result. Where no kernel row leads, there is the bias. */
static void deal_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct transpose *t = context;
    const struct phase *p = t->phase;
    const int64_t *whole = t->call->node->shape.dim, tall = p->conv.shape.dim[1], wide = p->conv.shape.dim[2];
    const int64_t O = whole[3], row = task / tall * whole[1] + task % tall * p->step + p->row;
    const float *bias = t->call->in[2];
    float *y = (float *)t->call->out + (row * whole[2] + p->column) * O;
    for (int64_t c = 0; c < wide; c++, y += p->step * O) {
        if (t->y)
            memcpy(y, t->y + (task * wide + c) * O, (size_t)O * sizeof *y);
        else
            for (int64_t o = 0; o < O; o++) y[o] = bias ? bias[o] : 0;
    }
}

void product_transpose_run(const struct cpu_call *call, const struct product_core *core)
{
    const struct node *node = call->node;
    const int64_t stride = node->as.gemm.conv.stride;
    const struct needs needs = measure(node, pool_threads(call->pool), core);
    float *w = call->work, *y = w + needs.w, *rest = y + needs.y;
    for (int64_t i = 0; i < stride * stride; i++) {
        struct phase p = describe(node, i);
        const int64_t rows = p.conv.shape.dim[0] * p.conv.shape.dim[1];
        struct transpose t = {.call = call, .phase = &p, .w = w};
        if (shape_count(p.conv.shape) == 0) continue;
        if (shape_count(p.w.shape) > 0) {
            pool_run(call->pool, turn_task, &t, (p.w.shape.dim[0] + TURN_COLUMNS - 1) / TURN_COLUMNS);
            p.conv.input[1] = &p.w;
            struct cpu_call part = {.node = &p.conv, .work = rest, .pool = call->pool, .err = call->err};
            part.in[0] = call->in[0];
            part.in[1] = w;
            part.in[2] = call->in[2];
            part.out = t.y = stride > 1 ? y : call->out;
            product_run(&part, core);
        }
        if (stride > 1 || !t.y) pool_run(call->pool, deal_task, &t, rows);
    }
}
