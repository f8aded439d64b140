/* SPDX-License-Identifier: MIT
 *
 * The graph itself, its leaves and its outputs. Errors stick in the graph, as they do in cairo's contexts: the first
 * sentence is kept, and everything after it returns the nil node.
 */
#include "core/tensor/graph.h"

#include "core/tensor/build.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *text;
    int fewest;
} ops[OP_COUNT] = {
#define X(name, text, fewest, most) [OP_##name] = {text, fewest},
    OP_MAP(X)
#undef X
};

const char *op_name(enum op op)
{
    return ops[op].text;
}

const char *unary_name(enum unary kind)
{
    static const char *const names[] = {
#define X(name, text) text,
        UNARY_MAP(X)
#undef X
    };
    return names[kind];
}

void graph_clear(struct graph *g)
{
    memory_free(g->nodes);
    memory_free(g->outputs);
    arena_clear(&g->arena);
    *g = (struct graph){0};
}

static bool is_parameter_slice(const struct node *node)
{
    return node->op == OP_PARAM && node->as.param.total_rows != 0;
}

struct node *graph_find(const struct graph *g, const char *name)
{
    for (int i = 0; i < g->count; i++) {
        struct node *node = g->nodes[i];
        if (node->name && !is_parameter_slice(node) && strcmp(node->name, name) == 0) return node;
    }
    return NULL;
}

struct node *graph_fail(struct graph *g, enum status status, const char *format, ...)
{
    if (g->error.status != STATUS_OK) return &g->nil;
    char text[ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fail(&g->error, status, "%s", text);
    return &g->nil;
}

struct node *build_refuse(struct graph *g, enum op op, const char *format, ...)
{
    char text[ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return graph_fail(g, STATUS_ARGUMENT, "%s: %s", op_name(op), text);
}

const char *build_text(struct graph *g, const struct node *node)
{
    char text[SHAPE_TEXT_BYTES];
    const char *kept = arena_strdup(&g->arena, shape_text(node->shape, text));
    return kept ? kept : "[?]";
}

static bool owns(const struct graph *g, const struct node *node)
{
    return node->index >= 0 && node->index < g->count && g->nodes[node->index] == node;
}

bool build_ready_any(struct graph *g, enum op op, struct node *const in[], int count)
{
    if (g->error.status != STATUS_OK) return false;
    for (int i = 0; i < count; i++) {
        if (!in[i] && i < ops[op].fewest) build_refuse(g, op, "operand %d is missing", i + 1);
        if (in[i] && !owns(g, in[i])) build_refuse(g, op, "operand %d belongs to another graph", i + 1);
    }
    return g->error.status == STATUS_OK;
}

bool build_ready(struct graph *g, enum op op, struct node *const in[], int count)
{
    if (!build_ready_any(g, op, in, count)) return false;
    for (int i = 0; i < count; i++)
        if (in[i] && in[i]->dtype != DTYPE_F32)
            build_refuse(g, op, "operand %d holds %s; F32 is needed", i + 1, dtype_name(in[i]->dtype));
    return g->error.status == STATUS_OK;
}

static struct node *no_memory(struct graph *g)
{
    fail_no_memory(&g->error, "a graph", sizeof(struct node));
    return &g->nil;
}

struct node *build_node(struct graph *g, enum op op, struct shape shape, struct node *const in[], int count)
{
    if (g->error.status != STATUS_OK) return &g->nil;
    char text[SHAPE_TEXT_BYTES];
    if (!shape_valid(shape))
        return build_refuse(g, op, "shape %s is not allowed; 1 to %d dimensions of at least 1 and 2^40 elements are",
                            shape_text(shape, text), SHAPE_MAX_RANK);
    if (g->count == g->capacity) {
        const int capacity = g->capacity ? g->capacity * 2 : 64;
        struct node **nodes = memory_resize(g->nodes, (size_t)capacity * sizeof *nodes);
        if (!nodes) return no_memory(g);
        g->nodes = nodes;
        g->capacity = capacity;
    }
    struct node *node = arena_alloc(&g->arena, sizeof *node);
    if (!node) return no_memory(g);
    *node = (struct node){.op = op, .dtype = DTYPE_F32, .shape = shape, .index = g->count};
    for (int i = 0; i < count; i++) {
        node->input[i] = in[i];
        if (in[i]) node->inputs = i + 1;
    }
    g->nodes[g->count++] = node;
    return node;
}

/* ---- leaves ---- */

static bool has_name(struct graph *g, enum op op, const char *name)
{
    if (g->error.status == STATUS_OK && (!name || !*name)) build_refuse(g, op, "a name is needed");
    return g->error.status == STATUS_OK;
}

static struct node *named_leaf(struct graph *g, enum op op, const char *name, struct shape shape)
{
    struct node *node = build_node(g, op, shape, NULL, 0);
    if (node == &g->nil) return node;
    node->name = arena_strdup(&g->arena, name);
    return node->name ? node : no_memory(g);
}

struct node *graph_input(struct graph *g, const char *name, enum dtype dtype, struct shape shape)
{
    if (!has_name(g, OP_INPUT, name)) return &g->nil;
    if (dtype != DTYPE_F32 && dtype != DTYPE_I32)
        return build_refuse(g, OP_INPUT, "'%s' cannot be %s; F32 and I32 are allowed", name, dtype_name(dtype));
    if (graph_find(g, name)) return build_refuse(g, OP_INPUT, "the name '%s' is taken", name);
    struct node *node = named_leaf(g, OP_INPUT, name, shape);
    if (node != &g->nil) node->dtype = dtype;
    return node;
}

static struct node *add_param(struct graph *g, const char *name, struct node wanted)
{
    for (int i = 0; i < g->count; i++) {
        struct node *node = g->nodes[i];
        if (!node->name || strcmp(node->name, name) != 0) continue;
        if (node->op != OP_PARAM) return build_refuse(g, OP_PARAM, "the name '%s' is taken", name);
        if (node->as.param.total_rows != wanted.as.param.total_rows ||
            node->as.param.first_row != wanted.as.param.first_row)
            continue;
        if (!shape_equal(node->shape, wanted.shape) || node->as.param.layout != wanted.as.param.layout)
            return build_refuse(g, OP_PARAM, "'%s' is asked for as %s and as %s", name, build_text(g, node),
                                build_text(g, &wanted));
        return node;
    }
    struct node *node = named_leaf(g, OP_PARAM, name, wanted.shape);
    if (node != &g->nil) node->as.param = wanted.as.param;
    return node;
}

struct node *graph_param(struct graph *g, const char *name, enum param_layout layout, struct shape shape)
{
    if (!has_name(g, OP_PARAM, name)) return &g->nil;
    if (layout != PARAM_PLAIN && shape.rank != 4)
        return build_refuse(g, OP_PARAM, "'%s' is a convolution's weight and must have 4 dimensions, not %d", name,
                            shape.rank);
    return add_param(g, name, (struct node){.shape = shape, .as.param.layout = layout});
}

struct node *graph_param_rows(struct graph *g, const char *name, struct shape shape, int64_t first, int64_t total)
{
    if (!has_name(g, OP_PARAM, name)) return &g->nil;
    const int64_t rows = shape_dim(shape, 0);
    if (first < 0 || rows < 1 || rows > total || first > total - rows)
        return build_refuse(g, OP_PARAM, "'%s' has %lld rows, so %lld from %lld on cannot be had", name,
                            (long long)total, (long long)rows, (long long)first);
    struct node wanted = {.shape = shape};
    wanted.as.param.first_row = first;
    wanted.as.param.total_rows = total;
    return add_param(g, name, wanted);
}

struct node *graph_constant(struct graph *g, struct shape shape, const float *values)
{
    struct node *node = build_node(g, OP_CONSTANT, shape, NULL, 0);
    if (node == &g->nil) return node;
    const size_t bytes = (size_t)shape_count(shape) * sizeof *values;
    float *copy = arena_alloc(&g->arena, bytes);
    if (!copy) return no_memory(g);
    memcpy(copy, values, bytes);
    node->as.constant = copy;
    return node;
}

/* A node has room for one name, so an output that is a leaf or an output already goes through a reshape, which costs
 * nothing when it runs. */
void graph_output(struct graph *g, const char *name, struct node *node)
{
    struct node *const in[] = {node};
    if (!has_name(g, OP_INPUT, name) || !build_ready_any(g, OP_RESHAPE, in, 1)) return;
    if (node->dtype != DTYPE_F32) {
        graph_fail(g, STATUS_ARGUMENT, "output '%s' holds %s; F32 is needed", name, dtype_name(node->dtype));
        return;
    }
    if (graph_find(g, name)) {
        graph_fail(g, STATUS_ARGUMENT, "output: the name '%s' is taken", name);
        return;
    }
    if (node->name || node->op == OP_CONSTANT) node = graph_reshape(g, node, node->shape);
    const size_t bytes = ((size_t)g->output_count + 1) * sizeof *g->outputs;
    struct node **outputs = memory_resize(g->outputs, bytes);
    char *copy = arena_strdup(&g->arena, name);
    if (outputs) g->outputs = outputs;
    if (!outputs || !copy || node == &g->nil) {
        no_memory(g);
        return;
    }
    node->name = copy;
    g->outputs[g->output_count++] = node;
}
