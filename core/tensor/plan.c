/* SPDX-License-Identifier: MIT
 *
 * Where values lie. Nodes that share bytes (a reshape and its operand, a step that writes over its dying operand) form
 * one block; a block lives from its first writer to its last reader. Time runs downwards, the arena to the right:
 *
 *     step            0        offset ->                              bytes
 *      0  conv        |[ x ][     h0      ]                              |    x: an input, lives always
 *      1  group_norm  |[ x ][  h0, then h1 ][work ]                      |    h1 over h0; scratch for one step
 *      2  conv        |[ x ][     h1      ][     h2      ]               |
 *      3  attention   |[ x ][ work ]       [     h2      ][     h3      ]|    h1 is dead, scratch takes its bytes
 *
 * Blocks are placed largest first, each into the smallest gap that is free during its whole life (greedy by size, as
 * in Pisarchyk and Lee 2020, arXiv 2001.03288). The sum of the two lists is known before anything runs.
 */
#include "core/tensor/plan.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { NO_BLOCK = -1, BEFORE_ALL = -1, AFTER_ALL = INT_MAX };

/* A piece of the arena and when it is in use: steps are named by their node's index. */
struct block {
    size_t bytes, offset;
    int first, last;
    int id; /* its place before sorting */
};

struct planner {
    struct plan *plan;
    const struct graph *graph;
    struct arena arena; /* everything below, freed when the plan is made */
    bool *needed;
    int *root;     /* by node: the node whose bytes it has, itself but for reshapes */
    int *last_use; /* by root: the last step that reads it */
    int *block;    /* by node: its block, or NO_BLOCK */
    int *scratch;  /* by node: the block of its scratch, or NO_BLOCK */
    size_t *work;  /* by node: bytes of scratch */
    struct block *blocks;
    int block_count;
};

void plan_destroy(struct plan *plan)
{
    if (!plan) return;
    memory_free(plan->steps);
    memory_free(plan->offsets);
    memory_free(plan);
}

static bool is_leaf(const struct node *node)
{
    return node->op == OP_INPUT || node->op == OP_PARAM || node->op == OP_CONSTANT;
}

bool plan_overwrites(const struct node *node, int i)
{
    switch (node->op) {
    case OP_UNARY:
    case OP_SCALE:
    case OP_GROUP_NORM:
    case OP_LAYER_NORM:
    case OP_BATCH_NORM:
    case OP_SOFTMAX: return i == 0;
    case OP_UNARY_GRADIENT:
    case OP_NORM_GRADIENT: return true;
    case OP_BINARY: return shape_equal(node->input[i]->shape, node->shape);
    case OP_LINEAR:
    case OP_CONV2D: return i == 3 && node->input[3] && shape_equal(node->input[3]->shape, node->shape);
    default: return false;
    }
}

static size_t value_bytes(const struct node *node)
{
    const size_t bytes = dtype_bytes(node->dtype, (size_t)shape_count(node->shape));
    return (bytes + MEMORY_ALIGNMENT - 1) / MEMORY_ALIGNMENT * MEMORY_ALIGNMENT;
}

/* A reshape has its operand's bytes, unless that is a parameter, which lies outside the arena. */
static bool shares_operand(const struct planner *p, const struct node *node)
{
    return node->op == OP_RESHAPE && p->graph->nodes[p->root[node->input[0]->index]]->op != OP_PARAM;
}

static void find_lifetimes(struct planner *p)
{
    for (int i = 0; i < p->graph->count; i++) {
        const struct node *node = p->graph->nodes[i];
        p->root[i] = shares_operand(p, node) ? p->root[node->input[0]->index] : i;
        p->last_use[i] = i;
        if (!p->needed[i] || p->root[i] != i) continue;
        if (is_leaf(node)) p->last_use[i] = AFTER_ALL;
        for (int j = 0; j < node->inputs; j++) {
            int *last = node->input[j] ? &p->last_use[p->root[node->input[j]->index]] : NULL;
            if (last && *last < i) *last = i;
        }
    }
    for (int i = 0; i < p->graph->output_count; i++) p->last_use[p->root[p->graph->outputs[i]->index]] = AFTER_ALL;
}

static int add_block(struct planner *p, size_t bytes, int first, int last)
{
    p->blocks[p->block_count] = (struct block){.bytes = bytes, .first = first, .last = last, .id = p->block_count};
    return p->block_count++;
}

/* The operand that the node may write over: it dies here, is read here in one place only, and is no leaf (those are
 * read again in the next run). */
static int dying_operand(const struct planner *p, const struct node *node)
{
    for (int i = 0; i < node->inputs; i++) {
        if (!node->input[i] || !plan_overwrites(node, i)) continue;
        const int root = p->root[node->input[i]->index];
        int reads = 0;
        for (int j = 0; j < node->inputs; j++) reads += node->input[j] && p->root[node->input[j]->index] == root;
        if (reads == 1 && p->last_use[root] == node->index && p->block[root] != NO_BLOCK) return root;
    }
    return -1;
}

static void make_blocks(struct planner *p)
{
    for (int i = 0; i < p->graph->count; i++) {
        const struct node *node = p->graph->nodes[i];
        p->block[i] = p->scratch[i] = NO_BLOCK;
        if (!p->needed[i] || node->op == OP_PARAM) continue;
        if (p->root[i] != i) {
            p->block[i] = p->block[p->root[i]];
            continue;
        }
        const int over = is_leaf(node) ? -1 : dying_operand(p, node);
        if (over >= 0) {
            p->block[i] = p->block[over];
            p->blocks[p->block[i]].last = p->last_use[i];
        } else {
            p->block[i] = add_block(p, value_bytes(node), is_leaf(node) ? BEFORE_ALL : i, p->last_use[i]);
        }
        if (p->work[i]) p->scratch[i] = add_block(p, p->work[i], i, i);
    }
}

static int larger_first(const void *a, const void *b)
{
    const struct block *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

/* `placed` is sorted by offset. Finds the smallest gap between the placed blocks that live at the same time. */
static size_t find_gap(struct block *const *placed, int count, const struct block *block)
{
    size_t best = SIZE_MAX, best_size = SIZE_MAX, end = 0;
    for (int i = 0; i < count; i++) {
        const struct block *other = placed[i];
        if (other->last < block->first || block->last < other->first) continue;
        if (other->offset > end && other->offset - end >= block->bytes && other->offset - end < best_size) {
            best = end;
            best_size = other->offset - end;
        }
        if (other->offset + other->bytes > end) end = other->offset + other->bytes;
    }
    return best == SIZE_MAX ? end : best;
}

static enum status place_blocks(struct planner *p, struct error *err)
{
    const size_t bytes = (size_t)p->block_count * sizeof(struct block *);
    struct block **placed = arena_alloc(&p->arena, bytes);
    size_t *offset = arena_alloc(&p->arena, (size_t)p->block_count * sizeof *offset);
    if (!placed || !offset) return fail_no_memory(err, "a plan", bytes);
    qsort(p->blocks, (size_t)p->block_count, sizeof *p->blocks, larger_first);
    for (int i = 0; i < p->block_count; i++) {
        struct block *block = &p->blocks[i];
        block->offset = find_gap(placed, i, block);
        offset[block->id] = block->offset;
        if (block->offset + block->bytes > p->plan->bytes) p->plan->bytes = block->offset + block->bytes;
        int at = i;
        for (; at > 0 && placed[at - 1]->offset > block->offset; at--) placed[at] = placed[at - 1];
        placed[at] = block;
    }
    struct plan *plan = p->plan;
    for (int i = 0; i < p->graph->count; i++) {
        const struct node *node = p->graph->nodes[i];
        plan->offsets[i] = p->block[i] == NO_BLOCK ? SIZE_MAX : offset[p->block[i]];
        if (!p->needed[i] || is_leaf(node) || p->root[i] != i) continue;
        plan->steps[plan->count++] = (struct plan_step){
            .node = node,
            .offset = plan->offsets[i],
            .work = p->work[i],
            .work_offset = p->scratch[i] == NO_BLOCK ? 0 : offset[p->scratch[i]],
        };
    }
    return STATUS_OK;
}

/* From here on a value's dtype says how it lies in the arena. */
static void store_halves(struct graph *graph)
{
    for (int i = 0; i < graph->count; i++) {
        struct node *node = graph->nodes[i];
        if (node->op != OP_PARAM && node->dtype == DTYPE_F32) node->dtype = DTYPE_F16;
    }
}

static enum status ask_backend(struct planner *p, struct backend *backend, struct error *err)
{
    for (int i = 0; i < p->graph->count; i++) {
        const struct node *node = p->graph->nodes[i];
        if (!p->needed[i] || is_leaf(node)) continue;
        char text[SHAPE_TEXT_BYTES];
        if (!backend->f->supports(backend, node, &p->work[i]))
            return fail(err, STATUS_UNSUPPORTED, "the %s backend has no %s with a result %s and these operands%s%s",
                        backend->f->name, op_name(node->op), shape_text(node->shape, text),
                        backend->reason[0] ? ": " : "", backend->reason);
        p->work[i] = (p->work[i] + MEMORY_ALIGNMENT - 1) / MEMORY_ALIGNMENT * MEMORY_ALIGNMENT;
    }
    return STATUS_OK;
}

static enum status allocate(struct planner *p, struct error *err)
{
    const size_t count = (size_t)p->graph->count;
    p->needed = arena_alloc(&p->arena, count * sizeof *p->needed);
    p->root = arena_alloc(&p->arena, count * sizeof *p->root);
    p->last_use = arena_alloc(&p->arena, count * sizeof *p->last_use);
    p->block = arena_alloc(&p->arena, count * sizeof *p->block);
    p->scratch = arena_alloc(&p->arena, count * sizeof *p->scratch);
    p->work = arena_alloc(&p->arena, count * sizeof *p->work);
    p->blocks = arena_alloc(&p->arena, 2 * count * sizeof *p->blocks);
    p->plan = memory_alloc(sizeof *p->plan);
    if (p->plan) {
        p->plan->graph = p->graph;
        p->plan->steps = memory_alloc(count * sizeof *p->plan->steps);
        p->plan->offsets = memory_alloc(count * sizeof *p->plan->offsets);
    }
    if (!p->needed || !p->root || !p->last_use || !p->block || !p->scratch || !p->work || !p->blocks || !p->plan ||
        !p->plan->steps || !p->plan->offsets)
        return fail_no_memory(err, "a plan", count * sizeof *p->blocks);
    return STATUS_OK;
}

enum status plan_create(struct plan **out, struct graph *graph, struct backend *backend, struct error *err)
{
    *out = NULL;
    if (graph->error.status != STATUS_OK) return fail(err, graph->error.status, "%s", graph->error.text);
    if (graph->output_count == 0) return fail(err, STATUS_ARGUMENT, "the graph has no output");
    struct planner p = {.graph = graph};
    enum status status = plan_fuse(graph, err);
    if (status == STATUS_OK) status = allocate(&p, err);
    if (status != STATUS_OK) goto done;
    plan_mark_needed(graph, p.needed);
    if (backend->compute == DTYPE_F16 && !backend->plain) store_halves(graph);
    status = ask_backend(&p, backend, err);
    if (status != STATUS_OK) goto done;
    find_lifetimes(&p);
    make_blocks(&p);
    status = place_blocks(&p, err);
done:
    if (status == STATUS_OK) {
        *out = p.plan;
    } else {
        plan_destroy(p.plan);
    }
    arena_clear(&p.arena);
    return status;
}
