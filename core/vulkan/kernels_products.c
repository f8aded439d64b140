/* SPDX-License-Identifier: MIT
 *
 * Products in their plainest form: one invocation an element of the result. Where the inner dimension is longer than a
 * loop should be it is cut into parts, whose sums a second dispatch adds up.
 */
#include "core/vulkan/kernels.h"

enum {
    MOST_TERMS = 32768,  /* of one part */
    WEIGHT_TERMS = 4096, /* of a part of a weight's gradient, where elements are few and terms many */
};

static int64_t part_count(int64_t terms, int64_t most)
{
    return (terms + most - 1) / most;
}

/* ---- with an epilogue: linear, convolution; its transpose, which has a bias alone ---- */

static bool has_epilogue(const struct node *node)
{
    return node->op == OP_LINEAR || node->op == OP_CONV2D || node->op == OP_CONV2D_TRANSPOSE;
}

static void bind_epilogue(struct vk_dispatch *d, const struct node *node)
{
    vk_read_or(d, node, has_epilogue(node) ? 2 : 0, VK_IN);
    vk_read_or(d, node, has_epilogue(node) ? 3 : 0, VK_IN);
}

/* whole: not a part of a sum, to which the epilogue comes later. */
static void push_epilogue(struct vk_dispatch *d, const struct node *node, bool whole)
{
    const struct node *residual = has_epilogue(node) ? node->input[3] : NULL;
    vk_push(d, whole && has_epilogue(node) && node->input[2]);
    vk_push(d, whole && residual);
    vk_push(d, residual ? shape_rows(node->shape) / shape_rows(residual->shape) : 1);
}

static uint32_t activation(const struct node *node, bool whole)
{
    return whole && has_epilogue(node) ? (uint32_t)node->as.gemm.act : UNARY_NONE;
}

void vk_parts_bind(struct vk_job *job, struct vk_dispatch *d, const struct node *node, int64_t parts)
{
    if (parts == 1) {
        vk_write(d, VK_OUT);
    } else {
        job->work = (size_t)(parts * shape_count(node->shape)) * sizeof(float);
        vk_work(d, 0, job->work, true);
    }
    d->groups[2] = (uint32_t)parts;
}

void vk_parts_add(const struct vk_caps *caps, const struct node *node, struct vk_job *job, int64_t parts)
{
    if (parts == 1) return;
    struct vk_dispatch *d = vk_dispatch_add(job, "sum_parts");
    vk_spec(d, activation(node, true));
    vk_write(d, VK_OUT);
    vk_work(d, 0, job->work, false);
    bind_epilogue(d, node);
    vk_push(d, shape_count(node->shape));
    vk_push(d, shape_dim(node->shape, -1));
    vk_push(d, parts);
    push_epilogue(d, node, true);
    vk_linear(caps, d, shape_count(node->shape));
    d->loops = (uint64_t)parts;
}

/* ---- linear, matmul ---- */

struct strides {
    int64_t matrix, row, inner;
};

static void build_gemm(const struct vk_caps *caps, const struct node *node, struct vk_job *job, int64_t K,
                       struct strides a, struct strides b)
{
    const bool linear = node->op == OP_LINEAR;
    const int64_t count = shape_count(node->shape), N = shape_dim(node->shape, -1), parts = part_count(K, MOST_TERMS);
    struct vk_dispatch *d = vk_dispatch_add(job, "gemm");
    vk_linear(caps, d, count);
    vk_spec(d, node->input[1]->dtype);
    vk_spec(d, activation(node, parts == 1));
    vk_parts_bind(job, d, node, parts);
    vk_read(d, VK_IN);
    vk_read(d, VK_IN + 1);
    bind_epilogue(d, node);
    const int64_t pushes[] = {count,
                              linear ? shape_rows(node->shape) : shape_dim(node->shape, -2),
                              N,
                              K,
                              parts == 1 ? K : MOST_TERMS,
                              a.matrix,
                              a.row,
                              a.inner,
                              b.matrix,
                              b.row,
                              b.inner};
    for (size_t i = 0; i < sizeof pushes / sizeof *pushes; i++) vk_push(d, pushes[i]);
    push_epilogue(d, node, parts == 1);
    d->loops = (uint64_t)(parts == 1 ? K : MOST_TERMS);
    vk_parts_add(caps, node, job, parts);
}

static void linear(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const int64_t K = shape_dim(node->input[1]->shape, -1);
    build_gemm(caps, node, job, K, (struct strides){0, K, 1}, (struct strides){0, K, 1});
}

static void matmul(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const bool ta = node->as.matmul.transpose_a, tb = node->as.matmul.transpose_b;
    const int64_t M = shape_dim(node->shape, -2), N = shape_dim(node->shape, -1);
    const int64_t K = shape_dim(node->input[0]->shape, ta ? -2 : -1);
    const struct strides a = {M * K, ta ? 1 : K, ta ? M : 1}, b = {K * N, tb ? K : 1, tb ? 1 : N};
    build_gemm(caps, node, job, K, a, b);
}

/* ---- convolutions ---- */

static void push_window(struct vk_dispatch *d, const struct node *node)
{
    const struct conv conv = node->as.gemm.conv;
    vk_push(d, conv.stride);
    vk_push(d, conv.pad.top);
    vk_push(d, conv.pad.left);
}

static void conv2d(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const int64_t *y = node->shape.dim, *x = node->input[0]->shape.dim, *w = node->input[1]->shape.dim;
    struct vk_dispatch *d = vk_dispatch_add(job, "conv2d");
    vk_spec(d, node->input[1]->dtype);
    vk_spec(d, activation(node, true));
    vk_write(d, VK_OUT);
    vk_read(d, VK_IN);
    vk_read(d, VK_IN + 1);
    bind_epilogue(d, node);
    const int64_t pushes[] = {shape_count(node->shape), y[1], y[2], y[3], x[1], x[2], x[3], w[1], w[2]};
    for (size_t i = 0; i < sizeof pushes / sizeof *pushes; i++) vk_push(d, pushes[i]);
    push_window(d, node);
    push_epilogue(d, node, true);
    vk_linear(caps, d, shape_count(node->shape));
    d->loops = (uint64_t)(w[1] * (1 + w[2] * (1 + x[3])));
}

static void conv2d_transpose(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const int64_t *y = node->shape.dim, *x = node->input[0]->shape.dim, *w = node->input[1]->shape.dim;
    struct vk_dispatch *d = vk_dispatch_add(job, "conv2d_transpose");
    vk_spec(d, node->input[1]->dtype);
    vk_spec(d, node->input[2] != NULL);
    vk_write(d, VK_OUT);
    vk_read(d, VK_IN);
    vk_read(d, VK_IN + 1);
    vk_read_or(d, node, 2, VK_IN);
    const int64_t pushes[] = {shape_count(node->shape), y[1], y[2], y[3], x[1], x[2], x[3], w[1], w[2]};
    for (size_t i = 0; i < sizeof pushes / sizeof *pushes; i++) vk_push(d, pushes[i]);
    push_window(d, node);
    vk_linear(caps, d, shape_count(node->shape));
    d->loops = (uint64_t)(w[1] * (1 + w[2] * (1 + x[3])));
}

static void conv2d_weight(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const int64_t *w = node->shape.dim, *x = node->input[0]->shape.dim, *dy = node->input[1]->shape.dim;
    const int64_t pixels = dy[0] * dy[1] * dy[2], parts = part_count(pixels, WEIGHT_TERMS);
    struct vk_dispatch *d = vk_dispatch_add(job, "conv2d_weight");
    vk_linear(caps, d, shape_count(node->shape));
    vk_parts_bind(job, d, node, parts);
    vk_read(d, VK_IN);
    vk_read(d, VK_IN + 1);
    const int64_t pushes[] = {
        shape_count(node->shape), w[1], w[2], w[3], x[1], x[2], dy[1], dy[2], dy[3], pixels, WEIGHT_TERMS};
    for (size_t i = 0; i < sizeof pushes / sizeof *pushes; i++) vk_push(d, pushes[i]);
    push_window(d, node);
    d->loops = WEIGHT_TERMS;
    vk_parts_add(caps, node, job, parts);
}

/* ---- attention ---- */

/* Iterations of one of `local` invocations: for each block of keys its score, the maximum, and its share of the
 * outputs. */
static uint64_t attention_loops(int64_t head, int64_t keys, int64_t local)
{
    const int64_t each = (head + local - 1) / local, blocks = (keys + local - 1) / local;
    return (uint64_t)(3 * each + 16 + blocks * (1 + head + 16 + each * (1 + local)));
}

static void attention(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const int64_t heads = node->as.attention.heads, T = node->shape.dim[1], S = node->input[1]->shape.dim[1];
    const int64_t head = node->shape.dim[2] / heads, tasks = node->shape.dim[0] * T * heads;
    int64_t local = 64;
    while (attention_loops(head, S, local) >= caps->loop_limit && local * 2 <= (int64_t)caps->invocations) local *= 2;
    struct vk_dispatch *d = vk_dispatch_add(job, "attention");
    vk_spec(d, (uint32_t)local);
    vk_spec(d, (uint32_t)head);
    vk_spec(d, node->as.attention.causal);
    vk_write(d, VK_OUT);
    for (int i = 0; i < 3; i++) vk_read(d, VK_IN + i);
    vk_push(d, tasks);
    vk_push(d, T);
    vk_push(d, S);
    vk_push(d, heads);
    vk_push_float(d, node->as.attention.scale);
    vk_groups(caps, d, tasks);
    d->loops = attention_loops(head, S, local);
}

static const struct vk_kernel kernels[] = {
    {"linear", OP_LINEAR, NULL, linear},
    {"matmul", OP_MATMUL, NULL, matmul},
    {"conv2d", OP_CONV2D, NULL, conv2d},
    {"conv2d_transpose", OP_CONV2D_TRANSPOSE, NULL, conv2d_transpose},
    {"conv2d_weight", OP_CONV2D_WEIGHT, NULL, conv2d_weight},
    {"attention", OP_ATTENTION, NULL, attention},
};

const struct vk_family vk_family_products = {
    .name = "products", .kernels = kernels, .count = sizeof kernels / sizeof *kernels, .simple = true};
