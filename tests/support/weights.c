/* SPDX-License-Identifier: MIT */
#include "tests/support/weights.h"

#include "core/io/safetensors_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILL_ELEMENTS = 4096 };

/* The list of what goes into a file, and the dtype that it is stored as. */
struct model {
    struct arena arena; /* names */
    struct tensor *tensors;
    int count, capacity;
    enum dtype dtype;
    const struct safetensors_note *notes; /* borrowed */
    int note_count;
};

static uint64_t fnv1a(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name; name++) hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    return hash;
}

/* The rule's scale and offset: value = offset + u * scale. */
static float rule(const char *name, int rank, const int64_t *dim, float *offset)
{
    const size_t length = strlen(name);
    const bool weight = length >= 7 && strcmp(name + length - 7, ".weight") == 0;
    *offset = rank == 1 && weight ? 1.0f : 0.0f;
    if (rank == 1) return weight ? 0.125f : 0.0625f;
    if (strstr(name, "token_embedding")) return 0.5f;
    if (strstr(name, "position")) return 0.125f;
    double fan_in = 1;
    for (int i = 1; i < rank; i++) fan_in *= (double)dim[i];
    return (float)sqrt(3.0 / fan_in);
}

void weights_fill(float *out, const char *name, int rank, const int64_t *dim, int64_t first, int64_t n)
{
    const uint64_t hash = fnv1a(name);
    float offset;
    const float scale = rule(name, rank, dim, &offset);
    for (int64_t i = 0; i < n; i++) {
        uint64_t z = hash + (uint64_t)(first + i + 1) * 0x9E3779B97F4A7C15u;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        z ^= z >> 31;
        const float u = (float)(z >> 40) * 0x1p-23f - 1.0f;
        out[i] = offset + u * scale;
    }
}

/* ---- lists of tensors ---- */

static enum status add_tensor(struct model *model, const char *name, int rank, const int64_t *dim, struct error *err)
{
    for (int i = 0; i < model->count; i++)
        if (strcmp(model->tensors[i].name, name) == 0) return STATUS_OK;
    if (model->count == model->capacity) {
        const int capacity = model->capacity ? model->capacity * 2 : 256;
        struct tensor *tensors = memory_resize(model->tensors, (size_t)capacity * sizeof *tensors);
        if (!tensors) return fail_no_memory(err, "a test's model", (size_t)capacity * sizeof *tensors);
        model->tensors = tensors;
        model->capacity = capacity;
    }
    struct tensor tensor = {.name = arena_strdup(&model->arena, name), .dtype = model->dtype, .rank = rank, .count = 1};
    if (!tensor.name) return fail_no_memory(err, "a test's model", strlen(name));
    for (int i = 0; i < rank; i++) {
        tensor.dim[i] = dim[i];
        tensor.count *= dim[i];
    }
    model->tensors[model->count++] = tensor;
    return STATUS_OK;
}

/* A line is "32x4x3x3 name". */
static enum status add_line(struct model *model, char *line, const char *list, struct error *err)
{
    int64_t dim[CHECKPOINT_MAX_RANK];
    int rank = 0;
    char *at = line;
    do {
        if (rank == CHECKPOINT_MAX_RANK) return fail(err, STATUS_FORMAT, "%s: a shape has too many dimensions", list);
        dim[rank++] = strtoll(at, &at, 10);
    } while (*at++ == 'x');
    at[strcspn(at, "\r\n")] = '\0';
    if (at[-1] != ' ' || !*at) return fail(err, STATUS_FORMAT, "%s: a line is not a shape and a name", list);
    return add_tensor(model, at, rank, dim, err);
}

static enum status add_list(struct model *model, const char *list, struct error *err)
{
    char path[1024], line[1024];
    snprintf(path, sizeof path, "%s/tensors/%s.txt", GOLDEN, list);
    FILE *in = fopen(path, "r");
    if (!in) return fail(err, STATUS_IO, "%s: could not be opened", path);
    while (err->status == STATUS_OK && fgets(line, sizeof line, in)) {
        if (line[0] >= '0' && line[0] <= '9' && add_line(model, line, list, err) != STATUS_OK) break;
    }
    fclose(in);
    return err->status;
}

static enum status add_graph(struct model *model, const struct graph *graph, struct error *err)
{
    if (graph->error.status != STATUS_OK) return fail(err, graph->error.status, "%s", graph->error.text);
    for (int i = 0; i < graph->count; i++) {
        const struct node *node = graph->nodes[i];
        if (node->op != OP_PARAM) continue;
        const int64_t *d = node->shape.dim;
        const int64_t turned[] = {d[0], d[3], d[1], d[2]};
        const int64_t rows[] = {node->as.param.total_rows, d[1], d[2], d[3]};
        const int64_t *dim = node->as.param.layout != PARAM_PLAIN ? turned : node->as.param.total_rows ? rows : d;
        if (add_tensor(model, node->name, node->shape.rank, dim, err) != STATUS_OK) return err->status;
    }
    return STATUS_OK;
}

/* ---- writing ---- */

static void fill(void *context, int i, int64_t first, int64_t n, void *out)
{
    const struct model *model = context;
    const struct tensor *t = &model->tensors[i];
    float values[FILL_ELEMENTS];
    for (int64_t done = 0; done < n; done += FILL_ELEMENTS) {
        const int64_t some = n - done < FILL_ELEMENTS ? n - done : FILL_ELEMENTS;
        weights_fill(values, t->name, t->rank, t->dim, first + done, some);
        dtype_from_f32((char *)out + dtype_bytes(model->dtype, (size_t)done), model->dtype, values, (size_t)some);
    }
}

static enum status write_model(const char *path, struct model *model, struct error *err)
{
    const struct safetensors_file file = {.tensors = model->tensors,
                                          .count = model->count,
                                          .notes = model->notes,
                                          .note_count = model->note_count,
                                          .fill = fill,
                                          .context = model};
    if (err->status == STATUS_OK) (void)!safetensors_write(path, &file, err);
    memory_free(model->tensors);
    arena_clear(&model->arena);
    return err->status;
}

enum status weights_write_lists(const char *path, const char *const lists[], int count, enum dtype dtype,
                                struct error *err)
{
    return weights_write_noted(path, lists, count, dtype, NULL, 0, err);
}

enum status weights_write_noted(const char *path, const char *const lists[], int count, enum dtype dtype,
                                const struct safetensors_note *notes, int note_count, struct error *err)
{
    struct model model = {.dtype = dtype, .notes = notes, .note_count = note_count};
    for (int i = 0; i < count; i++)
        if (add_list(&model, lists[i], err) != STATUS_OK) break;
    return write_model(path, &model, err);
}

enum status weights_write_graphs(const char *path, struct graph *const graphs[], int count, enum dtype dtype,
                                 struct error *err)
{
    struct model model = {.dtype = dtype};
    for (int i = 0; i < count; i++)
        if (add_graph(&model, graphs[i], err) != STATUS_OK) break;
    return write_model(path, &model, err);
}
