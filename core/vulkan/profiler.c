/* SPDX-License-Identifier: MIT */
#include "core/vulkan/profiler.h"

#include "core/base/memory.h"

struct vk_profiler {
    struct vk_device *device; /* borrowed */
    VkQueryPool pool;
    uint64_t *stamps; /* owned; steps + 1 */
    int steps;
};

enum status vk_profiler_create(struct vk_profiler **out, struct vk_device *device, int steps, struct error *err)
{
    *out = NULL;
    if (device->timestamp_bits == 0)
        return fail(err, STATUS_UNSUPPORTED, "%s has no clock that kernels could be timed by",
                    device->properties.deviceName);
    struct vk_profiler *p = memory_alloc(sizeof *p);
    if (!p) return fail_no_memory(err, "a profile", sizeof *p);
    *p = (struct vk_profiler){.device = device, .steps = steps};
    const size_t bytes = ((size_t)steps + 1) * sizeof *p->stamps;
    p->stamps = memory_alloc(bytes);
    const VkQueryPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                        .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                        .queryCount = (uint32_t)steps + 1};
    enum status status = p->stamps ? STATUS_OK : fail_no_memory(err, "a profile", bytes);
    if (status == STATUS_OK)
        status = vk_check(device, device->f->CreateQueryPool(device->handle, &info, NULL, &p->pool), "a profile", err);
    if (status == STATUS_OK) {
        *out = p;
    } else {
        vk_profiler_destroy(p);
    }
    return status;
}

void vk_profiler_destroy(struct vk_profiler *p)
{
    if (!p) return;
    if (p->pool) p->device->f->DestroyQueryPool(p->device->handle, p->pool, NULL);
    memory_free(p->stamps);
    memory_free(p);
}

void vk_profiler_begin(struct vk_profiler *p, VkCommandBuffer commands)
{
    p->device->f->CmdResetQueryPool(commands, p->pool, 0, (uint32_t)p->steps + 1);
    p->device->f->CmdWriteTimestamp(commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, p->pool, 0);
}

void vk_profiler_step(struct vk_profiler *p, VkCommandBuffer commands, int step)
{
    p->device->f->CmdWriteTimestamp(commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, p->pool, (uint32_t)step + 1);
}

enum status vk_profiler_seconds(struct vk_profiler *p, double *seconds, struct error *err)
{
    struct vk_device *d = p->device;
    const size_t count = (size_t)p->steps + 1;
    const enum status status =
        vk_check(d,
                 d->f->GetQueryPoolResults(d->handle, p->pool, 0, (uint32_t)count, count * sizeof *p->stamps, p->stamps,
                                           sizeof *p->stamps, VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT),
                 "its clock", err);
    if (status != STATUS_OK) return status;
    const uint64_t mask = d->timestamp_bits >= 64 ? UINT64_MAX : (UINT64_C(1) << d->timestamp_bits) - 1;
    for (int i = 0; i < p->steps; i++)
        seconds[i] =
            (double)((p->stamps[i + 1] - p->stamps[i]) & mask) * (double)d->properties.limits.timestampPeriod * 1e-9;
    return STATUS_OK;
}
