/* SPDX-License-Identifier: MIT
 *
 * Blocks of quantised values against ggml's reference (tests/golden/quantised), and which weights are stored so.
 */
#include "core/io/checkpoint_build.h"
#include "core/nn/params.h"
#include "tests/support/golden.h"
#include "tests/support/weights.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { BLOCK = DTYPE_MAX_BLOCK };

static const enum dtype types[] = {DTYPE_Q8_0, DTYPE_Q4_0};

/* ---- blocks ---- */

static void test_bytes_of_ggml(void **state)
{
    (void)state;
    struct checkpoint *golden = golden_open("quantised/quantised.safetensors");
    const struct tensor *x = golden_tensor(golden, "x");
    const size_t n = (size_t)x->count;
    float *values = golden_values(golden, "x"), *got = test_malloc(n * sizeof *got);
    for (int t = 0; t < 2; t++) {
        const struct tensor *want = golden_tensor(golden, "%s", dtype_name(types[t]));
        float *exact = golden_values(golden, "%s.values", dtype_name(types[t]));
        unsigned char *stored = test_malloc(dtype_bytes(types[t], n));
        assert_int_equal(want->count, dtype_bytes(types[t], n));
        dtype_from_f32(stored, types[t], values, n);
        for (size_t i = 0; i < (size_t)want->count; i++)
            if (stored[i] != ((const unsigned char *)want->data)[i])
                fail_msg("%s: byte %zu is %d and must be %d", dtype_name(types[t]), i, stored[i],
                         ((const unsigned char *)want->data)[i]);
        dtype_to_f32(got, stored, types[t], 0, n);
        assert_memory_equal(got, exact, n * sizeof *got);
        test_free(stored);
        memory_free(exact);
    }
    test_free(got);
    memory_free(values);
    checkpoint_close(golden);
}

/* Any run of elements has the values that it has in the whole. */
static void test_parts_of_blocks(void **state)
{
    (void)state;
    float values[3 * BLOCK], whole[3 * BLOCK], part[3 * BLOCK];
    unsigned char stored[3 * BLOCK * sizeof(float)];
    for (int i = 0; i < 3 * BLOCK; i++) values[i] = sinf((float)i) * (float)(1 + i / BLOCK);
    for (int t = 0; t < 2; t++) {
        dtype_from_f32(stored, types[t], values, 3 * BLOCK);
        dtype_to_f32(whole, stored, types[t], 0, 3 * BLOCK);
        for (size_t first = 0; first < 3 * BLOCK; first++)
            for (size_t n = 0; n <= 3 * BLOCK - first; n++) {
                dtype_to_f32(part, stored, types[t], first, n);
                assert_memory_equal(part, whole + first, n * sizeof *part);
            }
    }
}

/* Half a step is the most that a value is off: of Q8_0 the largest over 127, of Q4_0 over 8; there the other end, where
 * a step is missing, is off by a whole one. The scale's own rounding adds 2^-11 of the value. */
static void test_error_of_a_value(void **state)
{
    (void)state;
    float values[BLOCK], got[BLOCK];
    unsigned char stored[BLOCK * sizeof(float)];
    uint32_t seed = 1;
    for (int round = 0; round < 2000; round++)
        for (int t = 0; t < 2; t++) {
            float largest = 0;
            for (int i = 0; i < BLOCK; i++) {
                seed = seed * 1664525u + 1013904223u;
                values[i] = ((float)(seed >> 8) / 8388608.0f - 1) * (float)(1 + round);
                largest = fmaxf(largest, fabsf(values[i]));
            }
            dtype_from_f32(stored, types[t], values, BLOCK);
            dtype_to_f32(got, stored, types[t], 0, BLOCK);
            const float most = types[t] == DTYPE_Q8_0 ? largest / 254 : largest / 8;
            for (int i = 0; i < BLOCK; i++) assert_true(fabsf(got[i] - values[i]) <= most + largest * 0x1p-11f);
        }
}

/* Numbers below what a scale can say become zeros, and nothing becomes no number. */
static void test_tiny_values(void **state)
{
    (void)state;
    float values[BLOCK], got[BLOCK];
    unsigned char stored[BLOCK * sizeof(float)];
    for (int t = 0; t < 2; t++)
        for (float size = 1e-45f; size < 1e-9f; size *= 3) {
            for (int i = 0; i < BLOCK; i++) values[i] = i % 2 ? size : -size;
            dtype_from_f32(stored, types[t], values, BLOCK);
            dtype_to_f32(got, stored, types[t], 0, BLOCK);
            for (int i = 0; i < BLOCK; i++) assert_true(got[i] == 0);
        }
}

static void test_names(void **state)
{
    (void)state;
    enum dtype found;
    for (int i = 0; i < DTYPE_COUNT; i++) {
        assert_true(dtype_find(dtype_name((enum dtype)i), &found));
        assert_int_equal(found, i);
    }
    assert_false(dtype_find("Q8", &found));
    assert_false(dtype_find("", &found));
}

/* ---- weights ---- */

/* Made-up tensors in memory, loaded by a graph of one operation. */
struct session {
    struct checkpoint *checkpoint;
    struct backend *cpu;
    struct params *params;
    struct graph g;
    struct error err;
};

static int open_session(void **state)
{
    static struct session s;
    s = (struct session){.checkpoint = memory_alloc(sizeof *s.checkpoint)};
    *state = &s;
    if (!s.checkpoint || backend_open(&s.cpu, "cpu", NULL, &s.err) != STATUS_OK) return 1;
    s.checkpoint->file_bytes = UINT32_MAX;
    return params_create(&s.params, s.cpu, &s.err) != STATUS_OK;
}

static int close_session(void **state)
{
    struct session *s = *state;
    graph_clear(&s->g);
    params_destroy(s->params);
    s->cpu->f->close(s->cpu);
    checkpoint_close(s->checkpoint);
    return 0;
}

/* A tensor with the values of the weight rule, stored as `dtype`; the values are the caller's to free. */
static float *add_tensor(struct session *s, const char *name, enum dtype dtype, struct shape shape)
{
    struct tensor t = {.name = name, .dtype = dtype, .rank = shape.rank, .count = shape_count(shape)};
    float *values = test_malloc((size_t)t.count * sizeof *values);
    void *stored = NULL;
    for (int i = 0; i < shape.rank; i++) t.dim[i] = shape.dim[i];
    weights_fill(values, name, t.rank, t.dim, 0, t.count);
    if (checkpoint_block(s->checkpoint, dtype_bytes(dtype, (size_t)t.count), "test", &stored, &s->err) != STATUS_OK)
        fail_msg("%s", s->err.text);
    dtype_from_f32(stored, dtype, values, (size_t)t.count);
    dtype_to_f32(values, stored, dtype, 0, (size_t)t.count);
    t.data = stored;
    assert_int_equal(checkpoint_add(s->checkpoint, "", &t, &s->err), STATUS_OK);
    return values;
}

static void load(struct session *s)
{
    assert_int_equal(checkpoint_finish(s->checkpoint, "test", &s->err), STATUS_OK);
    if (params_load(s->params, &s->g, s->checkpoint, &s->err) != STATUS_OK) fail_msg("%s", s->err.text);
}

/* The weight must be of this type, and have the values, in the checkpoint's layout [out, in, taps], after one more
 * rounding to that type. */
static void check_node(struct session *s, const struct node *node, enum dtype dtype, const float *values)
{
    const struct weight *w = node->as.param.weight;
    const size_t n = (size_t)shape_count(w->shape);
    const size_t out = w->shape.rank > 1 ? (size_t)w->shape.dim[0] : 1, in = (size_t)shape_dim(w->shape, -1);
    const size_t taps = n / out / in;
    float *want = test_malloc(n * sizeof *want), *got = test_malloc(n * sizeof *got);
    unsigned char *stored = test_malloc(n * sizeof *got);
    if (w->dtype != dtype) fail_msg("'%s' is %s and must be %s", node->name, dtype_name(w->dtype), dtype_name(dtype));
    for (size_t o = 0; o < out; o++)
        for (size_t tap = 0; tap < taps; tap++)
            for (size_t i = 0; i < in; i++) want[(o * taps + tap) * in + i] = values[(o * in + i) * taps + tap];
    dtype_from_f32(stored, dtype, want, n);
    dtype_to_f32(want, stored, dtype, 0, n);
    assert_int_equal(s->cpu->f->download(s->cpu, stored, w->buffer, w->offset, dtype_bytes(dtype, n), &s->err),
                     STATUS_OK);
    dtype_to_f32(got, stored, dtype, 0, n);
    assert_memory_equal(got, want, n * sizeof *got);
    test_free(want);
    test_free(got);
    test_free(stored);
}

static void check_weight(struct session *s, const char *name, enum dtype dtype, const float *values)
{
    check_node(s, graph_find(&s->g, name), dtype, values);
}

/* y = conv(x, "even"), conv(., "odd"), table, with bias. */
static void build(struct session *s)
{
    struct graph *g = &s->g;
    struct node *x = graph_input(g, "x", DTYPE_F32, SHAPE(1, 8, 8, 64));
    const struct conv same = {.stride = 1, .pad = PAD(1)};
    x = graph_conv2d(g, x, graph_param(g, "even", PARAM_CONV, SHAPE(5, 3, 3, 64)),
                     graph_param(g, "bias", PARAM_PLAIN, SHAPE(5)), same);
    x = graph_conv2d(g, x, graph_param(g, "odd", PARAM_CONV, SHAPE(32, 3, 3, 5)), NULL, same);
    x = graph_conv2d(g, x, graph_param(g, "point", PARAM_CONV, SHAPE(64, 1, 1, 32)), NULL, (struct conv){.stride = 1});
    graph_output(g, "y", graph_linear(g, x, graph_param(g, "linear", PARAM_PLAIN, SHAPE(7, 64)), NULL));
    struct node *ids = graph_input(g, "ids", DTYPE_I32, SHAPE(1, 3));
    graph_output(g, "rows", graph_embedding(g, ids, graph_param(g, "table", PARAM_PLAIN, SHAPE(9, 96))));
}

/* What is asked for is what is stored, but for vectors and for rows that are no whole blocks. */
static void test_stored_as_asked(void **state)
{
    static const enum dtype asked[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_Q8_0, DTYPE_Q4_0};
    struct session *s = *state;
    build(s);
    float *even = add_tensor(s, "even", DTYPE_F32, SHAPE(5, 64, 3, 3));
    float *odd = add_tensor(s, "odd", DTYPE_BF16, SHAPE(32, 5, 3, 3));
    float *point = add_tensor(s, "point", DTYPE_F16, SHAPE(64, 32, 1, 1));
    float *linear = add_tensor(s, "linear", DTYPE_Q8_0, SHAPE(7, 64));
    float *table = add_tensor(s, "table", DTYPE_F16, SHAPE(9, 96));
    float *bias = add_tensor(s, "bias", DTYPE_F16, SHAPE(5));
    for (int i = 0; i < 5; i++) {
        params_destroy(s->params);
        assert_int_equal(params_create(&s->params, s->cpu, &s->err), STATUS_OK);
        params_store_as(s->params, asked[i]);
        load(s);
        check_weight(s, "even", asked[i], even);
        check_weight(s, "odd", i < 3 ? asked[i] : DTYPE_BF16, odd);
        check_weight(s, "point", asked[i], point);
        check_weight(s, "linear", asked[i], linear);
        check_weight(s, "table", asked[i], table);
        check_weight(s, "bias", DTYPE_F32, bias);
    }
    test_free(even);
    test_free(odd);
    test_free(point);
    test_free(linear);
    test_free(table);
    test_free(bias);
}

/* Blocks of a checkpoint stay as they are, unless they would have to be turned or something else reads them. */
static void test_kept_as_stored(void **state)
{
    struct session *s = *state;
    build(s);
    float *even = add_tensor(s, "even", DTYPE_F16, SHAPE(5, 64, 3, 3));
    float *odd = add_tensor(s, "odd", DTYPE_Q4_0, SHAPE(32, 5, 3, 3));
    float *point = add_tensor(s, "point", DTYPE_Q4_0, SHAPE(64, 32));
    float *linear = add_tensor(s, "linear", DTYPE_Q8_0, SHAPE(7, 64));
    float *table = add_tensor(s, "table", DTYPE_Q4_0, SHAPE(9, 96));
    float *bias = add_tensor(s, "bias", DTYPE_F32, SHAPE(5));
    load(s);
    check_weight(s, "even", DTYPE_F16, even);
    check_weight(s, "odd", DTYPE_F32, odd);
    check_weight(s, "point", DTYPE_Q4_0, point);
    check_weight(s, "linear", DTYPE_Q8_0, linear);
    check_weight(s, "table", DTYPE_Q4_0, table);
    check_weight(s, "bias", DTYPE_F32, bias);
    test_free(even);
    test_free(odd);
    test_free(point);
    test_free(linear);
    test_free(table);
    test_free(bias);
}

/* Rows of a joined bias need not begin a block. */
static void test_rows_of_a_vector(void **state)
{
    struct session *s = *state;
    float *bias = add_tensor(s, "bias", DTYPE_Q8_0, SHAPE(96));
    float *w = add_tensor(s, "w", DTYPE_F32, SHAPE(16, 32));
    struct node *rows = graph_param_rows(&s->g, "bias", SHAPE(16), 40, 96);
    struct node *x = graph_input(&s->g, "x", DTYPE_F32, SHAPE(2, 32));
    graph_output(&s->g, "y", graph_linear(&s->g, x, graph_param(&s->g, "w", PARAM_PLAIN, SHAPE(16, 32)), rows));
    load(s);
    check_node(s, rows, DTYPE_F32, bias + 40);
    test_free(bias);
    test_free(w);
}

static void test_values_too_large(void **state)
{
    static const struct {
        enum dtype dtype;
        float value;
        enum status status;
    } cases[] = {{DTYPE_F16, 65519, STATUS_OK},        {DTYPE_F16, 65520, STATUS_FORMAT},
                 {DTYPE_Q8_0, 8.3e6f, STATUS_OK},      {DTYPE_Q8_0, 8.4e6f, STATUS_FORMAT},
                 {DTYPE_Q4_0, -5.2e5f, STATUS_OK},     {DTYPE_Q4_0, -5.3e5f, STATUS_FORMAT},
                 {DTYPE_Q8_0, INFINITY, STATUS_FORMAT}};
    struct session *s = *state;
    float *w = add_tensor(s, "w", DTYPE_F32, SHAPE(3, 64));
    struct node *x = graph_input(&s->g, "x", DTYPE_F32, SHAPE(2, 64));
    graph_output(&s->g, "y", graph_linear(&s->g, x, graph_param(&s->g, "w", PARAM_PLAIN, SHAPE(3, 64)), NULL));
    assert_int_equal(checkpoint_finish(s->checkpoint, "test", &s->err), STATUS_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        memcpy((char *)s->checkpoint->blocks->bytes + 100 * sizeof(float), &cases[i].value, sizeof(float));
        params_destroy(s->params);
        assert_int_equal(params_create(&s->params, s->cpu, &s->err), STATUS_OK);
        params_store_as(s->params, cases[i].dtype);
        assert_int_equal(params_load(s->params, &s->g, s->checkpoint, &err), cases[i].status);
        if (err.status != STATUS_OK) assert_non_null(strstr(err.text, "tensor 'w' holds values that are"));
    }
    test_free(w);
}

#define WITH_SESSION(test) cmocka_unit_test_setup_teardown(test, open_session, close_session)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_of_ggml),
        cmocka_unit_test(test_parts_of_blocks),
        cmocka_unit_test(test_error_of_a_value),
        cmocka_unit_test(test_tiny_values),
        cmocka_unit_test(test_names),
        WITH_SESSION(test_stored_as_asked),
        WITH_SESSION(test_kept_as_stored),
        WITH_SESSION(test_rows_of_a_vector),
        WITH_SESSION(test_values_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
