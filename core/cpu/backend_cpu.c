/* SPDX-License-Identifier: MIT
 *
 * The CPU as a backend: buffers are blocks of memory, and running a plan is calling the table's kernels in order.
 */
#include "core/base/clock.h"
#include "core/cpu/kernels.h"
#include "core/tensor/exec.h"

#include <assert.h>
#include <string.h>

struct buffer {
    char *bytes; /* owned */
    size_t size;
};

struct cpu_backend {
    struct backend base;
    struct pool *pool; /* owned */
    struct cpu_kernels kernels;
};

static struct cpu_backend *cpu(struct backend *b)
{
    return (struct cpu_backend *)b;
}

static void free_buffer(struct backend *b, struct buffer *buffer)
{
    (void)b;
    if (!buffer) return;
    memory_free(buffer->bytes);
    memory_free(buffer);
}

static struct buffer *alloc_buffer(struct backend *b, size_t bytes, struct error *err)
{
    struct buffer *buffer = memory_alloc(sizeof *buffer);
    if (buffer) *buffer = (struct buffer){.bytes = memory_alloc_raw(bytes), .size = bytes};
    if (!buffer || !buffer->bytes) {
        fail_no_memory(err, "values", bytes);
        free_buffer(b, buffer);
        return NULL;
    }
    return buffer;
}

static enum status upload(struct backend *b, struct buffer *to, size_t offset, const void *from, size_t bytes,
                          struct error *err)
{
    (void)b, (void)err;
    assert(offset <= to->size && bytes <= to->size - offset);
    memcpy(to->bytes + offset, from, bytes);
    return STATUS_OK;
}

static enum status download(struct backend *b, void *to, const struct buffer *from, size_t offset, size_t bytes,
                            struct error *err)
{
    (void)b, (void)err;
    assert(offset <= from->size && bytes <= from->size - offset);
    memcpy(to, from->bytes + offset, bytes);
    return STATUS_OK;
}

static bool supports(struct backend *b, const struct node *node, size_t *work)
{
    const struct cpu_slot *slot = &cpu(b)->kernels.slot[node->op];
    if (!slot->run || !backend_takes(node)) return false;
    if (work) *work = slot->work ? slot->work(node, pool_threads(cpu(b)->pool)) : 0;
    return true;
}

static const void *address(const struct plan *plan, const struct buffer *arena, const struct node *node)
{
    if (!node) return NULL;
    if (node->op == OP_PARAM) return node->as.param.weight->buffer->bytes + node->as.param.weight->offset;
    return arena->bytes + plan->offsets[node->index];
}

static enum status run(struct backend *b, const struct plan *plan, struct buffer *arena, struct error *err)
{
    const bool timed = b->probe && b->probe->timed;
    assert(arena->size >= plan->bytes);
    for (int i = 0; i < plan->count; i++) {
        const struct plan_step *step = &plan->steps[i];
        struct cpu_call call = {
            .node = step->node,
            .out = arena->bytes + step->offset,
            .work = step->work ? arena->bytes + step->work_offset : NULL,
            .pool = cpu(b)->pool,
            .err = err,
        };
        for (int j = 0; j < step->node->inputs; j++) call.in[j] = address(plan, arena, step->node->input[j]);
        const struct cpu_slot *slot = &cpu(b)->kernels.slot[step->node->op];
        const double begin = timed ? clock_seconds() : 0;
        slot->run(&call);
        if (err->status != STATUS_OK) return err->status;
        if (b->probe) {
            const double seconds = timed ? clock_seconds() - begin : 0;
            b->probe->step(b->probe->context,
                           &(struct backend_step){step->node, cpu(b)->kernels.family[step->node->op], begin, seconds});
        }
    }
    return STATUS_OK;
}

static enum status wait(struct backend *b, struct error *err)
{
    (void)b;
    return err->status;
}

struct copied {
    char *to;
    const char *from;
    size_t bytes;
};

enum { COPY_PIECE = 1 << 20 };

static void copy_piece(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct copied *c = context;
    const size_t at = (size_t)task * COPY_PIECE, left = c->bytes - at;
    memcpy(c->to + at, c->from + at, left < COPY_PIECE ? left : COPY_PIECE);
}

static enum status copy(struct backend *b, struct buffer *to, const struct buffer *from, size_t bytes, double *seconds,
                        struct error *err)
{
    assert(bytes <= to->size && bytes <= from->size);
    struct copied copied = {to->bytes, from->bytes, bytes};
    const double begin = clock_seconds();
    pool_run(cpu(b)->pool, copy_piece, &copied, (int64_t)((bytes + COPY_PIECE - 1) / COPY_PIECE));
    *seconds = clock_seconds() - begin;
    return err->status;
}

static void close(struct backend *b)
{
    if (!b) return;
    pool_destroy(cpu(b)->pool);
    memory_free(b);
}

static const struct backend_functions functions = {
    .name = "cpu",
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

static enum status choose_compute(struct cpu_kernels *kernels, enum dtype compute, struct error *err)
{
    if (compute == DTYPE_F32 || (compute == DTYPE_BF16 && cpu_kernels_bf16(kernels))) return STATUS_OK;
    if (compute == DTYPE_BF16)
        return fail(err, STATUS_UNSUPPORTED,
                    "compute bf16: this processor has no such instructions (AVX-512 BF16 or AMX), only f32");
    return fail(err, STATUS_UNSUPPORTED, "compute f16: the CPU has f32 and bf16; f16 is for Vulkan devices");
}

enum status cpu_backend_open(struct backend **out, const struct backend_options *options, struct error *err)
{
    *out = NULL;
    struct cpu_backend *backend = memory_alloc(sizeof *backend);
    if (!backend) return fail_no_memory(err, "the CPU backend", sizeof *backend);
    backend->base.f = &functions;
    backend->base.compute = options->compute;
    backend->base.device = "CPU";
    cpu_kernels_best(&backend->kernels, options->reference_only);
    enum status status = choose_compute(&backend->kernels, options->compute, err);
    if (status == STATUS_OK) status = pool_create(&backend->pool, options->threads, err);
    if (status != STATUS_OK) {
        close(&backend->base);
        return status;
    }
    *out = &backend->base;
    return STATUS_OK;
}
