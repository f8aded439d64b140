/* SPDX-License-Identifier: MIT
 *
 * Steps as a file that chrome://tracing and Perfetto show: complete events ("ph": "X"), times in microseconds, a
 * process for each case. The format: "Trace Event Format", https://docs.google.com/document/d/
 * 1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
 */
#include "core/base/memory.h"
#include "core/io/file.h"
#include "pipeline/api.h"
#include "pipeline/bench.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct limn_trace {
    struct file_writer file;
    int processes, events;
};

static const char head[] = "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [", tail[] = "\n]}\n";

enum limn_status limn_trace_open(struct limn_trace **out, const char *path, struct limn_error *error)
{
    struct error err = {0};
    struct limn_trace *trace = memory_alloc(sizeof *trace);
    *out = NULL;
    if (!trace) {
        err.status = fail_no_memory(&err, "a trace", sizeof *trace);
        return api_result(error, &err);
    }
    enum status status = file_begin(&trace->file, path, &err);
    if (status == STATUS_OK) status = file_append(&trace->file, head, sizeof head - 1, &err);
    if (status == STATUS_OK) {
        *out = trace;
    } else {
        err.status = file_finish(&trace->file, status, &err);
        memory_free(trace);
    }
    return api_result(error, &err);
}

enum limn_status limn_trace_close(struct limn_trace *trace, int keep, struct limn_error *error)
{
    struct error err = {0};
    if (!trace) return api_result(error, &err);
    const enum status status = keep ? file_append(&trace->file, tail, sizeof tail - 1, &err) : STATUS_CANCELLED;
    const enum status finished = file_finish(&trace->file, status, &err);
    if (keep) err.status = finished;
    memory_free(trace);
    return api_result(error, &err);
}

/* Writes the event and lets go of it. NULL: there was no memory for it. */
static enum status write_event(struct limn_trace *trace, json_t *event, struct error *err)
{
    char *text = event ? json_dumps(event, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
    enum status status = text ? STATUS_OK : fail_no_memory(err, "a trace's event", 0);
    if (status == STATUS_OK)
        status = file_append(&trace->file, trace->events ? ",\n" : "\n", trace->events ? 2 : 1, err);
    if (status == STATUS_OK) status = file_append(&trace->file, text, strlen(text), err);
    trace->events++;
    free(text); /* library: jansson's */
    json_decref(event);
    return status;
}

enum status trace_begin(struct limn_trace *trace, const char *name, const char *device, struct error *err)
{
    trace->processes++;
    return write_event(trace,
                       json_pack("{s:s, s:s, s:i, s:i, s:{s:o}}", "name", "process_name", "ph", "M", "pid",
                                 trace->processes, "tid", 1, "args", "name", json_sprintf("%s on %s", name, device)),
                       err);
}

enum status trace_step(struct limn_trace *trace, const struct limn_bench_step *step, struct error *err)
{
    json_t *args = json_pack("{s:s, s:s, s:s, s:f, s:I}", "op", step->op, "shape", step->shape, "kernel", step->kernel,
                             "gflop", step->gflop, "bytes", (json_int_t)(step->gbytes * 1e9 + 0.5));
    /* A name from a file may be no UTF-8; then the step goes without. */
    if (args && step->weight) (void)json_object_set_new(args, "weight", json_string(step->weight));
    return write_event(trace,
                       json_pack("{s:s, s:s, s:s, s:f, s:f, s:i, s:i, s:o}", "name", step->op, "cat", "step", "ph", "X",
                                 "ts", step->begin * 1e6, "dur", step->seconds * 1e6, "pid", trace->processes, "tid", 1,
                                 "args", args),
                       err);
}
