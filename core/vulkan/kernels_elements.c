/* SPDX-License-Identifier: MIT
 *
 * What works element by element: one invocation an element of the result.
 */
#include "core/vulkan/kernels.h"

enum { AFFINE = 255 }; /* unary.comp's name for y = factor x + offset */

static void unary(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const bool scale = node->op == OP_SCALE;
    struct vk_dispatch *d = vk_dispatch_add(job, "unary");
    vk_spec(d, scale ? AFFINE : (uint32_t)node->as.unary.kind);
    vk_write(d, VK_OUT);
    vk_read(d, VK_IN);
    vk_push(d, shape_count(node->shape));
    vk_push_float(d, scale ? node->as.scale.factor : node->as.unary.alpha);
    vk_push_float(d, scale ? node->as.scale.offset : 0);
    vk_linear(caps, d, shape_count(node->shape));
}

static void unary_gradient(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    struct vk_dispatch *d = vk_dispatch_add(job, "unary_gradient");
    vk_spec(d, (uint32_t)node->as.unary.kind);
    vk_write(d, VK_OUT);
    vk_read(d, VK_IN);
    vk_read(d, VK_IN + 1);
    vk_push(d, shape_count(node->shape));
    vk_push_float(d, node->as.unary.alpha);
    vk_linear(caps, d, shape_count(node->shape));
}

/* The four strides of an operand whose dimensions of 1 are repeated. */
static void push_strides(struct vk_dispatch *d, struct shape shape)
{
    int64_t stride[SHAPE_MAX_RANK], pitch = 1;
    for (int i = SHAPE_MAX_RANK - 1; i >= 0; i--) {
        const int at = i - (SHAPE_MAX_RANK - shape.rank);
        const int64_t size = at < 0 ? 1 : shape.dim[at];
        stride[i] = size == 1 ? 0 : pitch;
        pitch *= size;
    }
    for (int i = 0; i < SHAPE_MAX_RANK; i++) vk_push(d, stride[i]);
}

static void binary(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    struct vk_dispatch *d = vk_dispatch_add(job, "binary");
    vk_spec(d, (uint32_t)node->as.binary);
    vk_write(d, VK_OUT);
    vk_read(d, VK_IN);
    vk_read(d, VK_IN + 1);
    vk_push(d, shape_count(node->shape));
    for (int i = -3; i < 0; i++) vk_push(d, node->shape.rank + i < 0 ? 1 : shape_dim(node->shape, i));
    push_strides(d, node->input[0]->shape);
    push_strides(d, node->input[1]->shape);
    vk_linear(caps, d, shape_count(node->shape));
}

static void geglu(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    struct vk_dispatch *d = vk_dispatch_add(job, "geglu");
    vk_write(d, VK_OUT);
    vk_read(d, VK_IN);
    vk_push(d, shape_count(node->shape));
    vk_push(d, shape_dim(node->shape, -1));
    vk_linear(caps, d, shape_count(node->shape));
}

static const struct vk_kernel kernels[] = {
    {"unary", OP_UNARY, NULL, unary},
    {"scale", OP_SCALE, NULL, unary},
    {"unary_gradient", OP_UNARY_GRADIENT, NULL, unary_gradient},
    {"binary", OP_BINARY, NULL, binary},
    {"geglu", OP_GEGLU, NULL, geglu},
};

const struct vk_family vk_family_elements = {.name = "elements",
                                             .kernels = kernels,
                                             .count = sizeof kernels / sizeof *kernels,
                                             .halves = VK_HALF_SHADERS,
                                             .simple = true};
