/* SPDX-License-Identifier: MIT */
#include "core/io/checkpoint.h"

#include "core/io/checkpoint_build.h"
#include "core/io/folder.h"
#include "core/io/gguf.h"
#include "core/io/quote.h"
#include "core/io/safetensors.h"
#include "core/io/torch_file.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are handed out as they lie in the file");

bool checkpoint_measure(int rank, const int64_t *dim, enum dtype dtype, int64_t *count, uint64_t *bytes)
{
    *count = 1;
    for (int i = 0; i < rank; i++)
        if (dim[i] < 0 || __builtin_mul_overflow(*count, dim[i], count)) return false;
    const int64_t block = (int64_t)dtype_block(dtype);
    int64_t size;
    if (*count % block || __builtin_mul_overflow(*count / block, (int64_t)dtype_bytes(dtype, (size_t)block), &size))
        return false;
    *bytes = (uint64_t)size;
    return true;
}

enum status checkpoint_map(struct checkpoint *c, const char *path, struct mapped_file *out, struct error *err)
{
    struct checkpoint_file *file = arena_alloc(&c->arena, sizeof *file);
    if (!file) return fail_no_memory(err, path, sizeof *file);
    const enum status status = file_map(&file->map, path, err);
    if (status != STATUS_OK) return status;
    file->next = c->files;
    c->files = file;
    c->file_bytes += file->map.size;
    *out = file->map;
    return STATUS_OK;
}

enum status checkpoint_block(struct checkpoint *c, size_t bytes, const char *file, void **out, struct error *err)
{
    const uint64_t most = c->file_bytes * CHECKPOINT_BLOCK_FACTOR + CHECKPOINT_BLOCK_FREE;
    if (bytes > most || c->block_bytes > most - bytes)
        return fail(err, STATUS_FORMAT,
                    "%s: would unpack to more than %" PRIu64 " bytes, which no honest file of its size does", file,
                    most);
    struct checkpoint_block *block = arena_alloc(&c->arena, sizeof *block);
    if (!block) return fail_no_memory(err, file, sizeof *block);
    block->bytes = memory_alloc_raw(bytes);
    if (!block->bytes) return fail_no_memory(err, file, bytes);
    block->next = c->blocks;
    c->blocks = block;
    c->block_bytes += bytes;
    *out = block->bytes;
    return STATUS_OK;
}

enum status checkpoint_add(struct checkpoint *c, const char *prefix, const struct tensor *tensor, struct error *err)
{
    if (c->count == c->capacity) {
        if (c->capacity > INT_MAX / 2) return fail(err, STATUS_FORMAT, "%d tensors are too many", c->count);
        const int capacity = c->capacity ? c->capacity * 2 : 256;
        struct tensor *grown = memory_resize(c->tensors, (size_t)capacity * sizeof *grown);
        if (!grown) return fail_no_memory(err, "the list of tensors", (size_t)capacity * sizeof *grown);
        c->tensors = grown;
        c->capacity = capacity;
    }
    const char *name = arena_printf(&c->arena, "%s%s", prefix, tensor->name);
    if (!name) return fail_no_memory(err, "a tensor's name", strlen(tensor->name));
    c->tensors[c->count] = *tensor;
    c->tensors[c->count++].name = name;
    return STATUS_OK;
}

enum status checkpoint_note(struct checkpoint *c, const char *key, const char *value, size_t bytes, struct error *err)
{
    struct checkpoint_note *note = arena_alloc(&c->arena, sizeof *note);
    const char *own_key = note ? arena_strdup(&c->arena, key) : NULL;
    const char *own_value = own_key ? arena_strndup(&c->arena, value, bytes) : NULL;
    if (!own_value) return fail_no_memory(err, "metadata", bytes);
    *note = (struct checkpoint_note){own_key, own_value, c->notes};
    c->notes = note;
    return STATUS_OK;
}

static int compare_names(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

enum status checkpoint_finish(struct checkpoint *c, const char *path, struct error *err)
{
    if (c->count > 0) qsort(c->tensors, (size_t)c->count, sizeof *c->tensors, compare_names);
    for (int i = 1; i < c->count; i++)
        if (strcmp(c->tensors[i - 1].name, c->tensors[i].name) == 0)
            return fail(err, STATUS_FORMAT, "%s: two tensors have the name '%s'", path, quote(c->tensors[i].name).text);
    return STATUS_OK;
}

static bool starts_with(const unsigned char *bytes, size_t size, const char *text)
{
    const size_t length = strlen(text);
    return size >= length && memcmp(bytes, text, length) == 0;
}

/* Files that people take for a model; naming what they are helps more than "unknown format". */
static const char *mistaken_for(const unsigned char *bytes, size_t size)
{
    if (size == 0) return "is empty";
    if (starts_with(bytes, size, "version https://git-lfs"))
        return "is a Git LFS pointer, not the model itself; fetch it with 'git lfs pull'";
    if (starts_with(bytes, size, "<") || starts_with(bytes, size, "\n<"))
        return "is a web page, not a model; the download did not work";
    return NULL;
}

enum status checkpoint_read_memory(struct checkpoint *c, const unsigned char *bytes, size_t size, const char *name,
                                   const char *prefix, struct error *err)
{
    c->format = CHECKPOINT_SAFETENSORS;
    if (safetensors_recognise(bytes, size)) return safetensors_read(c, bytes, size, name, prefix, err);
    c->format = CHECKPOINT_GGUF;
    if (gguf_recognise(bytes, size)) return gguf_read(c, bytes, size, name, prefix, err);
    c->format = CHECKPOINT_PICKLE;
    if (torch_zip_recognise(bytes, size)) return torch_zip_read(c, bytes, size, name, prefix, err);
    if (torch_legacy_recognise(bytes, size)) return torch_legacy_read(c, bytes, size, name, prefix, err);
    const char *mistake = mistaken_for(bytes, size);
    if (mistake) return fail(err, STATUS_FORMAT, "%s: %s", name, mistake);
    return fail(err, STATUS_FORMAT,
                "%s: is not a model file; .safetensors, .ckpt, .pth, .gguf and diffusers folders can be read", name);
}

static enum status read_path(struct checkpoint *c, const char *path, struct error *err)
{
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return folder_read(c, path, err);
    struct mapped_file file;
    const enum status status = checkpoint_map(c, path, &file, err);
    return status != STATUS_OK ? status : checkpoint_read_memory(c, file.bytes, file.size, path, "", err);
}

/* bytes NULL: reads what is at the path `name`. */
static enum status open_from(struct checkpoint **out, const void *bytes, size_t size, const char *name,
                             struct error *err)
{
    *out = NULL;
    struct checkpoint *c = memory_alloc(sizeof *c);
    if (!c) return fail_no_memory(err, name, sizeof *c);
    c->file_bytes = bytes ? size : 0;
    enum status status = bytes ? checkpoint_read_memory(c, bytes, size, name, "", err) : read_path(c, name, err);
    if (status == STATUS_OK) status = checkpoint_finish(c, name, err);
    if (status == STATUS_OK)
        *out = c;
    else
        checkpoint_close(c);
    return status;
}

enum status checkpoint_open_memory(struct checkpoint **out, const void *bytes, size_t size, const char *name,
                                   struct error *err)
{
    return open_from(out, bytes, size, name, err);
}

enum status checkpoint_open(struct checkpoint **out, const char *path, struct error *err)
{
    return open_from(out, NULL, 0, path, err);
}

void checkpoint_close(struct checkpoint *c)
{
    if (!c) return;
    for (struct checkpoint_file *file = c->files; file; file = file->next) file_unmap(&file->map);
    for (struct checkpoint_block *block = c->blocks; block; block = block->next) memory_free(block->bytes);
    memory_free(c->tensors);
    arena_clear(&c->arena);
    memory_free(c);
}

int checkpoint_count(const struct checkpoint *c)
{
    return c->count;
}

const struct tensor *checkpoint_at(const struct checkpoint *c, int i)
{
    return i >= 0 && i < c->count ? &c->tensors[i] : NULL;
}

const struct tensor *checkpoint_find(const struct checkpoint *c, const char *name)
{
    if (c->count == 0) return NULL;
    const struct tensor key = {.name = name};
    return bsearch(&key, c->tensors, (size_t)c->count, sizeof *c->tensors, compare_names);
}

/* Only pages of a file can be read again; gathered and unpacked data have no other home. */
void checkpoint_release(const struct checkpoint *c, const struct tensor *tensor)
{
    const uintptr_t data = (uintptr_t)tensor->data;
    for (const struct checkpoint_file *file = c->files; file; file = file->next) {
        const uintptr_t begin = (uintptr_t)file->map.bytes;
        if (data < begin || data >= begin + file->map.size) continue;
        file_drop_pages(tensor->data, dtype_bytes(tensor->dtype, (size_t)tensor->count));
        return;
    }
}

const char *checkpoint_metadata(const struct checkpoint *c, const char *key)
{
    for (const struct checkpoint_note *note = c->notes; note; note = note->next)
        if (strcmp(note->key, key) == 0) return note->value;
    return NULL;
}

enum checkpoint_format checkpoint_format(const struct checkpoint *c)
{
    return c->format;
}

uint64_t checkpoint_file_bytes(const struct checkpoint *c)
{
    return c->file_bytes;
}

enum status checkpoint_rename(struct checkpoint *c,
                              bool (*rename)(void *context, const char *old, char out[CHECKPOINT_NAME_BYTES]),
                              void *context, struct error *err)
{
    char name[CHECKPOINT_NAME_BYTES];
    for (int i = 0; i < c->count; i++) {
        if (!rename(context, c->tensors[i].name, name)) continue;
        const char *own = arena_strdup(&c->arena, name);
        if (!own) return fail_no_memory(err, "a tensor's name", strlen(name));
        c->tensors[i].name = own;
    }
    return checkpoint_finish(c, "after renaming", err);
}
