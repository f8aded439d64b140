/* SPDX-License-Identifier: MIT
 *
 * What a training says about itself: losses to the caller after every step, every so many steps a line in train.jsonl,
 * and sheets. Several trainings may share a folder and its train.jsonl: each line names the result it belongs to.
 */
#define _POSIX_C_SOURCE 200809L /* open, write */
#include "core/io/file.h"
#include "core/io/quote.h"
#include "core/nn/exchange.h"
#include "pipeline/api.h"
#include "pipeline/training_loop.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

struct quoted training_out_name(const struct training *t)
{
    return quote(file_name(t->out));
}

void training_log_path(const struct training *t, char path[TRAINING_PATH_BYTES])
{
    const int folder = (int)(file_name(t->out) - t->out);
    snprintf(path, TRAINING_PATH_BYTES, "%.*strain.jsonl", folder, t->out);
}

void training_loss(struct training *t, const char *name, double value)
{
    struct training_losses *l = &t->loop->losses;
    int i = 0;
    while (i < l->count && strcmp(l->names[i], name) != 0) i++;
    if (i == l->count) {
        assert(l->count < TRAINING_LOSSES);
        l->names[l->count++] = name;
    }
    l->sum[i] += value;
    l->times[i]++;
}

/* ---- train.jsonl ---- */

/* Is the line a record that this run will not make again? Of a line that was cut off it is not known. */
static bool stays(const struct training *t, const char *line, size_t length)
{
    json_t *record = json_loadb(line, length, 0, NULL);
    const char *out = json_string_value(json_object_get(record, "out"));
    const bool ours = !out || strcmp(out, training_out_name(t).text) == 0;
    const bool kept =
        json_is_object(record) && (!ours || json_integer_value(json_object_get(record, "step")) <= (json_int_t)t->step);
    json_decref(record);
    return kept;
}

enum status training_open_records(struct training *t, struct error *err)
{
    char path[TRAINING_PATH_BYTES];
    training_log_path(t, path);
    if (t->rank != 0 || access(path, F_OK) != 0) return STATUS_OK;
    struct mapped_file file = {0};
    struct file_writer w;
    enum status status = file_map(&file, path, err);
    if (status != STATUS_OK) return status;
    status = file_begin(&w, path, err);
    const char *at = (const char *)file.bytes, *end = at + file.size;
    while (at < end && status == STATUS_OK) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const size_t length = (size_t)((stop ? stop : end) - at);
        if (stop && stays(t, at, length)) status = file_append(&w, at, length + 1, err);
        at += length + 1;
    }
    status = file_finish(&w, status, err);
    file_unmap(&file);
    return status;
}

/* One write, so that lines of several trainings do not mix. */
static enum status append_line(const struct training *t, const char *line, struct error *err)
{
    char path[TRAINING_PATH_BYTES];
    training_log_path(t, path);
    const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) return fail(err, STATUS_IO, "%s: could not be opened: %s", path, strerror(errno));
    const size_t length = strlen(line);
    const ssize_t written = write(fd, line, length);
    const int why = errno;
    if (close(fd) == 0 && written == (ssize_t)length) return STATUS_OK;
    return fail(err, STATUS_IO, "%s: could not be written: %s", path, strerror(written < 0 ? why : ENOSPC));
}

static enum status log_record(const struct training *t, const struct limn_train_record *record, struct error *err)
{
    json_t *object =
        json_pack("{s:s, s:I, s:f, s:f, s:f, s:f}", "out", training_out_name(t).text, "step", (json_int_t)record->step,
                  "loss", record->loss, "images_per_second", record->images_per_second, "learning_rate",
                  record->learning_rate, "seconds", record->seconds);
    for (int i = 0; object && i < record->count; i++)
        if (strcmp(record->names[i], "loss") != 0)
            json_object_set_new(object, record->names[i], json_real(record->values[i]));
    char text[2048];
    const size_t length = object ? json_dumpb(object, text, sizeof text - 2, JSON_COMPACT | JSON_REAL_PRECISION(9)) : 0;
    json_decref(object);
    if (length == 0 || length > sizeof text - 2) return fail_no_memory(err, "a record", sizeof text);
    text[length] = '\n';
    text[length + 1] = '\0';
    return append_line(t, text, err);
}

/* ---- records ---- */

struct means {
    const char *names[TRAINING_LOSSES];
    double values[TRAINING_LOSSES];
    int count;
};

/* Means since the last record, of all machines together where the record is logged. A loss that there was none of, say
 * of a network that did not move, is left out: on all machines, for they step alike. */
static enum status average(const struct training *t, bool logged, struct means *means, struct error *err)
{
    const struct training_losses *l = &t->loop->losses;
    float shares[TRAINING_LOSSES];
    means->count = 0;
    for (int i = 0; i < l->count; i++) {
        if (l->times[i] == 0) continue;
        means->names[means->count] = l->names[i];
        means->values[means->count++] = l->sum[i] / (double)l->times[i];
    }
    if (logged && t->ranks > 1) {
        for (int i = 0; i < means->count; i++) shares[i] = (float)(means->values[i] / t->ranks);
        const enum status status = exchange_sum(t->exchange, STATUS_OK, shares, means->count, err);
        if (status != STATUS_OK) return status;
        for (int i = 0; i < means->count; i++) means->values[i] = (double)shares[i];
    }
    for (int i = 0; i < means->count; i++)
        if (!isfinite(means->values[i]))
            return fail(err, STATUS_ARGUMENT,
                        "the %s of step %lld is not finite; a smaller learning rate or clipping may help",
                        means->names[i], (long long)t->step);
    return STATUS_OK;
}

enum status training_ask_stop(struct training *t, bool *stopped, struct error *err)
{
    struct error why = {0};
    float wish = watch_check(t->watch, &why) != STATUS_OK;
    const enum status status = t->ranks > 1 ? exchange_sum(t->exchange, STATUS_OK, &wish, 1, err) : STATUS_OK;
    *stopped = wish > 0;
    return status;
}

enum status training_record(struct training *t, double seconds, struct error *err)
{
    struct training_loop *loop = t->loop;
    struct training_losses *l = &loop->losses;
    const struct training_settings *s = &t->settings;
    loop->stepping += seconds;
    const bool logged = t->step % s->log_every == 0 || t->step == s->steps;
    struct means means;
    enum status status = average(t, logged, &means, err);
    if (status != STATUS_OK) return status;
    const double now = api_clock() - loop->started, done = (double)(t->step - loop->first_step);
    const struct limn_train_record record = {
        .step = t->step,
        .steps = s->steps,
        .logged = logged,
        .loss = means.count > 0 ? means.values[0] : 0,
        .names = means.names,
        .values = means.values,
        .count = means.count,
        .learning_rate = (double)learning_rate_at(&s->rate, t->step - 1),
        .images_per_second = (double)((t->step - loop->recorded) * s->batch * t->ranks) / fmax(loop->stepping, 1e-9),
        .seconds = now,
        .seconds_left = now / done * (double)(s->steps - t->step),
    };
    if (t->rank == 0 && loop->options->record) loop->options->record(loop->options->record_context, &record);
    if (!logged) return STATUS_OK;
    if (t->rank == 0) status = log_record(t, &record, err);
    loop->recorded = t->step;
    loop->stepping = 0;
    memset(l->sum, 0, sizeof l->sum);
    memset(l->times, 0, sizeof l->times);
    return status;
}

/* ---- sheets ---- */

static enum status write_samples(struct training *t, struct error *err)
{
    char path[TRAINING_PATH_BYTES + 32];
    struct image sheet = {0};
    struct error why = {0};
    enum status status = t->family->sample(t, &sheet, &why);
    /* Nobody wants a training to end for want of room to show what it has learnt. */
    const bool no_room = status == STATUS_LIMIT;
    if (no_room) watch_note(t->watch, "no sheet of step %lld: %s", (long long)t->step, why.text);
    if (!no_room && status != STATUS_OK) fail(err, status, "%s", why.text);
    snprintf(path, sizeof path, "%s-%06lld.png", t->loop->stem, (long long)t->step);
    if (status == STATUS_OK) status = image_write(&sheet, path, NULL, err);
    image_clear(&sheet);
    return no_room ? STATUS_OK : status;
}

enum status training_write_sheet(struct training *t, struct error *err)
{
    enum status status = STATUS_OK;
    if (t->rank == 0) status = training_write_curve(t, err);
    if (t->rank == 0 && status == STATUS_OK && t->family->sample) status = write_samples(t, err);
    return exchange_settle(t->exchange, status, err);
}
