/* SPDX-License-Identifier: MIT
 *
 * Vulkan as a backend: buffers are the device's, and running a plan is handing over commands that were recorded when
 * it ran first. A recording belongs to the arena it was made for and dies with it.
 */
#include "core/vulkan/backend_vulkan.h"

#include "core/base/memory.h"

#include <assert.h>

struct vulkan_backend {
    struct backend base;
    struct vk_context context;
    bool reference_only;
    struct vk_recording *running; /* borrowed from its arena; NULL: nothing is under way */
};

static struct vulkan_backend *vulkan(struct backend *b)
{
    return (struct vulkan_backend *)b;
}

struct vk_context *vulkan_backend_context(struct backend *backend)
{
    return &vulkan(backend)->context;
}

static enum status wait(struct backend *b, struct error *err)
{
    struct vk_recording *running = vulkan(b)->running;
    if (!running) return err->status;
    vulkan(b)->running = NULL;
    enum status status = vk_recording_wait(running, err);
    if (status == STATUS_OK && b->probe) status = vk_recording_report(running, b->probe, err);
    return status;
}

static struct buffer *alloc_buffer(struct backend *b, size_t bytes, struct error *err)
{
    return vk_buffer_create(&vulkan(b)->context.memory, bytes, err);
}

static void free_buffer(struct backend *b, struct buffer *buffer)
{
    if (!buffer) return;
    struct error err = {0};
    (void)!wait(b, &err); /* What runs may use the buffer; what went wrong with it has no reader any more. */
    vk_recording_destroy(buffer->recording);
    vk_buffer_destroy(&vulkan(b)->context.memory, buffer);
}

static enum status upload(struct backend *b, struct buffer *to, size_t offset, const void *from, size_t bytes,
                          struct error *err)
{
    const enum status status = wait(b, err);
    if (status != STATUS_OK) return status;
    return vk_buffer_write(&vulkan(b)->context.memory, to, offset, from, bytes, err);
}

static enum status download(struct backend *b, void *to, const struct buffer *from, size_t offset, size_t bytes,
                            struct error *err)
{
    const enum status status = wait(b, err);
    if (status != STATUS_OK) return status;
    return vk_buffer_read(&vulkan(b)->context.memory, to, from, offset, bytes, err);
}

static bool supports(struct backend *b, const struct node *node, size_t *work)
{
    struct vk_context *context = &vulkan(b)->context;
    struct vk_job job;
    context->choice.simple_only = vulkan(b)->reference_only || b->plain;
    if (!vk_kernel_find(&context->device->caps, node, &context->choice, &job, b->reason, sizeof b->reason))
        return false;
    if (work) *work = job.work;
    return true;
}

static enum status run(struct backend *b, const struct plan *plan, struct buffer *arena, struct error *err)
{
    assert(arena->size >= plan->bytes);
    struct vk_context *context = &vulkan(b)->context;
    enum status status = wait(b, err);
    if (status == STATUS_OK && context->device->lost)
        status = vk_check(context->device, VK_ERROR_DEVICE_LOST, "an earlier run", err);
    if (status != STATUS_OK || plan->count == 0) return status;
    const bool timed = b->probe && b->probe->timed;
    if (!arena->recording || vk_recording_made_for(arena->recording) != vk_recording_key(plan, arena, timed)) {
        vk_recording_destroy(arena->recording);
        status = vk_recording_create(&arena->recording, context, plan, arena, timed, err);
    }
    if (status == STATUS_OK) status = vk_recording_submit(arena->recording, plan, err);
    if (status == STATUS_OK) vulkan(b)->running = arena->recording;
    return status;
}

static enum status copy(struct backend *b, struct buffer *to, const struct buffer *from, size_t bytes, double *seconds,
                        struct error *err)
{
    struct vk_context *context = &vulkan(b)->context;
    struct vk_profiler *profiler = NULL;
    double passed[2] = {0};
    enum status status = wait(b, err);
    if (status == STATUS_OK) status = vk_profiler_create(&profiler, context->device, 2, err);
    if (status == STATUS_OK) status = vk_buffer_copy(&context->memory, to, from, bytes, profiler, err);
    if (status == STATUS_OK) status = vk_profiler_read(profiler, passed, err);
    vk_profiler_destroy(profiler);
    *seconds = passed[1];
    return status;
}

static void close(struct backend *b)
{
    if (!b) return;
    struct vulkan_backend *backend = vulkan(b);
    vk_pipelines_clear(&backend->context.pipelines);
    vk_memory_clear(&backend->context.memory);
    vk_device_close(backend->context.device);
    memory_free(backend);
}

static const struct backend_functions functions = {
    .name = "vulkan",
    .alloc = alloc_buffer,
    .free = free_buffer,
    .upload = upload,
    .download = download,
    .supports = supports,
    .run = run,
    .wait = wait,
    .copy = copy,
    .close = close,
};

enum status vulkan_backend_open_hooked(struct backend **out, const struct backend_options *options,
                                       const struct vk_hook *hook, struct error *err)
{
    *out = NULL;
    if (options->compute == DTYPE_BF16)
        return fail(err, STATUS_UNSUPPORTED, "compute bf16: Vulkan devices have f32 and f16; bf16 is for the CPU");
    struct vulkan_backend *backend = memory_alloc(sizeof *backend);
    if (!backend) return fail_no_memory(err, "the Vulkan backend", sizeof *backend);
    backend->base.f = &functions;
    backend->base.compute = options->compute;
    struct vk_context *context = &backend->context;
    backend->reference_only = options->reference_only;
    enum status status = vk_device_open(&context->device, options->device, hook, err);
    if (status == STATUS_OK && options->compute == DTYPE_F16 && !context->device->caps.half_storage)
        status = fail(err, STATUS_UNSUPPORTED, "compute f16: %s cannot store halves, only f32",
                      context->device->properties.deviceName);
    if (status == STATUS_OK) status = vk_memory_init(&context->memory, context->device, err);
    if (status == STATUS_OK) status = vk_pipelines_init(&context->pipelines, context->device, err);
    if (status == STATUS_OK) {
        backend->base.device = context->device->properties.deviceName;
        *out = &backend->base;
    } else {
        close(&backend->base);
    }
    return status;
}

enum status vulkan_backend_open(struct backend **out, const struct backend_options *options, struct error *err)
{
    return vulkan_backend_open_hooked(out, options, NULL, err);
}
