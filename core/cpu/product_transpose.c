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
 * A transpose to few channels goes another way (product_spread.c), as does one of a single pixel, which is a product of
 * matrices.
 *
 * No zeros are multiplied and no sums collide. A phase's result is dealt out as it is computed; with stride 1 there is
 * one phase, and its result is the result.
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
    float *w;
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

static bool is_empty(const struct phase *p)
{
    return shape_count(p->w.shape) == 0 || shape_count(p->conv.shape) == 0;
}

/* The convolution is one for the rival. */
static bool is_rivals(const struct phase *p, const struct product_rival *rival)
{
    struct node conv = p->conv, w = p->w;
    conv.input[1] = &w;
    return p->step == 1 && rival && rival->suits(&conv);
}

/* The phase's weight is to be turned: the rival wants it so, or the core cannot read it as it is. */
static bool is_turned(const struct phase *p, const struct node *weight, const struct product_core *core,
                      const struct product_rival *rival)
{
    return is_rivals(p, rival) || !core->pack_columns || dtype_block(weight->dtype) > 1;
}

/* One pixel is spread over the whole result: rows of a matrix, [B, I] times [I, kh kw O]. */
static bool is_matrix(const struct node *node, const struct product_core *core)
{
    const struct shape x = node->input[0]->shape, w = node->input[1]->shape;
    return core->pack_columns && dtype_block(node->input[1]->dtype) == 1 && x.dim[1] == 1 && x.dim[2] == 1 &&
           node->shape.dim[1] == w.dim[1] && node->shape.dim[2] == w.dim[2] && node->as.gemm.conv.pad.top == 0 &&
           node->as.gemm.conv.pad.left == 0 && !node->input[2];
}

struct matrices {
    struct node product, x, w;
};

static void describe_matrices(struct matrices *m, const struct node *node)
{
    const int64_t B = node->shape.dim[0], I = node->input[1]->shape.dim[0], N = shape_count(node->shape) / B;
    m->x = (struct node){.op = OP_CONSTANT, .dtype = DTYPE_F32, .shape = SHAPE(B, I)};
    m->w = (struct node){.op = OP_CONSTANT, .dtype = node->input[1]->dtype, .shape = SHAPE(I, N)};
    m->product = (struct node){.op = OP_MATMUL, .inputs = 2, .shape = SHAPE(B, N), .input = {&m->x, &m->w}};
}

struct needs {
    int64_t w; /* floats */
    size_t product;
};

static struct needs measure(const struct node *node, int threads, const struct product_core *core,
                            const struct product_rival *rival)
{
    const int64_t stride = node->as.gemm.conv.stride;
    struct needs most = {0};
    for (int64_t i = 0; i < stride * stride; i++) {
        struct phase p = describe(node, i);
        p.conv.input[1] = &p.w;
        if (is_empty(&p)) continue;
        if (is_turned(&p, node->input[1], core, rival)) most.w = largest(most.w, round_to_line(shape_count(p.w.shape)));
        const bool rivals = is_rivals(&p, rival);
        const size_t work = rivals ? rival->slot.work(&p.conv, threads) : product_work(&p.conv, threads, core);
        if (work > most.product) most.product = work;
    }
    return most;
}

size_t product_transpose_work(const struct node *node, int threads, const struct product_core *core,
                              const struct product_rival *rival)
{
    if (is_matrix(node, core)) {
        struct matrices m;
        describe_matrices(&m, node);
        return product_work(&m.product, threads, core);
    }
    if (product_spread_suits(node, core)) return product_spread_work(node, threads, core);
    const struct needs needs = measure(node, threads, core, rival);
    return (size_t)needs.w * sizeof(float) + needs.product;
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

/* Row `task` of a phase's result, where no kernel row leads: there is the bias. */
static void fill_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct transpose *t = context;
    const struct phase *p = t->phase;
    const int64_t *whole = t->call->node->shape.dim, tall = p->conv.shape.dim[1], wide = p->conv.shape.dim[2];
    const int64_t O = whole[3], row = task / tall * whole[1] + task % tall * p->step + p->row;
    const float *bias = t->call->in[2];
    float *y = (float *)t->call->out + (row * whole[2] + p->column) * O;
    for (int64_t c = 0; c < wide; c++, y += p->step * O)
        for (int64_t o = 0; o < O; o++) y[o] = bias ? bias[o] : 0;
}

/* The phase's convolution, to its own pixels of the result. */
static void convolve(const struct transpose *t, const struct product_core *core, const struct product_rival *rival,
                     void *scratch)
{
    const struct phase *p = t->phase;
    const struct node *node = t->call->node;
    const int64_t *whole = node->shape.dim, line = whole[2] * whole[3];
    struct cpu_call part = *t->call;
    part.node = &p->conv;
    part.work = scratch;
    const bool turned = is_turned(p, node->input[1], core, rival);
    if (turned) {
        pool_run(part.pool, turn_task, (void *)t, (p->w.shape.dim[0] + TURN_COLUMNS - 1) / TURN_COLUMNS);
        part.in[1] = t->w;
    }
    if (is_rivals(p, rival)) {
        rival->slot.run(&part);
        return;
    }
    part.out = (float *)part.out + p->row * line + p->column * whole[3];
    product_run_phase(&part, core,
                      &(struct product_phase){.pixel_pitch = p->step * whole[3],
                                              .line_pitch = p->step * line,
                                              .image_pitch = whole[1] * line,
                                              .weight = turned ? NULL : node->input[1],
                                              .first_ky = p->first_ky,
                                              .first_kx = p->first_kx,
                                              .step = p->step});
}

void product_transpose_run(const struct cpu_call *call, const struct product_core *core,
                           const struct product_rival *rival)
{
    const struct node *node = call->node;
    const int64_t stride = node->as.gemm.conv.stride;
    if (is_matrix(node, core)) {
        struct matrices m;
        struct cpu_call product = *call;
        describe_matrices(&m, node);
        product.node = &m.product;
        product_run(&product, core);
        return;
    }
    if (product_spread_suits(node, core)) {
        product_spread_run(call, core);
        return;
    }
    const struct needs needs = measure(node, pool_threads(call->pool), core, rival);
    float *w = call->work, *rest = w + needs.w;
    for (int64_t i = 0; i < stride * stride; i++) {
        struct phase p = describe(node, i);
        const struct transpose t = {.call = call, .phase = &p, .w = w};
        p.conv.input[1] = &p.w;
        if (is_empty(&p))
            pool_run(call->pool, fill_task, (void *)&t, p.conv.shape.dim[0] * p.conv.shape.dim[1]);
        else
            convolve(&t, core, rival, rest);
    }
}
