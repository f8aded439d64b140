/* SPDX-License-Identifier: MIT */
#include "core/tensor/exec.h"

#include <assert.h>

struct exec {
    struct graph *graph;     /* borrowed */
    struct backend *backend; /* borrowed */
    struct plan *plan;       /* owned */
    struct buffer *arena;    /* owned */
    void *staging;           /* owned; for values that the arena has as halves: the largest that comes or goes */
};

void exec_destroy(struct exec *exec)
{
    if (!exec) return;
    exec->backend->f->free(exec->backend, exec->arena);
    plan_destroy(exec->plan);
    memory_free(exec->staging);
    memory_free(exec);
}

size_t exec_bytes(const struct exec *exec)
{
    return exec->plan->bytes;
}

static size_t node_bytes(const struct node *node)
{
    return dtype_bytes(node->dtype, (size_t)shape_count(node->shape));
}

static enum status check_bound(const struct plan *plan, struct error *err)
{
    for (int i = 0; i < plan->count; i++)
        for (int j = 0; j < plan->steps[i].node->inputs; j++) {
            const struct node *in = plan->steps[i].node->input[j];
            if (in && in->op == OP_PARAM && !in->as.param.weight)
                return fail(err, STATUS_ARGUMENT, "the parameter '%s' is not bound to a weight", in->name);
        }
    return STATUS_OK;
}

/* Of F32 on the host's side, whatever the arena has. */
static enum status write_values(struct exec *exec, const struct node *node, const void *values, struct error *err)
{
    const void *from = values;
    if (node->dtype == DTYPE_F16) {
        dtype_from_f32(exec->staging, DTYPE_F16, values, (size_t)shape_count(node->shape));
        from = exec->staging;
    }
    return exec->backend->f->upload(exec->backend, exec->arena, exec->plan->offsets[node->index], from,
                                    node_bytes(node), err);
}

static bool is_output(const struct graph *g, const struct node *node)
{
    for (int i = 0; i < g->output_count; i++)
        if (g->outputs[i] == node) return true;
    return false;
}

static enum status make_staging(struct exec *exec, struct error *err)
{
    const struct graph *g = exec->graph;
    size_t most = 0;
    for (int i = 0; i < g->count; i++) {
        const struct node *node = g->nodes[i];
        const bool crosses = node->op == OP_INPUT || node->op == OP_CONSTANT || is_output(g, node);
        if (crosses && node->dtype == DTYPE_F16 && node_bytes(node) > most) most = node_bytes(node);
    }
    if (most == 0) return STATUS_OK;
    exec->staging = memory_alloc_raw(most);
    return exec->staging ? STATUS_OK : fail_no_memory(err, "values on their way", most);
}

static enum status upload_constants(struct exec *exec, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < exec->graph->count && status == STATUS_OK; i++) {
        const struct node *node = exec->graph->nodes[i];
        if (node->op != OP_CONSTANT || exec->plan->offsets[i] == SIZE_MAX) continue;
        status = write_values(exec, node, node->as.constant, err);
    }
    return status;
}

static enum status prepare(struct exec *exec, size_t limit, size_t *needed, struct error *err)
{
    const double mib = 1024.0 * 1024.0;
    enum status status = plan_create(&exec->plan, exec->graph, exec->backend, err);
    if (status == STATUS_OK) status = check_bound(exec->plan, err);
    if (status != STATUS_OK) return status;
    const size_t bytes = exec->plan->bytes;
    *needed = bytes;
    if (limit && bytes > limit)
        return fail(err, STATUS_LIMIT,
                    "this needs %.1f MiB of working memory and the limit is %.1f MiB; raise the limit, or make the "
                    "picture smaller or fewer at a time",
                    (double)bytes / mib, (double)limit / mib);
    exec->arena = exec->backend->f->alloc(exec->backend, bytes, err);
    if (!exec->arena) return err->status;
    status = make_staging(exec, err);
    return status == STATUS_OK ? upload_constants(exec, err) : status;
}

enum status exec_create(struct exec **out, struct graph *graph, struct backend *backend, size_t limit,
                        struct error *err)
{
    size_t needed;
    return exec_create_within(out, graph, backend, limit, &needed, err);
}

enum status exec_create_within(struct exec **out, struct graph *graph, struct backend *backend, size_t limit,
                               size_t *needed, struct error *err)
{
    *out = NULL;
    *needed = 0;
    struct exec *exec = memory_alloc(sizeof *exec);
    if (!exec) return fail_no_memory(err, "a run", sizeof *exec);
    *exec = (struct exec){.graph = graph, .backend = backend};
    const enum status status = prepare(exec, limit, needed, err);
    if (status == STATUS_OK) {
        *out = exec;
    } else {
        exec_destroy(exec);
    }
    return status;
}

enum status exec_write(struct exec *exec, const char *input, const void *values, struct error *err)
{
    const struct node *node = graph_find(exec->graph, input);
    if (!node || node->op != OP_INPUT) return fail(err, STATUS_ARGUMENT, "the graph has no input '%s'", input);
    if (exec->plan->offsets[node->index] == SIZE_MAX) return STATUS_OK; /* No output depends on it. */
    return write_values(exec, node, values, err);
}

enum status exec_run(struct exec *exec, struct error *err)
{
    const enum status status = exec->backend->f->run(exec->backend, exec->plan, exec->arena, err);
    return status == STATUS_OK ? exec->backend->f->wait(exec->backend, err) : status;
}

enum status exec_read(struct exec *exec, const char *output, float *values, struct error *err)
{
    const struct node *node = graph_find(exec->graph, output);
    if (!node || !is_output(exec->graph, node))
        return fail(err, STATUS_ARGUMENT, "the graph has no output '%s'", output);
    const size_t offset = exec->plan->offsets[node->index];
    void *to = node->dtype == DTYPE_F16 ? exec->staging : values;
    const enum status status =
        exec->backend->f->download(exec->backend, to, exec->arena, offset, node_bytes(node), err);
    if (status == STATUS_OK && node->dtype == DTYPE_F16)
        dtype_to_f32(values, to, DTYPE_F16, 0, (size_t)shape_count(node->shape));
    return status;
}
