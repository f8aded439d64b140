/* SPDX-License-Identifier: MIT
 *
 * The Vulkan loader, opened at run time: a machine without one gets a sentence, not a program that does not start.
 *
 *     vk_loader_open(&loader, &err)                global functions
 *     vk_loader_instance(&loader, instance, &err)  after CreateInstance
 *     vk_loader_device(&loader, device, &err)      after CreateDevice
 *     vk_loader_close(&loader)                     also right for one that is half open, or zeroed
 */
#ifndef VULKAN_LOADER_H
#define VULKAN_LOADER_H

#include "core/base/status.h"
#include "core/vulkan/functions.h"

struct vk_loader {
    void *library; /* owned */
    struct vk_functions f;
    const struct vk_hook *hook; /* borrowed; NULL: none */
};

MUST_CHECK enum status vk_loader_open(struct vk_loader *loader, struct error *err);
MUST_CHECK enum status vk_loader_instance(struct vk_loader *loader, VkInstance instance, struct error *err);
MUST_CHECK enum status vk_loader_device(struct vk_loader *loader, VkDevice device, struct error *err);
void vk_loader_close(struct vk_loader *loader);

#endif
