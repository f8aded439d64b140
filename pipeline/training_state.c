/* SPDX-License-Identifier: MIT
 *
 * A training's checkpoint: a safetensors file beside the result, with all that the next step depends on.
 *
 *     NAME.value, .first, .second, .average     a trainer's flat arrays, in limn's layout
 *     state.NAME                                what a family keeps besides
 *     metadata limn.training                    {"format": 1, "family": "diffusion", "step": 500, "networks": "...",
 *                                                "machines": 1, "pictures": 1000, "trainers": {"NAME": 500},
 *                                                "settings": {...}, "config": {...}}
 *
 * There is no state of a random generator: numbers are drawn by step (training_draw.c). `networks` is a digest of all
 * names and shapes, so that arrays are not taken for those of another network.
 */
#define _POSIX_C_SOURCE 200809L /* access */
#include "core/base/hash.h"
#include "core/io/dataset.h"
#include "core/io/quote.h"
#include "core/io/safetensors_write.h"
#include "pipeline/api.h"
#include "pipeline/training_loop.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ARRAYS = 4, MOST_TENSORS = TRAINING_TRAINERS * ARRAYS + TRAINING_STATES, NAME_BYTES = 160 };

/* Everything that is stored, by name. */
struct listing {
    struct arena memory;
    struct tensor *tensors;
    float **values;
    int count;
    struct error *err;
};

static void list(struct listing *l, const char *prefix, const char *name, float *values, int64_t count)
{
    if (!values || l->err->status != STATUS_OK) return;
    char *full = arena_printf(&l->memory, "%s.%s", prefix, name);
    if (!full) {
        fail_no_memory(l->err, "a checkpoint", NAME_BYTES);
        return;
    }
    l->values[l->count] = values;
    l->tensors[l->count++] =
        (struct tensor){.name = full, .dtype = DTYPE_F32, .rank = 1, .dim = {count}, .count = count, .data = values};
}

static enum status list_all(struct listing *l, const struct training *t)
{
    const struct training_loop *loop = t->loop;
    l->tensors = arena_alloc(&l->memory, MOST_TENSORS * sizeof *l->tensors);
    l->values = arena_alloc(&l->memory, MOST_TENSORS * sizeof *l->values);
    if (!l->tensors || !l->values) return fail_no_memory(l->err, "a checkpoint", MOST_TENSORS * sizeof *l->tensors);
    for (int i = 0; i < loop->trainer_count; i++) {
        const struct optimiser *o = loop->trainers[i].trainer->optimiser;
        const char *name = loop->trainers[i].name;
        list(l, name, "value", o->value, o->count);
        list(l, name, "first", o->first, o->count);
        list(l, name, "second", o->second, o->count);
        list(l, name, "average", o->average, o->count);
    }
    for (int i = 0; i < loop->state_count; i++)
        list(l, "state", loop->states[i].name, loop->states[i].values, loop->states[i].count);
    return l->err->status;
}

uint64_t training_hash_networks(const struct training *t)
{
    uint64_t hash = HASH_START;
    for (int i = 0; i < t->loop->trainer_count; i++) {
        const struct trainer *trainer = t->loop->trainers[i].trainer;
        for (int k = 0; k < trainer->count; k++) {
            const struct trainer_parameter *p = &trainer->parameters[k];
            char line[512], shape[SHAPE_TEXT_BYTES];
            snprintf(line, sizeof line, "%s %s %" PRId64 ";", p->weight.name, shape_text(p->weight.shape, shape),
                     p->first_row);
            hash = hash_text(hash, line);
        }
    }
    return hash;
}

/* ---- writing ---- */

static char *describe(const struct training *t)
{
    const struct training_loop *loop = t->loop;
    char networks[HASH_TEXT_BYTES], set[HASH_TEXT_BYTES], part[HASH_TEXT_BYTES];
    hash_write(networks, training_hash_networks(t));
    hash_write(set, dataset_hash(t->data));
    json_t *trainers = json_object(), *parts = json_object();
    for (int i = 0; trainers && i < loop->trainer_count; i++)
        json_object_set_new(trainers, loop->trainers[i].name,
                            json_integer(loop->trainers[i].trainer->optimiser->steps));
    for (int i = 0; i < loop->part_count; i++) {
        hash_write(part, loop->parts[i].hash);
        json_object_set_new(parts, loop->parts[i].what, json_string(part));
    }
    json_t *root = json_pack("{s:i, s:s, s:I, s:s, s:i, s:I, s:s, s:s, s:o, s:o, s:s?, s:o, s:O?}", "format", 1,
                             "family", t->family->name, "step", (json_int_t)t->step, "networks", networks, "machines",
                             t->ranks, "pictures", (json_int_t)loop->picture_count, "set", set, "data",
                             quote(loop->options->data).text, "trainers", trainers, "parts", parts, "merges",
                             loop->merges, "settings", training_settings_json(t), "config", loop->config);
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    return text;
}

enum status training_write_state(struct training *t, struct error *err)
{
    struct listing l = {.err = err};
    char *text = NULL;
    enum status status = list_all(&l, t);
    if (status == STATUS_OK && !(text = describe(t))) status = fail_no_memory(err, "a checkpoint", NAME_BYTES);
    if (status == STATUS_OK) {
        const struct safetensors_note note = {"limn.training", text};
        const struct safetensors_file file = {.tensors = l.tensors, .count = l.count, .notes = &note, .note_count = 1};
        status = safetensors_write(t->loop->state, &file, err);
    }
    free(text); /* library: jansson's */
    arena_clear(&l.memory);
    return status;
}

/* ---- reading ---- */

static enum status read_json(struct training *t, struct error *err)
{
    const char *path = t->loop->state, *text = checkpoint_metadata(t->loop->saved, "limn.training");
    if (!text) return fail(err, STATUS_FORMAT, "%s: this is no checkpoint of a training", path);
    json_t *root = t->loop->saved_json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    const char *family = json_string_value(json_object_get(root, "family"));
    const json_int_t step = json_integer_value(json_object_get(root, "step"));
    if (json_integer_value(json_object_get(root, "format")) != 1 || !family || step < 0)
        return fail(err, STATUS_FORMAT, "%s: what it says about the training cannot be read", path);
    if (strcmp(family, t->family->name) == 0) return STATUS_OK;
    return fail(err, STATUS_ARGUMENT, "%s: this is a training of %s, not of %s", path, quote(family).text,
                t->family->name);
}

enum status training_find_state(struct training *t, struct error *err)
{
    const struct limn_train_options *o = t->loop->options;
    const char *path = t->loop->state;
    const bool there = access(path, F_OK) == 0, model = access(t->out, F_OK) == 0;
    t->loop->replaces = o->restart && (there || model);
    if (o->restart) return STATUS_OK;
    if (!there && model)
        return fail(err, STATUS_ARGUMENT,
                    "%s: a model is there, and no checkpoint to go on from; --restart puts a new training in its place",
                    t->out);
    if (!there && o->resume) watch_note(t->watch, "there is no checkpoint '%s' yet; the training begins", path);
    if (!there) return STATUS_OK;
    if (!o->resume)
        return fail(err, STATUS_ARGUMENT,
                    "%s: an earlier training is there; --resume goes on with it, --restart begins anew in its place",
                    path);
    const enum status status = checkpoint_open(&t->loop->saved, path, err);
    return status == STATUS_OK ? read_json(t, err) : status;
}

const char *training_saved_merges(const struct training *t)
{
    return json_string_value(json_object_get(t->loop->saved_json, "merges"));
}

void training_keep_merges(struct training *t, const char *merges)
{
    t->loop->merges = merges;
}

static enum status restore_arrays(struct training *t, struct error *err)
{
    struct listing l = {.err = err};
    enum status status = list_all(&l, t);
    for (int i = 0; i < l.count && status == STATUS_OK; i++) {
        const struct tensor *stored = checkpoint_find(t->loop->saved, l.tensors[i].name);
        if (!stored || stored->dtype != DTYPE_F32 || stored->count != l.tensors[i].count)
            status = fail(err, STATUS_ARGUMENT,
                          "%s: '%s' is not in it as this training needs it; the optimiser and the average must be "
                          "those it was begun with",
                          t->loop->state, l.tensors[i].name);
        else
            memcpy(l.values[i], stored->data, (size_t)stored->count * sizeof(float));
    }
    arena_clear(&l.memory);
    return status;
}

/* Whoever adds pictures to his set wants to go on with them, so other ones are no error; but he should know. */
static void compare_data(const struct training *t, const json_t *root)
{
    char set[HASH_TEXT_BYTES];
    const struct training_loop *loop = t->loop;
    const long long before = json_integer_value(json_object_get(root, "pictures")), now = loop->picture_count;
    const char *saved = json_string_value(json_object_get(root, "set"));
    const char *data = json_string_value(json_object_get(root, "data"));
    hash_write(set, dataset_hash(t->data));
    if (saved ? strcmp(saved, set) == 0 : before == now) return;
    watch_note(t->watch,
               "the training was begun with other pictures or captions: with %lld pictures of '%s', and goes on with "
               "%lld of '%s'",
               before, data ? quote(data).text : "(unknown)", now, quote(loop->options->data).text);
}

enum status training_restore_state(struct training *t, struct error *err)
{
    const json_t *root = t->loop->saved_json;
    if (!root) return STATUS_OK;
    char networks[HASH_TEXT_BYTES];
    hash_write(networks, training_hash_networks(t));
    const char *stored = json_string_value(json_object_get(root, "networks"));
    if (!stored || strcmp(stored, networks) != 0)
        return fail(err, STATUS_ARGUMENT,
                    "%s: it was made with networks of other shapes; give the configuration and size it was begun with",
                    t->loop->state);
    enum status status = restore_arrays(t, err);
    for (int i = 0; i < t->loop->trainer_count && status == STATUS_OK; i++) {
        const struct training_kept_trainer *kept = &t->loop->trainers[i];
        kept->trainer->optimiser->steps =
            json_integer_value(json_object_get(json_object_get(root, "trainers"), kept->name));
        status = trainer_publish(kept->trainer, err);
    }
    t->step = json_integer_value(json_object_get(root, "step"));
    if (status == STATUS_OK) compare_data(t, root);
    checkpoint_close(t->loop->saved);
    t->loop->saved = NULL;
    return status;
}
