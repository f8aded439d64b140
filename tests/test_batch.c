/* SPDX-License-Identifier: MIT
 *
 * Picture i of a batch has the bytes of the picture alone, node by node, by every table of kernels: of all operations
 * at sizes where their work is cut up (test_ops.c has the small and awkward ones), and of whole networks, which must
 * be made of such as keep pictures apart. Sums of products are long, as short ones hide the order of adding.
 */
#include "clip/contrastive.h"
#include "clip/image_tower.h"
#include "clip/text_tower.h"
#include "tests/support/tables.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 5, WIDTH = 768, HEADS = 12, FEATURES = 512, TOKENS = 8, VOCABULARY = 60, SIDE = 64, PATCH = 32 };

/* Builds a network for B pictures. */
typedef void builder(struct graph *g, int64_t B);

/* ---- values ---- */

static void fill_floats(float *out, int64_t n, float size, uint32_t seed)
{
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        out[i] = size * ((float)(seed >> 8) / 8388608.0f - 1);
    }
}

static void fill_param(float *out, const struct node *node)
{
    const int64_t n = shape_count(node->shape);
    uint32_t seed = (uint32_t)node->as.param.first_row;
    for (const char *c = node->name; *c; c++) seed = seed * 31u + (unsigned char)*c;
    fill_floats(out, n, node->shape.rank > 1 ? sqrtf(3.0f / WIDTH) : 0.5f, seed);
}

/* The part of an input that belongs to picture `picture`, which is at place `place` in its batch. */
static void fill_input(void *out, const struct node *node, int64_t n, int64_t picture, int64_t place)
{
    int32_t *ids = out;
    if (node->dtype == DTYPE_F32)
        fill_floats(out, n, 1.5f, 1000u + 77u * (uint32_t)picture + 5u * (uint32_t)node->index);
    else if (strcmp(node->name, "ends") == 0) /* where the text's end is, in the states of the whole batch */
        ids[0] = (int32_t)(place * TOKENS + 3 + picture % 4);
    else
        for (int64_t i = 0; i < n; i++) ids[i] = (int32_t)((i * i * 5 + picture * 11) % VOCABULARY);
}

/* ---- running ---- */

/* Values by node index, of which test_free frees each and the list. */
static void **run_graph(const struct graph *g, int64_t B, int64_t first, const struct cpu_kernels *table,
                        struct pool *pool)
{
    void **values = test_calloc((size_t)g->count, sizeof *values);
    bool *needed = test_malloc((size_t)g->count);
    plan_mark_needed(g, needed);
    for (int i = 0; i < g->count; i++) {
        const struct node *node = g->nodes[i];
        const int64_t n = shape_count(node->shape);
        if (!needed[i]) continue;
        assert_true(node->op != OP_CONSTANT);
        const void *in[NODE_MAX_INPUTS] = {0};
        for (int j = 0; j < node->inputs; j++)
            if (node->input[j]) in[j] = values[node->input[j]->index];
        if (node->op != OP_INPUT && node->op != OP_PARAM) {
            values[i] = table_run(table, pool, node, in);
            continue;
        }
        values[i] = test_malloc((size_t)n * sizeof(float));
        if (node->op == OP_PARAM) fill_param(values[i], node);
        for (int64_t b = 0; b < B && node->op == OP_INPUT; b++)
            fill_input((float *)values[i] + b * (n / B), node, n / B, first + b, b);
    }
    test_free(needed);
    return values;
}

static void release(const struct graph *g, void **values)
{
    for (int i = 0; i < g->count; i++)
        if (values[i]) test_free(values[i]);
    test_free(values);
}

static void build_fused(struct graph *g, builder *build, int64_t B)
{
    struct error err = {0};
    build(g, B);
    if (g->error.status != STATUS_OK) fail_msg("%s", g->error.text);
    assert_int_equal(plan_fuse(g, &err), STATUS_OK);
}

static void check_picture(const struct graph *batch, void *const *values, const struct graph *alone, void *const *own,
                          int64_t b, const char *table)
{
    assert_int_equal(alone->count, batch->count);
    for (int i = 0; i < alone->count; i++) {
        const struct node *node = alone->nodes[i];
        const int64_t n = shape_count(node->shape);
        if (!own[i] || node->op == OP_PARAM || shape_count(batch->nodes[i]->shape) != BATCH * n) continue;
        if (node->dtype == DTYPE_F32 && memcmp(own[i], (float *)values[i] + b * n, (size_t)n * sizeof(float)) != 0)
            fail_msg("%s kernels: node %d, %s, is not the same for picture %lld in a batch as alone", table, i,
                     op_name(node->op), (long long)b);
    }
}

static void check(const struct tables *tables, builder *build)
{
    struct graph batch = {0}, alone = {0};
    build_fused(&batch, build, BATCH);
    build_fused(&alone, build, 1);
    for (int t = 0; t < tables->count; t++) {
        void **values = run_graph(&batch, BATCH, 0, &tables->list[t], tables->pool);
        for (int64_t b = 0; b < BATCH; b += 2) {
            void **own = run_graph(&alone, 1, b, &tables->list[t], tables->pool);
            check_picture(&batch, values, &alone, own, b, tables->names[t]);
            release(&alone, own);
        }
        release(&batch, values);
    }
    graph_clear(&batch);
    graph_clear(&alone);
}

/* ---- operations ---- */

static struct node *input(struct graph *g, struct shape shape)
{
    char name[16];
    snprintf(name, sizeof name, "x%d", g->count);
    return graph_input(g, name, DTYPE_F32, shape);
}

static struct node *param(struct graph *g, struct shape shape)
{
    char name[16];
    snprintf(name, sizeof name, "w%d", g->count);
    return graph_param(g, name, PARAM_PLAIN, shape);
}

static void give(struct graph *g, struct node *node)
{
    char name[16];
    snprintf(name, sizeof name, "y%d", g->count);
    graph_output(g, name, node);
}

/* What fusion would have set: an activation and a residual, which stands before the product; NULL: none. */
static void give_fused(struct graph *g, struct node *product, enum unary act, struct node *residual)
{
    product->as.gemm.act = act;
    product->input[3] = residual;
    if (residual) product->inputs = 4;
    give(g, product);
}

static void build_linears(struct graph *g, int64_t B)
{
    struct node *row = input(g, SHAPE(B, 1, 300)), *rows = input(g, SHAPE(B, 230, 70));
    give(g, graph_linear(g, input(g, SHAPE(B, 768)), param(g, SHAPE(512, 768)), NULL));
    give_fused(g, graph_linear(g, input(g, SHAPE(B, 70, 400)), param(g, SHAPE(300, 400)), param(g, SHAPE(300))),
               UNARY_GELU, row);
    give_fused(g, graph_linear(g, input(g, SHAPE(B, 230, 130)), param(g, SHAPE(70, 130)), NULL), UNARY_QUICK_GELU,
               rows);
    give_fused(g, graph_linear(g, input(g, SHAPE(B, 1, 700)), param(g, SHAPE(40, 700)), NULL), UNARY_SILU, NULL);
    for (int i = 0; i < 4; i++) {
        const bool ta = i & 1, tb = i & 2;
        give(g, graph_matmul(g, input(g, ta ? SHAPE(B, 450, 33) : SHAPE(B, 33, 450)),
                             input(g, tb ? SHAPE(B, 130, 450) : SHAPE(B, 450, 130)), ta, tb));
    }
    struct node *q = input(g, SHAPE(B, 150, 80)), *k = input(g, SHAPE(B, 140, 80)), *v = input(g, SHAPE(B, 140, 80));
    give(g, graph_attention(g, q, k, v, (struct attention){.heads = 2}));
    give(g, graph_attention(g, q, q, q, (struct attention){.heads = 1, .causal = true}));
    struct node *table = param(g, SHAPE(VOCABULARY, 33)), *ids = graph_input(g, "ids", DTYPE_I32, SHAPE(B, 7));
    give(g, graph_embedding(g, ids, table));
}

static void build_convolutions(struct graph *g, int64_t B)
{
    const struct {
        int64_t side, I, O;
        int kernel, stride, pad;
    } cases[] = {{18, 48, 64, 3, 1, 1}, /* Winograd's */
                 {9, 96, 40, 3, 1, 1},
                 {17, 40, 24, 3, 2, 1},
                 {24, 70, 33, 1, 1, 0},
                 {64, 3, 130, 32, 32, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int64_t I = cases[i].I, O = cases[i].O, k = cases[i].kernel;
        struct node *x = input(g, SHAPE(B, cases[i].side, cases[i].side, I));
        struct node *residual = i % 2 ? NULL : input(g, SHAPE(B, 1, 1, O));
        const struct conv conv = {.stride = cases[i].stride, .pad = PAD(cases[i].pad)};
        give_fused(g, graph_conv2d(g, x, param(g, SHAPE(O, k, k, I)), param(g, SHAPE(O)), conv), UNARY_SILU, residual);
    }
    struct node *x = input(g, SHAPE(B, 9, 11, 100)), *pixel = input(g, SHAPE(B, 1, 1, 768));
    give(g, graph_conv2d_transpose(g, x, param(g, SHAPE(100, 4, 4, 20)), NULL, (struct conv){2, PAD(1)}));
    give(g, graph_conv2d_transpose(g, pixel, param(g, SHAPE(768, 1, 1, 512)), NULL, (struct conv){1, PAD(0)}));
}

static void build_norms(struct graph *g, int64_t B)
{
    const struct norm norm = {.groups = 8, .eps = 1e-5f, .act = UNARY_SILU}, plain = {.groups = 8, .eps = 1e-5f};
    struct node *x = input(g, SHAPE(B, 23, 29, 72)), *dy = input(g, SHAPE(B, 23, 29, 72));
    struct node *weight = param(g, SHAPE(72)), *bias = param(g, SHAPE(72));
    give(g, graph_group_norm(g, x, weight, bias, norm));
    give(g, graph_layer_norm(g, x, weight, bias, 1e-5f));
    struct node *variance = graph_unary(g, param(g, SHAPE(72)), UNARY_EXP);
    give(g, graph_batch_norm(g, x, weight, bias, param(g, SHAPE(72)), variance, 1e-5f));
    give(g, graph_norm_gradient(g, x, dy, plain));
    give(g, graph_softmax(g, x, 3));
    give(g, graph_softmax(g, x, 1));
    for (int kind = REDUCE_SUM; kind <= REDUCE_MAX; kind++)
        for (unsigned axes = 2; axes < 16; axes += 2) give(g, graph_reduce(g, (enum reduce)kind, x, axes));
}

static void build_elements(struct graph *g, int64_t B)
{
    struct node *x = input(g, SHAPE(B, 31, 37, 30)), *y = input(g, SHAPE(B, 31, 37, 30));
    struct node *row = input(g, SHAPE(B, 1, 1, 30)), *all = param(g, SHAPE(1, 31, 37, 1));
    for (int kind = UNARY_SILU; kind < UNARY_COUNT; kind++) {
        if (kind == UNARY_LOG || kind == UNARY_SQRT) continue; /* of numbers of either sign */
        give(g, kind == UNARY_LEAKY_RELU ? graph_leaky_relu(g, x, 0.2f) : graph_unary(g, x, (enum unary)kind));
        give(g, graph_unary_gradient(g, x, y, (enum unary)kind, 0.2f));
    }
    for (int kind = BINARY_ADD; kind <= BINARY_DIV; kind++) {
        give(g, graph_binary(g, (enum binary)kind, x, y));
        give(g, graph_binary(g, (enum binary)kind, x, row));
        give(g, graph_binary(g, (enum binary)kind, all, x));
    }
    give(g, graph_scale(g, x, 1.75f, -0.5f));
    give(g, graph_geglu(g, x));
    give(g, graph_upsample(g, x, 2));
    give(g, graph_average_pool(g, x, 3, 2));
    give(g, graph_concat(g, x, y, 1));
    give(g, graph_slice(g, x, 2, 3, 20));
    give(g, graph_pad(g, x, 1, 2, 40));
    give(g, graph_reshape(g, x, SHAPE(B, 31, 37 * 30)));
    give(g, graph_permute(g, x, (const int[]){0, 3, 1, 2}));
    give(g, graph_broadcast(g, row, x->shape));
}

/* ---- networks ---- */

static void build_image(struct graph *g, int64_t B, enum image_tower_layout layout)
{
    const struct image_tower_shape shape = {
        .size = SIDE, .patch = PATCH, .width = WIDTH, .layers = 1, .heads = HEADS, .projection = FEATURES};
    struct image_tower_config config;
    struct error err = {0};
    assert_int_equal(image_tower_create(&config, &shape, &err), STATUS_OK);
    config.layout = layout;
    config.blocks.joined = layout == IMAGE_TOWER_OPENAI;
    struct node *x = graph_input(g, "pictures", DTYPE_F32, SHAPE(B, SIDE, SIDE, 3));
    graph_output(g, "direction", contrastive_direction(g, image_tower_build(g, &config, x)));
}

static void build_text(struct graph *g, int64_t B, enum text_layout layout)
{
    const struct text_shape shape = {.vocabulary = VOCABULARY,
                                     .length = TOKENS,
                                     .width = WIDTH,
                                     .layers = 1,
                                     .heads = HEADS,
                                     .projection = FEATURES};
    struct text_config config;
    struct error err = {0};
    assert_int_equal(text_config_create(&config, &shape, &err), STATUS_OK);
    config.layout = layout;
    config.blocks.joined = layout == TEXT_LAYOUT_OPENCLIP;
    struct node *ids = graph_input(g, "ids", DTYPE_I32, SHAPE(B, TOKENS));
    struct node *ends = graph_input(g, "ends", DTYPE_I32, SHAPE(B, 1));
    struct node *x = text_tower_build(g, &config, ids, 1);
    graph_output(g, "direction", contrastive_direction(g, text_tower_features(g, &config, x, ends)));
}

static void build_image_hf(struct graph *g, int64_t B)
{
    build_image(g, B, IMAGE_TOWER_HF);
}

static void build_image_openai(struct graph *g, int64_t B)
{
    build_image(g, B, IMAGE_TOWER_OPENAI);
}

static void build_text_hf(struct graph *g, int64_t B)
{
    build_text(g, B, TEXT_LAYOUT_HF);
}

static void build_text_openclip(struct graph *g, int64_t B)
{
    build_text(g, B, TEXT_LAYOUT_OPENCLIP);
}

/* ---- tests ---- */

static void operations(void **state)
{
    static builder *const builders[] = {build_linears, build_convolutions, build_norms, build_elements};
    bool seen[OP_COUNT] = {[OP_CONSTANT] = true};
    seen[OP_SCATTER] = seen[OP_CONV2D_WEIGHT] = true; /* sums over the batch */
    for (size_t i = 0; i < sizeof builders / sizeof *builders; i++) {
        struct graph g = {0};
        check(*state, builders[i]);
        builders[i](&g, BATCH);
        for (int j = 0; j < g.count; j++) seen[g.nodes[j]->op] = true;
        graph_clear(&g);
    }
    for (int op = 0; op < OP_COUNT; op++)
        if (!seen[op]) fail_msg("%s is not tried in a batch", op_name((enum op)op));
}

static void image_towers(void **state)
{
    check(*state, build_image_hf);
    check(*state, build_image_openai);
}

static void text_towers(void **state)
{
    check(*state, build_text_hf);
    check(*state, build_text_openclip);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations),
        cmocka_unit_test(image_towers),
        cmocka_unit_test(text_towers),
    };
    return cmocka_run_group_tests(tests, tables_open, tables_close);
}
