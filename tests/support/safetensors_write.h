/* SPDX-License-Identifier: MIT
 *
 * Writes a safetensors file for a test. The bytes of a tensor are asked for piece by piece, so that a model of
 * gigabytes is written with little memory.
 *
 *     struct safetensors_file file = {.tensors = list, .count = 2, .fill = my_fill, .context = &mine};
 *     safetensors_write(path, &file, &err);
 */
#ifndef SUPPORT_SAFETENSORS_WRITE_H
#define SUPPORT_SAFETENSORS_WRITE_H

#include "core/io/checkpoint.h"

struct safetensors_note {
    const char *key, *value;
};

struct safetensors_file {
    const struct tensor *tensors; /* `data` is used if there is no fill; `count` is computed */
    int count;
    const struct safetensors_note *notes; /* the file's __metadata__ */
    int note_count;
    /* Writes the stored form of n elements from `first` on of tensor number i. NULL: they are copied from the data. */
    void (*fill)(void *context, int i, int64_t first, int64_t n, void *out);
    void *context;
};

MUST_CHECK enum status safetensors_write(const char *path, const struct safetensors_file *file, struct error *err);

#endif
