/* SPDX-License-Identifier: MIT
 *
 * How long each step took, by the device's own clock: a timestamp before the first step and one after each.
 *
 *     vk_profiler_create(&profiler, device, steps, &err);
 *     vk_profiler_begin(profiler, commands);            recorded once, outside of everything
 *     vk_profiler_step(profiler, commands, i);          after step i
 *     vk_profiler_seconds(profiler, seconds, &err);     after the run; seconds[steps]
 */
#ifndef VULKAN_PROFILER_H
#define VULKAN_PROFILER_H

#include "core/vulkan/device.h"

struct vk_profiler;

MUST_CHECK enum status vk_profiler_create(struct vk_profiler **out, struct vk_device *device, int steps,
                                          struct error *err);
void vk_profiler_destroy(struct vk_profiler *profiler); /* NULL is a no-op */

void vk_profiler_begin(struct vk_profiler *profiler, VkCommandBuffer commands);
void vk_profiler_step(struct vk_profiler *profiler, VkCommandBuffer commands, int step);
MUST_CHECK enum status vk_profiler_seconds(struct vk_profiler *profiler, double *seconds, struct error *err);

#endif
