/* SPDX-License-Identifier: MIT */
#include "core/nn/trainer.h"

#include "core/nn/muon.h"
#include "core/tensor/gradient.h"

#include <assert.h>
#include <string.h>

void trainer_destroy(struct trainer *t)
{
    if (!t) return;
    if (t->buffer) t->backend->f->free(t->backend, t->buffer);
    optimiser_destroy(t->optimiser);
    muon_destroy(t->muon);
    memory_free(t->parameters);
    memory_free(t->received);
    arena_clear(&t->arena);
    memory_free(t);
}

static bool is_wanted(const struct node *node, const char *prefix)
{
    return node->op == OP_PARAM && (!prefix || strncmp(node->name, prefix, strlen(prefix)) == 0);
}

static int64_t floats_of(const struct trainer_parameter *p)
{
    return shape_count(p->weight.shape);
}

/* Lays the parameters out in the order in which the graph asked for them. Returns how many floats they take. */
static int64_t lay_out(struct trainer *t, const struct graph *graph, const char *prefix, struct error *err)
{
    int64_t at = 0;
    for (int i = 0; i < graph->count; i++) {
        const struct node *node = graph->nodes[i];
        if (!is_wanted(node, prefix)) continue;
        struct trainer_parameter *p = &t->parameters[t->count++];
        p->layout = node->as.param.layout;
        p->first_row = node->as.param.first_row;
        p->total_rows = node->as.param.total_rows;
        p->weight = (struct weight){.shape = node->shape, .dtype = DTYPE_F32, .offset = (size_t)at * sizeof(float)};
        p->weight.name = arena_strdup(&t->arena, node->name);
        p->gradient = arena_printf(&t->arena, "gradient of rows %lld.. of %s", (long long)p->first_row, node->name);
        if (!p->weight.name || !p->gradient) {
            fail_no_memory(err, "a trainer", sizeof *p);
            return 0;
        }
        at += (floats_of(p) + OPTIMISER_BLOCK - 1) / OPTIMISER_BLOCK * OPTIMISER_BLOCK;
    }
    return at;
}

static int64_t place_of(const struct trainer_parameter *p)
{
    return (int64_t)(p->weight.offset / sizeof(float));
}

static bool is_matrix(const struct trainer_parameter *p, const char *const *no_matrices)
{
    for (; no_matrices && *no_matrices; no_matrices++)
        if (strstr(p->weight.name, *no_matrices)) return false;
    return p->weight.shape.rank > 1;
}

/* Tells the optimiser which parameters are matrices, and how to turn them. */
static enum status prepare_muon(struct trainer *t, const struct trainer_options *options, struct error *err)
{
    size_t needed = 0;
    const size_t bytes = (size_t)t->count * sizeof(struct muon_matrix);
    struct muon_matrix *matrices = memory_alloc(bytes);
    if (!matrices) return fail_no_memory(err, "Muon", bytes);
    int count = 0;
    for (int i = 0; i < t->count; i++) {
        const struct trainer_parameter *p = &t->parameters[i];
        const int64_t n = floats_of(p), rows = p->weight.shape.dim[0];
        if (!is_matrix(p, options->no_matrices)) continue;
        matrices[count++] = (struct muon_matrix){.place = place_of(p), .rows = rows, .columns = n / rows};
        memset(t->optimiser->matrices + place_of(p) / OPTIMISER_BLOCK, 1,
               (size_t)((n + OPTIMISER_BLOCK - 1) / OPTIMISER_BLOCK));
    }
    enum status status = STATUS_OK;
    if (count > 0) status = muon_create(&t->muon, t->backend, matrices, count, options->limit, &needed, err);
    if (options->muon_needed) *options->muon_needed = needed;
    if (t->muon) t->optimiser->directions = (struct optimiser_directions){muon_turn, t->muon};
    memory_free(matrices);
    return status;
}

static enum status prepare(struct trainer *t, const struct graph *graph, const struct trainer_options *options,
                           struct error *err)
{
    int most = 0;
    int64_t longest = 0;
    for (int i = 0; i < graph->count; i++) most += is_wanted(graph->nodes[i], options->prefix);
    if (most == 0)
        return fail(err, STATUS_ARGUMENT, "the graph has no parameter '%s...' to train",
                    options->prefix ? options->prefix : "");
    t->parameters = memory_alloc((size_t)most * sizeof *t->parameters);
    if (!t->parameters) return fail_no_memory(err, "a trainer", (size_t)most * sizeof *t->parameters);
    const int64_t floats = lay_out(t, graph, options->prefix, err);
    if (err->status != STATUS_OK) return err->status;
    enum status status = optimiser_create(&t->optimiser, &options->rule, floats, options->threads, err);
    if (status != STATUS_OK) return status;
    t->buffer = t->backend->f->alloc(t->backend, (size_t)floats * sizeof(float), err);
    if (!t->buffer) return err->status;
    for (int i = 0; i < t->count; i++) {
        struct trainer_parameter *p = &t->parameters[i];
        const int64_t n = floats_of(p), blocks = (n + OPTIMISER_BLOCK - 1) / OPTIMISER_BLOCK;
        p->weight.buffer = t->buffer;
        if (n > longest) longest = n;
        memset(t->optimiser->decays + place_of(p) / OPTIMISER_BLOCK, p->weight.shape.rank > 1, (size_t)blocks);
    }
    t->received = memory_alloc_raw((size_t)longest * sizeof(float));
    if (!t->received) return fail_no_memory(err, "a trainer", (size_t)longest * sizeof(float));
    return options->rule.kind == OPTIMISER_MUON ? prepare_muon(t, options, err) : STATUS_OK;
}

enum status trainer_create(struct trainer **out, struct backend *backend, const struct graph *graph,
                           const struct trainer_options *options, struct error *err)
{
    *out = NULL;
    if (graph->error.status != STATUS_OK) return fail(err, graph->error.status, "%s", graph->error.text);
    struct trainer *t = memory_alloc(sizeof *t);
    if (!t) return fail_no_memory(err, "a trainer", sizeof *t);
    t->backend = backend;
    const enum status status = prepare(t, graph, options, err);
    if (status == STATUS_OK) {
        *out = t;
    } else {
        trainer_destroy(t);
    }
    return status;
}

float *trainer_find(struct trainer *t, const char *name)
{
    for (int i = 0; i < t->count; i++)
        if (t->parameters[i].total_rows == 0 && strcmp(t->parameters[i].weight.name, name) == 0)
            return t->optimiser->value + place_of(&t->parameters[i]);
    return NULL;
}

/* The graph's node for the parameter, or NULL. */
static struct node *node_of(const struct graph *graph, const struct trainer_parameter *p)
{
    for (int i = 0; i < graph->count; i++) {
        struct node *node = graph->nodes[i];
        if (node->op == OP_PARAM && node->as.param.first_row == p->first_row &&
            node->as.param.total_rows == p->total_rows && shape_equal(node->shape, p->weight.shape) &&
            strcmp(node->name, p->weight.name) == 0)
            return node;
    }
    return NULL;
}

enum status trainer_adopt(struct trainer *t, const struct graph *graph, struct error *err)
{
    for (int i = 0; i < t->count; i++) {
        const struct trainer_parameter *p = &t->parameters[i];
        const struct node *node = node_of(graph, p);
        const struct weight *from = node ? node->as.param.weight : NULL;
        if (!from || from == &p->weight) continue;
        const size_t n = (size_t)floats_of(p);
        const enum status status = t->backend->f->download(t->backend, t->received, from->buffer, from->offset,
                                                           dtype_bytes(from->dtype, n), err);
        if (status != STATUS_OK) return status;
        dtype_to_f32(t->optimiser->value + place_of(p), t->received, from->dtype, 0, n);
    }
    return STATUS_OK;
}

void trainer_differentiate_all(struct trainer *const *trainers, int count, struct graph *graph, struct node *loss,
                               int pieces)
{
    if (graph->error.status != STATUS_OK) return;
    int most = 0, found = 0;
    for (int k = 0; k < count; k++) most += trainers[k]->count;
    const size_t bytes = 2 * (size_t)most * sizeof(struct node *) + (size_t)most * sizeof(char *);
    struct node **of = arena_alloc(&graph->arena, bytes);
    if (!of) {
        fail_no_memory(&graph->error, "gradients", bytes);
        return;
    }
    struct node **gradient = of + most;
    const char **names = (const char **)(gradient + most);
    for (int k = 0; k < count; k++)
        for (int i = 0; i < trainers[k]->count; i++) {
            of[found] = node_of(graph, &trainers[k]->parameters[i]);
            names[found] = trainers[k]->parameters[i].gradient;
            if (of[found]) found++;
        }
    graph_grad_in_pieces(graph, loss, pieces, of, found, gradient);
    for (int i = 0; i < found; i++) graph_output(graph, names[i], gradient[i]);
}

void trainer_differentiate(struct trainer *t, struct graph *graph, struct node *loss, int pieces)
{
    trainer_differentiate_all(&t, 1, graph, loss, pieces);
}

void trainer_bind(struct trainer *t, struct graph *graph)
{
    for (int i = 0; i < t->count; i++) {
        struct node *node = node_of(graph, &t->parameters[i]);
        if (!node) continue;
        node->as.param.weight = &t->parameters[i].weight;
        node->dtype = DTYPE_F32;
    }
}

enum status trainer_collect(struct trainer *t, struct exec *exec, float share, struct error *err)
{
    for (int i = 0; i < t->count; i++) {
        const struct trainer_parameter *p = &t->parameters[i];
        const enum status status = exec_read(exec, p->gradient, t->received, err);
        if (status != STATUS_OK) return status;
        float *sum = t->optimiser->gradient + place_of(p);
        for (int64_t k = 0; k < floats_of(p); k++) sum[k] += share * t->received[k];
    }
    return STATUS_OK;
}

static enum status publish(struct trainer *t, const float *values, struct error *err)
{
    const size_t bytes = (size_t)t->optimiser->count * sizeof *values;
    return t->backend->f->upload(t->backend, t->buffer, 0, values, bytes, err);
}

enum status trainer_publish(struct trainer *t, struct error *err)
{
    return publish(t, t->optimiser->value, err);
}

enum status trainer_publish_average(struct trainer *t, struct error *err)
{
    assert(t->optimiser->average);
    return publish(t, t->optimiser->average, err);
}

enum status trainer_step(struct trainer *t, float rate, float *norm, struct error *err)
{
    const enum status status = optimiser_step(t->optimiser, rate, norm, err);
    return status == STATUS_OK ? trainer_publish(t, err) : status;
}
