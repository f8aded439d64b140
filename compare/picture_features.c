/* SPDX-License-Identifier: MIT
 *
 * Features of a set of pictures, and the file that keeps them: a safetensors file with
 *
 *     content     I64 [n]           hashes of the pictures' pixels, rising
 *     directions  F32 [n, width]    in the same order
 *     __metadata__ {"limn.features": the network}
 *
 * A cache that is of another network, damaged or no such file at all is written anew.
 */
#include "compare/picture_set.h"
#include "core/io/checkpoint.h"
#include "core/io/safetensors_write.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { KEEP_EVERY = 512 }; /* pictures after which what is found so far is written */

static const char note_key[] = "limn.features";

struct entry {
    uint64_t content;
    int64_t row; /* of the cache when reading, of the set when writing */
};

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->content != y->content) return x->content < y->content ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* ---- reading ---- */

/* The two tensors, if the file is what it should be. */
static bool check_cache(const struct checkpoint *file, const char *model, int64_t width, const struct tensor **content,
                        const struct tensor **directions)
{
    const char *note = checkpoint_metadata(file, note_key);
    const struct tensor *c = *content = checkpoint_find(file, "content");
    const struct tensor *d = *directions = checkpoint_find(file, "directions");
    return note && strcmp(note, model) == 0 && c && d && c->dtype == DTYPE_I64 && c->rank == 1 &&
           d->dtype == DTYPE_F32 && d->rank == 2 && d->dim[0] == c->dim[0] && d->dim[1] == width;
}

static uint64_t content_at(const struct tensor *content, int64_t row)
{
    uint64_t value;
    memcpy(&value, (const char *)content->data + (size_t)row * sizeof value, sizeof value);
    return value;
}

/* The row of this picture, or -1. */
static int64_t find_row(const struct tensor *content, uint64_t wanted)
{
    int64_t low = 0, high = content->count;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (content_at(content, middle) < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low < content->count && content_at(content, low) == wanted ? low : -1;
}

static bool is_direction(const float *values, int64_t width)
{
    double sum = 0;
    for (int64_t j = 0; j < width; j++) sum += (double)values[j] * (double)values[j];
    return fabs(sum - 1) < 1e-3; /* false for NaN */
}

/* done[i]: whether picture i is in the cache. */
static void read_cache(struct picture_set *set, const char *path, const char *model, bool *done)
{
    struct error ignored = {0};
    struct checkpoint *file = NULL;
    const struct tensor *content, *directions;
    const size_t row_bytes = (size_t)set->width * sizeof(float);
    if (checkpoint_open(&file, path, &ignored) != STATUS_OK) return;
    if (check_cache(file, model, set->width, &content, &directions))
        for (int64_t i = set->embedded; i < set->count; i++) {
            const int64_t row = find_row(content, set->content[i]);
            float *out = set->directions + i * set->width;
            if (row < 0) continue;
            memcpy(out, (const char *)directions->data + (size_t)row * row_bytes, row_bytes);
            done[i] = is_direction(out, set->width);
        }
    checkpoint_close(file);
}

/* ---- writing ---- */

struct writing {
    const struct picture_set *set;
    const struct entry *entries;
};

static void fill(void *context, int tensor, int64_t first, int64_t n, void *out)
{
    const struct writing *w = context;
    const int64_t width = w->set->width;
    for (int64_t i = first; i < first + n; i++)
        if (tensor == 0)
            ((uint64_t *)out)[i - first] = w->entries[i].content;
        else
            ((float *)out)[i - first] = w->set->directions[w->entries[i / width].row * width + i % width];
}

static enum status write_cache(const struct picture_set *set, const char *path, const char *model, const bool *done,
                               struct error *err)
{
    int64_t count = 0;
    struct entry *entries = memory_alloc_raw((size_t)set->count * sizeof *entries);
    if (!entries) return fail_no_memory(err, "a list of features", (size_t)set->count * sizeof *entries);
    for (int64_t i = 0; i < set->count; i++)
        if (done[i]) entries[count++] = (struct entry){set->content[i], i};
    qsort(entries, (size_t)count, sizeof *entries, compare_entries);
    struct writing writing = {set, entries};
    const struct tensor tensors[] = {
        {.name = "content", .dtype = DTYPE_I64, .rank = 1, .dim = {count}},
        {.name = "directions", .dtype = DTYPE_F32, .rank = 2, .dim = {count, set->width}},
    };
    const struct safetensors_file file = {.tensors = tensors,
                                          .count = 2,
                                          .notes = &(struct safetensors_note){note_key, model},
                                          .note_count = 1,
                                          .fill = fill,
                                          .context = &writing};
    const enum status status = safetensors_write(path, &file, err);
    memory_free(entries);
    return status;
}

/* ---- embedding ---- */

/* A picture that is kept smaller than it is: from its file, and one at a time, for the sake of memory. */
static enum status embed_file(struct picture_set *set, int64_t row, struct clip_pair *pair, struct error *err)
{
    struct image picture = {0};
    enum status status = picture_set_load(set, row, &picture, err);
    if (status == STATUS_OK) status = clip_pair_embed_image(pair, &picture, set->directions + row * set->width, err);
    image_clear(&picture);
    return status;
}

static bool kept_whole(const struct picture_set *set)
{
    return set->kept_x == set->side_x && set->kept_y == set->side_y;
}

/* Features of pictures rows[0..n): one, or a batch, which takes two thirds of the time for each (ViT-B/32: 25 instead
 * of 36 ms of a core) and has the same bytes, so that a cache does not depend on a picture's neighbours. */
static enum status embed_some(struct picture_set *set, const int64_t *rows, int n, struct clip_pair *pair,
                              struct error *err)
{
    const size_t bytes = (size_t)set->side_x * (size_t)set->side_y * 3;
    struct image pictures[CLIP_PAIR_MOST_BATCH];
    float *out[CLIP_PAIR_MOST_BATCH];
    if (!kept_whole(set)) return embed_file(set, rows[0], pair, err);
    for (int i = 0; i < n; i++) {
        pictures[i] = (struct image){.width = set->side_x,
                                     .height = set->side_y,
                                     .channels = 3,
                                     .pixels = set->values + (size_t)rows[i] * bytes};
        out[i] = set->directions + rows[i] * set->width;
    }
    return n == 1 ? clip_pair_embed_image(pair, pictures, out[0], err)
                  : clip_pair_embed_batch(pair, pictures, out, err);
}

/* In batches while there are enough pictures left for one. */
static enum status embed_missing(struct picture_set *set, const struct picture_set_embedding *how, bool *done,
                                 bool *news, struct error *err)
{
    enum status status = STATUS_OK;
    const int batch = kept_whole(set) ? clip_pair_batch(how->pair) : 1;
    int64_t rows[CLIP_PAIR_MOST_BATCH], fresh = 0, missing = 0, at = set->embedded;
    for (int64_t i = at; i < set->count; i++) missing += !done[i];
    while (at < set->count && status == STATUS_OK) {
        const int wanted = missing >= batch ? batch : 1;
        int n = 0;
        do {
            if (!done[at]) rows[n++] = at;
            at++;
        } while (missing >= batch && n < wanted);
        if (n > 0) {
            status = embed_some(set, rows, n, how->pair, err);
            if (status != STATUS_OK) break;
            for (int i = 0; i < n; i++) done[rows[i]] = *news = true;
            missing -= n;
            fresh += n;
            if (how->cache && fresh % KEEP_EVERY < n) status = write_cache(set, how->cache, how->model, done, err);
        }
        if (status == STATUS_OK) status = measures_step(how->watch, "features", at, set->count, err);
    }
    return status;
}

enum status picture_set_embed(struct picture_set *set, const struct picture_set_embedding *how, struct error *err)
{
    assert(how->pair && (!how->cache || how->model) && set->count > 0);
    const int64_t width = (int64_t)clip_pair_width(how->pair);
    const size_t bytes = (size_t)set->count * (size_t)width * sizeof(float);
    bool *done = memory_alloc((size_t)set->count), news = false;
    if (set->width != width) set->embedded = 0;
    float *directions = memory_resize(set->directions, bytes);
    if (directions) set->directions = directions;
    set->width = width;
    enum status status = directions && done ? STATUS_OK : fail_no_memory(err, "features of pictures", bytes);
    if (status == STATUS_OK) {
        memset(done, true, (size_t)set->embedded);
        if (how->cache) read_cache(set, how->cache, how->model, done);
        status = embed_missing(set, how, done, &news, err);
    }
    /* What is found is kept even when the rest is not wanted any more. */
    if (how->cache && news && (status == STATUS_OK || status == STATUS_CANCELLED)) {
        struct error other = {0};
        struct error *where = status == STATUS_OK ? err : &other;
        if (write_cache(set, how->cache, how->model, done, where) != STATUS_OK && status == STATUS_OK)
            status = err->status;
    }
    if (status == STATUS_OK) set->embedded = set->count;
    memory_free(done);
    return status;
}
