/* SPDX-License-Identifier: MIT
 *
 * One node on a backend, by a plan made by hand: operands, result and scratch lie in one buffer with guards between
 * them, and all but the operands is full of NaN beforehand. Fails the test if anything but the result and the scratch
 * is changed.
 */
#ifndef SUPPORT_RUN_NODE_H
#define SUPPORT_RUN_NODE_H

#include "core/tensor/backend.h"
#include "core/tensor/graph.h"

/* in[i]: the operand's values as they are stored; `over` is the operand whose bytes the result takes, or -1. The node
 * must be the graph's last. Returns the result, freed with test_free; NULL if the backend fails, with the sentence. */
float *run_node(struct backend *backend, struct graph *g, const struct node *node, const void *const in[], int over,
                struct error *err);

#endif
