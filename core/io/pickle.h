/* SPDX-License-Identifier: MIT
 *
 * A pickle is a program for a small stack machine, and Python's own machine may call any function the program names.
 * This one cannot call anything: it builds numbers, strings, tuples, lists, dicts, and the tensors of PyTorch
 * (torch_object.h). A program that names anything else is refused, and the sentence says what it named.
 *
 *     struct pickle p;
 *     pickle_parse(&p, &arena, bytes, size, "model.ckpt", &err);
 *     const struct value *weights = value_get(p.root, "state_dict");
 *
 * Values live in the arena; strings point into the bytes. Values may refer to each other in circles, so whoever walks
 * them has to bound the depth. Protocols 2 to 5 (torch writes 2), and of their operations those that data need.
 */
#ifndef IO_PICKLE_H
#define IO_PICKLE_H

#include "core/base/dtype.h"
#include "core/base/memory.h"
#include "core/base/status.h"
#include "core/io/checkpoint.h"

#include <stdbool.h>

/* Each byte of a program may cost some sixty bytes of memory. Real ones take a few hundred kilobytes. */
enum { PICKLE_MAX_BYTES = 8 << 20 };

enum value_kind {
    VALUE_NONE,
    VALUE_BOOL,
    VALUE_INTEGER,
    VALUE_REAL,
    VALUE_STRING, /* text or bytes */
    VALUE_TUPLE,
    VALUE_LIST,
    VALUE_DICT, /* items: key, value, key, value, ... */
    VALUE_GLOBAL,
    VALUE_STORAGE,
    VALUE_TENSOR,
    VALUE_INERT, /* something known to lie beside the weights, of which nothing is kept */
};

struct value {
    enum value_kind kind;
    union {
        int64_t integer; /* also BOOL */
        double real;
        struct {
            const char *text; /* does not end in NUL */
            size_t size;
        } string;
        struct {
            struct value **items;
            size_t count, capacity;
        } list; /* TUPLE, LIST, DICT */
        const struct torch_global *global;
        struct torch_storage *storage;
        struct torch_tensor *tensor;
    };
};

struct pickle {
    struct value *root;
    struct torch_storage *storages; /* all that were named, newest first */
    size_t end;                     /* bytes read; what follows is no part of the pickle */
};

MUST_CHECK enum status pickle_parse(struct pickle *out, struct arena *arena, const uint8_t *bytes, size_t size,
                                    const char *name, struct error *err);

/* The last entry with this key; NULL if there is none or `dict` is NULL or no dict. */
struct value *value_get(const struct value *dict, const char *key);
bool value_is_text(const struct value *value, const char *text);
const char *value_kind_name(enum value_kind kind); /* "a list", for sentences */

#endif
