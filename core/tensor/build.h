/* SPDX-License-Identifier: MIT
 *
 * What the builders of operations share; for the files graph_*.c only. A builder reads
 *
 *     struct node *const in[] = {x, w, bias};
 *     if (!build_ready(g, OP_LINEAR, in, 3)) return &g->nil;          operands are there, are ours, are F32
 *     if (...) return build_refuse(g, OP_LINEAR, "...", ...);         shapes fit
 *     return build_node(g, OP_LINEAR, shape, in, 3);
 */
#ifndef TENSOR_BUILD_H
#define TENSOR_BUILD_H

#include "core/tensor/graph.h"

/* False once the graph has failed, or when an operand fails these checks (which then sticks). */
bool build_ready(struct graph *g, enum op op, struct node *const in[], int count);

/* The same without the check of types: for operations that also move ids. */
bool build_ready_any(struct graph *g, enum op op, struct node *const in[], int count);

/* A new node with those operands (trailing NULLs are dropped); refuses a result beyond shape_valid. */
struct node *build_node(struct graph *g, enum op op, struct shape shape, struct node *const in[], int count);

/* graph_fail with the operation's name in front. */
struct node *build_refuse(struct graph *g, enum op op, const char *format, ...) PRINTF_LIKE(3, 4);

/* "[2, 64]" in the graph's arena, for sentences. */
const char *build_text(struct graph *g, const struct node *node);

#endif
