/* SPDX-License-Identifier: MIT
 *
 * limn bench [CASE...]
 */
#include "cli/commands.h"
#include "cli/events.h"

#include <stdio.h>
#include <string.h>

static json_t *ops_as_json(const struct limn_bench_result *result)
{
    json_t *ops = json_array();
    for (int i = 0; i < LIMN_BENCH_OPS && result->ops[i].name; i++) {
        const struct limn_bench_op *op = &result->ops[i];
        json_array_append_new(ops, json_pack("{s:s, s:i, s:f, s:f}", "name", op->name, "count", op->count, "gflop",
                                             op->gflop, "seconds", op->seconds));
    }
    return ops;
}

static void print_result(const char *name, const struct limn_bench_result *result)
{
    printf("%-24s %10.2f %10.4f %10.1f %8.2f\n", name, result->gflop, result->seconds, result->gflop / result->seconds,
           result->ratio);
    for (int i = 0; i < LIMN_BENCH_OPS && result->ops[i].name; i++) {
        const struct limn_bench_op *op = &result->ops[i];
        char what[32];
        snprintf(what, sizeof what, "%d %s", op->count, op->name);
        printf("  %-22s %10.2f %10.4f", what, op->gflop, op->seconds);
        if (op->gflop > 0) printf(" %10.1f", op->gflop / op->seconds);
        putchar('\n');
    }
    fflush(stdout);
}

/* Runs one case, prints it and adds it to `cases`. */
static enum limn_status run_case(const struct options *options, const char *name, double sgemm,
                                 const struct limn_bench_options *bench, json_t *cases, struct limn_error *error)
{
    struct limn_bench_result result;
    const enum limn_status status = limn_bench_run(&result, name, sgemm, bench, error);
    if (status != LIMN_OK) return status;
    json_array_append_new(cases, json_pack("{s:s, s:f, s:f, s:f, s:o}", "name", name, "gflop", result.gflop, "seconds",
                                           result.seconds, "ratio", result.ratio, "ops", ops_as_json(&result)));
    if (!options->given[OPTION_JSON] && !options->given[OPTION_QUIET]) print_result(name, &result);
    return LIMN_OK;
}

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

int command_bench(const struct options *options)
{
    for (int i = 0; i < options->word_count; i++) {
        bool known = false;
        for (int k = 0; limn_bench_name(k); k++) known |= strcmp(limn_bench_name(k), options->words[i]) == 0;
        if (!known) return usage_error("unknown case '%s'; limn help bench lists those there are", options->words[i]);
    }
    const struct limn_watch watch = {.cancelled = stop};
    const struct limn_bench_options bench = {
        .watch = &watch,
        .model = options->given[OPTION_MODEL] ? options->value[OPTION_MODEL].text : NULL,
        .threads = options->given[OPTION_THREADS] ? (int)options->value[OPTION_THREADS].whole : 0,
    };
    struct limn_error error = {0};
    double sgemm = 0;
    json_t *cases = json_array();
    enum limn_status status = limn_bench_sgemm(&sgemm, &bench, &error);
    if (status == LIMN_OK && !options->given[OPTION_JSON] && !options->given[OPTION_QUIET]) {
        printf("f32 matrix product: %.1f GFLOP/s\n\n", sgemm);
        printf("%-24s %10s %10s %10s %8s\n", "case", "GFLOP", "seconds", "GFLOP/s", "ratio");
    }
    for (int i = 0; status == LIMN_OK && case_at(options, i); i++)
        status = run_case(options, case_at(options, i), sgemm, &bench, cases, &error);
    if (status == LIMN_OK && options->given[OPTION_JSON])
        event_write(json_pack("{s:f, s:O}", "sgemm_gflops", sgemm, "cases", cases));
    json_decref(cases);
    if (status != LIMN_OK) return report_failure(options, &error);
    return flush_output() ? EXIT_OK : EXIT_FAILED;
}
