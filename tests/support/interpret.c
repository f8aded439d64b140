/* SPDX-License-Identifier: MIT */
#include "tests/support/interpret.h"

#include "tests/support/naive.h"

#include <assert.h>

static bool is_leaf(const struct node *node)
{
    return node->op == OP_INPUT || node->op == OP_PARAM || node->op == OP_CONSTANT;
}

double **interpret_create(const struct graph *g)
{
    double **values = memory_alloc((size_t)g->count * sizeof *values);
    assert(values);
    for (int i = 0; i < g->count; i++) {
        const struct node *node = g->nodes[i];
        const int64_t n = shape_count(node->shape);
        values[i] = memory_alloc((size_t)n * sizeof **values);
        assert(values[i]);
        for (int64_t k = 0; k < n && node->op == OP_CONSTANT; k++) values[i][k] = (double)node->as.constant[k];
    }
    return values;
}

void interpret_run(const struct graph *g, double **values, int last)
{
    for (int i = 0; i <= last; i++) {
        const struct node *node = g->nodes[i];
        const double *in[NODE_MAX_INPUTS] = {0};
        for (int j = 0; j < node->inputs; j++)
            if (node->input[j]) in[j] = values[node->input[j]->index];
        if (!is_leaf(node)) naive_node(node, in, values[i]);
    }
}

void interpret_destroy(const struct graph *g, double **values)
{
    for (int i = 0; i < g->count; i++) memory_free(values[i]);
    memory_free(values);
}

double interpret_slope(const struct graph *g, double **values, const struct node *result, const struct node *leaf,
                       int64_t at)
{
    static const double step[] = {1e-4, -1e-4, 2e-4, -2e-4}, weight[] = {8, -8, -1, 1};
    double *moved = &values[leaf->index][at];
    const double x = *moved;
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        *moved = x + step[i];
        interpret_run(g, values, result->index);
        sum += weight[i] * values[result->index][0];
    }
    *moved = x;
    return sum / (12 * step[0]);
}
