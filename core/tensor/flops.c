/* SPDX-License-Identifier: MIT */
#include "core/tensor/flops.h"

static double count(const struct node *node)
{
    return (double)shape_count(node->shape);
}

double flops_of_node(const struct node *node)
{
    const struct node *a = node->input[0], *b = node->input[1];
    switch (node->op) {
    case OP_LINEAR: return 2 * count(node) * (double)shape_dim(b->shape, -1);
    case OP_MATMUL: return 2 * count(node) * (double)shape_dim(a->shape, node->as.matmul.transpose_a ? -2 : -1);
    /* w [O, kh, kw, I]: every result is a sum over a patch of kh kw I values. */
    case OP_CONV2D: return 2 * count(node) * count(b) / (double)b->shape.dim[0];
    /* w [I, kh, kw, O]: every value of x goes into kh kw O results. */
    case OP_CONV2D_TRANSPOSE: return 2 * count(a) * count(b) / (double)b->shape.dim[0];
    /* x and dy [B, h, w, O]: every weight is a sum over all of dy's pixels. */
    case OP_CONV2D_WEIGHT: return 2 * count(node) * (double)(shape_rows(b->shape));
    /* q k^T and its product with v, T x S each; a causal one is counted whole. */
    case OP_ATTENTION: return 4 * count(node) * (double)b->shape.dim[1];
    default: return 0;
    }
}
