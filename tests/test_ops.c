/* SPDX-License-Identifier: MIT
 *
 * Every operation, at awkward shapes, in every stored type: the reference kernels and the best ones of this machine
 * against the naive double computation; the same bits at 1, 2 and 5 threads, when the result is written over an
 * operand, and for a picture alone as in a batch. Results and scratch are full of NaN beforehand, with guards behind
 * them.
 */
#include "core/cpu/kernels.h"
#include "core/tensor/plan.h"
#include "tests/support/cases.h"
#include "tests/support/naive.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { GUARD_BYTES = 256, POISON = 0xff, TABLES = 2, POOLS = 3 };

static const char *const table_names[TABLES] = {"reference", "best"};
static const int pool_sizes[POOLS] = {1, 2, 5};

struct fixture {
    struct cpu_kernels tables[TABLES];
    struct pool *pools[POOLS];
    int cases; /* one after the other, they run with the second and the third pool */
};

/* ---- running one node ---- */

static void check_guard(const unsigned char *guard, const char *what, const struct node *node)
{
    for (int i = 0; i < GUARD_BYTES; i++)
        if (guard[i] != POISON) {
            case_print(node);
            fail_msg("the kernel wrote behind %s", what);
        }
}

/* `over` is the operand whose bytes the result takes, or -1. Returns the result, freed with test_free. */
static float *run_node(const struct node *node, const void *const in[], const struct cpu_kernels *table,
                       struct pool *pool, int over)
{
    const struct cpu_slot *slot = &table->slot[node->op];
    const size_t bytes = dtype_bytes(node->dtype, (size_t)shape_count(node->shape));
    const size_t work_bytes = slot->work ? slot->work(node, pool_threads(pool)) : 0;
    unsigned char *out = memory_alloc_raw(bytes + GUARD_BYTES), *work = memory_alloc_raw(work_bytes + GUARD_BYTES);
    assert_non_null(out);
    assert_non_null(work);
    memset(out, POISON, bytes + GUARD_BYTES);
    memset(work, POISON, work_bytes + GUARD_BYTES);
    if (over >= 0) memcpy(out, in[over], bytes);
    struct error err = {0};
    struct cpu_call call = {.node = node, .out = out, .work = work, .pool = pool, .err = &err};
    for (int i = 0; i < node->inputs; i++) call.in[i] = i == over ? out : in[i];
    slot->run(&call);
    assert_int_equal(err.status, STATUS_OK);
    check_guard(out + bytes, "its result", node);
    check_guard(work + work_bytes, "its scratch", node);
    float *result = test_malloc(bytes);
    memcpy(result, out, bytes);
    memory_free(out);
    memory_free(work);
    return result;
}

/* ---- a case ---- */

/* Picture i of the batch by itself must have the bits it has in the batch's result. */
static void check_batch(const struct fixture *f, case_builder *build, const struct case_spec *s,
                        const struct case_value *values, const float *whole, int table)
{
    struct graph g = {0};
    const struct node *one = build(&g, 1, s);
    assert_int_equal(g.error.status, STATUS_OK);
    case_set_dtypes(one, s);
    const int64_t n = shape_count(one->shape);
    for (int64_t b = 0; b < CASE_BATCH; b++) {
        const void *in[NODE_MAX_INPUTS] = {0};
        for (int i = 0; i < one->inputs; i++) {
            const bool shared = !one->input[i] || one->input[i]->op == OP_PARAM;
            if (one->input[i])
                in[i] = (const char *)values[i].stored + (shared ? 0 : (size_t)b * values[i].bytes / CASE_BATCH);
        }
        float *got = run_node(one, in, &f->tables[table], f->pools[1], -1);
        case_check_same(one, got, whole + b * n, n, table_names[table], "alone as picture", (int)b);
        test_free(got);
    }
    graph_clear(&g);
}

static void check_table(const struct fixture *f, case_builder *build, const struct case_spec *s,
                        const struct node *node, const struct case_value *values, const double *want, int table)
{
    const void *in[NODE_MAX_INPUTS] = {0};
    for (int i = 0; i < node->inputs; i++) in[i] = values[i].stored;
    const int64_t n = shape_count(node->shape);
    float *first = run_node(node, in, &f->tables[table], f->pools[0], -1);
    case_check_near(node, first, want, table_names[table]);
    const int p = 1 + f->cases % (POOLS - 1);
    float *again = run_node(node, in, &f->tables[table], f->pools[p], -1);
    case_check_same(node, again, first, n, table_names[table], "threads", pool_sizes[p]);
    test_free(again);
    for (int i = 0; i < node->inputs; i++) {
        if (!node->input[i] || !plan_overwrites(node, i)) continue;
        float *over = run_node(node, in, &f->tables[table], f->pools[1], i);
        case_check_same(node, over, first, n, table_names[table], "written over operand", i);
        test_free(over);
    }
    if (!s->alone) check_batch(f, build, s, values, first, table);
    test_free(first);
}

static void check(void *context, case_builder *build, struct case_spec s)
{
    struct fixture *f = context;
    struct graph g = {0};
    const struct node *node = build(&g, CASE_BATCH, &s);
    if (g.error.status != STATUS_OK) fail_msg("%s", g.error.text);
    case_set_dtypes(node, &s);
    struct case_value values[NODE_MAX_INPUTS] = {{0}};
    const double *exact[NODE_MAX_INPUTS] = {0};
    for (int i = 0; i < node->inputs; i++) {
        if (!node->input[i]) continue;
        values[i] = case_value_make(node->input[i], s.S);
        exact[i] = values[i].exact;
    }
    double *want = test_malloc((size_t)shape_count(node->shape) * sizeof *want);
    naive_node(node, exact, want);
    for (int t = 0; t < TABLES; t++) check_table(f, build, &s, node, values, want, t);
    f->cases++;
    test_free(want);
    for (int i = 0; i < node->inputs; i++) {
        if (!node->input[i]) continue;
        case_value_clear(&values[i]);
    }
    graph_clear(&g);
}

/* ---- tests ---- */

#define X(name)                                                                                                        \
    static void test_##name(void **state)                                                                              \
    {                                                                                                                  \
        cases_##name(check, *state);                                                                                   \
    }
CASES_MAP(X)
#undef X

static void test_embedding_refuses(void **state)
{
    const struct fixture *f = *state;
    const int32_t bad[] = {5, -1, INT32_MAX, INT32_MIN};
    const float table[10] = {0};
    for (int t = 0; t < TABLES; t++)
        for (int i = 0; i < 4; i++) {
            struct graph g = {0};
            struct node *ids = graph_input(&g, "ids", DTYPE_I32, SHAPE(1, 2));
            const struct node *node = graph_embedding(&g, ids, graph_param(&g, "table", PARAM_PLAIN, SHAPE(5, 2)));
            const int32_t values[] = {0, bad[i]};
            float out[4];
            struct error err = {0};
            const struct cpu_call call = {
                .node = node, .out = out, .in = {values, table}, .pool = f->pools[1], .err = &err};
            f->tables[t].slot[OP_EMBEDDING].run(&call);
            assert_int_equal(err.status, STATUS_ARGUMENT);
            assert_non_null(strstr(err.text, "at place 1 is not in the embedding's table of 5 rows"));
            graph_clear(&g);
        }
}

/* The tests above are of no use for an operation that no table runs. */
static void test_all_slots(void **state)
{
    const struct fixture *f = *state;
    for (int op = OP_CONSTANT + 1; op < OP_COUNT; op++)
        for (int t = 0; t < TABLES; t++) assert_non_null(f->tables[t].slot[op].run);
}

static int set_up(void **state)
{
    static struct fixture fixture;
    struct error err = {0};
    cpu_kernels_best(&fixture.tables[0], true);
    cpu_kernels_best(&fixture.tables[1], false);
    for (int i = 0; i < POOLS; i++)
        if (pool_create(&fixture.pools[i], pool_sizes[i], &err) != STATUS_OK) return -1;
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    const struct fixture *f = *state;
    for (int i = 0; i < POOLS; i++) pool_destroy(f->pools[i]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_slots), cmocka_unit_test(test_embedding_refuses),
#define X(name) cmocka_unit_test(test_##name),
                                       CASES_MAP(X)
#undef X
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
