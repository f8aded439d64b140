/* SPDX-License-Identifier: MIT
 *
 * Products for devices whose loads are dear and whose lanes are cheap, that is, for Mesa's software device: one
 * subgroup a workgroup, values passed round by shuffles (conv2d_subgroup.comp, outer_subgroup.comp).
 */
#include "core/vulkan/kernels.h"

enum { PIXELS = 16, CHANNELS = 4 };

/* Subgroups of 4, 8 and 16 lanes are what that device has, by the width of the processor's vectors. */
static bool is_software(const struct vk_caps *caps)
{
    return caps->class == VK_CLASS_CPU && caps->shuffle && caps->int64 && caps->subgroup_control &&
           caps->subgroup <= 16;
}

static bool fits(const struct vk_caps *caps, const struct node *node)
{
    return is_software(caps) && shape_dim(node->input[1]->shape, -1) % 4 == 0;
}

/* What the shader is told of a convolution; a linear layer is one over a single row of pixels. */
struct window {
    int64_t tall, wide, H, W, kernel_height, kernel_width, stride, top, left;
};

static void build(const struct vk_caps *caps, const struct node *node, struct vk_job *job, struct window v,
                  int64_t matrices)
{
    const int64_t rows = shape_rows(node->shape) / matrices, O = shape_dim(node->shape, -1);
    const int64_t I = shape_dim(node->input[1]->shape, -1), lanes = caps->subgroup;
    const int64_t pixel_groups = (rows + PIXELS - 1) / PIXELS;
    const bool product = node->op == OP_MATMUL; /* which has no epilogue */
    const struct node *bias = product ? NULL : node->input[2], *residual = product ? NULL : node->input[3];
    struct vk_dispatch *d = vk_dispatch_add(job, "conv2d_subgroup");
    vk_spec(d, caps->subgroup);
    vk_spec(d, PIXELS);
    vk_spec(d, node->input[1]->dtype);
    vk_spec(d, product ? UNARY_NONE : node->as.gemm.act);
    vk_write(d, VK_OUT);
    vk_read(d, VK_IN);
    vk_read(d, VK_IN + 1);
    vk_read(d, bias ? VK_IN + 2 : VK_IN);
    vk_read(d, residual ? VK_IN + 3 : VK_IN);
    const int64_t pushes[] = {rows,         v.tall,          v.wide,         O,        v.H,   v.W,
                              I / 4,        v.kernel_height, v.kernel_width, v.stride, v.top, v.left,
                              pixel_groups, matrices,        O * I / 4};
    for (size_t i = 0; i < sizeof pushes / sizeof *pushes; i++) vk_push(d, pushes[i]);
    vk_push(d, bias != NULL);
    vk_push(d, residual != NULL);
    vk_push(d, residual ? rows / shape_rows(residual->shape) : 1);
    vk_groups(caps, d, matrices * pixel_groups * ((O + lanes * CHANNELS - 1) / (lanes * CHANNELS)));
    d->subgroup = caps->subgroup;
    d->loops = (uint64_t)(v.kernel_height * (1 + v.kernel_width * (1 + I / 4)) + PIXELS * (1 + CHANNELS));
}

static void conv2d(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const int64_t *y = node->shape.dim, *x = node->input[0]->shape.dim, *w = node->input[1]->shape.dim;
    const struct conv conv = node->as.gemm.conv;
    const struct window window = {y[1], y[2], x[1], x[2], w[1], w[2], conv.stride, conv.pad.top, conv.pad.left};
    build(caps, node, job, window, 1);
}

static void linear(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const int64_t rows = shape_rows(node->shape);
    build(caps, node, job, (struct window){1, rows, 1, rows, 1, 1, 1, 0, 0}, 1);
}

/* a b^T: both lie with the inner dimension side by side. */
static bool fits_inner(const struct vk_caps *caps, const struct node *node)
{
    return fits(caps, node) && !node->as.matmul.transpose_a && node->as.matmul.transpose_b;
}

static void matmul_inner(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const int64_t M = shape_dim(node->shape, -2);
    build(caps, node, job, (struct window){1, M, 1, M, 1, 1, 1, 0, 0}, shape_rows(node->shape) / M);
}

/* ---- the transpose of a convolution ---- */

static bool fits_transpose(const struct vk_caps *caps, const struct node *node)
{
    return is_software(caps) && shape_dim(node->shape, -1) % 4 == 0 && shape_dim(node->input[0]->shape, -1) % 4 == 0;
}

static void conv2d_transpose(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const int64_t *y = node->shape.dim, *x = node->input[0]->shape.dim, *w = node->input[1]->shape.dim;
    const struct conv conv = node->as.gemm.conv;
    const int64_t stride = conv.stride, tall = (y[1] + stride - 1) / stride, wide = (y[2] + stride - 1) / stride;
    const int64_t lanes = caps->subgroup, pixel_groups = (y[0] * tall * wide + PIXELS - 1) / PIXELS;
    const int64_t channel_groups = (y[3] / 4 + lanes - 1) / lanes;
    struct vk_dispatch *d = vk_dispatch_add(job, "conv2d_transpose_subgroup");
    vk_spec(d, caps->subgroup);
    vk_spec(d, PIXELS);
    vk_spec(d, node->input[1]->dtype);
    vk_write(d, VK_OUT);
    vk_read(d, VK_IN);
    vk_read(d, VK_IN + 1);
    vk_read_or(d, node, 2, VK_IN);
    const int64_t pushes[] = {y[0], y[1],   y[2],         y[3] / 4,      x[1], x[2], x[3] / 4,     w[1],
                              w[2], stride, conv.pad.top, conv.pad.left, tall, wide, pixel_groups, channel_groups};
    for (size_t i = 0; i < sizeof pushes / sizeof *pushes; i++) vk_push(d, pushes[i]);
    vk_push(d, node->input[2] != NULL);
    vk_groups(caps, d, pixel_groups * channel_groups * stride * stride);
    d->subgroup = caps->subgroup;
    d->loops = (uint64_t)(w[1] * (1 + w[2] * (1 + x[3] / 4)) + PIXELS * (1 + CHANNELS));
}

/* ---- outer products ---- */

enum { ROWS = 16, MOST_TERMS = 32768, WEIGHT_TERMS = 4096 };

struct outer {
    int64_t matrices, M, N, K, most;
    int64_t a_matrix, a_m, a_k, b_matrix, y_matrix, y_m; /* from one to the next */
};

/* The first dispatch, but for its window. */
static struct vk_dispatch *build_outer(const struct vk_caps *caps, const struct node *node, struct vk_job *job,
                                       const struct outer *o)
{
    const int64_t lanes = caps->subgroup, parts = (o->K + o->most - 1) / o->most;
    const int64_t row_groups = (o->M + ROWS - 1) / ROWS, column_groups = (o->N / 4 + lanes - 1) / lanes;
    const bool gradient = node->op == OP_CONV2D_WEIGHT;
    struct vk_dispatch *d = vk_dispatch_add(job, "outer_subgroup");
    vk_spec(d, caps->subgroup);
    vk_spec(d, ROWS);
    vk_spec(d, gradient);
    vk_groups(caps, d, o->matrices * row_groups * column_groups);
    vk_parts_bind(job, d, node, parts);
    vk_read(d, gradient ? VK_IN + 1 : VK_IN);
    vk_read(d, gradient ? VK_IN : VK_IN + 1);
    const int64_t pushes[] = {
        shape_count(node->shape), o->M,        o->N / 4, o->K,       o->most,       o->a_matrix, o->a_m, o->a_k,
        o->b_matrix / 4,          o->y_matrix, o->y_m,   row_groups, column_groups, o->matrices};
    for (size_t i = 0; i < sizeof pushes / sizeof *pushes; i++) vk_push(d, pushes[i]);
    d->subgroup = caps->subgroup;
    d->loops = (uint64_t)((o->K < o->most ? o->K : o->most) + ROWS);
    return d;
}

static bool fits_outer(const struct vk_caps *caps, const struct node *node)
{
    return is_software(caps) && shape_dim(node->shape, -1) % 4 == 0 && !node->as.matmul.transpose_b;
}

static void matmul_outer(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const bool ta = node->as.matmul.transpose_a;
    const int64_t M = shape_dim(node->shape, -2), N = shape_dim(node->shape, -1);
    const int64_t K = shape_dim(node->input[0]->shape, ta ? -2 : -1);
    const struct outer o = {.matrices = shape_rows(node->shape) / M,
                            .M = M,
                            .N = N,
                            .K = K,
                            .most = MOST_TERMS,
                            .a_matrix = M * K,
                            .a_m = ta ? 1 : K,
                            .a_k = ta ? M : 1,
                            .b_matrix = K * N,
                            .y_matrix = M * N,
                            .y_m = N};
    struct vk_dispatch *d = build_outer(caps, node, job, &o);
    for (int i = 0; i < 8; i++) vk_push(d, 1); /* there is no window */
    vk_parts_add(caps, node, job, (K + MOST_TERMS - 1) / MOST_TERMS);
}

static bool fits_weight(const struct vk_caps *caps, const struct node *node)
{
    return is_software(caps) && shape_dim(node->shape, -1) % 4 == 0;
}

static void conv2d_weight(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const int64_t *w = node->shape.dim, *x = node->input[0]->shape.dim, *dy = node->input[1]->shape.dim;
    const struct conv conv = node->as.gemm.conv;
    const int64_t pixels = dy[0] * dy[1] * dy[2], taps = w[1] * w[2];
    const struct outer o = {.matrices = taps,
                            .M = w[0],
                            .N = w[3],
                            .K = pixels,
                            .most = WEIGHT_TERMS,
                            .a_m = 1,
                            .a_k = w[0],
                            .y_matrix = w[3],
                            .y_m = taps * w[3]};
    struct vk_dispatch *d = build_outer(caps, node, job, &o);
    const int64_t pushes[] = {x[1], x[2], dy[1], dy[2], w[2], conv.stride, conv.pad.top, conv.pad.left};
    for (size_t i = 0; i < sizeof pushes / sizeof *pushes; i++) vk_push(d, pushes[i]);
    vk_parts_add(caps, node, job, (pixels + WEIGHT_TERMS - 1) / WEIGHT_TERMS);
}

/* ---- attention ---- */

static bool fits_attention(const struct vk_caps *caps, const struct node *node)
{
    return is_software(caps) && caps->arithmetic && shape_dim(node->shape, -1) / node->as.attention.heads % 4 == 0;
}

static void attention(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const int64_t heads = node->as.attention.heads, T = node->shape.dim[1], S = node->input[1]->shape.dim[1];
    const int64_t head4 = node->shape.dim[2] / heads / 4, lanes = caps->subgroup, each = (head4 + lanes - 1) / lanes;
    const int64_t queries = each <= 2 ? 16 : each <= 5 ? 8 : 4; /* so many that their outputs stay near */
    const int64_t query_groups = (T + queries - 1) / queries, tasks = node->shape.dim[0] * heads * query_groups;
    struct vk_dispatch *d = vk_dispatch_add(job, "attention_subgroup");
    vk_spec(d, caps->subgroup);
    vk_spec(d, (uint32_t)queries);
    vk_spec(d, (uint32_t)head4);
    vk_spec(d, node->as.attention.causal);
    vk_write(d, VK_OUT);
    for (int i = 0; i < 3; i++) vk_read(d, VK_IN + i);
    const int64_t pushes[] = {tasks, T, S, heads, query_groups};
    for (size_t i = 0; i < sizeof pushes / sizeof *pushes; i++) vk_push(d, pushes[i]);
    vk_push_float(d, node->as.attention.scale);
    vk_groups(caps, d, tasks);
    d->subgroup = caps->subgroup;
    d->loops = (uint64_t)((S + 4 * lanes - 1) / (4 * lanes) * (1 + head4 + lanes));
}

static const struct vk_kernel kernels[] = {
    {"conv2d", OP_CONV2D, fits, conv2d},
    {"linear", OP_LINEAR, fits, linear},
    {"matmul_inner", OP_MATMUL, fits_inner, matmul_inner},
    {"matmul_outer", OP_MATMUL, fits_outer, matmul_outer},
    {"conv2d_transpose", OP_CONV2D_TRANSPOSE, fits_transpose, conv2d_transpose},
    {"conv2d_weight", OP_CONV2D_WEIGHT, fits_weight, conv2d_weight},
    {"attention", OP_ATTENTION, fits_attention, attention},
};

const struct vk_family vk_family_subgroup = {
    .name = "subgroup", .kernels = kernels, .count = sizeof kernels / sizeof *kernels};
