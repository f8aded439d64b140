/* SPDX-License-Identifier: MIT */
#include "tests/support/run_node.h"

#include "core/tensor/exec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { GUARD_BYTES = 256, POISON = 0xff };

/* What lies where: one piece an operand, then the result, then the scratch. */
struct layout {
    size_t offset[NODE_MAX_INPUTS + 2], bytes[NODE_MAX_INPUTS + 2], end;
};

enum { RESULT = NODE_MAX_INPUTS, SCRATCH, PIECES };

static size_t round_up(size_t bytes)
{
    return (bytes + MEMORY_ALIGNMENT - 1) / MEMORY_ALIGNMENT * MEMORY_ALIGNMENT;
}

static struct layout lay_out(const struct node *node, size_t work, int over)
{
    struct layout l = {.end = GUARD_BYTES};
    for (int i = 0; i < PIECES; i++) {
        const struct node *value = i == RESULT ? node : i < node->inputs ? node->input[i] : NULL;
        l.bytes[i] = value ? dtype_bytes(value->dtype, (size_t)shape_count(value->shape)) : 0;
        if (i == SCRATCH) l.bytes[i] = work;
        l.offset[i] = l.end;
        if (i == RESULT && over >= 0) {
            l.offset[i] = l.offset[over];
        } else {
            l.end += round_up(l.bytes[i]) + GUARD_BYTES;
        }
    }
    return l;
}

/* Binds the parameters and says where values are. */
static void place(struct graph *g, const struct node *node, const struct layout *l, struct buffer *buffer,
                  struct weight weights[NODE_MAX_INPUTS], size_t *offsets)
{
    for (int i = 0; i < g->count; i++) offsets[i] = SIZE_MAX;
    for (int i = 0; i < node->inputs; i++) {
        struct node *in = node->input[i];
        if (!in) continue;
        offsets[in->index] = l->offset[i];
        if (in->op != OP_PARAM) continue;
        weights[i] = (struct weight){
            .name = in->name, .dtype = in->dtype, .shape = in->shape, .buffer = buffer, .offset = l->offset[i]};
        in->as.param.weight = &weights[i];
    }
    offsets[node->index] = l->offset[RESULT];
}

static void check_untouched(const struct node *node, const struct layout *l, const unsigned char *before,
                            unsigned char *after)
{
    memcpy(after + l->offset[SCRATCH], before + l->offset[SCRATCH], l->bytes[SCRATCH]);
    memcpy(after + l->offset[RESULT], before + l->offset[RESULT], l->bytes[RESULT]);
    for (size_t i = 0; i < l->end; i++)
        if (after[i] != before[i])
            fail_msg("%s: byte %zu was changed; the result is at %zu..%zu and the scratch at %zu..%zu",
                     op_name(node->op), i, l->offset[RESULT], l->offset[RESULT] + l->bytes[RESULT], l->offset[SCRATCH],
                     l->offset[SCRATCH] + l->bytes[SCRATCH]);
}

float *run_node(struct backend *backend, struct graph *g, const struct node *node, const void *const in[], int over,
                struct error *err)
{
    size_t work = 0;
    if (!backend->f->supports(backend, node, &work))
        fail_msg("%s is not supported: %s", op_name(node->op), backend->reason);
    const struct layout l = lay_out(node, work, over);
    unsigned char *before = test_malloc(l.end), *after = test_malloc(l.end);
    memset(before, POISON, l.end);
    for (int i = 0; i < node->inputs; i++)
        if (in[i]) memcpy(before + l.offset[i], in[i], l.bytes[i]);
    struct buffer *buffer = backend->f->alloc(backend, l.end, err);
    struct weight weights[NODE_MAX_INPUTS];
    size_t *offsets = test_malloc((size_t)g->count * sizeof *offsets);
    place(g, node, &l, buffer, weights, offsets);
    struct plan_step step = {.node = node, .offset = l.offset[RESULT], .work = work, .work_offset = l.offset[SCRATCH]};
    const struct plan plan = {.graph = g, .steps = &step, .count = 1, .offsets = offsets, .bytes = l.end};
    float *result = NULL;
    if (buffer && backend->f->upload(backend, buffer, 0, before, l.end, err) == STATUS_OK &&
        backend->f->run(backend, &plan, buffer, err) == STATUS_OK && backend->f->wait(backend, err) == STATUS_OK &&
        backend->f->download(backend, after, buffer, 0, l.end, err) == STATUS_OK) {
        result = test_malloc(l.bytes[RESULT]);
        memcpy(result, after + l.offset[RESULT], l.bytes[RESULT]);
        check_untouched(node, &l, before, after);
    }
    backend->f->free(backend, buffer);
    test_free(offsets);
    test_free(before);
    test_free(after);
    return result;
}
