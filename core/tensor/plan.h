/* SPDX-License-Identifier: MIT
 *
 * A plan says where every value of a graph lies in one buffer, and so what a run costs in memory before it runs.
 *
 *   1. fuse: activations and residuals move into the product that makes their operand; SiLU into its norm.
 *   2. order: nodes that no output needs are dropped; the rest keeps the order of building.
 *   3. place: each value lives from the step that makes it to the last that reads it. Reshapes share their operand's
 *      bytes; some steps write over a dying operand (plan_overwrites). Values are placed greedily, largest first.
 *      Inputs and constants keep their bytes, so they are written once and serve many runs.
 */
#ifndef TENSOR_PLAN_H
#define TENSOR_PLAN_H

#include "core/tensor/backend.h"
#include "core/tensor/graph.h"

struct plan_step {
    const struct node *node;
    size_t offset;      /* of the result in the arena */
    size_t work_offset; /* of the step's scratch */
    size_t work;        /* scratch bytes */
};

struct plan {
    const struct graph *graph; /* borrowed */
    struct plan_step *steps;   /* owned; what has to run: no leaves, no reshapes that share their operand's bytes */
    int count;
    size_t *offsets; /* owned; by node index; SIZE_MAX for parameters and dropped nodes */
    size_t bytes;    /* of the whole arena: values and scratch */
};

/* Fails with the graph's own sticky error, or if the backend does not support a node (named in the sentence).
 * Fusion rewrites the graph's nodes: a graph is planned once. */
MUST_CHECK enum status plan_create(struct plan **out, struct graph *graph, struct backend *backend, struct error *err);
void plan_destroy(struct plan *plan);

/* The first step alone; plan_create calls it. */
MUST_CHECK enum status plan_fuse(struct graph *graph, struct error *err);

/* True if a backend's kernel for the node must work when the result is the very bytes of input `i`: unary, scale, norms
 * and softmax over their operand, their gradients over either, binary over an operand of the result's shape, products
 * over their residual. */
bool plan_overwrites(const struct node *node, int i);

/* Marks, by node index, the nodes that the graph's outputs need. */
void plan_mark_needed(const struct graph *graph, bool *needed);

#endif
