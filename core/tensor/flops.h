/* SPDX-License-Identifier: MIT
 *
 * How much work a node is. Arithmetic: floating-point operations of its products, a multiplication and an addition
 * counted as two. Products are nearly all of a network's arithmetic; the rest counts as nothing.
 */
#ifndef TENSOR_FLOPS_H
#define TENSOR_FLOPS_H

#include "core/tensor/graph.h"

double flops_of_node(const struct node *node);

/* How many bytes it must at least move: its operands and its result, each once, as they lie in memory. Of an
 * embedding's table that is the rows that are asked for. */
double bytes_of_node(const struct node *node);

#endif
