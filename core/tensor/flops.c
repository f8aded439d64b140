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

static double stored(const struct node *node, double values)
{
    return values * (double)dtype_bytes(node->dtype, dtype_block(node->dtype)) / (double)dtype_block(node->dtype);
}

static bool seen_before(const struct node *node, int i)
{
    for (int k = 0; k < i; k++)
        if (node->input[k] == node->input[i]) return true;
    return false;
}

double bytes_of_node(const struct node *node)
{
    double bytes = stored(node, count(node));
    for (int i = 0; i < node->inputs; i++) {
        const struct node *in = node->input[i];
        if (!in || seen_before(node, i)) continue;
        bytes += stored(in, node->op == OP_EMBEDDING && i == 1 ? count(node) : count(in));
    }
    return bytes;
}
