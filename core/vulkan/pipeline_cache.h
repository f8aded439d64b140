/* SPDX-License-Identifier: MIT
 *
 * What the driver compiled, kept on disk: $XDG_CACHE_HOME/limn/pipelines-VENDOR-DEVICE.bin, or in ~/.cache. The
 * driver's bytes stand behind a header of limn's own, for drivers have been seen to crash on what was not theirs, or
 * was cut off. Whatever is wrong with the file, there is simply no cache; nothing here fails.
 *
 *     struct vk_cached cached;
 *     pipeline_cache_load(&cached, &properties)     cached.bytes may be NULL
 *     pipeline_cache_free(&cached);
 *     pipeline_cache_save(&properties, bytes, size);
 */
#ifndef VULKAN_PIPELINE_CACHE_H
#define VULKAN_PIPELINE_CACHE_H

#include "core/vulkan/functions.h"

#include <stddef.h>

struct vk_cached {
    void *bytes; /* owned; what is handed to the driver */
    size_t size;
    void *file; /* owned; `bytes` lies in it */
};

void pipeline_cache_load(struct vk_cached *cached, const VkPhysicalDeviceProperties *device);
void pipeline_cache_free(struct vk_cached *cached);
void pipeline_cache_save(const VkPhysicalDeviceProperties *device, const void *bytes, size_t size);

#endif
