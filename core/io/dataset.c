/* SPDX-License-Identifier: MIT */
#include "core/io/dataset.h"

#include "core/base/hash.h"
#include "core/base/pool.h"
#include "core/io/dataset_build.h"
#include "core/io/image.h"
#include "core/io/image_ops.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { BATCH = 256 }; /* pictures that are read before anybody is told about them */

/* ---- building ---- */

struct dataset_item *dataset_add(struct dataset *set, const char *name, struct error *err)
{
    if (set->count == DATASET_MAX_ITEMS) {
        (void)fail(err, STATUS_LIMIT, "%s: has more than %d pictures, which is the most allowed", set->folder,
                   DATASET_MAX_ITEMS);
        return NULL;
    }
    if (set->count == set->capacity) {
        const int64_t capacity = set->capacity ? 2 * set->capacity : 256;
        const size_t bytes = (size_t)capacity * sizeof *set->items;
        struct dataset_item *grown = memory_resize(set->items, bytes);
        if (!grown) (void)fail_no_memory(err, "a list of pictures", bytes);
        if (!grown) return NULL;
        set->items = grown;
        set->capacity = capacity;
    }
    const char *copy = arena_strdup(&set->arena, name);
    if (!copy) {
        (void)fail_no_memory(err, name, strlen(name));
        return NULL;
    }
    struct dataset_item *item = &set->items[set->count++];
    *item = (struct dataset_item){.name = copy, .captions = "", .class = -1, .slot = -1};
    return item;
}

void dataset_skip(struct dataset *set, const char *format, ...)
{
    char sentence[ERROR_TEXT_BYTES];
    va_list args;
    set->skipped++;
    if (!set->options.skipped) return;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    set->options.skipped(set->options.context, sentence);
}

void dataset_compact(struct dataset *set)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < set->count; i++)
        if (set->items[i].name) set->items[kept++] = set->items[i];
    set->count = kept;
}

/* ---- one picture ---- */

static enum status read_source(const struct dataset *set, const struct dataset_item *item, struct image *out,
                               struct error *err)
{
    if (set->pictures.rank > 0) {
        const int height = (int)set->pictures.dim[1], width = (int)set->pictures.dim[2];
        const size_t bytes = (size_t)height * (size_t)width;
        const enum status status = image_create(out, width, height, 1, err);
        if (status == STATUS_OK) memcpy(out->pixels, set->pictures.data + (size_t)item->place * bytes, bytes);
        return status;
    }
    const size_t bytes = strlen(set->folder) + strlen(item->name) + 2;
    char *path = memory_alloc(bytes);
    if (!path) return fail_no_memory(err, "a file name", bytes);
    snprintf(path, bytes, "%s/%s", set->folder, item->name);
    const enum status status = image_read(out, path, NULL, err);
    memory_free(path);
    return status;
}

/* Cuts, in place, what lies outside the largest rectangle of these proportions about the centre. */
static void crop(struct image *image, int width, int height)
{
    const int64_t across = (int64_t)image->height * width / height, down = (int64_t)image->width * height / width;
    const int w = across < image->width ? across > 1 ? (int)across : 1 : image->width;
    const int h = down < image->height ? down > 1 ? (int)down : 1 : image->height;
    const size_t pixel = (size_t)image->channels, row = (size_t)image->width * pixel, cut_row = (size_t)w * pixel;
    const uint8_t *from = image->pixels + (size_t)((image->height - h) / 2) * row;
    from += (size_t)((image->width - w) / 2) * pixel;
    for (int y = 0; y < h; y++) memmove(image->pixels + (size_t)y * cut_row, from + (size_t)y * row, cut_row);
    image->width = w;
    image->height = h;
}

/* Replaces the image by what `change` makes of it. */
static enum status replace(struct image *image,
                           enum status (*change)(struct image *, const struct image *, struct error *),
                           struct error *err)
{
    struct image changed = {0};
    const enum status status = change(&changed, image, err);
    image_clear(image);
    *image = changed;
    return status;
}

static enum status read_picture(const struct dataset *set, const struct dataset_item *item, struct image *out,
                                struct error *err)
{
    const struct dataset_options *o = &set->options;
    struct image source = {0};
    *out = (struct image){0};
    enum status status = read_source(set, item, &source, err);
    if (status == STATUS_OK) crop(&source, o->width, o->height);
    if (status == STATUS_OK) status = replace(&source, image_to_rgb, err);
    if (status == STATUS_OK && o->channels == 1) status = replace(&source, image_to_mask, err);
    if (status == STATUS_OK) status = image_resize(out, &source, o->width, o->height, IMAGE_BICUBIC, err);
    image_clear(&source);
    return status;
}

/* ---- all pictures ---- */

struct batch {
    struct dataset *set;
    int64_t first;
    struct error errors[BATCH];
};

static void read_one(void *context, int64_t task, int worker)
{
    (void)worker;
    struct batch *batch = context;
    struct dataset *set = batch->set;
    struct dataset_item *item = &set->items[batch->first + task];
    struct image picture;
    error_clear(&batch->errors[task]);
    if (read_picture(set, item, &picture, &batch->errors[task]) == STATUS_OK) {
        item->hash = hash_bytes(HASH_START, picture.pixels, set->picture_bytes);
        if (item->slot >= 0)
            memcpy(set->cache + (size_t)item->slot * set->picture_bytes, picture.pixels, set->picture_bytes);
    }
    image_clear(&picture);
}

/* Want of memory says nothing about a picture; everything else does. */
static enum status settle(struct batch *batch, int64_t count, struct error *err)
{
    for (int64_t k = 0; k < count; k++) {
        const struct error *found = &batch->errors[k];
        if (found->status == STATUS_NO_MEMORY) return fail(err, found->status, "%s", found->text);
        if (found->status == STATUS_OK) continue;
        dataset_skip(batch->set, "%s", found->text);
        batch->set->items[batch->first + k].name = NULL;
    }
    return STATUS_OK;
}

static enum status read_batches(struct dataset *set, struct pool *pool, struct batch *batch, struct error *err)
{
    const struct dataset_options *o = &set->options;
    *batch = (struct batch){.set = set};
    for (; batch->first < set->count; batch->first += BATCH) {
        const int64_t left = set->count - batch->first, count = left < BATCH ? left : BATCH;
        pool_run(pool, read_one, batch, count);
        const enum status status = settle(batch, count, err);
        if (status != STATUS_OK) return status;
        if (o->progress && !o->progress(o->context, batch->first + count, set->count))
            return fail(err, STATUS_CANCELLED, "%s: stopped while its pictures were read", set->folder);
    }
    return STATUS_OK;
}

static enum status create_cache(struct dataset *set, struct error *err)
{
    const struct dataset_options *o = &set->options;
    const size_t room = o->cache_bytes ? o->cache_bytes : DATASET_CACHE_BYTES;
    set->picture_bytes = (size_t)o->width * (size_t)o->height * (size_t)o->channels;
    const size_t fit = room / set->picture_bytes;
    set->slots = fit < (size_t)set->count ? (int64_t)fit : set->count;
    if (set->slots == 0) return STATUS_OK;
    const size_t bytes = (size_t)set->slots * set->picture_bytes;
    set->cache = memory_alloc_raw(bytes);
    for (int64_t i = 0; i < set->slots; i++) set->items[i].slot = i;
    return set->cache ? STATUS_OK : fail_no_memory(err, "the pictures of a data set", bytes);
}

static enum status read_all(struct dataset *set, struct error *err)
{
    struct pool *pool = NULL;
    const int64_t found = set->count;
    struct batch *batch = memory_alloc(sizeof *batch);
    enum status status = batch ? STATUS_OK : fail_no_memory(err, "a batch of pictures", sizeof *batch);
    if (status == STATUS_OK) status = create_cache(set, err);
    if (status == STATUS_OK) status = pool_create(&pool, set->options.threads, err);
    if (status == STATUS_OK) status = read_batches(set, pool, batch, err);
    pool_destroy(pool);
    memory_free(batch);
    if (status != STATUS_OK) return status;
    const bool all_kept = set->slots == found;
    dataset_compact(set);
    if (set->count == 0)
        return fail(err, STATUS_FORMAT, "%s: none of its %lld pictures can be read", set->folder, (long long)found);
    if (all_kept) idx_close(&set->pictures);
    return STATUS_OK;
}

/* ---- the interface ---- */

enum status dataset_open(struct dataset **out, const char *path, const struct dataset_options *options,
                         struct error *err)
{
    assert(options->unread || options->channels == 1 || options->channels == 3);
    *out = NULL;
    if (!options->unread && (options->width < 1 || options->height < 1 || options->width > IMAGE_MAX_SIDE ||
                             options->height > IMAGE_MAX_SIDE))
        return fail(err, STATUS_ARGUMENT, "pictures of %d x %d pixels are not allowed; 1 to %d a side are",
                    options->width, options->height, IMAGE_MAX_SIDE);
    struct dataset *set = memory_alloc(sizeof *set);
    if (!set) return fail_no_memory(err, "a data set", sizeof *set);
    set->options = *options;
    enum status status = dataset_index(set, path, err);
    if (status == STATUS_OK && !options->unread) status = read_all(set, err);
    if (status == STATUS_OK)
        *out = set;
    else
        dataset_close(set);
    return status;
}

void dataset_close(struct dataset *set)
{
    if (!set) return;
    idx_close(&set->pictures);
    memory_free(set->cache);
    memory_free(set->items);
    arena_clear(&set->arena);
    memory_free(set);
}

const char *dataset_layout(const struct dataset *set)
{
    return set->layout;
}

int64_t dataset_count(const struct dataset *set)
{
    return set->count;
}

int64_t dataset_skipped(const struct dataset *set)
{
    return set->skipped;
}

static const struct dataset_item *item_at(const struct dataset *set, int64_t i)
{
    assert(i >= 0 && i < set->count);
    return &set->items[i];
}

const char *dataset_name(const struct dataset *set, int64_t i)
{
    return item_at(set, i)->name;
}

int dataset_captions(const struct dataset *set, int64_t i)
{
    return item_at(set, i)->caption_count;
}

const char *dataset_caption(const struct dataset *set, int64_t i, int alternative)
{
    const struct dataset_item *item = item_at(set, i);
    assert(alternative >= 0 && alternative < item->caption_count);
    const char *text = item->captions;
    while (alternative-- > 0) text += strlen(text) + 1;
    return text;
}

int dataset_classes(const struct dataset *set)
{
    return set->class_count;
}

const char *dataset_class_name(const struct dataset *set, int class)
{
    assert(class >= 0 && class < set->class_count);
    return set->classes[class];
}

int dataset_class(const struct dataset *set, int64_t i)
{
    return item_at(set, i)->class;
}

uint64_t dataset_hash(const struct dataset *set)
{
    uint64_t hash = HASH_START;
    for (int64_t i = 0; i < set->count; i++) {
        const struct dataset_item *item = &set->items[i];
        const char *end = item->captions;
        for (int k = 0; k < item->caption_count; k++) end += strlen(end) + 1;
        hash = hash_bytes(hash, item->name, strlen(item->name) + 1);
        hash = hash_bytes(hash, item->captions, (size_t)(end - item->captions));
        hash = hash_bytes(hash, &item->hash, sizeof item->hash);
    }
    return hash;
}

static void mirror(float *picture, int width, int height, int channels)
{
    for (int y = 0; y < height; y++, picture += width * channels)
        for (int x = 0; x < width / 2; x++)
            for (int c = 0; c < channels; c++) {
                float *left = picture + x * channels + c, *right = picture + (width - 1 - x) * channels + c;
                const float kept = *left;
                *left = *right;
                *right = kept;
            }
}

enum status dataset_fetch(const struct dataset *set, int64_t i, bool flip, float *out, struct error *err)
{
    const struct dataset_item *item = item_at(set, i);
    const struct dataset_options *o = &set->options;
    struct image picture = {.width = o->width, .height = o->height, .channels = o->channels};
    if (item->slot >= 0) {
        picture.pixels = set->cache + (size_t)item->slot * set->picture_bytes;
        image_to_floats(out, &picture);
    } else {
        const enum status status = read_picture(set, item, &picture, err);
        if (status == STATUS_OK) image_to_floats(out, &picture);
        image_clear(&picture);
        if (status != STATUS_OK) return status;
    }
    if (flip) mirror(out, o->width, o->height, o->channels);
    return STATUS_OK;
}

/* The finaliser of splitmix64 (Steele, Lea and Flood 2014) spreads the hashes of names that are much alike. */
bool dataset_is_held_out(const char *name, double share)
{
    uint64_t z = hash_text(HASH_START, name) + 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (double)(z >> 11) * 0x1p-53 < share;
}
