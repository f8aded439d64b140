/* SPDX-License-Identifier: MIT
 *
 * Norms, softmax and reductions: one workgroup for all that is summed together.
 */
#include "core/vulkan/kernels.h"

enum { SMALL = 64, MIDDLE = 256, LARGE = 1024, TREE_LOOPS = 11 };

/* How many invocations share `count` elements. */
static uint32_t pick_local(const struct vk_caps *caps, int64_t count)
{
    const int64_t local = count <= 4096 ? SMALL : count <= (1 << 20) ? MIDDLE : LARGE;
    return (uint32_t)local < caps->invocations ? (uint32_t)local : caps->invocations;
}

static uint64_t passes(int64_t count, uint32_t local, int64_t over, int64_t sums)
{
    return (uint64_t)(over * ((count + local - 1) / local) + sums * TREE_LOOPS);
}

/* ---- norms ---- */

/* Group norm, layer norm (each row a picture with one group), and the gradient of both. */
static void norm(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const bool gradient = node->op == OP_NORM_GRADIENT, layer = node->op == OP_LAYER_NORM;
    const int64_t C = shape_dim(node->shape, -1), all_rows = shape_rows(node->shape);
    const int64_t pictures = layer ? all_rows : node->shape.dim[0], groups = layer ? 1 : node->as.norm.groups;
    const int64_t rows = all_rows / pictures, width = C / groups;
    const uint32_t local = pick_local(caps, rows * width);
    struct vk_dispatch *d = vk_dispatch_add(job, gradient ? "norm_gradient" : "norm");
    vk_spec(d, local);
    vk_write(d, VK_OUT);
    vk_read(d, VK_IN);
    if (gradient) {
        vk_read(d, VK_IN + 1);
    } else {
        vk_spec(d, (uint32_t)node->as.norm.act);
        vk_read_or(d, node, 1, VK_IN);
        vk_read_or(d, node, 2, VK_IN);
    }
    const int64_t pushes[] = {pictures * groups, groups, rows, width, C};
    for (size_t i = 0; i < sizeof pushes / sizeof *pushes; i++) vk_push(d, pushes[i]);
    vk_push_float(d, node->as.norm.eps);
    vk_push(d, !gradient && node->input[1]);
    vk_push(d, !gradient && node->input[2]);
    vk_groups(caps, d, pictures * groups);
    d->loops = passes(rows * width, local, gradient ? 4 : 3, gradient ? 5 : 3);
}

static void batch_norm(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    struct vk_dispatch *d = vk_dispatch_add(job, "batch_norm");
    vk_write(d, VK_OUT);
    for (int i = 0; i < 5; i++) vk_read(d, VK_IN + i);
    vk_push(d, shape_count(node->shape));
    vk_push(d, shape_dim(node->shape, -1));
    vk_push_float(d, node->as.norm.eps);
    vk_linear(caps, d, shape_count(node->shape));
}

/* ---- softmax, reduce ---- */

static void softmax(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    int64_t inner = 1;
    const int64_t length = node->shape.dim[node->as.axis], lines = shape_count(node->shape) / length;
    for (int i = node->as.axis + 1; i < node->shape.rank; i++) inner *= node->shape.dim[i];
    const uint32_t local = pick_local(caps, length);
    struct vk_dispatch *d = vk_dispatch_add(job, "softmax");
    vk_spec(d, local);
    vk_write(d, VK_OUT);
    vk_read(d, VK_IN);
    vk_push(d, lines);
    vk_push(d, length);
    vk_push(d, inner);
    vk_groups(caps, d, lines);
    d->loops = passes(length, local, 3, 2);
}

static void reduce(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const struct shape shape = node->input[0]->shape;
    /* Sizes, then strides; of what stays, then of what goes. */
    int64_t kept[8] = {1, 1, 1, 1}, gone[8] = {1, 1, 1, 1}, pitch = 1, count = 1;
    for (int i = shape.rank - 1; i >= 0; i--) {
        int64_t *list = node->as.reduce.axes >> i & 1u ? gone : kept;
        list[i] = shape.dim[i];
        list[4 + i] = pitch;
        pitch *= shape.dim[i];
        if (list == gone) count *= shape.dim[i];
    }
    const int64_t results = shape_count(node->shape);
    const bool alone = count <= SMALL; /* one invocation a result */
    const uint32_t local = alone ? SMALL : pick_local(caps, count);
    struct vk_dispatch *d = vk_dispatch_add(job, "reduce");
    vk_spec(d, local);
    vk_spec(d, alone ? 1 : local);
    vk_spec(d, node->as.reduce.kind == REDUCE_MAX);
    vk_write(d, VK_OUT);
    vk_read(d, VK_IN);
    vk_push(d, results);
    vk_push(d, count);
    for (int i = 0; i < 8; i++) vk_push(d, kept[i]);
    for (int i = 0; i < 8; i++) vk_push(d, gone[i]);
    vk_push_float(d, node->as.reduce.kind == REDUCE_MEAN ? (float)(1 / (double)count) : 1);
    vk_groups(caps, d, alone ? (results + SMALL - 1) / SMALL : results);
    d->loops = passes(count, alone ? 1 : local, 1, 1);
}

static const struct vk_kernel kernels[] = {
    {"group_norm", OP_GROUP_NORM, NULL, norm},       {"layer_norm", OP_LAYER_NORM, NULL, norm},
    {"norm_gradient", OP_NORM_GRADIENT, NULL, norm}, {"batch_norm", OP_BATCH_NORM, NULL, batch_norm},
    {"softmax", OP_SOFTMAX, NULL, softmax},          {"reduce", OP_REDUCE, NULL, reduce},
};

const struct vk_family vk_family_norms = {.name = "norms",
                                          .kernels = kernels,
                                          .count = sizeof kernels / sizeof *kernels,
                                          .halves = VK_HALF_SHADERS,
                                          .simple = true};
