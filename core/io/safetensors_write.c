/* SPDX-License-Identifier: MIT */
#include "core/io/safetensors_write.h"

#include "core/base/memory.h"
#include "core/io/charset.h"
#include "core/io/checkpoint_build.h"
#include "core/io/file.h"
#include "core/io/quote.h"
#include "core/io/safetensors.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE_ELEMENTS = 1 << 18, HEADER_ALIGNMENT = 8 };

static const char metadata_key[] = "__metadata__";

/* Takes over `value`, which may be NULL for want of memory. */
static enum status set_new(json_t *object, const char *path, const char *key, json_t *value, struct error *err)
{
    if (!utf8_valid(key, strlen(key)) || json_object_get(object, key)) {
        json_decref(value);
        return fail(err, STATUS_ARGUMENT, "%s: the name '%s' %s", path, quote(key).text,
                    json_object_get(object, key) ? "is there twice" : "is not valid UTF-8");
    }
    return json_object_set_new(object, key, value) == 0 ? STATUS_OK : fail_no_memory(err, path, strlen(key));
}

static enum status add_notes(json_t *header, const char *path, const struct safetensors_file *file, struct error *err)
{
    json_t *notes = json_object();
    enum status status = set_new(header, path, metadata_key, notes, err); /* which keeps it from here on */
    for (int i = 0; i < file->note_count && status == STATUS_OK; i++) {
        const struct safetensors_note *note = &file->notes[i];
        status =
            utf8_valid(note->value, strlen(note->value))
                ? set_new(notes, path, note->key, json_string(note->value), err)
                : fail(err, STATUS_ARGUMENT, "%s: the text of '%s' is not valid UTF-8", path, quote(note->key).text);
    }
    return status;
}

/* *at: where the tensor's bytes begin, moved on to where they end. */
static enum status add_tensor(json_t *header, const char *path, const struct tensor *t, uint64_t *at, struct error *err)
{
    int64_t count;
    uint64_t bytes;
    if (!checkpoint_measure(t->rank, t->dim, t->dtype, &count, &bytes) || bytes > INT64_MAX - *at)
        return fail(err, STATUS_ARGUMENT, "%s: tensor '%s' has a shape that no file can hold", path,
                    quote(t->name).text);
    json_t *shape = json_array();
    bool good = shape != NULL;
    for (int d = 0; d < t->rank && good; d++) good = json_array_append_new(shape, json_integer(t->dim[d])) == 0;
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype_name(t->dtype), "shape", shape, "data_offsets",
                              (json_int_t)*at, (json_int_t)(*at + bytes));
    *at += bytes;
    if (good && entry) return set_new(header, path, t->name, entry, err);
    json_decref(entry);
    return fail_no_memory(err, path, bytes);
}

/* Length and header. Spaces fill it up to a multiple of 8, so that the data are aligned. */
static enum status write_header(struct file_writer *w, const json_t *header, struct error *err)
{
    char *text = json_dumps(header, JSON_COMPACT);
    if (!text) return fail_no_memory(err, "the header of a file", 0);
    const size_t length = strlen(text), padding = (HEADER_ALIGNMENT - length % HEADER_ALIGNMENT) % HEADER_ALIGNMENT;
    unsigned char front[8];
    for (int i = 0; i < 8; i++) front[i] = (unsigned char)((uint64_t)(length + padding) >> 8 * i);
    enum status status = STATUS_OK;
    if (length > SAFETENSORS_MAX_HEADER - HEADER_ALIGNMENT)
        status = fail(err, STATUS_LIMIT, "%s: the header needs %zu bytes; at most %d are allowed", w->path, length,
                      SAFETENSORS_MAX_HEADER);
    if (status == STATUS_OK) status = file_append(w, front, sizeof front, err);
    if (status == STATUS_OK) status = file_append(w, text, length, err);
    if (status == STATUS_OK) status = file_append(w, "       ", padding, err);
    free(text); /* library: jansson's */
    return status;
}

static enum status write_tensor(struct file_writer *w, const struct safetensors_file *file, int i, void *piece,
                                struct error *err)
{
    const struct tensor *t = &file->tensors[i];
    const size_t element = dtype_bytes(t->dtype, 1);
    int64_t count = 1;
    for (int d = 0; d < t->rank; d++) count *= t->dim[d];
    if (!file->fill) return file_append(w, t->data, (size_t)count * element, err);
    enum status status = STATUS_OK;
    for (int64_t first = 0; first < count && status == STATUS_OK; first += PIECE_ELEMENTS) {
        const int64_t n = count - first < PIECE_ELEMENTS ? count - first : PIECE_ELEMENTS;
        file->fill(file->context, i, first, n, piece);
        status = file_append(w, piece, (size_t)n * element, err);
    }
    return status;
}

static enum status write_file(const char *path, const json_t *header, const struct safetensors_file *file,
                              struct error *err)
{
    const size_t bytes = (size_t)PIECE_ELEMENTS * sizeof(double);
    void *piece = file->fill ? memory_alloc_raw(bytes) : NULL;
    if (file->fill && !piece) return fail_no_memory(err, "a piece of a tensor", bytes);
    struct file_writer w;
    enum status status = file_begin(&w, path, err);
    if (status == STATUS_OK) status = write_header(&w, header, err);
    for (int i = 0; i < file->count && status == STATUS_OK; i++) status = write_tensor(&w, file, i, piece, err);
    status = file_finish(&w, status, err);
    memory_free(piece);
    return status;
}

enum status safetensors_write(const char *path, const struct safetensors_file *file, struct error *err)
{
    uint64_t at = 0;
    json_t *header = json_object();
    enum status status = header ? STATUS_OK : fail_no_memory(err, path, 0);
    if (status == STATUS_OK && file->note_count > 0) status = add_notes(header, path, file, err);
    for (int i = 0; i < file->count && status == STATUS_OK; i++)
        status = strcmp(file->tensors[i].name, metadata_key) != 0
                     ? add_tensor(header, path, &file->tensors[i], &at, err)
                     : fail(err, STATUS_ARGUMENT, "%s: a tensor cannot be named %s", path, metadata_key);
    if (status == STATUS_OK) status = write_file(path, header, file, err);
    json_decref(header);
    return status;
}
