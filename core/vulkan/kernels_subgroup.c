/* SPDX-License-Identifier: MIT
 *
 * Products for devices whose loads are dear and whose lanes are cheap, that is, for Mesa's software device: one
 * subgroup a workgroup, values passed round by shuffles (conv2d_subgroup.comp).
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

static void build(const struct vk_caps *caps, const struct node *node, struct vk_job *job, struct window v)
{
    const int64_t rows = shape_rows(node->shape), O = shape_dim(node->shape, -1);
    const int64_t I = shape_dim(node->input[1]->shape, -1), lanes = caps->subgroup;
    const int64_t pixel_groups = (rows + PIXELS - 1) / PIXELS;
    const struct node *residual = node->input[3];
    struct vk_dispatch *d = vk_dispatch_add(job, "conv2d_subgroup");
    vk_spec(d, caps->subgroup);
    vk_spec(d, PIXELS);
    vk_spec(d, node->input[1]->dtype);
    vk_spec(d, node->as.gemm.act);
    vk_write(d, VK_OUT);
    vk_read(d, VK_IN);
    vk_read(d, VK_IN + 1);
    vk_read_or(d, node, 2, VK_IN);
    vk_read_or(d, node, 3, VK_IN);
    const int64_t pushes[] = {rows,           v.tall,   v.wide, O,      v.H,         v.W, I / 4, v.kernel_height,
                              v.kernel_width, v.stride, v.top,  v.left, pixel_groups};
    for (size_t i = 0; i < sizeof pushes / sizeof *pushes; i++) vk_push(d, pushes[i]);
    vk_push(d, node->input[2] != NULL);
    vk_push(d, residual != NULL);
    vk_push(d, residual ? rows / shape_rows(residual->shape) : 1);
    vk_groups(caps, d, pixel_groups * ((O + lanes * CHANNELS - 1) / (lanes * CHANNELS)));
    d->subgroup = caps->subgroup;
    d->loops = (uint64_t)(v.kernel_height * (1 + v.kernel_width * (1 + I / 4)) + PIXELS * (1 + CHANNELS));
}

static void conv2d(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const int64_t *y = node->shape.dim, *x = node->input[0]->shape.dim, *w = node->input[1]->shape.dim;
    const struct conv conv = node->as.gemm.conv;
    const struct window window = {y[1], y[2], x[1], x[2], w[1], w[2], conv.stride, conv.pad.top, conv.pad.left};
    build(caps, node, job, window);
}

static void linear(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const int64_t rows = shape_rows(node->shape);
    build(caps, node, job, (struct window){1, rows, 1, rows, 1, 1, 1, 0, 0});
}

static const struct vk_kernel kernels[] = {
    {"conv2d", OP_CONV2D, fits, conv2d},
    {"linear", OP_LINEAR, fits, linear},
};

const struct vk_family vk_family_subgroup = {"subgroup", kernels, sizeof kernels / sizeof *kernels, false};
