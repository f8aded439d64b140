/* SPDX-License-Identifier: MIT
 *
 * The curves of a training's losses, drawn from its own records in train.jsonl: they reach back to the first step,
 * however often it was stopped.
 */
#define _POSIX_C_SOURCE 200809L /* access */
#include "core/io/file.h"
#include "core/io/plot.h"
#include "pipeline/training_loop.h"

#include <string.h>
#include <unistd.h>

/* Room for `most` records of each of the losses that this run has. */
struct curves {
    struct plot_series series[PLOT_MOST_SERIES];
    int64_t *steps[PLOT_MOST_SERIES];
    double *values[PLOT_MOST_SERIES];
    int count;
};

static void take_record(const struct training *t, struct curves *c, const char *line, size_t length)
{
    json_t *record = json_loadb(line, length, 0, NULL);
    const char *out = json_string_value(json_object_get(record, "out"));
    for (int i = 0; i < c->count && out && strcmp(out, training_out_name(t).text) == 0; i++) {
        const json_t *value = json_object_get(record, c->series[i].name);
        if (!json_is_number(value)) continue;
        struct plot_series *series = &c->series[i];
        c->steps[i][series->count] = json_integer_value(json_object_get(record, "step"));
        c->values[i][series->count++] = json_number_value(value);
    }
    json_decref(record);
}

static enum status make_room(struct curves *c, const struct training *t, struct arena *arena, size_t most,
                             struct error *err)
{
    const struct training_losses *l = &t->loop->losses;
    c->count = l->count < PLOT_MOST_SERIES ? l->count : PLOT_MOST_SERIES;
    for (int i = 0; i < c->count; i++) {
        c->steps[i] = arena_alloc(arena, (most + 1) * sizeof *c->steps[i]);
        c->values[i] = arena_alloc(arena, (most + 1) * sizeof *c->values[i]);
        if (!c->steps[i] || !c->values[i]) return fail_no_memory(err, "a loss curve", most * sizeof *c->values[i]);
        c->series[i] = (struct plot_series){.name = l->names[i], .step = c->steps[i], .value = c->values[i]};
    }
    return STATUS_OK;
}

static size_t count_lines(const struct mapped_file *file)
{
    size_t lines = 0;
    for (size_t i = 0; i < file->size; i++) lines += file->bytes[i] == '\n';
    return lines;
}

enum status training_write_curve(const struct training *t, struct error *err)
{
    char path[TRAINING_PATH_BYTES + 32];
    struct mapped_file file = {0};
    struct arena arena = {0};
    struct curves curves = {0};
    struct image picture = {0};
    training_log_path(t, path);
    if (access(path, F_OK) != 0) return STATUS_OK; /* a sheet before the first record */
    enum status status = file_map(&file, path, err);
    if (status == STATUS_OK) status = make_room(&curves, t, &arena, count_lines(&file), err);
    const char *at = (const char *)file.bytes, *end = status == STATUS_OK ? at + file.size : at;
    for (const char *stop; at < end && (stop = memchr(at, '\n', (size_t)(end - at))) != NULL; at = stop + 1)
        take_record(t, &curves, at, (size_t)(stop - at));
    snprintf(path, sizeof path, "%s-loss.png", t->loop->stem);
    if (status == STATUS_OK) status = plot_draw(&picture, curves.series, curves.count, err);
    if (status == STATUS_OK) status = image_write(&picture, path, NULL, err);
    image_clear(&picture);
    arena_clear(&arena);
    file_unmap(&file);
    return status;
}
