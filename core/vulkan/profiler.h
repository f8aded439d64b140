/* SPDX-License-Identifier: MIT
 *
 * What passes between points of recorded commands, by the device's own clock.
 *
 *     vk_profiler_create(&profiler, device, 3, &err);
 *     vk_profiler_reset(profiler, commands);            recorded once, before the first stamp
 *     vk_profiler_stamp(profiler, commands);            recorded three times, in any number of command buffers
 *     vk_profiler_read(profiler, seconds, &err);        after the run: seconds[3], each since the stamp before
 */
#ifndef VULKAN_PROFILER_H
#define VULKAN_PROFILER_H

#include "core/vulkan/device.h"

struct vk_profiler;

/* STATUS_UNSUPPORTED where the device has no such clock. */
MUST_CHECK enum status vk_profiler_create(struct vk_profiler **out, struct vk_device *device, int stamps,
                                          struct error *err);
void vk_profiler_destroy(struct vk_profiler *profiler); /* NULL is a no-op */

void vk_profiler_reset(struct vk_profiler *profiler, VkCommandBuffer commands);
/* The time when all that was recorded before has been done. */
void vk_profiler_stamp(struct vk_profiler *profiler, VkCommandBuffer commands);
MUST_CHECK enum status vk_profiler_read(struct vk_profiler *profiler, double *seconds, struct error *err);

#endif
