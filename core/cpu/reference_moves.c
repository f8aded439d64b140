/* SPDX-License-Identifier: MIT
 *
 * Reference kernels: what moves elements and leaves them as they are.
 */
#include "core/cpu/reference.h"

#include <string.h>

/* The dimensions from `axis` on as one length. */
static int64_t length_from(struct shape shape, int axis)
{
    int64_t length = 1;
    for (int i = axis; i < shape.rank; i++) length *= shape.dim[i];
    return length;
}

/* y = a's run, then b's, for each place of the dimensions before the axis; a task is such a place. */
static void concat_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const struct node *node = call->node;
    const int64_t a = length_from(node->input[0]->shape, node->as.axis);
    const int64_t b = length_from(node->input[1]->shape, node->as.axis);
    float *y = (float *)call->out + task * (a + b);
    memcpy(y, (const float *)call->in[0] + task * a, (size_t)a * sizeof *y);
    memcpy(y + a, (const float *)call->in[1] + task * b, (size_t)b * sizeof *y);
}

static void concat(const struct cpu_call *call)
{
    const int64_t run = length_from(call->node->shape, call->node->as.axis);
    pool_run(call->pool, concat_task, (void *)call, shape_count(call->node->shape) / run);
}

static void slice_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const struct node *node = call->node;
    const int axis = node->as.slice.axis;
    const int64_t inner = length_from(node->shape, axis + 1);
    const int64_t n = node->shape.dim[axis] * inner, from = node->input[0]->shape.dim[axis] * inner;
    const float *x = (const float *)call->in[0] + task * from + node->as.slice.start * inner;
    memcpy((float *)call->out + task * n, x, (size_t)n * sizeof *x);
}

static void slice(const struct cpu_call *call)
{
    const int64_t run = length_from(call->node->shape, call->node->as.slice.axis);
    pool_run(call->pool, slice_task, (void *)call, shape_count(call->node->shape) / run);
}

/* Only the reshapes of parameters come here: all others share their operand's bytes. */
static void reshape(const struct cpu_call *call)
{
    memcpy(call->out, call->in[0], dtype_bytes(call->node->dtype, (size_t)shape_count(call->node->shape)));
}

/* y[i0, i1, ..] = x at index order[0] = i0, order[1] = i1, ..; a task is a row of y. */
static void permute_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const struct node *node = call->node;
    const struct shape from = node->input[0]->shape;
    const int last = from.rank - 1;
    int64_t stride[SHAPE_MAX_RANK], pitch = 1, at = 0, rest = task;
    for (int i = last; i >= 0; i--) {
        stride[i] = pitch;
        pitch *= from.dim[i];
    }
    for (int i = last - 1; i >= 0; i--) {
        at += rest % node->shape.dim[i] * stride[node->as.permute[i]];
        rest /= node->shape.dim[i];
    }
    const int64_t n = node->shape.dim[last], step = stride[node->as.permute[last]];
    const float *x = (const float *)call->in[0] + at;
    float *y = (float *)call->out + task * n;
    for (int64_t i = 0; i < n; i++) y[i] = x[i * step];
}

static void permute(const struct cpu_call *call)
{
    pool_run(call->pool, permute_task, (void *)call, shape_rows(call->node->shape));
}

void reference_moves(struct cpu_kernels *table)
{
    table->slot[OP_CONCAT] = (struct cpu_slot){concat, NULL};
    table->slot[OP_SLICE] = (struct cpu_slot){slice, NULL};
    table->slot[OP_RESHAPE] = (struct cpu_slot){reshape, NULL};
    table->slot[OP_PERMUTE] = (struct cpu_slot){permute, NULL};
}
