/* SPDX-License-Identifier: MIT
 *
 * Peephole fusion. A consumer that can be computed while its producer's result is still in registers takes the
 * producer's place:
 *
 *     conv(x, w, b) --> silu            becomes   conv(x, w, b), act = silu
 *     conv(x, w, b) --> add <-- r       becomes   conv(x, w, b, r)            y = act(product + bias) + r
 *     group_norm(x) --> silu            becomes   group_norm(x), act = silu
 *
 * The fused node stands where the consumer stood, where all operands are there already; so the order of evaluation
 * stays an order, and whoever pointed at the consumer needs no change. The producer is left without a reader and drops
 * out. It must have had only this one, or its work would be done twice.
 */
#include "core/tensor/plan.h"

#include <string.h>

void plan_mark_needed(const struct graph *graph, bool *needed)
{
    memset(needed, 0, (size_t)graph->count * sizeof *needed);
    for (int i = 0; i < graph->output_count; i++) needed[graph->outputs[i]->index] = true;
    for (int i = graph->count - 1; i >= 0; i--) {
        const struct node *node = graph->nodes[i];
        for (int j = 0; j < node->inputs && needed[i]; j++)
            if (node->input[j]) needed[node->input[j]->index] = true;
    }
}

static void count_readers(const struct graph *graph, const bool *needed, int *readers)
{
    for (int i = 0; i < graph->output_count; i++) readers[graph->outputs[i]->index]++;
    for (int i = 0; i < graph->count; i++) {
        const struct node *node = graph->nodes[i];
        for (int j = 0; j < node->inputs && needed[i]; j++)
            if (node->input[j]) readers[node->input[j]->index]++;
    }
}

static bool is_product(const struct node *node)
{
    return node->op == OP_LINEAR || node->op == OP_CONV2D;
}

/* The consumer becomes the producer, but keeps its own place and name. */
static void take_over(struct node *consumer, struct node *producer, int *readers)
{
    struct node fused = *producer;
    fused.index = consumer->index;
    fused.name = consumer->name;
    *consumer = fused;
    readers[producer->index] = 0;
}

static void fuse_unary(struct node *node, int *readers)
{
    struct node *x = node->input[0];
    const enum unary kind = node->as.unary.kind;
    if (readers[x->index] != 1) return;
    /* A product has no place for the slope of leaky ReLU. */
    if (is_product(x) && x->as.gemm.act == UNARY_NONE && !x->input[3] && kind != UNARY_LEAKY_RELU) {
        take_over(node, x, readers);
        node->as.gemm.act = kind;
    } else if (x->op == OP_GROUP_NORM && x->as.norm.act == UNARY_NONE && kind == UNARY_SILU) {
        take_over(node, x, readers);
        node->as.norm.act = kind;
    }
}

/* The product's own shape, or one row for each picture of it. */
static bool is_residual(struct shape residual, struct shape product)
{
    if (shape_equal(residual, product)) return true;
    struct shape row = product;
    for (int i = 1; i < row.rank - 1; i++) row.dim[i] = 1;
    return product.rank >= 3 && shape_equal(residual, row);
}

static void fuse_add(struct node *node, int *readers)
{
    if (node->as.binary != BINARY_ADD || node->input[0] == node->input[1]) return;
    /* Of two products the later one is taken: it moves the least. */
    const int later = node->input[1]->index > node->input[0]->index;
    for (int i = 0; i < 2; i++) {
        struct node *product = node->input[later ^ i], *residual = node->input[!(later ^ i)];
        if (!is_product(product) || product->input[3] || readers[product->index] != 1) continue;
        if (!shape_equal(product->shape, node->shape) || !is_residual(residual->shape, product->shape)) continue;
        take_over(node, product, readers);
        node->input[3] = residual;
        node->inputs = 4;
        return;
    }
}

enum status plan_fuse(struct graph *graph, struct error *err)
{
    const size_t count = (size_t)graph->count;
    const size_t bytes = count * (sizeof(int) + sizeof(bool));
    int *readers = memory_alloc(bytes);
    if (!readers) return fail_no_memory(err, "a plan", bytes);
    bool *needed = (bool *)(readers + count);
    plan_mark_needed(graph, needed);
    count_readers(graph, needed, readers);
    for (size_t i = 0; i < count; i++) {
        struct node *node = graph->nodes[i];
        if (!needed[i]) continue;
        if (node->op == OP_UNARY) fuse_unary(node, readers);
        if (node->op == OP_BINARY) fuse_add(node, readers);
    }
    memory_free(readers);
    return STATUS_OK;
}
