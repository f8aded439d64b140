/* SPDX-License-Identifier: MIT
 *
 * All is read through `take`, which hands out bytes only as far as the file goes; what a file counts is not believed
 * but met one by one, so a lie ends at the file's end.
 */
#include "core/io/gguf.h"

#include "core/io/charset.h"
#include "core/io/quote.h"

#include <inttypes.h>
#include <string.h>

enum { DEFAULT_ALIGNMENT = 32, MOST_ALIGNMENT = 1 << 20 };

struct source {
    struct checkpoint *c;
    const char *name, *prefix;
    const unsigned char *bytes;
    uint64_t size, at;
    uint64_t alignment;
    struct error *err;
};

struct text {
    const char *bytes;
    uint64_t size;
};

/* One that C and a sentence can hold. */
static bool is_plain(struct text text)
{
    return !memchr(text.bytes, 0, text.size) && utf8_valid(text.bytes, text.size);
}

bool gguf_recognise(const unsigned char *bytes, size_t size)
{
    return size >= 4 && memcmp(bytes, "GGUF", 4) == 0;
}

/* ---- reading ---- */

static enum status take(struct source *s, uint64_t size, const unsigned char **out)
{
    if (size > s->size - s->at)
        return fail(s->err, STATUS_FORMAT,
                    "%s: %" PRIu64 " bytes are needed at byte %" PRIu64 " of %" PRIu64
                    "; the file is truncated or damaged",
                    s->name, size, s->at, s->size);
    *out = s->bytes + s->at;
    s->at += size;
    return STATUS_OK;
}

static enum status take_u32(struct source *s, uint32_t *out)
{
    const unsigned char *bytes = NULL;
    const enum status status = take(s, sizeof *out, &bytes);
    if (status == STATUS_OK) memcpy(out, bytes, sizeof *out);
    return status;
}

static enum status take_u64(struct source *s, uint64_t *out)
{
    const unsigned char *bytes = NULL;
    const enum status status = take(s, sizeof *out, &bytes);
    if (status == STATUS_OK) memcpy(out, bytes, sizeof *out);
    return status;
}

static enum status take_text(struct source *s, struct text *out)
{
    const unsigned char *bytes = NULL;
    enum status status = take_u64(s, &out->size);
    if (status == STATUS_OK) status = take(s, out->size, &bytes);
    if (status == STATUS_OK) out->bytes = (const char *)bytes;
    return status;
}

/* ---- pairs ---- */

enum kind { KIND_U32 = 4, KIND_TEXT = 8, KIND_MANY = 9, KIND_COUNT = 13 };

/* Bytes of a value; 0: its size is said with it. */
static const unsigned char kind_bytes[KIND_COUNT] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

static enum status refuse_kind(const struct source *s, struct text key, uint32_t kind)
{
    return fail(s->err, STATUS_UNSUPPORTED,
                "%s: the value of '%s' is of kind %" PRIu32 "; numbers, texts and lists of them can be read", s->name,
                quote_bytes(key.bytes, key.size).text, kind);
}

static enum status skip_many(struct source *s, struct text key)
{
    const unsigned char *skipped;
    uint32_t kind;
    uint64_t count, bytes;
    struct text text;
    enum status status = take_u32(s, &kind);
    if (status == STATUS_OK) status = take_u64(s, &count);
    if (status != STATUS_OK) return status;
    if (kind >= KIND_COUNT || kind == KIND_MANY) return refuse_kind(s, key, kind);
    if (kind == KIND_TEXT) {
        for (uint64_t i = 0; i < count && status == STATUS_OK; i++) status = take_text(s, &text);
        return status;
    }
    if (__builtin_mul_overflow(count, (uint64_t)kind_bytes[kind], &bytes)) bytes = UINT64_MAX;
    return take(s, bytes, &skipped);
}

/* Plain texts become metadata. */
static enum status note_text(struct source *s, struct text key)
{
    struct text value;
    const enum status status = take_text(s, &value);
    if (status != STATUS_OK || !is_plain(key) || !is_plain(value)) return status;
    const char *own = arena_strndup(&s->c->arena, key.bytes, key.size);
    if (!own) return fail_no_memory(s->err, s->name, key.size);
    return checkpoint_note(s->c, own, value.bytes, value.size, s->err);
}

static enum status read_alignment(struct source *s)
{
    uint32_t alignment;
    const enum status status = take_u32(s, &alignment);
    if (status != STATUS_OK) return status;
    if (alignment == 0 || alignment > MOST_ALIGNMENT || (alignment & (alignment - 1)) != 0)
        return fail(s->err, STATUS_FORMAT, "%s: general.alignment is %" PRIu32 "; a power of two up to %d is allowed",
                    s->name, alignment, MOST_ALIGNMENT);
    s->alignment = alignment;
    return STATUS_OK;
}

static enum status read_pair(struct source *s)
{
    static const char alignment[] = "general.alignment";
    const unsigned char *skipped;
    struct text key;
    uint32_t kind;
    enum status status = take_text(s, &key);
    if (status == STATUS_OK) status = take_u32(s, &kind);
    if (status != STATUS_OK) return status;
    if (kind >= KIND_COUNT) return refuse_kind(s, key, kind);
    if (kind == KIND_TEXT) return note_text(s, key);
    if (kind == KIND_MANY) return skip_many(s, key);
    if (kind == KIND_U32 && key.size == sizeof alignment - 1 && memcmp(key.bytes, alignment, key.size) == 0)
        return read_alignment(s);
    return take(s, kind_bytes[kind], &skipped);
}

/* ---- tensors ---- */

/* ggml's types by their numbers. Those with DTYPE_COUNT cannot be read; others are no longer in use. */
static const struct {
    const char *name;
    enum dtype dtype;
} ggml_types[] = {
    [0] = {"F32", DTYPE_F32},       [1] = {"F16", DTYPE_F16},        [2] = {"Q4_0", DTYPE_Q4_0},
    [3] = {"Q4_1", DTYPE_COUNT},    [6] = {"Q5_0", DTYPE_COUNT},     [7] = {"Q5_1", DTYPE_COUNT},
    [8] = {"Q8_0", DTYPE_Q8_0},     [9] = {"Q8_1", DTYPE_COUNT},     [10] = {"Q2_K", DTYPE_COUNT},
    [11] = {"Q3_K", DTYPE_COUNT},   [12] = {"Q4_K", DTYPE_COUNT},    [13] = {"Q5_K", DTYPE_COUNT},
    [14] = {"Q6_K", DTYPE_COUNT},   [15] = {"Q8_K", DTYPE_COUNT},    [16] = {"IQ2_XXS", DTYPE_COUNT},
    [17] = {"IQ2_XS", DTYPE_COUNT}, [18] = {"IQ3_XXS", DTYPE_COUNT}, [19] = {"IQ1_S", DTYPE_COUNT},
    [20] = {"IQ4_NL", DTYPE_COUNT}, [21] = {"IQ3_S", DTYPE_COUNT},   [22] = {"IQ2_S", DTYPE_COUNT},
    [23] = {"IQ4_XS", DTYPE_COUNT}, [24] = {"I8", DTYPE_I8},         [25] = {"I16", DTYPE_I16},
    [26] = {"I32", DTYPE_I32},      [27] = {"I64", DTYPE_I64},       [28] = {"F64", DTYPE_F64},
    [29] = {"IQ1_M", DTYPE_COUNT},  [30] = {"BF16", DTYPE_BF16},     [34] = {"TQ1_0", DTYPE_COUNT},
    [35] = {"TQ2_0", DTYPE_COUNT},
};

static enum status find_type(const struct source *s, const char *tensor, uint32_t type, enum dtype *dtype)
{
    const bool known = type < sizeof ggml_types / sizeof *ggml_types && ggml_types[type].name;
    *dtype = known ? ggml_types[type].dtype : DTYPE_COUNT;
    if (*dtype != DTYPE_COUNT) return STATUS_OK;
    return fail(s->err, STATUS_UNSUPPORTED,
                "%s: tensor '%s' is of ggml's type %" PRIu32 " (%s); F32, F16, BF16, Q8_0, Q4_0, F64 and whole numbers "
                "can be read",
                s->name, quote(tensor).text, type, known ? ggml_types[type].name : "unknown");
}

static enum status read_name(struct source *s, const char **out)
{
    struct text name;
    const enum status status = take_text(s, &name);
    if (status != STATUS_OK) return status;
    if (name.size >= CHECKPOINT_NAME_BYTES || !is_plain(name))
        return fail(s->err, STATUS_FORMAT,
                    "%s: a tensor's name '%s' has %" PRIu64
                    " bytes; at most %d of UTF-8 are allowed, and none of them 0",
                    s->name, quote_bytes(name.bytes, name.size).text, name.size, CHECKPOINT_NAME_BYTES - 1);
    *out = arena_strndup(&s->c->arena, name.bytes, name.size);
    return *out ? STATUS_OK : fail_no_memory(s->err, s->name, name.size);
}

/* The innermost dimension comes first there, and last here. */
static enum status read_shape(struct source *s, struct tensor *tensor)
{
    uint32_t rank;
    enum status status = take_u32(s, &rank);
    if (status != STATUS_OK) return status;
    if (rank > CHECKPOINT_MAX_RANK)
        return fail(s->err, STATUS_UNSUPPORTED, "%s: tensor '%s' has %" PRIu32 " dimensions; at most %d are allowed",
                    s->name, quote(tensor->name).text, rank, CHECKPOINT_MAX_RANK);
    tensor->rank = (int)rank;
    for (int i = tensor->rank - 1; i >= 0; i--) {
        uint64_t dim;
        status = take_u64(s, &dim);
        if (status != STATUS_OK) return status;
        if (dim > INT64_MAX)
            return fail(s->err, STATUS_FORMAT, "%s: tensor '%s' has a dimension of %" PRIu64 " elements", s->name,
                        quote(tensor->name).text, dim);
        tensor->dim[i] = (int64_t)dim;
    }
    return STATUS_OK;
}

/* Its data are not there yet: they are `offset` behind where the data will turn out to begin. */
static enum status read_description(struct source *s, uint64_t *end)
{
    struct tensor tensor = {0};
    uint32_t type;
    uint64_t offset, bytes;
    enum status status = read_name(s, &tensor.name);
    if (status == STATUS_OK) status = read_shape(s, &tensor);
    if (status == STATUS_OK) status = take_u32(s, &type);
    if (status == STATUS_OK) status = find_type(s, tensor.name, type, &tensor.dtype);
    if (status == STATUS_OK) status = take_u64(s, &offset);
    if (status != STATUS_OK) return status;
    const int64_t block = (int64_t)dtype_block(tensor.dtype), row = tensor.rank ? tensor.dim[tensor.rank - 1] : 1;
    if (row % block != 0)
        return fail(s->err, STATUS_FORMAT,
                    "%s: tensor '%s' is %s and has rows of %" PRId64 " elements; multiples of %" PRId64 " are allowed",
                    s->name, quote(tensor.name).text, dtype_name(tensor.dtype), row, block);
    if (!checkpoint_measure(tensor.rank, tensor.dim, tensor.dtype, &tensor.count, &bytes))
        return fail(s->err, STATUS_FORMAT, "%s: tensor '%s' has a shape of more elements than memory can hold", s->name,
                    quote(tensor.name).text);
    const uint64_t begin = (*end + s->alignment - 1) / s->alignment * s->alignment;
    if (offset != begin)
        return fail(s->err, STATUS_FORMAT,
                    "%s: tensor '%s' begins at byte %" PRIu64 " of the data; after the one before it must be %" PRIu64,
                    s->name, quote(tensor.name).text, offset, begin);
    if (begin > s->size || bytes > s->size - begin)
        return fail(s->err, STATUS_FORMAT,
                    "%s: tensor '%s' needs %" PRIu64 " bytes at byte %" PRIu64 " of the data, and the file has %" PRIu64
                    "; it is truncated or damaged",
                    s->name, quote(tensor.name).text, bytes, begin, s->size);
    *end = begin + bytes;
    tensor.data = s->bytes + begin;
    return checkpoint_add(s->c, s->prefix, &tensor, s->err);
}

/* The descriptions are read; what they point to begins at the next multiple of the alignment. */
static enum status place_data(struct source *s, int first, uint64_t data_bytes)
{
    const uint64_t begin = (s->at + s->alignment - 1) / s->alignment * s->alignment;
    if (data_bytes > 0 && (begin > s->size || data_bytes > s->size - begin))
        return fail(s->err, STATUS_FORMAT,
                    "%s: the tensors end at byte %" PRIu64 " of %" PRIu64 "; the file is truncated or damaged", s->name,
                    begin + data_bytes, s->size);
    for (int i = first; i < s->c->count; i++) {
        struct tensor *tensor = &s->c->tensors[i];
        tensor->data = tensor->count > 0 ? (const unsigned char *)tensor->data + begin : s->bytes;
    }
    return STATUS_OK;
}

enum status gguf_read(struct checkpoint *c, const unsigned char *bytes, size_t size, const char *name,
                      const char *prefix, struct error *err)
{
    struct source s = {c, name, prefix, bytes, size, 0, DEFAULT_ALIGNMENT, err};
    const unsigned char *magic;
    const int first = c->count;
    uint32_t version;
    uint64_t tensors, pairs, end = 0;
    enum status status = take(&s, 4, &magic);
    if (status == STATUS_OK) status = take_u32(&s, &version);
    if (status != STATUS_OK) return status;
    if (version != 2 && version != 3)
        return fail(err, STATUS_UNSUPPORTED, "%s: GGUF of version %" PRIu32 "; 2 and 3, little-endian, can be read",
                    name, version);
    status = take_u64(&s, &tensors);
    if (status == STATUS_OK) status = take_u64(&s, &pairs);
    for (uint64_t i = 0; status == STATUS_OK && i < pairs; i++) status = read_pair(&s);
    for (uint64_t i = 0; status == STATUS_OK && i < tensors; i++) status = read_description(&s, &end);
    return status == STATUS_OK ? place_data(&s, first, end) : status;
}
