/* SPDX-License-Identifier: MIT
 *
 * Every operation of the closed set once more, in double and in the plainest loops: what kernels are measured against.
 * It shares no code with them.
 */
#ifndef SUPPORT_NAIVE_H
#define SUPPORT_NAIVE_H

#include "core/tensor/graph.h"

/* in[i]: the values of node->input[i] as doubles (ids too), NULL where that is missing. */
void naive_node(const struct node *node, const double *const in[], double *out);

#endif
