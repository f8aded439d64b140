/* SPDX-License-Identifier: MIT */
#include "core/vulkan/profiler.h"

#include "core/base/memory.h"

#include <assert.h>

struct vk_profiler {
    struct vk_device *device; /* borrowed */
    VkQueryPool pool;
    uint64_t *stamps; /* owned */
    uint32_t count, recorded;
};

enum status vk_profiler_create(struct vk_profiler **out, struct vk_device *device, int stamps, struct error *err)
{
    *out = NULL;
    if (device->timestamp_bits == 0)
        return fail(err, STATUS_UNSUPPORTED,
                    "%s has no clock that kernels could be timed by; measure another device, or the CPU",
                    device->properties.deviceName);
    struct vk_profiler *p = memory_alloc(sizeof *p);
    if (!p) return fail_no_memory(err, "a profile", sizeof *p);
    *p = (struct vk_profiler){.device = device, .count = (uint32_t)stamps};
    const size_t bytes = (size_t)stamps * sizeof *p->stamps;
    p->stamps = memory_alloc(bytes);
    const VkQueryPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                        .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                        .queryCount = p->count};
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

void vk_profiler_reset(struct vk_profiler *p, VkCommandBuffer commands)
{
    p->device->f->CmdResetQueryPool(commands, p->pool, 0, p->count);
}

void vk_profiler_stamp(struct vk_profiler *p, VkCommandBuffer commands)
{
    assert(p->recorded < p->count);
    p->device->f->CmdWriteTimestamp(commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, p->pool, p->recorded++);
}

/* Bits above the valid ones are undefined, and the clock begins anew after its last value. So only differences of
 * neighbours are looked at: a run may be longer than a turn of the clock, what lies between two stamps may not. */
enum status vk_profiler_read(struct vk_profiler *p, double *seconds, struct error *err)
{
    struct vk_device *d = p->device;
    assert(p->recorded == p->count);
    const VkQueryResultFlags flags = VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT;
    const VkResult result = d->f->GetQueryPoolResults(d->handle, p->pool, 0, p->count, p->count * sizeof *p->stamps,
                                                      p->stamps, sizeof *p->stamps, flags);
    const enum status status = vk_check(d, result, "its clock", err);
    if (status != STATUS_OK) return status;
    const uint64_t mask = d->timestamp_bits >= 64 ? UINT64_MAX : (UINT64_C(1) << d->timestamp_bits) - 1;
    seconds[0] = 0;
    for (uint32_t i = 1; i < p->count; i++)
        seconds[i] =
            (double)((p->stamps[i] - p->stamps[i - 1]) & mask) * (double)d->properties.limits.timestampPeriod * 1e-9;
    return STATUS_OK;
}
