/* SPDX-License-Identifier: MIT
 *
 * Gradients of a graph, as more nodes of the same graph.
 *
 *     struct node *loss = ...;                                   one element
 *     graph_grad(&g, loss, params, count, gradients);            reverse mode (Linnainmaa 1970; Baydin et al. 2018,
 *     graph_output(&g, "gradient of conv_in.weight", gradients[0]);                             arXiv 1502.05767)
 *
 * The new nodes are operations of the closed set, so a backend that runs the forward pass can train, and gradients have
 * gradients: a penalty on them is built like any other loss. Only what leads from the loss to the given nodes is
 * differentiated. It comes before planning, because fusion rewrites nodes.
 */
#ifndef TENSOR_GRADIENT_H
#define TENSOR_GRADIENT_H

#include "core/tensor/graph.h"

/* gradient[i] becomes the gradient of the loss with respect to of[i], in its shape: any F32 nodes, leaves or not. Where
 * the loss does not depend on a node, that is a node of zeros. Errors stick in the graph. */
void graph_grad(struct graph *g, struct node *loss, struct node *const of[], int count, struct node *gradient[]);

/* The same gradients in less memory: the forward pass is cut into pieces, of which only the borders are kept, and each
 * piece is computed again when the backward pass comes to it. That is up to one more forward pass of work, and memory
 * of about activations / pieces + borders; the plan knows how much before anything runs. 1 is graph_grad. */
void graph_grad_in_pieces(struct graph *g, struct node *loss, int pieces, struct node *const of[], int count,
                          struct node *gradient[]);

#endif
