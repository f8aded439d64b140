/* SPDX-License-Identifier: MIT
 *
 * Argument lists are those of torch/_utils.py and torch/serialization.py.
 */
#include "core/io/torch_object.h"

#include "core/io/quote.h"

#include <stdio.h>
#include <string.h>

enum global_kind {
    MAKES_DICT,
    MAKES_TENSOR,
    MAKES_PARAMETER,
    IS_STORAGE,
    IS_INERT,
};

/* A NULL name stands for every name of the module and of the modules inside it. */
struct torch_global {
    const char *module, *name;
    enum global_kind kind;
    enum dtype dtype;
};

static const struct torch_global globals[] = {
    {"collections", "OrderedDict", MAKES_DICT, 0},
    {"torch._utils", "_rebuild_tensor_v2", MAKES_TENSOR, 0},
    {"torch._utils", "_rebuild_tensor", MAKES_TENSOR, 0}, /* before torch 0.4 */
    {"torch._utils", "_rebuild_parameter", MAKES_PARAMETER, 0},

    {"torch", "FloatStorage", IS_STORAGE, DTYPE_F32},
    {"torch", "HalfStorage", IS_STORAGE, DTYPE_F16},
    {"torch", "BFloat16Storage", IS_STORAGE, DTYPE_BF16},
    {"torch", "DoubleStorage", IS_STORAGE, DTYPE_F64},
    {"torch", "LongStorage", IS_STORAGE, DTYPE_I64},
    {"torch", "IntStorage", IS_STORAGE, DTYPE_I32},
    {"torch", "ShortStorage", IS_STORAGE, DTYPE_I16},
    {"torch", "CharStorage", IS_STORAGE, DTYPE_I8},
    {"torch", "ByteStorage", IS_STORAGE, DTYPE_U8},
    {"torch", "BoolStorage", IS_STORAGE, DTYPE_BOOL},

    /* Published checkpoints of Stable Diffusion were saved whole by their trainer: beside the state dict lie counters
     * (numpy scalars), callbacks under the class that made them, and settings. */
    {"pytorch_lightning.callbacks", NULL, IS_INERT, 0},
    {"lightning.pytorch.callbacks", NULL, IS_INERT, 0},
    {"numpy.core.multiarray", "scalar", IS_INERT, 0},
    {"numpy.core.multiarray", "_reconstruct", IS_INERT, 0},
    {"numpy._core.multiarray", "scalar", IS_INERT, 0},
    {"numpy._core.multiarray", "_reconstruct", IS_INERT, 0},
    {"numpy", "dtype", IS_INERT, 0},
    {"numpy", "ndarray", IS_INERT, 0},
    {"_codecs", "encode", IS_INERT, 0}, /* how protocol 2 spells the bytes of a numpy scalar */
    {"collections", "Counter", IS_INERT, 0},
    {"collections", "defaultdict", IS_INERT, 0},
    {"argparse", "Namespace", IS_INERT, 0},
    {"__builtin__", "set", IS_INERT, 0}, /* Python 2's name of builtins, which protocol 2 keeps */
    {"builtins", "set", IS_INERT, 0},
    {"__builtin__", "frozenset", IS_INERT, 0},
    {"builtins", "frozenset", IS_INERT, 0},
    {"__builtin__", "dict", IS_INERT, 0},
    {"builtins", "dict", IS_INERT, 0},
    {"__builtin__", "list", IS_INERT, 0},
    {"builtins", "list", IS_INERT, 0},
    {"__builtin__", "bytes", IS_INERT, 0},
    {"builtins", "bytes", IS_INERT, 0},
    {"torch", "Size", IS_INERT, 0},
    {"torch", "device", IS_INERT, 0},
    {"torch", "float32", IS_INERT, 0},
    {"torch", "float16", IS_INERT, 0},
    {"torch", "bfloat16", IS_INERT, 0},
    {"torch", "float64", IS_INERT, 0},
    {"torch", "int64", IS_INERT, 0},
    {"torch", "int32", IS_INERT, 0},
    {"torch", "uint8", IS_INERT, 0},
    {"torch", "bool", IS_INERT, 0},
};

static bool equals(const char *text, size_t size, const char *other)
{
    return size == strlen(other) && memcmp(text, other, size) == 0;
}

static bool is_in_module(const char *text, size_t size, const char *module)
{
    const size_t length = strlen(module);
    return size >= length && memcmp(text, module, length) == 0 && (size == length || text[length] == '.');
}

const struct torch_global *torch_global_find(const struct torch_context *t, const char *module, size_t module_size,
                                             const char *name, size_t name_size)
{
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) {
        const struct torch_global *g = &globals[i];
        if (g->name ? equals(module, module_size, g->module) && equals(name, name_size, g->name)
                    : is_in_module(module, module_size, g->module))
            return g;
    }
    (void)fail(
        t->err, STATUS_UNSUPPORTED,
        "%s: holds the Python object '%s.%s'; only tensors are read, and nothing in a file is executed (save the "
        "weights alone: torch.save(model.state_dict(), PATH), or as .safetensors)",
        t->name, quote_bytes(module, module_size).text, quote_bytes(name, name_size).text);
    return NULL;
}

static enum status bad_arguments(const struct torch_context *t, const char *what)
{
    return fail(t->err, STATUS_FORMAT, "%s: its pickle is damaged: %s", t->name, what);
}

static const struct value *argument(const struct value *args, size_t i)
{
    static const struct value none = {.kind = VALUE_NONE};
    const bool has_items = args->kind == VALUE_TUPLE || args->kind == VALUE_LIST;
    return has_items && i < args->list.count ? args->list.items[i] : &none;
}

/* A shape or strides: a tuple (or list) of numbers from 0. */
static enum status take_numbers(const struct torch_context *t, const struct value *tuple, int rank, int64_t *out)
{
    if ((tuple->kind != VALUE_TUPLE && tuple->kind != VALUE_LIST) || tuple->list.count != (size_t)rank)
        return bad_arguments(t, "a tensor's shape and strides do not match");
    for (int i = 0; i < rank; i++) {
        const struct value *number = tuple->list.items[i];
        if (number->kind != VALUE_INTEGER || number->integer < 0)
            return bad_arguments(t, "a tensor's shape has an entry that is not a whole number of at least 0");
        out[i] = number->integer;
    }
    return STATUS_OK;
}

/* _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks, ...) */
static enum status make_tensor(const struct torch_context *t, struct value *out, const struct value *args)
{
    const struct value *storage = argument(args, 0), *offset = argument(args, 1), *size = argument(args, 2);
    if (storage->kind != VALUE_STORAGE || offset->kind != VALUE_INTEGER || offset->integer < 0 ||
        (size->kind != VALUE_TUPLE && size->kind != VALUE_LIST))
        return bad_arguments(t, "a tensor is not made from a storage, an offset and a shape");
    if (size->list.count > CHECKPOINT_MAX_RANK)
        return fail(t->err, STATUS_UNSUPPORTED, "%s: a tensor has %zu dimensions; at most %d are allowed", t->name,
                    size->list.count, CHECKPOINT_MAX_RANK);
    struct torch_tensor *tensor = arena_alloc(t->arena, sizeof *tensor);
    if (!tensor) return fail_no_memory(t->err, t->name, sizeof *tensor);
    tensor->storage = storage->storage;
    tensor->offset = offset->integer;
    tensor->rank = (int)size->list.count;
    *out = (struct value){.kind = VALUE_TENSOR, .tensor = tensor};
    const enum status status = take_numbers(t, size, tensor->rank, tensor->dim);
    return status != STATUS_OK ? status : take_numbers(t, argument(args, 3), tensor->rank, tensor->stride);
}

enum status torch_call(const struct torch_context *t, struct value *out, const struct value *callable,
                       const struct value *args)
{
    if (callable->kind == VALUE_INERT || (callable->kind == VALUE_GLOBAL && callable->global->kind == IS_INERT)) {
        *out = (struct value){.kind = VALUE_INERT};
        return STATUS_OK;
    }
    if (callable->kind != VALUE_GLOBAL || args->kind != VALUE_TUPLE)
        return bad_arguments(t, "something is called that is not a function");
    switch (callable->global->kind) {
    case MAKES_DICT:
        if (args->list.count != 0) return bad_arguments(t, "an OrderedDict is made from arguments");
        *out = (struct value){.kind = VALUE_DICT};
        return STATUS_OK;
    case MAKES_TENSOR: return make_tensor(t, out, args);
    case MAKES_PARAMETER:
        if (argument(args, 0)->kind != VALUE_TENSOR) return bad_arguments(t, "a parameter is not made from a tensor");
        *out = *argument(args, 0);
        return STATUS_OK;
    default: return bad_arguments(t, "a storage is made without its data");
    }
}

enum status torch_storage_find(const struct torch_context *t, struct value *out, const struct value *id)
{
    const struct value *key = argument(id, 2), *class = argument(id, 1), *count = argument(id, 4);
    if (id->kind != VALUE_TUPLE || !value_is_text(argument(id, 0), "storage") || key->kind != VALUE_STRING ||
        count->kind != VALUE_INTEGER || count->integer < 0)
        return bad_arguments(t, "a persistent id does not name a storage");
    if (class->kind != VALUE_GLOBAL || class->global->kind != IS_STORAGE)
        return bad_arguments(t, "a storage has no element type");
    struct torch_storage *storage = arena_alloc(t->arena, sizeof *storage);
    if (!storage) return fail_no_memory(t->err, t->name, sizeof *storage);
    *storage = (struct torch_storage){
        .key = key->string.text, .key_size = key->string.size, .dtype = class->global->dtype, .count = count->integer};
    /* Files older than torch 1.6 may name a view: (key, offset, count) of the storage of that key. */
    const struct value *view = argument(id, 5);
    if (view->kind != VALUE_NONE) {
        if (view->kind != VALUE_TUPLE || argument(view, 1)->kind != VALUE_INTEGER || argument(view, 1)->integer < 0)
            return bad_arguments(t, "a storage's view is not a key, an offset and a size");
        storage->start = argument(view, 1)->integer;
    }
    *out = (struct value){.kind = VALUE_STORAGE, .storage = storage};
    return STATUS_OK;
}
