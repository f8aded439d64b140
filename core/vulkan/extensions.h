/* SPDX-License-Identifier: MIT
 *
 * What devices tell of themselves beyond the core of Vulkan. Nothing here has to be there: a device without an
 * extension has caps as if there were none.
 */
#ifndef VULKAN_EXTENSIONS_H
#define VULKAN_EXTENSIONS_H

#include "core/vulkan/cooperative.h"
#include "core/vulkan/device.h"

/* Fills in what read_caps of device.c leaves: caps.cores and caps.fragment. */
MUST_CHECK enum status vk_extensions_read(struct vk_device *device, struct error *err);

/* What has to be asked for when the logical device is made, so that caps.fragment can be used. */
struct vk_wanted {
    struct cooperative_features cooperative;
    VkPhysicalDeviceShaderFloat16Int8Features float16;
    VkPhysicalDeviceVulkanMemoryModelFeatures memory_model;
    const char *names[1];
};

/* Asks for it in `info`, whose chain goes on behind. `wanted` must live until the device is made. */
void vk_extensions_want(const struct vk_caps *caps, struct vk_wanted *wanted, VkDeviceCreateInfo *info);

#endif
