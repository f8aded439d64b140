/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* access */
#include "pipeline/devices.h"

#include "pipeline/api.h"

#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    enum dtype dtype;
} computes[] = {{"f32", DTYPE_F32}, {"bf16", DTYPE_BF16}, {"f16", DTYPE_F16}};

enum { COMPUTES = sizeof computes / sizeof *computes };

const char *limn_compute_name(int i)
{
    return i >= 0 && i < COMPUTES ? computes[i].name : NULL;
}

static enum status find_compute(enum dtype *dtype, const char *name, struct error *err)
{
    *dtype = DTYPE_F32;
    if (!name) return STATUS_OK;
    for (int i = 0; i < COMPUTES; i++) {
        if (strcmp(computes[i].name, name) != 0) continue;
        *dtype = computes[i].dtype;
        return STATUS_OK;
    }
    return fail(err, STATUS_ARGUMENT, "compute '%.80s': must be f32, bf16 or f16", name);
}

const char *device_compute(const struct backend *backend)
{
    for (int i = 1; i < COMPUTES; i++)
        if (computes[i].dtype == backend->compute) return computes[i].name;
    return NULL;
}

static enum status open_cpu(struct backend **out, const struct device_request *request, struct error *err)
{
    struct backend_options options = {.threads = request->threads};
    const enum status status = find_compute(&options.compute, request->compute, err);
    return status == STATUS_OK ? backend_open(out, "cpu", &options, err) : status;
}

static enum status open_vulkan(struct backend **out, const char *name, const struct device_request *request,
                               struct error *err)
{
#ifdef LIMN_VULKAN
    struct backend_options options = {0};
    const enum status status = find_compute(&options.compute, request->compute, err);
    return status == STATUS_OK ? backend_open(out, name, &options, err) : status;
#else
    struct backend_device list[BACKEND_MOST_DEVICES];
    int count;
    (void)out, (void)name, (void)request;
    return backend_devices(list, &count, err); /* which says what is missing */
#endif
}

bool device_may_fall_back(const struct backend *backend, enum status status)
{
    if (!backend || strcmp(backend->f->name, "cpu") == 0) return false;
    const bool too_much = status == STATUS_UNSUPPORTED && backend->reason[0] != '\0'; /* for this device */
    return status == STATUS_DEVICE || status == STATUS_NO_MEMORY || too_much;
}

/* Where programs reach a GPU in Linux: DRM's first render node, NVIDIA's own, and that of Windows' subsystem. */
static bool kernel_shows_gpu(void)
{
    static const char *const nodes[] = {"/dev/dri/renderD128", "/dev/nvidiactl", "/dev/dxg"};
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
        if (access(nodes[i], F_OK) == 0) return true;
    return false;
}

/* A machine without a GPU is nothing to talk about, whether it lacks the drivers too or not; one whose GPU cannot be
 * used is. */
static bool has_no_gpu(void)
{
    struct backend_device list[BACKEND_MOST_DEVICES];
    struct error err = {0};
    int count = 0;
    if (backend_devices(list, &count, &err) != STATUS_OK) return !kernel_shows_gpu();
    for (int i = 0; i < count; i++)
        if (!list[i].software) return false;
    return true;
}

static bool is_name(const char *name)
{
    return strcmp(name, "auto") == 0 || strcmp(name, "vulkan") == 0 ||
           (strncmp(name, "vulkan:", 7) == 0 && name[7] != '\0');
}

enum status device_open(struct backend **out, const char *name, const struct device_request *request, struct error *err)
{
    *out = NULL;
    if (!name || strcmp(name, "cpu") == 0) return open_cpu(out, request, err);
    if (!is_name(name))
        return fail(err, STATUS_ARGUMENT,
                    "device '%.80s': must be cpu, vulkan, vulkan:NUMBER or vulkan:NAME; limn devices lists those "
                    "there are",
                    name);
    const bool any = strcmp(name, "auto") == 0;
    struct error why = {0};
    const enum status status = open_vulkan(out, any ? "vulkan" : name, request, &why);
    if (status == STATUS_OK) return STATUS_OK;
    const bool broken = status == STATUS_DEVICE || status == STATUS_NO_MEMORY;
    if (!any && (!broken || request->no_fallback)) return fail(err, status, "%s", why.text);
    if (status != STATUS_UNSUPPORTED || !has_no_gpu())
        watch_note(request->watch, "%s; limn goes on with the CPU%s", why.text,
                   any ? " (--device cpu or LIMN_DEVICE=cpu asks for it)" : "");
    struct device_request instead = *request;
    if (broken) instead.compute = NULL; /* The CPU does what a GPU fails at in f32, as it does later on. */
    return open_cpu(out, &instead, err);
}
