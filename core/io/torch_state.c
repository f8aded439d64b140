/* SPDX-License-Identifier: MIT */
#include "core/io/torch_state.h"

#include "core/io/charset.h"
#include "core/io/quote.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

bool torch_storage_bytes(const struct torch_storage *storage, uint64_t *bytes)
{
    int64_t count;
    return checkpoint_measure(1, &storage->count, storage->dtype, &count, bytes);
}

static int compare_keys(const struct torch_storage *a, const struct torch_storage *b)
{
    if (a->key_size != b->key_size) return a->key_size < b->key_size ? -1 : 1;
    return memcmp(a->key, b->key, a->key_size);
}

static int compare_slots(const void *a, const void *b)
{
    return compare_keys(*(struct torch_storage *const *)a, *(struct torch_storage *const *)b);
}

enum status torch_state_index(struct torch_state *s)
{
    size_t count = 0;
    for (struct torch_storage *storage = s->pickle.storages; storage; storage = storage->next) count++;
    s->storages = memory_alloc((count + 1) * sizeof(struct torch_storage *));
    if (!s->storages) return fail_no_memory(s->err, s->name, count * sizeof(struct torch_storage *));
    count = 0;
    for (struct torch_storage *storage = s->pickle.storages; storage; storage = storage->next)
        s->storages[count++] = storage;
    qsort(s->storages, count, sizeof(struct torch_storage *), compare_slots);
    for (size_t i = 0; i < count; i++) {
        struct torch_storage *last = s->storage_count > 0 ? s->storages[s->storage_count - 1] : NULL;
        if (!last || compare_keys(last, s->storages[i]) != 0) {
            s->storages[s->storage_count++] = s->storages[i];
        } else if (last->dtype != s->storages[i]->dtype || last->count != s->storages[i]->count) {
            return fail(s->err, STATUS_FORMAT, "%s: storage '%s' is described in two ways", s->name,
                        quote_bytes(last->key, last->key_size).text);
        }
    }
    return STATUS_OK;
}

struct torch_storage *torch_state_storage(const struct torch_state *s, const char *key, size_t size)
{
    struct torch_storage wanted = {.key = key, .key_size = size}, *slot = &wanted;
    struct torch_storage **found =
        bsearch(&slot, s->storages, s->storage_count, sizeof(struct torch_storage *), compare_slots);
    return found ? *found : NULL;
}

/* True if the tensor's elements lie one after the other. */
static bool is_contiguous(const struct torch_tensor *t)
{
    int64_t expected = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        if (t->dim[i] != 1 && t->stride[i] != expected) return false;
        if (__builtin_mul_overflow(expected, t->dim[i], &expected)) return false;
    }
    return true;
}

/* The number of storage elements from the tensor's first to behind its last; false if it cannot be counted. */
static bool measure_extent(const struct torch_tensor *t, int64_t *extent)
{
    *extent = 1;
    for (int i = 0; i < t->rank; i++) {
        int64_t reach;
        if (__builtin_mul_overflow(t->dim[i] - 1, t->stride[i], &reach) ||
            __builtin_add_overflow(*extent, reach, extent))
            return false;
    }
    return true;
}

/* Copies a strided tensor in row-major order: an odometer over its indices. */
static void gather(unsigned char *to, const unsigned char *from, const struct torch_tensor *t, int64_t count,
                   size_t element)
{
    int64_t index[CHECKPOINT_MAX_RANK] = {0}, at = 0;
    for (int64_t n = 0; n < count; n++, to += element) {
        memcpy(to, from + (size_t)at * element, element);
        for (int i = t->rank - 1; i >= 0; i--) {
            at += t->stride[i];
            if (++index[i] < t->dim[i]) break;
            at -= t->dim[i] * t->stride[i];
            index[i] = 0;
        }
    }
}

static enum status find_data(struct torch_state *s, const struct torch_tensor *from, struct tensor *to)
{
    struct torch_storage *storage = torch_state_storage(s, from->storage->key, from->storage->key_size);
    const size_t element = dtype_bytes(to->dtype, 1);
    int64_t extent, first, end;
    if (!measure_extent(from, &extent) || __builtin_add_overflow(from->storage->start, from->offset, &first) ||
        __builtin_add_overflow(first, extent, &end) || end > storage->count)
        return fail(s->err, STATUS_FORMAT, "%s: tensor '%s' goes past the end of its storage of %" PRId64 " elements",
                    s->name, quote(to->name).text, storage->count);
    if (!storage->data && s->locate) {
        const enum status status = s->locate(s->context, storage);
        if (status != STATUS_OK) return status;
    }
    if (!storage->data)
        return fail(s->err, STATUS_FORMAT, "%s: the data of tensor '%s' are missing", s->name, quote(to->name).text);
    const unsigned char *data = storage->data + (size_t)first * element;
    to->data = data;
    if (is_contiguous(from)) return STATUS_OK;
    void *block;
    const enum status status = checkpoint_block(s->c, (size_t)to->count * element, s->name, &block, s->err);
    if (status != STATUS_OK) return status;
    gather(block, data, from, to->count, element);
    to->data = block;
    return STATUS_OK;
}

/* part: the network that the tensor is of, which goes before its name; NULL: none. */
static enum status add_tensor(struct torch_state *s, const struct value *part, const struct value *key,
                              const struct torch_tensor *from)
{
    const char *name = arena_strndup(&s->arena, key->string.text, key->string.size);
    const char *front = part ? arena_strndup(&s->arena, part->string.text, part->string.size) : NULL;
    const size_t size = key->string.size + (part ? part->string.size + 1 : 0);
    if (name && front) name = arena_printf(&s->arena, "%s.%s", front, name);
    if (!name || (part && !front)) return fail_no_memory(s->err, s->name, size);
    if (strlen(name) != size || !utf8_valid(name, size))
        return fail(s->err, STATUS_FORMAT, "%s: the tensor name '%s' is not text", s->name, quote(name).text);
    struct tensor tensor = {.name = name, .dtype = from->storage->dtype, .rank = from->rank};
    memcpy(tensor.dim, from->dim, sizeof tensor.dim);
    uint64_t bytes;
    if (!checkpoint_measure(tensor.rank, tensor.dim, tensor.dtype, &tensor.count, &bytes))
        return fail(s->err, STATUS_FORMAT, "%s: tensor '%s' has a shape of more elements than memory can hold", s->name,
                    quote(name).text);
    tensor.data = ""; /* an empty tensor needs no storage */
    const enum status status = tensor.count > 0 ? find_data(s, from, &tensor) : STATUS_OK;
    return status != STATUS_OK ? status : checkpoint_add(s->c, s->prefix, &tensor, s->err);
}

static enum status add_dict(struct torch_state *s, const struct value *part, const struct value *dict, int *added)
{
    for (size_t i = 0; i + 1 < dict->list.count; i += 2) {
        const struct value *key = dict->list.items[i], *value = dict->list.items[i + 1];
        if (key->kind != VALUE_STRING || value->kind != VALUE_TENSOR) continue;
        const enum status status = add_tensor(s, part, key, value->tensor);
        if (status != STATUS_OK) return status;
        ++*added;
    }
    return STATUS_OK;
}

/* Programs that train several networks save {'generator': its state dict, 'discriminator': ..., 'epoch': 4}. */
static enum status add_parts(struct torch_state *s, const struct value *dict, int *added)
{
    for (size_t i = 0; i + 1 < dict->list.count; i += 2) {
        const struct value *part = dict->list.items[i], *inner = dict->list.items[i + 1];
        if (part->kind != VALUE_STRING || inner->kind != VALUE_DICT) continue;
        const enum status status = add_dict(s, part, inner, added);
        if (status != STATUS_OK) return status;
    }
    return STATUS_OK;
}

/* A state dict of modules has names with dots in them. Names without are, maybe, those of single tensors that a program
 * has saved beside its networks, such as the noise that its sample pictures are painted from. */
static bool names_modules(const struct value *dict)
{
    for (size_t i = 0; i + 1 < dict->list.count; i += 2) {
        const struct value *key = dict->list.items[i];
        if (key->kind == VALUE_STRING && dict->list.items[i + 1]->kind == VALUE_TENSOR &&
            memchr(key->string.text, '.', key->string.size))
            return true;
    }
    return false;
}

enum status torch_state_add(struct torch_state *s)
{
    const struct value *dict = s->pickle.root, *inner = value_get(dict, "state_dict");
    if (inner && inner->kind == VALUE_DICT) dict = inner;
    if (dict->kind != VALUE_DICT)
        return fail(s->err, STATUS_FORMAT, "%s: holds %s, not a dict of tensors; save model.state_dict()", s->name,
                    value_kind_name(dict->kind));
    int added = 0;
    enum status status = add_dict(s, NULL, dict, &added);
    if (status == STATUS_OK && !names_modules(dict)) status = add_parts(s, dict, &added);
    if (status != STATUS_OK || added > 0) return status;
    return fail(s->err, STATUS_FORMAT, "%s: holds no tensors, neither at the top nor under 'state_dict'", s->name);
}

void torch_state_clear(struct torch_state *s)
{
    memory_free(s->storages);
    arena_clear(&s->arena);
}
