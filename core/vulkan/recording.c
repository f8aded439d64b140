/* SPDX-License-Identifier: MIT
 *
 * Between two dispatches there is a barrier only where the second reads what one since the last barrier wrote, or
 * writes what one read or wrote; that is known from the byte ranges that they bind in the arena:
 *
 *     conv   reads [   0, 4096)  writes [4096, 8192)
 *     norm   reads [8192, 9216)  writes [9216, 10240)    nothing in common: both may run at once
 *     add    reads [4096, 8192)  ...                     reads what conv wrote: a barrier, and the lists begin anew
 *
 * Commands are cut into pieces of limited work, each with its own fence: a driver that watches over time sees none that
 * is too long, and when a device is lost it is known among which steps.
 */
#include "core/vulkan/recording.h"

#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/tensor/flops.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
    MOST_RANGES = 64,  /* a list that is full costs a barrier */
    PIECE_STEPS = 256, /* a piece has at most so many steps, and ends when it has so much work */
    PIECE_GFLOP = 100,
    REASON_BYTES = 160,
    CHECK_BYTES = MEMORY_ALIGNMENT,
    NO_CHECK = -1,
};

struct range {
    size_t begin, end;
};

struct ranges {
    struct range list[MOST_RANGES];
    int count;
};

struct piece {
    VkCommandBuffer commands;
    VkFence fence;
    int first, end; /* its steps */
};

struct vk_recording {
    struct vk_context *context; /* borrowed */
    struct buffer *arena;       /* borrowed */
    uint64_t key;
    struct arena memory;       /* everything below that is memory of the host */
    const struct node **nodes; /* by step; borrowed from the plan that was submitted last */
    const char **kernels;      /* by step: the shader of its first dispatch */
    int *checks;               /* by step: its flag's number, or NO_CHECK */
    size_t *id_offsets;        /* by step: where the ids that it checks lie in the arena */
    int steps;
    struct piece *pieces;
    int piece_count;
    VkCommandPool commands;
    VkDescriptorPool descriptors;
    VkBufferView *views; /* of values that are read by texels */
    int view_count;
    struct buffer *flags; /* one a check: UINT32_MAX, or the first place where something was wrong */
    int check_count;
    struct vk_profiler *profiler; /* a stamp at the beginning of each piece and after each step; NULL: not timed */
    double submitted;             /* clock_seconds of the last time */
    struct ranges reads, writes;  /* since the last barrier, while recording */
    bool running;
};

/* ---- the key ---- */

static uint64_t mix(uint64_t hash, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;
    for (; count > 0;) {
        uint64_t word = 0;
        const size_t n = count < sizeof word ? count : sizeof word;
        memcpy(&word, at, n);
        hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 32;
        at += n;
        count -= n;
    }
    return hash;
}

static uint64_t mix_operand(uint64_t hash, const struct plan *plan, const struct node *in)
{
    uint64_t words[4] = {0};
    if (in && in->op == OP_PARAM) {
        words[0] = in->as.param.weight->buffer->serial;
        words[1] = in->as.param.weight->offset;
    } else if (in) {
        words[1] = plan->offsets[in->index];
    }
    words[2] = in ? 1 + (uint64_t)in->dtype : 0;
    hash = mix(hash, words, sizeof words);
    return in ? mix(hash, &in->shape, sizeof in->shape) : hash;
}

uint64_t vk_recording_key(const struct plan *plan, const struct buffer *arena, bool timed)
{
    const uint64_t words[] = {arena->serial, (uint64_t)plan->count, timed};
    uint64_t hash = mix(0, words, sizeof words);
    for (int i = 0; i < plan->count; i++) {
        const struct plan_step *step = &plan->steps[i];
        const struct node *node = step->node;
        const uint64_t more[] = {(uint64_t)node->op, (uint64_t)node->dtype, step->offset, step->work,
                                 step->work_offset};
        hash = mix(hash, more, sizeof more);
        hash = mix(hash, &node->shape, sizeof node->shape);
        hash = mix(hash, &node->as, sizeof node->as);
        for (int j = 0; j < node->inputs; j++) hash = mix_operand(hash, plan, node->input[j]);
    }
    return hash;
}

uint64_t vk_recording_made_for(const struct vk_recording *r)
{
    return r->key;
}

/* ---- barriers ---- */

static bool overlaps(const struct ranges *ranges, struct range range)
{
    for (int i = 0; i < ranges->count; i++)
        if (range.begin < ranges->list[i].end && ranges->list[i].begin < range.end) return true;
    return false;
}

static void barrier(struct vk_recording *r, VkCommandBuffer commands)
{
    const VkMemoryBarrier memory = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                    .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                                    .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT};
    const VkPipelineStageFlags stage = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT;
    r->context->device->f->CmdPipelineBarrier(commands, stage, stage, 0, 1, &memory, 0, NULL, 0, NULL);
    r->reads.count = r->writes.count = 0;
}

/* What host and copies did before, and what they may do after, is seen by all. */
static void border(const struct vk_recording *r, VkCommandBuffer commands)
{
    const VkAccessFlags any = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT;
    const VkMemoryBarrier memory = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                    .srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT | VK_ACCESS_HOST_WRITE_BIT,
                                    .dstAccessMask = any | VK_ACCESS_HOST_READ_BIT};
    const VkPipelineStageFlags all = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT | VK_PIPELINE_STAGE_HOST_BIT;
    r->context->device->f->CmdPipelineBarrier(commands, all, all, 0, 1, &memory, 0, NULL, 0, NULL);
}

/* ---- recording ---- */

/* What a binding of this step shows: its buffer, offset and length. */
static VkDescriptorBufferInfo locate(const struct vk_recording *r, const struct plan *plan, int step,
                                     const struct vk_binding *binding)
{
    const struct plan_step *s = &plan->steps[step];
    VkDescriptorBufferInfo at = {.buffer = r->arena->handle, .range = vk_binding_bytes(s->node, binding)};
    at.range = (at.range + 15) / 16 * 16; /* kernels may read whole vectors; buffers are rounded up further */
    if (binding->operand == VK_OUT) {
        at.offset = s->offset;
    } else if (binding->operand == VK_WORK) {
        assert(binding->offset + binding->bytes <= s->work);
        at.offset = s->work_offset + binding->offset;
    } else if (binding->operand == VK_CHECK) {
        at.buffer = r->flags->handle;
        at.offset = (VkDeviceSize)(r->checks[step] * CHECK_BYTES);
    } else {
        const struct node *in = s->node->input[binding->operand];
        at.offset = in->op == OP_PARAM ? in->as.param.weight->offset : plan->offsets[in->index];
        if (in->op == OP_PARAM) at.buffer = in->as.param.weight->buffer->handle;
    }
    return at;
}

static void note_range(struct ranges *ranges, struct range range)
{
    assert(ranges->count < MOST_RANGES);
    ranges->list[ranges->count++] = range;
}

/* Puts a barrier before a dispatch that needs one, and notes what it touches. */
static void order(struct vk_recording *r, VkCommandBuffer commands, const struct vk_dispatch *d,
                  const VkDescriptorBufferInfo *at)
{
    bool wait = r->reads.count + d->binding_count > MOST_RANGES || r->writes.count + d->binding_count > MOST_RANGES;
    for (int i = 0; i < d->binding_count && !wait; i++) {
        if (at[i].buffer != r->arena->handle) continue;
        const struct range range = {at[i].offset, at[i].offset + at[i].range};
        wait = overlaps(&r->writes, range) || (d->bindings[i].written && overlaps(&r->reads, range));
    }
    if (wait) barrier(r, commands);
    for (int i = 0; i < d->binding_count; i++) {
        if (at[i].buffer != r->arena->handle) continue;
        note_range(d->bindings[i].written ? &r->writes : &r->reads,
                   (struct range){at[i].offset, at[i].offset + at[i].range});
    }
}

/* A view of a value by texels, which are words for the shader, whatever their meaning. */
static enum status add_view(struct vk_recording *r, const VkDescriptorBufferInfo *at, size_t texel, struct error *err)
{
    struct vk_device *d = r->context->device;
    const VkBufferViewCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,
                                         .buffer = at->buffer,
                                         .format = texel == 16  ? VK_FORMAT_R32G32B32A32_UINT
                                                   : texel == 8 ? VK_FORMAT_R32G32_UINT
                                                                : VK_FORMAT_R32_UINT,
                                         .offset = at->offset,
                                         .range = at->range};
    VkBufferView *view = &r->views[r->view_count];
    const enum status status = vk_check(d, d->f->CreateBufferView(d->handle, &info, NULL, view), "a plan", err);
    r->view_count += status == STATUS_OK;
    return status;
}

/* Where the bindings are, and the set that says so. */
static enum status make_set(struct vk_recording *r, const struct plan *plan, int step, const struct vk_dispatch *d,
                            VkDescriptorSetLayout layout, VkDescriptorSet *set, VkDescriptorBufferInfo *at,
                            struct error *err)
{
    struct vk_device *device = r->context->device;
    const VkDescriptorSetAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                              .descriptorPool = r->descriptors,
                                              .descriptorSetCount = 1,
                                              .pSetLayouts = &layout};
    enum status status = vk_check(device, device->f->AllocateDescriptorSets(device->handle, &info, set), "a plan", err);
    VkWriteDescriptorSet writes[VK_MAX_BINDINGS];
    for (int i = 0; i < d->binding_count && status == STATUS_OK; i++) {
        const size_t texel = d->bindings[i].texel;
        at[i] = locate(r, plan, step, &d->bindings[i]);
        writes[i] = (VkWriteDescriptorSet){.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                           .dstSet = *set,
                                           .dstBinding = (uint32_t)i,
                                           .descriptorCount = 1,
                                           .descriptorType = texel ? VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER
                                                                   : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                           .pBufferInfo = &at[i]};
        if (!texel) continue;
        writes[i].pTexelBufferView = &r->views[r->view_count];
        status = add_view(r, &at[i], texel, err);
    }
    if (status == STATUS_OK)
        device->f->UpdateDescriptorSets(device->handle, (uint32_t)d->binding_count, writes, 0, NULL);
    return status;
}

static enum status record_dispatch(struct vk_recording *r, const struct plan *plan, int step,
                                   const struct vk_dispatch *d, VkCommandBuffer commands, struct error *err)
{
    struct vk_pipelines *p = &r->context->pipelines;
    struct vk_device *device = r->context->device;
    VkPipeline pipeline = NULL;
    const struct vk_layout *layout;
    VkDescriptorSet set = NULL;
    VkDescriptorBufferInfo at[VK_MAX_BINDINGS];
    enum status status = vk_pipelines_get(p, d, &pipeline, &layout, err);
    if (status == STATUS_OK) status = make_set(r, plan, step, d, layout->set, &set, at, err);
    if (status != STATUS_OK) return status;
    order(r, commands, d, at);
    const VkPipelineBindPoint point = VK_PIPELINE_BIND_POINT_COMPUTE;
    device->f->CmdBindPipeline(commands, point, pipeline);
    device->f->CmdBindDescriptorSets(commands, point, layout->pipeline, 0, 1, &set, 0, NULL);
    if (d->push_count)
        device->f->CmdPushConstants(commands, layout->pipeline, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                                    (uint32_t)d->push_count * (uint32_t)sizeof(uint32_t), d->pushes);
    device->f->CmdDispatch(commands, d->groups[0], d->groups[1], d->groups[2]);
    return STATUS_OK;
}

static enum status find_job(struct vk_recording *r, const struct plan *plan, int step, struct vk_job *job,
                            struct error *err)
{
    char reason[REASON_BYTES], text[SHAPE_TEXT_BYTES];
    const struct node *node = plan->steps[step].node;
    if (vk_kernel_find(&r->context->device->caps, node, &r->context->choice, job, reason, sizeof reason)) {
        r->kernels[step] = job->dispatches[0].shader;
        return STATUS_OK;
    }
    return fail(err, STATUS_UNSUPPORTED, "the vulkan backend has no %s with a result %s and these operands%s%s",
                op_name(node->op), shape_text(node->shape, text), reason[0] ? ": " : "", reason);
}

static enum status record_piece(struct vk_recording *r, const struct plan *plan, struct piece *piece,
                                struct vk_job *job, struct error *err)
{
    struct vk_device *d = r->context->device;
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    enum status status = vk_check(d, d->f->BeginCommandBuffer(piece->commands, &begin), "a plan", err);
    if (status != STATUS_OK) return status;
    border(r, piece->commands);
    r->reads.count = r->writes.count = 0;
    if (r->profiler && piece->first == 0) vk_profiler_reset(r->profiler, piece->commands);
    if (r->profiler) vk_profiler_stamp(r->profiler, piece->commands);
    for (int i = piece->first; i < piece->end && status == STATUS_OK; i++) {
        status = find_job(r, plan, i, job, err);
        for (int k = 0; k < job->count && status == STATUS_OK; k++)
            status = record_dispatch(r, plan, i, &job->dispatches[k], piece->commands, err);
        if (!r->profiler || status != STATUS_OK) continue;
        barrier(r, piece->commands);
        vk_profiler_stamp(r->profiler, piece->commands);
    }
    if (status != STATUS_OK) return status;
    border(r, piece->commands);
    return vk_check(d, d->f->EndCommandBuffer(piece->commands), "a plan", err);
}

/* ---- making ---- */

/* How much there is of everything. */
struct totals {
    uint32_t dispatches, bindings, texels;
};

/* Numbers the checks, cuts the steps into pieces and counts what a pool must hold. */
static enum status survey(struct vk_recording *r, const struct plan *plan, struct vk_job *job, struct totals *totals,
                          struct error *err)
{
    double gflop = 0;
    for (int i = 0; i < plan->count; i++) {
        const struct node *node = plan->steps[i].node;
        const enum status status = find_job(r, plan, i, job, err);
        if (status != STATUS_OK) return status;
        r->checks[i] = NO_CHECK;
        totals->dispatches += (uint32_t)job->count;
        for (int k = 0; k < job->count; k++) {
            const struct vk_dispatch *d = &job->dispatches[k];
            totals->bindings += (uint32_t)d->binding_count;
            totals->texels += (uint32_t)d->texels;
            for (int j = 0; j < d->binding_count; j++) {
                if (d->bindings[j].operand != VK_CHECK || r->checks[i] != NO_CHECK) continue;
                r->checks[i] = r->check_count++;
                r->id_offsets[i] = plan->offsets[node->input[0]->index];
            }
        }
        struct piece *piece = r->piece_count ? &r->pieces[r->piece_count - 1] : NULL;
        if (!piece || i - piece->first >= PIECE_STEPS || gflop > PIECE_GFLOP) {
            piece = &r->pieces[r->piece_count++];
            piece->first = i;
            gflop = 0;
        }
        piece->end = i + 1;
        gflop += flops_of_node(node) * 1e-9;
    }
    return STATUS_OK;
}

static enum status make_pools(struct vk_recording *r, const struct totals *totals, struct error *err)
{
    struct vk_device *d = r->context->device;
    const VkDescriptorPoolSize sizes[] = {
        {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, totals->bindings - totals->texels},
        {VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER, totals->texels},
    };
    const VkDescriptorPoolCreateInfo descriptors = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                                    .maxSets = totals->dispatches,
                                                    .poolSizeCount = totals->texels ? 2 : 1,
                                                    .pPoolSizes = sizes};
    const VkCommandPoolCreateInfo commands = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                              .queueFamilyIndex = d->family};
    const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    enum status status =
        vk_check(d, d->f->CreateDescriptorPool(d->handle, &descriptors, NULL, &r->descriptors), "a plan", err);
    if (status == STATUS_OK)
        status = vk_check(d, d->f->CreateCommandPool(d->handle, &commands, NULL, &r->commands), "a plan", err);
    for (int i = 0; i < r->piece_count && status == STATUS_OK; i++) {
        const VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                                  .commandPool = r->commands,
                                                  .commandBufferCount = 1};
        status = vk_check(d, d->f->AllocateCommandBuffers(d->handle, &info, &r->pieces[i].commands), "a plan", err);
        if (status == STATUS_OK)
            status = vk_check(d, d->f->CreateFence(d->handle, &fence, NULL, &r->pieces[i].fence), "a plan", err);
    }
    if (status == STATUS_OK && r->check_count > 0) {
        r->flags = vk_buffer_create_shared(&r->context->memory, (size_t)r->check_count * CHECK_BYTES, err);
        if (!r->flags) return err->status;
    }
    return status;
}

static enum status prepare(struct vk_recording *r, const struct plan *plan, bool timed, struct error *err)
{
    const size_t steps = (size_t)plan->count;
    struct totals totals = {0};
    struct vk_job *job = arena_alloc(&r->memory, sizeof *job);
    r->nodes = arena_alloc(&r->memory, steps * sizeof(struct node *));
    r->kernels = arena_alloc(&r->memory, steps * sizeof *r->kernels);
    r->checks = arena_alloc(&r->memory, steps * sizeof *r->checks);
    r->id_offsets = arena_alloc(&r->memory, steps * sizeof *r->id_offsets);
    r->pieces = arena_alloc(&r->memory, steps * sizeof *r->pieces);
    if (!job || !r->nodes || !r->kernels || !r->checks || !r->id_offsets || !r->pieces)
        return fail_no_memory(err, "a plan's commands", steps * sizeof *r->pieces);
    r->steps = plan->count;
    enum status status = survey(r, plan, job, &totals, err);
    if (status == STATUS_OK && totals.texels) {
        r->views = arena_alloc(&r->memory, totals.texels * sizeof *r->views);
        if (!r->views) return fail_no_memory(err, "a plan's commands", totals.texels * sizeof *r->views);
    }
    if (status == STATUS_OK) status = make_pools(r, &totals, err);
    if (status == STATUS_OK && timed)
        status = vk_profiler_create(&r->profiler, r->context->device, r->piece_count + plan->count, err);
    for (int i = 0; i < r->piece_count && status == STATUS_OK; i++)
        status = record_piece(r, plan, &r->pieces[i], job, err);
    return status;
}

enum status vk_recording_create(struct vk_recording **out, struct vk_context *context, const struct plan *plan,
                                struct buffer *arena, bool timed, struct error *err)
{
    *out = NULL;
    struct vk_recording *r = memory_alloc(sizeof *r);
    if (!r) return fail_no_memory(err, "a plan's commands", sizeof *r);
    *r = (struct vk_recording){.context = context, .arena = arena, .key = vk_recording_key(plan, arena, timed)};
    const enum status status = plan->count > 0 ? prepare(r, plan, timed, err) : STATUS_OK;
    if (status == STATUS_OK) {
        *out = r;
    } else {
        vk_recording_destroy(r);
    }
    return status;
}

void vk_recording_destroy(struct vk_recording *r)
{
    if (!r) return;
    const struct vk_device *d = r->context->device;
    for (int i = 0; i < r->piece_count; i++)
        if (r->pieces[i].fence) d->f->DestroyFence(d->handle, r->pieces[i].fence, NULL);
    if (r->commands) d->f->DestroyCommandPool(d->handle, r->commands, NULL); /* with its command buffers */
    if (r->descriptors) d->f->DestroyDescriptorPool(d->handle, r->descriptors, NULL);
    for (int i = 0; i < r->view_count; i++) d->f->DestroyBufferView(d->handle, r->views[i], NULL);
    vk_buffer_destroy(&r->context->memory, r->flags);
    vk_profiler_destroy(r->profiler);
    arena_clear(&r->memory);
    memory_free(r);
}

/* ---- running ---- */

/* "conv2d [1, 8, 8, 320] (step 3 of 400)", or from there to the last step of the piece. */
static void describe(const struct vk_recording *r, const struct piece *piece, char *text, size_t bytes)
{
    char first[SHAPE_TEXT_BYTES], last[SHAPE_TEXT_BYTES];
    const struct node *a = r->nodes[piece->first], *b = r->nodes[piece->end - 1];
    snprintf(text, bytes, "%s %s to %s %s (steps %d to %d of %d)", op_name(a->op), shape_text(a->shape, first),
             op_name(b->op), shape_text(b->shape, last), piece->first + 1, piece->end, r->steps);
}

enum status vk_recording_submit(struct vk_recording *r, const struct plan *plan, struct error *err)
{
    struct vk_device *d = r->context->device;
    char what[2 * SHAPE_TEXT_BYTES + 96];
    assert(plan->count == r->steps);
    for (int i = 0; i < r->steps; i++) r->nodes[i] = plan->steps[i].node;
    for (int i = 0; i < r->check_count; i++) memset(r->flags->mapped + i * CHECK_BYTES, 0xff, sizeof(uint32_t));
    enum status status = STATUS_OK;
    r->submitted = clock_seconds();
    for (int i = 0; i < r->piece_count && status == STATUS_OK; i++) {
        struct piece *piece = &r->pieces[i];
        const VkSubmitInfo submit = {
            .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &piece->commands};
        describe(r, piece, what, sizeof what);
        status = vk_check(d, d->f->ResetFences(d->handle, 1, &piece->fence), what, err);
        if (status == STATUS_OK) status = vk_check(d, d->f->QueueSubmit(d->queue, 1, &submit, piece->fence), what, err);
        if (status == STATUS_OK) r->running = true;
    }
    if (status != STATUS_OK && r->running) {
        /* Pieces that were handed over must end before their memory goes; the error is told already. */
        (void)d->f->DeviceWaitIdle(d->handle);
        r->running = false;
    }
    return status;
}

/* The id that a kernel found outside its table, as a sentence. */
static enum status complain(struct vk_recording *r, int step, uint32_t place, struct error *err)
{
    const struct node *node = r->nodes[step];
    const int64_t rows = node->op == OP_EMBEDDING ? node->input[1]->shape.dim[0] : node->shape.dim[0];
    int32_t id = 0;
    const enum status status =
        vk_buffer_read(&r->context->memory, &id, r->arena, r->id_offsets[step] + place * sizeof id, sizeof id, err);
    if (status != STATUS_OK) return status;
    if (node->op == OP_EMBEDDING)
        return fail(err, STATUS_ARGUMENT, "id %d at place %u is not in the embedding's table of %lld rows", id, place,
                    (long long)rows);
    return fail(err, STATUS_ARGUMENT, "id %d at place %u is not in the %lld rows that are scattered to", id, place,
                (long long)rows);
}

enum status vk_recording_wait(struct vk_recording *r, struct error *err)
{
    struct vk_device *d = r->context->device;
    char what[2 * SHAPE_TEXT_BYTES + 96];
    if (!r->running) return STATUS_OK;
    r->running = false;
    for (int i = 0; i < r->piece_count; i++) {
        describe(r, &r->pieces[i], what, sizeof what);
        const enum status status = vk_device_wait(d, r->pieces[i].fence, what, err);
        if (status != STATUS_OK) return status;
    }
    for (int i = 0; i < r->steps; i++) {
        uint32_t place = UINT32_MAX;
        if (r->checks[i] != NO_CHECK) memcpy(&place, r->flags->mapped + r->checks[i] * CHECK_BYTES, sizeof place);
        if (place != UINT32_MAX) return complain(r, i, place, err);
    }
    return STATUS_OK;
}

enum status vk_recording_report(struct vk_recording *r, const struct backend_probe *probe, struct error *err)
{
    if (probe->timed != (r->profiler != NULL)) return STATUS_OK; /* It came when the run was already under way. */
    const size_t bytes = (size_t)(r->piece_count + r->steps) * sizeof(double);
    double *passed = memory_alloc(bytes); /* from stamp to stamp */
    if (!passed) return fail_no_memory(err, "a profile", bytes);
    const enum status status = r->profiler ? vk_profiler_read(r->profiler, passed, err) : STATUS_OK;
    const double *next = passed;
    double now = probe->timed ? r->submitted : 0;
    for (int k = 0; k < r->piece_count && status == STATUS_OK; k++) {
        now += *next++;
        for (int i = r->pieces[k].first; i < r->pieces[k].end; i++, now += *next++)
            probe->step(probe->context, &(struct backend_step){r->nodes[i], r->kernels[i], now, *next});
    }
    memory_free(passed);
    return status;
}
