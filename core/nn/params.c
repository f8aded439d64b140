/* SPDX-License-Identifier: MIT
 *
 * Weights go from the checkpoint's mapping to the backend in pieces of a few megabytes, so that loading a model needs
 * little more than the model: a piece is converted, checked, turned to limn's layout and uploaded, and after a large
 * tensor its pages go back to the system.
 */
#include "core/nn/params.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
    PIECE_BYTES = 4 << 20, /* a tensor is loaded in pieces of whole rows of about this size */
    CHUNK_BYTES = 4 << 20, /* small weights share buffers of this size */
    LARGE_BYTES = 1 << 20, /* a weight from this size on has a buffer of its own */
};

/* A loaded range of a checkpoint's tensor. */
struct entry {
    struct weight weight;
    uint64_t hash; /* of the name, so that most others are passed over with one comparison */
    enum param_layout layout;
    int64_t first_row, total_rows;
    struct entry *older;
};

struct chunk {
    struct buffer *buffer; /* owned */
    struct chunk *older;
};

struct params {
    struct backend *backend; /* borrowed */
    struct arena arena;      /* entries, chunks and names */
    struct entry *newest;
    struct chunk *chunks;
    struct buffer *small; /* borrowed from a chunk: the one with room, and how much of it is taken */
    size_t small_used;
    size_t bytes;
};

/* One load: what was found for each parameter, and what was wrong. */
struct loading {
    struct params *params;
    struct graph *graph;
    const struct checkpoint *checkpoint;
    bool *only_f32;               /* by node: it is read by an operation that takes no halves */
    const struct tensor **tensor; /* by node: to be loaded */
    void *converted, *turned;     /* a piece as F32, and a piece in limn's layout; grown on demand */
    size_t converted_bytes, turned_bytes;
    char report[ERROR_TEXT_BYTES - 128];
    size_t report_length;
    int unreported;
};

enum status params_create(struct params **out, struct backend *backend, struct error *err)
{
    *out = memory_alloc(sizeof **out);
    if (!*out) return fail_no_memory(err, "parameters", sizeof **out);
    (*out)->backend = backend;
    return STATUS_OK;
}

void params_destroy(struct params *params)
{
    if (!params) return;
    for (struct chunk *chunk = params->chunks; chunk; chunk = chunk->older)
        params->backend->f->free(params->backend, chunk->buffer);
    arena_clear(&params->arena);
    memory_free(params);
}

size_t params_bytes(const struct params *params)
{
    return params->bytes;
}

/* ---- finding ---- */

/* FNV-1a. */
static uint64_t hash_name(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name; name++) hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    return hash;
}

static struct entry *find_entry(const struct params *params, const struct node *node, bool only_f32)
{
    const uint64_t hash = hash_name(node->name);
    for (struct entry *entry = params->newest; entry; entry = entry->older) {
        if (entry->hash != hash || strcmp(entry->weight.name, node->name) != 0) continue;
        if (entry->layout == node->as.param.layout && entry->first_row == node->as.param.first_row &&
            entry->total_rows == node->as.param.total_rows && shape_equal(entry->weight.shape, node->shape) &&
            (!only_f32 || entry->weight.dtype == DTYPE_F32))
            return entry;
    }
    return NULL;
}

static void bind(struct node *node, struct entry *entry)
{
    node->as.param.weight = &entry->weight;
    node->dtype = entry->weight.dtype;
}

/* Only the weight of a product and the table of an embedding may be halves: that is where the bytes are, and where
 * kernels convert as they go. */
static bool takes_halves(const struct node *reader, int place)
{
    return place == 1 && (reader->op == OP_LINEAR || reader->op == OP_CONV2D || reader->op == OP_CONV2D_TRANSPOSE ||
                          reader->op == OP_EMBEDDING);
}

static void mark_readers(struct loading *l)
{
    for (int i = 0; i < l->graph->count; i++) {
        const struct node *reader = l->graph->nodes[i];
        for (int j = 0; j < reader->inputs; j++)
            if (reader->input[j] && !takes_halves(reader, j)) l->only_f32[reader->input[j]->index] = true;
    }
}

/* ---- shapes ---- */

/* The shape a parameter has in a checkpoint, without trailing ones. */
static int expected_shape(const struct node *node, int64_t dim[SHAPE_MAX_RANK])
{
    int rank = node->shape.rank;
    memcpy(dim, node->shape.dim, sizeof node->shape.dim);
    if (node->as.param.total_rows) dim[0] = node->as.param.total_rows;
    if (node->as.param.layout != PARAM_PLAIN) { /* [a, kh, kw, b] lies there as [a, b, kh, kw]. */
        dim[1] = node->shape.dim[3];
        dim[2] = node->shape.dim[1];
        dim[3] = node->shape.dim[2];
    }
    while (rank > 0 && dim[rank - 1] == 1) rank--;
    return rank;
}

static bool same_shape(const struct tensor *tensor, const struct node *node)
{
    int64_t dim[SHAPE_MAX_RANK];
    const int rank = expected_shape(node, dim);
    int stored = tensor->rank;
    while (stored > 0 && tensor->dim[stored - 1] == 1) stored--;
    return stored == rank && memcmp(tensor->dim, dim, (size_t)rank * sizeof *dim) == 0;
}

static void print_shape(char *text, size_t bytes, int rank, const int64_t *dim)
{
    size_t at = (size_t)snprintf(text, bytes, "[");
    for (int i = 0; i < rank && at < bytes; i++)
        at += (size_t)snprintf(text + at, bytes - at, i ? ", %lld" : "%lld", (long long)dim[i]);
    if (at < bytes) snprintf(text + at, bytes - at, "]");
}

/* ---- the report ---- */

static void complain(struct loading *l, const struct node *node, const struct tensor *tensor)
{
    char line[512], found[128], wanted[128];
    int64_t dim[SHAPE_MAX_RANK];
    print_shape(wanted, sizeof wanted, expected_shape(node, dim), dim);
    if (tensor) {
        print_shape(found, sizeof found, tensor->rank, tensor->dim);
        snprintf(line, sizeof line, "'%s' is %s and must be %s", node->name, found, wanted);
    } else {
        snprintf(line, sizeof line, "'%s' %s is missing", node->name, wanted);
    }
    const size_t room = sizeof l->report - l->report_length;
    if (strlen(line) + 3 > room || l->unreported) {
        l->unreported++;
        return;
    }
    l->report_length +=
        (size_t)snprintf(l->report + l->report_length, room, "%s%s", l->report_length ? "; " : "", line);
}

static enum status find_all(struct loading *l, struct error *err)
{
    for (int i = 0; i < l->graph->count; i++) {
        struct node *node = l->graph->nodes[i];
        if (node->op != OP_PARAM) continue;
        struct entry *entry = find_entry(l->params, node, l->only_f32[i]);
        if (entry) {
            bind(node, entry);
            continue;
        }
        const struct tensor *tensor = checkpoint_find(l->checkpoint, node->name);
        if (tensor && same_shape(tensor, node)) {
            l->tensor[i] = tensor;
        } else {
            complain(l, node, tensor);
        }
    }
    if (l->report_length == 0 && l->unreported == 0) return STATUS_OK;
    char more[32] = "";
    if (l->unreported) snprintf(more, sizeof more, "; and %d more", l->unreported);
    return fail(err, STATUS_FORMAT, "the checkpoint does not fit the model: %s%s", l->report, more);
}

/* ---- loading ---- */

/* True if one of n halves or floats is infinite or NaN, that is, has all bits of its exponent set. Eight bytes are
 * looked at at a time: adding the exponent's lowest bit to the exponent carries into the sign's place just then. */
static bool has_nonfinite(const void *values, enum dtype dtype, size_t n)
{
    const uint64_t ones = dtype == DTYPE_F32 ? 0x0000000100000001u : 0x0001000100010001u;
    const uint64_t exponent = ones * (dtype == DTYPE_F32 ? 0x7f800000u : dtype == DTYPE_F16 ? 0x7c00u : 0x7f80u);
    const uint64_t lowest = ones * (dtype == DTYPE_F32 ? 0x00800000u : dtype == DTYPE_F16 ? 0x0400u : 0x0080u);
    const uint64_t sign = ones * (dtype == DTYPE_F32 ? 0x80000000u : 0x8000u);
    const unsigned char *bytes = values;
    const size_t size = n * dtype_bytes(dtype);
    uint64_t found = 0;
    for (size_t at = 0; at < size; at += sizeof found) {
        uint64_t word = 0;
        memcpy(&word, bytes + at, size - at < sizeof word ? size - at : sizeof word);
        found |= ((word & exponent) + lowest) & sign;
    }
    return found != 0;
}

/* Rows [b, kh, kw] become [kh, kw, b], for elements of 2 or 4 bytes at any address. */
static void turn_rows(void *out, const void *from, size_t rows, size_t channels, size_t taps, size_t element)
{
    unsigned char *to = out;
    const unsigned char *row = from;
    for (; rows > 0; rows--, row += channels * taps * element)
        for (size_t tap = 0; tap < taps; tap++)
            for (size_t c = 0; c < channels; c++, to += element) {
                const unsigned char *at = row + (c * taps + tap) * element;
                if (element == sizeof(uint16_t)) {
                    memcpy(to, at, sizeof(uint16_t));
                } else {
                    memcpy(to, at, sizeof(uint32_t));
                }
            }
}

static enum status grow(void **block, size_t *have, size_t need, struct error *err)
{
    if (need <= *have) return STATUS_OK;
    memory_free(*block);
    *have = 0;
    *block = memory_alloc_raw(need);
    if (!*block) return fail_no_memory(err, "loading a weight", need);
    *have = need;
    return STATUS_OK;
}

/* Loads `rows` rows that begin at `from`. */
static enum status load_piece(struct loading *l, const struct tensor *tensor, const struct node *node,
                              const struct weight *weight, int64_t first, int64_t rows, struct error *err)
{
    const size_t n = (size_t)(shape_count(weight->shape) / weight->shape.dim[0] * rows);
    const size_t row = n / (size_t)rows, element = dtype_bytes(weight->dtype);
    const size_t skipped = (size_t)(node->as.param.first_row + first) * row;
    const void *values = (const char *)tensor->data + skipped * dtype_bytes(tensor->dtype);
    enum status status = STATUS_OK;
    if (tensor->dtype != weight->dtype) {
        status = grow(&l->converted, &l->converted_bytes, n * sizeof(float), err);
        if (status != STATUS_OK) return status;
        dtype_to_f32(l->converted, values, tensor->dtype, n);
        values = l->converted;
    }
    if (has_nonfinite(values, weight->dtype, n))
        return fail(err, STATUS_FORMAT, "tensor '%s' holds values that are infinite or not numbers", node->name);
    if (node->as.param.layout != PARAM_PLAIN) {
        status = grow(&l->turned, &l->turned_bytes, n * element, err);
        if (status != STATUS_OK) return status;
        const size_t channels = (size_t)weight->shape.dim[3];
        turn_rows(l->turned, values, (size_t)rows, channels, row / channels, element);
        values = l->turned;
    }
    return l->params->backend->f->upload(l->params->backend, weight->buffer,
                                         weight->offset + (size_t)first * row * element, values, n * element, err);
}

static struct buffer *add_chunk(struct params *params, size_t bytes, struct error *err)
{
    struct chunk *chunk = arena_alloc(&params->arena, sizeof *chunk);
    if (!chunk) {
        fail_no_memory(err, "parameters", sizeof *chunk);
        return NULL;
    }
    chunk->buffer = params->backend->f->alloc(params->backend, bytes, err);
    chunk->older = params->chunks;
    params->chunks = chunk;
    if (chunk->buffer) params->bytes += bytes;
    return chunk->buffer;
}

static enum status allocate(struct params *params, struct weight *weight, struct error *err)
{
    size_t bytes = (size_t)shape_count(weight->shape) * dtype_bytes(weight->dtype);
    bytes = (bytes + MEMORY_ALIGNMENT - 1) / MEMORY_ALIGNMENT * MEMORY_ALIGNMENT;
    if (bytes >= LARGE_BYTES) {
        weight->buffer = add_chunk(params, bytes, err);
        return err->status;
    }
    if (!params->small || params->small_used + bytes > CHUNK_BYTES) {
        params->small = add_chunk(params, CHUNK_BYTES, err);
        params->small_used = 0;
        if (!params->small) return err->status;
    }
    weight->buffer = params->small;
    weight->offset = params->small_used;
    params->small_used += bytes;
    return STATUS_OK;
}

static enum status load_weight(struct loading *l, struct node *node, struct error *err)
{
    struct params *params = l->params;
    const struct tensor *tensor = l->tensor[node->index];
    struct entry *entry = arena_alloc(&params->arena, sizeof *entry);
    char *name = arena_strdup(&params->arena, node->name);
    if (!entry || !name) return fail_no_memory(err, "parameters", sizeof *entry);
    const bool half = tensor->dtype == DTYPE_F16 || tensor->dtype == DTYPE_BF16;
    entry->weight.name = name;
    entry->weight.shape = node->shape;
    entry->weight.dtype = half && !l->only_f32[node->index] ? tensor->dtype : DTYPE_F32;
    entry->hash = hash_name(name);
    entry->layout = node->as.param.layout;
    entry->first_row = node->as.param.first_row;
    entry->total_rows = node->as.param.total_rows;

    enum status status = allocate(params, &entry->weight, err);
    const int64_t rows = node->shape.dim[0];
    const int64_t row_bytes = shape_count(node->shape) / rows * (int64_t)sizeof(float);
    const int64_t at_once = row_bytes > PIECE_BYTES ? 1 : PIECE_BYTES / row_bytes;
    for (int64_t first = 0; first < rows && status == STATUS_OK; first += at_once) {
        const int64_t piece = rows - first < at_once ? rows - first : at_once;
        status = load_piece(l, tensor, node, &entry->weight, first, piece, err);
    }
    if (tensor->count * (int64_t)dtype_bytes(tensor->dtype) >= LARGE_BYTES) checkpoint_release(l->checkpoint, tensor);
    if (status != STATUS_OK) return status;
    entry->older = params->newest;
    params->newest = entry;
    bind(node, entry);
    return STATUS_OK;
}

enum status params_load(struct params *params, struct graph *graph, const struct checkpoint *checkpoint,
                        struct error *err)
{
    if (graph->error.status != STATUS_OK) return fail(err, graph->error.status, "%s", graph->error.text);
    const size_t count = (size_t)graph->count;
    struct arena arena = {0};
    struct loading l = {.params = params, .graph = graph, .checkpoint = checkpoint};
    l.only_f32 = arena_alloc(&arena, count * sizeof *l.only_f32);
    l.tensor = arena_alloc(&arena, count * sizeof(struct tensor *));
    enum status status = STATUS_OK;
    if (!l.only_f32 || !l.tensor) {
        status = fail_no_memory(err, "parameters", count * sizeof(struct tensor *));
        goto done;
    }
    mark_readers(&l);
    status = find_all(&l, err);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        if (l.tensor[i]) status = load_weight(&l, graph->nodes[i], err);
done:
    memory_free(l.converted);
    memory_free(l.turned);
    arena_clear(&arena);
    return status;
}
