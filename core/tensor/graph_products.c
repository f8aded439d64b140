/* SPDX-License-Identifier: MIT
 *
 * Builders of products (linear, matmul, convolutions, attention) and of norms: what they refuse, and the shapes they
 * give.
 */
#include "core/tensor/build.h"

#include <assert.h>
#include <math.h>

/* Kernels and paddings beyond this are mistakes, and keep the sums below far from overflow. */
enum { MOST_STRIDE = 1 << 16 };

/* True if `vector` is missing or [width]. */
static bool is_vector(const struct node *vector, int64_t width)
{
    return !vector || (vector->shape.rank == 1 && vector->shape.dim[0] == width);
}

static struct node *refuse_vector(struct graph *g, enum op op, const char *what, const struct node *vector,
                                  int64_t width)
{
    return build_refuse(g, op, "%s is %s and must be [%lld]", what, build_text(g, vector), (long long)width);
}

static struct shape with_last(struct shape shape, int64_t last)
{
    shape.dim[shape.rank - 1] = last;
    return shape;
}

struct node *graph_linear(struct graph *g, struct node *x, struct node *w, struct node *bias)
{
    struct node *const in[] = {x, w, bias};
    if (!build_ready(g, OP_LINEAR, in, 3)) return &g->nil;
    if (w->shape.rank != 2 || w->shape.dim[1] != shape_dim(x->shape, -1))
        return build_refuse(g, OP_LINEAR, "a weight %s does not fit an operand %s; [N, %lld] does", build_text(g, w),
                            build_text(g, x), (long long)shape_dim(x->shape, -1));
    if (!is_vector(bias, w->shape.dim[0])) return refuse_vector(g, OP_LINEAR, "the bias", bias, w->shape.dim[0]);
    return build_node(g, OP_LINEAR, with_last(x->shape, w->shape.dim[0]), in, 3);
}

struct node *graph_matmul(struct graph *g, struct node *a, struct node *b, bool transpose_a, bool transpose_b)
{
    struct node *const in[] = {a, b};
    if (!build_ready(g, OP_MATMUL, in, 2)) return &g->nil;
    const int rank = a->shape.rank;
    bool fits = rank >= 2 && b->shape.rank == rank;
    for (int i = 0; i < rank - 2 && fits; i++) fits = a->shape.dim[i] == b->shape.dim[i];
    fits = fits && shape_dim(a->shape, transpose_a ? -2 : -1) == shape_dim(b->shape, transpose_b ? -1 : -2);
    if (!fits)
        return build_refuse(g, OP_MATMUL, "operands %s%s and %s%s do not fit", build_text(g, a),
                            transpose_a ? " (transposed)" : "", build_text(g, b), transpose_b ? " (transposed)" : "");
    struct shape shape = with_last(a->shape, shape_dim(b->shape, transpose_b ? -2 : -1));
    shape.dim[rank - 2] = shape_dim(a->shape, transpose_a ? -1 : -2);
    struct node *node = build_node(g, OP_MATMUL, shape, in, 2);
    if (node == &g->nil) return node;
    node->as.matmul.transpose_a = transpose_a;
    node->as.matmul.transpose_b = transpose_b;
    return node;
}

static bool check_conv(struct graph *g, enum op op, const struct conv *conv)
{
    const struct padding p = conv->pad;
    const int least = op == OP_CONV2D_TRANSPOSE ? 1 - conv->stride : 0;
    if (conv->stride < 1 || conv->stride > MOST_STRIDE)
        build_refuse(g, op, "a stride of %d is not allowed; 1 to %d is", conv->stride, MOST_STRIDE);
    else if (p.top < 0 || p.left < 0 || p.bottom < least || p.right < least || p.top > MOST_STRIDE ||
             p.left > MOST_STRIDE || p.bottom > MOST_STRIDE || p.right > MOST_STRIDE)
        build_refuse(g, op, "a padding of %d, %d, %d, %d is not allowed; each may be 0 to %d", p.top, p.left, p.bottom,
                     p.right, MOST_STRIDE);
    return g->error.status == STATUS_OK;
}

/* Both convolutions: `in_at` and `out_at` are the places of the channels in the weight's shape. */
static struct node *convolve(struct graph *g, enum op op, struct node *const in[3], struct conv conv,
                             struct shape shape, int in_at, int out_at)
{
    const struct node *x = in[0], *w = in[1];
    const int64_t width = w->shape.dim[out_at];
    if (w->shape.dim[in_at] != x->shape.dim[3])
        return build_refuse(g, op, "a weight %s does not fit an operand %s: it wants %lld channels", build_text(g, w),
                            build_text(g, x), (long long)w->shape.dim[in_at]);
    if (!is_vector(in[2], width)) return refuse_vector(g, op, "the bias", in[2], width);
    if (shape.dim[1] < 1 || shape.dim[2] < 1)
        return build_refuse(g, op, "a weight %s with stride %d leaves nothing of an operand %s", build_text(g, w),
                            conv.stride, build_text(g, x));
    shape.rank = 4;
    shape.dim[0] = x->shape.dim[0];
    shape.dim[3] = width;
    struct node *node = build_node(g, op, shape, in, 3);
    if (node != &g->nil) node->as.gemm.conv = conv;
    return node;
}

static bool are_pictures(struct graph *g, enum op op, const struct node *x, const struct node *w)
{
    if (x->shape.rank != 4 || w->shape.rank != 4)
        build_refuse(g, op, "operand %s and weight %s must both have 4 dimensions", build_text(g, x), build_text(g, w));
    return g->error.status == STATUS_OK;
}

struct node *graph_conv2d(struct graph *g, struct node *x, struct node *w, struct node *bias, struct conv conv)
{
    struct node *const in[] = {x, w, bias};
    if (!build_ready(g, OP_CONV2D, in, 3) || !are_pictures(g, OP_CONV2D, x, w) || !check_conv(g, OP_CONV2D, &conv))
        return &g->nil;
    const int64_t tall = x->shape.dim[1] + conv.pad.top + conv.pad.bottom - w->shape.dim[1];
    const int64_t wide = x->shape.dim[2] + conv.pad.left + conv.pad.right - w->shape.dim[2];
    struct shape shape = {0};
    shape.dim[1] = tall < 0 ? 0 : tall / conv.stride + 1;
    shape.dim[2] = wide < 0 ? 0 : wide / conv.stride + 1;
    return convolve(g, OP_CONV2D, in, conv, shape, 3, 0);
}

struct node *graph_conv2d_transpose(struct graph *g, struct node *x, struct node *w, struct node *bias,
                                    struct conv conv)
{
    const enum op op = OP_CONV2D_TRANSPOSE;
    struct node *const in[] = {x, w, bias};
    if (!build_ready(g, op, in, 3) || !are_pictures(g, op, x, w) || !check_conv(g, op, &conv)) return &g->nil;
    struct shape shape = {0};
    shape.dim[1] = (x->shape.dim[1] - 1) * conv.stride + w->shape.dim[1] - conv.pad.top - conv.pad.bottom;
    shape.dim[2] = (x->shape.dim[2] - 1) * conv.stride + w->shape.dim[2] - conv.pad.left - conv.pad.right;
    return convolve(g, op, in, conv, shape, 0, 3);
}

struct node *graph_attention(struct graph *g, struct node *q, struct node *k, struct node *v,
                             struct attention attention)
{
    struct node *const in[] = {q, k, v};
    if (!build_ready(g, OP_ATTENTION, in, 3)) return &g->nil;
    const bool fits = q->shape.rank == 3 && shape_equal(k->shape, v->shape) && k->shape.rank == 3 &&
                      k->shape.dim[0] == q->shape.dim[0] && k->shape.dim[2] == q->shape.dim[2];
    if (!fits)
        return build_refuse(g, OP_ATTENTION, "q %s, k %s and v %s do not fit; [B, T, D], [B, S, D], [B, S, D] do",
                            build_text(g, q), build_text(g, k), build_text(g, v));
    const int64_t width = q->shape.dim[2];
    if (attention.heads < 1 || width % attention.heads != 0)
        return build_refuse(g, OP_ATTENTION, "%d heads do not divide a width of %lld", attention.heads,
                            (long long)width);
    if (attention.scale == 0) attention.scale = (float)(1.0 / sqrt((double)(width / attention.heads)));
    if (!isfinite(attention.scale)) return build_refuse(g, OP_ATTENTION, "the scale is not a finite number");
    struct node *node = build_node(g, OP_ATTENTION, q->shape, in, 3);
    if (node != &g->nil) node->as.attention = attention;
    return node;
}

/* ---- norms ---- */

static struct node *normalise(struct graph *g, enum op op, struct node *const in[], int count, struct norm norm)
{
    static const char *const what[] = {"", "the weight", "the bias", "the running mean", "the running variance"};
    if (!build_ready(g, op, in, count)) return &g->nil;
    const int64_t width = shape_dim(in[0]->shape, -1);
    for (int i = 1; i < count; i++)
        if (!is_vector(in[i], width)) return refuse_vector(g, op, what[i], in[i], width);
    if (!(norm.eps > 0) || !isfinite(norm.eps))
        return build_refuse(g, op, "epsilon is %g and must be above 0", (double)norm.eps);
    struct node *node = build_node(g, op, in[0]->shape, in, count);
    if (node != &g->nil) node->as.norm = norm;
    return node;
}

struct node *graph_group_norm(struct graph *g, struct node *x, struct node *weight, struct node *bias, struct norm norm)
{
    struct node *const in[] = {x, weight, bias};
    if (!build_ready(g, OP_GROUP_NORM, in, 3)) return &g->nil;
    if (x->shape.rank < 2)
        return build_refuse(g, OP_GROUP_NORM, "operand %s must have a batch and channels", build_text(g, x));
    if (norm.groups < 1 || shape_dim(x->shape, -1) % norm.groups != 0)
        return build_refuse(g, OP_GROUP_NORM, "%d groups do not divide %lld channels", norm.groups,
                            (long long)shape_dim(x->shape, -1));
    if (norm.act != UNARY_NONE && norm.act != UNARY_SILU)
        return build_refuse(g, OP_GROUP_NORM, "activation %s is not allowed; none and silu are", unary_name(norm.act));
    return normalise(g, OP_GROUP_NORM, in, 3, norm);
}

struct node *graph_layer_norm(struct graph *g, struct node *x, struct node *weight, struct node *bias, float eps)
{
    return normalise(g, OP_LAYER_NORM, (struct node *const[]){x, weight, bias}, 3, (struct norm){.eps = eps});
}

struct node *graph_batch_norm(struct graph *g, struct node *x, struct node *weight, struct node *bias,
                              struct node *mean, struct node *variance, float eps)
{
    return normalise(g, OP_BATCH_NORM, (struct node *const[]){x, weight, bias, mean, variance}, 5,
                     (struct norm){.eps = eps});
}
