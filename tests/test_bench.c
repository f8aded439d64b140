/* SPDX-License-Identifier: MIT
 *
 * What limn bench counts and prints: operations by hand, and one small case through the program.
 */
#include "core/tensor/flops.h"
#include "tests/support/command.h"
#include "tests/support/tiny.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_flops(void **state)
{
    (void)state;
    struct graph g = {0};
    const struct conv conv = {.stride = 2, .pad = PAD(1)};
    struct node *x = graph_input(&g, "x", DTYPE_F32, SHAPE(2, 8, 6, 5));
    struct node *w = graph_param(&g, "w", PARAM_CONV, SHAPE(7, 3, 3, 5));
    struct node *y = graph_conv2d(&g, x, w, NULL, conv); /* [2, 4, 3, 7] */
    assert_true(flops_of_node(y) == 2.0 * (2 * 4 * 3 * 7) * (3 * 3 * 5));

    struct node *v = graph_param(&g, "v", PARAM_CONV_TRANSPOSE, SHAPE(5, 2, 2, 3));
    struct node *t = graph_conv2d_transpose(&g, x, v, NULL, (struct conv){.stride = 2});
    assert_true(flops_of_node(t) == 2.0 * (2 * 8 * 6 * 5) * (2 * 2 * 3));

    struct node *tokens = graph_reshape(&g, x, SHAPE(2, 48, 5));
    struct node *z = graph_linear(&g, tokens, graph_param(&g, "l", PARAM_PLAIN, SHAPE(11, 5)), NULL);
    assert_true(flops_of_node(z) == 2.0 * (2 * 48 * 11) * 5);
    struct node *m = graph_matmul(&g, tokens, tokens, true, false); /* [5, 48] x [48, 5] */
    assert_true(flops_of_node(m) == 2.0 * (2 * 5 * 5) * 48);

    struct node *few = graph_slice(&g, tokens, 1, 0, 9);
    struct node *a = graph_attention(&g, tokens, few, few, (struct attention){.heads = 1});
    assert_true(flops_of_node(a) == 4.0 * (2 * 48 * 5) * 9);
    assert_true(flops_of_node(graph_add(&g, tokens, tokens)) == 0);
    assert_int_equal(g.error.status, STATUS_OK);
    graph_clear(&g);
}

static void test_case(void **state)
{
    (void)state;
    char model[TINY_PATH_BYTES], words[128];
    tiny_write(model, TINY_PACK);
    snprintf(words, sizeof words, "bench pack-picture -m %s --json", model);
    struct outcome o = command_run(".", words, NULL);
    if (o.status != 0) fail_msg("%s", o.err);
    json_t *json = json_loads(o.out, 0, NULL);
    const double sgemm = json_number_value(json_object_get(json, "sgemm_gflops"));
    json_t *result = json_array_get(json_object_get(json, "cases"), 0);
    assert_string_equal(json_string_value(json_object_get(result, "name")), "pack-picture");
    const double gflop = json_number_value(json_object_get(result, "gflop"));
    const double seconds = json_number_value(json_object_get(result, "seconds"));
    const double ratio = json_number_value(json_object_get(result, "ratio"));
    assert_true(sgemm > 0 && gflop > 0 && seconds > 0);
    assert_true(ratio > 0.999 * seconds * sgemm / gflop && ratio < 1.001 * seconds * sgemm / gflop);

    double sum = 0, time = 0;
    size_t i;
    json_t *op;
    json_array_foreach(json_object_get(result, "ops"), i, op)
    {
        sum += json_number_value(json_object_get(op, "gflop"));
        time += json_number_value(json_object_get(op, "seconds"));
    }
    assert_true(sum > 0.999 * gflop && sum < 1.001 * gflop);
    assert_true(time <= seconds);
    json_decref(json);
    outcome_clear(&o);
    tiny_remove(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_flops), cmocka_unit_test(test_case)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
