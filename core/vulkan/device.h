/* SPDX-License-Identifier: MIT
 *
 * One GPU: instance, physical and logical device, queue, and what kernels want to know about it.
 *
 *     vk_device_open(&device, "nvidia", NULL, &err)   NULL: the best real GPU; "1": number 1 of `limn devices`; else a
 *     vk_device_close(device)                         part of the name. Software devices run only when they are named.
 *
 * After a call that reports a lost device nothing more is asked of it but to be closed.
 */
#ifndef VULKAN_DEVICE_H
#define VULKAN_DEVICE_H

#include "core/vulkan/loader.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vk_class { VK_CLASS_DISCRETE, VK_CLASS_INTEGRATED, VK_CLASS_VIRTUAL, VK_CLASS_OTHER, VK_CLASS_CPU };

/* The size of fragments that a subgroup multiplies at once, halves times halves with sums in f32; m is 0 for none. */
struct vk_fragment {
    uint32_t m, n, k;
};

/* What decides which kernels run, and how. Filled once, when the device is opened; tests make their own. */
struct vk_caps {
    enum vk_class class;
    uint32_t subgroup;     /* lanes that run together */
    bool shuffle;          /* subgroup shuffles in compute shaders */
    bool arithmetic;       /* subgroup sums and maxima there */
    bool subgroup_control; /* a kernel may ask for whole subgroups of `subgroup` lanes */
    bool int64;            /* integers of 64 bits in shaders */
    bool half_storage;     /* buffers of halves */
    bool texels;           /* kernels may read values by texels (vk_as_texels): of any size, at any offset */
    uint32_t cores;        /* processors that run workgroups; a guess, unless the driver says it */
    struct vk_fragment fragment;
    uint32_t invocations;      /* most in a workgroup */
    uint32_t shared_bytes;     /* of a workgroup's shared memory */
    uint32_t groups[3];        /* most workgroups of a dispatch */
    uint64_t storage_range;    /* most bytes that a kernel sees of one value */
    uint64_t allocation_bytes; /* most bytes of one buffer */
    uint64_t loop_limit;       /* most iterations of all loops of an invocation together */
};

enum { VK_DEVICE_NAME_BYTES = VK_MAX_PHYSICAL_DEVICE_NAME_SIZE + 1 };

struct vk_device {
    struct vk_loader loader;
    const struct vk_functions *f; /* loader.f, for short */
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice handle;
    VkQueue queue;
    uint32_t family;
    VkPhysicalDeviceMemoryProperties memory;
    VkPhysicalDeviceProperties properties;
    VkPhysicalDeviceDriverProperties driver;
    uint32_t timestamp_bits;
    struct vk_caps caps;
    bool lost;
    uint64_t serial; /* numbers given out so far: every buffer has one of its own */
};

MUST_CHECK enum status vk_device_open(struct vk_device **out, const char *selector, const struct vk_hook *hook,
                                      struct error *err);
void vk_device_close(struct vk_device *device); /* NULL is a no-op */

/* STATUS_OK for VK_SUCCESS; else a sentence that names the device and what it was at (a noun: "compiling", "8.0 MiB of
 * values"), and marks a lost device. */
MUST_CHECK enum status vk_check(struct vk_device *device, VkResult result, const char *what, struct error *err);

/* Waits for work that was handed over with the fence; `what` as in vk_check. When it fails nothing of that work runs
 * any more, unless the device is stuck for good. */
MUST_CHECK enum status vk_device_wait(struct vk_device *device, VkFence fence, const char *what, struct error *err);

#endif
