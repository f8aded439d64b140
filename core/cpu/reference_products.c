/* SPDX-License-Identifier: MIT
 *
 * Reference kernels: linear, matmul, attention, embedding.
 */
#include "core/cpu/reference.h"

#include <math.h>

const float *reference_row(const struct node *weight, const void *values, int64_t first, int64_t n, float *row)
{
    if (weight->dtype == DTYPE_F32) return (const float *)values + first;
    dtype_to_f32(row, values, weight->dtype, (size_t)first, (size_t)n);
    return row;
}

const float *reference_residual(const struct cpu_call *call, int64_t row)
{
    const struct node *residual = call->node->input[3];
    if (!residual) return NULL;
    const int64_t width = shape_dim(residual->shape, -1);
    const int64_t rows = shape_rows(call->node->shape), stored = shape_rows(residual->shape);
    return (const float *)call->in[3] + row / (rows / stored) * width;
}

/* Scratch of products: one row of the weight, as f32, for each thread. Rows begin at multiples of 64 bytes. */
static int64_t row_pitch(const struct node *weight)
{
    return (shape_dim(weight->shape, -1) + 15) / 16 * 16;
}

/* y[m, n] = act(sum_k x[m, k] w[n, k] + bias[n]) + residual[m, n].  x [M, K], w [N, K], y [M, N]; a task is an n. */
static void linear_column(void *context, int64_t n, int worker)
{
    const struct cpu_call *call = context;
    const struct node *node = call->node, *weight = node->input[1];
    const int64_t M = shape_rows(node->shape), N = shape_dim(node->shape, -1), K = weight->shape.dim[1];
    const float *x = call->in[0], *bias = call->in[2];
    const float *w = reference_row(weight, call->in[1], n * K, K, (float *)call->work + worker * row_pitch(weight));
    float *y = call->out;
    for (int64_t m = 0; m < M; m++) {
        float sum = 0;
        for (int64_t k = 0; k < K; k++) sum += x[m * K + k] * w[k];
        const float *residual = reference_residual(call, m);
        const float value = reference_unary(node->as.gemm.act, sum + (bias ? bias[n] : 0), 0);
        y[m * N + n] = value + (residual ? residual[n] : 0);
    }
}

static void linear(const struct cpu_call *call)
{
    pool_run(call->pool, linear_column, (void *)call, shape_dim(call->node->shape, -1));
}

static size_t linear_work(const struct node *node, int threads)
{
    return (size_t)threads * (size_t)row_pitch(node->input[1]) * sizeof(float);
}

/* y[m, n] = sum_k a[m, k] b[k, n] for each of the leading dimensions' matrices; a task is a row m of one of them. */
static void matmul_row(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const struct node *node = call->node;
    const bool ta = node->as.matmul.transpose_a, tb = node->as.matmul.transpose_b;
    const int64_t M = shape_dim(node->shape, -2), N = shape_dim(node->shape, -1);
    const int64_t K = shape_dim(node->input[0]->shape, ta ? -2 : -1);
    const int64_t matrix = task / M, m = task % M;
    const float *a = (const float *)call->in[0] + matrix * M * K;
    const float *b = (const float *)call->in[1] + matrix * K * N;
    float *y = (float *)call->out + task * N;
    for (int64_t n = 0; n < N; n++) {
        float sum = 0;
        for (int64_t k = 0; k < K; k++) sum += a[ta ? k * M + m : m * K + k] * b[tb ? n * K + k : k * N + n];
        y[n] = sum;
    }
}

static void matmul(const struct cpu_call *call)
{
    pool_run(call->pool, matmul_row, (void *)call, shape_rows(call->node->shape));
}

/* One query of one head against S keys, in one pass: a running maximum m and sum l, and an output that is rescaled when
 * the maximum grows (Milakov and Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022, arXiv 2205.14135). Rows of k and v
 * are `pitch` apart. */
static void attend(float *y, const float *q, const float *k, const float *v, int64_t S, int64_t D, int64_t pitch,
                   float scale)
{
    float m = -INFINITY;
    double l = 0;
    for (int64_t d = 0; d < D; d++) y[d] = 0;
    for (int64_t s = 0; s < S; s++, k += pitch, v += pitch) {
        float score = 0;
        for (int64_t d = 0; d < D; d++) score += q[d] * k[d];
        score *= scale;
        if (score > m) {
            const float shrink = expf(m - score);
            for (int64_t d = 0; d < D; d++) y[d] *= shrink;
            l *= (double)shrink;
            m = score;
        }
        const float weight = expf(score - m);
        for (int64_t d = 0; d < D; d++) y[d] += weight * v[d];
        l += (double)weight;
    }
    for (int64_t d = 0; d < D; d++) y[d] = (float)((double)y[d] / l);
}

/* q [B, T, D], k and v [B, S, D]; a task is one b, t with all its heads. */
static void attention_row(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const struct node *node = call->node;
    const int64_t T = node->shape.dim[1], D = node->shape.dim[2], S = node->input[1]->shape.dim[1];
    const int64_t head = D / node->as.attention.heads, b = task / T, t = task % T;
    const int64_t seen = node->as.attention.causal && t + 1 < S ? t + 1 : S;
    const float *q = (const float *)call->in[0] + task * D;
    const float *k = (const float *)call->in[1] + b * S * D;
    const float *v = (const float *)call->in[2] + b * S * D;
    float *y = (float *)call->out + task * D;
    for (int64_t at = 0; at < D; at += head)
        attend(y + at, q + at, k + at, v + at, seen, head, D, node->as.attention.scale);
}

static void attention(const struct cpu_call *call)
{
    pool_run(call->pool, attention_row, (void *)call, shape_rows(call->node->shape));
}

/* y[i] = table[ids[i]]; a task is an i. */
static void embedding_row(void *context, int64_t i, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const struct node *table = call->node->input[1];
    const int64_t D = table->shape.dim[1], id = ((const int32_t *)call->in[0])[i];
    float *y = (float *)call->out + i * D;
    const float *row = reference_row(table, call->in[1], id * D, D, y);
    for (int64_t d = 0; d < D && row != y; d++) y[d] = row[d];
}

static void embedding(const struct cpu_call *call)
{
    const int64_t count = shape_count(call->node->input[0]->shape), rows = call->node->input[1]->shape.dim[0];
    const int32_t *ids = call->in[0];
    for (int64_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= rows) {
            fail(call->err, STATUS_ARGUMENT, "id %d at place %lld is not in the embedding's table of %lld rows", ids[i],
                 (long long)i, (long long)rows);
            return;
        }
    pool_run(call->pool, embedding_row, (void *)call, count);
}

void reference_products(struct cpu_kernels *table)
{
    table->slot[OP_LINEAR] = (struct cpu_slot){linear, linear_work};
    table->slot[OP_MATMUL] = (struct cpu_slot){matmul, NULL};
    table->slot[OP_ATTENTION] = (struct cpu_slot){attention, NULL};
    table->slot[OP_EMBEDDING] = (struct cpu_slot){embedding, NULL};
}
