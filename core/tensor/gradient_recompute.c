/* SPDX-License-Identifier: MIT
 *
 * Less memory for more work: the forward pass is cut into pieces, and the backward pass computes each piece again
 * before it differentiates it (Chen et al. 2016, arXiv 1604.06174). What then has to be kept are only the values that
 * one piece leaves to a later one:
 *
 *     forward       [ piece 0 ]-a-[ piece 1 ]-b-[ piece 2 ]      a, b, and what skips a piece, are kept
 *     backward      piece 2, piece 1 again, piece 1, piece 0 again, piece 0
 *
 * Cuts are made where little is alive, near the places that part the bytes evenly. A piece is computed again by twins
 * of its nodes; rules see the twins, and shares that they give go to the nodes themselves. Planning drops the twins
 * that nothing reads.
 */
#include "core/tensor/gradient_rules.h"

#include "core/tensor/build.h"

struct recompute {
    bool *ends, *kept;           /* by node: a piece ends with it; a later piece reads it */
    struct node **twin;          /* by node, for those of the piece that was made last */
    struct node **twin_of;       /* by place among the twins of that piece */
    int first_twin, twins, last; /* nodes after `last` are in the last piece, which needs no twins */
};

bool gradient_is_leaf(const struct node *node)
{
    return node->op == OP_INPUT || node->op == OP_PARAM || node->op == OP_CONSTANT;
}

static int64_t bytes_of(const struct node *node)
{
    return gradient_is_leaf(node) ? 0 : (int64_t)dtype_bytes(node->dtype, (size_t)shape_count(node->shape));
}

/* alive[i]: bytes that nodes up to i leave to nodes after i. */
static void count_alive(const struct graph *g, int64_t *alive, int *last_reader, int count)
{
    for (int i = 0; i < count; i++) {
        last_reader[i] = i;
        for (int j = 0; j < g->nodes[i]->inputs; j++)
            if (g->nodes[i]->input[j]) last_reader[g->nodes[i]->input[j]->index] = i;
    }
    for (int i = 0; i < count; i++) {
        alive[i] += bytes_of(g->nodes[i]);
        alive[last_reader[i]] -= bytes_of(g->nodes[i]);
    }
    for (int i = 1; i < count; i++) alive[i] += alive[i - 1];
}

static void cut(struct recompute *r, const struct graph *g, const int64_t *alive, int count, int pieces)
{
    int64_t all = 0, so_far = 0;
    for (int i = 0; i < count; i++) all += bytes_of(g->nodes[i]);
    r->last = -1;
    for (int piece = 1, i = 0; piece < pieces && i < count; piece++) {
        const int64_t from = all / pieces * piece - all / (3 * pieces), to = from + 2 * (all / (3 * pieces));
        int best = -1;
        for (; i < count && so_far < to; i++) {
            so_far += bytes_of(g->nodes[i]);
            if (so_far >= from && (best < 0 || alive[i] < alive[best])) best = i;
        }
        if (best > r->last) r->ends[r->last = best] = true;
    }
}

static void mark_kept(struct recompute *r, const int *last_reader, int count)
{
    for (int end = count - 1, i = count - 1; i >= 0; i--) {
        if (r->ends[i]) end = i;
        r->kept[i] = last_reader[i] > end;
    }
}

struct recompute *recompute_create(struct graph *g, int count, int pieces)
{
    const size_t n = (size_t)count, pointers = n * sizeof(struct node *), flags = n * sizeof(bool);
    struct arena arena = {0};
    struct recompute *r = memory_alloc(sizeof *r + 2 * pointers + 2 * flags);
    int64_t *alive = arena_alloc(&arena, n * sizeof *alive);
    int *last_reader = arena_alloc(&arena, n * sizeof *last_reader);
    if (!r || !alive || !last_reader) {
        fail_no_memory(&g->error, "gradients", n * sizeof *alive);
    } else {
        r->twin = (struct node **)(r + 1);
        r->twin_of = r->twin + n;
        r->ends = (bool *)(r->twin_of + n);
        r->kept = r->ends + n;
        count_alive(g, alive, last_reader, count);
        cut(r, g, alive, count, pieces);
        mark_kept(r, last_reader, count);
    }
    arena_clear(&arena);
    return r;
}

struct node *recompute_original(const struct recompute *r, struct node *node)
{
    const int place = r ? node->index - r->first_twin : -1;
    return place >= 0 && place < r->twins ? r->twin_of[place] : node;
}

/* A value that is kept is not computed again for its readers; its twin is there so that its rule sees twins. */
static void add_twin(struct recompute *r, struct graph *g, struct node *node, int first)
{
    struct node *in[NODE_MAX_INPUTS] = {0};
    for (int i = 0; i < node->inputs; i++) {
        in[i] = node->input[i];
        const bool again = in[i] && in[i]->index >= first && !r->kept[in[i]->index] && !gradient_is_leaf(in[i]);
        if (again) in[i] = r->twin[in[i]->index];
    }
    struct node *twin = build_node(g, node->op, node->shape, in, NODE_MAX_INPUTS);
    if (twin == &g->nil) return;
    twin->dtype = node->dtype;
    twin->as = node->as;
    r->twin[node->index] = twin;
    r->twin_of[r->twins++] = node;
}

struct node *recompute_view(struct recompute *r, struct graph *g, int i)
{
    if (r && r->ends[i]) {
        int first = i;
        while (first > 0 && !r->ends[first - 1]) first--;
        r->first_twin = g->count;
        r->twins = 0;
        for (int j = first; j <= i; j++)
            if (!gradient_is_leaf(g->nodes[j]) && g->error.status == STATUS_OK) add_twin(r, g, g->nodes[j], first);
    }
    return r && i <= r->last && r->twin[i] ? r->twin[i] : g->nodes[i];
}
