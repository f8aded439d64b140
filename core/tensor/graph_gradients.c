/* SPDX-License-Identifier: MIT
 *
 * Builders of the operations that gradients add to the closed set: what they refuse, and the shapes they give.
 */
#include "core/tensor/build.h"

#include <math.h>

struct node *graph_broadcast(struct graph *g, struct node *x, struct shape shape)
{
    struct node *const in[] = {x};
    char text[SHAPE_TEXT_BYTES];
    if (!build_ready(g, OP_BROADCAST, in, 1)) return &g->nil;
    bool fits = x->shape.rank == shape.rank;
    for (int i = 0; i < shape.rank && fits; i++) fits = x->shape.dim[i] == 1 || x->shape.dim[i] == shape.dim[i];
    if (!fits)
        return build_refuse(g, OP_BROADCAST, "%s cannot become %s; dimensions must be equal or 1", build_text(g, x),
                            shape_text(shape, text));
    return build_node(g, OP_BROADCAST, shape, in, 1);
}

struct node *graph_pad(struct graph *g, struct node *x, int axis, int64_t start, int64_t length)
{
    struct node *const in[] = {x};
    if (!build_ready(g, OP_PAD, in, 1)) return &g->nil;
    if (axis < 0 || axis >= x->shape.rank)
        return build_refuse(g, OP_PAD, "axis %d is not one of %s; 0 to %d are", axis, build_text(g, x),
                            x->shape.rank - 1);
    if (start < 0 || length < x->shape.dim[axis] || start > length - x->shape.dim[axis])
        return build_refuse(g, OP_PAD, "axis %d of %s cannot lie from %lld on in %lld", axis, build_text(g, x),
                            (long long)start, (long long)length);
    struct shape shape = x->shape;
    shape.dim[axis] = length;
    struct node *node = build_node(g, OP_PAD, shape, in, 1);
    if (node == &g->nil) return node;
    node->as.slice.axis = axis;
    node->as.slice.start = start;
    return node;
}

struct node *graph_scatter(struct graph *g, struct node *ids, struct node *rows, int64_t count)
{
    struct node *const in[] = {ids, rows};
    if (!build_ready_any(g, OP_SCATTER, in, 2)) return &g->nil;
    if (ids->dtype != DTYPE_I32 || rows->dtype != DTYPE_F32)
        return build_refuse(g, OP_SCATTER, "ids hold %s and the rows %s; I32 and F32 are needed",
                            dtype_name(ids->dtype), dtype_name(rows->dtype));
    if (ids->shape.rank != 2 || rows->shape.rank != 3 || rows->shape.dim[0] != ids->shape.dim[0] ||
        rows->shape.dim[1] != ids->shape.dim[1])
        return build_refuse(g, OP_SCATTER, "ids %s and rows %s do not fit; [B, T] and [B, T, D] do", build_text(g, ids),
                            build_text(g, rows));
    return build_node(g, OP_SCATTER, SHAPE(count, rows->shape.dim[2]), in, 2);
}

struct node *graph_conv2d_weight(struct graph *g, struct node *x, struct node *dy, int64_t height, int64_t width,
                                 struct conv conv)
{
    const enum op op = OP_CONV2D_WEIGHT;
    struct node *const in[] = {x, dy};
    if (!build_ready(g, op, in, 2)) return &g->nil;
    const struct padding p = conv.pad;
    bool fits = x->shape.rank == 4 && dy->shape.rank == 4 && x->shape.dim[0] == dy->shape.dim[0] && conv.stride >= 1 &&
                height >= 1 && width >= 1;
    if (fits) {
        const int64_t tall = x->shape.dim[1] + p.top + p.bottom - height;
        const int64_t wide = x->shape.dim[2] + p.left + p.right - width;
        fits = p.top >= 0 && p.left >= 0 && tall >= 0 && wide >= 0 && tall / conv.stride + 1 == dy->shape.dim[1] &&
               wide / conv.stride + 1 == dy->shape.dim[2];
    }
    if (!fits)
        return build_refuse(g, op, "a kernel of %lld x %lld with stride %d does not lead from %s to %s",
                            (long long)height, (long long)width, conv.stride, build_text(g, x), build_text(g, dy));
    const struct shape shape = SHAPE(dy->shape.dim[3], height, width, x->shape.dim[3]);
    struct node *node = build_node(g, op, shape, in, 2);
    if (node != &g->nil) node->as.gemm.conv = conv;
    return node;
}

static bool are_alike(struct graph *g, enum op op, const struct node *x, const struct node *dy)
{
    if (!shape_equal(x->shape, dy->shape))
        build_refuse(g, op, "operands %s and %s must have one shape", build_text(g, x), build_text(g, dy));
    return g->error.status == STATUS_OK;
}

struct node *graph_norm_gradient(struct graph *g, struct node *x, struct node *dy, struct norm norm)
{
    const enum op op = OP_NORM_GRADIENT;
    struct node *const in[] = {x, dy};
    if (!build_ready(g, op, in, 2) || !are_alike(g, op, x, dy)) return &g->nil;
    const int64_t channels = shape_dim(x->shape, -1);
    if (x->shape.rank < 2 || norm.groups < 1 || channels % norm.groups != 0)
        return build_refuse(g, op, "%d groups do not divide the channels of %s", norm.groups, build_text(g, x));
    if (norm.act != UNARY_NONE || !(norm.eps > 0) || !isfinite(norm.eps))
        return build_refuse(g, op, "activation %s and epsilon %g are not allowed; none and above 0 are",
                            unary_name(norm.act), (double)norm.eps);
    struct node *node = build_node(g, op, x->shape, in, 2);
    if (node != &g->nil) node->as.norm = norm;
    return node;
}

struct node *graph_unary_gradient(struct graph *g, struct node *x, struct node *dy, enum unary kind, float alpha)
{
    const enum op op = OP_UNARY_GRADIENT;
    struct node *const in[] = {x, dy};
    if (!build_ready(g, op, in, 2) || !are_alike(g, op, x, dy)) return &g->nil;
    struct node *node = build_node(g, op, x->shape, in, 2);
    if (node == &g->nil) return node;
    node->as.unary.kind = kind;
    node->as.unary.alpha = alpha;
    return node;
}
