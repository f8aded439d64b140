/* SPDX-License-Identifier: MIT */
#include "tests/support/measured.h"

#include "tests/support/command.h"
#include "tests/support/tiny.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) fail_msg("\"%s\" is no number", key);
    return json_number_value(value);
}

static double positive(const json_t *object, const char *key)
{
    const double value = number(object, key);
    if (!(value > 0 && isfinite(value))) fail_msg("\"%s\" is %g", key, value);
    return value;
}

static void check_near(const char *what, double got, double want)
{
    if (!(fabs(got - want) <= 1e-6 * want)) fail_msg("%s: %.9g and not %.9g", what, got, want);
}

static double sum(const json_t *list, const char *key)
{
    double total = 0;
    for (size_t i = 0; i < json_array_size(list); i++) total += number(json_array_get(list, i), key);
    return total;
}

static void check_rates(const json_t *result)
{
    const json_t *rates = json_object_get(result, "rates");
    const char *const names[] = {"f32_gflops",  "f16_gflops",  "bf16_gflops",
                                 "q8_0_gflops", "q4_0_gflops", "copy_gbytes"};
    for (int i = 0; i < 6; i++) (void)positive(rates, names[i]);
    assert_true(strlen(json_string_value(json_object_get(result, "device"))) > 0);
    /* Tiny models have weights in f32, so all products have one yardstick. */
    const double seconds = number(result, "seconds"), gflop = number(result, "gflop");
    check_near("share of the products' rate", number(result, "product_share"),
               gflop / seconds / number(rates, "f32_gflops"));
    check_near("share of the copies' rate", number(result, "copy_share"),
               number(result, "gbytes") / seconds / number(rates, "copy_gbytes"));
}

/* Sums and the list of steps. */
static void check_result(const json_t *json, const char *name)
{
    const json_t *result = json_array_get(json_object_get(json, "cases"), 0);
    const json_t *ops = json_object_get(result, "ops"), *steps = json_object_get(result, "steps");
    assert_true(strncmp(json_string_value(json_object_get(result, "name")), name, strcspn(name, " ")) == 0);
    const double gflop = positive(result, "gflop"), gbytes = positive(result, "gbytes");
    check_near("ratio", positive(result, "ratio"),
               positive(result, "seconds") * positive(json, "sgemm_gflops") / gflop);
    check_near("GFLOP of all operations", sum(ops, "gflop"), gflop);
    check_near("GFLOP of all steps", sum(steps, "gflop"), gflop);
    check_near("GB of all operations", sum(ops, "gbytes"), gbytes);
    check_near("GB of all steps", sum(steps, "gbytes"), gbytes);
    check_near("steps", sum(ops, "count"), (double)json_array_size(steps));
    check_near("seconds of all steps", sum(steps, "seconds"), sum(ops, "seconds"));
    assert_true(sum(ops, "seconds") > 0 && sum(ops, "seconds") <= positive(result, "timed_seconds"));
    check_rates(result);
}

/* The trace has the steps of the list, each with what a viewer asks for, one after the other. */
static void check_trace(const char *path, const json_t *json)
{
    const json_t *result = json_array_get(json_object_get(json, "cases"), 0), *steps = json_object_get(result, "steps");
    json_error_t why;
    json_t *trace = json_load_file(path, 0, &why);
    if (!trace) fail_msg("%s: line %d: %s", path, why.line, why.text);
    const json_t *events = json_object_get(trace, "traceEvents");
    size_t found = 0;
    double end = 0;
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *event = json_array_get(events, i), *args = json_object_get(event, "args");
        if (strcmp(json_string_value(json_object_get(event, "ph")), "X") != 0) continue;
        const json_t *step = json_array_get(steps, found++);
        const char *const texts[] = {"op", "shape", "kernel"};
        for (int k = 0; k < 3; k++) {
            assert_true(json_string_length(json_object_get(args, texts[k])) > 0);
            assert_true(json_equal(json_object_get(args, texts[k]), json_object_get(step, texts[k])));
        }
        assert_true(json_equal(json_object_get(event, "name"), json_object_get(step, "op")));
        assert_true(fabs(number(args, "bytes") - 1e9 * number(step, "gbytes")) < 1);
        assert_true(fabs(number(event, "dur") - 1e6 * number(step, "seconds")) < 1e-3);
        assert_true(number(event, "ts") >= end - 1e-3 && number(event, "dur") >= 0);
        (void)number(args, "gflop");
        (void)number(event, "pid");
        end = number(event, "ts") + number(event, "dur");
    }
    assert_int_equal(found, json_array_size(steps));
    assert_true(end <= 1e6 * number(result, "timed_seconds"));
    json_decref(trace);
}

void measured_check(const char *words, const char *device)
{
    char model[TINY_PATH_BYTES], trace[64], line[512];
    tiny_write(model, TINY_PACK);
    snprintf(trace, sizeof trace, "trace-%d.json", (int)getpid());
    snprintf(line, sizeof line, "bench %s -m %s --device '%s' --threads 1 --rounds 1 --json --every-step --trace %s",
             words, model, device, trace);
    struct outcome o = command_run(".", line, NULL);
    if (o.status != 0) fail_msg("%s", o.err);
    json_error_t why;
    json_t *json = json_loads(o.out, 0, &why);
    if (!json) fail_msg("%s", why.text);
    check_result(json, words);
    check_trace(trace, json);
    json_decref(json);
    outcome_clear(&o);
    unlink(trace);
    tiny_remove(model);
}
