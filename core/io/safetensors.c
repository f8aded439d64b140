/* SPDX-License-Identifier: MIT */
#include "core/io/safetensors.h"

#include "core/io/quote.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* What one file's tensors are read with. */
struct source {
    struct checkpoint *c;
    const char *name, *prefix;
    const unsigned char *data;
    uint64_t data_bytes;
    struct error *err;
};

struct range {
    uint64_t begin, end;
    const char *tensor; /* borrowed from the JSON */
};

static uint64_t read_u64(const unsigned char *bytes)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

bool safetensors_recognise(const unsigned char *bytes, size_t size)
{
    return size >= 9 && bytes[8] == '{' && bytes[7] == 0 && bytes[6] == 0 && bytes[5] == 0;
}

static enum status parse_dtype(const struct source *s, const char *tensor, const json_t *value, enum dtype *dtype)
{
    const char *text = json_string_value(value);
    if (!text) return fail(s->err, STATUS_FORMAT, "%s: tensor '%s' has no dtype", s->name, quote(tensor).text);
    if (dtype_find(text, dtype) && dtype_block(*dtype) == 1) return STATUS_OK; /* the format knows no blocks */
    return fail(s->err, STATUS_UNSUPPORTED,
                "%s: tensor '%s' has dtype '%s'; F32, F16, BF16, F64, I64, I32, I16, I8, U8 and BOOL can be read",
                s->name, quote(tensor).text, quote(text).text);
}

static enum status parse_shape(const struct source *s, const json_t *shape, struct tensor *out)
{
    const size_t rank = json_array_size(shape);
    if (!json_is_array(shape))
        return fail(s->err, STATUS_FORMAT, "%s: tensor '%s' has no shape", s->name, quote(out->name).text);
    if (rank > CHECKPOINT_MAX_RANK)
        return fail(s->err, STATUS_UNSUPPORTED, "%s: tensor '%s' has %zu dimensions; at most %d are allowed", s->name,
                    quote(out->name).text, rank, CHECKPOINT_MAX_RANK);
    out->rank = (int)rank;
    for (size_t i = 0; i < rank; i++) {
        const json_t *dim = json_array_get(shape, i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return fail(s->err, STATUS_FORMAT, "%s: tensor '%s': dimension %zu is not a whole number of at least 0",
                        s->name, quote(out->name).text, i);
        out->dim[i] = json_integer_value(dim);
    }
    return STATUS_OK;
}

static enum status parse_range(const struct source *s, const json_t *offsets, const struct tensor *tensor,
                               uint64_t bytes, struct range *out)
{
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
        return fail(s->err, STATUS_FORMAT, "%s: tensor '%s': data_offsets must be two numbers, begin and end", s->name,
                    quote(tensor->name).text);
    *out = (struct range){(uint64_t)json_integer_value(begin), (uint64_t)json_integer_value(end), tensor->name};
    if (out->end > s->data_bytes)
        return fail(s->err, STATUS_FORMAT,
                    "%s: tensor '%s' ends at byte %" PRIu64 " of %" PRIu64 "; the file is truncated or damaged",
                    s->name, quote(tensor->name).text, out->end, s->data_bytes);
    if (out->end - out->begin != bytes)
        return fail(s->err, STATUS_FORMAT,
                    "%s: tensor '%s' takes %" PRIu64 " bytes, but its shape and dtype need %" PRIu64, s->name,
                    quote(tensor->name).text, out->end - out->begin, bytes);
    return STATUS_OK;
}

static enum status parse_tensor(const struct source *s, const char *name, const json_t *value, struct range *range)
{
    struct tensor tensor = {.name = name};
    if (!json_is_object(value))
        return fail(s->err, STATUS_FORMAT, "%s: tensor '%s' is not described by an object", s->name, quote(name).text);
    enum status status = parse_dtype(s, name, json_object_get(value, "dtype"), &tensor.dtype);
    if (status == STATUS_OK) status = parse_shape(s, json_object_get(value, "shape"), &tensor);
    if (status != STATUS_OK) return status;
    uint64_t bytes;
    if (!checkpoint_measure(tensor.rank, tensor.dim, tensor.dtype, &tensor.count, &bytes))
        return fail(s->err, STATUS_FORMAT, "%s: tensor '%s' has a shape of more elements than memory can hold", s->name,
                    quote(name).text);
    status = parse_range(s, json_object_get(value, "data_offsets"), &tensor, bytes, range);
    if (status != STATUS_OK) return status;
    tensor.data = s->data + range->begin;
    return checkpoint_add(s->c, s->prefix, &tensor, s->err);
}

static enum status parse_metadata(const struct source *s, json_t *metadata)
{
    if (!json_is_object(metadata))
        return fail(s->err, STATUS_FORMAT, "%s: __metadata__ is not an object of strings", s->name);
    const char *key;
    json_t *value;
    json_object_foreach (metadata, key, value) {
        if (!json_is_string(value))
            return fail(s->err, STATUS_FORMAT, "%s: __metadata__ entry '%s' is not a string", s->name, quote(key).text);
        const enum status status =
            checkpoint_note(s->c, key, json_string_value(value), json_string_length(value), s->err);
        if (status != STATUS_OK) return status;
    }
    return STATUS_OK;
}

static int compare_ranges(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* Overlapping tensors are a lie, and holes can hide another file: the format forbids both. */
static enum status check_cover(const struct source *s, struct range *ranges, size_t count)
{
    uint64_t at = 0;
    qsort(ranges, count, sizeof *ranges, compare_ranges);
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].begin < at)
            return fail(s->err, STATUS_FORMAT,
                        "%s: tensor '%s' begins at byte %" PRIu64 ", inside another that ends at %" PRIu64, s->name,
                        quote(ranges[i].tensor).text, ranges[i].begin, at);
        if (ranges[i].begin > at)
            return fail(s->err, STATUS_FORMAT,
                        "%s: bytes %" PRIu64 " to %" PRIu64 ", before tensor '%s', belong to no tensor", s->name, at,
                        ranges[i].begin, quote(ranges[i].tensor).text);
        at = ranges[i].end;
    }
    if (at != s->data_bytes)
        return fail(s->err, STATUS_FORMAT, "%s: the tensors end at byte %" PRIu64 ", but the file goes on to %" PRIu64,
                    s->name, at, s->data_bytes);
    return STATUS_OK;
}

static enum status parse_header(const struct source *s, json_t *header)
{
    struct range *ranges = memory_alloc((json_object_size(header) + 1) * sizeof *ranges);
    if (!ranges) return fail_no_memory(s->err, s->name, json_object_size(header) * sizeof *ranges);
    enum status status = STATUS_OK;
    size_t count = 0;
    const char *key;
    json_t *value;
    json_object_foreach (header, key, value) {
        if (strcmp(key, "__metadata__") == 0)
            status = parse_metadata(s, value);
        else
            status = parse_tensor(s, key, value, &ranges[count++]);
        if (status != STATUS_OK) goto done;
    }
    status = check_cover(s, ranges, count);
done:
    memory_free(ranges);
    return status;
}

enum status safetensors_read(struct checkpoint *c, const unsigned char *bytes, size_t size, const char *name,
                             const char *prefix, struct error *err)
{
    if (size < 9) return fail(err, STATUS_FORMAT, "%s: %zu bytes are too few for a safetensors file", name, size);
    const uint64_t length = read_u64(bytes);
    if (length > SAFETENSORS_MAX_HEADER)
        return fail(err, STATUS_FORMAT, "%s: the header claims %" PRIu64 " bytes; at most %d are allowed", name, length,
                    SAFETENSORS_MAX_HEADER);
    if (length > size - 8)
        return fail(err, STATUS_FORMAT, "%s: the header ends at byte %" PRIu64 " of %zu; the file is truncated", name,
                    length + 8, size);
    json_error_t fault;
    json_t *header = json_loadb((const char *)bytes + 8, (size_t)length, JSON_REJECT_DUPLICATES, &fault);
    if (!header) {
        if (json_error_code(&fault) == json_error_out_of_memory) return fail_no_memory(err, name, length);
        return fail(err, STATUS_FORMAT, "%s: the header is not valid JSON: %s (byte %d)", name, quote(fault.text).text,
                    fault.position);
    }
    const struct source source = {c, name, prefix, bytes + 8 + length, size - 8 - length, err};
    const enum status status = json_is_object(header)
                                   ? parse_header(&source, header)
                                   : fail(err, STATUS_FORMAT, "%s: the header is not a JSON object", name);
    json_decref(header);
    return status;
}
