/* SPDX-License-Identifier: MIT
 *
 * Finds out what lies in a folder. The first of these that there is decides:
 *
 *     1. metadata.jsonl            2. IDX files
 *     3. train/ or raw/, if no picture lies beside it: the same questions are asked there
 *     4. all pictures in it and in its folders, at any depth; if one of them has a .txt beside it, captions are
 *        those texts; else, for pictures in folders, the name of the folder
 */
#define _XOPEN_SOURCE 700 /* S_IFDIR */
#include "core/io/charset.h"
#include "core/io/dataset_build.h"
#include "core/io/file.h"
#include "core/io/listing.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_DEPTH = 32 };

static const char metadata_name[] = "metadata.jsonl";

/* A block; NULL for want of memory. A folder "" is the one that names are relative to. */
static char *path_join(const char *folder, const char *name)
{
    const size_t length = strlen(folder), bytes = length + strlen(name) + 2;
    char *path = memory_alloc(bytes);
    if (path) snprintf(path, bytes, "%s%s%s", folder, length && name[0] ? "/" : "", name);
    return path;
}

/* The same for as long as the set lives. */
static const char *join(struct dataset *set, const char *folder, const char *name, struct error *err)
{
    const char *path = arena_printf(&set->arena, "%s/%s", folder, name);
    if (!path) (void)fail_no_memory(err, name, strlen(folder) + strlen(name));
    return path;
}

static bool is_there(const char *path, mode_t kind)
{
    struct stat info;
    return stat(path, &info) == 0 && (info.st_mode & S_IFMT) == kind;
}

/* ---- all pictures below a folder ---- */

/* The folders that the walk is in, from the top down: a link back to one of them would have no end. */
struct trail {
    const struct trail *above;
    int depth;
    dev_t device;
    ino_t number;
};

static bool is_on_trail(const struct trail *trail, const struct stat *info)
{
    for (; trail; trail = trail->above)
        if (trail->device == info->st_dev && trail->number == info->st_ino) return true;
    return false;
}

static enum status walk(struct dataset *set, const char *folder, const struct trail *above, struct error *err);

/* name: relative to the set's folder. */
static enum status visit(struct dataset *set, const char *name, const struct trail *trail, struct error *err)
{
    struct stat info;
    enum status status = STATUS_OK;
    char *path = path_join(set->folder, name);
    if (!path) return fail_no_memory(err, name, strlen(name));
    if (stat(path, &info) != 0)
        dataset_skip(set, "%s: could not be examined: %s", path, strerror(errno));
    else if (!S_ISDIR(info.st_mode))
        status = !name_is_of_picture(name) || dataset_add(set, name, err) ? STATUS_OK : err->status;
    else if (is_on_trail(trail, &info))
        dataset_skip(set, "%s: is a link back to a folder that it lies in", path);
    else if (trail->depth == MAX_DEPTH)
        dataset_skip(set, "%s: lies more than %d folders deep", path, MAX_DEPTH);
    else
        status = walk(set, name, trail, err);
    memory_free(path);
    return status;
}

/* Visits what lies in a folder. One that cannot be read is left out, unless it is the set's own. */
static enum status walk(struct dataset *set, const char *folder, const struct trail *above, struct error *err)
{
    struct names names = {0};
    struct stat info = {0};
    struct error found = {0};
    char *path = path_join(set->folder, folder);
    if (!path) return fail_no_memory(err, folder, strlen(folder));
    enum status status = folder_list(&names, path, &found);
    if (status == STATUS_IO && above) {
        dataset_skip(set, "%s", found.text);
        status = STATUS_OK;
    } else if (status != STATUS_OK) {
        status = fail(err, status, "%s", found.text);
    }
    (void)stat(path, &info); /* which has just been opened */
    memory_free(path);
    const struct trail here = {above, above ? above->depth + 1 : 0, info.st_dev, info.st_ino};
    for (size_t i = 0; i < names.count && status == STATUS_OK; i++) {
        char *name = path_join(folder, names.list[i]);
        status = name ? visit(set, name, &here, err) : fail_no_memory(err, names.list[i], strlen(names.list[i]));
        memory_free(name);
    }
    names_clear(&names);
    return status;
}

static int compare_items(const void *a, const void *b)
{
    const struct dataset_item *x = a, *y = b;
    const int order = strcmp(x->name, y->name);
    return order ? order : (x->place > y->place) - (x->place < y->place);
}

static void sort_items(struct dataset *set)
{
    if (set->count > 0) qsort(set->items, (size_t)set->count, sizeof *set->items, compare_items);
}

/* ---- captions beside the pictures ---- */

/* The picture's name with .txt for its ending, as a block; NULL for want of memory. */
static char *caption_path(const struct dataset *set, const struct dataset_item *item)
{
    static const char ending[] = ".txt";
    const size_t bytes = strlen(item->name) + sizeof ending;
    char *path = NULL, *name = memory_alloc(bytes);
    if (name) {
        snprintf(name, bytes, "%.*s%s", (int)(strrchr(item->name, '.') - item->name), item->name, ending);
        path = path_join(set->folder, name);
    }
    memory_free(name);
    return path;
}

/* A picture whose caption cannot be read is left out: learnt without it, it would teach something else. */
static enum status read_caption(struct dataset *set, struct dataset_item *item, const char *path, struct error *err)
{
    struct mapped_file file;
    struct error found = {0};
    struct captions captions = {0};
    if (file_map(&file, path, &found) != STATUS_OK) {
        if (found.status == STATUS_NO_MEMORY) return fail(err, found.status, "%s", found.text);
        dataset_skip(set, "%s", found.text);
        item->name = NULL;
        return STATUS_OK;
    }
    const char *fault = captions_add_lines(&captions, (const char *)file.bytes, file.size, err);
    enum status status = err->status;
    if (fault) {
        dataset_skip(set, "%s: %s", path, fault);
        item->name = NULL;
    } else if (status == STATUS_OK) {
        status = captions_keep(&captions, set, item, err);
    }
    captions_clear(&captions);
    file_unmap(&file);
    return status;
}

/* *any: whether there is a caption file at all. */
static enum status read_captions(struct dataset *set, bool *any, struct error *err)
{
    enum status status = STATUS_OK;
    *any = false;
    for (int64_t i = 0; i < set->count && status == STATUS_OK; i++) {
        char *path = caption_path(set, &set->items[i]);
        struct stat info;
        if (!path) return fail_no_memory(err, set->items[i].name, strlen(set->items[i].name));
        if (lstat(path, &info) == 0) {
            *any = true;
            status = read_caption(set, &set->items[i], path, err);
        }
        memory_free(path);
    }
    dataset_compact(set);
    return status;
}

/* ---- folders as classes ---- */

/* The name of the folder that a picture lies in; size 0: the set's own. */
static const char *class_folder(const char *name, size_t *size)
{
    const char *end = strrchr(name, '/'), *begin = end;
    *size = 0;
    if (!end) return name;
    while (begin > name && begin[-1] != '/') begin--;
    *size = (size_t)(end - begin);
    return begin;
}

/* Gives every picture in a folder the folder's name, for the time being as its caption. */
static enum status mark_classes(struct dataset *set, struct error *err)
{
    const char *last = "";
    for (int64_t i = 0; i < set->count; i++) {
        struct dataset_item *item = &set->items[i];
        size_t size;
        const char *folder = class_folder(item->name, &size);
        if (size == 0) continue;
        if (!utf8_valid(folder, size)) {
            dataset_skip(set, "%s/%s: the name of its folder is not valid UTF-8", set->folder, item->name);
            item->name = NULL;
            continue;
        }
        if (strncmp(last, folder, size) != 0 || last[size] != '\0') { /* neighbours mostly share theirs */
            char *name = arena_strndup(&set->arena, folder, size);
            if (!name) return fail_no_memory(err, item->name, size);
            for (char *c = name; *c; c++)
                if (*c == '_' || *c == '-') *c = ' ';
            last = name;
        }
        item->captions = last;
        item->caption_count = 1;
    }
    dataset_compact(set);
    return STATUS_OK;
}

/* The different ones among the marks, sorted. */
static enum status list_classes(struct dataset *set, struct error *err)
{
    if (set->count == 0) return STATUS_OK;
    const size_t bytes = (size_t)set->count * sizeof *set->classes;
    const char **names = memory_alloc(bytes);
    if (!names) return fail_no_memory(err, "class names", bytes);
    size_t marked = 0, kept = 0;
    for (int64_t i = 0; i < set->count; i++)
        if (set->items[i].caption_count > 0 && (marked == 0 || names[marked - 1] != set->items[i].captions))
            names[marked++] = set->items[i].captions;
    qsort(names, marked, sizeof *names, names_compare);
    for (size_t i = 0; i < marked; i++)
        if (kept == 0 || strcmp(names[kept - 1], names[i]) != 0) names[kept++] = names[i];
    set->classes = arena_alloc(&set->arena, (kept + 1) * sizeof *names);
    if (set->classes) memcpy(set->classes, names, kept * sizeof *names);
    memory_free(names);
    if (!set->classes) return fail_no_memory(err, "class names", bytes);
    set->class_count = (int)kept;
    for (int64_t i = 0; i < set->count; i++) {
        struct dataset_item *item = &set->items[i];
        if (item->caption_count == 0) continue;
        const char **place = bsearch(&item->captions, set->classes, kept, sizeof *set->classes, names_compare);
        item->class = (int)(place - set->classes);
    }
    return STATUS_OK;
}

/* ---- the layouts ---- */

static enum status index_pictures(struct dataset *set, struct error *err)
{
    bool any;
    sort_items(set);
    enum status status = read_captions(set, &any, err);
    if (status == STATUS_OK && !any) {
        status = mark_classes(set, err);
        if (status == STATUS_OK) status = list_classes(set, err);
    }
    set->layout = any                    ? "pictures with .txt captions"
                  : set->class_count > 0 ? "a folder for each class"
                                         : "pictures without captions";
    return status;
}

static enum status index_metadata(struct dataset *set, const char *path, struct error *err)
{
    struct mapped_file file;
    set->layout = "pictures listed in metadata.jsonl";
    enum status status = file_map(&file, path, err);
    if (status != STATUS_OK) return status;
    status = dataset_read_metadata(set, (const char *)file.bytes, file.size, path, err);
    file_unmap(&file);
    if (status != STATUS_OK) return status;
    sort_items(set);
    const char *last = "";
    for (int64_t i = 0; i < set->count; i++) {
        struct dataset_item *item = &set->items[i];
        if (strcmp(last, item->name) != 0) {
            last = item->name;
            continue;
        }
        dataset_skip(set, "%s, line %lld: names '%s' again; its first line counts", path, (long long)item->place, last);
        item->name = NULL;
    }
    dataset_compact(set);
    return STATUS_OK;
}

/* Which of the names is an IDX file of pictures: that for training, if there are several. */
static const char *find_idx(const struct names *names)
{
    const char *found = NULL;
    for (size_t i = 0; i < names->count; i++) {
        const char *name = names->list[i];
        if (!strstr(name, "idx3") || !strstr(name, "images")) continue;
        if (!found || (strstr(name, "train") && !strstr(found, "train"))) found = name;
    }
    return found;
}

/* Folders that hold a set's pictures for training, if none lie beside them. */
static const char *find_inner(struct dataset *set, const struct names *names, struct error *err)
{
    static const char *const inner[] = {"train", "raw"};
    for (size_t i = 0; i < names->count; i++)
        if (name_is_of_picture(names->list[i])) return NULL;
    for (size_t i = 0; i < sizeof inner / sizeof *inner; i++) {
        const char *path = join(set, set->folder, inner[i], err);
        if (!path || is_there(path, S_IFDIR)) return path;
    }
    return NULL;
}

static enum status index_folder(struct dataset *set, bool may_go_in, struct error *err)
{
    struct names names;
    const char *metadata = join(set, set->folder, metadata_name, err);
    if (!metadata) return err->status;
    if (is_there(metadata, S_IFREG)) return index_metadata(set, metadata, err);
    const char *table = join(set, set->folder, "metadata.csv", err);
    if (table && is_there(table, S_IFREG))
        return fail(err, STATUS_UNSUPPORTED,
                    "%s: tables are not read; write metadata.jsonl with a line such as {\"file_name\": \"a.png\", "
                    "\"text\": \"a red apple\"} for each picture",
                    table);
    enum status status = folder_list(&names, set->folder, err);
    if (status != STATUS_OK) return status;
    const char *idx = find_idx(&names);
    if (idx) idx = join(set, set->folder, idx, err);
    const char *inner = may_go_in && !idx ? find_inner(set, &names, err) : NULL;
    names_clear(&names);
    if (err->status != STATUS_OK) return err->status;
    if (idx) return dataset_read_idx(set, idx, err);
    if (inner) {
        set->folder = inner;
        return index_folder(set, false, err);
    }
    status = walk(set, "", NULL, err);
    return status == STATUS_OK ? index_pictures(set, err) : status;
}

/* A metadata.jsonl or an IDX file by its own name. */
static enum status index_file(struct dataset *set, const char *path, struct error *err)
{
    const char *slash = strrchr(path, '/');
    set->folder = slash ? arena_strndup(&set->arena, path, (size_t)(slash - path)) : ".";
    if (!set->folder) return fail_no_memory(err, path, strlen(path));
    if (name_ends_with(path, ".jsonl")) return index_metadata(set, path, err);
    if (strstr(path, "idx")) return dataset_read_idx(set, path, err);
    return fail(err, STATUS_ARGUMENT,
                "%s: is a file; a data set is a folder of pictures, a metadata.jsonl or an IDX file of pictures", path);
}

enum status dataset_index(struct dataset *set, const char *path, struct error *err)
{
    struct stat info;
    set->folder = arena_strdup(&set->arena, path);
    if (!set->folder) return fail_no_memory(err, path, strlen(path));
    if (stat(path, &info) != 0) return fail(err, STATUS_IO, "%s: could not be opened: %s", path, strerror(errno));
    const enum status status = S_ISDIR(info.st_mode) ? index_folder(set, true, err) : index_file(set, path, err);
    if (status == STATUS_OK && set->count == 0)
        return fail(err, STATUS_FORMAT, "%s: holds no picture that can be used", set->folder);
    return status;
}
