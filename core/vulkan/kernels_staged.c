/* SPDX-License-Identifier: MIT
 *
 * Any operation on values that lie as halves: what it reads is widened into the scratch, the kernels for f32 run there,
 * and the result is narrowed. It costs the copies; rows whose shaders read halves themselves (values.glsl) come first.
 *
 *     scratch   | the kernel's own | operand 0 | operand 1 | ... | result |      all f32, at multiples of 64 bytes
 */
#include "core/vulkan/kernels.h"

#include <string.h>

enum { NARROW = 0, WIDEN = 1 }; /* as in stage.comp */

/* The node as if its values were F32, and where those will lie. */
struct staged {
    struct node node, inputs[NODE_MAX_INPUTS];
    size_t offset[VK_OUT + 1], bytes[VK_OUT + 1]; /* of operands and result; 0 bytes: not staged */
    size_t end;
};

static size_t round_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static bool is_half(const struct node *value)
{
    return value && value->op != OP_PARAM && value->dtype == DTYPE_F16;
}

static void stage(struct staged *s, int operand, struct node *value)
{
    if (!is_half(value)) return;
    value->dtype = DTYPE_F32;
    s->bytes[operand] = (size_t)shape_count(value->shape) * sizeof(float);
}

static void stage_all(struct staged *s, const struct node *node)
{
    *s = (struct staged){.node = *node};
    for (int i = 0; i < node->inputs; i++) {
        if (!node->input[i]) continue;
        s->inputs[i] = *node->input[i];
        s->node.input[i] = &s->inputs[i];
        stage(s, VK_IN + i, &s->inputs[i]);
    }
    stage(s, VK_OUT, &s->node);
}

static void place(struct staged *s, size_t own)
{
    s->end = round_up(own);
    for (int i = 0; i <= VK_OUT; i++) {
        s->offset[i] = s->end;
        s->end += round_up(s->bytes[i]);
    }
}

static void copy(const struct vk_caps *caps, struct vk_job *job, const struct staged *s, int operand, int kind)
{
    const int64_t count = (int64_t)(s->bytes[operand] / sizeof(float));
    struct vk_dispatch *d = vk_dispatch_add(job, "stage");
    vk_spec(d, (uint32_t)kind);
    vk_work(d, s->offset[operand], s->bytes[operand], kind == WIDEN);
    if (kind == WIDEN)
        vk_read(d, operand);
    else
        vk_write(d, operand);
    vk_push(d, count);
    vk_linear(caps, d, count);
}

/* The dispatches of the kernel for f32, on the scratch. */
static void redirect(struct vk_dispatch *d, const struct staged *s)
{
    for (int i = 0; i < d->binding_count; i++) {
        struct vk_binding *b = &d->bindings[i];
        if (b->operand > VK_OUT || s->bytes[b->operand] == 0) continue;
        b->offset = s->offset[b->operand];
        b->bytes = s->bytes[b->operand];
        b->operand = VK_WORK;
    }
}

static bool find(const struct vk_caps *caps, const struct node *node, struct staged *s, struct vk_job *inner)
{
    char reason[1];
    const struct vk_choice all = {0};
    stage_all(s, node);
    if (!vk_kernel_find(caps, &s->node, &all, inner, reason, sizeof reason)) return false;
    int copies = 0;
    for (int i = 0; i <= VK_OUT; i++) copies += s->bytes[i] > 0;
    return inner->count + copies <= VK_MAX_DISPATCHES;
}

static bool fits(const struct vk_caps *caps, const struct node *node)
{
    struct staged s;
    struct vk_job inner;
    return caps->half_storage && find(caps, node, &s, &inner);
}

static void build(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    struct staged s;
    struct vk_job inner;
    if (!find(caps, node, &s, &inner)) return;
    place(&s, inner.work);
    for (int i = 0; i < VK_OUT; i++)
        if (s.bytes[i] > 0) copy(caps, job, &s, i, WIDEN);
    for (int i = 0; i < inner.count; i++) {
        redirect(&inner.dispatches[i], &s);
        job->dispatches[job->count++] = inner.dispatches[i];
    }
    if (s.bytes[VK_OUT] > 0) copy(caps, job, &s, VK_OUT, NARROW);
    job->work = s.end;
}

static const struct vk_kernel kernels[] = {{"staged", VK_ANY_OP, fits, build}};

const struct vk_family vk_family_staged = {
    .name = "staged",
    .kernels = kernels,
    .count = sizeof kernels / sizeof *kernels,
    .halves = VK_HALVES_ONLY,
    .simple = true,
};
