/* SPDX-License-Identifier: MIT */
#include "core/nn/losses.h"

#include "core/tensor/gradient.h"

static struct node *reduce_all(struct graph *g, enum reduce kind, struct node *x)
{
    return graph_reshape(g, graph_reduce(g, kind, x, (1u << x->shape.rank) - 1), SHAPE(1));
}

struct node *nn_mean(struct graph *g, struct node *x)
{
    return reduce_all(g, REDUCE_MEAN, x);
}

struct node *nn_squared_error(struct graph *g, struct node *a, struct node *b, struct node *weight)
{
    struct node *apart = graph_binary(g, BINARY_SUB, a, b), *square = graph_mul(g, apart, apart);
    return nn_mean(g, weight ? graph_mul(g, square, weight) : square);
}

struct node *nn_binary_cross_entropy(struct graph *g, struct node *logits, float target)
{
    struct node *loss = graph_unary(g, logits, UNARY_SOFTPLUS);
    if (target != 0) loss = graph_binary(g, BINARY_SUB, loss, graph_scale(g, logits, target, 0));
    return nn_mean(g, loss);
}

struct node *nn_hinge(struct graph *g, struct node *scores, bool real)
{
    return nn_mean(g, graph_unary(g, graph_scale(g, scores, real ? -1 : 1, 1), UNARY_RELU));
}

struct node *nn_matching_error(struct graph *g, struct node *logits, int axis)
{
    const int64_t N = shape_dim(logits->shape, 0);
    if (g->error.status != STATUS_OK) return &g->nil;
    if (logits->shape.rank != 2 || logits->shape.dim[1] != N || axis < 0 || axis > 1)
        return graph_fail(g, STATUS_ARGUMENT, "a matching error over axis %d of %lld x %lld", axis, (long long)N,
                          (long long)shape_dim(logits->shape, 1));
    float *values = arena_alloc(&g->arena, (size_t)(N * N) * sizeof *values);
    if (!values)
        return graph_fail(g, STATUS_NO_MEMORY, "no memory for %lld x %lld matches", (long long)N, (long long)N);
    for (int64_t i = 0; i < N; i++) values[i * N + i] = 1 / (float)N;
    /* Of both terms the row's maximum is taken off first, or they would lose their digits to it. */
    struct node *below = graph_binary(g, BINARY_SUB, logits, graph_reduce(g, REDUCE_MAX, logits, 1u << axis));
    struct node *own = reduce_all(g, REDUCE_SUM, graph_mul(g, below, graph_constant(g, logits->shape, values)));
    struct node *total = graph_reduce(g, REDUCE_SUM, graph_unary(g, below, UNARY_EXP), 1u << axis);
    return graph_binary(g, BINARY_SUB, nn_mean(g, graph_unary(g, total, UNARY_LOG)), own);
}

struct node *nn_gradient_penalty(struct graph *g, struct node *scores, struct node *pictures)
{
    struct node *slope = NULL;
    graph_grad(g, reduce_all(g, REDUCE_SUM, scores), &pictures, 1, &slope);
    struct node *square = graph_mul(g, slope, slope);
    square = graph_reduce(g, REDUCE_SUM, square, ((1u << square->shape.rank) - 1) & ~1u);
    /* A slope of exactly 0 has a norm, but that has no slope: hence the little more. */
    struct node *norm = graph_unary(g, graph_scale(g, square, 1, 1e-12f), UNARY_SQRT);
    struct node *apart = graph_scale(g, norm, 1, -1);
    return nn_mean(g, graph_mul(g, apart, apart));
}
