/* SPDX-License-Identifier: MIT
 *
 * Pipelines: a shader with its specialisation constants, compiled by the driver. Each is made once, when a plan is
 * recorded, and lives as long as the device.
 */
#ifndef VULKAN_PIPELINES_H
#define VULKAN_PIPELINES_H

#include "core/vulkan/kernels.h"

struct vk_pipeline;

struct vk_layout {
    VkDescriptorSetLayout set;
    VkPipelineLayout pipeline; /* of that set and 128 bytes of push constants */
};

/* Zero-initialised it can be cleared. */
struct vk_pipelines {
    struct vk_device *device; /* borrowed */
    /* By the number of bindings, and of those read by texels; made when first needed. */
    struct vk_layout layouts[VK_MAX_BINDINGS + 1][VK_MAX_BINDINGS];
    VkPipelineCache cache;    /* the driver's, kept on disk (pipeline_cache.h) */
    size_t cached_bytes;      /* that the cache began with */
    struct vk_pipeline *made; /* owned; `count` of them */
    int count, capacity;
};

MUST_CHECK enum status vk_pipelines_init(struct vk_pipelines *p, struct vk_device *device, struct error *err);
void vk_pipelines_clear(struct vk_pipelines *p);

/* The pipeline of such a dispatch, and its layout, which is p's. */
MUST_CHECK enum status vk_pipelines_get(struct vk_pipelines *p, const struct vk_dispatch *d, VkPipeline *out,
                                        const struct vk_layout **layout, struct error *err);

#endif
