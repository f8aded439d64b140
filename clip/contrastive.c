/* SPDX-License-Identifier: MIT */
#include "clip/contrastive.h"

#include "core/nn/losses.h"

struct node *contrastive_direction(struct graph *g, struct node *features)
{
    const float least = 1e-24f; /* far below any feature; it keeps the quotient, and its gradient, finite at zero */
    struct node *square = graph_reduce(g, REDUCE_SUM, graph_mul(g, features, features), 1u << 1);
    return graph_binary(g, BINARY_DIV, features, graph_unary(g, graph_scale(g, square, 1, least), UNARY_SQRT));
}

struct node *contrastive_cosines(struct graph *g, struct node *pictures, struct node *texts)
{
    return graph_matmul(g, pictures, texts, false, true);
}

struct node *contrastive_logits(struct graph *g, struct node *cosines)
{
    struct node *scale = graph_reshape(g, graph_param(g, "logit_scale", PARAM_PLAIN, SHAPE(1)), SHAPE(1, 1));
    return graph_mul(g, cosines, graph_unary(g, scale, UNARY_EXP));
}

struct node *contrastive_loss(struct graph *g, struct node *logits)
{
    struct node *sum = graph_add(g, nn_matching_error(g, logits, 1), nn_matching_error(g, logits, 0));
    return graph_scale(g, sum, 0.5f, 0);
}
