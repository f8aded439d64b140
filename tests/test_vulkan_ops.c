/* SPDX-License-Identifier: MIT
 *
 * Every kernel of the Vulkan backend on every case it takes (tests/support/cases.h), against the naive double
 * computation; the same bits when the result is written over an operand, and for a picture alone as in a batch. Where:
 * tests/support/device.h. LIMN_TEST_EVERY=13 takes every 13th case, LIMN_TEST_ONLY='*conv*' the tests of such
 * names.
 */
#include "core/tensor/plan.h"
#include "core/vulkan/backend_vulkan.h"
#include "tests/support/cases.h"
#include "tests/support/device.h"
#include "tests/support/naive.h"
#include "tests/support/run_node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct backend *backend;
    struct vk_context *context;
    bool *used;  /* by kernel, in the order of the families: some case ran it */
    bool halves; /* values lie as F16 */
    int every, cases;
};

static float *run(struct fixture *f, struct graph *g, const struct node *node, const struct case_value *values,
                  int64_t picture, int over)
{
    const void *in[NODE_MAX_INPUTS] = {0};
    for (int i = 0; i < node->inputs; i++) {
        if (!node->input[i]) continue;
        const bool shared = picture < 0 || node->input[i]->op == OP_PARAM;
        in[i] = (const char *)values[i].stored + (shared ? 0 : (size_t)picture * values[i].bytes / CASE_BATCH);
    }
    struct error err = {0};
    void *result = run_node(f->backend, g, node, in, over, &err);
    if (!result) fail_msg("%s", err.text);
    if (node->dtype != DTYPE_F16) return result;
    const size_t n = (size_t)shape_count(node->shape);
    float *wide = test_malloc(n * sizeof *wide);
    dtype_to_f32(wide, result, DTYPE_F16, 0, n);
    test_free(result);
    return wide;
}

/* As a plan does it whose values lie as halves. */
static void store_halves(const struct graph *g)
{
    for (int i = 0; i < g->count; i++)
        if (g->nodes[i]->op != OP_PARAM && g->nodes[i]->dtype == DTYPE_F32) g->nodes[i]->dtype = DTYPE_F16;
}

static void check_batch(struct fixture *f, case_builder *build, const struct case_spec *s,
                        const struct case_value *values, const float *whole, const char *name)
{
    struct graph g = {0};
    const struct node *one = build(&g, 1, s);
    case_set_dtypes(one, s);
    if (f->halves) store_halves(&g);
    const int64_t n = shape_count(one->shape);
    for (int64_t b = 0; b < CASE_BATCH; b += CASE_BATCH - 1) {
        float *got = run(f, &g, one, values, b, -1);
        case_check_same(one, got, whole + b * n, n, name, "alone as picture", (int)b);
        test_free(got);
    }
    graph_clear(&g);
}

static void check_kernel(struct fixture *f, struct graph *g, case_builder *build, const struct case_spec *s,
                         const struct node *node, const struct case_value *values, const double *want, const char *name)
{
    const int64_t n = shape_count(node->shape);
    float *first = run(f, g, node, values, -1, -1);
    case_check_near(node, first, want, name);
    for (int i = 0; i < node->inputs; i++) {
        if (!node->input[i] || !plan_overwrites(node, i)) continue;
        float *over = run(f, g, node, values, -1, i);
        case_check_same(node, over, first, n, name, "written over operand", i);
        test_free(over);
    }
    if (!s->alone) check_batch(f, build, s, values, first, name);
    test_free(first);
}

/* What the node comes to, by the naive computation; if `rounds`, with its second operand rounded to halves, as products
 * of halves take a weight. */
static double *compute(const struct node *node, const struct case_value *values, bool rounds)
{
    const double *exact[NODE_MAX_INPUTS] = {0};
    const int64_t n = rounds ? shape_count(node->input[1]->shape) : 0;
    double *rounded = test_malloc((size_t)n * sizeof *rounded + 1);
    for (int i = 0; i < node->inputs; i++) exact[i] = values[i].exact;
    for (int64_t i = 0; i < n; i++) {
        uint16_t half;
        float value = (float)exact[1][i];
        dtype_from_f32(&half, DTYPE_F16, &value, 1);
        dtype_to_f32(&value, &half, DTYPE_F16, 0, 1);
        rounded[i] = (double)value;
    }
    if (rounds) exact[1] = rounded;
    double *want = test_malloc((size_t)shape_count(node->shape) * sizeof *want);
    naive_node(node, exact, want);
    test_free(rounded);
    return want;
}

/* All kernels that say they can do the node. */
static void check_kernels(struct fixture *f, struct graph *g, case_builder *build, const struct case_spec *s,
                          const struct node *node, const struct case_value *values)
{
    double *want[2] = {NULL, NULL}; /* exactly, and with a rounded weight */
    char name[96];
    int number = 0;
    for (int i = 0; i < vk_family_count(); i++)
        for (int k = 0; k < vk_family_at(i)->count; k++, number++) {
            const struct vk_kernel *kernel = &vk_family_at(i)->kernels[k];
            if (kernel->op != node->op && kernel->op != VK_ANY_OP) continue;
            f->context->choice.only = kernel;
            if (!f->backend->f->supports(f->backend, node, NULL)) continue;
            snprintf(name, sizeof name, "%s of %s%s", kernel->name, vk_family_at(i)->name, f->halves ? ", halves" : "");
            const bool rounds = vk_family_at(i)->halves == VK_HALF_SHADERS_ONLY;
            if (!want[rounds]) want[rounds] = compute(node, values, rounds);
            check_kernel(f, g, build, s, node, values, want[rounds], name);
            f->used[number] = true;
        }
    f->context->choice.only = NULL;
    for (int i = 0; i < 2; i++)
        if (want[i]) test_free(want[i]);
}

static void check_case(struct fixture *f, case_builder *build, struct case_spec s)
{
    struct graph g = {0};
    const struct node *node = build(&g, CASE_BATCH, &s);
    if (g.error.status != STATUS_OK) fail_msg("%s", g.error.text);
    case_set_dtypes(node, &s);
    if (f->halves) store_halves(&g);
    struct case_value values[NODE_MAX_INPUTS] = {{0}};
    for (int i = 0; i < node->inputs; i++)
        if (node->input[i]) values[i] = case_value_make(node->input[i], s.S);
    if (!f->backend->f->supports(f->backend, node, NULL)) {
        case_print(node);
        fail_msg("no kernel: %s", f->backend->reason);
    }
    check_kernels(f, &g, build, &s, node, values);
    for (int i = 0; i < node->inputs; i++)
        if (node->input[i]) case_value_clear(&values[i]);
    graph_clear(&g);
}

/* Every third case with halves too, in turns that come to each kind of weight. */
static void check(void *context, case_builder *build, struct case_spec s)
{
    struct fixture *f = context;
    const int number = f->cases++;
    if (number % f->every != 0) return;
    check_case(f, build, s);
    if (number / f->every % 3 != 0 || !f->context->device->caps.half_storage) return;
    f->halves = true;
    check_case(f, build, s);
    f->halves = false;
}

#define X(name)                                                                                                        \
    static void test_##name(void **state)                                                                              \
    {                                                                                                                  \
        cases_##name(check, *state);                                                                                   \
    }
CASES_MAP(X)
#undef X

/* The tests above are of no use for a kernel that no case comes to; but a device without matrices runs none of theirs.
 */
static void test_all_kernels_ran(void **state)
{
    const struct fixture *f = *state;
    int number = 0;
    if (f->every > 1) {
        print_message("left out: LIMN_TEST_EVERY left cases out\n");
        skip();
    }
    for (int i = 0; i < vk_family_count(); i++)
        for (int k = 0; k < vk_family_at(i)->count; k++, number++)
            if (!f->used[number] &&
                (vk_family_at(i)->halves != VK_HALF_SHADERS_ONLY || f->context->device->caps.fragment.m))
                fail_msg("no case ran the kernel %s of %s", vk_family_at(i)->kernels[k].name, vk_family_at(i)->name);
}

int main(void)
{
    struct fixture fixture = {0};
    struct error err = {0};
    bool used[256] = {false};
    const struct backend_options options = {.device = device_for_tests()};
    if (vulkan_backend_open_hooked(&fixture.backend, &options, NULL, &err) != STATUS_OK) {
        fprintf(stderr, "skipped: %s\n", err.text);
        return DEVICE_SKIPPED;
    }
    fixture.context = vulkan_backend_context(fixture.backend);
    fixture.used = used;
    const char *every = getenv("LIMN_TEST_EVERY");
    fixture.every = every && atoi(every) > 0 ? atoi(every) : 1;
    const struct CMUnitTest tests[] = {
#define X(name) cmocka_unit_test_prestate(test_##name, &fixture),
        CASES_MAP(X)
#undef X
            cmocka_unit_test_prestate(test_all_kernels_ran, &fixture),
    };
    cmocka_set_test_filter(getenv("LIMN_TEST_ONLY"));
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fixture.backend->f->close(fixture.backend);
    return failed;
}
