/* SPDX-License-Identifier: MIT
 *
 * What the cases of limn bench are measured with. A case makes something that can be run again and again, and hands it
 * over:
 *
 *     const struct bench_work work = {.backend = backend, .run = run, .context = exec, .rounds = 2};
 *     return bench_measure(bench, &work, err);
 *
 * It runs once to warm up, then as it is, then with each step timed; the fastest of each counts.
 */
#ifndef PIPELINE_BENCH_H
#define PIPELINE_BENCH_H

#include "core/tensor/exec.h"
#include "include/limn.h"

struct bench {
    const char *name; /* of the case */
    const struct limn_bench_options *options;
    struct limn_bench_result *result;
};

struct bench_work {
    struct backend *backend;
    enum status (*run)(void *context, struct error *err);
    void *context;
    int rounds; /* unless the caller asks for another number */
};

MUST_CHECK enum status bench_measure(const struct bench *bench, const struct bench_work *work, struct error *err);

/* Opens the model that a case needs, with what the caller asked for; closed by limn_model_close. */
MUST_CHECK enum status bench_open_model(struct limn_model **model, const struct bench *bench, struct error *err);

/* Gives every input of the graph values: numbers of either sign, or the first id of a table. */
MUST_CHECK enum status bench_write_inputs(struct exec *exec, const struct graph *g, struct error *err);

/* The case "train-unet-pack" (bench_train.c). */
MUST_CHECK enum status bench_train_unet(const struct bench *bench, struct error *err);

/* A process of the trace's own for what follows, under this name; then its steps (bench_trace.c). */
MUST_CHECK enum status trace_begin(struct limn_trace *trace, const char *name, const char *device, struct error *err);
MUST_CHECK enum status trace_step(struct limn_trace *trace, const struct limn_bench_step *step, struct error *err);

#endif
