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

/* A line of train.jsonl, with its line end if it has one. */
struct log_line {
    const char *text;
    size_t length;
};

static bool next_line(struct log_line *line, const char *end)
{
    line->text += line->length;
    const size_t left = (size_t)(end - line->text);
    const char *stop = left > 0 ? memchr(line->text, '\n', left) : NULL;
    line->length = stop ? (size_t)(stop + 1 - line->text) : left;
    return left > 0;
}

/* How all records of this result begin; 0: no memory. */
static size_t record_begin(const struct training *t, char text[2 * TRAINING_PATH_BYTES])
{
    json_t *object = json_pack("{s:s}", "out", training_out_name(t).text);
    const size_t length = json_dumpb(object, text, 2 * TRAINING_PATH_BYTES, JSON_COMPACT);
    json_decref(object);
    return length > 1 && length <= 2 * TRAINING_PATH_BYTES ? length - 1 : 0; /* without its brace */
}

/* Is it a record of this result that this run will make again, or one that was cut off? Everything else is somebody's:
 * other trainings', a data set's. */
static bool goes(const struct training *t, const struct log_line *line)
{
    char begin[2 * TRAINING_PATH_BYTES];
    json_t *record = json_loadb(line->text, line->length, 0, NULL);
    const char *out = json_string_value(json_object_get(record, "out"));
    const json_t *step = json_object_get(record, "step");
    const bool ours = out && strcmp(out, training_out_name(t).text) == 0 && json_is_integer(step) &&
                      json_is_number(json_object_get(record, "loss"));
    const bool again = ours && json_integer_value(step) > (json_int_t)t->step;
    const bool whole = record || line->text[line->length - 1] == '\n';
    json_decref(record);
    if (whole) return again;
    const size_t length = record_begin(t, begin);
    return length > 0 && line->length > length && memcmp(line->text, begin, length) == 0;
}

static enum status drop_records(const struct training *t, const struct mapped_file *file, const char *path,
                                struct error *err)
{
    struct file_writer w;
    struct log_line line = {(const char *)file->bytes, 0};
    const char *end = line.text + file->size;
    enum status status = file_begin(&w, path, err);
    while (status == STATUS_OK && next_line(&line, end))
        if (!goes(t, &line)) status = file_append(&w, line.text, line.length, err);
    return file_finish(&w, status, err);
}

enum status training_open_records(struct training *t, struct error *err)
{
    char path[TRAINING_PATH_BYTES];
    training_log_path(t, path);
    if (t->rank != 0 || access(path, F_OK) != 0) return STATUS_OK;
    struct mapped_file file = {0};
    enum status status = file_map(&file, path, err);
    if (status != STATUS_OK) return status;
    struct log_line line = {(const char *)file.bytes, 0};
    bool found = false;
    while (!found && next_line(&line, (const char *)file.bytes + file.size)) found = goes(t, &line);
    if (found) status = drop_records(t, &file, path, err);
    file_unmap(&file);
    return status;
}

/* Does the file end within a line? Somebody's last line may have no end, and a record is not to become part of it. */
static bool ends_within_line(int fd)
{
    char last;
    const off_t size = lseek(fd, 0, SEEK_END);
    return size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

/* One write, so that lines of several trainings do not mix. The text begins with a line end: it may be missing. */
static enum status append_line(const struct training *t, const char *text, struct error *err)
{
    char path[TRAINING_PATH_BYTES];
    training_log_path(t, path);
    const int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) return fail(err, STATUS_IO, "%s: could not be opened: %s", path, strerror(errno));
    if (!ends_within_line(fd)) text++;
    const size_t length = strlen(text);
    const ssize_t written = write(fd, text, length);
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
    char text[2048] = "\n";
    const size_t room = sizeof text - 3; /* line ends before and after, and the NUL */
    const size_t length = object ? json_dumpb(object, text + 1, room, JSON_COMPACT | JSON_REAL_PRECISION(9)) : 0;
    json_decref(object);
    if (length == 0 || length > room) return fail_no_memory(err, "a record", sizeof text);
    memcpy(text + 1 + length, "\n", 2);
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
static enum status average(struct training *t, bool logged, struct means *means, struct error *err)
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
        const enum status status = training_sum(t, shares, means->count, err);
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
    const enum status status = t->ranks > 1 ? training_sum(t, &wish, 1, err) : STATUS_OK;
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
