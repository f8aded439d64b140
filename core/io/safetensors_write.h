/* SPDX-License-Identifier: MIT
 *
 * Writes a safetensors file (core/io/safetensors.h). Tensors are already in memory or asked for piece by piece, so that
 * a model of gigabytes is written, and converted to another type on the way, with little memory.
 *
 *     const struct tensor list[] = {{.name = "w", .dtype = DTYPE_F32, .rank = 2, .dim = {3, 4}, .data = w}};
 *     const struct safetensors_note notes[] = {{"format", "pt"}};
 *     const struct safetensors_file file = {.tensors = list, .count = 1, .notes = notes, .note_count = 1};
 *     safetensors_write("out.safetensors", &file, &err);
 *
 * The same contents give the same bytes. A file that is there afterwards is whole (core/io/file.h).
 */
#ifndef IO_SAFETENSORS_WRITE_H
#define IO_SAFETENSORS_WRITE_H

#include "core/io/checkpoint.h"

struct safetensors_note {
    const char *key, *value;
};

struct safetensors_file {
    const struct tensor *tensors; /* `data` is used if there is no fill; `count` is computed from the shape */
    int count;
    const struct safetensors_note *notes; /* the file's __metadata__ */
    int note_count;
    /* Writes the stored form of n elements from `first` on of tensor number i. NULL: they are copied from the data. */
    void (*fill)(void *context, int i, int64_t first, int64_t n, void *out);
    void *context;
};

/* Tensors lie in the file in the order given. Names and notes are UTF-8, and no two are the same. */
MUST_CHECK enum status safetensors_write(const char *path, const struct safetensors_file *file, struct error *err);

#endif
