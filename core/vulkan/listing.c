/* SPDX-License-Identifier: MIT
 *
 * The devices of a machine, for `limn devices`. Each is opened in turn, since only then it is known that it can be.
 */
#include "core/tensor/backend.h"
#include "core/vulkan/kernels.h"

#include <stdio.h>
#include <string.h>

/* core/tensor/backend.c knows it by name only. */
MUST_CHECK enum status vulkan_backend_devices(struct backend_device *list, int *count, struct error *err);

static const char *const class_names[] = {
    [VK_CLASS_DISCRETE] = "discrete GPU", [VK_CLASS_INTEGRATED] = "integrated GPU", [VK_CLASS_VIRTUAL] = "virtual GPU",
    [VK_CLASS_OTHER] = "other device",    [VK_CLASS_CPU] = "software device",
};

/* What the device has of its own; where all memory is shared, that. */
static uint64_t memory_of(const struct vk_device *d)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < d->memory.memoryHeapCount; i++) {
        const VkMemoryHeap *heap = &d->memory.memoryHeaps[i];
        if ((heap->flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) && heap->size > bytes) bytes = heap->size;
    }
    return bytes;
}

/* One node of each kind that fast kernels are made for, of shapes that they are made for. */
static void build_samples(struct graph *g)
{
    const struct conv same = {.stride = 1, .pad = PAD(1)};
    struct node *x = graph_input(g, "x", DTYPE_F32, SHAPE(1, 64, 64, 128));
    struct node *conv = graph_param(g, "conv", PARAM_CONV, SHAPE(128, 3, 3, 128));
    struct node *linear = graph_param(g, "linear", PARAM_PLAIN, SHAPE(128, 128));
    graph_conv2d(g, x, conv, NULL, same);
    graph_conv2d(g, x, graph_param(g, "conv32", PARAM_CONV, SHAPE(128, 3, 3, 128)), NULL, same);
    graph_linear(g, x, linear, NULL);
    graph_linear(g, x, graph_param(g, "linear32", PARAM_PLAIN, SHAPE(128, 128)), NULL);
    struct node *tokens = graph_reshape(g, x, SHAPE(1, 4096, 128));
    graph_attention(g, tokens, tokens, tokens, (struct attention){.heads = 2});
    graph_matmul(g, tokens, tokens, false, true);
    graph_group_norm(g, x, NULL, NULL, (struct norm){.groups = 32, .eps = 1e-5f});
    graph_unary(g, x, UNARY_SILU);
    graph_concat(g, x, x, 3);
    conv->dtype = linear->dtype = DTYPE_F16; /* as when they are bound to a checkpoint's */
}

static bool can_run(const struct vk_device *d, const struct vk_family *family, const struct graph *g,
                    struct vk_job *job)
{
    char reason[BACKEND_REASON_BYTES];
    for (int i = 0; i < g->count; i++)
        for (int k = 0; k < family->count; k++) {
            const struct vk_choice only = {.only = &family->kernels[k]};
            if (family->kernels[k].op != g->nodes[i]->op) continue;
            if (vk_kernel_find(&d->caps, g->nodes[i], &only, job, reason, sizeof reason)) return true;
        }
    return false;
}

static enum status list_kernels(const struct vk_device *d, struct backend_device *out, struct error *err)
{
    struct graph g = {0};
    build_samples(&g);
    struct vk_job *job = arena_alloc(&g.arena, sizeof *job);
    enum status status = g.error.status;
    if (status != STATUS_OK) status = fail(err, status, "%s", g.error.text);
    if (status == STATUS_OK && !job) status = fail_no_memory(err, "a list of kernels", sizeof *job);
    for (int i = 0; i < vk_family_count() && status == STATUS_OK; i++) {
        const size_t used = strlen(out->kernels);
        if (vk_family_at(i)->gpu && d->caps.class == VK_CLASS_CPU) continue;
        if (can_run(d, vk_family_at(i), &g, job))
            snprintf(out->kernels + used, sizeof out->kernels - used, "%s%s%s", used ? ", " : "", vk_family_at(i)->name,
                     vk_family_at(i)->halves ? " (--compute f16)" : "");
    }
    graph_clear(&g);
    return status;
}

static enum status describe(const struct vk_device *d, struct backend_device *out, struct error *err)
{
    const uint32_t version = d->properties.apiVersion;
    out->type = class_names[d->caps.class];
    out->memory = memory_of(d);
    out->software = d->caps.class == VK_CLASS_CPU;
    snprintf(out->name, sizeof out->name, "%s", d->properties.deviceName);
    snprintf(out->driver, sizeof out->driver, "%s%s%s", d->driver.driverName, d->driver.driverInfo[0] ? " " : "",
             d->driver.driverInfo);
    snprintf(out->version, sizeof out->version, "%u.%u.%u", VK_API_VERSION_MAJOR(version),
             VK_API_VERSION_MINOR(version), VK_API_VERSION_PATCH(version));
    return list_kernels(d, out, err);
}

enum status vulkan_backend_devices(struct backend_device *list, int *count, struct error *err)
{
    for (*count = 0; *count < BACKEND_MOST_DEVICES; ++*count) {
        struct error why = {0};
        struct vk_device *device = NULL;
        struct backend_device *out = &list[*count];
        char number[16];
        *out = (struct backend_device){.type = ""};
        snprintf(number, sizeof number, "%d", *count);
        enum status status = vk_device_open(&device, number, NULL, &why);
        if (status == STATUS_ARGUMENT) return STATUS_OK; /* no device has this number */
        if (status == STATUS_OK) status = describe(device, out, &why);
        vk_device_close(device);
        if (status != STATUS_OK && *count == 0) return fail(err, status, "%s", why.text);
        snprintf(out->problem, sizeof out->problem, "%s", why.text);
    }
    return STATUS_OK;
}
