/* SPDX-License-Identifier: MIT
 *
 * Gradients of products. Convolution, its transpose and its weight's gradient are three readings of one trilinear form,
 *
 *     sum over b, r, c, o, ky, kx, i of  dy[b, r, c, o]  w[o, ky, kx, i]  x[b, r s - top + ky, c s - left + kx, i],
 *
 * so each one's gradients are the other two.
 */
#include "core/tensor/gradient_rules.h"

static struct shape matrix_of(const struct node *node)
{
    return SHAPE(shape_rows(node->shape), shape_dim(node->shape, -1));
}

/* y = x w^T + bias. */
void gradient_linear(struct chain *c, struct node *y, struct node *dy)
{
    struct node *x = y->input[0], *w = y->input[1], *bias = y->input[2];
    struct node *rows = graph_reshape(c->g, dy, matrix_of(dy));
    if (chain_wanted(c, x)) chain_give(c, x, graph_reshape(c->g, graph_matmul(c->g, rows, w, false, false), x->shape));
    if (chain_wanted(c, w))
        chain_give(c, w, graph_matmul(c->g, rows, graph_reshape(c->g, x, matrix_of(x)), true, false));
    if (chain_wanted(c, bias)) chain_give(c, bias, gradient_of_vector(c->g, dy));
}

/* y = a b: da = dy b^T and db = a^T dy. A transposed operand's gradient is transposed. */
void gradient_matmul(struct chain *c, struct node *y, struct node *dy)
{
    struct node *a = y->input[0], *b = y->input[1];
    const bool ta = y->as.matmul.transpose_a, tb = y->as.matmul.transpose_b;
    if (chain_wanted(c, a))
        chain_give(c, a, ta ? graph_matmul(c->g, b, dy, tb, true) : graph_matmul(c->g, dy, b, false, !tb));
    if (chain_wanted(c, b))
        chain_give(c, b, tb ? graph_matmul(c->g, dy, a, true, ta) : graph_matmul(c->g, a, dy, !ta, false));
}

/* conv2d_transpose(dy, w) with just the padding that gives `picture`'s size. Rows that no patch reached get zeros. */
static struct node *spread_back(struct chain *c, struct node *dy, struct node *w, struct conv conv,
                                const struct node *picture)
{
    const int64_t tall = (shape_dim(dy->shape, 1) - 1) * conv.stride + shape_dim(w->shape, 1);
    const int64_t wide = (shape_dim(dy->shape, 2) - 1) * conv.stride + shape_dim(w->shape, 2);
    conv.pad.bottom = (int)(tall - conv.pad.top - picture->shape.dim[1]);
    conv.pad.right = (int)(wide - conv.pad.left - picture->shape.dim[2]);
    return graph_conv2d_transpose(c->g, dy, w, NULL, conv);
}

void gradient_conv2d(struct chain *c, struct node *y, struct node *dy)
{
    struct node *x = y->input[0], *w = y->input[1], *bias = y->input[2];
    const struct conv conv = y->as.gemm.conv;
    if (chain_wanted(c, x)) chain_give(c, x, spread_back(c, dy, w, conv, x));
    if (chain_wanted(c, w)) chain_give(c, w, graph_conv2d_weight(c->g, x, dy, w->shape.dim[1], w->shape.dim[2], conv));
    if (chain_wanted(c, bias)) chain_give(c, bias, gradient_of_vector(c->g, dy));
}

/* What the transpose added at the bottom and on the right came from nowhere, so convolution leaves it out. */
static struct conv without_added(struct conv conv)
{
    if (conv.pad.bottom < 0) conv.pad.bottom = 0;
    if (conv.pad.right < 0) conv.pad.right = 0;
    return conv;
}

void gradient_conv2d_transpose(struct chain *c, struct node *y, struct node *dy)
{
    struct node *x = y->input[0], *w = y->input[1], *bias = y->input[2];
    const struct conv conv = without_added(y->as.gemm.conv);
    if (chain_wanted(c, x)) chain_give(c, x, graph_conv2d(c->g, dy, w, NULL, conv));
    if (chain_wanted(c, w)) chain_give(c, w, graph_conv2d_weight(c->g, dy, x, w->shape.dim[1], w->shape.dim[2], conv));
    if (chain_wanted(c, bias)) chain_give(c, bias, gradient_of_vector(c->g, dy));
}

/* y is a weight's gradient, dy therefore takes a weight's place. */
void gradient_conv2d_weight(struct chain *c, struct node *y, struct node *dy)
{
    struct node *x = y->input[0], *rows = y->input[1];
    const struct conv conv = y->as.gemm.conv;
    if (chain_wanted(c, x)) chain_give(c, x, spread_back(c, rows, dy, conv, x));
    if (chain_wanted(c, rows)) chain_give(c, rows, graph_conv2d(c->g, x, dy, NULL, conv));
}

/* [B, T, heads d] -> [B, heads, T, d], and back. */
static struct node *split_heads(struct graph *g, struct node *x, int heads)
{
    const int64_t B = shape_dim(x->shape, 0), T = shape_dim(x->shape, 1), D = shape_dim(x->shape, 2);
    return graph_permute(g, graph_reshape(g, x, SHAPE(B, T, heads, D / heads)), (const int[]){0, 2, 1, 3});
}

static struct node *join_heads(struct graph *g, struct node *x, struct shape shape)
{
    return graph_reshape(g, graph_permute(g, x, (const int[]){0, 2, 1, 3}), shape);
}

/* Where token t must not see token s, so low a score that its weight is exactly 0; not minus infinity, which would make
 * NaN of every difference with itself. */
static struct node *hide_later(struct graph *g, struct node *scores)
{
    const int64_t T = shape_dim(scores->shape, 2), S = shape_dim(scores->shape, 3);
    float *values = arena_alloc(&g->arena, (size_t)(T * S) * sizeof *values);
    if (!values)
        return graph_fail(g, STATUS_NO_MEMORY, "gradient: no memory for a mask of %lld x %lld", (long long)T,
                          (long long)S);
    for (int64_t i = 0; i < T * S; i++) values[i] = i % S > i / S ? -1e30f : 0;
    return graph_add(g, scores, graph_constant(g, SHAPE(1, 1, T, S), values));
}

/* y = p v with p = softmax(q k^T scale), for each head. p is made again; it lives only while this runs.
 * dv = p^T dy, dp = dy v^T, ds = p (dp - sum(dp p)), dq = ds k scale, dk = ds^T q scale. */
void gradient_attention(struct chain *c, struct node *y, struct node *dy)
{
    struct graph *g = c->g;
    const struct attention a = y->as.attention;
    struct node *q = split_heads(g, graph_scale(g, y->input[0], a.scale, 0), a.heads);
    struct node *k = split_heads(g, y->input[1], a.heads), *v = split_heads(g, y->input[2], a.heads);
    struct node *scores = graph_matmul(g, q, k, false, true);
    if (a.causal && g->error.status == STATUS_OK) scores = hide_later(g, scores);
    struct node *p = graph_softmax(g, scores, 3);
    dy = split_heads(g, dy, a.heads);
    const struct shape keys = y->input[1]->shape;
    chain_give(c, y->input[2], join_heads(g, graph_matmul(g, p, dy, true, false), keys));
    if (!chain_wanted(c, y->input[0]) && !chain_wanted(c, y->input[1])) return;
    struct node *dp = graph_matmul(g, dy, v, false, true);
    struct node *inner = graph_reduce(g, REDUCE_SUM, graph_mul(g, dp, p), 1u << 3);
    struct node *ds = graph_mul(g, p, graph_binary(g, BINARY_SUB, dp, inner));
    chain_give(c, y->input[1], join_heads(g, graph_matmul(g, ds, q, true, false), keys));
    struct node *dq = join_heads(g, graph_matmul(g, ds, k, false, false), y->shape);
    chain_give(c, y->input[0], graph_scale(g, dq, a.scale, 0));
}
