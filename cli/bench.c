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
    printf("%-24s %10.2f %10.4f %10.1f %10.1f %8.2f\n", name, result->gflop, result->seconds,
           result->gflop / result->seconds, result->sgemm_gflops, result->ratio);
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

/* In the one object of --json all ratios are to the best rate of the whole run, which stands beside them. */
static json_t *cases_as_json(const struct limn_bench_result *results, const char *const *names, int count)
{
    double sgemm = 0;
    for (int i = 0; i < count; i++)
        if (results[i].sgemm_gflops > sgemm) sgemm = results[i].sgemm_gflops;
    json_t *cases = json_array();
    for (int i = 0; i < count; i++) {
        const struct limn_bench_result *r = &results[i];
        const double ratio = r->gflop > 0 ? r->seconds / (r->gflop / sgemm) : 0;
        json_array_append_new(cases, json_pack("{s:s, s:f, s:f, s:f, s:o}", "name", names[i], "gflop", r->gflop,
                                               "seconds", r->seconds, "ratio", ratio, "ops", ops_as_json(r)));
    }
    return json_pack("{s:f, s:o}", "sgemm_gflops", sgemm, "cases", cases);
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
        .weights = options->given[OPTION_WEIGHTS] ? options->value[OPTION_WEIGHTS].text : NULL,
        .device = options_device(options),
        .compute = options_text(options, OPTION_COMPUTE),
        .threads = options->given[OPTION_THREADS] ? (int)options->value[OPTION_THREADS].whole : 0,
    };
    struct limn_error error = {0};
    struct limn_bench_result results[MAX_WORDS];
    const char *names[MAX_WORDS];
    const bool table = !options->given[OPTION_JSON] && !options->given[OPTION_QUIET];
    enum limn_status status = LIMN_OK;
    int count = 0;
    if (table) printf("%-24s %10s %10s %10s %10s %8s\n", "case", "GFLOP", "seconds", "GFLOP/s", "sgemm", "ratio");
    for (; count < MAX_WORDS && case_at(options, count); count++) {
        names[count] = case_at(options, count);
        status = limn_bench_run(&results[count], names[count], &bench, &error);
        if (status != LIMN_OK) return report_failure(options, &error);
        if (table) print_result(names[count], &results[count]);
    }
    if (options->given[OPTION_JSON]) event_write(cases_as_json(results, names, count));
    return flush_output() ? EXIT_OK : EXIT_FAILED;
}
