/* SPDX-License-Identifier: MIT
 *
 * Whole networks in batches: picture i of a batch has the bytes of the picture alone, node by node, by every table of
 * kernels. (test_ops.c and test_kernels.c say so of single operations; here, that networks are made of such as keep
 * pictures apart.) The towers are narrow in nothing that a product sums over, as short sums hide the order of adding.
 */
#include "clip/contrastive.h"
#include "clip/image_tower.h"
#include "clip/text_tower.h"
#include "tests/support/tables.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
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
        fill_floats(out, n, 1.5f, 1000u + 77u * (uint32_t)picture);
    else if (n == 1) /* where the text's end is, in the states of the whole batch */
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
        cmocka_unit_test(image_towers),
        cmocka_unit_test(text_towers),
    };
    return cmocka_run_group_tests(tests, tables_open, tables_close);
}
