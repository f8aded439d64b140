/* SPDX-License-Identifier: MIT
 *
 * The chain rule: nodes are visited from the loss backwards, in the opposite of the order of evaluation, so when a node
 * is reached all its readers have given their shares.
 */
#include "core/tensor/gradient_rules.h"

static gradient_rule *const rules[OP_COUNT] = {
    [OP_LINEAR] = gradient_linear,
    [OP_MATMUL] = gradient_matmul,
    [OP_CONV2D] = gradient_conv2d,
    [OP_CONV2D_TRANSPOSE] = gradient_conv2d_transpose,
    [OP_CONV2D_WEIGHT] = gradient_conv2d_weight,
    [OP_GROUP_NORM] = gradient_group_norm,
    [OP_LAYER_NORM] = gradient_layer_norm,
    [OP_BATCH_NORM] = gradient_batch_norm,
    [OP_NORM_GRADIENT] = gradient_norm_gradient,
    [OP_UNARY] = gradient_unary,
    [OP_UNARY_GRADIENT] = gradient_unary_gradient,
    [OP_BINARY] = gradient_binary,
    [OP_SCALE] = gradient_scale,
    [OP_GEGLU] = gradient_geglu,
    [OP_ATTENTION] = gradient_attention,
    [OP_SOFTMAX] = gradient_softmax,
    [OP_EMBEDDING] = gradient_embedding,
    [OP_SCATTER] = gradient_scatter,
    [OP_UPSAMPLE] = gradient_upsample,
    [OP_AVERAGE_POOL] = gradient_average_pool,
    [OP_CONCAT] = gradient_concat,
    [OP_SLICE] = gradient_slice,
    [OP_PAD] = gradient_pad,
    [OP_RESHAPE] = gradient_reshape,
    [OP_PERMUTE] = gradient_permute,
    [OP_REDUCE] = gradient_reduce,
    [OP_BROADCAST] = gradient_broadcast,
};

bool chain_wanted(const struct chain *c, const struct node *operand)
{
    if (!operand) return false;
    const int index = recompute_original(c->recompute, (struct node *)operand)->index;
    return index < c->count && c->wanted[index];
}

void chain_give(struct chain *c, struct node *operand, struct node *share)
{
    if (!chain_wanted(c, operand) || c->g->error.status != STATUS_OK) return;
    if (!shape_equal(operand->shape, share->shape)) {
        graph_fail(c->g, STATUS_ARGUMENT, "gradient: a %s has another shape than its gradient", op_name(operand->op));
        return;
    }
    struct node **sum = &c->gradient[recompute_original(c->recompute, operand)->index];
    *sum = *sum ? graph_add(c->g, *sum, share) : share;
}

static void mark_wanted(struct chain *c, int first, struct node *const of[], int count)
{
    for (int i = 0; i < count; i++)
        if (of[i]) c->wanted[of[i]->index] = true;
    for (int i = first; i < c->count; i++) {
        const struct node *node = c->g->nodes[i];
        for (int j = 0; j < node->inputs; j++)
            if (chain_wanted(c, node->input[j]) && node->dtype == DTYPE_F32) c->wanted[i] = true;
    }
}

/* What fusion sets in a node has no place in the rules; nor has an operation that was forgotten in the table. */
static void apply_rule(struct chain *c, struct node *y, struct node *dy)
{
    const bool product = y->op == OP_LINEAR || y->op == OP_CONV2D;
    if (product && (y->as.gemm.act != UNARY_NONE || y->input[3]))
        graph_fail(c->g, STATUS_ARGUMENT, "gradient: a %s was fused already; gradients come before planning",
                   op_name(y->op));
    else if (!rules[y->op])
        graph_fail(c->g, STATUS_UNSUPPORTED, "gradient: there is no rule for %s", op_name(y->op));
    else
        rules[y->op](c, y, dy);
}

/* Gradients of `y`, whose own is dy, with respect to the `count` nodes `of`; nodes before `first` count as leaves. */
static void differentiate(struct graph *g, struct node *y, struct node *dy, int first, struct recompute *recompute,
                          struct node *const of[], int count, struct node *gradient[])
{
    if (g->error.status != STATUS_OK) return;
    struct chain c = {.g = g, .count = g->count, .recompute = recompute};
    const size_t nodes = (size_t)g->count, bytes = nodes * (sizeof *c.gradient + sizeof *c.wanted);
    c.gradient = memory_alloc(bytes);
    if (!c.gradient) {
        fail_no_memory(&g->error, "gradients", bytes);
        return;
    }
    c.wanted = (bool *)(c.gradient + nodes);
    mark_wanted(&c, first, of, count);
    chain_give(&c, y, dy);
    for (int i = y->index; i >= first && g->error.status == STATUS_OK; i--) {
        struct node *view = recompute_view(recompute, g, i);
        if (c.gradient[i] && c.wanted[i] && !gradient_is_leaf(view)) apply_rule(&c, view, c.gradient[i]);
    }
    for (int i = 0; i < count; i++)
        if (of[i]) gradient[i] = c.gradient[of[i]->index];
    memory_free(c.gradient);
}

void chain_through(struct chain *c, const struct node *y, struct node *dy, struct node *formula, int first)
{
    struct node *of[NODE_MAX_INPUTS] = {0}, *gradient[NODE_MAX_INPUTS] = {0};
    for (int i = 0; i < y->inputs; i++) {
        bool seen = false; /* An operand that comes twice has one gradient. */
        for (int j = 0; j < i; j++) seen = seen || y->input[j] == y->input[i];
        if (!seen && chain_wanted(c, y->input[i])) of[i] = y->input[i];
    }
    differentiate(c->g, formula, dy, first, NULL, of, y->inputs, gradient);
    for (int i = 0; i < y->inputs; i++)
        if (gradient[i]) chain_give(c, of[i], gradient[i]);
}

static struct node *filled(struct graph *g, struct shape shape, float value)
{
    const struct shape one = {.rank = shape.rank, .dim = {1, 1, 1, 1}};
    struct node *node = graph_constant(g, one, &value);
    return shape_equal(shape, one) ? node : graph_broadcast(g, node, shape);
}

void graph_grad_in_pieces(struct graph *g, struct node *loss, int pieces, struct node *const of[], int count,
                          struct node *gradient[])
{
    char text[SHAPE_TEXT_BYTES];
    for (int i = 0; i < count; i++) gradient[i] = NULL;
    if (g->error.status == STATUS_OK && shape_count(loss->shape) != 1)
        graph_fail(g, STATUS_ARGUMENT, "gradient: the loss is %s and must be one number",
                   shape_text(loss->shape, text));
    for (int i = 0; i < count && g->error.status == STATUS_OK; i++)
        if (of[i]->dtype == DTYPE_I32) graph_fail(g, STATUS_ARGUMENT, "gradient: ids have none");
    struct recompute *recompute = NULL;
    if (pieces > 1 && g->error.status == STATUS_OK) recompute = recompute_create(g, loss->index + 1, pieces);
    differentiate(g, loss, filled(g, loss->shape, 1), 0, recompute, of, count, gradient);
    memory_free(recompute);
    for (int i = 0; i < count; i++) {
        if (!gradient[i]) gradient[i] = filled(g, of[i]->shape, 0);
        if (g->error.status != STATUS_OK) gradient[i] = &g->nil;
    }
}

void graph_grad(struct graph *g, struct node *loss, struct node *const of[], int count, struct node *gradient[])
{
    graph_grad_in_pieces(g, loss, 1, of, count, gradient);
}

/* ---- what rules share ---- */

struct node *gradient_sum_to(struct graph *g, struct node *dy, struct shape shape)
{
    unsigned axes = 0;
    for (int i = 0; i < shape.rank; i++)
        if (shape.dim[i] == 1 && shape_dim(dy->shape, i) != 1) axes |= 1u << i;
    return axes ? graph_reduce(g, REDUCE_SUM, dy, axes) : dy;
}

struct node *gradient_of_vector(struct graph *g, struct node *dy)
{
    const int64_t width = shape_dim(dy->shape, -1);
    dy = graph_reshape(g, dy, SHAPE(shape_rows(dy->shape), width));
    return graph_reshape(g, graph_reduce(g, REDUCE_SUM, dy, 1u), SHAPE(width));
}

struct node *gradient_as_row(struct graph *g, struct node *vector, int rank)
{
    struct shape shape = {.rank = rank, .dim = {1, 1, 1, 1}};
    shape.dim[rank - 1] = shape_dim(vector->shape, 0);
    return graph_reshape(g, vector, shape);
}
