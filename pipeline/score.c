/* SPDX-License-Identifier: MIT */
#include "pipeline/score.h"

#include "pipeline/api.h"
#include "pipeline/devices.h"
#include "pipeline/model.h"

#include <string.h>

const char *limn_activation_name(int i)
{
    static const char *const names[] = {"quick_gelu", "gelu"};
    return i >= 0 && i < (int)(sizeof names / sizeof *names) ? names[i] : NULL;
}

/* ---- opening ---- */

static enum status open_clip(struct limn_clip *clip, const struct limn_clip_options *options, struct error *err)
{
    char path[MODEL_PATH_BYTES];
    struct clip_pair_source source = {.path = options->path, .activation = options->activation};
    if (options->threads < 0 || options->threads > LIMN_MAX_THREADS)
        return fail(err, STATUS_ARGUMENT, "threads %d: must be 1 to %d, or 0 for all processors", options->threads,
                    LIMN_MAX_THREADS);
    enum status status = options->path ? STATUS_OK : model_shipped_path("clip.safetensors", path, err);
    if (!options->path) source.path = path;
    if (status == STATUS_OK)
        status =
            device_open(&clip->backend, options->device, &(struct device_request){.threads = options->threads}, err);
    source.backend = clip->backend;
    source.limit = (size_t)options->max_memory;
    return status == STATUS_OK ? clip_pair_open(&clip->pair, &source, err) : status;
}

enum limn_status limn_clip_open(struct limn_clip **clip, const struct limn_clip_options *options,
                                struct limn_error *error)
{
    static const struct limn_clip_options defaults = {0};
    struct error err = {0};
    *clip = memory_alloc(sizeof **clip);
    err.status = *clip ? open_clip(*clip, options ? options : &defaults, &err)
                       : fail_no_memory(&err, "a CLIP model", sizeof **clip);
    if (err.status != STATUS_OK) {
        limn_clip_close(*clip);
        *clip = NULL;
    }
    return api_result(error, &err);
}

void limn_clip_close(struct limn_clip *clip)
{
    if (!clip) return;
    clip_pair_close(clip->pair);
    if (clip->backend) clip->backend->f->close(clip->backend);
    memory_free(clip);
}

/* ---- scoring ---- */

static enum status check_request(const struct limn_score_request *request, struct error *err)
{
    if (request->count < 1 || request->count > LIMN_MAX_TEXTS || !request->texts)
        return fail(err, STATUS_ARGUMENT, "%d texts: must be 1 to %d", request->texts ? request->count : 0,
                    LIMN_MAX_TEXTS);
    for (int i = 0; i < request->count; i++)
        if (!request->texts[i]) return fail(err, STATUS_ARGUMENT, "text %d of %d is NULL", i + 1, request->count);
    if (!request->image) return fail(err, STATUS_ARGUMENT, "there is no picture to score");
    return api_check_image(request->image, "a picture", err);
}

/* directions: the picture's, then each text's. */
static enum status embed(struct clip_pair *pair, const struct limn_score_request *request, float *directions,
                         struct error *err)
{
    const struct image picture = api_image(request->image);
    enum status status = clip_pair_embed_image(pair, &picture, directions, err);
    for (int i = 0; i < request->count && status == STATUS_OK; i++) {
        size_t left_out = 0;
        status = watch_check(request->watch, err);
        directions += clip_pair_width(pair);
        if (status == STATUS_OK) status = clip_pair_embed_text(pair, request->texts[i], directions, &left_out, err);
        if (left_out > 0)
            watch_note(request->watch, "text %d is too long for the model: its last %zu tokens are not read", i + 1,
                       left_out);
    }
    return status;
}

static enum status score(struct clip_pair *pair, const struct limn_score_request *request, struct limn_score *scores,
                         struct error *err)
{
    enum status status = check_request(request, err);
    if (status != STATUS_OK) return status;
    struct clip_scores table = {0};
    const size_t width = clip_pair_width(pair), count = (size_t)request->count;
    const size_t bytes = (count + 1) * width * sizeof(float);
    float *directions = memory_alloc_raw(bytes);
    if (!directions) return fail_no_memory(err, "directions of texts", bytes);
    status = embed(pair, request, directions, err);
    const struct clip_set picture = {directions, 1}, texts = {directions + width, request->count};
    if (status == STATUS_OK) status = clip_pair_compare(pair, picture, texts, &table, err);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        scores[i] = (struct limn_score){table.cosines[i], table.logits[i], table.probabilities[i]};
    clip_scores_clear(&table);
    memory_free(directions);
    return status;
}

enum limn_status limn_clip_score(struct limn_clip *clip, const struct limn_score_request *request,
                                 struct limn_score *scores, struct limn_error *error)
{
    struct error err = {0};
    err.status = score(clip->pair, request, scores, &err);
    return api_result(error, &err);
}
