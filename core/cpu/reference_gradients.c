/* SPDX-License-Identifier: MIT
 *
 * Reference kernels: the operations that gradients add to the closed set.
 */
#include "core/cpu/reference.h"

#include <math.h>
#include <string.h>

/* dw[o, ky, kx, i] = sum over b, r, c of dy[b, r, c, o] x[b, r s - top + ky, c s - left + kx, i]; a task is an o. */
static void conv2d_weight_row(void *context, int64_t o, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const struct conv conv = call->node->as.gemm.conv;
    const int64_t *kernel = call->node->shape.dim, *in = call->node->input[0]->shape.dim;
    const int64_t *result = call->node->input[1]->shape.dim;
    const int64_t H = in[1], W = in[2], I = in[3], tall = result[1], wide = result[2], O = result[3];
    float *dw = (float *)call->out + o * kernel[1] * kernel[2] * I;
    memset(dw, 0, (size_t)(kernel[1] * kernel[2] * I) * sizeof *dw);
    for (int64_t row = 0; row < in[0] * tall; row++)
        for (int64_t ky = 0; ky < kernel[1]; ky++) {
            const int64_t h = row % tall * conv.stride - conv.pad.top + ky;
            if (h < 0 || h >= H) continue;
            const float *line = (const float *)call->in[0] + (row / tall * H + h) * W * I;
            const float *dy = (const float *)call->in[1] + row * wide * O + o;
            for (int64_t c = 0; c < wide; c++)
                for (int64_t kx = 0; kx < kernel[2]; kx++) {
                    const int64_t v = c * conv.stride - conv.pad.left + kx;
                    if (v < 0 || v >= W) continue;
                    float *to = dw + (ky * kernel[2] + kx) * I;
                    for (int64_t i = 0; i < I; i++) to[i] += dy[c * O] * line[v * I + i];
                }
        }
}

static void conv2d_weight(const struct cpu_call *call)
{
    pool_run(call->pool, conv2d_weight_row, (void *)call, call->node->shape.dim[0]);
}

/* With u = (x - mean) / s and s = sqrt(variance + eps), over one group of one picture:
 * dx = (dy - mean(dy) - u mean(dy u)) / s  (Ioffe and Szegedy 2015, arXiv 1502.03167, section 3). A task is a group. */
static void norm_gradient_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const struct node *node = call->node;
    const int64_t B = node->shape.dim[0], C = shape_dim(node->shape, -1), groups = node->as.norm.groups;
    const int64_t pixels = shape_rows(node->shape) / B, width = C / groups, n = pixels * width;
    const int64_t at = task / groups * pixels * C + task % groups * width;
    const float *x = (const float *)call->in[0] + at, *dy = (const float *)call->in[1] + at;
    float *dx = (float *)call->out + at;
    double mean = 0, variance = 0, mean_dy = 0, mean_dyu = 0;
    for (int64_t i = 0; i < n; i++) mean += (double)x[i / width * C + i % width] / (double)n;
    for (int64_t i = 0; i < n; i++) {
        const double apart = (double)x[i / width * C + i % width] - mean, d = (double)dy[i / width * C + i % width];
        variance += apart * apart / (double)n;
        mean_dy += d / (double)n;
        mean_dyu += d * apart / (double)n;
    }
    const double inverse = 1 / sqrt(variance + (double)node->as.norm.eps);
    mean_dyu *= inverse;
    for (int64_t i = 0; i < n; i++) {
        const int64_t place = i / width * C + i % width;
        const double u = ((double)x[place] - mean) * inverse;
        dx[place] = (float)(((double)dy[place] - mean_dy - u * mean_dyu) * inverse);
    }
}

static void norm_gradient(const struct cpu_call *call)
{
    pool_run(call->pool, norm_gradient_task, (void *)call, call->node->shape.dim[0] * call->node->as.norm.groups);
}

/* The slope of an activation at x. */
static float slope(enum unary kind, float x, float alpha)
{
    const float s = 1 / (1 + expf(-x)), q = 1 / (1 + expf(-1.702f * x));
    const float cube = 0.79788456f * (x + 0.044715f * x * x * x), t = tanhf(kind == UNARY_GELU_TANH ? cube : x);
    switch (kind) {
    case UNARY_NONE: return 1;
    case UNARY_SILU: return s * (1 + x * (1 - s));
    case UNARY_GELU: return 0.5f * erfcf(x * -0.70710678f) + x * 0.39894228f * expf(-0.5f * x * x);
    case UNARY_GELU_TANH: return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * 0.79788456f * (1 + 0.134145f * x * x);
    case UNARY_QUICK_GELU: return q * (1 + 1.702f * x * (1 - q));
    case UNARY_RELU: return x > 0 ? 1 : 0;
    case UNARY_LEAKY_RELU: return x > 0 ? 1 : alpha;
    case UNARY_TANH: return 1 - t * t;
    case UNARY_SIGMOID: return s * (1 - s);
    case UNARY_EXP: return expf(x);
    case UNARY_LOG: return 1 / x;
    case UNARY_SQRT: return 0.5f / sqrtf(x);
    case UNARY_SOFTPLUS: return s;
    case UNARY_STEP:
    case UNARY_COUNT: break;
    }
    return 0;
}

/* dx = dy f'(x). */
static void unary_gradient_row(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const struct node *node = call->node;
    const int64_t n = shape_dim(node->shape, -1);
    const float *x = (const float *)call->in[0] + task * n, *dy = (const float *)call->in[1] + task * n;
    float *dx = (float *)call->out + task * n;
    for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * slope(node->as.unary.kind, x[i], node->as.unary.alpha);
}

static void unary_gradient(const struct cpu_call *call)
{
    pool_run(call->pool, unary_gradient_row, (void *)call, shape_rows(call->node->shape));
}

/* y[ids[i]] += rows[i]. A task owns a range of y's rows and takes the ids in order, so sums do not depend on threads.
 */
enum { SCATTER_TASKS = 64 };

static void scatter_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const int64_t V = call->node->shape.dim[0], D = call->node->shape.dim[1];
    const int64_t from = V * task / SCATTER_TASKS, to = V * (task + 1) / SCATTER_TASKS;
    const int64_t count = shape_count(call->node->input[0]->shape);
    const int32_t *ids = call->in[0];
    float *y = call->out;
    memset(y + from * D, 0, (size_t)((to - from) * D) * sizeof *y);
    for (int64_t i = 0; i < count; i++) {
        if (ids[i] < from || ids[i] >= to) continue;
        const float *row = (const float *)call->in[1] + i * D;
        for (int64_t d = 0; d < D; d++) y[ids[i] * D + d] += row[d];
    }
}

static void scatter(const struct cpu_call *call)
{
    const int64_t count = shape_count(call->node->input[0]->shape), rows = call->node->shape.dim[0];
    const int32_t *ids = call->in[0];
    for (int64_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= rows) {
            fail(call->err, STATUS_ARGUMENT, "id %d at place %lld is not in the %lld rows that are scattered to",
                 ids[i], (long long)i, (long long)rows);
            return;
        }
    pool_run(call->pool, scatter_task, (void *)call, SCATTER_TASKS);
}

/* y = zeros, x's run, zeros, for each place of the dimensions before the axis; a task is such a place. */
static void pad_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const struct node *node = call->node;
    const int axis = node->as.slice.axis;
    int64_t inner = 1;
    for (int i = axis + 1; i < node->shape.rank; i++) inner *= node->shape.dim[i];
    const int64_t n = node->input[0]->shape.dim[axis] * inner, all = node->shape.dim[axis] * inner;
    const int64_t before = node->as.slice.start * inner;
    float *y = (float *)call->out + task * all;
    memset(y, 0, (size_t)before * sizeof *y);
    memcpy(y + before, (const float *)call->in[0] + task * n, (size_t)n * sizeof *y);
    memset(y + before + n, 0, (size_t)(all - before - n) * sizeof *y);
}

static void pad(const struct cpu_call *call)
{
    int64_t tasks = 1;
    for (int i = 0; i < call->node->as.slice.axis; i++) tasks *= call->node->shape.dim[i];
    pool_run(call->pool, pad_task, (void *)call, tasks);
}

/* y = x, with x's dimensions of 1 repeated. */
static void broadcast_row(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const struct shape from = call->node->input[0]->shape;
    const int64_t n = shape_dim(call->node->shape, -1);
    const float *x = reference_broadcast(call->node->shape, from, call->in[0], task);
    float *y = (float *)call->out + task * n;
    const int64_t step = shape_dim(from, -1) != 1;
    for (int64_t i = 0; i < n; i++) y[i] = x[i * step];
}

static void broadcast(const struct cpu_call *call)
{
    pool_run(call->pool, broadcast_row, (void *)call, shape_rows(call->node->shape));
}

void reference_gradients(struct cpu_kernels *table)
{
    table->slot[OP_CONV2D_WEIGHT] = (struct cpu_slot){conv2d_weight, NULL};
    table->slot[OP_NORM_GRADIENT] = (struct cpu_slot){norm_gradient, NULL};
    table->slot[OP_UNARY_GRADIENT] = (struct cpu_slot){unary_gradient, NULL};
    table->slot[OP_SCATTER] = (struct cpu_slot){scatter, NULL};
    table->slot[OP_PAD] = (struct cpu_slot){pad, NULL};
    table->slot[OP_BROADCAST] = (struct cpu_slot){broadcast, NULL};
}
