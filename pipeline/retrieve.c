/* SPDX-License-Identifier: MIT
 *
 * Retrieval: each caption asks for its picture, among all pictures of a folder. It is how CLIP models are usually
 * judged (Radford et al. 2021, arXiv 2103.00020, table 13): the share of captions whose picture is the nearest, and
 * among the nearest five.
 */
#include "core/io/dataset.h"
#include "pipeline/api.h"
#include "pipeline/score.h"

#include <math.h>
#include <string.h>

struct retrieval {
    struct clip_pair *pair; /* borrowed */
    const struct limn_watch *watch;
    struct dataset *set; /* owned, like the next three */
    float *pictures;     /* [count, width] directions */
    float *text;         /* [width] */
    struct image image;  /* what dataset_fetch gave, as bytes */
    float *pixels;
    int64_t count;
    size_t width;
};

static void told(void *context, const char *sentence)
{
    watch_note(context, "%s", sentence);
}

static bool asked(void *context, int64_t done, int64_t all)
{
    struct error err = {0};
    (void)done;
    (void)all;
    return watch_check(context, &err) == STATUS_OK;
}

static enum status open_set(struct retrieval *r, const struct limn_retrieval_request *request, struct error *err)
{
    const int side = clip_pair_side(r->pair);
    const struct dataset_options options = {.width = side,
                                            .height = side,
                                            .channels = 3,
                                            .threads = 1,
                                            .skipped = told,
                                            .progress = asked,
                                            /* the functions above take it back as it is */
                                            .context = (void *)(uintptr_t)request->watch};
    enum status status = dataset_open(&r->set, request->folder, &options, err);
    if (status != STATUS_OK) return status;
    r->count = dataset_count(r->set);
    r->width = clip_pair_width(r->pair);
    const size_t bytes = (size_t)side * (size_t)side * 3;
    r->pictures = memory_alloc_raw((size_t)r->count * r->width * sizeof *r->pictures);
    r->text = memory_alloc_raw(r->width * sizeof *r->text);
    r->pixels = memory_alloc_raw(bytes * sizeof *r->pixels);
    r->image = (struct image){.width = side, .height = side, .channels = 3, .pixels = memory_alloc_raw(bytes)};
    if (!r->pictures || !r->text || !r->pixels || !r->image.pixels)
        return fail_no_memory(err, "directions of pictures", (size_t)r->count * r->width * sizeof *r->pictures);
    return STATUS_OK;
}

static void close_set(struct retrieval *r)
{
    dataset_close(r->set);
    memory_free(r->pictures);
    memory_free(r->text);
    memory_free(r->pixels);
    memory_free(r->image.pixels);
}

static enum status embed_pictures(struct retrieval *r, struct error *err)
{
    const size_t values = (size_t)r->image.width * (size_t)r->image.height * 3;
    const double start = api_clock();
    enum status status = STATUS_OK;
    for (int64_t i = 0; i < r->count && status == STATUS_OK; i++) {
        watch_progress(r->watch, LIMN_STAGE_DATA, (int)i, (int)r->count, api_clock() - start);
        status = watch_check(r->watch, err);
        if (status == STATUS_OK) status = dataset_fetch(r->set, i, false, r->pixels, err);
        for (size_t k = 0; k < values; k++) r->image.pixels[k] = (uint8_t)lrintf((r->pixels[k] + 1) * 127.5f);
        if (status == STATUS_OK)
            status = clip_pair_embed_image(r->pair, &r->image, r->pictures + (size_t)i * r->width, err);
    }
    return status;
}

static bool has_caption(const struct dataset *set, int64_t i, const char *caption)
{
    for (int k = 0; k < dataset_captions(set, i); k++)
        if (strcmp(dataset_caption(set, i, k), caption) == 0) return true;
    return false;
}

/* How many pictures without this caption are as near to it as the nearest with it, or nearer. */
static int64_t rivals(const struct retrieval *r, const char *caption, float *cosines)
{
    float best = -2;
    for (int64_t i = 0; i < r->count; i++) {
        const float *picture = r->pictures + (size_t)i * r->width;
        cosines[i] = 0;
        for (size_t k = 0; k < r->width; k++) cosines[i] += picture[k] * r->text[k];
        if (!has_caption(r->set, i, caption)) continue;
        if (cosines[i] > best) best = cosines[i];
        cosines[i] = -2; /* it is no rival */
    }
    int64_t count = 0;
    for (int64_t i = 0; i < r->count; i++) count += !(cosines[i] < best);
    return count;
}

/* All pictures' k-th captions. */
static enum status ask(struct retrieval *r, int k, float *cosines, struct limn_retrieval_row *row, struct error *err)
{
    enum status status = STATUS_OK;
    int64_t first = 0, five = 0;
    for (int64_t i = 0; i < r->count && status == STATUS_OK; i++) {
        if (k >= dataset_captions(r->set, i)) continue;
        const char *caption = dataset_caption(r->set, i, k);
        status = watch_check(r->watch, err);
        if (status == STATUS_OK) status = clip_pair_embed_text(r->pair, caption, r->text, NULL, err);
        if (status != STATUS_OK) break;
        const int64_t nearer = rivals(r, caption, cosines);
        row->captions++;
        first += nearer < 1;
        five += nearer < 5;
    }
    if (row->captions == 0) return status;
    row->top1 = (double)first / (double)row->captions;
    row->top5 = (double)five / (double)row->captions;
    return status;
}

static enum status retrieve(struct retrieval *r, const struct limn_retrieval_request *request,
                            struct limn_retrieval *out, struct error *err)
{
    if (!request->folder) return fail(err, STATUS_ARGUMENT, "there is no folder of pictures to retrieve from");
    enum status status = open_set(r, request, err);
    if (status != STATUS_OK) return status;
    float *cosines = memory_alloc_raw((size_t)r->count * sizeof *cosines);
    if (!cosines) return fail_no_memory(err, "cosines", (size_t)r->count * sizeof *cosines);
    status = embed_pictures(r, err);
    out->pictures = r->count;
    for (int k = 0; k < LIMN_RETRIEVAL_ROWS && status == STATUS_OK; k++) {
        status = ask(r, k, cosines, &out->rows[k], err);
        if (out->rows[k].captions == 0) break;
        out->count = k + 1;
    }
    memory_free(cosines);
    if (status == STATUS_OK && out->count == 0)
        status = fail(err, STATUS_FORMAT, "%s: %s; captions are needed to ask for pictures", request->folder,
                      dataset_layout(r->set));
    return status;
}

enum limn_status limn_clip_retrieve(struct limn_clip *clip, const struct limn_retrieval_request *request,
                                    struct limn_retrieval *retrieval, struct limn_error *error)
{
    struct error err = {0};
    struct retrieval r = {.pair = clip->pair, .watch = request->watch};
    *retrieval = (struct limn_retrieval){0};
    err.status = retrieve(&r, request, retrieval, &err);
    close_set(&r);
    if (err.status != STATUS_OK) *retrieval = (struct limn_retrieval){0};
    return api_result(error, &err);
}
