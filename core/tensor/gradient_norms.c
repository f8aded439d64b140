/* SPDX-License-Identifier: MIT
 *
 * Gradients of norms and of softmax.
 */
#include "core/tensor/gradient_rules.h"

/* y = u weight + bias, where u is x normalised in the groups of `norm`; layer norm is one group to a row. */
static void give_norm(struct chain *c, struct node *y, struct node *dy, struct shape shape, struct norm norm)
{
    struct graph *g = c->g;
    struct node *x = graph_reshape(g, y->input[0], shape), *weight = y->input[1], *bias = y->input[2];
    dy = graph_reshape(g, dy, shape);
    if (chain_wanted(c, weight)) {
        struct node *u = y->op == OP_LAYER_NORM ? graph_layer_norm(g, x, NULL, NULL, norm.eps)
                                                : graph_group_norm(g, x, NULL, NULL, norm);
        chain_give(c, weight, gradient_of_vector(g, graph_mul(g, dy, u)));
    }
    if (chain_wanted(c, bias)) chain_give(c, bias, gradient_of_vector(g, dy));
    if (!chain_wanted(c, y->input[0])) return;
    if (weight) dy = graph_mul(g, dy, gradient_as_row(g, weight, shape.rank));
    chain_give(c, y->input[0], graph_reshape(g, graph_norm_gradient(g, x, dy, norm), y->shape));
}

void gradient_group_norm(struct chain *c, struct node *y, struct node *dy)
{
    struct norm norm = y->as.norm;
    const enum unary act = norm.act;
    norm.act = UNARY_NONE;
    if (act != UNARY_NONE) {
        struct node *before = graph_group_norm(c->g, y->input[0], y->input[1], y->input[2], norm);
        dy = graph_unary_gradient(c->g, before, dy, act, 0);
    }
    give_norm(c, y, dy, y->shape, norm);
}

void gradient_layer_norm(struct chain *c, struct node *y, struct node *dy)
{
    const struct norm norm = {.groups = 1, .eps = y->as.norm.eps};
    give_norm(c, y, dy, SHAPE(shape_rows(y->shape), shape_dim(y->shape, -1)), norm);
}

/* y = (x - mean) weight / s + bias with s = sqrt(variance + eps), all given: the norm of a trained network. In training
 * a batch is normalised by its own statistics, which is a group norm (core/nn/layers.h). */
void gradient_batch_norm(struct chain *c, struct node *y, struct node *dy)
{
    struct graph *g = c->g;
    struct node *x = y->input[0], *weight = y->input[1], *mean = y->input[3], *variance = y->input[4];
    const int rank = y->shape.rank;
    struct node *s = graph_unary(g, graph_scale(g, variance, 1, y->as.norm.eps), UNARY_SQRT);
    struct node *gain = graph_binary(g, BINARY_DIV, weight, s);
    if (chain_wanted(c, x)) chain_give(c, x, graph_mul(g, dy, gradient_as_row(g, gain, rank)));
    struct node *sum = gradient_of_vector(g, dy);
    chain_give(c, y->input[2], sum);
    chain_give(c, mean, graph_scale(g, graph_mul(g, sum, gain), -1, 0));
    if (!chain_wanted(c, weight) && !chain_wanted(c, variance)) return;
    struct node *apart = graph_binary(g, BINARY_SUB, x, gradient_as_row(g, mean, rank));
    struct node *by_gain = graph_binary(g, BINARY_DIV, gradient_of_vector(g, graph_mul(g, dy, apart)), s);
    chain_give(c, weight, by_gain);
    struct node *by_variance = graph_binary(g, BINARY_DIV, graph_mul(g, by_gain, gain), s);
    chain_give(c, variance, graph_scale(g, by_variance, -0.5f, 0));
}

/* The kernel's formula (core/cpu/reference_gradients.c) in plain operations, on [B, pixels, groups, width]. */
void gradient_norm_gradient(struct chain *c, struct node *y, struct node *dy)
{
    struct graph *g = c->g;
    const unsigned over = 1u << 1 | 1u << 3;
    const int64_t B = y->shape.dim[0], C = shape_dim(y->shape, -1), groups = y->as.norm.groups;
    const struct shape split = SHAPE(B, shape_rows(y->shape) / B, groups, C / groups);
    const int first = g->count;
    struct node *x = graph_reshape(g, y->input[0], split), *d = graph_reshape(g, y->input[1], split);
    struct node *apart = graph_binary(g, BINARY_SUB, x, graph_reduce(g, REDUCE_MEAN, x, over));
    struct node *variance = graph_reduce(g, REDUCE_MEAN, graph_mul(g, apart, apart), over);
    struct node *s = graph_unary(g, graph_scale(g, variance, 1, y->as.norm.eps), UNARY_SQRT);
    struct node *u = graph_binary(g, BINARY_DIV, apart, s);
    struct node *along = graph_mul(g, u, graph_reduce(g, REDUCE_MEAN, graph_mul(g, d, u), over));
    struct node *centred = graph_binary(g, BINARY_SUB, d, graph_reduce(g, REDUCE_MEAN, d, over));
    struct node *dx = graph_binary(g, BINARY_DIV, graph_binary(g, BINARY_SUB, centred, along), s);
    chain_through(c, y, dy, graph_reshape(g, dx, y->shape), first);
}

/* dx = y (dy - sum(dy y)). */
void gradient_softmax(struct chain *c, struct node *y, struct node *dy)
{
    struct node *inner = graph_reduce(c->g, REDUCE_SUM, graph_mul(c->g, dy, y), 1u << y->as.axis);
    chain_give(c, y->input[0], graph_mul(c->g, y, graph_binary(c->g, BINARY_SUB, dy, inner)));
}
