/* SPDX-License-Identifier: MIT
 *
 * Planning: what is fused, what is not, where values lie, and on random graphs that no step touches bytes that somebody
 * still needs, and that the planned run computes what the graph says.
 */
#include "core/tensor/exec.h"
#include "tests/support/interpret.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct backend *open_cpu(bool reference_only)
{
    struct backend *cpu = NULL;
    struct error err = {0};
    const struct backend_options options = {.threads = 2, .reference_only = reference_only};
    if (backend_open(&cpu, "cpu", &options, &err) != STATUS_OK) fail_msg("%s", err.text);
    return cpu;
}

static struct plan *make_plan(struct graph *g, struct backend *cpu)
{
    struct plan *plan = NULL;
    struct error err = {0};
    if (plan_create(&plan, g, cpu, &err) != STATUS_OK) fail_msg("%s", err.text);
    return plan;
}

static struct node *in(struct graph *g, const char *name, struct shape shape)
{
    return graph_input(g, name, DTYPE_F32, shape);
}

/* ---- fusion ---- */

/* The operands of small graphs: a convolution of x and its friends. */
struct parts {
    struct node *x, *w, *b, *row, *conv;
};

static struct parts make_parts(struct graph *g)
{
    struct parts p = {in(g, "x", SHAPE(2, 4, 4, 6)), in(g, "w", SHAPE(6, 3, 3, 6)), in(g, "b", SHAPE(6)),
                      in(g, "row", SHAPE(2, 1, 1, 6)), NULL};
    p.conv = graph_conv2d(g, p.x, p.w, p.b, (struct conv){1, PAD(1)});
    return p;
}

/* Plans the graph whose output is y, and returns its last step's node. */
static const struct node *plan_last(struct graph *g, struct node *y, int steps)
{
    graph_output(g, "y", y);
    struct backend *cpu = open_cpu(true);
    struct plan *plan = make_plan(g, cpu);
    assert_int_equal(plan->count, steps);
    int products = 0; /* no graph here has two, and fusion must not do a product's work twice */
    for (int i = 0; i < steps; i++) products += plan->steps[i].node->op == OP_CONV2D;
    assert_true(products <= 1);
    const struct node *last = plan->steps[plan->count - 1].node;
    assert_string_equal(last->name, "y");
    assert_ptr_equal(graph_find(g, "y"), last);
    plan_destroy(plan);
    cpu->f->close(cpu);
    return last;
}

static void test_fuses_activation(void **state)
{
    (void)state;
    struct graph g = {0};
    const struct parts p = make_parts(&g);
    const struct node *last = plan_last(&g, graph_unary(&g, p.conv, UNARY_SILU), 1);
    assert_int_equal(last->op, OP_CONV2D);
    assert_int_equal(last->as.gemm.act, UNARY_SILU);
    assert_int_equal(last->as.gemm.conv.pad.left, 1);
    assert_ptr_equal(last->input[2], p.b);
    graph_clear(&g);
}

static void test_fuses_residual(void **state)
{
    (void)state;
    for (int swap = 0; swap < 2; swap++) {
        struct graph g = {0};
        const struct parts p = make_parts(&g);
        struct node *act = graph_unary(&g, p.conv, UNARY_GELU);
        const struct node *last = plan_last(&g, swap ? graph_add(&g, p.x, act) : graph_add(&g, act, p.x), 1);
        assert_int_equal(last->op, OP_CONV2D);
        assert_int_equal(last->as.gemm.act, UNARY_GELU);
        assert_ptr_equal(last->input[3], p.x);
        graph_clear(&g);
    }
}

static void test_fuses_row(void **state)
{
    (void)state;
    struct graph g = {0};
    const struct parts p = make_parts(&g);
    const struct node *last = plan_last(&g, graph_add(&g, p.conv, p.row), 1);
    assert_ptr_equal(last->input[3], p.row);
    assert_int_equal(last->inputs, 4);
    graph_clear(&g);
}

/* The residual may be made after the product: the fused node stands where the sum stood. */
static void test_fuses_later_residual(void **state)
{
    (void)state;
    struct graph g = {0};
    const struct parts p = make_parts(&g);
    struct node *later = graph_scale(&g, p.x, 3, 0);
    const struct node *last = plan_last(&g, graph_add(&g, p.conv, later), 2);
    assert_int_equal(last->op, OP_CONV2D);
    assert_ptr_equal(last->input[3], later);
    graph_clear(&g);
}

static void test_fuses_linear_and_norm(void **state)
{
    (void)state;
    struct graph g = {0};
    struct node *x = in(&g, "x", SHAPE(2, 5, 6));
    struct node *y = graph_unary(&g, graph_linear(&g, x, in(&g, "w", SHAPE(6, 6)), NULL), UNARY_QUICK_GELU);
    y = graph_unary(&g, graph_group_norm(&g, y, NULL, NULL, (struct norm){.groups = 2, .eps = 1e-5f}), UNARY_SILU);
    const struct node *last = plan_last(&g, y, 2);
    assert_int_equal(last->op, OP_GROUP_NORM);
    assert_int_equal(last->as.norm.act, UNARY_SILU);
    assert_int_equal(last->input[0]->as.gemm.act, UNARY_QUICK_GELU);
    graph_clear(&g);
}

static void test_does_not_fuse(void **state)
{
    (void)state;
    for (int i = 0; i < 11; i++) {
        struct graph g = {0};
        const struct parts p = make_parts(&g);
        struct node *a = graph_unary(&g, p.conv, UNARY_SILU), *y = a;
        int steps = 2;
        switch (i) {
        case 0:
            y = graph_mul(&g, a, p.conv);
            steps = 3;
            break;                                                                  /* two readers */
        case 1: graph_output(&g, "early", p.conv); break;                           /* an output is a reader */
        case 2: y = graph_leaky_relu(&g, p.conv, 0.5f); break;                      /* no place for the slope */
        case 3: y = graph_unary(&g, a, UNARY_SILU); break;                          /* one activation only */
        case 4: y = graph_unary(&g, graph_add(&g, p.conv, p.x), UNARY_RELU); break; /* not before the residual */
        case 5: y = graph_add(&g, graph_add(&g, p.conv, p.x), p.row); break;        /* one residual only */
        case 6:
            y = graph_add(&g, p.conv, graph_slice(&g, p.row, 0, 0, 1));
            steps = 3;
            break; /* a row for all */
        case 7: y = graph_binary(&g, BINARY_SUB, p.x, p.conv); break;
        case 8: /* two readers, one of them a sum */
            y = graph_mul(&g, graph_add(&g, p.conv, p.x), p.conv);
            steps = 3;
            break;
        case 9: y = graph_add(&g, p.conv, in(&g, "v", SHAPE(2, 4, 1, 6))); break; /* neither its shape nor a row */
        default: y = graph_add(&g, p.conv, p.conv); break;
        }
        plan_last(&g, y, steps);
        graph_clear(&g);
    }
}

/* ---- places ---- */

static void test_drops_and_reuses(void **state)
{
    (void)state;
    struct graph g = {0};
    struct node *x = in(&g, "x", SHAPE(1, 1000)), *y = graph_softmax(&g, x, 1), *first = y;
    graph_unary(&g, x, UNARY_EXP); /* nobody needs it */
    for (int i = 0; i < 20; i++) y = graph_reshape(&g, graph_scale(&g, y, 2, 1), i % 2 ? SHAPE(1, 1000) : SHAPE(1000));
    graph_output(&g, "y", y);
    struct backend *cpu = open_cpu(true);
    struct plan *plan = make_plan(&g, cpu);
    assert_int_equal(plan->count, 21);
    assert_int_equal(plan->bytes, 2 * 4032); /* the input, and one value that is written over and over */
    assert_int_equal(plan->offsets[first->index], plan->offsets[y->index]);
    assert_int_equal(plan->offsets[first->index + 1], SIZE_MAX);
    plan_destroy(plan);
    cpu->f->close(cpu);
    graph_clear(&g);
}

static bool refuse_everything(struct backend *b, const struct node *node, size_t *work)
{
    (void)b, (void)work;
    return node->op != OP_SOFTMAX;
}

static void test_refuses_by_name(void **state)
{
    (void)state;
    struct graph g = {0};
    graph_output(&g, "y", graph_softmax(&g, in(&g, "x", SHAPE(3, 4)), 1));
    const struct backend_functions functions = {.name = "toy", .supports = refuse_everything};
    struct backend toy = {.f = &functions};
    struct plan *plan = NULL;
    struct error err = {0};
    assert_int_equal(plan_create(&plan, &g, &toy, &err), STATUS_UNSUPPORTED);
    assert_string_equal(err.text, "the toy backend has no softmax with a result [3, 4] and these operands");
    assert_null(plan);
    graph_clear(&g);
}

/* ---- random graphs ---- */

static uint64_t next(uint64_t *seed)
{
    uint64_t z = *seed += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static int below(uint64_t *seed, int n)
{
    return (int)(next(seed) % (uint64_t)n);
}

enum { B = 2, SIDE = 4, C = 6, NODES = 40 };

/* Random constants are the weights, so that a graph needs no checkpoint. */
static struct node *weight(struct graph *g, uint64_t *seed, struct shape shape)
{
    float values[C * 9 * 2 * C];
    for (int64_t i = 0; i < shape_count(shape); i++)
        values[i] = ((float)below(seed, 2001) - 1000) / 1000 / sqrtf((float)shape_count(shape) / (float)shape.dim[0]);
    return graph_constant(g, shape, values);
}

static struct node *tokens(struct graph *g, struct node *x)
{
    return graph_reshape(g, x, SHAPE(B, SIDE * SIDE, C));
}

/* All values but a few on the way are [B, SIDE, SIDE, C], so that anything can follow anything. */
static struct node *random_node(struct graph *g, uint64_t *seed, struct node *x, struct node *y)
{
    const struct shape shape = SHAPE(B, SIDE, SIDE, C);
    const struct norm norm = {.groups = 2, .eps = 1e-3f};
    struct node *t;
    switch (below(seed, 14)) {
    case 0: return graph_unary(g, x, (enum unary)below(seed, UNARY_TANH));
    case 1: return graph_add(g, x, y);
    case 2: return graph_binary(g, BINARY_SUB, x, y);
    case 3: return graph_scale(g, x, 0.5f, 0.25f);
    case 4: return graph_group_norm(g, x, NULL, weight(g, seed, SHAPE(C)), norm);
    case 5: return graph_conv2d(g, x, weight(g, seed, SHAPE(C, 3, 3, C)), NULL, (struct conv){1, PAD(1)});
    case 6:
        return graph_conv2d(g, x, weight(g, seed, SHAPE(C, 1, 1, C)), weight(g, seed, SHAPE(C)),
                            (struct conv){.stride = 1});
    case 7: return graph_add(g, x, graph_reduce(g, REDUCE_MEAN, y, 6));
    case 8: t = graph_concat(g, x, y, 3); return graph_slice(g, t, 3, below(seed, C), C);
    case 9:
        t = graph_linear(g, tokens(g, x), weight(g, seed, SHAPE(2 * C, C)), NULL);
        return graph_reshape(g, graph_geglu(g, t), shape);
    case 10:
        t = graph_layer_norm(g, tokens(g, x), NULL, NULL, 1e-3f);
        return graph_reshape(g, graph_attention(g, t, tokens(g, y), t, (struct attention){.heads = 2}), shape);
    case 11: return graph_average_pool(g, graph_upsample(g, x, 2), 2, 2);
    case 12: return graph_permute(g, x, (int[]){0, 2, 1, 3});
    default:
        t = graph_linear(g, tokens(g, x), weight(g, seed, SHAPE(C, C)), NULL);
        return graph_reshape(g, graph_add(g, tokens(g, y), t), shape);
    }
}

static void random_graph(struct graph *g, uint64_t seed)
{
    char name[16];
    struct node *values[NODES + 2] = {in(g, "a", SHAPE(B, SIDE, SIDE, C)), in(g, "b", SHAPE(B, SIDE, SIDE, C))};
    int count = 2;
    const int nodes = 3 + below(&seed, NODES - 3);
    for (int i = 0; i < nodes; i++) {
        /* Mostly recent values, so that chains arise that can be fused and written over. */
        struct node *x = below(&seed, 3) ? values[count - 1] : values[below(&seed, count)];
        struct node *y = values[below(&seed, count)];
        values[count++] = random_node(g, &seed, x, y);
        if (below(&seed, 8) == 0) {
            snprintf(name, sizeof name, "out%d", i);
            graph_output(g, name, values[below(&seed, count)]);
        }
    }
    graph_output(g, "y", values[count - 1]);
    if (g->error.status != STATUS_OK) fail_msg("%s", g->error.text);
}

/* ---- the brute-force checker ---- every 64 bytes of the arena know which node wrote them last */

enum { NOBODY = -1, SCRATCH = -2 };

static size_t lines(size_t bytes)
{
    return (bytes + 63) / 64;
}

static size_t bytes_of(const struct node *node)
{
    return dtype_bytes(node->dtype, (size_t)shape_count(node->shape));
}

static void mark(int *owner, size_t offset, size_t bytes, int who)
{
    for (size_t i = 0; i < lines(bytes); i++) owner[offset / 64 + i] = who;
}

static void expect(const int *owner, const struct plan *plan, const struct node *node, int who)
{
    const size_t offset = plan->offsets[node->index];
    for (size_t i = 0; i < lines(bytes_of(node)); i++)
        if (owner[offset / 64 + i] != who)
            fail_msg("node %d (%s): its bytes at %zu belong to %d", node->index, op_name(node->op), offset + i * 64,
                     owner[offset / 64 + i]);
}

/* The node whose bytes a value is: behind reshapes that have no step of their own. */
static int writer(const struct plan *plan, const struct node *node)
{
    for (int i = 0; i < plan->count; i++)
        if (plan->steps[i].node == node) return node->index;
    return node->op == OP_RESHAPE ? writer(plan, node->input[0]) : node->index;
}

static void check_overlap(const struct plan *plan, const struct plan_step *step)
{
    const size_t end = step->offset + lines(bytes_of(step->node)) * 64;
    for (int i = 0; i < step->node->inputs; i++) {
        const struct node *operand = step->node->input[i];
        if (!operand) continue;
        const size_t from = plan->offsets[operand->index], to = from + lines(bytes_of(operand)) * 64;
        if (to <= step->offset || end <= from) continue;
        if (from != step->offset || !plan_overwrites(step->node, i))
            fail_msg("%s writes over operand %d", op_name(step->node->op), i);
        for (int j = 0; j < step->node->inputs; j++)
            if (j != i && step->node->input[j] && writer(plan, step->node->input[j]) == writer(plan, operand))
                fail_msg("%s writes over operand %d, which is operand %d too", op_name(step->node->op), i, j);
    }
}

static void check_run(const struct plan *plan, int *owner)
{
    for (int s = 0; s < plan->count; s++) {
        const struct plan_step *step = &plan->steps[s];
        assert_int_equal(step->offset % 64, 0);
        assert_int_equal(step->work_offset % 64, 0);
        assert_true(step->offset + bytes_of(step->node) <= plan->bytes);
        assert_true(step->work_offset + step->work <= plan->bytes);
        mark(owner, step->work_offset, step->work, SCRATCH);
        for (int i = 0; i < step->node->inputs; i++)
            if (step->node->input[i]) expect(owner, plan, step->node->input[i], writer(plan, step->node->input[i]));
        check_overlap(plan, step);
        mark(owner, step->offset, bytes_of(step->node), step->node->index);
        const size_t work_lines = lines(step->work);
        for (size_t i = 0; i < work_lines; i++) assert_int_equal(owner[step->work_offset / 64 + i], SCRATCH);
    }
    for (int i = 0; i < plan->graph->output_count; i++)
        expect(owner, plan, plan->graph->outputs[i], writer(plan, plan->graph->outputs[i]));
}

static void check_places(const struct plan *plan)
{
    int *owner = test_malloc((lines(plan->bytes) + 1) * sizeof *owner);
    for (size_t i = 0; i < lines(plan->bytes); i++) owner[i] = NOBODY;
    for (int i = 0; i < plan->graph->count; i++) {
        const struct node *node = plan->graph->nodes[i];
        if ((node->op == OP_INPUT || node->op == OP_CONSTANT) && plan->offsets[i] != SIZE_MAX)
            mark(owner, plan->offsets[i], bytes_of(node), i);
    }
    check_run(plan, owner);
    check_run(plan, owner); /* again, without writing the inputs */
    test_free(owner);
}

static void test_no_bytes_in_use_are_written(void **state)
{
    (void)state;
    struct backend *cpu = open_cpu(true);
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct graph g = {0};
        random_graph(&g, seed);
        struct plan *plan = make_plan(&g, cpu);
        check_places(plan);
        plan_destroy(plan);
        graph_clear(&g);
    }
    cpu->f->close(cpu);
}

/* ---- the planned run against the graph as it was built ---- */

static void fill(float *x, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) x[i] = ((float)below(&seed, 2001) - 1000) / 1000;
}

static void compare(struct exec *exec, const struct graph *g, double *const *want, uint64_t seed)
{
    float got[B * SIDE * SIDE * C];
    struct error err = {0};
    for (int i = 0; i < g->output_count; i++) {
        const struct node *output = g->outputs[i];
        const double *expected = want[output->index];
        double largest = 1e-3;
        assert_int_equal(exec_read(exec, output->name, got, &err), STATUS_OK);
        for (int k = 0; k < B * SIDE * SIDE * C; k++) largest = fmax(largest, fabs(expected[k]));
        for (int k = 0; k < B * SIDE * SIDE * C; k++)
            if (!(fabs((double)got[k] - expected[k]) <= 1e-4 * largest))
                fail_msg("seed %llu, output '%s', element %d: %.9g instead of %.9g", (unsigned long long)seed,
                         output->name, k, (double)got[k], expected[k]);
    }
}

static void check_values(struct backend *cpu, uint64_t seed)
{
    struct graph built = {0}, planned = {0};
    random_graph(&built, seed);
    random_graph(&planned, seed);
    float a[B * SIDE * SIDE * C], b[B * SIDE * SIDE * C];
    double **want = interpret_create(&built);
    struct exec *exec = NULL;
    struct error err = {0};
    if (exec_create(&exec, &planned, cpu, 0, &err) != STATUS_OK) fail_msg("%s", err.text);
    for (uint64_t run = 0; run < 2; run++) { /* the second run finds the first one's remains in the arena */
        fill(a, sizeof a / sizeof *a, seed + run);
        fill(b, sizeof b / sizeof *b, seed + run + 1000);
        for (int i = 0; i < B * SIDE * SIDE * C; i++) {
            want[0][i] = (double)a[i];
            want[1][i] = (double)b[i];
        }
        interpret_run(&built, want, built.count - 1);
        assert_int_equal(exec_write(exec, "a", a, &err), STATUS_OK);
        assert_int_equal(exec_write(exec, "b", b, &err), STATUS_OK);
        assert_int_equal(exec_run(exec, &err), STATUS_OK);
        compare(exec, &built, want, seed);
    }
    interpret_destroy(&built, want);
    exec_destroy(exec);
    graph_clear(&built);
    graph_clear(&planned);
}

static void test_planned_runs_compute_the_graph(void **state)
{
    (void)state;
    for (int reference = 0; reference < 2; reference++) {
        struct backend *cpu = open_cpu(reference);
        for (uint64_t seed = 0; seed < 150; seed++) check_values(cpu, seed);
        cpu->f->close(cpu);
    }
}

static void test_every_allocation_fails(void **state)
{
    (void)state;
    struct backend *cpu = open_cpu(true);
    for (uint64_t n = 1;; n++) {
        struct graph g = {0};
        random_graph(&g, 5);
        struct plan *plan = NULL;
        struct error err = {0};
        memory_fail_after(n);
        const enum status status = plan_create(&plan, &g, cpu, &err);
        memory_fail_after(0);
        plan_destroy(plan);
        graph_clear(&g);
        if (status == STATUS_OK) {
            assert_true(n > 4);
            break;
        }
        assert_int_equal(status, STATUS_NO_MEMORY);
        assert_null(plan);
    }
    cpu->f->close(cpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fuses_activation),
        cmocka_unit_test(test_fuses_residual),
        cmocka_unit_test(test_fuses_row),
        cmocka_unit_test(test_fuses_later_residual),
        cmocka_unit_test(test_fuses_linear_and_norm),
        cmocka_unit_test(test_does_not_fuse),
        cmocka_unit_test(test_drops_and_reuses),
        cmocka_unit_test(test_refuses_by_name),
        cmocka_unit_test(test_no_bytes_in_use_are_written),
        cmocka_unit_test(test_planned_runs_compute_the_graph),
        cmocka_unit_test(test_every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
