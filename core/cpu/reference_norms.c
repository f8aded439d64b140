/* SPDX-License-Identifier: MIT
 *
 * Reference kernels: group, layer and batch norm, softmax, reductions. Statistics and sums are taken in double.
 */
#include "core/cpu/reference.h"

#include <math.h>

/* Elements of x that one norm goes over: `rows` runs of `width` elements, `pitch` apart. */
struct patch {
    const float *x;
    float *y;
    int64_t rows, width, pitch;
};

/* y = act((x - mean) / sqrt(variance + eps) * weight + bias), weight and bias along the width. */
static void normalise(const struct patch *p, const struct norm *norm, const float *weight, const float *bias)
{
    const double count = (double)(p->rows * p->width);
    double mean = 0, variance = 0;
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t c = 0; c < p->width; c++) mean += (double)p->x[r * p->pitch + c];
    mean /= count;
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t c = 0; c < p->width; c++) {
            const double apart = (double)p->x[r * p->pitch + c] - mean;
            variance += apart * apart;
        }
    const double inverse = 1 / sqrt(variance / count + (double)norm->eps);
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t c = 0; c < p->width; c++) {
            const float unit = (float)(((double)p->x[r * p->pitch + c] - mean) * inverse);
            const float value = unit * (weight ? weight[c] : 1) + (bias ? bias[c] : 0);
            p->y[r * p->pitch + c] = reference_unary(norm->act, value, 0);
        }
}

/* Wu and He 2018, arXiv 1803.08494: over all pixels of a picture and the channels of one group. A task is a group of a
 * picture. x [B, ..., C]. */
static void group_norm_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const struct node *node = call->node;
    const int64_t B = node->shape.dim[0], C = shape_dim(node->shape, -1), groups = node->as.norm.groups;
    const int64_t pixels = shape_rows(node->shape) / B, width = C / groups;
    const int64_t b = task / groups, first = task % groups * width, at = b * pixels * C + first;
    const float *weight = call->in[1], *bias = call->in[2];
    const struct patch patch = {(const float *)call->in[0] + at, (float *)call->out + at, pixels, width, C};
    normalise(&patch, &node->as.norm, weight ? weight + first : NULL, bias ? bias + first : NULL);
}

static void group_norm(const struct cpu_call *call)
{
    pool_run(call->pool, group_norm_task, (void *)call, call->node->shape.dim[0] * call->node->as.norm.groups);
}

/* Ba et al. 2016, arXiv 1607.06450: over the last dimension. A task is a row. */
static void layer_norm_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const int64_t C = shape_dim(call->node->shape, -1);
    const struct patch patch = {(const float *)call->in[0] + task * C, (float *)call->out + task * C, 1, C, C};
    normalise(&patch, &call->node->as.norm, call->in[1], call->in[2]);
}

static void layer_norm(const struct cpu_call *call)
{
    pool_run(call->pool, layer_norm_task, (void *)call, shape_rows(call->node->shape));
}

/* Ioffe and Szegedy 2015, arXiv 1502.03167, with the statistics that training left. A task is a row. */
static void batch_norm_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const int64_t C = shape_dim(call->node->shape, -1);
    const float *x = (const float *)call->in[0] + task * C;
    const float *weight = call->in[1], *bias = call->in[2], *mean = call->in[3], *variance = call->in[4];
    float *y = (float *)call->out + task * C;
    for (int64_t c = 0; c < C; c++) {
        const double inverse = 1 / sqrt((double)variance[c] + (double)call->node->as.norm.eps);
        y[c] = (float)(((double)x[c] - (double)mean[c]) * inverse) * weight[c] + bias[c];
    }
}

static void batch_norm(const struct cpu_call *call)
{
    pool_run(call->pool, batch_norm_task, (void *)call, shape_rows(call->node->shape));
}

/* y[i] = exp(x[i] - max) / sum exp(x[j] - max) along the axis; a task is one place of the dimensions before it. */
static void softmax_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const struct shape shape = call->node->shape;
    const int axis = call->node->as.axis;
    const int64_t n = shape.dim[axis];
    int64_t inner = 1;
    for (int i = axis + 1; i < shape.rank; i++) inner *= shape.dim[i];
    for (int64_t at = 0; at < inner; at++) {
        const float *x = (const float *)call->in[0] + task * n * inner + at;
        float *y = (float *)call->out + task * n * inner + at;
        float most = -INFINITY;
        double sum = 0;
        for (int64_t i = 0; i < n; i++) most = x[i * inner] > most ? x[i * inner] : most;
        for (int64_t i = 0; i < n; i++) {
            y[i * inner] = expf(x[i * inner] - most);
            sum += (double)y[i * inner];
        }
        for (int64_t i = 0; i < n; i++) y[i * inner] = (float)((double)y[i * inner] / sum);
    }
}

static void softmax(const struct cpu_call *call)
{
    int64_t tasks = 1;
    for (int i = 0; i < call->node->as.axis; i++) tasks *= call->node->shape.dim[i];
    pool_run(call->pool, softmax_task, (void *)call, tasks);
}

/* Sum, mean or maximum over the axes; a task is one element of the result. */
static void reduce_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const struct node *node = call->node;
    const struct shape shape = node->input[0]->shape;
    const enum reduce kind = node->as.reduce.kind;
    int64_t from[SHAPE_MAX_RANK] = {0}, to[SHAPE_MAX_RANK] = {1, 1, 1, 1}, stride[SHAPE_MAX_RANK] = {0};
    int64_t rest = task, pitch = 1, count = 1;
    for (int i = shape.rank - 1; i >= 0; i--) {
        const bool reduced = node->as.reduce.axes >> i & 1u;
        from[i] = reduced ? 0 : rest % shape.dim[i];
        to[i] = reduced ? shape.dim[i] : from[i] + 1;
        if (!reduced) rest /= shape.dim[i];
        count *= to[i] - from[i];
        stride[i] = pitch;
        pitch *= shape.dim[i];
    }
    double result = kind == REDUCE_MAX ? -INFINITY : 0;
    for (int64_t a = from[0]; a < to[0]; a++)
        for (int64_t b = from[1]; b < to[1]; b++)
            for (int64_t c = from[2]; c < to[2]; c++)
                for (int64_t d = from[3]; d < to[3]; d++) {
                    const float *x = call->in[0];
                    const double v = (double)x[a * stride[0] + b * stride[1] + c * stride[2] + d * stride[3]];
                    if (kind == REDUCE_MAX)
                        result = v > result ? v : result;
                    else
                        result += v;
                }
    ((float *)call->out)[task] = (float)(kind == REDUCE_MEAN ? result / (double)count : result);
}

void reference_reduce(const struct cpu_call *call)
{
    pool_run(call->pool, reduce_task, (void *)call, shape_count(call->node->shape));
}

void reference_norms(struct cpu_kernels *table)
{
    table->slot[OP_GROUP_NORM] = (struct cpu_slot){group_norm, NULL};
    table->slot[OP_LAYER_NORM] = (struct cpu_slot){layer_norm, NULL};
    table->slot[OP_BATCH_NORM] = (struct cpu_slot){batch_norm, NULL};
    table->slot[OP_SOFTMAX] = (struct cpu_slot){softmax, NULL};
    table->slot[OP_REDUCE] = (struct cpu_slot){reference_reduce, NULL};
}
