/* SPDX-License-Identifier: MIT
 *
 * What a training needs is known before it runs: trainers by their parameters, runs by their plans. Whatever does not
 * fit --max-memory is refused here, with the number and the remedies.
 */
#include "core/nn/params.h"
#include "pipeline/api.h"
#include "pipeline/training_loop.h"

#include <string.h>

static const double mib = 1024.0 * 1024.0;

static enum status refuse(const struct training *t, const char *what, uint64_t bytes, struct error *err)
{
    return fail(
        err, STATUS_LIMIT,
        "the training needs at least %.1f MiB (%s: %.1f MiB) and the memory limit is %.1f MiB; raise the limit, "
        "or give a smaller --batch or --size, --accumulate to compute the batch in parts, or --recompute to "
        "keep fewer results",
        (double)(t->loop->reserved + bytes) / mib, what, (double)bytes / mib,
        (double)t->loop->options->max_memory / mib);
}

enum status training_reserve(struct training *t, const char *what, size_t bytes, struct error *err)
{
    const uint64_t limit = t->loop->options->max_memory;
    if (limit && (bytes > limit || t->loop->reserved > limit - bytes)) return refuse(t, what, bytes, err);
    t->loop->reserved += bytes;
    return STATUS_OK;
}

size_t training_memory_left(const struct training *t)
{
    const uint64_t limit = t->loop->options->max_memory;
    /* A limit of 0 would be none. */
    return limit == 0 ? 0 : limit > t->loop->reserved ? (size_t)(limit - t->loop->reserved) : 1;
}

enum status training_open_run(struct training *t, struct exec **out, struct graph *graph, struct error *err)
{
    struct error why = {0};
    size_t needed;
    const enum status status = exec_create_within(out, graph, t->backend, training_memory_left(t), &needed, &why);
    if (status == STATUS_LIMIT) return refuse(t, "steps", needed, err);
    return status == STATUS_OK ? training_reserve(t, "steps", needed, err) : fail(err, status, "%s", why.text);
}

/* ---- what goes again before the first step ---- */

/* About what the graph's parameters take as params_load keeps them: as they are stored, or as floats. */
static uint64_t stored_bytes(const struct graph *graph, const struct checkpoint *from)
{
    uint64_t sum = 0;
    for (int i = 0; i < graph->count; i++) {
        const struct node *node = graph->nodes[i];
        const struct tensor *tensor = node->op == OP_PARAM ? checkpoint_find(from, node->name) : NULL;
        if (!tensor) continue;
        const size_t n = (size_t)shape_count(node->shape), block = dtype_block(tensor->dtype);
        const uint64_t stored = dtype_bytes(tensor->dtype, n / block * block), floats = (uint64_t)n * sizeof(float);
        sum += stored < floats ? stored : floats;
    }
    return sum;
}

enum status training_load_passing(struct training *t, const char *what, struct params **out, struct graph *graph,
                                  const struct checkpoint *from, struct error *err)
{
    const size_t left = training_memory_left(t);
    const uint64_t bytes = left ? stored_bytes(graph, from) : 0;
    if (left && bytes > left) return refuse(t, what, bytes, err);
    const enum status status = params_create(out, t->backend, err);
    return status == STATUS_OK ? params_load(*out, graph, from, err) : status;
}

enum status training_open_passing_run(struct training *t, const char *what, struct exec **out, struct graph *graph,
                                      const struct params *params, struct error *err)
{
    struct error why = {0};
    size_t needed;
    const size_t left = training_memory_left(t), weights = params_bytes(params);
    const size_t limit = left > weights ? left - weights : left > 0;
    const enum status status = exec_create_within(out, graph, t->backend, limit, &needed, &why);
    if (status == STATUS_LIMIT) return refuse(t, what, weights + needed, err);
    return status == STATUS_OK ? status : fail(err, status, "%s", why.text);
}

/* ---- trainers ---- */

static bool is_trained(const struct node *node, const char *prefix)
{
    return node->op == OP_PARAM && (!prefix || strncmp(node->name, prefix, strlen(prefix)) == 0);
}

/* Values, gradients, moments, average, and the backend's copy. */
static uint64_t trainer_bytes(const struct training_trainer *options, const struct optimiser_rule *rule)
{
    uint64_t floats = 0, longest = 0;
    for (int i = 0; i < options->graph->count; i++) {
        const struct node *node = options->graph->nodes[i];
        if (!is_trained(node, options->prefix)) continue;
        const uint64_t n = (uint64_t)shape_count(node->shape);
        floats += (n + OPTIMISER_BLOCK - 1) / OPTIMISER_BLOCK * OPTIMISER_BLOCK;
        if (n > longest) longest = n;
    }
    const bool sgd = rule->kind == OPTIMISER_SGD;
    const uint64_t arrays = 3U + (sgd ? (rule->beta1 > 0) : 2U) + (rule->average > 0);
    return (arrays * floats + longest) * sizeof(float);
}

enum status training_add_trainer(struct training *t, struct trainer **out, const struct training_trainer *options,
                                 struct error *err)
{
    *out = NULL;
    struct training_loop *loop = t->loop;
    const struct graph *graph = options->graph;
    const struct optimiser_rule *rule = options->rule ? options->rule : &t->settings.rule;
    if (graph->error.status != STATUS_OK) return fail(err, graph->error.status, "%s", graph->error.text);
    if (loop->trainer_count == TRAINING_TRAINERS)
        return fail(err, STATUS_UNSUPPORTED, "a training has at most %d trainers", TRAINING_TRAINERS);
    enum status status = training_reserve(t, "weights and their moments", trainer_bytes(options, rule), err);
    if (status != STATUS_OK) return status;
    size_t needed = 0;
    struct error why = {0};
    const struct trainer_options made = {.prefix = options->prefix,
                                         .rule = *rule,
                                         .threads = t->threads,
                                         .no_matrices = options->no_matrices,
                                         .limit = training_memory_left(t),
                                         .muon_needed = &needed};
    struct trainer *trainer;
    status = trainer_create(&trainer, t->backend, graph, &made, &why);
    if (status == STATUS_LIMIT) return refuse(t, "the optimiser's products", needed, err);
    if (status != STATUS_OK) return fail(err, status, "%s", why.text);
    loop->trainers[loop->trainer_count++] = (struct training_kept_trainer){.name = options->name, .trainer = trainer};
    *out = trainer;
    status = training_reserve(t, "the optimiser's products", needed, err);
    if (status != STATUS_OK) return status;
    initialise(trainer, options->initialise, (uint64_t)t->settings.seed);
    status = training_begin_trainer(t, trainer, err);
    if (status != STATUS_OK) return status;
    optimiser_start_average(trainer->optimiser);
    return trainer_publish(trainer, err);
}

enum status training_add_state(struct training *t, const char *name, float *values, int64_t count, struct error *err)
{
    struct training_loop *loop = t->loop;
    if (loop->state_count == TRAINING_STATES)
        return fail(err, STATUS_UNSUPPORTED, "a training keeps at most %d tensors besides its weights",
                    TRAINING_STATES);
    const char *copy = arena_strdup(&loop->memory, name);
    if (!copy) return fail_no_memory(err, "a training", strlen(name));
    loop->states[loop->state_count++] = (struct training_kept_state){copy, values, count};
    return STATUS_OK;
}
