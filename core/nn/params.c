/* SPDX-License-Identifier: MIT
 *
 * Weights go from the checkpoint's mapping to the backend in pieces of a few megabytes, so that loading a model needs
 * little more than the model: a piece is converted, checked, turned to limn's layout and uploaded, and after a large
 * tensor its pages go back to the system.
 */
#include "core/nn/params.h"

#include "core/base/hash.h"

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
    enum dtype storage;      /* what was asked for; DTYPE_COUNT: as in the checkpoint */
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
    bool *only_f32;               /* by node: it is read by an operation that takes nothing else */
    const struct tensor **tensor; /* by node: to be loaded */
    /* A piece as F32, in limn's layout, and as it is stored; grown on demand. */
    void *converted, *turned, *stored;
    size_t converted_bytes, turned_bytes, stored_bytes;
    char report[ERROR_TEXT_BYTES - 128];
    size_t report_length;
    int unreported;
};

enum status params_create(struct params **out, struct backend *backend, struct error *err)
{
    *out = memory_alloc(sizeof **out);
    if (!*out) return fail_no_memory(err, "parameters", sizeof **out);
    (*out)->backend = backend;
    (*out)->storage = DTYPE_COUNT;
    return STATUS_OK;
}

void params_store_as(struct params *params, enum dtype dtype)
{
    assert(dtype == DTYPE_COUNT || dtype_stores_weights(dtype));
    params->storage = dtype;
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

static struct entry *find_entry(const struct params *params, const struct node *node, bool only_f32)
{
    const uint64_t hash = hash_text(HASH_START, node->name);
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

/* Only the weight of a product and the table of an embedding may be other than F32: that is where the bytes are, and
 * where kernels convert as they go. */
static bool takes_stored(const struct node *reader, int place)
{
    return place == 1 && (reader->op == OP_LINEAR || reader->op == OP_CONV2D || reader->op == OP_CONV2D_TRANSPOSE ||
                          reader->op == OP_EMBEDDING);
}

static void mark_readers(struct loading *l)
{
    for (int i = 0; i < l->graph->count; i++) {
        const struct node *reader = l->graph->nodes[i];
        for (int j = 0; j < reader->inputs; j++)
            if (reader->input[j] && !takes_stored(reader, j)) l->only_f32[reader->input[j]->index] = true;
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

static bool fits(enum dtype dtype, const struct node *node)
{
    return dtype_stores_weights(dtype) && shape_dim(node->shape, -1) % (int64_t)dtype_block(dtype) == 0;
}

/* What a weight is stored as: the one place that decides it (params_store_as says how). */
static enum dtype storage_of(const struct loading *l, const struct node *node, const struct tensor *tensor)
{
    if (l->only_f32[node->index]) return DTYPE_F32;
    const enum dtype kept = fits(tensor->dtype, node) ? tensor->dtype : DTYPE_F32, asked = l->params->storage;
    return asked != DTYPE_COUNT && fits(asked, node) ? asked : kept;
}

/* True if a scale is infinite or NaN, that is, has all bits of its exponent set. */
static bool has_nonfinite_scale(const unsigned char *blocks, enum dtype dtype, size_t n)
{
    const size_t block = dtype_block(dtype), bytes = dtype_bytes(dtype, block);
    uint16_t scale;
    bool found = false;
    for (size_t i = 0; i < n; i += block, blocks += bytes) {
        memcpy(&scale, blocks, sizeof scale);
        found |= (scale & 0x7c00u) == 0x7c00u;
    }
    return found;
}

/* The same of one of n halves or floats, or of blocks. Eight bytes are looked at at a time: adding the exponent's
 * lowest bit to the exponent carries into the sign's place just then. */
static bool has_nonfinite(const void *values, enum dtype dtype, size_t n)
{
    const uint64_t ones = dtype == DTYPE_F32 ? 0x0000000100000001u : 0x0001000100010001u;
    const uint64_t exponent = ones * (dtype == DTYPE_F32 ? 0x7f800000u : dtype == DTYPE_F16 ? 0x7c00u : 0x7f80u);
    const uint64_t lowest = ones * (dtype == DTYPE_F32 ? 0x00800000u : dtype == DTYPE_F16 ? 0x0400u : 0x0080u);
    const uint64_t sign = ones * (dtype == DTYPE_F32 ? 0x80000000u : 0x8000u);
    const unsigned char *bytes = values;
    const size_t size = dtype_bytes(dtype, n);
    uint64_t found = 0;
    if (dtype_block(dtype) > 1) return has_nonfinite_scale(bytes, dtype, n);
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

/* Some rows of a tensor on their way to the backend. */
struct piece {
    const void *values; /* in one of the loading's blocks, or as they lie in the checkpoint */
    enum dtype dtype;
    size_t rows, n; /* elements in all */
};

/* The rows as they lie in the checkpoint, or as F32: what becomes of another type, and blocks that are to be turned. */
static enum status fetch(struct loading *l, const struct tensor *tensor, size_t first, bool as_f32, struct piece *piece,
                         struct error *err)
{
    piece->dtype = tensor->dtype;
    if (!as_f32) {
        piece->values = (const char *)tensor->data + dtype_bytes(tensor->dtype, first);
        return STATUS_OK;
    }
    const enum status status = grow(&l->converted, &l->converted_bytes, piece->n * sizeof(float), err);
    if (status != STATUS_OK) return status;
    dtype_to_f32(l->converted, tensor->data, tensor->dtype, first, piece->n);
    piece->values = l->converted;
    piece->dtype = DTYPE_F32;
    return STATUS_OK;
}

static enum status turn(struct loading *l, size_t channels, struct piece *piece, struct error *err)
{
    const size_t element = dtype_bytes(piece->dtype, 1), row = piece->n / piece->rows;
    const enum status status = grow(&l->turned, &l->turned_bytes, piece->n * element, err);
    if (status != STATUS_OK) return status;
    turn_rows(l->turned, piece->values, piece->rows, channels, row / channels, element);
    piece->values = l->turned;
    return STATUS_OK;
}

static enum status store(struct loading *l, const char *name, enum dtype dtype, struct piece *piece, struct error *err)
{
    const enum status status = grow(&l->stored, &l->stored_bytes, dtype_bytes(dtype, piece->n), err);
    if (status != STATUS_OK) return status;
    dtype_from_f32(l->stored, dtype, piece->values, piece->n);
    piece->values = l->stored;
    piece->dtype = dtype;
    if (has_nonfinite(piece->values, dtype, piece->n))
        return fail(err, STATUS_FORMAT, "tensor '%s' holds values that are too large to be stored as %s", name,
                    dtype_name(dtype));
    return STATUS_OK;
}

/* Loads `rows` rows from `first` on. */
static enum status load_piece(struct loading *l, const struct tensor *tensor, const struct node *node,
                              const struct weight *weight, int64_t first, int64_t rows, struct error *err)
{
    const size_t row = (size_t)(shape_count(weight->shape) / weight->shape.dim[0]);
    const bool turns = node->as.param.layout != PARAM_PLAIN && weight->shape.dim[1] * weight->shape.dim[2] > 1;
    const bool as_f32 = tensor->dtype != weight->dtype || (turns && dtype_block(weight->dtype) > 1);
    struct piece piece = {.rows = (size_t)rows, .n = (size_t)rows * row};
    enum status status = fetch(l, tensor, (size_t)(node->as.param.first_row + first) * row, as_f32, &piece, err);
    if (status == STATUS_OK && has_nonfinite(piece.values, piece.dtype, piece.n))
        status = fail(err, STATUS_FORMAT, "tensor '%s' holds values that are infinite or not numbers", node->name);
    if (status == STATUS_OK && turns) status = turn(l, (size_t)weight->shape.dim[3], &piece, err);
    if (status == STATUS_OK && piece.dtype != weight->dtype) status = store(l, node->name, weight->dtype, &piece, err);
    if (status != STATUS_OK) return status;
    const size_t at = weight->offset + dtype_bytes(weight->dtype, (size_t)first * row);
    return l->params->backend->f->upload(l->params->backend, weight->buffer, at, piece.values,
                                         dtype_bytes(weight->dtype, piece.n), err);
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
    size_t bytes = dtype_bytes(weight->dtype, (size_t)shape_count(weight->shape));
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
    entry->weight.name = name;
    entry->weight.shape = node->shape;
    entry->weight.dtype = storage_of(l, node, tensor);
    entry->hash = hash_text(HASH_START, name);
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
    if (dtype_bytes(tensor->dtype, (size_t)tensor->count) >= LARGE_BYTES) checkpoint_release(l->checkpoint, tensor);
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
    memory_free(l.stored);
    arena_clear(&arena);
    return status;
}
