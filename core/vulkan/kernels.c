/* SPDX-License-Identifier: MIT */
#include "core/vulkan/kernels.h"

#include "core/tensor/backend.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct vk_family *const families[] = {
#define X(name) &vk_family_##name,
    VK_FAMILY_MAP(X)
#undef X
};

int vk_family_count(void)
{
    return (int)(sizeof families / sizeof *families);
}

const struct vk_family *vk_family_at(int i)
{
    return families[i];
}

size_t vk_binding_bytes(const struct node *node, const struct vk_binding *binding)
{
    const struct node *value = binding->operand == VK_OUT ? node : NULL;
    if (binding->operand < VK_OUT) value = node->input[binding->operand];
    if (value) return dtype_bytes(value->dtype, (size_t)shape_count(value->shape));
    return binding->operand == VK_WORK ? binding->bytes : sizeof(uint32_t);
}

/* ---- finding ---- */

static bool dispatch_fits(const struct vk_dispatch *d, const struct vk_caps *caps, const struct node *node,
                          char *reason, size_t reason_bytes)
{
    for (int i = 0; i < d->binding_count; i++) {
        const uint64_t bytes = vk_binding_bytes(node, &d->bindings[i]);
        if (bytes <= caps->storage_range) continue;
        snprintf(reason, reason_bytes, "a value has %.1f MiB and the device lets a kernel see %.1f MiB of one",
                 (double)bytes / (1024.0 * 1024.0), (double)caps->storage_range / (1024.0 * 1024.0));
        return false;
    }
    for (int i = 0; i < 3; i++)
        if (d->groups[i] > caps->groups[i] || d->too_large) {
            snprintf(reason, reason_bytes, "it is too large for the device");
            return false;
        }
    if (d->loops < caps->loop_limit) return true;
    snprintf(reason, reason_bytes, "an invocation would loop %llu times and this device stops loops at %llu",
             (unsigned long long)d->loops, (unsigned long long)caps->loop_limit);
    return false;
}

static bool has_halves(const struct node *node)
{
    bool any = node->dtype == DTYPE_F16;
    for (int i = 0; i < node->inputs; i++)
        any = any || (node->input[i] && node->input[i]->op != OP_PARAM && node->input[i]->dtype == DTYPE_F16);
    return any;
}

/* Shaders in their form for halves read and write all values so, but parameters where parameters usually stand. */
static bool suits_half_shaders(const struct node *node)
{
    const bool product = node->op == OP_LINEAR || node->op == OP_CONV2D || node->op == OP_CONV2D_TRANSPOSE;
    if (node->op == OP_SCATTER) return false; /* It adds up in its result. */
    const bool norm = node->op == OP_GROUP_NORM || node->op == OP_LAYER_NORM || node->op == OP_BATCH_NORM;
    for (int i = 0; i < node->inputs; i++) {
        const struct node *x = node->input[i];
        if (!x || x->dtype == DTYPE_I32) continue;
        const bool place = (product && i == 2) || (norm && i > 0), weight = product && i == 1;
        if (weight || (node->op == OP_EMBEDDING && i == 1)) continue;
        if (place != (x->op == OP_PARAM) || (!place && x->dtype != DTYPE_F16)) return false;
    }
    return node->dtype == DTYPE_F16;
}

static bool halves_fit(const struct vk_family *family, const struct node *node)
{
    const bool halves = has_halves(node);
    switch (family->halves) {
    case VK_NO_HALVES: return !halves;
    case VK_HALF_SHADERS: return !halves || suits_half_shaders(node);
    case VK_HALF_SHADERS_ONLY: return halves && suits_half_shaders(node);
    case VK_HALVES_ONLY: return halves;
    }
    return false;
}

static bool try_kernel(const struct vk_family *family, const struct vk_kernel *kernel, const struct vk_caps *caps,
                       const struct node *node, struct vk_job *job, char *reason, size_t reason_bytes)
{
    const bool same_op = kernel->op == node->op || kernel->op == VK_ANY_OP;
    if (!same_op || !halves_fit(family, node) || (kernel->fits && !kernel->fits(caps, node))) return false;
    memset(job, 0, sizeof *job);
    kernel->build(caps, node, job);
    for (int i = 0; i < job->count; i++) {
        if (family->halves != VK_HALVES_ONLY) job->dispatches[i].half = has_halves(node);
        if (!dispatch_fits(&job->dispatches[i], caps, node, reason, reason_bytes)) return false;
    }
    return job->count > 0;
}

static bool allows(const struct vk_caps *caps, const struct vk_choice *choice, const struct vk_family *family,
                   const struct vk_kernel *kernel, enum op op)
{
    if (choice->only && (choice->only->op == op || choice->only->op == VK_ANY_OP)) return choice->only == kernel;
    if (family->gpu && caps->class == VK_CLASS_CPU) return false;
    return family->simple || !choice->simple_only;
}

const struct vk_kernel *vk_kernel_find(const struct vk_caps *caps, const struct node *node,
                                       const struct vk_choice *choice, struct vk_job *job, char *reason,
                                       size_t reason_bytes)
{
    reason[0] = '\0';
    if (!backend_takes(node)) return NULL;
    for (int f = 0; f < vk_family_count(); f++)
        for (int i = 0; i < families[f]->count; i++) {
            const struct vk_kernel *kernel = &families[f]->kernels[i];
            if (!allows(caps, choice, families[f], kernel, node->op)) continue;
            if (try_kernel(families[f], kernel, caps, node, job, reason, reason_bytes)) return kernel;
        }
    return NULL;
}

/* ---- building ---- */

struct vk_dispatch *vk_dispatch_add(struct vk_job *job, const char *shader)
{
    assert(job->count < VK_MAX_DISPATCHES);
    struct vk_dispatch *d = &job->dispatches[job->count++];
    d->shader = shader;
    return d;
}

static void bind(struct vk_dispatch *d, struct vk_binding binding)
{
    assert(d->binding_count < VK_MAX_BINDINGS);
    d->bindings[d->binding_count++] = binding;
}

void vk_read(struct vk_dispatch *d, int operand)
{
    bind(d, (struct vk_binding){.operand = (enum vk_operand)operand});
}

void vk_read_or(struct vk_dispatch *d, const struct node *node, int input, int other)
{
    vk_read(d, node->input[input] ? VK_IN + input : other);
}

void vk_write(struct vk_dispatch *d, int operand)
{
    bind(d, (struct vk_binding){.operand = (enum vk_operand)operand, .written = true});
}

void vk_work(struct vk_dispatch *d, size_t offset, size_t bytes, bool written)
{
    bind(d, (struct vk_binding){.operand = VK_WORK, .offset = offset, .bytes = bytes, .written = written});
}

void vk_as_texels(struct vk_dispatch *d, enum dtype dtype)
{
    d->texels++;
    assert(d->binding_count == 1 + d->texels);
    d->bindings[d->texels].texel = dtype_block(dtype) > 1 ? sizeof(uint32_t) : dtype_bytes(dtype, 4);
}

void vk_spec(struct vk_dispatch *d, uint32_t value)
{
    assert(d->spec_count < VK_MAX_SPECS);
    d->specs[d->spec_count++] = value;
}

static void push_word(struct vk_dispatch *d, uint32_t word)
{
    assert(d->push_count < VK_MAX_PUSHES);
    d->pushes[d->push_count++] = word;
}

void vk_push(struct vk_dispatch *d, int64_t value)
{
    if (value > UINT32_MAX || value < INT32_MIN) d->too_large = true;
    push_word(d, (uint32_t)value);
}

void vk_push_float(struct vk_dispatch *d, float value)
{
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    push_word(d, word);
}

void vk_groups(const struct vk_caps *caps, struct vk_dispatch *d, int64_t count)
{
    const int64_t wide = count < caps->groups[0] ? count : caps->groups[0], rows = (count + wide - 1) / wide;
    d->groups[0] = (uint32_t)wide;
    d->groups[1] = rows > UINT32_MAX ? UINT32_MAX : (uint32_t)rows;
    d->groups[2] = 1;
}

void vk_linear(const struct vk_caps *caps, struct vk_dispatch *d, int64_t count)
{
    vk_groups(caps, d, (count + VK_LINEAR - 1) / VK_LINEAR);
}
