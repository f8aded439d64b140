/* SPDX-License-Identifier: MIT
 *
 * Losses: what training makes small. Each returns one number, [1], and is built of plain operations, so graph_grad
 * knows its gradient.
 */
#ifndef NN_LOSSES_H
#define NN_LOSSES_H

#include "core/tensor/graph.h"

struct node *nn_mean(struct graph *g, struct node *x);

/* Mean of weight (a - b)^2. The weight is broadcast, say [B, 1, 1, 1] for one a picture; NULL: 1. */
struct node *nn_squared_error(struct graph *g, struct node *a, struct node *b, struct node *weight);

/* Mean of -target log s - (1 - target) log(1 - s) with s the sigmoid of the logits, as torch's
 * binary_cross_entropy_with_logits. */
struct node *nn_binary_cross_entropy(struct graph *g, struct node *logits, float target);

/* A critic's hinge: mean of max(0, 1 - x) for real pictures, max(0, 1 + x) for made ones (Lim and Ye 2017,
 * arXiv 1705.02894). */
struct node *nn_hinge(struct graph *g, struct node *scores, bool real);

/* Mean over rows (axis 1) or columns (axis 0) of logits [N, N] of -log softmax of the diagonal's element: how badly
 * each is matched with its own (Radford et al. 2021, arXiv 2103.00020). */
struct node *nn_matching_error(struct graph *g, struct node *logits, int axis);

/* Mean over pictures of (|d score / d picture| - 1)^2, where picture b's score is among `scores` [B, ...] (Gulrajani et
 * al. 2017, arXiv 1704.00028). Its own gradient is of second order. */
struct node *nn_gradient_penalty(struct graph *g, struct node *scores, struct node *pictures);

#endif
