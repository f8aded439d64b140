/* SPDX-License-Identifier: MIT
 *
 * What CLIP compares (Radford et al. 2021, arXiv 2103.00020, figure 3): directions of features, by their cosines, which
 * a learned scale turns into logits.
 *
 *     struct node *cosines = contrastive_cosines(&graph, contrastive_direction(&graph, pictures),
 *                                                contrastive_direction(&graph, texts));
 *     struct node *logits = contrastive_logits(&graph, cosines);
 *
 *     pictures [N, D], texts [M, D]  ->  cosines, logits [N, M]
 *
 * A row's softmax says which text a picture is likest to.
 */
#ifndef CLIP_CONTRASTIVE_H
#define CLIP_CONTRASTIVE_H

#include "core/tensor/graph.h"

/* Rows of length 1. A row of zeros stays one. */
struct node *contrastive_direction(struct graph *g, struct node *features);

/* Of directions. */
struct node *contrastive_cosines(struct graph *g, struct node *pictures, struct node *texts);

/* Cosines times e^s, where s is the parameter "logit_scale". */
struct node *contrastive_logits(struct graph *g, struct node *cosines);

/* What training makes small, [1], of logits [N, N] where picture i and text i belong together: how badly each picture
 * finds its text among all, and each text its picture (figure 3 there). */
struct node *contrastive_loss(struct graph *g, struct node *logits);

#endif
