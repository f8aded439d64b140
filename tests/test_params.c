/* SPDX-License-Identifier: MIT
 *
 * Parameters: found by name, checked, converted and turned as they are loaded, shared between graphs; what does not
 * fit is reported in one sentence. And the layers that name them.
 */
#include "core/io/safetensors_write.h"
#include "core/nn/layers.h"
#include "core/nn/params.h"
#include "tests/support/weights.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char path[] = BUILD_DIR "/test_params.safetensors";

/* A checkpoint, a backend and parameters; err holds what params_load said. */
struct session {
    struct graph g;
    struct checkpoint *checkpoint;
    struct backend *cpu;
    struct params *params;
    struct error err;
};

static struct checkpoint *write_and_open(const struct tensor *tensors, int count)
{
    struct error err = {0};
    struct checkpoint *checkpoint = NULL;
    const struct safetensors_file file = {.tensors = tensors, .count = count};
    if (safetensors_write(path, &file, &err) != STATUS_OK) fail_msg("%s", err.text);
    if (checkpoint_open(&checkpoint, path, &err) != STATUS_OK) fail_msg("%s", err.text);
    return checkpoint;
}

static void open_session(struct session *s)
{
    assert_int_equal(backend_open(&s->cpu, "cpu", NULL, &s->err), STATUS_OK);
    assert_int_equal(params_create(&s->params, s->cpu, &s->err), STATUS_OK);
}

static void close_session(struct session *s)
{
    graph_clear(&s->g);
    params_destroy(s->params);
    if (s->cpu) s->cpu->f->close(s->cpu);
    checkpoint_close(s->checkpoint);
    remove(path);
}

static const struct weight *weight_of(const struct graph *g, const char *name)
{
    const struct node *node = graph_find(g, name);
    assert_non_null(node);
    return node->as.param.weight;
}

/* The weight's values as f32. */
static void read_weight(struct session *s, const struct weight *w, float *out)
{
    unsigned char bytes[4096];
    const size_t n = (size_t)shape_count(w->shape), size = dtype_bytes(w->dtype, n);
    assert_true(size <= sizeof bytes);
    assert_int_equal(s->cpu->f->download(s->cpu, bytes, w->buffer, w->offset, size, &s->err), STATUS_OK);
    dtype_to_f32(out, bytes, w->dtype, 0, n);
}

/* 0, 1, 2, ... in the dtype. */
static void count_up(void *out, enum dtype dtype, int n)
{
    for (int i = 0; i < n; i++) {
        const float f = (float)i;
        if (dtype == DTYPE_F64)
            ((double *)out)[i] = (double)i;
        else if (dtype == DTYPE_I64)
            ((int64_t *)out)[i] = i;
        else
            dtype_from_f32((char *)out + dtype_bytes(dtype, (size_t)i), dtype, &f, 1);
    }
}

/* ---- what is loaded ---- */

static void test_layouts_and_dtypes(void **state)
{
    (void)state;
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F64, DTYPE_I64};
    for (int d = 0; d < 5; d++) {
        const enum dtype dtype = dtypes[d], kept = d < 3 ? dtype : DTYPE_F32;
        _Alignas(8) unsigned char conv[24 * 8], up[24 * 8], linear[6 * 8], bias[3 * 8];
        count_up(conv, dtype, 24);
        count_up(up, dtype, 24);
        count_up(linear, dtype, 6);
        count_up(bias, dtype, 3);
        const struct tensor tensors[] = {{.name = "conv", .dtype = dtype, .rank = 4, .dim = {3, 2, 2, 2}, .data = conv},
                                         {.name = "up", .dtype = dtype, .rank = 4, .dim = {2, 3, 2, 2}, .data = up},
                                         {.name = "linear", .dtype = dtype, .rank = 2, .dim = {2, 3}, .data = linear},
                                         {.name = "bias", .dtype = dtype, .rank = 1, .dim = {3}, .data = bias}};
        struct session s = {.checkpoint = write_and_open(tensors, 4)};
        open_session(&s);
        struct node *x = graph_input(&s.g, "x", DTYPE_F32, SHAPE(1, 4, 4, 2));
        struct node *b = graph_param(&s.g, "bias", PARAM_PLAIN, SHAPE(3));
        struct node *y = graph_conv2d(&s.g, x, graph_param(&s.g, "conv", PARAM_CONV, SHAPE(3, 2, 2, 2)), b,
                                      (struct conv){.stride = 1});
        y = graph_linear(&s.g, y, graph_param(&s.g, "linear", PARAM_PLAIN, SHAPE(2, 3)), NULL);
        y = graph_conv2d_transpose(&s.g, y, graph_param(&s.g, "up", PARAM_CONV_TRANSPOSE, SHAPE(2, 2, 2, 3)), NULL,
                                   (struct conv){.stride = 2});
        graph_output(&s.g, "y", y);
        if (params_load(s.params, &s.g, s.checkpoint, &s.err) != STATUS_OK) fail_msg("%s", s.err.text);

        float values[24];
        const struct weight *w = weight_of(&s.g, "conv");
        assert_int_equal(w->dtype, kept);
        assert_int_equal(graph_find(&s.g, "conv")->dtype, kept);
        assert_int_equal(w->offset % MEMORY_ALIGNMENT, 0);
        read_weight(&s, w, values);
        for (int i = 0; i < 24; i++) /* [o, tap, c] from [o, c, tap] */
            assert_true(values[i] == (float)(i / 8 * 8 + i % 2 * 4 + i / 2 % 4));
        read_weight(&s, weight_of(&s.g, "up"), values);
        for (int i = 0; i < 24; i++) /* [i, tap, o] from [i, o, tap] */
            assert_true(values[i] == (float)(i / 12 * 12 + i % 3 * 4 + i / 3 % 4));
        read_weight(&s, weight_of(&s.g, "linear"), values);
        for (int i = 0; i < 6; i++) assert_true(values[i] == (float)i);
        assert_int_equal(weight_of(&s.g, "bias")->dtype, DTYPE_F32); /* only products take halves */
        read_weight(&s, weight_of(&s.g, "bias"), values);
        for (int i = 0; i < 3; i++) assert_true(values[i] == (float)i);
        assert_true(params_bytes(s.params) > 0);
        close_session(&s);
    }
}

/* A weight that any other operation reads is F32, whatever the file holds. */
static void test_halves_only_for_products(void **state)
{
    (void)state;
    uint16_t half[6];
    count_up(half, DTYPE_F16, 6);
    const struct tensor tensor = {.name = "w", .dtype = DTYPE_F16, .rank = 2, .dim = {3, 2}, .data = half};
    struct session s = {.checkpoint = write_and_open(&tensor, 1)};
    open_session(&s);
    struct graph plain = {0};
    graph_output(&plain, "y",
                 graph_linear(&plain, graph_input(&plain, "x", DTYPE_F32, SHAPE(1, 2)),
                              graph_param(&plain, "w", PARAM_PLAIN, SHAPE(3, 2)), NULL));
    struct node *w = graph_param(&s.g, "w", PARAM_PLAIN, SHAPE(3, 2));
    struct node *y = graph_linear(&s.g, graph_input(&s.g, "x", DTYPE_F32, SHAPE(3, 2)), w, NULL);
    graph_output(&s.g, "y", graph_matmul(&s.g, y, w, false, false));
    assert_int_equal(params_load(s.params, &plain, s.checkpoint, &s.err), STATUS_OK);
    assert_int_equal(params_load(s.params, &s.g, s.checkpoint, &s.err), STATUS_OK);
    assert_int_equal(weight_of(&plain, "w")->dtype, DTYPE_F16);
    assert_int_equal(weight_of(&s.g, "w")->dtype, DTYPE_F32);
    graph_clear(&plain);
    close_session(&s);
}

static void test_rows(void **state)
{
    (void)state;
    float values[12];
    count_up(values, DTYPE_F32, 12);
    const struct tensor tensor = {.name = "qkv", .dtype = DTYPE_F32, .rank = 2, .dim = {6, 2}, .data = values};
    struct session s = {.checkpoint = write_and_open(&tensor, 1)};
    open_session(&s);
    struct node *part[3], *x = graph_input(&s.g, "x", DTYPE_F32, SHAPE(1, 2)), *y = NULL;
    for (int i = 0; i < 3; i++) {
        part[i] = graph_param_rows(&s.g, "qkv", SHAPE(2, 2), 2 * i, 6);
        struct node *product = graph_linear(&s.g, x, part[i], NULL);
        y = y ? graph_add(&s.g, y, product) : product;
    }
    graph_output(&s.g, "y", y);
    assert_int_equal(params_load(s.params, &s.g, s.checkpoint, &s.err), STATUS_OK);
    for (int i = 0; i < 3; i++) {
        float got[4];
        read_weight(&s, part[i]->as.param.weight, got);
        for (int k = 0; k < 4; k++) assert_true(got[k] == (float)(4 * i + k));
    }
    struct graph other = {0};
    struct node *middle = graph_param_rows(&other, "qkv", SHAPE(2, 2), 2, 6);
    assert_int_equal(params_load(s.params, &other, s.checkpoint, &s.err), STATUS_OK);
    assert_ptr_equal(middle->as.param.weight, part[1]->as.param.weight);
    graph_clear(&other);
    close_session(&s);
}

/* Trailing ones do not count: a 1x1 convolution may stand for a linear layer, and the other way round. */
static void test_trailing_ones(void **state)
{
    (void)state;
    float values[6];
    count_up(values, DTYPE_F32, 6);
    const struct tensor tensors[] = {{.name = "a", .dtype = DTYPE_F32, .rank = 4, .dim = {3, 2, 1, 1}, .data = values},
                                     {.name = "b", .dtype = DTYPE_F32, .rank = 2, .dim = {2, 3}, .data = values}};
    struct session s = {.checkpoint = write_and_open(tensors, 2)};
    open_session(&s);
    struct node *x = graph_input(&s.g, "x", DTYPE_F32, SHAPE(1, 1, 1, 2));
    x = graph_linear(&s.g, x, graph_param(&s.g, "a", PARAM_PLAIN, SHAPE(3, 2)), NULL);
    x = graph_conv2d(&s.g, x, graph_param(&s.g, "b", PARAM_CONV, SHAPE(2, 1, 1, 3)), NULL, (struct conv){.stride = 1});
    graph_output(&s.g, "y", x);
    assert_int_equal(params_load(s.params, &s.g, s.checkpoint, &s.err), STATUS_OK);
    close_session(&s);
}

/* Weights of many sizes, larger and smaller than a piece and a shared buffer, in two graphs that share some. */
static void two_graphs(struct graph *a, struct graph *b)
{
    struct node *x = graph_input(a, "x", DTYPE_F32, SHAPE(1, 5, 5, 300));
    struct node *y = nn_conv2d(a, x, 600, 3, (struct conv){1, PAD(1)}, "shared.%d", 7);
    graph_output(a, "y", nn_group_norm(a, y, (struct norm){.groups = 4, .eps = 1e-5f}, "a.norm"));
    struct node *t = graph_input(b, "t", DTYPE_F32, SHAPE(1, 5, 5, 300));
    t = nn_conv2d(b, t, 600, 3, (struct conv){1, PAD(1)}, "shared.7");
    t = nn_linear(b, nn_layer_norm(b, t, 1e-5f, "b.%s", "norm"), 700, "b.proj");
    for (int i = 0; i < 6; i++) t = nn_linear_no_bias(b, t, 700, "b.%d", i);
    graph_output(b, "y", nn_linear_no_bias(b, t, 1500, "b.out"));
}

static void check_against_rule(struct session *s, const struct node *node)
{
    const struct weight *w = node->as.param.weight;
    const size_t n = (size_t)shape_count(w->shape);
    const int64_t *d = w->shape.dim;
    const int64_t turned[] = {d[0], d[3], d[1], d[2]};
    const bool conv = node->as.param.layout == PARAM_CONV;
    float *want = test_malloc(n * sizeof *want), *got = test_malloc(n * sizeof *got);
    void *bytes = test_malloc(dtype_bytes(w->dtype, n));
    weights_fill(want, node->name, w->shape.rank, conv ? turned : d, 0, (int64_t)n);
    const size_t size = dtype_bytes(w->dtype, n);
    assert_int_equal(s->cpu->f->download(s->cpu, bytes, w->buffer, w->offset, size, &s->err), STATUS_OK);
    dtype_to_f32(got, bytes, w->dtype, 0, n);
    const size_t taps = conv ? (size_t)(d[1] * d[2]) : 1, channels = conv ? (size_t)d[3] : 1, row = taps * channels;
    for (size_t i = 0; i < n; i++) {
        const size_t at = i / row * row + i % channels * taps + i / channels % taps;
        if (got[i] != f16_to_f32(f32_to_f16(want[at]))) fail_msg("%s: element %zu", node->name, i);
    }
    test_free(want);
    test_free(got);
    test_free(bytes);
}

static void test_shared_and_large(void **state)
{
    (void)state;
    struct session s = {0};
    struct graph other = {0};
    open_session(&s);
    two_graphs(&s.g, &other);
    assert_int_equal(weights_write_graphs(path, (struct graph *[]){&s.g, &other}, 2, DTYPE_F16, &s.err), STATUS_OK);
    assert_int_equal(checkpoint_open(&s.checkpoint, path, &s.err), STATUS_OK);
    assert_int_equal(checkpoint_count(s.checkpoint), 15);
    assert_int_equal(params_load(s.params, &s.g, s.checkpoint, &s.err), STATUS_OK);
    const size_t bytes = params_bytes(s.params);
    assert_int_equal(params_load(s.params, &other, s.checkpoint, &s.err), STATUS_OK);
    assert_ptr_equal(weight_of(&s.g, "shared.7.weight"), weight_of(&other, "shared.7.weight"));
    assert_true(params_bytes(s.params) < 2 * bytes);
    struct graph *const graphs[] = {&s.g, &other};
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < graphs[k]->count; i++)
            if (graphs[k]->nodes[i]->op == OP_PARAM) check_against_rule(&s, graphs[k]->nodes[i]);
    struct exec *exec = NULL;
    assert_int_equal(exec_create(&exec, &other, s.cpu, 0, &s.err), STATUS_OK);
    exec_destroy(exec);
    graph_clear(&other);
    close_session(&s);
}

/* ---- what is refused ---- */

static void test_report(void **state)
{
    (void)state;
    const float values[6] = {0};
    const struct tensor tensor = {.name = "a.weight", .dtype = DTYPE_F32, .rank = 2, .dim = {3, 2}, .data = values};
    struct session s = {.checkpoint = write_and_open(&tensor, 1)};
    open_session(&s);
    struct node *x = graph_input(&s.g, "x", DTYPE_F32, SHAPE(1, 3));
    graph_output(&s.g, "y", nn_linear(&s.g, x, 4, "a"));
    assert_int_equal(params_load(s.params, &s.g, s.checkpoint, &s.err), STATUS_FORMAT);
    assert_string_equal(s.err.text, "the checkpoint does not fit the model: 'a.weight' is [3, 2] and must be [4, 3]; "
                                    "'a.bias' [4] is missing");
    assert_null(weight_of(&s.g, "a.bias"));
    close_session(&s);
}

static void test_long_report(void **state)
{
    (void)state;
    const float value = 0;
    const struct tensor tensor = {.name = "other", .dtype = DTYPE_F32, .rank = 1, .dim = {1}, .data = &value};
    struct session s = {.checkpoint = write_and_open(&tensor, 1)};
    open_session(&s);
    struct node *x = graph_input(&s.g, "x", DTYPE_F32, SHAPE(1, 1, 1, 5));
    for (int i = 0; i < 100; i++) x = nn_conv2d(&s.g, x, 5, 3, (struct conv){1, PAD(1)}, "layer.%d.conv", i);
    graph_output(&s.g, "y", x);
    assert_int_equal(params_load(s.params, &s.g, s.checkpoint, &s.err), STATUS_FORMAT);
    int named = 0, more = 0;
    for (const char *at = s.err.text; (at = strstr(at, "is missing")) != NULL; at++) named++;
    const char *tail = strstr(s.err.text, "; and ");
    assert_non_null(tail);
    assert_int_equal(sscanf(tail, "; and %d more", &more), 1);
    assert_int_equal(named + more, 200);
    assert_true(named > 10);
    assert_non_null(strstr(s.err.text, "'layer.0.conv.weight' [5, 5, 3, 3] is missing"));
    assert_string_equal(strstr(tail, " more"), " more");
    close_session(&s);
}

static void test_wrong_rows(void **state)
{
    (void)state;
    const float values[12] = {0};
    const struct tensor tensor = {.name = "qkv", .dtype = DTYPE_F32, .rank = 2, .dim = {6, 2}, .data = values};
    struct session s = {.checkpoint = write_and_open(&tensor, 1)};
    open_session(&s);
    struct node *x = graph_input(&s.g, "x", DTYPE_F32, SHAPE(1, 2));
    graph_output(&s.g, "y", graph_linear(&s.g, x, graph_param_rows(&s.g, "qkv", SHAPE(3, 2), 6, 9), NULL));
    assert_int_equal(params_load(s.params, &s.g, s.checkpoint, &s.err), STATUS_FORMAT);
    assert_non_null(strstr(s.err.text, "'qkv' is [6, 2] and must be [9, 2]"));
    close_session(&s);
}

static void test_values_that_are_no_numbers(void **state)
{
    (void)state;
    static const double bad[] = {NAN, INFINITY, -INFINITY, 1e300};
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F64};
    for (int i = 0; i < 4; i++)
        for (int d = 0; d < 4; d++)
            for (int place = 0; place < 9; place++) {
                _Alignas(8) unsigned char bytes[9 * 8];
                count_up(bytes, dtypes[d], 9);
                const float f = (float)bad[i];
                if (dtypes[d] == DTYPE_F64)
                    memcpy(bytes + place * 8, &bad[i], 8);
                else
                    dtype_from_f32(bytes + dtype_bytes(dtypes[d], (size_t)place), dtypes[d], &f, 1);
                const struct tensor tensor = {.name = "w", .dtype = dtypes[d], .rank = 2, .dim = {3, 3}, .data = bytes};
                struct session s = {.checkpoint = write_and_open(&tensor, 1)};
                open_session(&s);
                struct node *x = graph_input(&s.g, "x", DTYPE_F32, SHAPE(1, 3));
                graph_output(&s.g, "y", graph_linear(&s.g, x, graph_param(&s.g, "w", PARAM_PLAIN, SHAPE(3, 3)), NULL));
                assert_int_equal(params_load(s.params, &s.g, s.checkpoint, &s.err), STATUS_FORMAT);
                assert_string_equal(s.err.text, "tensor 'w' holds values that are infinite or not numbers");
                close_session(&s);
            }
}

/* The largest finite values must pass. */
static void test_extreme_values(void **state)
{
    (void)state;
    static const uint32_t largest[] = {0xff7fffff, 0x7f7fffff, 0xfbff7bff, 0xff7f7f7f};
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    for (int i = 0; i < 4; i++) {
        const uint32_t words[3] = {largest[i], largest[i], largest[i]};
        const struct tensor tensor = {.name = "w", .dtype = dtypes[i], .rank = 2, .dim = {1, 3}, .data = words};
        struct session s = {.checkpoint = write_and_open(&tensor, 1)};
        open_session(&s);
        struct node *x = graph_input(&s.g, "x", DTYPE_F32, SHAPE(1, 3));
        graph_output(&s.g, "y", graph_linear(&s.g, x, graph_param(&s.g, "w", PARAM_PLAIN, SHAPE(1, 3)), NULL));
        assert_int_equal(params_load(s.params, &s.g, s.checkpoint, &s.err), STATUS_OK);
        close_session(&s);
    }
}

static void test_sticky_graph(void **state)
{
    (void)state;
    const float value = 0;
    const struct tensor tensor = {.name = "w", .dtype = DTYPE_F32, .rank = 1, .dim = {1}, .data = &value};
    struct session s = {.checkpoint = write_and_open(&tensor, 1)};
    open_session(&s);
    char name[400];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    struct node *x = graph_input(&s.g, "x", DTYPE_F32, SHAPE(1, 3));
    assert_ptr_equal(nn_linear(&s.g, x, 3, "%s", name), &s.g.nil);
    nn_conv2d(&s.g, x, 3, 3, (struct conv){0}, "later");
    assert_int_equal(params_load(s.params, &s.g, s.checkpoint, &s.err), STATUS_ARGUMENT);
    assert_non_null(strstr(s.err.text, "is longer than 248 bytes"));
    close_session(&s);
}

static void test_every_allocation_fails(void **state)
{
    (void)state;
    struct graph a = {0}, b = {0};
    struct error err = {0};
    two_graphs(&a, &b);
    assert_int_equal(weights_write_graphs(path, (struct graph *[]){&a, &b}, 2, DTYPE_F16, &err), STATUS_OK);
    graph_clear(&a);
    graph_clear(&b);
    for (uint64_t n = 1;; n++) {
        struct session s = {0};
        two_graphs(&s.g, &b);
        assert_int_equal(checkpoint_open(&s.checkpoint, path, &s.err), STATUS_OK);
        assert_int_equal(backend_open(&s.cpu, "cpu", NULL, &s.err), STATUS_OK);
        memory_fail_after(n);
        enum status status = params_create(&s.params, s.cpu, &s.err);
        if (status == STATUS_OK) status = params_load(s.params, &s.g, s.checkpoint, &s.err);
        memory_fail_after(0);
        graph_clear(&b);
        graph_clear(&s.g);
        params_destroy(s.params);
        s.cpu->f->close(s.cpu);
        checkpoint_close(s.checkpoint);
        if (status == STATUS_OK) {
            assert_true(n > 5);
            break;
        }
        assert_int_equal(status, STATUS_NO_MEMORY);
    }
    remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layouts_and_dtypes),
        cmocka_unit_test(test_halves_only_for_products),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_trailing_ones),
        cmocka_unit_test(test_shared_and_large),
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_long_report),
        cmocka_unit_test(test_wrong_rows),
        cmocka_unit_test(test_values_that_are_no_numbers),
        cmocka_unit_test(test_extreme_values),
        cmocka_unit_test(test_sticky_graph),
        cmocka_unit_test(test_every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
