/* SPDX-License-Identifier: MIT
 *
 * How much arithmetic a node is: floating-point operations of its products, a multiplication and an addition counted as
 * two. Products are nearly all of a network's work; the rest counts as nothing.
 */
#ifndef TENSOR_FLOPS_H
#define TENSOR_FLOPS_H

#include "core/tensor/graph.h"

double flops_of_node(const struct node *node);

#endif
