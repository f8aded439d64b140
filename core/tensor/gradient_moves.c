/* SPDX-License-Identifier: MIT
 *
 * Gradients of what moves, repeats or sums elements: what was moved goes back, what was repeated is summed, and what
 * was summed is repeated.
 */
#include "core/tensor/gradient_rules.h"

void gradient_embedding(struct chain *c, struct node *y, struct node *dy)
{
    struct node *table = y->input[1];
    chain_give(c, table, graph_scatter(c->g, y->input[0], dy, table->shape.dim[0]));
}

void gradient_scatter(struct chain *c, struct node *y, struct node *dy)
{
    chain_give(c, y->input[1], graph_embedding(c->g, y->input[0], dy));
}

void gradient_upsample(struct chain *c, struct node *y, struct node *dy)
{
    const int factor = y->as.upsample;
    struct node *mean = graph_average_pool(c->g, dy, factor, factor);
    chain_give(c, y->input[0], graph_scale(c->g, mean, (float)(factor * factor), 0));
}

/* Each channel is a picture of its own that was convolved with a constant weight; where windows neither overlap nor
 * leave anything out, that is upsampling. */
void gradient_average_pool(struct chain *c, struct node *y, struct node *dy)
{
    enum { MOST_KERNEL = 64 };
    struct graph *g = c->g;
    struct node *x = y->input[0];
    const int kernel = y->as.pool.kernel, stride = y->as.pool.stride;
    const float share = 1.0f / (float)(kernel * kernel);
    const int64_t B = x->shape.dim[0], H = x->shape.dim[1], W = x->shape.dim[2], C = x->shape.dim[3];
    const int64_t h = y->shape.dim[1], w = y->shape.dim[2];
    if (kernel == stride && h * kernel == H && w * kernel == W) {
        chain_give(c, x, graph_scale(g, graph_upsample(g, dy, kernel), share, 0));
        return;
    }
    if (kernel > MOST_KERNEL) {
        graph_fail(g, STATUS_UNSUPPORTED, "gradient: an average_pool with a kernel of %d; up to %d is supported",
                   kernel, MOST_KERNEL);
        return;
    }
    float window[MOST_KERNEL * MOST_KERNEL];
    for (int i = 0; i < kernel * kernel; i++) window[i] = share;
    struct node *planes = graph_reshape(g, graph_permute(g, dy, (const int[]){0, 3, 1, 2}), SHAPE(B * C, h, w, 1));
    struct node *weight = graph_constant(g, SHAPE(1, kernel, kernel, 1), window);
    /* Rows that no window reaches, fewer than a stride, are added back as zeros. */
    const struct conv conv = {
        .stride = stride,
        .pad = {.bottom = (int)((h - 1) * stride + kernel - H), .right = (int)((w - 1) * stride + kernel - W)}};
    struct node *spread = graph_conv2d_transpose(g, planes, weight, NULL, conv);
    spread = graph_permute(g, graph_reshape(g, spread, SHAPE(B, C, H, W)), (const int[]){0, 2, 3, 1});
    chain_give(c, x, spread);
}

void gradient_concat(struct chain *c, struct node *y, struct node *dy)
{
    const int axis = y->as.axis;
    int64_t start = 0;
    for (int i = 0; i < 2; i++) {
        const int64_t length = y->input[i]->shape.dim[axis];
        chain_give(c, y->input[i], graph_slice(c->g, dy, axis, start, length));
        start += length;
    }
}

void gradient_slice(struct chain *c, struct node *y, struct node *dy)
{
    const int axis = y->as.slice.axis;
    chain_give(c, y->input[0], graph_pad(c->g, dy, axis, y->as.slice.start, y->input[0]->shape.dim[axis]));
}

void gradient_pad(struct chain *c, struct node *y, struct node *dy)
{
    const int axis = y->as.slice.axis;
    chain_give(c, y->input[0], graph_slice(c->g, dy, axis, y->as.slice.start, y->input[0]->shape.dim[axis]));
}

void gradient_reshape(struct chain *c, struct node *y, struct node *dy)
{
    chain_give(c, y->input[0], graph_reshape(c->g, dy, y->input[0]->shape));
}

void gradient_permute(struct chain *c, struct node *y, struct node *dy)
{
    int back[SHAPE_MAX_RANK] = {0};
    for (int i = 0; i < y->shape.rank; i++) back[y->as.permute[i]] = i;
    chain_give(c, y->input[0], graph_permute(c->g, dy, back));
}

/* A maximum passes its gradient to the elements that reach it, in equal parts. */
static struct node *share_of_maximum(struct graph *g, struct node *x, struct node *y, struct node *dy, unsigned axes)
{
    struct node *below = graph_unary(g, graph_binary(g, BINARY_SUB, y, x), UNARY_STEP);
    struct node *reached = graph_scale(g, below, -1, 1);
    return graph_mul(g, reached, graph_binary(g, BINARY_DIV, dy, graph_reduce(g, REDUCE_SUM, reached, axes)));
}

void gradient_reduce(struct chain *c, struct node *y, struct node *dy)
{
    struct graph *g = c->g;
    struct node *x = y->input[0];
    const float count = (float)(shape_count(x->shape) / shape_count(y->shape));
    switch (y->as.reduce.kind) {
    case REDUCE_MEAN: dy = graph_scale(g, dy, 1 / count, 0); break;
    case REDUCE_SUM: break;
    case REDUCE_MAX: chain_give(c, x, share_of_maximum(g, x, y, dy, y->as.reduce.axes)); return;
    }
    chain_give(c, x, shape_equal(dy->shape, x->shape) ? dy : graph_broadcast(g, dy, x->shape));
}

void gradient_broadcast(struct chain *c, struct node *y, struct node *dy)
{
    chain_give(c, y->input[0], gradient_sum_to(c->g, dy, y->input[0]->shape));
}
