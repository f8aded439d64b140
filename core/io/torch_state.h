/* SPDX-License-Identifier: MIT
 *
 * From a parsed pickle to named tensors: what the two kinds of PyTorch files share.
 */
#ifndef IO_TORCH_STATE_H
#define IO_TORCH_STATE_H

#include "core/io/checkpoint_build.h"
#include "core/io/torch_object.h"

struct torch_state {
    struct checkpoint *c;
    const char *name, *prefix;
    struct error *err;
    struct pickle pickle;
    struct arena arena;              /* owned; values */
    struct torch_storage **storages; /* owned; one for each key, sorted */
    size_t storage_count;
    /* Sets storage->data to where its bytes lie, all of them within the file. NULL if that is done beforehand. */
    enum status (*locate)(void *context, struct torch_storage *storage);
    void *context;
};

/* After `pickle` is parsed: sorts the storages and refuses two that differ under one key. */
MUST_CHECK enum status torch_state_index(struct torch_state *s);
/* The one of this key; NULL if no tensor uses it. */
struct torch_storage *torch_state_storage(const struct torch_state *s, const char *key, size_t size);
/* Adds the state dict's tensors to the checkpoint. */
MUST_CHECK enum status torch_state_add(struct torch_state *s);
void torch_state_clear(struct torch_state *s);

/* Bytes of a storage; false if they cannot be counted. */
bool torch_storage_bytes(const struct torch_storage *storage, uint64_t *bytes);

#endif
