/* SPDX-License-Identifier: MIT
 *
 * limn bench [CASE...]
 */
#include "cli/commands.h"
#include "cli/events.h"
#include "cli/sentence.h"

#include <stdio.h>
#include <string.h>

/* What is known of the case that runs: its steps come before its sum. */
struct listing {
    bool table;
    json_t *steps; /* owned; NULL: no list of them is asked for in JSON */
};

/* ---- JSON ---- */

static json_t *step_as_json(const struct limn_bench_step *step)
{
    return json_pack("{s:s, s:s, s:s, s:o, s:f, s:f, s:f, s:f}", "op", step->op, "kernel", step->kernel, "shape",
                     step->shape, "weight", step->weight ? event_text(step->weight) : json_null(), "begin", step->begin,
                     "seconds", step->seconds, "gflop", step->gflop, "gbytes", step->gbytes);
}

static json_t *ops_as_json(const struct limn_bench_result *result)
{
    json_t *ops = json_array();
    for (int i = 0; i < LIMN_BENCH_OPS && result->ops[i].name; i++) {
        const struct limn_bench_op *op = &result->ops[i];
        json_array_append_new(ops,
                              json_pack("{s:s, s:i, s:f, s:f, s:f, s:f, s:f}", "name", op->name, "count", op->count,
                                        "gflop", op->gflop, "gbytes", op->gbytes, "seconds", op->seconds,
                                        "product_share", op->product_share, "copy_share", op->copy_share));
    }
    return ops;
}

static json_t *rates_as_json(const struct limn_bench_rates *rates)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "f32_gflops", rates->f32, "f16_gflops", rates->f16,
                     "bf16_gflops", rates->bf16, "q8_0_gflops", rates->q8_0, "q4_0_gflops", rates->q4_0, "copy_gbytes",
                     rates->copy);
}

/* In the one object of --json all ratios are to the best rate of the whole run, which stands beside them; shares are to
 * the rates of their own case. */
static json_t *cases_as_json(const struct limn_bench_result *results, const char *const *names, json_t *const *steps,
                             int count)
{
    double sgemm = 0;
    for (int i = 0; i < count; i++)
        if (results[i].sgemm_gflops > sgemm) sgemm = results[i].sgemm_gflops;
    json_t *cases = json_array();
    for (int i = 0; i < count; i++) {
        const struct limn_bench_result *r = &results[i];
        const double ratio = r->gflop > 0 ? r->seconds / (r->gflop / sgemm) : 0;
        json_t *object =
            json_pack("{s:s, s:o, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:o}", "name", names[i], "device",
                      event_text(r->device), "gflop", r->gflop, "gbytes", r->gbytes, "seconds", r->seconds,
                      "timed_seconds", r->timed_seconds, "ratio", ratio, "product_share", r->product_share,
                      "copy_share", r->copy_share, "rates", rates_as_json(&r->rates), "ops", ops_as_json(r));
        if (steps[i]) json_object_set(object, "steps", steps[i]);
        json_array_append_new(cases, object);
    }
    return json_pack("{s:f, s:o}", "sgemm_gflops", sgemm, "cases", cases);
}

/* ---- the table ---- */

enum { FIRST_COLUMN = 26 };

static void print_head(void)
{
    printf("%-*s %9s %10s %9s %9s %9s %8s %8s\n", FIRST_COLUMN, "case", "GFLOP", "seconds", "GFLOP/s", "products", "GB",
           "GB/s", "copies");
}

/* A dash stands for a rate that means nothing here. */
static void print_row(const char *what, double gflop, double seconds, double product_share, double gbytes,
                      double copy_share)
{
    printf("%-*s %9.2f %10.5f", FIRST_COLUMN, what, gflop, seconds);
    if (gflop > 0 && seconds > 0)
        printf(" %9.1f %8.1f%%", gflop / seconds, 100 * product_share);
    else
        printf(" %9s %9s", "-", "-");
    printf(" %9.3f", gbytes);
    if (seconds > 0)
        printf(" %8.1f %7.1f%%\n", gbytes / seconds, 100 * copy_share);
    else
        printf(" %8s %8s\n", "-", "-");
}

static void print_step(const struct limn_bench_step *step)
{
    printf("    %9.3f ms %9.3f ms %8.3f GFLOP %8.3f MB  %s %s  %s  ", step->begin * 1e3, step->seconds * 1e3,
           step->gflop, step->gbytes * 1e3, step->op, step->shape, step->kernel);
    if (step->weight) print_clean(stdout, step->weight); /* a name out of a file */
    putchar('\n');
}

static void print_result(const char *name, const struct limn_bench_result *result)
{
    const struct limn_bench_rates *rates = &result->rates;
    print_row(name, result->gflop, result->seconds, result->product_share, result->gbytes, result->copy_share);
    for (int i = 0; i < LIMN_BENCH_OPS && result->ops[i].name; i++) {
        const struct limn_bench_op *op = &result->ops[i];
        char what[48];
        snprintf(what, sizeof what, "  %d %s", op->count, op->name);
        print_row(what, op->gflop, op->seconds, op->product_share, op->gbytes, op->copy_share);
    }
    printf("  on %s: copies %.1f GB/s; GFLOP/s of products f32 %.1f, f16 %.1f, bf16 %.1f, q8_0 %.1f, q4_0 %.1f\n"
           "  step by step %.4f s; ratio to products in f32 %.2f\n",
           result->device, rates->copy, rates->f32, rates->f16, rates->bf16, rates->q8_0, rates->q4_0,
           result->timed_seconds, result->ratio);
    fflush(stdout);
}

static void on_step(void *context, const struct limn_bench_step *step)
{
    const struct listing *listing = context;
    if (listing->table) print_step(step);
    if (listing->steps) json_array_append_new(listing->steps, step_as_json(step));
}

/* ---- the command ---- */

static const char *case_at(const struct options *options, int i)
{
    if (options->word_count == 0) return limn_bench_name(i);
    return i < options->word_count ? options->words[i] : NULL;
}

static int stop(void *context)
{
    (void)context;
    return interrupted();
}

static int whole(const struct options *options, int option)
{
    return options->given[option] ? (int)options->value[option].whole : 0;
}

/* All cases; --json's object when all are done. */
static enum limn_status run_cases(const struct options *options, struct limn_trace *trace, struct limn_error *error)
{
    const bool json = options->given[OPTION_JSON], every = options->given[OPTION_EVERY_STEP];
    const bool table = !json && !options->given[OPTION_QUIET];
    const struct limn_watch watch = {.cancelled = stop};
    struct listing listing = {.table = table};
    const struct limn_bench_options bench = {
        .watch = &watch,
        .model = options_text(options, OPTION_MODEL),
        .weights = options_text(options, OPTION_WEIGHTS),
        .device = options_device(options),
        .compute = options_text(options, OPTION_COMPUTE),
        .threads = whole(options, OPTION_THREADS),
        .rounds = whole(options, OPTION_ROUNDS),
        .steps = whole(options, OPTION_BENCH_STEPS),
        .batch = whole(options, OPTION_BENCH_BATCH),
        .trace = trace,
        .step = every ? on_step : NULL,
        .context = &listing,
    };
    struct limn_bench_result results[MAX_WORDS];
    const char *names[MAX_WORDS];
    json_t *steps[MAX_WORDS] = {0};
    enum limn_status status = LIMN_OK;
    int count = 0;
    if (table) print_head();
    for (; count < MAX_WORDS && case_at(options, count) && status == LIMN_OK; count++) {
        names[count] = case_at(options, count);
        listing.steps = steps[count] = json && every ? json_array() : NULL;
        status = limn_bench_run(&results[count], names[count], &bench, error);
        if (status == LIMN_OK && table) print_result(names[count], &results[count]);
    }
    if (status == LIMN_OK && json) event_write(cases_as_json(results, names, steps, count));
    for (int i = 0; i < count; i++) json_decref(steps[i]);
    return status;
}

int command_bench(const struct options *options)
{
    for (int i = 0; i < options->word_count; i++) {
        bool known = false;
        for (int k = 0; limn_bench_name(k); k++) known |= strcmp(limn_bench_name(k), options->words[i]) == 0;
        if (!known) return usage_error("unknown case '%s'; limn help bench lists those there are", options->words[i]);
    }
    struct limn_error error = {0};
    struct limn_trace *trace = NULL;
    enum limn_status status = LIMN_OK;
    if (options->given[OPTION_TRACE]) status = limn_trace_open(&trace, options->value[OPTION_TRACE].text, &error);
    if (status == LIMN_OK) status = run_cases(options, trace, &error);
    const enum limn_status closed = limn_trace_close(trace, status == LIMN_OK, status == LIMN_OK ? &error : NULL);
    if (status != LIMN_OK || closed != LIMN_OK) return report_failure(options, &error);
    return flush_output() ? EXIT_OK : EXIT_FAILED;
}
