/* SPDX-License-Identifier: MIT
 *
 * The model that a training makes. Trainers hold weights in limn's layout; a checkpoint has [out, in, kh, kw] where
 * they have [out, kh, kw, in], and one tensor where a graph asked for rows of it one by one. They are turned as they
 * are written.
 */
#include "core/io/safetensors_write.h"
#include "pipeline/pack.h"
#include "pipeline/training_loop.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 64 };

struct result_piece {
    const float *values; /* borrowed from a trainer, or in the arena */
    int64_t first_row, rows;
    struct result_piece *next;
};

/* One tensor. What is copied from a checkpoint has no pieces. */
struct result_tensor {
    struct result_piece *pieces;
    enum dtype copied;      /* what it is in the checkpoint that it is copied from */
    int64_t row;            /* elements of a row */
    int64_t channels, taps; /* of a row that is turned: [taps, channels] here; taps 1: as it is */
};

struct training_result {
    struct arena memory;
    enum dtype dtype;
    struct tensor *tensors; /* owned, like the next two; of one length */
    struct result_tensor *sources;
    int count, room;
    struct safetensors_note notes[TRAINING_NOTES];
    int note_count;
};

enum status training_result_create(struct training_result **out, struct training *t, struct error *err)
{
    *out = memory_alloc(sizeof **out);
    if (!*out) return fail_no_memory(err, "a result", sizeof **out);
    (*out)->dtype = t->settings.dtype;
    return training_result_metadata(*out, "format", "pt", err);
}

void training_result_destroy(struct training_result *result)
{
    if (!result) return;
    memory_free(result->tensors);
    memory_free(result->sources);
    arena_clear(&result->memory);
    memory_free(result);
}

static enum status make_room(struct training_result *r, struct error *err)
{
    if (r->count < r->room) return STATUS_OK;
    const int room = r->room ? 2 * r->room : FIRST_ROOM;
    struct tensor *tensors = memory_resize(r->tensors, (size_t)room * sizeof *tensors);
    if (tensors) r->tensors = tensors;
    struct result_tensor *sources = memory_resize(r->sources, (size_t)room * sizeof *sources);
    if (sources) r->sources = sources;
    if (!tensors || !sources) return fail_no_memory(err, "a result", (size_t)room * sizeof *tensors);
    r->room = room;
    return STATUS_OK;
}

/* Shape as in a checkpoint. */
static struct tensor outside(const struct trainer_parameter *p)
{
    const struct shape s = p->weight.shape;
    struct tensor tensor = {.name = p->weight.name, .rank = s.rank};
    for (int i = 0; i < s.rank; i++) tensor.dim[i] = s.dim[i];
    if (p->total_rows > 0) tensor.dim[0] = p->total_rows;
    if (p->layout == PARAM_PLAIN) return tensor;
    tensor.dim[1] = s.dim[3];
    tensor.dim[2] = s.dim[1];
    tensor.dim[3] = s.dim[2];
    return tensor;
}

static int find_rows(const struct training_result *r, const struct trainer_parameter *p)
{
    for (int i = 0; i < r->count && p->total_rows > 0; i++)
        if (strcmp(r->tensors[i].name, p->weight.name) == 0) return i;
    return r->count;
}

static enum status add_parameter(struct training_result *r, const struct trainer_parameter *p, const float *values,
                                 struct error *err)
{
    enum status status = make_room(r, err);
    if (status != STATUS_OK) return status;
    struct result_piece *piece = arena_alloc(&r->memory, sizeof *piece);
    char *name = arena_strdup(&r->memory, p->weight.name);
    if (!piece || !name) return fail_no_memory(err, "a result", sizeof *piece);
    const struct shape s = p->weight.shape;
    const bool turned = p->layout != PARAM_PLAIN;
    const int i = find_rows(r, p);
    if (i == r->count) {
        r->tensors[i] = outside(p);
        r->tensors[i].name = name;
        r->tensors[i].dtype = r->dtype;
        r->sources[i] = (struct result_tensor){.row = shape_count(s) / s.dim[0],
                                               .channels = turned ? s.dim[3] : 1,
                                               .taps = turned ? s.dim[1] * s.dim[2] : 1};
        r->count++;
    }
    *piece = (struct result_piece){values, p->first_row, s.dim[0], r->sources[i].pieces};
    r->sources[i].pieces = piece;
    return STATUS_OK;
}

enum status training_result_add_trainer(struct training_result *result, const struct trainer *trainer,
                                        struct error *err)
{
    const struct optimiser *o = trainer->optimiser;
    const float *values = o->average ? o->average : o->value;
    enum status status = STATUS_OK;
    for (int i = 0; i < trainer->count && status == STATUS_OK; i++) {
        const struct trainer_parameter *p = &trainer->parameters[i];
        status = add_parameter(result, p, values + p->weight.offset / sizeof(float), err);
    }
    return status;
}

void training_result_strip(struct training_result *result, const char *prefix)
{
    const size_t length = strlen(prefix);
    for (int i = 0; i < result->count; i++)
        if (strncmp(result->tensors[i].name, prefix, length) == 0) result->tensors[i].name += length;
}

void training_result_number(struct training_result *result, const char *name)
{
    for (int i = 0; i < result->count; i++)
        if (strcmp(result->tensors[i].name, name) == 0 && result->tensors[i].dim[0] == 1) result->tensors[i].rank = 0;
}

enum status training_result_add(struct training_result *result, const char *name, int rank, const int64_t *dims,
                                const float *values, struct error *err)
{
    struct tensor tensor = {.dtype = result->dtype, .rank = rank, .name = arena_strdup(&result->memory, name)};
    int64_t count = 1;
    for (int i = 0; i < rank; i++) count *= tensor.dim[i] = dims[i];
    float *copy = arena_alloc(&result->memory, (size_t)count * sizeof *copy);
    struct result_piece *piece = arena_alloc(&result->memory, sizeof *piece);
    enum status status = make_room(result, err);
    if (status != STATUS_OK) return status;
    if (!tensor.name || !copy || !piece) return fail_no_memory(err, "a result", (size_t)count * sizeof *copy);
    memcpy(copy, values, (size_t)count * sizeof *copy);
    const int64_t rows = rank > 0 ? dims[0] : 1;
    *piece = (struct result_piece){.values = copy, .rows = rows};
    result->sources[result->count] =
        (struct result_tensor){.pieces = piece, .row = count / rows, .channels = 1, .taps = 1};
    result->tensors[result->count++] = tensor;
    return STATUS_OK;
}

static bool is_there(const struct training_result *r, const char *name)
{
    for (int i = 0; i < r->count; i++)
        if (strcmp(r->tensors[i].name, name) == 0) return true;
    return false;
}

enum status training_result_copy(struct training_result *result, const struct checkpoint *from, const char *prefix,
                                 struct error *err)
{
    for (int i = 0; i < checkpoint_count(from); i++) {
        const struct tensor *tensor = checkpoint_at(from, i);
        if (strncmp(tensor->name, prefix, strlen(prefix)) != 0 || is_there(result, tensor->name)) continue;
        const enum status status = make_room(result, err);
        if (status != STATUS_OK) return status;
        result->sources[result->count] = (struct result_tensor){.copied = tensor->dtype};
        result->tensors[result->count] = *tensor;
        /* A safetensors file has no types of blocks. */
        if (dtype_block(tensor->dtype) > 1) result->tensors[result->count].dtype = result->dtype;
        result->count++;
    }
    return STATUS_OK;
}

enum status training_result_metadata(struct training_result *result, const char *key, const char *text,
                                     struct error *err)
{
    assert(result->note_count < TRAINING_NOTES);
    struct safetensors_note note = {arena_strdup(&result->memory, key), arena_strdup(&result->memory, text)};
    if (!note.key || !note.value) return fail_no_memory(err, "a result", strlen(text));
    result->notes[result->note_count++] = note;
    return STATUS_OK;
}

/* The text, which is jansson's, of an object that is given up. */
static char *write_pack(json_t *pack, struct error *err)
{
    char *text = pack ? json_dumps(pack, JSON_COMPACT) : NULL;
    if (!text) (void)fail_no_memory(err, "a pack's description", sizeof pack);
    json_decref(pack);
    return text;
}

enum status training_result_pack(struct training_result *result, json_t *pack, struct error *err)
{
    char *text = write_pack(pack, err);
    const enum status status = text ? training_result_metadata(result, "limn.pack", text, err) : err->status;
    free(text); /* library: jansson's */
    return status;
}

enum status training_check_pack(json_t *pack, struct error *err)
{
    struct pack parsed;
    char *text = write_pack(pack, err);
    const enum status status = text ? pack_parse(&parsed, text, err) : err->status;
    if (status == STATUS_OK) pack_clear(&parsed);
    free(text); /* library: jansson's */
    return status;
}

/* Element k of tensor i, in checkpoint order. */
static float element(const struct training_result *r, int i, int64_t k)
{
    const struct result_tensor *source = &r->sources[i];
    if (!source->pieces) {
        float value;
        dtype_to_f32(&value, r->tensors[i].data, source->copied, (size_t)k, 1);
        return value;
    }
    const int64_t row = k / source->row, within = k % source->row;
    const struct result_piece *piece = source->pieces;
    while (piece && (row < piece->first_row || row >= piece->first_row + piece->rows)) piece = piece->next;
    if (!piece) return 0;
    const int64_t channel = within / source->taps, tap = within % source->taps;
    const int64_t place = source->taps > 1 ? tap * source->channels + channel : within;
    return piece->values[(row - piece->first_row) * source->row + place];
}

static void fill(void *context, int i, int64_t first, int64_t n, void *out)
{
    const struct training_result *r = context;
    const enum dtype dtype = r->tensors[i].dtype;
    const size_t bytes = dtype_bytes(dtype, 1);
    if (!r->sources[i].pieces && r->sources[i].copied == dtype) {
        memcpy(out, (const char *)r->tensors[i].data + (size_t)first * bytes, (size_t)n * bytes);
        return;
    }
    for (int64_t k = 0; k < n; k++) {
        const float value = element(r, i, first + k);
        dtype_from_f32((char *)out + (size_t)k * bytes, dtype, &value, 1);
    }
}

enum status training_result_write(struct training_result *result, const char *path, struct error *err)
{
    const struct safetensors_file file = {.tensors = result->tensors,
                                          .count = result->count,
                                          .notes = result->notes,
                                          .note_count = result->note_count,
                                          .fill = fill,
                                          .context = result};
    return safetensors_write(path, &file, err);
}
