/* SPDX-License-Identifier: MIT
 *
 * Reference kernels: convolution, its transpose, nearest-neighbour upsampling and average pooling. Pictures are NHWC;
 * a task is one row of one result picture.
 */
#include "core/cpu/reference.h"

static int64_t round_to_line(int64_t floats)
{
    return (floats + 15) / 16 * 16;
}

/* One patch against one filter: sum over ky, kx, i of x[top + ky, left + kx, i] w[ky, kx, i], zeros outside. */
static float correlate(const float *x, const float *w, const struct node *node, int64_t top, int64_t left)
{
    const int64_t *in = node->input[0]->shape.dim, *kernel = node->input[1]->shape.dim;
    const int64_t H = in[1], W = in[2], I = in[3];
    float sum = 0;
    for (int64_t ky = 0; ky < kernel[1]; ky++)
        for (int64_t kx = 0; kx < kernel[2]; kx++, w += I) {
            const int64_t row = top + ky, column = left + kx;
            if (row < 0 || row >= H || column < 0 || column >= W) continue;
            const float *pixel = x + (row * W + column) * I;
            for (int64_t i = 0; i < I; i++) sum += pixel[i] * w[i];
        }
    return sum;
}

static int64_t filter_size(const struct node *node)
{
    return shape_count(node->input[1]->shape) / node->input[1]->shape.dim[0];
}

/* y[b, r, c, o] = act(sum x[b, r s - top + ky, c s - left + kx, i] w[o, ky, kx, i] + bias[o]) + residual. */
static void conv2d_row(void *context, int64_t task, int worker)
{
    const struct cpu_call *call = context;
    const struct node *node = call->node, *weight = node->input[1];
    const struct conv conv = node->as.gemm.conv;
    const int64_t tall = node->shape.dim[1], wide = node->shape.dim[2], O = node->shape.dim[3];
    const int64_t b = task / tall, r = task % tall, size = filter_size(node);
    const float *x = (const float *)call->in[0] + b * shape_count(node->input[0]->shape) / node->shape.dim[0];
    const float *bias = call->in[2];
    float *y = (float *)call->out + task * wide * O;
    float *scratch = (float *)call->work + worker * round_to_line(size);
    for (int64_t o = 0; o < O; o++) {
        const float *w = reference_row(weight, call->in[1], o * size, size, scratch);
        for (int64_t c = 0; c < wide; c++) {
            const float sum = correlate(x, w, node, r * conv.stride - conv.pad.top, c * conv.stride - conv.pad.left);
            const float *residual = reference_residual(call, task * wide + c);
            const float value = reference_unary(node->as.gemm.act, sum + (bias ? bias[o] : 0), 0);
            y[c * O + o] = value + (residual ? residual[o] : 0);
        }
    }
}

static void conv2d(const struct cpu_call *call)
{
    pool_run(call->pool, conv2d_row, (void *)call, call->node->shape.dim[0] * call->node->shape.dim[1]);
}

static size_t conv2d_work(const struct node *node, int threads)
{
    return (size_t)threads * (size_t)round_to_line(filter_size(node)) * sizeof(float);
}

/* Adds one weight row w[i, ky, kx, :] to the pixels of result row y that it reaches from input row x. */
static void spread(float *y, const float *x, const float *w, const struct node *node, int64_t i, int64_t kx)
{
    const int64_t W = node->input[0]->shape.dim[2], I = node->input[0]->shape.dim[3];
    const int64_t wide = node->shape.dim[2], O = node->shape.dim[3];
    for (int64_t column = 0; column < W; column++) {
        const int64_t c = column * node->as.gemm.conv.stride + kx - node->as.gemm.conv.pad.left;
        if (c < 0 || c >= wide) continue;
        for (int64_t o = 0; o < O; o++) y[c * O + o] += x[column * I + i] * w[o];
    }
}

/* y[b, r, c, o] = bias[o] + sum x[b, h, v, i] w[i, ky, kx, o] over all h s + ky - top = r, v s + kx - left = c. */
static void conv2d_transpose_row(void *context, int64_t task, int worker)
{
    const struct cpu_call *call = context;
    const struct node *node = call->node, *weight = node->input[1];
    const struct conv conv = node->as.gemm.conv;
    const int64_t H = node->input[0]->shape.dim[1], I = weight->shape.dim[0], O = weight->shape.dim[3];
    const int64_t tall = node->shape.dim[1], wide = node->shape.dim[2], b = task / tall;
    const int64_t x_row = node->input[0]->shape.dim[2] * I;
    const float *x = (const float *)call->in[0] + b * H * x_row, *bias = call->in[2];
    float *y = (float *)call->out + task * wide * O;
    float *scratch = (float *)call->work + worker * round_to_line(O);
    for (int64_t at = 0; at < wide * O; at++) y[at] = bias ? bias[at % O] : 0;
    for (int64_t ky = 0; ky < weight->shape.dim[1]; ky++) {
        const int64_t up = task % tall + conv.pad.top - ky, h = up / conv.stride;
        if (up < 0 || up % conv.stride != 0 || h >= H) continue;
        for (int64_t i = 0; i < I; i++)
            for (int64_t kx = 0; kx < weight->shape.dim[2]; kx++) {
                const int64_t first = ((i * weight->shape.dim[1] + ky) * weight->shape.dim[2] + kx) * O;
                spread(y, x + h * x_row, reference_row(weight, call->in[1], first, O, scratch), node, i, kx);
            }
    }
}

static void conv2d_transpose(const struct cpu_call *call)
{
    pool_run(call->pool, conv2d_transpose_row, (void *)call, call->node->shape.dim[0] * call->node->shape.dim[1]);
}

static size_t conv2d_transpose_work(const struct node *node, int threads)
{
    return (size_t)threads * (size_t)round_to_line(node->input[1]->shape.dim[3]) * sizeof(float);
}

/* y[b, r, c] = x[b, r / factor, c / factor]. */
static void upsample_row(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const struct node *node = call->node;
    const int64_t factor = node->as.upsample, wide = node->shape.dim[2], C = node->shape.dim[3];
    const int64_t b = task / node->shape.dim[1], r = task % node->shape.dim[1];
    const int64_t H = node->input[0]->shape.dim[1], W = node->input[0]->shape.dim[2];
    const float *x = (const float *)call->in[0] + (b * H + r / factor) * W * C;
    float *y = (float *)call->out + task * wide * C;
    for (int64_t c = 0; c < wide; c++)
        for (int64_t i = 0; i < C; i++) y[c * C + i] = x[c / factor * C + i];
}

static void upsample(const struct cpu_call *call)
{
    pool_run(call->pool, upsample_row, (void *)call, call->node->shape.dim[0] * call->node->shape.dim[1]);
}

/* y[b, r, c] = mean of x[b, r s + ky, c s + kx] over ky, kx < kernel. */
static void average_pool_row(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const struct node *node = call->node;
    const int64_t kernel = node->as.pool.kernel, stride = node->as.pool.stride;
    const int64_t wide = node->shape.dim[2], C = node->shape.dim[3];
    const int64_t H = node->input[0]->shape.dim[1], W = node->input[0]->shape.dim[2];
    const int64_t b = task / node->shape.dim[1], r = task % node->shape.dim[1];
    const float *x = (const float *)call->in[0] + (b * H + r * stride) * W * C;
    float *y = (float *)call->out + task * wide * C;
    for (int64_t c = 0; c < wide; c++)
        for (int64_t i = 0; i < C; i++) {
            double sum = 0;
            for (int64_t ky = 0; ky < kernel; ky++)
                for (int64_t kx = 0; kx < kernel; kx++) sum += (double)x[(ky * W + c * stride + kx) * C + i];
            y[c * C + i] = (float)(sum / (double)(kernel * kernel));
        }
}

static void average_pool(const struct cpu_call *call)
{
    pool_run(call->pool, average_pool_row, (void *)call, call->node->shape.dim[0] * call->node->shape.dim[1]);
}

void reference_convolutions(struct cpu_kernels *table)
{
    table->slot[OP_CONV2D] = (struct cpu_slot){conv2d, conv2d_work};
    table->slot[OP_CONV2D_TRANSPOSE] = (struct cpu_slot){conv2d_transpose, conv2d_transpose_work};
    table->slot[OP_UPSAMPLE] = (struct cpu_slot){upsample, NULL};
    table->slot[OP_AVERAGE_POOL] = (struct cpu_slot){average_pool, NULL};
}
