/* SPDX-License-Identifier: MIT
 *
 * The machine has a stack, marks (places on the stack from which an operation takes everything above) and a memo
 * (values that are used again). Operations are documented in CPython's Lib/pickletools.py.
 *
 * The first failure sticks in `err`; operations then work on a nil value, and the loop ends. So they hold few checks.
 */
#include "core/io/pickle.h"

#include "core/io/torch_object.h"

#include <string.h>

enum {
    MARK = '(',
    STOP = '.',
    POP = '0',
    POP_MARK = '1',
    DUP = '2',
    PROTO = 0x80,
    FRAME = 0x95,

    NONE = 'N',
    NEW_TRUE = 0x88,
    NEW_FALSE = 0x89,
    BININT = 'J',
    BININT1 = 'K',
    BININT2 = 'M',
    LONG1 = 0x8a,
    LONG4 = 0x8b,
    BINFLOAT = 'G',

    BINSTRING = 'T',
    SHORT_BINSTRING = 'U',
    BINUNICODE = 'X',
    SHORT_BINUNICODE = 0x8c,
    BINUNICODE8 = 0x8d,
    BINBYTES = 'B',
    SHORT_BINBYTES = 'C',
    BINBYTES8 = 0x8e,

    EMPTY_TUPLE = ')',
    TUPLE = 't',
    TUPLE1 = 0x85,
    TUPLE2 = 0x86,
    TUPLE3 = 0x87,
    EMPTY_LIST = ']',
    LIST = 'l',
    APPEND = 'a',
    APPENDS = 'e',
    EMPTY_DICT = '}',
    DICT = 'd',
    SETITEM = 's',
    SETITEMS = 'u',
    EMPTY_SET = 0x8f,
    ADDITEMS = 0x90,
    FROZENSET = 0x91,

    BINPUT = 'q',
    LONG_BINPUT = 'r',
    BINGET = 'h',
    LONG_BINGET = 'j',
    MEMOIZE = 0x94,

    GLOBAL = 'c',
    STACK_GLOBAL = 0x93,
    REDUCE = 'R',
    NEWOBJ = 0x81,
    NEWOBJ_EX = 0x92,
    OBJ = 'o',
    INST = 'i',
    BUILD = 'b',
    BINPERSID = 'Q',
};

enum { HIGHEST_PROTOCOL = 5 };

struct machine {
    struct torch_context context;
    const uint8_t *bytes;
    size_t size, at;
    struct value **stack; /* owned */
    size_t depth, stack_capacity;
    size_t *marks; /* owned; depths */
    size_t mark_count, mark_capacity;
    struct value **memo; /* owned */
    size_t memo_count, memo_capacity;
    struct torch_storage *storages;
    struct value nil;
};

static bool failed(const struct machine *m)
{
    return m->context.err->status != STATUS_OK;
}

static void damaged(struct machine *m, const char *what)
{
    (void)fail(m->context.err, STATUS_FORMAT, "%s: its pickle is damaged at byte %zu: %s", m->context.name, m->at,
               what);
}

static void no_memory(struct machine *m)
{
    (void)fail_no_memory(m->context.err, m->context.name, m->size);
}

/* The next n bytes, n <= 8; zeros after the end. */
static const uint8_t *take(struct machine *m, size_t n)
{
    static const uint8_t zeros[8];
    if (n > m->size - m->at) {
        damaged(m, "it ends too soon");
        return zeros;
    }
    m->at += n;
    return m->bytes + m->at - n;
}

static uint64_t take_number(struct machine *m, size_t bytes)
{
    const uint8_t *digits = take(m, bytes);
    uint64_t value = 0;
    for (size_t i = bytes; i-- > 0;) value = value << 8 | digits[i];
    return value;
}

static const char *take_text(struct machine *m, uint64_t size)
{
    if (size > m->size - m->at) {
        damaged(m, "a string goes past the end");
        return NULL;
    }
    m->at += size;
    return (const char *)m->bytes + m->at - size;
}

static const char *take_line(struct machine *m, size_t *size)
{
    const char *line = (const char *)m->bytes + m->at;
    const char *end = memchr(line, '\n', m->size - m->at);
    *size = end ? (size_t)(end - line) : 0;
    if (!end)
        damaged(m, "a line has no end");
    else
        m->at += *size + 1;
    return line;
}

/* Grows an array of `bytes` a piece to hold `count` pieces. */
static bool reserve(struct machine *m, void *array, size_t *capacity, size_t count, size_t bytes)
{
    void **block = array;
    if (count <= *capacity) return true;
    size_t wanted = *capacity ? *capacity * 2 : 64;
    while (wanted < count) wanted *= 2;
    void *grown = memory_resize(*block, wanted * bytes);
    if (!grown) {
        no_memory(m);
        return false;
    }
    *block = grown;
    *capacity = wanted;
    return true;
}

static void push_value(struct machine *m, struct value *value)
{
    if (!reserve(m, &m->stack, &m->stack_capacity, m->depth + 1, sizeof *m->stack)) return;
    m->stack[m->depth++] = value;
}

static struct value *fresh(struct machine *m, enum value_kind kind)
{
    struct value *value = arena_alloc(m->context.arena, sizeof *value);
    if (!value) {
        no_memory(m);
        value = &m->nil;
    }
    *value = (struct value){.kind = kind};
    return value;
}

static struct value *push(struct machine *m, enum value_kind kind)
{
    struct value *value = fresh(m, kind);
    push_value(m, value);
    return value;
}

static size_t floor_of(const struct machine *m)
{
    return m->mark_count > 0 ? m->marks[m->mark_count - 1] : 0;
}

static struct value *top(struct machine *m)
{
    if (m->depth > floor_of(m)) return m->stack[m->depth - 1];
    damaged(m, "the stack is empty");
    m->nil = (struct value){0};
    return &m->nil;
}

static struct value *pop(struct machine *m)
{
    struct value *value = top(m);
    if (!failed(m)) m->depth--;
    return value;
}

/* Removes the newest mark; the values above it, *count of them, stay valid until the next push. */
static struct value **pop_mark(struct machine *m, size_t *count)
{
    *count = 0;
    if (m->mark_count == 0) {
        damaged(m, "a mark is missing");
        return NULL;
    }
    const size_t from = m->marks[--m->mark_count];
    *count = m->depth - from;
    m->depth = from;
    return m->stack + from;
}

static void append(struct machine *m, struct value *list, struct value *const *items, size_t count)
{
    if (list->kind == VALUE_INERT || count == 0) return;
    if (list->list.count + count > list->list.capacity) {
        size_t capacity = list->list.capacity * 2;
        if (capacity < list->list.count + count) capacity = list->list.count + count;
        struct value **grown = arena_alloc(m->context.arena, capacity * sizeof *grown);
        if (!grown) {
            no_memory(m);
            return;
        }
        if (list->list.count > 0) memcpy(grown, list->list.items, list->list.count * sizeof *grown);
        list->list.items = grown;
        list->list.capacity = capacity;
    }
    memcpy(list->list.items + list->list.count, items, count * sizeof *items);
    list->list.count += count;
}

static bool do_stack(struct machine *m, int op)
{
    size_t count;
    switch (op) {
    case PROTO:
        if (*take(m, 1) > HIGHEST_PROTOCOL) damaged(m, "its protocol is newer than 5");
        return true;
    case FRAME: (void)take(m, 8); return true;
    case MARK:
        if (reserve(m, &m->marks, &m->mark_capacity, m->mark_count + 1, sizeof *m->marks))
            m->marks[m->mark_count++] = m->depth;
        return true;
    case POP: (void)pop(m); return true;
    case POP_MARK: (void)pop_mark(m, &count); return true;
    case DUP: push_value(m, top(m)); return true;
    default: return false;
    }
}

/* Two's complement, little-endian. No number that matters is longer than 64 bits. */
static void push_long(struct machine *m, uint64_t size)
{
    const char *digits = take_text(m, size);
    struct value *value = push(m, size <= 8 ? VALUE_INTEGER : VALUE_INERT);
    if (!digits || size == 0 || size > 8) return;
    uint64_t bits = digits[size - 1] & 0x80 ? UINT64_MAX : 0;
    for (size_t i = (size_t)size; i-- > 0;) bits = bits << 8 | (uint8_t)digits[i];
    value->integer = (int64_t)bits;
}

static void push_real(struct machine *m)
{
    const uint8_t *digits = take(m, 8); /* big-endian */
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++) bits = bits << 8 | digits[i];
    memcpy(&push(m, VALUE_REAL)->real, &bits, sizeof bits);
}

static bool do_number(struct machine *m, int op)
{
    switch (op) {
    case NONE: (void)push(m, VALUE_NONE); return true;
    case NEW_TRUE: push(m, VALUE_BOOL)->integer = 1; return true;
    case NEW_FALSE: (void)push(m, VALUE_BOOL); return true;
    case BININT: push(m, VALUE_INTEGER)->integer = (int32_t)take_number(m, 4); return true;
    case BININT1: push(m, VALUE_INTEGER)->integer = (int64_t)take_number(m, 1); return true;
    case BININT2: push(m, VALUE_INTEGER)->integer = (int64_t)take_number(m, 2); return true;
    case LONG1: push_long(m, take_number(m, 1)); return true;
    case LONG4: push_long(m, take_number(m, 4)); return true;
    case BINFLOAT: push_real(m); return true;
    default: return false;
    }
}

static bool do_string(struct machine *m, int op)
{
    size_t length_bytes;
    switch (op) {
    case SHORT_BINSTRING:
    case SHORT_BINUNICODE:
    case SHORT_BINBYTES: length_bytes = 1; break;
    case BINSTRING:
    case BINUNICODE:
    case BINBYTES: length_bytes = 4; break;
    case BINUNICODE8:
    case BINBYTES8: length_bytes = 8; break;
    default: return false;
    }
    const uint64_t size = take_number(m, length_bytes);
    const char *text = take_text(m, size);
    struct value *value = push(m, VALUE_STRING);
    if (text) {
        value->string.text = text;
        value->string.size = (size_t)size;
    }
    return true;
}

static void push_tuple(struct machine *m, size_t count)
{
    if (m->depth - floor_of(m) < count) {
        damaged(m, "a tuple has too few items");
        return;
    }
    struct value *tuple = fresh(m, VALUE_TUPLE);
    m->depth -= count;
    append(m, tuple, m->stack + m->depth, count);
    push_value(m, tuple);
}

static void push_marked(struct machine *m, enum value_kind kind)
{
    size_t count;
    struct value **items = pop_mark(m, &count);
    if (kind == VALUE_DICT && count % 2 != 0) damaged(m, "a dict has a key without a value");
    struct value *list = fresh(m, kind);
    append(m, list, items, count);
    push_value(m, list);
}

/* Adds what is above the mark (or, without one, `count` values) to the list or dict below. */
static void extend(struct machine *m, enum value_kind kind, size_t count)
{
    struct value **items;
    if (count == 0) {
        items = pop_mark(m, &count);
    } else {
        if (m->depth - floor_of(m) < count) {
            damaged(m, "the stack is empty");
            return;
        }
        m->depth -= count;
        items = m->stack + m->depth;
    }
    struct value *list = top(m);
    if (list->kind != kind && list->kind != VALUE_INERT) damaged(m, "items are added to what cannot hold them");
    if (kind == VALUE_DICT && count % 2 != 0) damaged(m, "a dict has a key without a value");
    if (!failed(m)) append(m, list, items, count);
}

static bool do_container(struct machine *m, int op)
{
    size_t count;
    switch (op) {
    case EMPTY_TUPLE: push_tuple(m, 0); return true;
    case TUPLE1: push_tuple(m, 1); return true;
    case TUPLE2: push_tuple(m, 2); return true;
    case TUPLE3: push_tuple(m, 3); return true;
    case TUPLE: push_marked(m, VALUE_TUPLE); return true;
    case EMPTY_LIST: (void)push(m, VALUE_LIST); return true;
    case LIST: push_marked(m, VALUE_LIST); return true;
    case APPEND: extend(m, VALUE_LIST, 1); return true;
    case APPENDS: extend(m, VALUE_LIST, 0); return true;
    case EMPTY_DICT: (void)push(m, VALUE_DICT); return true;
    case DICT: push_marked(m, VALUE_DICT); return true;
    case SETITEM: extend(m, VALUE_DICT, 2); return true;
    case SETITEMS: extend(m, VALUE_DICT, 0); return true;
    case EMPTY_SET: (void)push(m, VALUE_INERT); return true;
    case ADDITEMS: (void)pop_mark(m, &count); return true;
    case FROZENSET:
        (void)pop_mark(m, &count);
        (void)push(m, VALUE_INERT);
        return true;
    default: return false;
    }
}

static void put(struct machine *m, uint64_t index)
{
    struct value *value = top(m);
    /* A number for each PUT is all that a pickler needs, and each takes at least a byte. */
    if (index >= m->size) {
        damaged(m, "a memo number is too large");
        return;
    }
    if (!reserve(m, &m->memo, &m->memo_capacity, (size_t)index + 1, sizeof *m->memo)) return;
    while (m->memo_count <= index) m->memo[m->memo_count++] = NULL;
    m->memo[index] = value;
}

static void get(struct machine *m, uint64_t index)
{
    if (index < m->memo_count && m->memo[index])
        push_value(m, m->memo[index]);
    else
        damaged(m, "a memo number is not in use");
}

static bool do_memo(struct machine *m, int op)
{
    switch (op) {
    case BINPUT: put(m, take_number(m, 1)); return true;
    case LONG_BINPUT: put(m, take_number(m, 4)); return true;
    case MEMOIZE: put(m, m->memo_count); return true;
    case BINGET: get(m, take_number(m, 1)); return true;
    case LONG_BINGET: get(m, take_number(m, 4)); return true;
    default: return false;
    }
}

static struct value *global(struct machine *m, const char *module, size_t module_size, const char *name,
                            size_t name_size)
{
    struct value *value = fresh(m, VALUE_GLOBAL);
    if (!failed(m)) value->global = torch_global_find(&m->context, module, module_size, name, name_size);
    return value;
}

static struct value *global_of_lines(struct machine *m)
{
    size_t module_size, name_size;
    const char *module = take_line(m, &module_size);
    const char *name = take_line(m, &name_size);
    return global(m, module, module_size, name, name_size);
}

static void push_stack_global(struct machine *m)
{
    const struct value *name = pop(m), *module = pop(m);
    if (name->kind != VALUE_STRING || module->kind != VALUE_STRING)
        damaged(m, "a global's name is not a string");
    else
        push_value(m, global(m, module->string.text, module->string.size, name->string.text, name->string.size));
}

static void push_call(struct machine *m, const struct value *callable, const struct value *args)
{
    struct value *value = fresh(m, VALUE_NONE);
    if (!failed(m) && torch_call(&m->context, value, callable, args) == STATUS_OK) push_value(m, value);
}

/* `class` NULL: the first value above the mark. */
static void push_instance(struct machine *m, const struct value *class)
{
    push_marked(m, VALUE_TUPLE);
    struct value *args = pop(m);
    if (!failed(m) && !class) {
        if (args->list.count == 0) {
            damaged(m, "an object has no class");
            return;
        }
        class = args->list.items[0];
        args->list.items++;
        args->list.count--;
    }
    if (!failed(m)) push_call(m, class, args);
}

/* State of an object: ordered dicts carry a note on versions, and parameters may have attributes. Neither is needed. */
static void build(struct machine *m)
{
    (void)pop(m);
    const enum value_kind kind = top(m)->kind;
    if (kind != VALUE_DICT && kind != VALUE_TENSOR && kind != VALUE_INERT)
        damaged(m, "state is given to what has none");
}

static void push_storage(struct machine *m)
{
    const struct value *id = pop(m);
    struct value *value = fresh(m, VALUE_NONE);
    if (failed(m) || torch_storage_find(&m->context, value, id) != STATUS_OK) return;
    value->storage->next = m->storages;
    m->storages = value->storage;
    push_value(m, value);
}

static bool do_object(struct machine *m, int op)
{
    const struct value *args;
    switch (op) {
    case GLOBAL: push_value(m, global_of_lines(m)); return true;
    case STACK_GLOBAL: push_stack_global(m); return true;
    case NEWOBJ_EX: (void)pop(m); /* keyword arguments */ /* fall through */
    case REDUCE:
    case NEWOBJ:
        args = pop(m);
        push_call(m, pop(m), args);
        return true;
    case INST: push_instance(m, global_of_lines(m)); return true;
    case OBJ: push_instance(m, NULL); return true;
    case BUILD: build(m); return true;
    case BINPERSID: push_storage(m); return true;
    default: return false;
    }
}

static void run(struct machine *m)
{
    while (!failed(m)) {
        const int op = *take(m, 1);
        if (op == STOP) return;
        if (do_string(m, op) || do_memo(m, op) || do_container(m, op) || do_number(m, op) || do_object(m, op) ||
            do_stack(m, op))
            continue;
        (void)fail(m->context.err, STATUS_FORMAT,
                   "%s: its pickle is damaged at byte %zu: 0x%02x is no operation that data need", m->context.name,
                   m->at - 1, (unsigned)op);
    }
}

enum status pickle_parse(struct pickle *out, struct arena *arena, const uint8_t *bytes, size_t size, const char *name,
                         struct error *err)
{
    *out = (struct pickle){0};
    struct machine m = {.context = {arena, name, err}, .bytes = bytes, .size = size};
    /* There is always a stack to point into, even if nothing was pushed. */
    if (reserve(&m, &m.stack, &m.stack_capacity, 1, sizeof *m.stack)) run(&m);
    if (!failed(&m)) *out = (struct pickle){.root = pop(&m), .storages = m.storages, .end = m.at};
    memory_free(m.stack);
    memory_free(m.marks);
    memory_free(m.memo);
    return err->status;
}

bool value_is_text(const struct value *value, const char *text)
{
    return value->kind == VALUE_STRING && value->string.size == strlen(text) &&
           memcmp(value->string.text, text, value->string.size) == 0;
}

struct value *value_get(const struct value *dict, const char *key)
{
    if (!dict || dict->kind != VALUE_DICT) return NULL;
    for (size_t i = dict->list.count; i >= 2; i -= 2)
        if (value_is_text(dict->list.items[i - 2], key)) return dict->list.items[i - 1];
    return NULL;
}

const char *value_kind_name(enum value_kind kind)
{
    static const char *const names[] = {"None",   "a bool", "a number", "a number",  "a string", "a tuple",
                                        "a list", "a dict", "a class",  "a storage", "a tensor", "a Python object"};
    return names[kind];
}
