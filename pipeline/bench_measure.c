/* SPDX-License-Identifier: MIT */
#include "core/base/memory.h"
#include "core/tensor/flops.h"
#include "core/tensor/rates.h"
#include "pipeline/api.h"
#include "pipeline/bench.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static_assert((int)OP_COUNT < (int)LIMN_BENCH_OPS, "the list of a result has room for every operation");

/* ---- one run, step by step ---- */

/* What is kept of a step: its node dies with its graph, often before the run is over. */
struct kept_step {
    enum op op;
    struct shape shape;
    enum dtype dtype;   /* of its second operand, whose stored type says how fast its product can be */
    const char *kernel; /* the backend's */
    const char *weight; /* the run's; NULL: none */
    double begin, seconds, flops, bytes;
};

struct timed_run {
    struct arena names;
    struct kept_step *steps; /* owned */
    int count, capacity;
    bool no_memory;
    double began, seconds;
};

static void clear_run(struct timed_run *run)
{
    arena_clear(&run->names);
    memory_free(run->steps);
    *run = (struct timed_run){0};
}

static bool need_room(struct timed_run *run)
{
    if (run->count < run->capacity) return true;
    const int capacity = run->capacity ? 2 * run->capacity : 1024;
    struct kept_step *steps = memory_resize(run->steps, (size_t)capacity * sizeof *steps);
    if (!steps) return false;
    run->steps = steps;
    run->capacity = capacity;
    return true;
}

static const char *weight_name(const struct node *node)
{
    for (int i = 0; i < node->inputs; i++)
        if (node->input[i] && node->input[i]->op == OP_PARAM) return node->input[i]->name;
    return NULL;
}

static void on_step(void *context, const struct backend_step *step)
{
    struct timed_run *run = context;
    const struct node *node = step->node;
    const char *name = weight_name(node);
    char *weight = name ? arena_strdup(&run->names, name) : NULL;
    if ((name && !weight) || !need_room(run)) {
        run->no_memory = true;
        return;
    }
    run->steps[run->count++] = (struct kept_step){
        .op = node->op,
        .shape = node->shape,
        .dtype = node->inputs > 1 && node->input[1] ? node->input[1]->dtype : DTYPE_F32,
        .kernel = step->kernel,
        .weight = weight,
        .begin = step->begin,
        .seconds = step->seconds,
        .flops = flops_of_node(node),
        .bytes = bytes_of_node(node),
    };
}

/* ---- the result ---- */

static int by_seconds(const void *a, const void *b)
{
    const double x = ((const struct limn_bench_op *)a)->seconds, y = ((const struct limn_bench_op *)b)->seconds;
    return (x < y) - (x > y);
}

/* Until share_out the shares are seconds. */
static void count_step(struct limn_bench_op *op, const struct kept_step *step, const struct rates *rates)
{
    op->count++;
    op->gflop += step->flops * 1e-9;
    op->gbytes += step->bytes * 1e-9;
    op->seconds += step->seconds;
    if (step->flops > 0) op->product_share += step->flops / rates->product[step->dtype];
    op->copy_share += step->bytes / rates->copy;
}

static void share_out(struct limn_bench_op *op, double seconds)
{
    op->product_share = seconds > 0 ? op->product_share / seconds : 0;
    op->copy_share = seconds > 0 ? op->copy_share / seconds : 0;
}

static void summarise(struct limn_bench_result *result, const struct timed_run *run, const struct rates *rates)
{
    struct limn_bench_op ops[OP_COUNT] = {0}, all = {0};
    for (int i = 0; i < run->count; i++) {
        const struct kept_step *step = &run->steps[i];
        ops[step->op].name = op_name(step->op);
        count_step(&ops[step->op], step, rates);
        count_step(&all, step, rates);
    }
    for (int i = 0; i < OP_COUNT; i++) share_out(&ops[i], ops[i].seconds);
    share_out(&all, result->seconds);
    qsort(ops, OP_COUNT, sizeof *ops, by_seconds);
    for (int i = 0, used = 0; i < OP_COUNT; i++)
        if (ops[i].count > 0) result->ops[used++] = ops[i];
    result->gflop = all.gflop;
    result->gbytes = all.gbytes;
    result->product_share = all.product_share;
    result->copy_share = all.copy_share;
    result->timed_seconds = run->seconds;
    result->rates = (struct limn_bench_rates){.f32 = rates->product[DTYPE_F32] * 1e-9,
                                              .f16 = rates->product[DTYPE_F16] * 1e-9,
                                              .bf16 = rates->product[DTYPE_BF16] * 1e-9,
                                              .q8_0 = rates->product[DTYPE_Q8_0] * 1e-9,
                                              .q4_0 = rates->product[DTYPE_Q4_0] * 1e-9,
                                              .copy = rates->copy * 1e-9};
    result->sgemm_gflops = result->rates.f32;
    result->ratio = all.gflop > 0 ? result->seconds / (all.gflop / result->sgemm_gflops) : 0;
}

/* Hands the steps on to who asked for them. */
static enum status tell(const struct bench *bench, const struct timed_run *run, struct error *err)
{
    const struct limn_bench_options *options = bench->options;
    enum status status = STATUS_OK;
    if (options->trace) status = trace_begin(options->trace, bench->name, bench->result->device, err);
    for (int i = 0; i < run->count && status == STATUS_OK; i++) {
        const struct kept_step *step = &run->steps[i];
        char shape[SHAPE_TEXT_BYTES];
        const struct limn_bench_step told = {.op = op_name(step->op),
                                             .kernel = step->kernel,
                                             .shape = shape_text(step->shape, shape),
                                             .weight = step->weight,
                                             .begin = step->begin - run->began,
                                             .seconds = step->seconds,
                                             .gflop = step->flops * 1e-9,
                                             .gbytes = step->bytes * 1e-9};
        if (options->step) options->step(options->context, &told);
        if (options->trace) status = trace_step(options->trace, &told, err);
    }
    return status;
}

/* ---- measuring ---- */

/* One run to its end; probe: NULL, or who is told of its steps. */
static enum status run_once(const struct bench_work *work, const struct backend_probe *probe, double *began,
                            double *seconds, struct error *err)
{
    struct backend *backend = work->backend;
    enum status status = backend->f->wait(backend, err);
    backend->probe = probe;
    *began = api_clock();
    if (status == STATUS_OK) status = work->run(work->context, err);
    if (status == STATUS_OK) status = backend->f->wait(backend, err);
    *seconds = api_clock() - *began;
    backend->probe = NULL;
    return status;
}

static enum status run_timed(struct timed_run *best, const struct bench_work *work, struct error *err)
{
    struct timed_run run = {0};
    const struct backend_probe probe = {.step = on_step, .context = &run, .timed = true};
    enum status status = run_once(work, &probe, &run.began, &run.seconds, err);
    if (status == STATUS_OK && run.no_memory)
        status = fail_no_memory(err, "a profile", (size_t)run.count * sizeof *run.steps);
    if (status == STATUS_OK && (best->count == 0 || run.seconds < best->seconds)) {
        const struct timed_run other = *best;
        *best = run;
        run = other;
    }
    clear_run(&run);
    return status;
}

/* The machine may be busy with something else for a while, so its rates are measured before and after the runs, and the
 * better ones count: slow ones would flatter the case. */
enum status bench_measure(const struct bench *bench, const struct bench_work *work, struct error *err)
{
    const struct limn_bench_options *options = bench->options;
    struct limn_bench_result *result = bench->result;
    const int rounds = options->rounds ? options->rounds : work->rounds;
    struct rates rates = {0};
    struct timed_run best = {0};
    snprintf(result->device, sizeof result->device, "%s", work->backend->device);
    enum status status = rates_measure(&rates, work->backend, options->threads, err);
    for (int i = 0; i <= rounds && status == STATUS_OK; i++) {
        double began, seconds;
        status = watch_check(options->watch, err);
        if (status == STATUS_OK) status = run_once(work, NULL, &began, &seconds, err);
        if (status != STATUS_OK || i == 0) continue; /* The first warms up. */
        if (result->seconds == 0 || seconds < result->seconds) result->seconds = seconds;
    }
    for (int i = 0; i < rounds && status == STATUS_OK; i++) {
        status = watch_check(options->watch, err);
        if (status == STATUS_OK) status = run_timed(&best, work, err);
    }
    if (status == STATUS_OK) status = rates_measure(&rates, work->backend, options->threads, err);
    if (status == STATUS_OK) summarise(result, &best, &rates);
    if (status == STATUS_OK) status = tell(bench, &best, err);
    clear_run(&best);
    return status;
}

enum status bench_open_model(struct limn_model **model, const struct bench *bench, struct error *err)
{
    const struct limn_bench_options *o = bench->options;
    const struct limn_model_options options = {.path = o->model,
                                               .weights = o->weights,
                                               .device = o->device,
                                               .compute = o->compute,
                                               .no_fallback = 1,
                                               .threads = o->threads};
    struct limn_error why = {0};
    const enum limn_status status = limn_model_open(model, &options, &why);
    return status == LIMN_OK ? STATUS_OK : fail(err, (enum status)status, "%s", why.text);
}

enum status bench_write_inputs(struct exec *exec, const struct graph *g, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < g->count && status == STATUS_OK; i++) {
        const struct node *node = g->nodes[i];
        if (node->op != OP_INPUT) continue;
        const size_t count = (size_t)shape_count(node->shape), bytes = dtype_bytes(node->dtype, count);
        float *values = memory_alloc(bytes);
        for (size_t k = 0; k < count && values && node->dtype == DTYPE_F32; k++)
            values[k] = (float)(k % 29) / 29 - 0.5f;
        status = values ? exec_write(exec, node->name, values, err) : fail_no_memory(err, "an input", bytes);
        memory_free(values);
    }
    return status;
}
