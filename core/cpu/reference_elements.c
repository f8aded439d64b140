/* SPDX-License-Identifier: MIT
 *
 * Reference kernels: what works element by element. A task is a row of the result's last dimension.
 */
#include "core/cpu/reference.h"

#include <math.h>

static float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

float reference_unary(enum unary kind, float x, float alpha)
{
    switch (kind) {
    case UNARY_NONE: return x;
    case UNARY_SILU: return x * sigmoid(x);
    case UNARY_GELU: return 0.5f * x * (1 + erff(x * 0.70710678f));
    case UNARY_GELU_TANH: return 0.5f * x * (1 + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    case UNARY_QUICK_GELU: return x * sigmoid(1.702f * x);
    case UNARY_RELU: return x < 0 ? 0 : x; /* NaN stays NaN */
    case UNARY_LEAKY_RELU: return x > 0 ? x : alpha * x;
    case UNARY_TANH: return tanhf(x);
    case UNARY_SIGMOID: return sigmoid(x);
    case UNARY_EXP: return expf(x);
    case UNARY_LOG: return logf(x);
    case UNARY_SQRT: return sqrtf(x);
    case UNARY_SOFTPLUS: return (x > 0 ? x : 0) + log1pf(expf(-fabsf(x)));
    case UNARY_STEP: return x > 0 ? 1 : 0;
    case UNARY_COUNT: break;
    }
    return x;
}

static void unary_row(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const int64_t n = shape_dim(call->node->shape, -1);
    const float *x = (const float *)call->in[0] + task * n;
    float *y = (float *)call->out + task * n;
    for (int64_t i = 0; i < n; i++) y[i] = reference_unary(call->node->as.unary.kind, x[i], call->node->as.unary.alpha);
}

static void unary(const struct cpu_call *call)
{
    pool_run(call->pool, unary_row, (void *)call, shape_rows(call->node->shape));
}

/* y = factor x + offset. */
static void scale_row(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const int64_t n = shape_dim(call->node->shape, -1);
    const float *x = (const float *)call->in[0] + task * n;
    float *y = (float *)call->out + task * n;
    for (int64_t i = 0; i < n; i++) y[i] = call->node->as.scale.factor * x[i] + call->node->as.scale.offset;
}

static void scale(const struct cpu_call *call)
{
    pool_run(call->pool, scale_row, (void *)call, shape_rows(call->node->shape));
}

static float combine(enum binary kind, float a, float b)
{
    switch (kind) {
    case BINARY_ADD: return a + b;
    case BINARY_SUB: return a - b;
    case BINARY_MUL: return a * b;
    case BINARY_DIV: return a / b;
    }
    return 0;
}

const float *reference_broadcast(struct shape result, struct shape operand, const float *values, int64_t row)
{
    int64_t at = 0, pitch = operand.dim[operand.rank - 1];
    for (int i = result.rank - 2; i >= 0; i--) {
        at += operand.dim[i] == 1 ? 0 : row % result.dim[i] * pitch;
        row /= result.dim[i];
        pitch *= operand.dim[i];
    }
    return values + at;
}

static void binary_row(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const struct node *node = call->node;
    const int64_t n = shape_dim(node->shape, -1);
    const float *a = reference_broadcast(node->shape, node->input[0]->shape, call->in[0], task);
    const float *b = reference_broadcast(node->shape, node->input[1]->shape, call->in[1], task);
    const int64_t a_step = shape_dim(node->input[0]->shape, -1) != 1;
    const int64_t b_step = shape_dim(node->input[1]->shape, -1) != 1;
    float *y = (float *)call->out + task * n;
    for (int64_t i = 0; i < n; i++) y[i] = combine(node->as.binary, a[i * a_step], b[i * b_step]);
}

static void binary(const struct cpu_call *call)
{
    pool_run(call->pool, binary_row, (void *)call, shape_rows(call->node->shape));
}

/* y = x[0..D) * gelu(x[D..2D)). */
static void geglu_row(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const int64_t D = shape_dim(call->node->shape, -1);
    const float *x = (const float *)call->in[0] + task * 2 * D;
    float *y = (float *)call->out + task * D;
    for (int64_t i = 0; i < D; i++) y[i] = x[i] * reference_unary(UNARY_GELU, x[D + i], 0);
}

static void geglu(const struct cpu_call *call)
{
    pool_run(call->pool, geglu_row, (void *)call, shape_rows(call->node->shape));
}

void reference_elements(struct cpu_kernels *table)
{
    table->slot[OP_UNARY] = (struct cpu_slot){unary, NULL};
    table->slot[OP_SCALE] = (struct cpu_slot){scale, NULL};
    table->slot[OP_BINARY] = (struct cpu_slot){binary, NULL};
    table->slot[OP_GEGLU] = (struct cpu_slot){geglu, NULL};
}
