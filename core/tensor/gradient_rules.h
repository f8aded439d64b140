/* SPDX-License-Identifier: MIT
 *
 * What the chain rule knows of each operation; for the files gradient*.c only. A rule takes a node y and the gradient
 * dy of y, and gives each operand its share:
 *
 *     void gradient_scale(struct chain *c, struct node *y, struct node *dy)
 *     {
 *         chain_give(c, y->input[0], graph_scale(c->g, dy, y->as.scale.factor, 0));
 *     }
 *
 * Shares of operands that nobody asked for are dropped by chain_give; where building one costs more than a node that
 * planning drops again, the rule asks chain_wanted first.
 */
#ifndef TENSOR_GRADIENT_RULES_H
#define TENSOR_GRADIENT_RULES_H

#include "core/tensor/gradient.h"

struct chain {
    struct graph *g;
    bool *wanted;                /* by node index: it leads to a node whose gradient was asked for */
    struct node **gradient;      /* by node index: the sum of the shares given so far, NULL for none */
    int count;                   /* of both arrays: the nodes that were there when the chain began */
    struct recompute *recompute; /* NULL: every value of the forward pass is kept */
};

typedef void gradient_rule(struct chain *c, struct node *y, struct node *dy);

bool chain_wanted(const struct chain *c, const struct node *operand); /* false for NULL */
void chain_give(struct chain *c, struct node *operand, struct node *share);

/* For operations whose gradient has no shorter form: `formula` is y again, built from plain operations on y's operands,
 * and its nodes begin at index `first`. The operands' shares are the gradients of the formula. */
void chain_through(struct chain *c, const struct node *y, struct node *dy, struct node *formula, int first);

bool gradient_is_leaf(const struct node *node);

/* ---- computing the forward pass again (gradient_recompute.c) ---- */
/* For the graph's first `count` nodes in that many pieces. NULL, and a graph that failed, if there is no memory; freed
 * by memory_free. */
struct recompute *recompute_create(struct graph *g, int count, int pieces);
/* What rules shall see of node i; called for each i from the last down. Builds a piece again when it is reached. */
struct node *recompute_view(struct recompute *r, struct graph *g, int i);
struct node *recompute_original(const struct recompute *r, struct node *node);

/* dy summed over the dimensions in which `shape` is 1. */
struct node *gradient_sum_to(struct graph *g, struct node *dy, struct shape shape);
/* dy summed over all but the last dimension, as a vector. */
struct node *gradient_of_vector(struct graph *g, struct node *dy);
/* A vector [C] as [1, .., 1, C], to be combined with what has `rank` dimensions. */
struct node *gradient_as_row(struct graph *g, struct node *vector, int rank);

gradient_rule gradient_linear, gradient_matmul, gradient_conv2d, gradient_conv2d_transpose, gradient_conv2d_weight,
    gradient_attention;
gradient_rule gradient_group_norm, gradient_layer_norm, gradient_batch_norm, gradient_norm_gradient, gradient_softmax;
gradient_rule gradient_unary, gradient_unary_gradient, gradient_binary, gradient_scale, gradient_geglu;
gradient_rule gradient_embedding, gradient_scatter, gradient_upsample, gradient_average_pool, gradient_concat,
    gradient_slice, gradient_pad, gradient_reshape, gradient_permute, gradient_reduce, gradient_broadcast;

#endif
