/* SPDX-License-Identifier: MIT
 *
 * Building graphs: the shapes that builders give, everything that they refuse and the sentence for it, errors that
 * stick, and running a graph from end to end.
 */
#include "core/tensor/exec.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct node *in(struct graph *g, const char *name, struct shape shape)
{
    return graph_input(g, name, DTYPE_F32, shape);
}

static void expect_shape(const struct node *node, struct shape want)
{
    char got[SHAPE_TEXT_BYTES], text[SHAPE_TEXT_BYTES];
    assert_string_equal(shape_text(node->shape, got), shape_text(want, text));
}

static void test_shapes(void **state)
{
    (void)state;
    struct graph g = {0};
    struct node *x = in(&g, "x", SHAPE(2, 9, 7, 6)), *t = in(&g, "t", SHAPE(2, 5, 6));
    struct node *w = graph_param(&g, "w", PARAM_CONV, SHAPE(8, 3, 3, 6));
    expect_shape(graph_conv2d(&g, x, w, NULL, (struct conv){.stride = 1, .pad = PAD(1)}), SHAPE(2, 9, 7, 8));
    expect_shape(graph_conv2d(&g, x, w, NULL, (struct conv){.stride = 2, .pad = {0, 0, 1, 1}}), SHAPE(2, 4, 3, 8));
    expect_shape(
        graph_conv2d_transpose(&g, x, in(&g, "u", SHAPE(6, 4, 4, 5)), NULL, (struct conv){.stride = 2, .pad = PAD(1)}),
        SHAPE(2, 18, 14, 5));
    expect_shape(graph_linear(&g, t, in(&g, "l", SHAPE(4, 6)), in(&g, "b", SHAPE(4))), SHAPE(2, 5, 4));
    expect_shape(graph_matmul(&g, t, t, true, false), SHAPE(2, 6, 6));
    expect_shape(graph_matmul(&g, t, t, false, true), SHAPE(2, 5, 5));
    expect_shape(graph_attention(&g, t, t, t, (struct attention){.heads = 3}), SHAPE(2, 5, 6));
    expect_shape(graph_geglu(&g, x), SHAPE(2, 9, 7, 3));
    expect_shape(graph_upsample(&g, x, 2), SHAPE(2, 18, 14, 6));
    expect_shape(graph_average_pool(&g, x, 2, 2), SHAPE(2, 4, 3, 6));
    expect_shape(graph_concat(&g, x, graph_slice(&g, x, 3, 1, 2), 3), SHAPE(2, 9, 7, 8));
    expect_shape(graph_permute(&g, x, (int[]){0, 3, 1, 2}), SHAPE(2, 6, 9, 7));
    expect_shape(graph_reduce(&g, REDUCE_MEAN, x, 6), SHAPE(2, 1, 1, 6));
    expect_shape(graph_reshape(&g, x, SHAPE(2, 63, 6)), SHAPE(2, 63, 6));
    expect_shape(graph_add(&g, x, in(&g, "row", SHAPE(2, 1, 1, 6))), SHAPE(2, 9, 7, 6));
    struct node *ids = graph_input(&g, "ids", DTYPE_I32, SHAPE(2, 3));
    expect_shape(graph_embedding(&g, ids, in(&g, "table", SHAPE(10, 4))), SHAPE(2, 3, 4));
    assert_int_equal(graph_reshape(&g, ids, SHAPE(6))->dtype, DTYPE_I32);
    assert_int_equal(g.error.status, STATUS_OK);
    assert_ptr_equal(graph_find(&g, "x"), x);
    assert_null(graph_find(&g, "nobody"));
    assert_ptr_equal(graph_param(&g, "w", PARAM_CONV, SHAPE(8, 3, 3, 6)), w);
    assert_true(fabsf(graph_attention(&g, t, t, t, (struct attention){.heads = 3})->as.attention.scale - 0.70710678f) <
                1e-7f);
    graph_clear(&g);
}

/* ---- refusals ---- every case has these to work with */
struct leaves {
    struct node *x; /* [2, 9, 7, 6] */
    struct node *t; /* [2, 5, 6] */
    struct node *v; /* [6] */
    struct node *i; /* ids [2, 3] */
    struct node *w; /* [8, 3, 3, 6] */
    struct node *m; /* [4, 6] */
};

#define REFUSALS(X)                                                                                                    \
    X(linear_weight, graph_linear(g, l.t, l.w, NULL),                                                                  \
      "linear: a weight [8, 3, 3, 6] does not fit an operand [2, 5, 6]; [N, 6] does")                                  \
    X(linear_width, graph_linear(g, graph_geglu(g, l.t), l.m, NULL),                                                   \
      "linear: a weight [4, 6] does not fit an operand [2, 5, 3]; [N, 3] does")                                        \
    X(linear_bias, graph_linear(g, l.t, l.m, l.v), "linear: the bias is [6] and must be [4]")                          \
    X(linear_nothing, graph_linear(g, NULL, l.m, NULL), "linear: operand 1 is missing")                                \
    X(linear_ids, graph_linear(g, l.i, l.m, NULL), "linear: operand 1 holds I32; F32 is needed")                       \
    X(matmul_rank, graph_matmul(g, l.x, l.t, false, false), "matmul: operands [2, 9, 7, 6] and [2, 5, 6] do not fit")  \
    X(matmul_inner, graph_matmul(g, l.t, l.t, false, false), "matmul: operands [2, 5, 6] and [2, 5, 6] do not fit")    \
    X(matmul_vector, graph_matmul(g, l.v, l.v, false, false), "do not fit")                                            \
    X(conv_rank, graph_conv2d(g, l.t, l.w, NULL, ok),                                                                  \
      "conv2d: operand [2, 5, 6] and weight [8, 3, 3, 6] must both have 4 dimensions")                                 \
    X(conv_channels, graph_conv2d(g, graph_geglu(g, l.x), l.w, NULL, ok), "it wants 6 channels")                       \
    X(conv_bias, graph_conv2d(g, l.x, l.w, l.v, ok), "conv2d: the bias is [6] and must be [8]")                        \
    X(conv_stride, graph_conv2d(g, l.x, l.w, NULL, (struct conv){0}),                                                  \
      "conv2d: a stride of 0 is not allowed; 1 to 65536 is")                                                           \
    X(conv_padding, graph_conv2d(g, l.x, l.w, NULL, ((struct conv){1, {0, -1, 0, 0}})),                                \
      "conv2d: a padding of 0, -1, 0, 0 is not allowed")                                                               \
    X(conv_small, graph_conv2d(g, graph_slice(g, l.x, 1, 0, 1), l.w, NULL, ((struct conv){.stride = 1})),              \
      "leaves nothing of an operand [2, 1, 7, 6]")                                                                     \
    X(transpose_channels, graph_conv2d_transpose(g, l.x, l.w, NULL, ok),                                               \
      "conv2d_transpose: a weight [8, 3, 3, 6] does not fit")                                                          \
    X(transpose_cut, graph_conv2d_transpose(g, l.x, in(g, "u", SHAPE(6, 1, 1, 2)), NULL, ((struct conv){1, PAD(5)})),  \
      "leaves nothing")                                                                                                \
    X(attention_shapes, graph_attention(g, l.t, l.t, l.x, heads),                                                      \
      "attention: q [2, 5, 6], k [2, 5, 6] and v [2, 9, 7, 6] do not fit")                                             \
    X(attention_heads, graph_attention(g, l.t, l.t, l.t, (struct attention){.heads = 4}),                              \
      "attention: 4 heads do not divide a width of 6")                                                                 \
    X(attention_none, graph_attention(g, l.t, l.t, l.t, (struct attention){0}), "attention: 0 heads do not divide")    \
    X(attention_scale, graph_attention(g, l.t, l.t, l.t, ((struct attention){.heads = 1, .scale = NAN})),              \
      "the scale is not a finite number")                                                                              \
    X(group_groups, graph_group_norm(g, l.x, NULL, NULL, ((struct norm){4, 1e-5f, UNARY_NONE})),                       \
      "group_norm: 4 groups do not divide 6 channels")                                                                 \
    X(group_act, graph_group_norm(g, l.x, NULL, NULL, ((struct norm){3, 1e-5f, UNARY_EXP})),                           \
      "activation exp is not allowed; none and silu are")                                                              \
    X(group_rank, graph_group_norm(g, l.v, NULL, NULL, ((struct norm){3, 1e-5f, UNARY_NONE})),                         \
      "must have a batch and channels")                                                                                \
    X(norm_weight, graph_layer_norm(g, graph_geglu(g, l.t), l.v, NULL, 1e-5f),                                         \
      "layer_norm: the weight is [6] and must be [3]")                                                                 \
    X(norm_eps, graph_layer_norm(g, l.t, l.v, NULL, 0), "layer_norm: epsilon is 0 and must be above 0")                \
    X(batch_mean, graph_batch_norm(g, l.t, l.v, l.v, NULL, l.v, 1e-5f), "batch_norm: operand 4 is missing")            \
    X(batch_variance, graph_batch_norm(g, l.t, l.v, l.v, l.v, l.m, 1e-5f),                                             \
      "the running variance is [4, 6] and must be [6]")                                                                \
    X(slope, graph_leaky_relu(g, l.t, INFINITY), "unary: the slope is not a finite number")                            \
    X(binary_shapes, graph_add(g, l.t, l.x),                                                                           \
      "binary: operands [2, 5, 6] and [2, 9, 7, 6] do not fit; dimensions must be equal or 1")                         \
    X(binary_dims, graph_mul(g, l.x, graph_slice(g, l.x, 1, 0, 2)), "[2, 9, 7, 6] and [2, 2, 7, 6] do not fit")        \
    X(scale, graph_scale(g, l.x, NAN, 0), "must be finite")                                                            \
    X(geglu, graph_geglu(g, graph_geglu(g, l.x)), "geglu: operand [2, 9, 7, 3] must have an even last dimension")      \
    X(softmax, graph_softmax(g, l.t, 3), "softmax: axis 3 is not one of [2, 5, 6]; 0 to 2 are")                        \
    X(embedding_dtype, graph_embedding(g, l.t, l.m),                                                                   \
      "embedding: ids hold F32 and the table F32; I32 and F32 are needed")                                             \
    X(embedding_rank, graph_embedding(g, l.i, l.w),                                                                    \
      "embedding: ids [2, 3] and table [8, 3, 3, 6] must both have 2 dimensions")                                      \
    X(upsample_rank, graph_upsample(g, l.t, 2), "upsample: operand [2, 5, 6] must have 4 dimensions")                  \
    X(upsample_factor, graph_upsample(g, l.x, 0), "upsample: a factor of 0 is not allowed")                            \
    X(pool, graph_average_pool(g, l.x, 8, 1),                                                                          \
      "average_pool: a kernel of 8 with stride 1 does not fit an operand [2, 9, 7, 6]")                                \
    X(concat_dims, graph_concat(g, l.x, graph_geglu(g, l.x), 1),                                                       \
      "concat: operands [2, 9, 7, 6] and [2, 9, 7, 3] differ beside axis 1")                                           \
    X(concat_rank, graph_concat(g, l.x, l.t, 1), "differ beside axis 1")                                               \
    X(concat_axis, graph_concat(g, l.x, l.x, -1), "concat: axis -1 is not one of")                                     \
    X(slice_end, graph_slice(g, l.t, 1, 3, 3), "slice: 3 from 3 on is not inside axis 1 of [2, 5, 6]")                 \
    X(slice_wrap, graph_slice(g, l.t, 1, INT64_MAX, INT64_MAX), "is not inside axis 1")                                \
    X(slice_none, graph_slice(g, l.t, 1, 0, 0), "slice: 0 from 0 on")                                                  \
    X(reshape, graph_reshape(g, l.t, SHAPE(59)), "reshape: [2, 5, 6] cannot become [59]: another number of elements")  \
    X(reshape_bad, graph_reshape(g, l.t, SHAPE(-1, 60)), "cannot become [-1, 60]")                                     \
    X(permute, graph_permute(g, l.t, (int[]){0, 2, 2}),                                                                \
      "permute: place 2 of the order is 2; each of 0 to 2 must come once")                                             \
    X(reduce_none, graph_reduce(g, REDUCE_SUM, l.t, 0), "reduce: axes 0x0 are not those of [2, 5, 6]")                 \
    X(reduce_axes, graph_reduce(g, REDUCE_SUM, l.t, 8), "reduce: axes 0x8 are not those of")                           \
    X(input_huge, in(g, "h", SHAPE(1 << 20, 1 << 20, 2)), "input: shape [1048576, 1048576, 2] is not allowed")         \
    X(input_wrap, in(g, "h", SHAPE(INT64_MAX, INT64_MAX)), "is not allowed")                                           \
    X(input_zero, in(g, "h", SHAPE(2, 0)), "input: shape [2, 0] is not allowed")                                       \
    X(input_rank, in(g, "h", SHAPE(1, 1, 1, 1, 1)), "1 to 4 dimensions")                                               \
    X(input_taken, in(g, "w", SHAPE(1)), "input: the name 'w' is taken")                                               \
    X(input_dtype, graph_input(g, "h", DTYPE_F16, SHAPE(1)), "input: 'h' cannot be F16; F32 and I32 are allowed")      \
    X(input_name, in(g, "", SHAPE(1)), "input: a name is needed")                                                      \
    X(param_taken, graph_param(g, "x", PARAM_PLAIN, SHAPE(1)), "param: the name 'x' is taken")                         \
    X(param_twice, graph_param(g, "w", PARAM_CONV, SHAPE(8, 3, 3, 7)),                                                 \
      "param: 'w' is asked for as [8, 3, 3, 6] and as [8, 3, 3, 7]")                                                   \
    X(param_conv, graph_param(g, "c", PARAM_CONV, SHAPE(3, 3)),                                                        \
      "'c' is a convolution's weight and must have 4 dimensions, not 2")                                               \
    X(param_rows, graph_param_rows(g, "r", SHAPE(4, 2), 9, 12),                                                        \
      "param: 'r' has 12 rows, so 4 from 9 on cannot be had")                                                          \
    X(grown, graph_upsample(g, graph_upsample(g, in(g, "h", SHAPE(1, 1 << 18, 1 << 18, 1)), 16), 16), "is not allowed")

static void test_refusals(void **state)
{
    (void)state;
    const struct conv ok = {.stride = 1};
    const struct attention heads = {.heads = 2};
    int number = 0;
#define X(name, call, sentence)                                                                                        \
    {                                                                                                                  \
        struct graph graph = {0}, *g = &graph;                                                                         \
        const struct leaves l = {in(g, "x", SHAPE(2, 9, 7, 6)),                                                        \
                                 in(g, "t", SHAPE(2, 5, 6)),                                                           \
                                 in(g, "v", SHAPE(6)),                                                                 \
                                 graph_input(g, "i", DTYPE_I32, SHAPE(2, 3)),                                          \
                                 graph_param(g, "w", PARAM_CONV, SHAPE(8, 3, 3, 6)),                                   \
                                 graph_param(g, "m", PARAM_PLAIN, SHAPE(4, 6))};                                       \
        assert_non_null(l.x);                                                                                          \
        assert_int_equal(g->error.status, STATUS_OK);                                                                  \
        const struct node *result = call;                                                                              \
        if (result != &g->nil || g->error.status != STATUS_ARGUMENT) fail_msg(#name " was not refused");               \
        if (!strstr(g->error.text, sentence)) fail_msg(#name ": %s", g->error.text);                                   \
        graph_clear(g);                                                                                                \
        number++;                                                                                                      \
    }
    REFUSALS(X)
#undef X
    assert_true(number > 50);
}

static void test_other_graph(void **state)
{
    (void)state;
    struct graph a = {0}, b = {0};
    struct node *x = in(&a, "x", SHAPE(1, 2)), *y = in(&b, "y", SHAPE(1, 2));
    graph_add(&b, y, x);
    assert_string_equal(b.error.text, "binary: operand 2 belongs to another graph");
    graph_clear(&a);
    graph_clear(&b);
}

static void test_errors_stick(void **state)
{
    (void)state;
    struct graph g = {0};
    struct node *x = in(&g, "x", SHAPE(2, 5, 6));
    struct node *bad = graph_slice(&g, x, 1, 4, 4);
    const int count = g.count;
    assert_int_equal(bad->shape.rank, 0);
    assert_int_equal(shape_dim(bad->shape, -1), 0);
    struct node *w = graph_param(&g, "w", PARAM_PLAIN, SHAPE(3, shape_dim(bad->shape, -1)));
    struct node *y = graph_unary(&g, graph_linear(&g, bad, w, NULL), UNARY_SILU);
    graph_output(&g, "y", graph_attention(&g, y, x, y, (struct attention){.heads = 1}));
    graph_fail(&g, STATUS_UNSUPPORTED, "later");
    assert_ptr_equal(y, &g.nil);
    assert_int_equal(g.count, count);
    assert_int_equal(g.output_count, 0);

    struct error err = {0};
    struct backend *cpu = NULL;
    struct exec *exec = NULL;
    assert_int_equal(backend_open(&cpu, "cpu", NULL, &err), STATUS_OK);
    assert_int_equal(exec_create(&exec, &g, cpu, 0, &err), STATUS_ARGUMENT);
    assert_string_equal(err.text, "slice: 4 from 4 on is not inside axis 1 of [2, 5, 6]");
    assert_null(exec);
    cpu->f->close(cpu);
    graph_clear(&g);
}

static void test_builders_own_complaint(void **state)
{
    (void)state;
    struct graph g = {0};
    assert_ptr_equal(graph_fail(&g, STATUS_UNSUPPORTED, "a model of %d parts", 3), &g.nil);
    assert_int_equal(g.error.status, STATUS_UNSUPPORTED);
    assert_string_equal(g.error.text, "a model of 3 parts");
    graph_clear(&g);
}

static void test_outputs(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"x", "output: the name 'x' is taken"}, {"", "a name is needed"}};
    for (int i = 0; i < 2; i++) {
        struct graph g = {0};
        graph_output(&g, cases[i][0], in(&g, "x", SHAPE(1)));
        assert_non_null(strstr(g.error.text, cases[i][1]));
        graph_clear(&g);
    }
    struct graph g = {0};
    graph_output(&g, "y", graph_input(&g, "i", DTYPE_I32, SHAPE(1)));
    assert_string_equal(g.error.text, "output 'y' holds I32; F32 is needed");
    graph_clear(&g);
}

/* ---- running ---- */

struct session {
    struct graph g;
    struct backend *cpu;
    struct exec *exec;
};

/* y = silu(conv(x, w)) + x * 2, and the input, a constant and one node under two names as further outputs. */
static enum status open_session(struct session *s, size_t limit, struct error *err)
{
    struct graph *g = &s->g;
    float w[3 * 3 * 2 * 2];
    for (int i = 0; i < 36; i++) w[i] = (float)(i % 5) * 0.25f - 0.5f;
    struct node *x = in(g, "x", SHAPE(1, 4, 3, 2)), *filter = graph_constant(g, SHAPE(2, 3, 3, 2), w);
    struct node *y = graph_unary(g, graph_conv2d(g, x, filter, NULL, (struct conv){1, PAD(1)}), UNARY_SILU);
    y = graph_add(g, y, graph_scale(g, x, 2, 0));
    in(g, "unused", SHAPE(3));
    graph_output(g, "y", y);
    graph_output(g, "again", y);
    graph_output(g, "same", x);
    graph_output(g, "filter", filter);
    if (backend_open(&s->cpu, "cpu", NULL, err) != STATUS_OK) return err->status;
    return exec_create(&s->exec, g, s->cpu, limit, err);
}

static void close_session(struct session *s)
{
    exec_destroy(s->exec);
    if (s->cpu) s->cpu->f->close(s->cpu);
    graph_clear(&s->g);
    *s = (struct session){0};
}

static void test_end_to_end(void **state)
{
    (void)state;
    struct session s = {0};
    struct error err = {0};
    float x[24], y[24], again[24], w[36];
    for (int i = 0; i < 24; i++) x[i] = (float)i / 8;
    assert_int_equal(open_session(&s, 0, &err), STATUS_OK);
    assert_int_equal(exec_write(s.exec, "x", x, &err), STATUS_OK);
    assert_int_equal(exec_write(s.exec, "unused", x, &err), STATUS_OK);
    assert_int_equal(exec_run(s.exec, &err), STATUS_OK);
    assert_int_equal(exec_run(s.exec, &err), STATUS_OK);
    assert_int_equal(exec_read(s.exec, "y", y, &err), STATUS_OK);
    assert_int_equal(exec_read(s.exec, "again", again, &err), STATUS_OK);
    assert_memory_equal(y, again, sizeof y);
    assert_int_equal(exec_read(s.exec, "same", again, &err), STATUS_OK);
    assert_memory_equal(x, again, sizeof x);
    assert_int_equal(exec_read(s.exec, "filter", w, &err), STATUS_OK);
    assert_true(w[6] == -0.25f);
    /* Filter 0 over the four taps inside the picture at its first pixel. */
    double sum = 0;
    const int taps[][2] = {{8, 0}, {10, 2}, {14, 6}, {16, 8}};
    for (int t = 0; t < 4; t++)
        for (int c = 0; c < 2; c++) sum += (double)w[taps[t][0] + c] * (double)x[taps[t][1] + c];
    assert_true(fabs((double)y[0] - sum / (1 + exp(-sum))) < 1e-6);

    assert_int_equal(exec_write(s.exec, "y", x, &err), STATUS_ARGUMENT);
    assert_string_equal(err.text, "the graph has no input 'y'");
    error_clear(&err);
    assert_int_equal(exec_read(s.exec, "x", x, &err), STATUS_ARGUMENT);
    assert_string_equal(err.text, "the graph has no output 'x'");
    close_session(&s);
}

static void test_limit(void **state)
{
    (void)state;
    struct session s = {0};
    struct error err = {0};
    assert_int_equal(open_session(&s, 0, &err), STATUS_OK);
    const size_t need = exec_bytes(s.exec);
    close_session(&s);
    assert_int_equal(open_session(&s, need, &err), STATUS_OK);
    close_session(&s);
    assert_int_equal(open_session(&s, need - 1, &err), STATUS_LIMIT);
    assert_non_null(strstr(err.text, "MiB of working memory and the limit is"));
    assert_null(s.exec);
    close_session(&s);
}

static void test_not_ready(void **state)
{
    (void)state;
    struct error err = {0};
    struct backend *cpu = NULL;
    struct exec *exec = NULL;
    assert_int_equal(backend_open(&cpu, "abacus", NULL, &err), STATUS_ARGUMENT);
    assert_non_null(strstr(err.text, "there is no backend 'abacus'; there are: cpu"));
    error_clear(&err);
    assert_int_equal(backend_open(&cpu, "cpu", &(struct backend_options){.threads = -3}, &err), STATUS_ARGUMENT);
    assert_null(cpu);
    error_clear(&err);
    assert_int_equal(backend_open(&cpu, "cpu", &(struct backend_options){.reference_only = true}, &err), STATUS_OK);
    struct graph g = {0};
    struct node *x = in(&g, "x", SHAPE(1, 2));
    assert_int_equal(exec_create(&exec, &g, cpu, 0, &err), STATUS_ARGUMENT);
    assert_string_equal(err.text, "the graph has no output");
    error_clear(&err);
    graph_output(&g, "y", graph_linear(&g, x, graph_param(&g, "w", PARAM_PLAIN, SHAPE(3, 2)), NULL));
    assert_int_equal(exec_create(&exec, &g, cpu, 0, &err), STATUS_ARGUMENT);
    assert_string_equal(err.text, "the parameter 'w' is not bound to a weight");
    graph_clear(&g);
    cpu->f->close(cpu);
}

/* A kernel's complaint about the data comes back from exec_run, and the exec can be used again. */
static void test_data_errors(void **state)
{
    (void)state;
    struct error err = {0};
    struct backend *cpu = NULL;
    struct exec *exec = NULL;
    struct graph g = {0};
    struct node *ids = graph_input(&g, "ids", DTYPE_I32, SHAPE(1, 3));
    graph_output(&g, "y", graph_embedding(&g, ids, graph_constant(&g, SHAPE(2, 1), (float[]){5, 6})));
    assert_int_equal(backend_open(&cpu, "cpu", NULL, &err), STATUS_OK);
    assert_int_equal(exec_create(&exec, &g, cpu, 0, &err), STATUS_OK);
    assert_int_equal(exec_write(exec, "ids", (int32_t[]){0, 2, 1}, &err), STATUS_OK);
    assert_int_equal(exec_run(exec, &err), STATUS_ARGUMENT);
    assert_string_equal(err.text, "id 2 at place 1 is not in the embedding's table of 2 rows");
    error_clear(&err);
    float y[3];
    assert_int_equal(exec_write(exec, "ids", (int32_t[]){0, 1, 1}, &err), STATUS_OK);
    assert_int_equal(exec_run(exec, &err), STATUS_OK);
    assert_int_equal(exec_read(exec, "y", y, &err), STATUS_OK);
    assert_true(y[0] == 5 && y[1] == 6 && y[2] == 6);
    exec_destroy(exec);
    graph_clear(&g);
    cpu->f->close(cpu);
}

static void test_every_allocation_fails(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct session s = {0};
        struct error err = {0};
        memory_fail_after(n);
        const enum status status = open_session(&s, 0, &err);
        memory_fail_after(0);
        close_session(&s);
        if (status == STATUS_OK) {
            assert_true(n > 10);
            return;
        }
        assert_int_equal(status, STATUS_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_other_graph),
        cmocka_unit_test(test_errors_stick),
        cmocka_unit_test(test_builders_own_complaint),
        cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_end_to_end),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_not_ready),
        cmocka_unit_test(test_data_errors),
        cmocka_unit_test(test_every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
