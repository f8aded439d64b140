/* SPDX-License-Identifier: MIT
 *
 * What limn bench counts and prints: operations by hand, and one small case through the program.
 */
#include "core/tensor/flops.h"
#include "tests/support/command.h"
#include "tests/support/measured.h"
#include "tests/support/scratch.h"
#include "tests/support/tiny.h"

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

/* Operands and result, each once, as they are stored; of a table, the rows that are asked for. */
static void test_bytes(void **state)
{
    (void)state;
    struct graph g = {0};
    struct node *x = graph_input(&g, "x", DTYPE_F32, SHAPE(2, 48, 5));
    struct node *w = graph_param(&g, "w", PARAM_PLAIN, SHAPE(11, 5));
    struct node *y = graph_linear(&g, x, w, NULL);
    w->dtype = DTYPE_F16;
    assert_true(bytes_of_node(y) == 4.0 * (2 * 48 * 5) + 2.0 * (11 * 5) + 4.0 * (2 * 48 * 11));
    struct node *blocks = graph_param(&g, "blocks", PARAM_PLAIN, SHAPE(3, 64));
    struct node *q = graph_linear(&g, graph_input(&g, "q", DTYPE_F32, SHAPE(1, 64)), blocks, NULL);
    blocks->dtype = DTYPE_Q8_0;
    assert_true(bytes_of_node(q) == 4.0 * 64 + 34.0 * (3 * 64 / 32) + 4.0 * 3);
    assert_true(bytes_of_node(graph_add(&g, x, x)) == 4.0 * (2 * 48 * 5) * 2);
    assert_true(bytes_of_node(graph_scale(&g, x, 2, 0)) == 4.0 * (2 * 48 * 5) * 2);
    struct node *table = graph_param(&g, "table", PARAM_PLAIN, SHAPE(1000, 8));
    struct node *e = graph_embedding(&g, graph_input(&g, "ids", DTYPE_I32, SHAPE(1, 3)), table);
    table->dtype = DTYPE_BF16;
    assert_true(bytes_of_node(e) == 4.0 * 3 + 2.0 * (3 * 8) + 4.0 * (3 * 8));
    assert_int_equal(g.error.status, STATUS_OK);
    graph_clear(&g);
}

static void test_picture(void **state)
{
    (void)state;
    measured_check("pack-picture --steps 2", "cpu");
}

static void test_training(void **state)
{
    (void)state;
    measured_check("train-unet-pack --batch 2", "cpu");
}

/* A trace that cannot be written, or is of a run that fails: one sentence, and no file. */
static void check_refusal(const char *words, const char *says, long file_bytes)
{
    struct scratch s;
    char model[TINY_PATH_BYTES], line[1024], want[512];
    scratch_open(&s);
    tiny_write(model, TINY_PACK);
    snprintf(line, sizeof line, "bench pack-picture -m %s --threads 1 --rounds 1 --steps 1 --trace %s/%s", model,
             s.folder, words);
    snprintf(want, sizeof want, says, s.folder);
    struct outcome o = command_run(".", line, &(struct command_limits){.file_bytes = file_bytes});
    assert_int_not_equal(o.status, 0);
    if (strncmp(o.err, want, strlen(want)) != 0) fail_msg("limn %s: %s", line, o.err);
    assert_true(strchr(o.err, '\n') == o.err + strlen(o.err) - 1);
    assert_int_equal(scratch_files(&s), 0);
    outcome_clear(&o);
    tiny_remove(model);
    scratch_close(&s);
}

static void test_no_trace(void **state)
{
    (void)state;
    check_refusal("no/such/t.json", "limn: %s/no/such/t.json: could not be created: No such file or directory\n", 0);
    check_refusal(".", "limn: %s/.: is a folder; the name of a file is needed\n", 0);
    check_refusal("t.json -m nothing.safetensors", "limn: nothing.safetensors: ", 0);
    check_refusal("t.json --device abacus", "limn: device 'abacus': must be cpu, vulkan", 0);
    check_refusal("t.json", "limn: %s/t.json: could not be written: File too large\n", 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flops),    cmocka_unit_test(test_bytes),    cmocka_unit_test(test_picture),
        cmocka_unit_test(test_training), cmocka_unit_test(test_no_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
