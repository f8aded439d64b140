/* SPDX-License-Identifier: MIT */
#include "core/vulkan/memory.h"

#include "core/base/memory.h"
#include "core/vulkan/profiler.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { STAGING_BYTES = 16 << 20, ROUNDING = 256 };

enum { HOST = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT };

enum status vk_memory_init(struct vk_memory *memory, struct vk_device *device, struct error *err)
{
    memory->device = device;
    const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                          .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                          .queueFamilyIndex = device->family};
    const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    enum status status =
        vk_check(device, device->f->CreateCommandPool(device->handle, &pool, NULL, &memory->pool), "copying", err);
    if (status != STATUS_OK) return status;
    const VkCommandBufferAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, .commandPool = memory->pool, .commandBufferCount = 1};
    status =
        vk_check(device, device->f->AllocateCommandBuffers(device->handle, &info, &memory->commands), "copying", err);
    if (status != STATUS_OK) return status;
    return vk_check(device, device->f->CreateFence(device->handle, &fence, NULL, &memory->fence), "copying", err);
}

void vk_memory_clear(struct vk_memory *memory)
{
    struct vk_device *d = memory->device;
    if (!d) return;
    vk_buffer_destroy(memory, memory->staging);
    if (memory->fence) d->f->DestroyFence(d->handle, memory->fence, NULL);
    if (memory->pool) d->f->DestroyCommandPool(d->handle, memory->pool, NULL); /* with its command buffer */
    *memory = (struct vk_memory){0};
}

/* ---- buffers ---- */

/* The first type with all of `need`, and of those one with all of `want` if there is such. UINT32_MAX: none. */
static uint32_t find_type(const struct vk_device *d, uint32_t allowed, VkMemoryPropertyFlags need,
                          VkMemoryPropertyFlags want)
{
    uint32_t found = UINT32_MAX;
    for (uint32_t i = 0; i < d->memory.memoryTypeCount; i++) {
        const VkMemoryPropertyFlags flags = d->memory.memoryTypes[i].propertyFlags;
        if (!(allowed >> i & 1) || (flags & need) != need) continue;
        if ((flags & want) == want) return i;
        if (found == UINT32_MAX) found = i;
    }
    return found;
}

static enum status bind_memory(struct vk_memory *memory, struct buffer *buffer, VkMemoryPropertyFlags need,
                               VkMemoryPropertyFlags want, const char *what, struct error *err)
{
    struct vk_device *d = memory->device;
    VkMemoryRequirements needs;
    d->f->GetBufferMemoryRequirements(d->handle, buffer->handle, &needs);
    const uint32_t type = find_type(d, needs.memoryTypeBits, need, want);
    if (type == UINT32_MAX) return vk_check(d, VK_ERROR_OUT_OF_DEVICE_MEMORY, what, err);
    const VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .allocationSize = needs.size, .memoryTypeIndex = type};
    enum status status = vk_check(d, d->f->AllocateMemory(d->handle, &info, NULL, &buffer->memory), what, err);
    if (status != STATUS_OK) return status;
    status = vk_check(d, d->f->BindBufferMemory(d->handle, buffer->handle, buffer->memory, 0), what, err);
    const bool visible = (d->memory.memoryTypes[type].propertyFlags & HOST) == HOST;
    if (status != STATUS_OK || !visible || (memory->always_staged && need != HOST)) return status;
    void *mapped = NULL;
    status = vk_check(d, d->f->MapMemory(d->handle, buffer->memory, 0, VK_WHOLE_SIZE, 0, &mapped), what, err);
    buffer->mapped = mapped;
    return status;
}

static struct buffer *create_buffer(struct vk_memory *memory, size_t bytes, VkMemoryPropertyFlags need,
                                    VkMemoryPropertyFlags want, struct error *err)
{
    struct vk_device *d = memory->device;
    struct buffer *buffer = memory_alloc(sizeof *buffer);
    if (!buffer) {
        fail_no_memory(err, "a buffer", sizeof *buffer);
        return NULL;
    }
    char what[64];
    snprintf(what, sizeof what, "%.1f MiB of values", (double)bytes / (1024.0 * 1024.0));
    /* Rounded up, so that the last kernel may read whole vectors. */
    buffer->size = (bytes / ROUNDING + 1) * ROUNDING;
    buffer->serial = ++d->serial;
    enum status status;
    if (buffer->size > d->caps.allocation_bytes) {
        status = fail(err, STATUS_NO_MEMORY,
                      "%s gives at most %.1f MiB in one piece, and %s are needed; make the picture smaller or fewer at "
                      "a time, or run on the CPU",
                      d->properties.deviceName, (double)d->caps.allocation_bytes / (1024.0 * 1024.0), what);
        goto done;
    }
    const VkBufferUsageFlags texels = d->caps.texels ? VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT : 0;
    const VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                     .size = buffer->size,
                                     .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                              VK_BUFFER_USAGE_TRANSFER_DST_BIT | texels};
    status = vk_check(d, d->f->CreateBuffer(d->handle, &info, NULL, &buffer->handle), what, err);
    if (status == STATUS_OK) status = bind_memory(memory, buffer, need, want, what, err);
done:
    if (status == STATUS_OK) return buffer;
    vk_buffer_destroy(memory, buffer);
    return NULL;
}

struct buffer *vk_buffer_create(struct vk_memory *memory, size_t bytes, struct error *err)
{
    const enum vk_class class = memory->device->caps.class;
    const bool shared = class == VK_CLASS_CPU || class == VK_CLASS_INTEGRATED;
    return create_buffer(memory, bytes, 0,
                         VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | (shared ? (VkMemoryPropertyFlags)HOST : 0), err);
}

struct buffer *vk_buffer_create_shared(struct vk_memory *memory, size_t bytes, struct error *err)
{
    return create_buffer(memory, bytes, HOST, VK_MEMORY_PROPERTY_HOST_CACHED_BIT, err);
}

void vk_buffer_destroy(struct vk_memory *memory, struct buffer *buffer)
{
    if (!buffer) return;
    const struct vk_device *d = memory->device;
    if (buffer->handle) d->f->DestroyBuffer(d->handle, buffer->handle, NULL);
    if (buffer->memory) d->f->FreeMemory(d->handle, buffer->memory, NULL);
    memory_free(buffer);
}

/* ---- copies ---- */

static enum status copy_and_wait(struct vk_memory *memory, const struct buffer *from, const struct buffer *to,
                                 VkBufferCopy region, struct vk_profiler *profiler, struct error *err)
{
    struct vk_device *d = memory->device;
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                            .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    const VkMemoryBarrier before = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                    .srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
                                    .dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT};
    const VkMemoryBarrier after = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                   .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
                                   .dstAccessMask = VK_ACCESS_HOST_READ_BIT | VK_ACCESS_MEMORY_READ_BIT};
    const VkPipelineStageFlags all = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, copy = VK_PIPELINE_STAGE_TRANSFER_BIT;
    enum status status = vk_check(d, d->f->BeginCommandBuffer(memory->commands, &begin), "copying", err);
    if (status != STATUS_OK) return status;
    d->f->CmdPipelineBarrier(memory->commands, all, copy, 0, 1, &before, 0, NULL, 0, NULL);
    if (profiler) vk_profiler_reset(profiler, memory->commands);
    if (profiler) vk_profiler_stamp(profiler, memory->commands);
    d->f->CmdCopyBuffer(memory->commands, from->handle, to->handle, 1, &region);
    if (profiler) vk_profiler_stamp(profiler, memory->commands);
    d->f->CmdPipelineBarrier(memory->commands, copy, all | VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &after, 0, NULL, 0, NULL);
    status = vk_check(d, d->f->EndCommandBuffer(memory->commands), "copying", err);
    if (status == STATUS_OK) status = vk_check(d, d->f->ResetFences(d->handle, 1, &memory->fence), "copying", err);
    if (status != STATUS_OK) return status;
    const VkSubmitInfo submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &memory->commands};
    status = vk_check(d, d->f->QueueSubmit(d->queue, 1, &submit, memory->fence), "copying", err);
    if (status != STATUS_OK) return status;
    return vk_device_wait(d, memory->fence, "copying", err);
}

static enum status need_staging(struct vk_memory *memory, struct error *err)
{
    if (!memory->staging) memory->staging = vk_buffer_create_shared(memory, STAGING_BYTES, err);
    return memory->staging ? STATUS_OK : err->status;
}

enum status vk_buffer_write(struct vk_memory *memory, struct buffer *to, size_t offset, const void *from, size_t bytes,
                            struct error *err)
{
    assert(offset <= to->size && bytes <= to->size - offset);
    if (to->mapped) {
        memcpy(to->mapped + offset, from, bytes);
        return STATUS_OK;
    }
    enum status status = need_staging(memory, err);
    for (size_t at = 0; at < bytes && status == STATUS_OK; at += STAGING_BYTES) {
        const size_t piece = bytes - at < STAGING_BYTES ? bytes - at : STAGING_BYTES;
        memcpy(memory->staging->mapped, (const char *)from + at, piece);
        status = copy_and_wait(memory, memory->staging, to, (VkBufferCopy){0, offset + at, piece}, NULL, err);
    }
    return status;
}

enum status vk_buffer_read(struct vk_memory *memory, void *to, const struct buffer *from, size_t offset, size_t bytes,
                           struct error *err)
{
    assert(offset <= from->size && bytes <= from->size - offset);
    if (from->mapped) {
        memcpy(to, from->mapped + offset, bytes);
        return STATUS_OK;
    }
    enum status status = need_staging(memory, err);
    for (size_t at = 0; at < bytes && status == STATUS_OK; at += STAGING_BYTES) {
        const size_t piece = bytes - at < STAGING_BYTES ? bytes - at : STAGING_BYTES;
        status = copy_and_wait(memory, from, memory->staging, (VkBufferCopy){offset + at, 0, piece}, NULL, err);
        if (status == STATUS_OK) memcpy((char *)to + at, memory->staging->mapped, piece);
    }
    return status;
}

enum status vk_buffer_copy(struct vk_memory *memory, struct buffer *to, const struct buffer *from, size_t bytes,
                           struct vk_profiler *profiler, struct error *err)
{
    assert(bytes <= from->size && bytes <= to->size);
    return copy_and_wait(memory, from, to, (VkBufferCopy){0, 0, bytes}, profiler, err);
}
