/* SPDX-License-Identifier: MIT
 *
 * Buffers of a device, and the way of bytes there and back: straight through a mapping where host and device share
 * memory, else in pieces through a staging buffer.
 *
 *     struct buffer *b = vk_buffer_create(&memory, bytes, &err);
 *     vk_buffer_write(&memory, b, 0, values, bytes, &err);        returns when the bytes are there
 *     vk_buffer_destroy(&memory, b);
 */
#ifndef VULKAN_MEMORY_H
#define VULKAN_MEMORY_H

#include "core/vulkan/device.h"

struct vk_profiler;
struct vk_recording;

struct buffer {
    VkBuffer handle;
    VkDeviceMemory memory;
    char *mapped; /* NULL: not visible to the host */
    size_t size;
    uint64_t serial;                /* of this buffer alone, in the life of its device */
    struct vk_recording *recording; /* owned by the backend: of the plan that runs in this buffer; NULL: none yet */
};

/* Zero-initialised it can be cleared. */
struct vk_memory {
    struct vk_device *device; /* borrowed */
    struct buffer *staging;   /* made when it is first needed */
    VkCommandPool pool;
    VkCommandBuffer commands;
    VkFence fence;
    bool always_staged; /* for tests: as if the host did not see the device's memory */
};

MUST_CHECK enum status vk_memory_init(struct vk_memory *memory, struct vk_device *device, struct error *err);
void vk_memory_clear(struct vk_memory *memory);

struct buffer *vk_buffer_create(struct vk_memory *memory, size_t bytes, struct error *err); /* NULL on failure */
/* One that the host sees: for flags that kernels raise. */
struct buffer *vk_buffer_create_shared(struct vk_memory *memory, size_t bytes, struct error *err);
void vk_buffer_destroy(struct vk_memory *memory, struct buffer *buffer); /* NULL is a no-op */

MUST_CHECK enum status vk_buffer_write(struct vk_memory *memory, struct buffer *to, size_t offset, const void *from,
                                       size_t bytes, struct error *err);
MUST_CHECK enum status vk_buffer_read(struct vk_memory *memory, void *to, const struct buffer *from, size_t offset,
                                      size_t bytes, struct error *err);
/* From the device's memory to the device's memory. profiler: gets a stamp before and one after; NULL: not timed. */
MUST_CHECK enum status vk_buffer_copy(struct vk_memory *memory, struct buffer *to, const struct buffer *from,
                                      size_t bytes, struct vk_profiler *profiler, struct error *err);

#endif
