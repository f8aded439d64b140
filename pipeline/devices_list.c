/* SPDX-License-Identifier: MIT
 *
 * What limn can compute on, for `limn devices`.
 */
#define _POSIX_C_SOURCE 200809L /* sysconf */
#include "core/base/memory.h"
#include "pipeline/api.h"
#include "pipeline/devices.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct devices_memory {
    struct backend_device gpus[BACKEND_MOST_DEVICES];
    struct limn_device list[BACKEND_MOST_DEVICES + 1];
    struct error why;
    char cpu_kernels[64];
};

static struct limn_device of_cpu(struct devices_memory *m)
{
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    snprintf(m->cpu_kernels, sizeof m->cpu_kernels, "%ld processors", sysconf(_SC_NPROCESSORS_ONLN));
    return (struct limn_device){.name = "CPU",
                                .type = "processor",
                                .driver = "",
                                .version = "",
                                .kernels = m->cpu_kernels,
                                .problem = "",
                                .memory = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0,
                                .number = -1};
}

enum limn_status limn_devices_read(struct limn_devices *devices, struct limn_error *error)
{
    struct error err = {0};
    int count = 0;
    *devices = (struct limn_devices){0};
    struct devices_memory *m = memory_alloc(sizeof *m);
    if (!m) {
        err.status = fail_no_memory(&err, "a list of devices", sizeof *m);
        return api_result(error, &err);
    }
    *devices = (struct limn_devices){.list = m->list, .count = 1, .memory = m};
    m->list[0] = of_cpu(m);
    if (backend_devices(m->gpus, &count, &m->why) != STATUS_OK) devices->problem = m->why.text;
    struct limn_device *usual = &m->list[0];
    for (int i = 0; i < count; i++) {
        const struct backend_device *gpu = &m->gpus[i];
        struct limn_device *d = &m->list[devices->count++];
        *d = (struct limn_device){.name = gpu->name,
                                  .type = gpu->type,
                                  .driver = gpu->driver,
                                  .version = gpu->version,
                                  .kernels = gpu->kernels,
                                  .problem = gpu->problem,
                                  .memory = gpu->memory,
                                  .number = i};
        if (i == 0 && !gpu->software && !gpu->problem[0]) usual = d;
    }
    usual->usual = 1;
    return api_result(error, &err);
}

void limn_devices_clear(struct limn_devices *devices)
{
    if (!devices) return;
    memory_free(devices->memory);
    *devices = (struct limn_devices){0};
}
