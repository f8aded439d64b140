/* SPDX-License-Identifier: MIT
 *
 * A plan as command buffers: recorded once, run as often as one likes.
 *
 *     vk_recording_create(&recording, &context, plan, arena, timed, &err);
 *     vk_recording_submit(recording, plan, &err); vk_recording_wait(recording, &err);
 *     vk_recording_destroy(recording);
 *
 * A recording holds addresses: of the arena, and of the weights. vk_recording_key is a number for all that it depends
 * on; a plan that has the same key may run it, whatever became of the plan it was made from.
 */
#ifndef VULKAN_RECORDING_H
#define VULKAN_RECORDING_H

#include "core/tensor/exec.h"
#include "core/vulkan/memory.h"
#include "core/vulkan/pipelines.h"
#include "core/vulkan/profiler.h"

struct vk_context {
    struct vk_device *device;
    struct vk_memory memory;
    struct vk_pipelines pipelines;
    struct vk_choice choice; /* of kernels; what is recorded already stays as it is */
};

struct vk_recording;

uint64_t vk_recording_key(const struct plan *plan, const struct buffer *arena, bool timed);

/* timed: every step is waited for before the next one begins, and its time is taken. */
MUST_CHECK enum status vk_recording_create(struct vk_recording **out, struct vk_context *context,
                                           const struct plan *plan, struct buffer *arena, bool timed,
                                           struct error *err);
void vk_recording_destroy(struct vk_recording *recording); /* NULL is a no-op; not while it runs */

uint64_t vk_recording_made_for(const struct vk_recording *recording); /* its key */
MUST_CHECK enum status vk_recording_submit(struct vk_recording *recording, const struct plan *plan, struct error *err);
/* Until it is done; reports what only the data could show, as an id outside a table. */
MUST_CHECK enum status vk_recording_wait(struct vk_recording *recording, struct error *err);
/* Tells the probe of each step; after vk_recording_wait. Times go to a probe that asks for them and was there when the
 * plan was recorded. */
MUST_CHECK enum status vk_recording_report(struct vk_recording *recording, const struct backend_probe *probe,
                                           struct error *err);

#endif
