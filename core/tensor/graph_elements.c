/* SPDX-License-Identifier: MIT
 *
 * Builders of what works element by element, and of what moves elements: what they refuse, and the shapes they give.
 */
#include "core/tensor/build.h"

#include <math.h>

struct node *graph_unary(struct graph *g, struct node *x, enum unary kind)
{
    struct node *const in[] = {x};
    if (!build_ready(g, OP_UNARY, in, 1)) return &g->nil;
    struct node *node = build_node(g, OP_UNARY, x->shape, in, 1);
    if (node == &g->nil) return node;
    node->as.unary.kind = kind;
    node->as.unary.alpha = 0.01f; /* PyTorch's slope, for those who ask for UNARY_LEAKY_RELU by its kind */
    return node;
}

struct node *graph_leaky_relu(struct graph *g, struct node *x, float slope)
{
    if (g->error.status == STATUS_OK && !isfinite(slope))
        return build_refuse(g, OP_UNARY, "the slope is not a finite number");
    struct node *node = graph_unary(g, x, UNARY_LEAKY_RELU);
    if (node != &g->nil) node->as.unary.alpha = slope;
    return node;
}

struct node *graph_binary(struct graph *g, enum binary kind, struct node *a, struct node *b)
{
    struct node *const in[] = {a, b};
    if (!build_ready(g, OP_BINARY, in, 2)) return &g->nil;
    struct shape shape = a->shape;
    bool fits = a->shape.rank == b->shape.rank;
    for (int i = 0; i < a->shape.rank && fits; i++) {
        const int64_t m = a->shape.dim[i], n = b->shape.dim[i];
        fits = m == n || m == 1 || n == 1;
        shape.dim[i] = m > n ? m : n;
    }
    if (!fits)
        return build_refuse(g, OP_BINARY, "operands %s and %s do not fit; dimensions must be equal or 1",
                            build_text(g, a), build_text(g, b));
    struct node *node = build_node(g, OP_BINARY, shape, in, 2);
    if (node != &g->nil) node->as.binary = kind;
    return node;
}

struct node *graph_add(struct graph *g, struct node *a, struct node *b)
{
    return graph_binary(g, BINARY_ADD, a, b);
}

struct node *graph_mul(struct graph *g, struct node *a, struct node *b)
{
    return graph_binary(g, BINARY_MUL, a, b);
}

struct node *graph_scale(struct graph *g, struct node *x, float factor, float offset)
{
    struct node *const in[] = {x};
    if (!build_ready(g, OP_SCALE, in, 1)) return &g->nil;
    if (!isfinite(factor) || !isfinite(offset))
        return build_refuse(g, OP_SCALE, "factor %g and offset %g must be finite", (double)factor, (double)offset);
    struct node *node = build_node(g, OP_SCALE, x->shape, in, 1);
    if (node == &g->nil) return node;
    node->as.scale.factor = factor;
    node->as.scale.offset = offset;
    return node;
}

struct node *graph_geglu(struct graph *g, struct node *x)
{
    struct node *const in[] = {x};
    if (!build_ready(g, OP_GEGLU, in, 1)) return &g->nil;
    if (shape_dim(x->shape, -1) % 2 != 0)
        return build_refuse(g, OP_GEGLU, "operand %s must have an even last dimension", build_text(g, x));
    struct shape shape = x->shape;
    shape.dim[shape.rank - 1] /= 2;
    return build_node(g, OP_GEGLU, shape, in, 1);
}

static bool check_axis(struct graph *g, enum op op, const struct node *x, int axis)
{
    if (axis < 0 || axis >= x->shape.rank)
        build_refuse(g, op, "axis %d is not one of %s; 0 to %d are", axis, build_text(g, x), x->shape.rank - 1);
    return g->error.status == STATUS_OK;
}

struct node *graph_softmax(struct graph *g, struct node *x, int axis)
{
    struct node *const in[] = {x};
    if (!build_ready(g, OP_SOFTMAX, in, 1) || !check_axis(g, OP_SOFTMAX, x, axis)) return &g->nil;
    struct node *node = build_node(g, OP_SOFTMAX, x->shape, in, 1);
    if (node != &g->nil) node->as.axis = axis;
    return node;
}

/* ---- moving ---- */

struct node *graph_embedding(struct graph *g, struct node *ids, struct node *table)
{
    struct node *const in[] = {ids, table};
    if (!build_ready_any(g, OP_EMBEDDING, in, 2)) return &g->nil;
    if (ids->dtype != DTYPE_I32 || table->dtype != DTYPE_F32)
        return build_refuse(g, OP_EMBEDDING, "ids hold %s and the table %s; I32 and F32 are needed",
                            dtype_name(ids->dtype), dtype_name(table->dtype));
    if (ids->shape.rank != 2 || table->shape.rank != 2)
        return build_refuse(g, OP_EMBEDDING, "ids %s and table %s must both have 2 dimensions", build_text(g, ids),
                            build_text(g, table));
    return build_node(g, OP_EMBEDDING, SHAPE(ids->shape.dim[0], ids->shape.dim[1], table->shape.dim[1]), in, 2);
}

static bool is_picture(struct graph *g, enum op op, const struct node *x)
{
    if (x->shape.rank != 4) build_refuse(g, op, "operand %s must have 4 dimensions", build_text(g, x));
    return g->error.status == STATUS_OK;
}

struct node *graph_upsample(struct graph *g, struct node *x, int factor)
{
    enum { MOST_FACTOR = 1024 };
    struct node *const in[] = {x};
    if (!build_ready(g, OP_UPSAMPLE, in, 1) || !is_picture(g, OP_UPSAMPLE, x)) return &g->nil;
    if (factor < 1 || factor > MOST_FACTOR)
        return build_refuse(g, OP_UPSAMPLE, "a factor of %d is not allowed; 1 to %d is", factor, MOST_FACTOR);
    struct shape shape = x->shape;
    shape.dim[1] *= factor;
    shape.dim[2] *= factor;
    struct node *node = build_node(g, OP_UPSAMPLE, shape, in, 1);
    if (node != &g->nil) node->as.upsample = factor;
    return node;
}

struct node *graph_average_pool(struct graph *g, struct node *x, int kernel, int stride)
{
    struct node *const in[] = {x};
    if (!build_ready(g, OP_AVERAGE_POOL, in, 1) || !is_picture(g, OP_AVERAGE_POOL, x)) return &g->nil;
    if (kernel < 1 || stride < 1 || kernel > x->shape.dim[1] || kernel > x->shape.dim[2])
        return build_refuse(g, OP_AVERAGE_POOL, "a kernel of %d with stride %d does not fit an operand %s", kernel,
                            stride, build_text(g, x));
    struct shape shape = x->shape;
    shape.dim[1] = (shape.dim[1] - kernel) / stride + 1;
    shape.dim[2] = (shape.dim[2] - kernel) / stride + 1;
    struct node *node = build_node(g, OP_AVERAGE_POOL, shape, in, 1);
    if (node == &g->nil) return node;
    node->as.pool.kernel = kernel;
    node->as.pool.stride = stride;
    return node;
}

struct node *graph_concat(struct graph *g, struct node *a, struct node *b, int axis)
{
    struct node *const in[] = {a, b};
    if (!build_ready(g, OP_CONCAT, in, 2) || !check_axis(g, OP_CONCAT, a, axis)) return &g->nil;
    struct shape shape = b->shape;
    if (shape.rank == a->shape.rank) shape.dim[axis] = a->shape.dim[axis];
    if (!shape_equal(shape, a->shape))
        return build_refuse(g, OP_CONCAT, "operands %s and %s differ beside axis %d", build_text(g, a),
                            build_text(g, b), axis);
    shape.dim[axis] += b->shape.dim[axis];
    struct node *node = build_node(g, OP_CONCAT, shape, in, 2);
    if (node != &g->nil) node->as.axis = axis;
    return node;
}

struct node *graph_slice(struct graph *g, struct node *x, int axis, int64_t start, int64_t length)
{
    struct node *const in[] = {x};
    if (!build_ready(g, OP_SLICE, in, 1) || !check_axis(g, OP_SLICE, x, axis)) return &g->nil;
    const int64_t extent = x->shape.dim[axis];
    if (start < 0 || length < 1 || length > extent || start > extent - length)
        return build_refuse(g, OP_SLICE, "%lld from %lld on is not inside axis %d of %s", (long long)length,
                            (long long)start, axis, build_text(g, x));
    struct shape shape = x->shape;
    shape.dim[axis] = length;
    struct node *node = build_node(g, OP_SLICE, shape, in, 1);
    if (node == &g->nil) return node;
    node->as.slice.axis = axis;
    node->as.slice.start = start;
    return node;
}

struct node *graph_reshape(struct graph *g, struct node *x, struct shape shape)
{
    struct node *const in[] = {x};
    char text[SHAPE_TEXT_BYTES];
    if (!build_ready_any(g, OP_RESHAPE, in, 1)) return &g->nil;
    if (!shape_valid(shape) || shape_count(shape) != shape_count(x->shape))
        return build_refuse(g, OP_RESHAPE, "%s cannot become %s: another number of elements", build_text(g, x),
                            shape_text(shape, text));
    struct node *node = build_node(g, OP_RESHAPE, shape, in, 1);
    if (node != &g->nil) node->dtype = x->dtype;
    return node;
}

struct node *graph_permute(struct graph *g, struct node *x, const int order[])
{
    struct node *const in[] = {x};
    if (!build_ready(g, OP_PERMUTE, in, 1)) return &g->nil;
    const int rank = x->shape.rank;
    struct shape shape = {.rank = rank};
    unsigned seen = 0;
    for (int i = 0; i < rank; i++) {
        if (order[i] < 0 || order[i] >= rank || (seen >> order[i] & 1u))
            return build_refuse(g, OP_PERMUTE, "place %d of the order is %d; each of 0 to %d must come once", i,
                                order[i], rank - 1);
        seen |= 1u << order[i];
        shape.dim[i] = x->shape.dim[order[i]];
    }
    struct node *node = build_node(g, OP_PERMUTE, shape, in, 1);
    if (node == &g->nil) return node;
    for (int i = 0; i < rank; i++) node->as.permute[i] = order[i];
    return node;
}

struct node *graph_reduce(struct graph *g, enum reduce kind, struct node *x, unsigned axes)
{
    struct node *const in[] = {x};
    if (!build_ready(g, OP_REDUCE, in, 1)) return &g->nil;
    if (axes == 0 || axes >> x->shape.rank != 0)
        return build_refuse(g, OP_REDUCE, "axes 0x%x are not those of %s", axes, build_text(g, x));
    struct shape shape = x->shape;
    for (int i = 0; i < shape.rank; i++)
        if (axes >> i & 1u) shape.dim[i] = 1;
    struct node *node = build_node(g, OP_REDUCE, shape, in, 1);
    if (node == &g->nil) return node;
    node->as.reduce.kind = kind;
    node->as.reduce.axes = axes;
    return node;
}
