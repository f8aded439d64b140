/* SPDX-License-Identifier: MIT
 *
 * A plan says where every value of a graph lies in one buffer, and so what a run costs in memory before it runs.
 *
 *   1. fuse: activations and residuals move into the product that makes their operand; SiLU into its norm.
 *   2. order: nodes that no output needs are dropped; the rest keeps the order of building.
 *   3. place: each value lives from the step that makes it to the last that reads it. Reshapes share their operand's
 *      bytes; element-wise steps may write over a dying operand. Values are placed greedily, longest first.
 */
#ifndef TENSOR_PLAN_H
#define TENSOR_PLAN_H

#include "core/tensor/backend.h"
#include "core/tensor/graph.h"

struct plan_step {
    const struct node *node;
    size_t offset; /* of the result in the arena */
    size_t work;   /* scratch bytes at plan->work_offset */
};

struct plan {
    const struct graph *graph; /* borrowed */
    struct plan_step *steps;   /* owned; inputs and constants first */
    int count;
    size_t *offsets;      /* owned; by node index; SIZE_MAX for parameters and dropped nodes */
    size_t work_offset;   /* the scratch region, as large as the hungriest step needs */
    size_t bytes;         /* of the whole arena: values and scratch */
};

/* Fails with the graph's own sticky error, or if the backend does not support a node (named in the sentence).
 * Fusion rewrites the graph's nodes: a graph is planned once. */
MUST_CHECK enum status plan_create(struct plan **out, struct graph *graph, struct backend *backend,
                                   struct error *err);
void plan_destroy(struct plan *plan);

#endif
