/* SPDX-License-Identifier: MIT
 *
 * What a training takes of other models: weights to begin with, and parts that it uses as they are.
 */
#include "core/base/hash.h"
#include "core/nn/params.h"
#include "pipeline/api.h"
#include "pipeline/kind.h"
#include "pipeline/training_loop.h"

#include <string.h>

enum status training_open_init(struct training *t, struct error *err)
{
    if (!t->settings.init) return STATUS_OK;
    enum status status = checkpoint_open(&t->loop->init, t->settings.init, err);
    if (status == STATUS_OK) status = kind_normalise(t->loop->init, err);
    t->init = t->loop->init;
    return status;
}

const struct tensor *training_init_tensor(struct training *t, const char *name)
{
    const struct tensor *tensor = t->init ? checkpoint_find(t->init, name) : NULL;
    t->loop->init_taken += tensor != NULL;
    return tensor;
}

/* ---- weights ---- */

/* Parameters of the trainer that the model has, as nodes of a graph of their own. */
static void find_begun(struct graph *g, struct training *t, const struct trainer *trainer)
{
    struct training_loop *loop = t->loop;
    for (int i = 0; i < trainer->count; i++) {
        const struct trainer_parameter *p = &trainer->parameters[i];
        const bool counts = p->first_row == 0; /* a tensor that is taken in pieces is one */
        const bool there = counts ? training_init_tensor(t, p->weight.name) : checkpoint_find(t->init, p->weight.name);
        loop->own_tensors += counts;
        loop->random_tensors += counts && !there;
        if (there && p->total_rows > 0)
            graph_param_rows(g, p->weight.name, p->weight.shape, p->first_row, p->total_rows);
        else if (there)
            graph_param(g, p->weight.name, p->layout, p->weight.shape);
    }
}

enum status training_begin_trainer(struct training *t, struct trainer *trainer, struct error *err)
{
    struct graph g = {0};
    struct params *params = NULL;
    if (!t->init) return STATUS_OK;
    find_begun(&g, t, trainer);
    enum status status = training_load_passing(t, "weights to begin with", &params, &g, t->init, err);
    if (status == STATUS_OK) status = trainer_adopt(trainer, &g, err);
    params_destroy(params);
    graph_clear(&g);
    return status;
}

/* ---- parts ---- */

/* Has a training that is resumed been begun with the same? One that does not say so is taken at its word. */
static enum status compare_part(const struct training *t, const char *what, uint64_t hash, struct error *err)
{
    char text[HASH_TEXT_BYTES];
    const char *saved = json_string_value(json_object_get(json_object_get(t->loop->saved_json, "parts"), what));
    hash_write(text, hash);
    if (!saved || strcmp(saved, text) == 0) return STATUS_OK;
    return fail(err, STATUS_ARGUMENT,
                "%s: the training was begun with another %s, and what it has learnt is of no use with this one; name "
                "the file that it was begun with",
                t->loop->state, what);
}

static uint64_t hash_tensor(uint64_t hash, const struct tensor *tensor)
{
    hash = hash_text(hash, tensor->name);
    return hash_bytes(hash, tensor->data, dtype_bytes(tensor->dtype, (size_t)tensor->count));
}

uint64_t training_hash_init(const struct training *t)
{
    static const char *const keys[] = {"limn.pack", "limn.merges"};
    uint64_t hash = HASH_START;
    for (int i = 0; t->init && i < checkpoint_count(t->init); i++) hash = hash_tensor(hash, checkpoint_at(t->init, i));
    for (size_t i = 0; t->init && i < sizeof keys / sizeof *keys; i++) {
        const char *text = checkpoint_metadata(t->init, keys[i]);
        if (text) hash = hash_text(hash, text);
    }
    return hash;
}

enum status training_use_part(struct training *t, const char *what, const struct checkpoint *from, const char *prefix,
                              struct error *err)
{
    struct training_loop *loop = t->loop;
    struct training_kept_part part = {what, HASH_START};
    for (int i = 0; i < checkpoint_count(from); i++) {
        const struct tensor *tensor = checkpoint_at(from, i);
        if (strncmp(tensor->name, prefix, strlen(prefix)) != 0) continue;
        part.hash = hash_tensor(part.hash, tensor);
        loop->init_taken += from == t->init;
    }
    if (loop->part_count == TRAINING_PARTS)
        return fail(err, STATUS_UNSUPPORTED, "a training uses at most %d parts of other models", TRAINING_PARTS);
    loop->parts[loop->part_count++] = part;
    return compare_part(t, what, part.hash, err);
}

/* ---- all together ---- */

enum status training_check_init(const struct training *t, struct error *err)
{
    const struct training_loop *loop = t->loop;
    if (!t->init) return STATUS_OK;
    const int all = checkpoint_count(t->init);
    if (loop->init_taken == 0)
        return fail(err, STATUS_ARGUMENT,
                    "%s: the training has no use for any of its %d tensors (the first is '%s', and '%s' is one that "
                    "would do)",
                    t->settings.init, all, all ? quote(checkpoint_at(t->init, 0)->name).text : "",
                    loop->trainers[0].trainer->parameters[0].weight.name);
    if (loop->saved_json) return STATUS_OK; /* it was told when the training began */
    if (loop->random_tensors > 0)
        watch_note(t->watch, "%s: %d of its %d tensors are taken; %d of the %d that are trained begin at random",
                   t->settings.init, loop->init_taken, all, loop->random_tensors, loop->own_tensors);
    else
        watch_note(t->watch, "%s: %d of its %d tensors are taken, and all that are trained begin with them",
                   t->settings.init, loop->init_taken, all);
    return STATUS_OK;
}
