/* SPDX-License-Identifier: MIT */
#include "core/nn/muon.h"

#include <math.h>
#include <string.h>

enum { ROUNDS = 5 };

/* Matrices of one shape share a graph. */
struct shape_group {
    int64_t rows, columns;
    struct graph graph;
    struct exec *exec; /* owned */
};

struct muon {
    struct muon_matrix *matrices; /* owned */
    int *group_of;                /* owned; by matrix */
    int count;
    struct shape_group *groups; /* owned */
    int group_count;
};

void muon_destroy(struct muon *muon)
{
    if (!muon) return;
    for (int i = 0; i < muon->group_count; i++) {
        exec_destroy(muon->groups[i].exec);
        graph_clear(&muon->groups[i].graph);
    }
    memory_free(muon->groups);
    memory_free(muon->group_of);
    memory_free(muon->matrices);
    memory_free(muon);
}

static struct node *identity(struct graph *g, int64_t n, float factor)
{
    float *values = arena_alloc(&g->arena, (size_t)(n * n) * sizeof *values);
    if (!values) return graph_fail(g, STATUS_NO_MEMORY, "muon: no memory for a matrix of %lld rows", (long long)n);
    for (int64_t i = 0; i < n; i++) values[i * n + i] = factor;
    return graph_constant(g, SHAPE(n, n), values);
}

/* With X = G / |G| a round is X <- (a I + b A + c A^2) X, where A = X X^T. All that is done to X from the left are
 * polynomials of the first A, which commute, so only small square matrices are multiplied until the end: their product
 * and A <- P A P are kept, and X is met again once. For a tall G the same with A = X^T X, from the right. */
static void build(struct shape_group *group)
{
    const float a = 3.4445f, b = -4.7750f, c = 2.0315f;
    struct graph *g = &group->graph;
    const bool tall = group->rows > group->columns;
    struct node *x = graph_input(g, "matrix", DTYPE_F32, SHAPE(group->rows, group->columns));
    struct node *squares = graph_reduce(g, REDUCE_SUM, graph_mul(g, x, x), 3u);
    x = graph_binary(g, BINARY_DIV, x, graph_scale(g, graph_unary(g, squares, UNARY_SQRT), 1, 1e-7f));
    struct node *gram = graph_matmul(g, x, x, tall, !tall), *total = NULL;
    struct node *first = identity(g, tall ? group->columns : group->rows, a);
    for (int round = 0; round < ROUNDS; round++) {
        struct node *p = graph_add(g, first, graph_scale(g, gram, b, 0));
        p = graph_add(g, p, graph_scale(g, graph_matmul(g, gram, gram, false, false), c, 0));
        total = total ? graph_matmul(g, p, total, false, false) : p;
        if (round + 1 < ROUNDS) gram = graph_matmul(g, graph_matmul(g, p, gram, false, false), p, false, false);
    }
    x = tall ? graph_matmul(g, x, total, false, false) : graph_matmul(g, total, x, false, false);
    const double scale = tall ? sqrt((double)group->rows / (double)group->columns) : 1;
    graph_output(g, "direction", graph_scale(g, x, (float)scale, 0));
}

static int find_group(struct muon *muon, const struct muon_matrix *m)
{
    int i = 0;
    while (i < muon->group_count && (muon->groups[i].rows != m->rows || muon->groups[i].columns != m->columns)) i++;
    if (i == muon->group_count)
        muon->groups[muon->group_count++] = (struct shape_group){.rows = m->rows, .columns = m->columns};
    return i;
}

static enum status open_runs(struct muon *muon, struct backend *backend, size_t limit, size_t *needed,
                             struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < muon->group_count && status == STATUS_OK; i++) {
        struct shape_group *group = &muon->groups[i];
        /* A limit of 0 would be none. */
        const size_t left = limit == 0 ? 0 : limit > *needed ? limit - *needed : 1;
        size_t bytes;
        build(group);
        status = exec_create_within(&group->exec, &group->graph, backend, left, &bytes, err);
        *needed += bytes;
    }
    return status;
}

static enum status prepare(struct muon *muon, const struct muon_matrix *matrices, int count, struct error *err)
{
    const size_t n = (size_t)count, bytes = n * sizeof *matrices;
    muon->matrices = memory_alloc(bytes);
    muon->group_of = memory_alloc(n * sizeof *muon->group_of);
    muon->groups = memory_alloc(n * sizeof *muon->groups);
    if (!muon->matrices || !muon->group_of || !muon->groups) return fail_no_memory(err, "Muon", bytes);
    memcpy(muon->matrices, matrices, bytes);
    muon->count = count;
    for (int i = 0; i < count; i++) muon->group_of[i] = find_group(muon, &matrices[i]);
    return STATUS_OK;
}

enum status muon_create(struct muon **out, struct backend *backend, const struct muon_matrix *matrices, int count,
                        size_t limit, size_t *needed, struct error *err)
{
    *out = NULL;
    *needed = 0;
    struct muon *muon = memory_alloc(sizeof *muon);
    if (!muon) return fail_no_memory(err, "Muon", sizeof *muon);
    enum status status = prepare(muon, matrices, count, err);
    if (status == STATUS_OK) status = open_runs(muon, backend, limit, needed, err);
    if (status == STATUS_OK)
        *out = muon;
    else
        muon_destroy(muon);
    return status;
}

enum status muon_turn(void *context, float *flat, struct error *err)
{
    struct muon *muon = context;
    enum status status = STATUS_OK;
    for (int i = 0; i < muon->count && status == STATUS_OK; i++) {
        struct exec *exec = muon->groups[muon->group_of[i]].exec;
        float *matrix = flat + muon->matrices[i].place;
        status = exec_write(exec, "matrix", matrix, err);
        if (status == STATUS_OK) status = exec_run(exec, err);
        if (status == STATUS_OK) status = exec_read(exec, "direction", matrix, err);
    }
    return status;
}
