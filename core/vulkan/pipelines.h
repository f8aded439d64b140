/* SPDX-License-Identifier: MIT
 *
 * Pipelines: a shader with its specialisation constants, compiled by the driver. Each is made once, when a plan is
 * recorded, and lives as long as the device.
 */
#ifndef VULKAN_PIPELINES_H
#define VULKAN_PIPELINES_H

#include "core/vulkan/kernels.h"

struct vk_pipeline;

/* Zero-initialised it can be cleared. */
struct vk_pipelines {
    struct vk_device *device;                        /* borrowed */
    VkDescriptorSetLayout sets[VK_MAX_BINDINGS + 1]; /* by number of bindings; made when first needed */
    VkPipelineLayout layouts[VK_MAX_BINDINGS + 1];   /* the same, with 128 bytes of push constants */
    VkPipelineCache cache;                           /* the driver's, kept on disk (pipeline_cache.h) */
    size_t cached_bytes;                             /* that the cache began with */
    struct vk_pipeline *made;                        /* owned; `count` of them */
    int count, capacity;
};

MUST_CHECK enum status vk_pipelines_init(struct vk_pipelines *p, struct vk_device *device, struct error *err);
void vk_pipelines_clear(struct vk_pipelines *p);

/* The pipeline of such a dispatch; its layouts are then in p->sets and p->layouts[d->binding_count]. */
MUST_CHECK enum status vk_pipelines_get(struct vk_pipelines *p, const struct vk_dispatch *d, VkPipeline *out,
                                        struct error *err);

#endif
