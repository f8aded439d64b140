/* SPDX-License-Identifier: MIT
 *
 * Does a device compute rightly? Every operation runs on it and, by the plain kernels, on the CPU; both are given the
 * same numbers. Sizes are chosen to end within, at and behind a kernel's tile. The tests of a backend (tests/) are far
 * more thorough; this is what a user can run on a device that nobody else has.
 */
#include "core/tensor/exec.h"
#include "pipeline/api.h"
#include "pipeline/devices.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- cases ---- */

/* Pictures of H x W pixels and C channels; O channels come out of a product, with its weight stored as `dtype`. */
struct size {
    int64_t H, W, C, O;
    enum dtype dtype;
};

static const struct size sizes[] = {
    {3, 5, 6, 10, DTYPE_F32},    {8, 8, 32, 64, DTYPE_F16},     {9, 7, 36, 20, DTYPE_BF16}, {16, 16, 64, 64, DTYPE_F32},
    {17, 15, 66, 34, DTYPE_F16}, {32, 32, 128, 128, DTYPE_F16}, {8, 9, 64, 32, DTYPE_Q8_0}, {7, 16, 32, 96, DTYPE_Q4_0},
};

enum { SIZES = sizeof sizes / sizeof sizes[0], BATCH = 2 };

static struct node *input(struct graph *g, const char *name, struct shape shape)
{
    return graph_input(g, name, DTYPE_F32, shape);
}

static struct node *picture(struct graph *g, const struct size *s)
{
    return input(g, "x", SHAPE(BATCH, s->H, s->W, s->C));
}

static struct node *tokens(struct graph *g, const char *name, const struct size *s)
{
    return input(g, name, SHAPE(BATCH, s->H * s->W, s->C));
}

static struct node *vector(struct graph *g, const char *name, int64_t count)
{
    return input(g, name, SHAPE(count));
}

static void linear(struct graph *g, const struct size *s)
{
    struct node *w = graph_param(g, "w", PARAM_PLAIN, SHAPE(s->O, s->C));
    graph_output(g, "y", graph_unary(g, graph_linear(g, tokens(g, "x", s), w, vector(g, "bias", s->O)), UNARY_GELU));
}

static void matmul(struct graph *g, const struct size *s)
{
    struct node *a = tokens(g, "a", s), *b = tokens(g, "b", s);
    graph_output(g, "y", graph_matmul(g, a, b, false, true));
    graph_output(g, "z", graph_matmul(g, a, b, true, false));
}

static void conv2d(struct graph *g, const struct size *s)
{
    struct node *w = graph_param(g, "w", PARAM_CONV, SHAPE(s->O, 3, 3, s->C));
    struct node *point = graph_param(g, "point", PARAM_CONV, SHAPE(s->O, 1, 1, s->C));
    const struct conv same = {.stride = 1, .pad = PAD(1)}, half = {.stride = 2, .pad = {.bottom = 1, .right = 1}};
    struct node *x = picture(g, s), *y = graph_conv2d(g, x, w, vector(g, "bias", s->O), same);
    graph_output(g, "y", graph_add(g, y, input(g, "residual", SHAPE(BATCH, s->H, s->W, s->O))));
    graph_output(g, "z", graph_conv2d(g, x, w, NULL, half));
    graph_output(g, "p", graph_conv2d(g, x, point, NULL, (struct conv){.stride = 1}));
}

static void conv2d_transpose(struct graph *g, const struct size *s)
{
    struct node *w = graph_param(g, "w", PARAM_CONV_TRANSPOSE, SHAPE(s->C, 4, 4, s->O));
    const struct conv twice = {.stride = 2, .pad = PAD(1)};
    graph_output(g, "y", graph_conv2d_transpose(g, picture(g, s), w, vector(g, "bias", s->O), twice));
}

static void group_norm(struct graph *g, const struct size *s)
{
    const struct norm norm = {.groups = 2, .eps = 1e-5f};
    struct node *y = graph_group_norm(g, picture(g, s), vector(g, "w", s->C), vector(g, "b", s->C), norm);
    graph_output(g, "y", graph_unary(g, y, UNARY_SILU));
}

static void layer_norm(struct graph *g, const struct size *s)
{
    graph_output(g, "y", graph_layer_norm(g, tokens(g, "x", s), vector(g, "w", s->C), vector(g, "b", s->C), 1e-5f));
}

static void batch_norm(struct graph *g, const struct size *s)
{
    struct node *variance = graph_scale(g, vector(g, "v", s->C), 0.25f, 1);
    graph_output(g, "y",
                 graph_batch_norm(g, picture(g, s), vector(g, "w", s->C), vector(g, "b", s->C), vector(g, "m", s->C),
                                  variance, 1e-5f));
}

static void unary(struct graph *g, const struct size *s)
{
    struct node *x = picture(g, s), *positive = graph_scale(g, x, 0.4f, 0.6f);
    for (int kind = UNARY_SILU; kind < UNARY_COUNT; kind++) {
        char name[16];
        const bool narrow = kind == UNARY_LOG || kind == UNARY_SQRT;
        snprintf(name, sizeof name, "y%d", kind);
        graph_output(g, name, graph_unary(g, narrow ? positive : x, (enum unary)kind));
    }
}

static void binary(struct graph *g, const struct size *s)
{
    struct node *x = picture(g, s), *row = input(g, "row", SHAPE(BATCH, 1, 1, s->C));
    struct node *positive = graph_scale(g, row, 0.4f, 0.6f);
    graph_output(g, "add", graph_binary(g, BINARY_ADD, x, row));
    graph_output(g, "sub", graph_binary(g, BINARY_SUB, row, x));
    graph_output(g, "mul", graph_binary(g, BINARY_MUL, x, x));
    graph_output(g, "div", graph_binary(g, BINARY_DIV, x, positive));
}

static void scale(struct graph *g, const struct size *s)
{
    graph_output(g, "y", graph_scale(g, picture(g, s), -1.5f, 0.25f));
}

static void geglu(struct graph *g, const struct size *s)
{
    graph_output(g, "y", graph_geglu(g, tokens(g, "x", s)));
}

static void attention(struct graph *g, const struct size *s)
{
    struct node *q = tokens(g, "q", s), *k = tokens(g, "k", s), *v = tokens(g, "v", s);
    graph_output(g, "y", graph_attention(g, q, k, v, (struct attention){.heads = 2}));
    graph_output(g, "causal", graph_attention(g, q, k, v, (struct attention){.heads = 1, .causal = true}));
}

static void softmax(struct graph *g, const struct size *s)
{
    struct node *x = tokens(g, "x", s);
    graph_output(g, "y", graph_softmax(g, x, 2));
    graph_output(g, "z", graph_softmax(g, x, 1));
}

static void embedding(struct graph *g, const struct size *s)
{
    struct node *table = graph_param(g, "w", PARAM_PLAIN, SHAPE(s->O, s->C));
    graph_output(g, "y", graph_embedding(g, graph_input(g, "ids", DTYPE_I32, SHAPE(BATCH, s->H)), table));
}

static void scatter(struct graph *g, const struct size *s)
{
    struct node *ids = graph_input(g, "ids", DTYPE_I32, SHAPE(BATCH, s->H * s->W));
    graph_output(g, "y", graph_scatter(g, ids, tokens(g, "x", s), s->O));
}

static void upsample(struct graph *g, const struct size *s)
{
    graph_output(g, "y", graph_upsample(g, picture(g, s), 2));
}

static void average_pool(struct graph *g, const struct size *s)
{
    graph_output(g, "y", graph_average_pool(g, picture(g, s), 2, 2));
}

static void concat(struct graph *g, const struct size *s)
{
    graph_output(g, "y", graph_concat(g, picture(g, s), input(g, "b", SHAPE(BATCH, s->H, s->W, s->O)), 3));
}

static void slice(struct graph *g, const struct size *s)
{
    graph_output(g, "y", graph_slice(g, picture(g, s), 3, 1, s->C - 2));
}

static void pad(struct graph *g, const struct size *s)
{
    graph_output(g, "y", graph_pad(g, picture(g, s), 2, 1, s->W + 3));
}

static void permute(struct graph *g, const struct size *s)
{
    graph_output(g, "y", graph_permute(g, picture(g, s), (const int[]){0, 3, 1, 2}));
}

static void reduce(struct graph *g, const struct size *s)
{
    struct node *x = picture(g, s);
    graph_output(g, "sum", graph_reduce(g, REDUCE_SUM, x, 1u << 0 | 1u << 1 | 1u << 2));
    graph_output(g, "mean", graph_reduce(g, REDUCE_MEAN, x, 1u << 3));
    graph_output(g, "max", graph_reduce(g, REDUCE_MAX, x, 1u << 1 | 1u << 2));
}

static void broadcast(struct graph *g, const struct size *s)
{
    graph_output(g, "y", graph_broadcast(g, input(g, "x", SHAPE(BATCH, 1, 1, s->C)), SHAPE(BATCH, s->H, s->W, s->C)));
}

static void conv2d_weight(struct graph *g, const struct size *s)
{
    struct node *dy = input(g, "dy", SHAPE(BATCH, s->H, s->W, s->O));
    graph_output(g, "y", graph_conv2d_weight(g, picture(g, s), dy, 3, 3, (struct conv){.stride = 1, .pad = PAD(1)}));
}

static void norm_gradient(struct graph *g, const struct size *s)
{
    struct node *dy = input(g, "dy", SHAPE(BATCH, s->H, s->W, s->C));
    graph_output(g, "y", graph_norm_gradient(g, picture(g, s), dy, (struct norm){.groups = 2, .eps = 1e-5f}));
}

static void unary_gradient(struct graph *g, const struct size *s)
{
    struct node *dy = input(g, "dy", SHAPE(BATCH, s->H, s->W, s->C));
    graph_output(g, "y", graph_unary_gradient(g, picture(g, s), dy, UNARY_SILU, 0));
}

/* ---- running ---- */

static const struct {
    enum op op;
    void (*build)(struct graph *g, const struct size *s);
} checks[] = {
    {OP_LINEAR, linear},
    {OP_MATMUL, matmul},
    {OP_CONV2D, conv2d},
    {OP_CONV2D_TRANSPOSE, conv2d_transpose},
    {OP_GROUP_NORM, group_norm},
    {OP_LAYER_NORM, layer_norm},
    {OP_BATCH_NORM, batch_norm},
    {OP_UNARY, unary},
    {OP_BINARY, binary},
    {OP_SCALE, scale},
    {OP_GEGLU, geglu},
    {OP_ATTENTION, attention},
    {OP_SOFTMAX, softmax},
    {OP_EMBEDDING, embedding},
    {OP_UPSAMPLE, upsample},
    {OP_AVERAGE_POOL, average_pool},
    {OP_CONCAT, concat},
    {OP_SLICE, slice},
    {OP_PERMUTE, permute},
    {OP_REDUCE, reduce},
    {OP_BROADCAST, broadcast},
    {OP_PAD, pad},
    {OP_SCATTER, scatter},
    {OP_CONV2D_WEIGHT, conv2d_weight},
    {OP_NORM_GRADIENT, norm_gradient},
    {OP_UNARY_GRADIENT, unary_gradient},
};

enum { CHECKS = sizeof checks / sizeof checks[0], MOST_WEIGHTS = 2 };

/* One graph on one backend. */
struct trial {
    struct backend *backend;
    struct graph graph;
    struct exec *exec;
    struct weight weights[MOST_WEIGHTS];
    int weight_count;
};

/* Numbers from -1 to 1 that follow from the place alone, ids that every table has. */
static void fill(void *to, const struct node *node, float *scratch)
{
    uint32_t state = (uint32_t)node->index * 2654435761u + 1;
    const int64_t count = shape_count(node->shape);
    for (int64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        if (node->dtype == DTYPE_I32)
            ((int32_t *)to)[i] = (int32_t)(state >> 16) % 10;
        else
            scratch[i] = (float)(int32_t)state / 2147483648.0f;
    }
    if (node->dtype != DTYPE_I32) dtype_from_f32(to, node->dtype, scratch, (size_t)count);
}

static enum status bind_weight(struct trial *t, struct node *node, const void *values, struct error *err)
{
    struct weight *w = &t->weights[t->weight_count++];
    const size_t bytes = dtype_bytes(node->dtype, (size_t)shape_count(node->shape));
    *w = (struct weight){.name = node->name, .dtype = node->dtype, .shape = node->shape};
    w->buffer = t->backend->f->alloc(t->backend, bytes, err);
    node->as.param.weight = w;
    return w->buffer ? t->backend->f->upload(t->backend, w->buffer, 0, values, bytes, err) : err->status;
}

/* Gives every leaf its numbers, and the plan its memory in between: a weight must be there before, an input after. */
static enum status load(struct trial *t, enum dtype dtype, struct error *err)
{
    struct arena memory = {0};
    enum status status = t->graph.error.status;
    if (status != STATUS_OK) return fail(err, status, "%s", t->graph.error.text);
    for (int inputs = 0; inputs < 2 && status == STATUS_OK; inputs++) {
        for (int i = 0; i < t->graph.count && status == STATUS_OK; i++) {
            struct node *node = t->graph.nodes[i];
            if (node->op != (inputs ? OP_INPUT : OP_PARAM)) continue;
            if (!inputs) node->dtype = dtype;
            const size_t bytes = (size_t)shape_count(node->shape) * sizeof(float);
            void *values = arena_alloc(&memory, bytes);
            float *scratch = arena_alloc(&memory, bytes);
            if (!values || !scratch) {
                status = fail_no_memory(err, "numbers", bytes);
                continue;
            }
            fill(values, node, scratch);
            status = inputs ? exec_write(t->exec, node->name, values, err) : bind_weight(t, node, values, err);
        }
        if (!inputs && status == STATUS_OK) status = exec_create(&t->exec, &t->graph, t->backend, 0, err);
    }
    arena_clear(&memory);
    return status == STATUS_OK ? exec_run(t->exec, err) : status;
}

static void clear(struct trial *t)
{
    exec_destroy(t->exec);
    for (int i = 0; i < t->weight_count; i++) t->backend->f->free(t->backend, t->weights[i].buffer);
    graph_clear(&t->graph);
}

/* How much values may be off, measured by the largest: by what the operands of products are rounded to. */
static float allowed(const char *compute)
{
    if (!compute || strcmp(compute, "f32") == 0) return 1e-4f;
    return strcmp(compute, "f16") == 0 ? 2e-3f : 16e-3f;
}

static bool near_enough(const float *got, const float *want, int64_t count, float off, char *fault, size_t fault_bytes)
{
    float most = 1e-3f;
    for (int64_t i = 0; i < count; i++) most = fmaxf(most, fabsf(want[i]));
    for (int64_t i = 0; i < count; i++) {
        if (fabsf(got[i] - want[i]) <= off * most) continue;
        snprintf(fault, fault_bytes, "value %lld of %lld is %g and should be %g", (long long)i, (long long)count,
                 (double)got[i], (double)want[i]);
        return false;
    }
    return true;
}

static enum status compare(struct trial *trials, float off, char *fault, size_t fault_bytes, struct error *err)
{
    const struct graph *g = &trials[0].graph;
    enum status status = STATUS_OK;
    for (int i = 0; i < g->output_count && status == STATUS_OK && !fault[0]; i++) {
        const int64_t count = shape_count(g->outputs[i]->shape);
        float *got = memory_alloc((size_t)count * 2 * sizeof *got);
        if (!got) return fail_no_memory(err, "results", (size_t)count * 2 * sizeof *got);
        status = exec_read(trials[0].exec, g->outputs[i]->name, got, err);
        if (status == STATUS_OK) status = exec_read(trials[1].exec, g->outputs[i]->name, got + count, err);
        if (status == STATUS_OK) near_enough(got, got + count, count, off, fault, fault_bytes);
        memory_free(got);
    }
    return status;
}

/* One case. What the device itself says is a fault too, but one that is lost ends the check. */
static enum status run_case(struct backend *const backends[2], int check, const struct size *size, float off,
                            char *fault, size_t fault_bytes, struct error *err)
{
    struct trial trials[2] = {{.backend = backends[0]}, {.backend = backends[1]}};
    struct error why = {0};
    enum status status = STATUS_OK;
    fault[0] = '\0';
    for (int i = 0; i < 2 && status == STATUS_OK; i++) {
        checks[check].build(&trials[i].graph, size);
        status = load(&trials[i], size->dtype, &why);
    }
    if (status == STATUS_OK) status = compare(trials, off, fault, fault_bytes, &why);
    clear(&trials[0]);
    clear(&trials[1]);
    if (status == STATUS_OK) return STATUS_OK;
    snprintf(fault, fault_bytes, "%s", why.text);
    return status == STATUS_UNSUPPORTED ? STATUS_OK : fail(err, status, "%s: %s", op_name(checks[check].op), why.text);
}

static enum status check_all(struct backend *const backends[2], const struct limn_device_check_options *options,
                             struct error *err)
{
    enum status status = STATUS_OK;
    int wrong = 0;
    for (int c = 0; c < CHECKS && status == STATUS_OK; c++) {
        char text[ERROR_TEXT_BYTES], first[ERROR_TEXT_BYTES + 128] = "";
        struct limn_device_result result = {.op = op_name(checks[c].op)};
        for (int i = 0; i < SIZES && status == STATUS_OK; i++) {
            const struct size *s = &sizes[i];
            status = watch_check(options->watch, err);
            if (status == STATUS_OK)
                status = run_case(backends, c, s, allowed(options->compute), text, sizeof text, err);
            result.cases++;
            if (!text[0]) continue;
            if (result.wrong++ == 0)
                snprintf(first, sizeof first, "%lld x %lld pixels of %lld channels, %s: %s", (long long)s->H,
                         (long long)s->W, (long long)s->C, dtype_name(s->dtype), text);
        }
        if (result.wrong) result.fault = first;
        wrong += result.wrong > 0;
        if (status == STATUS_OK && options->result) options->result(options->context, &result);
    }
    if (status != STATUS_OK || wrong == 0) return status;
    return fail(err, STATUS_DEVICE,
                "the device computes %d of %d operations wrongly; update its driver, or paint with --device cpu", wrong,
                CHECKS);
}

enum limn_status limn_device_check(const struct limn_device_check_options *options, struct limn_error *error)
{
    struct error err = {0};
    struct backend *backends[2] = {NULL, NULL};
    const struct backend_options plain = {.threads = 1, .reference_only = true};
    const struct device_request request = {.compute = options->compute, .no_fallback = true, .watch = options->watch};
    err.status = device_open(&backends[0], options->device, &request, &err);
    if (err.status == STATUS_OK) err.status = backend_open(&backends[1], "cpu", &plain, &err);
    if (err.status == STATUS_OK) err.status = check_all(backends, options, &err);
    for (int i = 0; i < 2; i++)
        if (backends[i]) backends[i]->f->close(backends[i]);
    return api_result(error, &err);
}
