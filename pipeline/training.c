/* SPDX-License-Identifier: MIT
 *
 * The loop. Opening: settings, data, networks, and the checkpoint that is gone on from. Then step by step to the end,
 * with a checkpoint, a result and a sheet every so many steps.
 */
#define _POSIX_C_SOURCE 200809L /* mkdir, access */
#include "pipeline/training.h"

#include "core/base/pool.h"
#include "core/io/dataset.h"
#include "core/io/quote.h"
#include "core/nn/exchange.h"
#include "pipeline/api.h"
#include "pipeline/devices.h"
#include "pipeline/training_loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct training_family *const families[] = {
#define X(name) &name##_training,
    TRAINING_FAMILY_MAP(X)
#undef X
};

enum { FAMILIES = sizeof families / sizeof *families };

const char *limn_train_family_name(int i)
{
    return i >= 0 && i < FAMILIES ? families[i]->name : NULL;
}

/* ---- opening ---- */

/* The result's folder is made if it is not there. Better to know now than after the first hours that it cannot be
 * written to. */
static enum status make_folder(const char *out, struct error *err)
{
    char folder[TRAINING_PATH_BYTES] = ".";
    const char *slash = strrchr(out, '/');
    if (slash) snprintf(folder, sizeof folder, "%.*s", slash > out ? (int)(slash - out) : 1, out);
    struct stat info;
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return fail(err, STATUS_IO, "%s: the folder could not be made: %s", quote(folder).text, strerror(errno));
    if (stat(folder, &info) != 0 || !S_ISDIR(info.st_mode))
        return fail(err, STATUS_IO, "%s: is no folder that a result could be written to", quote(folder).text);
    if (access(folder, W_OK | X_OK) != 0)
        return fail(err, STATUS_IO, "%s: cannot be written to: %s", quote(folder).text, strerror(errno));
    return STATUS_OK;
}

static enum status set_paths(struct training *t, const char *out, struct error *err)
{
    static const char ending[] = ".safetensors";
    const size_t length = strlen(out), tail = sizeof ending - 1;
    if (length <= tail || strcmp(out + length - tail, ending) != 0 || out[length - tail - 1] == '/')
        return fail(err, STATUS_ARGUMENT, "--out '%s': must be the name of a .safetensors file", quote(out).text);
    if (length + 64 > TRAINING_PATH_BYTES)
        return fail(err, STATUS_ARGUMENT, "the result's path has %zu bytes: at most %d are allowed", length,
                    TRAINING_PATH_BYTES - 64);
    t->out = out;
    snprintf(t->loop->stem, sizeof t->loop->stem, "%.*s", (int)(length - tail), out);
    snprintf(t->loop->state, sizeof t->loop->state, "%.*s.state.safetensors", (int)(length - tail), out);
    return STATUS_OK;
}

static enum status check_options(struct training *t, struct error *err)
{
    const struct limn_train_options *o = t->loop->options;
    for (int i = 0; i < FAMILIES && o->family; i++)
        if (strcmp(families[i]->name, o->family) == 0) t->family = families[i];
    if (!t->family)
        return fail(err, STATUS_ARGUMENT, "'%s' is nothing that can be trained",
                    o->family ? quote(o->family).text : "(nothing)");
    if (!o->data) return fail(err, STATUS_ARGUMENT, "a training needs a folder of pictures");
    if (!o->out) return fail(err, STATUS_ARGUMENT, "a training needs the name of a file for its result");
    if (o->threads < 0 || o->threads > LIMN_MAX_THREADS)
        return fail(err, STATUS_ARGUMENT, "threads %d: must be 1 to %d, or 0 for all processors", o->threads,
                    LIMN_MAX_THREADS);
    if (o->seed > INT64_MAX)
        return fail(err, STATUS_ARGUMENT, "seed %llu: must be at most %lld", (unsigned long long)o->seed,
                    (long long)INT64_MAX);
    t->threads = o->threads;
    t->watch = o->watch;
    const enum status status = set_paths(t, o->out, err);
    return status == STATUS_OK ? make_folder(t->out, err) : status;
}

static void tell_skipped(void *context, const char *sentence)
{
    const struct training *t = context;
    watch_note(t->watch, "%s", sentence);
}

static bool tell_progress(void *context, int64_t done, int64_t all)
{
    const struct training *t = context;
    struct error err = {0};
    watch_progress(t->watch, LIMN_STAGE_DATA, (int)done, (int)all, api_clock() - t->loop->started);
    return watch_check(t->watch, &err) == STATUS_OK;
}

/* Pictures are kept in memory as bytes; of a limit, a quarter is theirs, and the rest is read again whenever needed. */
static enum status open_data(struct training *t, struct error *err)
{
    const struct training_settings *s = &t->settings;
    const uint64_t limit = t->loop->options->max_memory / 4;
    const size_t cache = limit > 0 && limit < DATASET_CACHE_BYTES ? (size_t)limit : DATASET_CACHE_BYTES;
    const struct dataset_options options = {.width = s->size,
                                            .height = s->size,
                                            .channels = s->channels,
                                            .cache_bytes = cache,
                                            .threads = t->threads,
                                            .skipped = tell_skipped,
                                            .progress = tell_progress,
                                            .context = t};
    enum status status = dataset_open(&t->data, t->loop->options->data, &options, err);
    if (status != STATUS_OK) return status;
    const size_t picture = (size_t)s->size * (size_t)s->size * (size_t)s->channels;
    const size_t all = (size_t)dataset_count(t->data) * picture;
    if (dataset_skipped(t->data) > 0)
        watch_note(t->watch, "%lld pictures are learnt from; %lld were left out", (long long)dataset_count(t->data),
                   (long long)dataset_skipped(t->data));
    status = training_reserve(t, "the pictures", all < cache ? all : cache, err);
    return status == STATUS_OK ? training_choose_pictures(t, err) : status;
}

static enum status open_backend(struct training *t, struct error *err)
{
    const char *compute = t->loop->options->compute;
    if (compute && strcmp(compute, "f16") == 0)
        return fail(err, STATUS_ARGUMENT,
                    "compute f16: gradients are too small for halves; a training takes f32, or bf16 on the CPU");
    const struct device_request request = {
        .threads = t->threads, .compute = compute, .no_fallback = true, .watch = t->watch};
    return device_open(&t->backend, t->loop->options->device, &request, err);
}

/* Of several machines the first writes, and it alone has the lock. */
static enum status take_lock(struct training *t, struct error *err)
{
    char path[TRAINING_PATH_BYTES];
    struct error why = {0};
    if (t->rank != 0) return STATUS_OK;
    snprintf(path, sizeof path, "%.*s.lock", (int)strlen(t->loop->stem), t->loop->stem);
    const enum status status = file_lock_take(&t->loop->lock, path, &why);
    if (status != STATUS_UNSUPPORTED) return status == STATUS_OK ? status : fail(err, status, "%s", why.text);
    watch_note(t->watch, "%s; see to it that nobody else trains there meanwhile", why.text);
    return STATUS_OK;
}

static enum status open_family(struct training *t, struct error *err)
{
    t->family_state = memory_alloc(t->family->state_bytes);
    return t->family_state ? t->family->open(t, err) : fail_no_memory(err, "a training", t->family->state_bytes);
}

static enum status open_own(struct training *t, struct error *err)
{
    enum status status = check_options(t, err);
    if (status == STATUS_OK) status = open_backend(t, err);
    if (status == STATUS_OK) status = take_lock(t, err);
    if (status == STATUS_OK) status = training_find_state(t, err);
    if (status == STATUS_OK) status = training_open_config(t, err);
    if (status == STATUS_OK) status = training_settle(t, err);
    if (status == STATUS_OK) status = training_check_config(t, err);
    if (status == STATUS_OK) status = open_data(t, err);
    if (status == STATUS_OK) status = training_open_init(t, err);
    if (status == STATUS_OK) status = pool_create(&t->loop->pool, t->threads, err);
    if (status == STATUS_OK) status = open_family(t, err);
    if (status == STATUS_OK) status = training_check_init(t, err);
    return status == STATUS_OK ? training_restore_state(t, err) : status;
}

/* Takes the object; NULL: there was no memory for it. */
static enum status agree_on_json(struct training *t, const char *what, json_t *object, struct error *err)
{
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(object);
    enum status status = text ? STATUS_OK : fail_no_memory(err, what, TRAINING_PATH_BYTES);
    status = exchange_settle(t->exchange, status, err);
    if (status == STATUS_OK) status = exchange_agree(t->exchange, what, text, strlen(text), err);
    free(text); /* library: jansson's */
    return status;
}

static enum status agree_on_models(struct training *t, struct error *err)
{
    const struct training_loop *loop = t->loop;
    const uint64_t networks = training_hash_networks(t), init = training_hash_init(t);
    enum status status = exchange_agree(t->exchange, "the model to begin with", &init, sizeof init, err);
    if (status == STATUS_OK) status = exchange_agree(t->exchange, "the network", &networks, sizeof networks, err);
    for (int i = 0; i < loop->part_count && status == STATUS_OK; i++) {
        char what[64];
        snprintf(what, sizeof what, "the %s", loop->parts[i].what);
        status = exchange_agree(t->exchange, what, &loop->parts[i].hash, sizeof loop->parts[i].hash, err);
    }
    return status;
}

/* All machines must be about the same thing, or their gradients have nothing to do with each other. */
static enum status agree(struct training *t, struct error *err)
{
    if (t->ranks == 1) return STATUS_OK;
    const uint64_t numbers[] = {(uint64_t)t->step, (uint64_t)t->loop->picture_count, dataset_hash(t->data)};
    enum status status = agree_on_json(t, "the training's settings", training_settings_json(t), err);
    if (status == STATUS_OK) status = agree_on_json(t, "the configuration", training_shapes_json(t), err);
    if (status == STATUS_OK)
        status = exchange_agree(t->exchange, "the step and the pictures", numbers, sizeof numbers, err);
    return status == STATUS_OK ? agree_on_models(t, err) : status;
}

/* Nothing can be refused any more: what was there before gives way. A training that replaces another begins with a
 * checkpoint of its own, so that it is the one to go on with from here on. */
static enum status begin(struct training *t, struct error *err)
{
    enum status status = STATUS_OK;
    if (t->rank == 0 && t->loop->replaces) status = training_write_state(t, err);
    if (status == STATUS_OK) status = training_open_records(t, err);
    return exchange_settle(t->exchange, status, err);
}

static enum status open_training(struct training *t, struct error *err)
{
    enum status status = exchange_open(&t->exchange, err);
    if (status != STATUS_OK) return status;
    t->rank = exchange_rank(t->exchange);
    t->ranks = exchange_size(t->exchange);
    status = exchange_settle(t->exchange, open_own(t, err), err);
    if (status == STATUS_OK) status = agree(t, err);
    return status == STATUS_OK ? begin(t, err) : status;
}

static void close_training(struct training *t)
{
    struct training_loop *loop = t->loop;
    if (t->family_state) t->family->close(t);
    memory_free(t->family_state);
    for (int i = 0; i < loop->trainer_count; i++) trainer_destroy(loop->trainers[i].trainer);
    if (t->backend) t->backend->f->close(t->backend);
    pool_destroy(loop->pool);
    dataset_close(t->data);
    checkpoint_close(loop->init);
    checkpoint_close(loop->saved);
    json_decref(loop->saved_json);
    json_decref(loop->config);
    file_lock_release(&loop->lock);
    exchange_close(t->exchange);
    arena_clear(&loop->memory);
}

/* ---- stepping ---- */

enum status training_sum(struct training *t, float *values, int64_t count, struct error *err)
{
    const enum status status = exchange_sum(t->exchange, STATUS_OK, values, count, err);
    t->loop->all_failed = status != STATUS_OK;
    return status;
}

enum status training_update(struct training *t, struct trainer *trainer, float factor, struct error *err)
{
    struct optimiser *o = trainer->optimiser;
    const enum status status = training_sum(t, o->gradient, o->count, err);
    if (status != STATUS_OK) return status;
    return trainer_step(trainer, factor * learning_rate_at(&t->settings.rate, t->step), NULL, err);
}

/* The checkpoint first: the result can be made from it. */
static enum status save(struct training *t, struct error *err)
{
    enum status status = STATUS_OK;
    if (t->rank == 0) status = training_write_state(t, err);
    if (t->rank == 0 && status == STATUS_OK) status = t->family->save(t, t->out, err);
    return exchange_settle(t->exchange, status, err);
}

/* Steps, and asks whether to stop. */
static enum status step(struct training *t, bool *stopped, struct error *err)
{
    const double start = api_clock();
    enum status status = t->family->step(t, err);
    if (status == STATUS_OK) {
        t->step++;
        status = training_record(t, api_clock() - start, err);
    }
    if (status == STATUS_OK) status = training_ask_stop(t, stopped, err);
    /* The others are on their way to the next exchange, and learn there what has happened here. */
    return status == STATUS_OK || t->loop->all_failed ? status : exchange_settle(t->exchange, status, err);
}

static bool is_due(const struct training *t, int64_t every)
{
    return every > 0 && t->step > 0 && (t->step % every == 0 || t->step == t->settings.steps);
}

/* A sheet that fails, or is stopped, takes no step with it. */
static enum status show(struct training *t, bool saved, bool *stopped, struct error *err)
{
    struct error why = {0};
    if (training_write_sheet(t, &why) == STATUS_OK) return STATUS_OK;
    const enum status status = saved ? STATUS_OK : save(t, err);
    *stopped = why.status == STATUS_CANCELLED;
    return status != STATUS_OK || *stopped ? status : fail(err, why.status, "%s", why.text);
}

/* What a step leaves to do. A training that is stopped is saved, and the sentence about that is its end. */
static enum status after_step(struct training *t, bool stopped, struct error *err)
{
    const struct training_settings *s = &t->settings;
    const bool saves = stopped || is_due(t, s->save_every);
    enum status status = saves ? save(t, err) : STATUS_OK;
    if (status == STATUS_OK && !stopped && is_due(t, s->sheet_every)) status = show(t, saves, &stopped, err);
    if (status != STATUS_OK || !stopped) return status;
    return fail(err, STATUS_CANCELLED, "stopped after step %lld of %lld; --resume goes on from there",
                (long long)t->step, (long long)s->steps);
}

static enum status run(struct training *t, struct error *err)
{
    const struct training_settings *s = &t->settings;
    struct training_loop *loop = t->loop;
    enum status status = STATUS_OK;
    loop->started = api_clock();
    loop->first_step = loop->recorded = t->step;
    if (t->step >= s->steps) { /* It may have been killed between its last checkpoint and the result. */
        watch_note(t->watch, "all of the %lld steps are done already; --steps asks for more", (long long)s->steps);
        status = save(t, err);
    }
    while (t->step < s->steps && status == STATUS_OK) {
        bool stopped = false;
        status = step(t, &stopped, err);
        if (status == STATUS_OK) status = after_step(t, stopped, err);
    }
    return status;
}

enum limn_status limn_train(const struct limn_train_options *options, struct limn_error *error)
{
    struct error err = {0};
    struct training t = {.ranks = 1};
    t.loop = memory_alloc(sizeof *t.loop);
    if (!t.loop) {
        err.status = fail_no_memory(&err, "a training", sizeof *t.loop);
        return api_result(error, &err);
    }
    t.loop->options = options;
    t.loop->lock = FILE_LOCK_NONE;
    t.loop->started = api_clock();
    err.status = open_training(&t, &err);
    if (err.status == STATUS_OK) err.status = run(&t, &err);
    close_training(&t);
    memory_free(t.loop);
    return api_result(error, &err);
}
