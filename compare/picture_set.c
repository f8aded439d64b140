/* SPDX-License-Identifier: MIT */
#include "compare/picture_set.h"

#include "core/io/image_ops.h"
#include "core/io/listing.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static size_t picture_bytes(const struct picture_set *set)
{
    return (size_t)set->kept_x * (size_t)set->kept_y * 3;
}

/* ---- one picture ---- */

/* The shorter side becomes `side`, the longer keeps the proportion, rounded down; the square in the middle is kept, its
 * corner rounded down. */
static enum status fit(struct image *out, const struct image *rgb, int side, struct error *err)
{
    const int64_t width = rgb->width, height = rgb->height, shorter = width < height ? width : height;
    const int64_t new_width = side * width / shorter, new_height = side * height / shorter;
    struct image resized = {0};
    if (new_width > IMAGE_MAX_SIDE || new_height > IMAGE_MAX_SIDE)
        return fail(err, STATUS_ARGUMENT, "%d x %d pixels are too oblong for a square of %d", rgb->width, rgb->height,
                    side);
    enum status status = image_resize(&resized, rgb, (int)new_width, (int)new_height, IMAGE_BICUBIC, err);
    if (status == STATUS_OK) status = image_create(out, side, side, 3, err);
    for (int y = 0; y < side && status == STATUS_OK; y++) {
        const size_t row = (size_t)y + (size_t)(new_height - side) / 2, left = (size_t)(new_width - side) / 2;
        memcpy(out->pixels + (size_t)y * (size_t)side * 3, resized.pixels + (row * (size_t)new_width + left) * 3,
               (size_t)side * 3);
    }
    image_clear(&resized);
    return status;
}

/* FNV-1a (Fowler, Noll, Vo) of the size and the pixels. */
static uint64_t hash_of(const struct image *picture)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    const size_t bytes = (size_t)picture->width * (size_t)picture->height * 3;
    hash = (hash ^ (uint64_t)picture->width) * UINT64_C(1099511628211);
    hash = (hash ^ (uint64_t)picture->height) * UINT64_C(1099511628211);
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ picture->pixels[i]) * UINT64_C(1099511628211);
    return hash;
}

/* ---- the set ---- */

/* Room for so many pictures of the set's size. */
static enum status reserve(struct picture_set *set, int64_t capacity, struct error *err)
{
    const size_t n = (size_t)capacity, bytes = picture_bytes(set) + sizeof *set->content + sizeof *set->paths;
    if (capacity <= set->capacity) return STATUS_OK;
    const char **paths = memory_resize((void *)set->paths, n * sizeof *paths);
    if (paths) set->paths = paths;
    uint64_t *content = memory_resize(set->content, n * sizeof *content);
    if (content) set->content = content;
    uint8_t *values = memory_resize(set->values, n * picture_bytes(set));
    if (values) set->values = values;
    if (!paths || !content || !values) return fail_no_memory(err, "a set of pictures", n * bytes);
    set->capacity = capacity;
    return STATUS_OK;
}

/* The size of the first picture is that of all. Kept are as many pixels as there is room for. */
static void settle_size(struct picture_set *set, const struct image *first)
{
    const double all = 3.0 * first->width * first->height * (double)set->expected;
    const double room = (double)(set->bytes ? set->bytes : PICTURE_SET_BYTES);
    const double scale = all > room ? sqrt(room / all) : 1;
    set->side_x = first->width;
    set->side_y = first->height;
    set->kept_x = (int)fmax(1, floor(first->width * scale));
    set->kept_y = (int)fmax(1, floor(first->height * scale));
}

static enum status check_size(struct picture_set *set, const struct image *picture, struct error *err)
{
    if (set->count == 0 && set->capacity == 0) settle_size(set, picture);
    if (picture->width == set->side_x && picture->height == set->side_y) return STATUS_OK;
    return fail(err, STATUS_ARGUMENT, "%d x %d pixels, but those before have %d x %d; all must be of one size",
                picture->width, picture->height, set->side_x, set->side_y);
}

static enum status keep(struct picture_set *set, const struct image *rgb, const char *path, struct error *err)
{
    const struct image *kept = rgb;
    struct image small = {0};
    enum status status = STATUS_OK;
    if (set->kept_x != rgb->width || set->kept_y != rgb->height) {
        assert(path); /* what is not kept whole is read again */
        status = image_resize(&small, rgb, set->kept_x, set->kept_y, IMAGE_BICUBIC, err);
        kept = &small;
    }
    if (status == STATUS_OK) {
        memcpy(set->values + (size_t)set->count * picture_bytes(set), kept->pixels, picture_bytes(set));
        set->content[set->count] = hash_of(rgb);
        set->paths[set->count++] = path;
    }
    image_clear(&small);
    return status;
}

/* path: lives as long as the set, or NULL. */
static enum status append(struct picture_set *set, const struct image *rgb, const char *path, int64_t capacity,
                          struct error *err)
{
    enum status status = check_size(set, rgb, err);
    if (status == STATUS_OK && set->count == PICTURE_SET_MAX)
        status = fail(err, STATUS_LIMIT, "a set holds at most %d pictures", PICTURE_SET_MAX);
    if (status == STATUS_OK) status = reserve(set, capacity, err);
    return status == STATUS_OK ? keep(set, rgb, path, err) : status;
}

/* As the set has it: RGB on white, and a square of `side` if that is not 0. */
static enum status prepare(struct image *out, const struct image *picture, int side, struct error *err)
{
    struct image rgb = {0};
    enum status status = image_to_rgb(&rgb, picture, err);
    *out = (struct image){0};
    if (status == STATUS_OK && side > 0 && (rgb.width != side || rgb.height != side)) {
        status = fit(out, &rgb, side, err);
        image_clear(&rgb);
    } else {
        *out = rgb;
    }
    return status;
}

static enum status check_side(int side, struct error *err)
{
    if (side >= 0 && side <= PICTURE_SET_MAX_SIDE) return STATUS_OK;
    return fail(err, STATUS_ARGUMENT, "pictures of %d pixels a side; 1 to %d are allowed, or 0 for their own size",
                side, PICTURE_SET_MAX_SIDE);
}

enum status picture_set_add(struct picture_set *set, const struct image *picture, int side, const char *path,
                            struct error *err)
{
    struct image ready = {0};
    const int64_t grown = set->count < set->capacity ? set->capacity : set->capacity ? 2 * set->capacity : 16;
    enum status status = check_side(side, err);
    if (status == STATUS_OK) status = prepare(&ready, picture, side, err);
    set->fitted = side;
    if (status == STATUS_OK) status = append(set, &ready, path, grown, err);
    image_clear(&ready);
    return status;
}

enum status picture_set_load(const struct picture_set *set, int64_t i, struct image *out, struct error *err)
{
    struct image picture = {0};
    *out = (struct image){0};
    enum status status = image_read(&picture, set->paths[i], NULL, err);
    if (status == STATUS_OK) status = prepare(out, &picture, set->fitted, err);
    image_clear(&picture);
    if (status != STATUS_OK || hash_of(out) == set->content[i]) return status;
    image_clear(out);
    return fail(err, STATUS_IO, "%s: has changed since it was read first", set->paths[i]);
}

/* ---- a folder ---- */

/* What cannot be read is told and left out; want of memory says nothing about a picture. */
static enum status skip(struct picture_set *set, const struct picture_set_options *options, const struct error *why,
                        struct error *err)
{
    if (why->status == STATUS_NO_MEMORY) return fail(err, why->status, "%s", why->text);
    set->skipped++;
    if (options->skipped) options->skipped(options->context, why->text);
    return STATUS_OK;
}

static enum status read_one(struct picture_set *set, const char *name, const struct picture_set_options *options,
                            int64_t capacity, struct error *err)
{
    struct image picture = {0}, ready = {0};
    struct error why = {0};
    const char *path = arena_printf(&set->memory, "%s/%s", set->name, name);
    if (!path) return fail_no_memory(err, "the name of a picture", strlen(set->name) + strlen(name) + 2);
    if (image_read(&picture, path, NULL, &why) != STATUS_OK) return skip(set, options, &why, err);
    enum status status = prepare(&ready, &picture, options->side, &why);
    if (status == STATUS_OK) status = append(set, &ready, path, capacity, &why);
    image_clear(&ready);
    image_clear(&picture);
    if (status == STATUS_OK || status == STATUS_NO_MEMORY)
        return status == STATUS_OK ? status : fail(err, status, "%s", why.text);
    return fail(err, status, "%s: %s", path, why.text);
}

/* Leaves the regular files that are called pictures. */
static void keep_pictures(struct names *names, const char *folder)
{
    size_t kept = 0;
    for (size_t i = 0; i < names->count; i++) {
        char path[4096];
        struct stat info;
        const int length = snprintf(path, sizeof path, "%s/%s", folder, names->list[i]);
        const bool fits = length > 0 && (size_t)length < sizeof path;
        if (name_is_of_picture(names->list[i]) && fits && stat(path, &info) == 0 && !S_ISDIR(info.st_mode))
            names->list[kept++] = names->list[i];
        else
            memory_free(names->list[i]);
    }
    names->count = kept;
}

static enum status read_names(struct picture_set *set, const char *const *names, int64_t found,
                              const struct picture_set_options *options, struct error *err)
{
    const int64_t wanted = options->limit > 0 && options->limit < found ? options->limit : found;
    const int64_t enough = options->enough > 0 ? options->enough : wanted;
    enum status status = STATUS_OK;
    set->found = found;
    set->expected = wanted;
    set->bytes = options->bytes;
    set->fitted = options->side;
    if (found == 0)
        return fail(err, STATUS_FORMAT, "%s: there is no picture in this folder; PNG and JPEG files are read",
                    set->name);
    if (wanted > PICTURE_SET_MAX)
        return fail(err, STATUS_LIMIT, "%s: %lld pictures; a set holds at most %d", set->name, (long long)wanted,
                    PICTURE_SET_MAX);
    for (int64_t i = 0; i < wanted && set->count < enough && status == STATUS_OK; i++) {
        status = read_one(set, names[i * found / wanted], options, wanted, err);
        if (status == STATUS_OK) status = measures_step(options->watch, "pictures", i + 1, wanted, err);
    }
    if (status == STATUS_OK && set->count == 0)
        status = fail(err, STATUS_FORMAT, "%s: none of its %lld pictures can be read", set->name, (long long)wanted);
    return status;
}

enum status picture_set_read(struct picture_set *set, const char *folder, const struct picture_set_options *options,
                             struct error *err)
{
    struct names names = {0};
    *set = (struct picture_set){0};
    enum status status = check_side(options->side, err);
    if (status == STATUS_OK) {
        set->name = arena_strdup(&set->memory, folder);
        if (!set->name) status = fail_no_memory(err, "the name of a folder", strlen(folder) + 1);
    }
    if (status == STATUS_OK && !options->names) status = folder_list(&names, folder, err);
    if (status == STATUS_OK && !options->names) keep_pictures(&names, folder);
    const bool named = options->names != NULL;
    const char *const *list = named ? options->names : (const char *const *)names.list;
    if (status == STATUS_OK)
        status = read_names(set, list, named ? options->name_count : (int64_t)names.count, options, err);
    names_clear(&names);
    if (status != STATUS_OK) picture_set_clear(set);
    return status;
}

/* ---- as arrays ---- */

struct features picture_set_features(const struct picture_set *set)
{
    return (struct features){.values = set->directions,
                             .count = set->directions ? set->embedded : 0,
                             .width = set->width,
                             .name = set->name};
}

struct pixels picture_set_pixels(const struct picture_set *set)
{
    return (struct pixels){set->values, set->count, set->kept_x, set->kept_y, set->name};
}

void picture_set_clear(struct picture_set *set)
{
    memory_free((void *)set->paths);
    memory_free(set->values);
    memory_free(set->content);
    memory_free(set->directions);
    arena_clear(&set->memory);
    *set = (struct picture_set){0};
}
