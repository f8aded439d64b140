/* SPDX-License-Identifier: MIT
 *
 * What a PyTorch checkpoint's pickle may name, and what comes of it: ordered dicts, storages and tensors. A few more
 * names are known to lie beside the weights in published checkpoints; they become inert values. The whole list is the
 * table in torch_object.c, and there is no other way to get at a name.
 */
#ifndef IO_TORCH_OBJECT_H
#define IO_TORCH_OBJECT_H

#include "core/io/pickle.h"

struct torch_global;

/* A run of bytes that tensors share. Where it lies is found later, by torch_file.c. */
struct torch_storage {
    const char *key; /* does not end in NUL */
    size_t key_size;
    enum dtype dtype;
    int64_t count;              /* elements */
    int64_t start;              /* elements into the storage of this key (old files had views) */
    const uint8_t *data;        /* NULL until it is found */
    struct torch_storage *next; /* in pickle.storages */
};

struct torch_tensor {
    struct torch_storage *storage;
    int64_t offset; /* elements */
    int rank;
    int64_t dim[CHECKPOINT_MAX_RANK], stride[CHECKPOINT_MAX_RANK];
};

/* For sentences: which file, and where a failure goes. */
struct torch_context {
    struct arena *arena;
    const char *name;
    struct error *err;
};

/* A name of the table; refuses any other with a sentence. NULL on failure. */
const struct torch_global *torch_global_find(const struct torch_context *t, const char *module, size_t module_size,
                                             const char *name, size_t name_size);

/* The value of callable(*args). */
MUST_CHECK enum status torch_call(const struct torch_context *t, struct value *out, const struct value *callable,
                                  const struct value *args);

/* The storage that a persistent id names: ('storage', class, key, location, elements[, view]). */
MUST_CHECK enum status torch_storage_find(const struct torch_context *t, struct value *out, const struct value *id);

#endif
