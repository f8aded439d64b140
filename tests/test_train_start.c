/* SPDX-License-Identifier: MIT
 *
 * What a training begins with, and in which order it sees its pictures: functions of the seed alone.
 */
#include "core/nn/initialise.h"
#include "core/nn/layers.h"
#include "core/nn/whiten.h"
#include "pipeline/training_loop.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct backend *backend;

static int set_up(void **state)
{
    (void)state;
    struct error err = {0};
    return backend_open(&backend, "cpu", &(struct backend_options){.threads = 1}, &err) != STATUS_OK;
}

static int tear_down(void **state)
{
    (void)state;
    backend->f->close(backend);
    return 0;
}

/* ---- order ---- */

static void test_order_is_a_permutation(void **state)
{
    (void)state;
    static const int64_t counts[] = {1, 2, 3, 4, 5, 63, 64, 65, 1000};
    bool seen[1000];
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        memset(seen, 0, sizeof seen);
        for (int64_t i = 0; i < counts[c]; i++) {
            const int64_t at = training_shuffle(7, counts[c], i);
            assert_true(at >= 0 && at < counts[c] && !seen[at]);
            seen[at] = true;
        }
    }
}

static void test_orders_differ(void **state)
{
    (void)state;
    int same = 0, in_place = 0;
    for (int64_t i = 0; i < 1000; i++) {
        same += training_shuffle(1, 1000, i) == training_shuffle(2, 1000, i);
        in_place += training_shuffle(1, 1000, i) == i;
    }
    assert_true(same < 10 && in_place < 10);
}

/* An item's numbers depend on nothing but itself: not on the machine, not on the part. */
static void test_numbers_by_item(void **state)
{
    (void)state;
    struct training one = {.ranks = 1, .part_size = 8, .settings = {.batch = 8, .accumulate = 1, .seed = 5}, .step = 3};
    struct training second = {
        .rank = 1, .ranks = 2, .part_size = 2, .settings = {.batch = 4, .accumulate = 2, .seed = 5}, .step = 3};
    for (int k = 0; k < 2; k++) {
        struct rng a, b;
        assert_int_equal(training_item(&second, 1, k), training_item(&one, 0, 6 + k));
        training_random(&one, TRAINING_NOISE, training_item(&one, 0, 6 + k), &a);
        training_random(&second, TRAINING_NOISE, training_item(&second, 1, k), &b);
        assert_int_equal(rng_bits(&a), rng_bits(&b));
    }
    struct rng noise, time, later;
    training_random(&one, TRAINING_NOISE, 0, &noise);
    training_random(&one, TRAINING_TIME, 0, &time);
    one.step++;
    training_random(&one, TRAINING_NOISE, 0, &later);
    const uint32_t bits = rng_bits(&noise);
    assert_true(bits != rng_bits(&time) && bits != rng_bits(&later));
    training_random(&one, TRAINING_SAMPLE, 0, &noise);
    one.step++;
    training_random(&one, TRAINING_SAMPLE, 0, &later);
    assert_int_equal(rng_bits(&noise), rng_bits(&later)); /* sheets can be compared */
}

/* ---- weights ---- */

/* Mean, deviation and largest size of a parameter. */
struct numbers {
    double mean, deviation, most;
};

static struct numbers numbers_of(struct trainer *t, const char *name, int64_t n)
{
    const float *values = trainer_find(t, name);
    struct numbers out = {0};
    if (!values) fail_msg("'%s' is not there", name);
    for (int64_t i = 0; i < n; i++) out.mean += (double)values[i] / (double)n;
    for (int64_t i = 0; i < n; i++) {
        const double off = (double)values[i] - out.mean;
        out.deviation += off * off / (double)n;
        out.most = fmax(out.most, fabs((double)values[i]));
    }
    out.deviation = sqrt(out.deviation);
    return out;
}

static struct trainer *make(struct graph *g, enum initialise_kind kind, uint64_t seed)
{
    struct error err = {0};
    struct trainer *t = NULL;
    const struct trainer_options options = {.rule = {.kind = OPTIMISER_SGD}, .threads = 1};
    if (trainer_create(&t, backend, g, &options, &err) != STATUS_OK) fail_msg("%s", err.text);
    initialise(t, kind, seed);
    return t;
}

static struct node *add_layers(struct graph *g)
{
    struct node *x = graph_input(g, "x", DTYPE_F32, SHAPE(1, 4, 4, 64));
    x = nn_conv2d(g, x, 64, 3, (struct conv){.stride = 1, .pad = PAD(1)}, "plain");
    x = nn_group_norm(g, x, (struct norm){.groups = 8, .eps = 1e-5F}, "norm");
    x = nn_conv2d(g, x, 64, 3, (struct conv){.stride = 1, .pad = PAD(1)},
                  "model.diffusion_model.input_blocks.1.0.out_layers.3");
    x = nn_group_norm(g, x, (struct norm){.groups = 8, .eps = 1e-5F}, "model.diffusion_model.out.0");
    x = nn_conv2d(g, x, 64, 3, (struct conv){.stride = 1, .pad = PAD(1)}, "model.diffusion_model.out.2");
    x = graph_reshape(g, x, SHAPE(1, 16, 64));
    for (int i = 0; i < 2; i++) {
        x = nn_linear(g, x, 64, "cond_stage_model.transformer.text_model.encoder.layers.%d.self_attn.q_proj", i);
        x = nn_linear(g, x, 64, "cond_stage_model.transformer.text_model.encoder.layers.%d.self_attn.out_proj", i);
    }
    struct node *ids = graph_input(g, "ids", DTYPE_I32, SHAPE(1, 16));
    struct node *table = graph_param(g, "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
                                     PARAM_PLAIN, SHAPE(100, 64));
    return graph_add(g, x, graph_embedding(g, ids, table));
}

static void test_published(void **state)
{
    (void)state;
    struct graph g = {0};
    graph_output(&g, "y", add_layers(&g));
    struct trainer *t = make(&g, INITIALISE_PUBLISHED, 1);
    const double bound = 1 / sqrt(64.0 * 9);
    struct numbers n = numbers_of(t, "plain.weight", (int64_t)64 * 64 * 9);
    assert_true(n.most <= bound && n.most > 0.99 * bound && fabs(n.deviation / (bound / sqrt(3)) - 1) < 0.02);
    n = numbers_of(t, "plain.bias", 64); /* by the weight's fan in */
    assert_true(n.most <= bound && n.most > 0.8 * bound);
    n = numbers_of(t, "norm.weight", 64);
    assert_true(n.mean == 1 && n.deviation == 0);
    assert_true(numbers_of(t, "norm.bias", 64).most == 0);
    n = numbers_of(t, "model.diffusion_model.input_blocks.1.0.out_layers.3.weight", (int64_t)64 * 64 * 9);
    assert_true(n.most == 0);
    /* Were the norm before it at 0 too, no gradient would ever pass. */
    assert_true(numbers_of(t, "model.diffusion_model.out.0.weight", 64).mean == 1);
    assert_true(numbers_of(t, "model.diffusion_model.out.2.weight", (int64_t)64 * 64 * 9).most == 0);
    n = numbers_of(t, "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight", 6400);
    assert_true(fabs(n.deviation / 0.02 - 1) < 0.05);
    n = numbers_of(t, "cond_stage_model.transformer.text_model.encoder.layers.1.self_attn.q_proj.weight", 4096);
    assert_true(fabs(n.deviation * 8 - 1) < 0.05);
    n = numbers_of(t, "cond_stage_model.transformer.text_model.encoder.layers.1.self_attn.out_proj.weight", 4096);
    assert_true(fabs(n.deviation * 8 * 2 - 1) < 0.05); /* two layers: 1 / sqrt(2 x 2) */
    trainer_destroy(t);
    graph_clear(&g);
}

static void test_dcgan(void **state)
{
    (void)state;
    struct graph g = {0};
    graph_output(&g, "y", add_layers(&g));
    struct trainer *t = make(&g, INITIALISE_DCGAN, 1);
    struct numbers n = numbers_of(t, "plain.weight", (int64_t)64 * 64 * 9);
    assert_true(fabs(n.mean) < 1e-3 && fabs(n.deviation / 0.02 - 1) < 0.02);
    n = numbers_of(t, "norm.weight", 64);
    assert_true(fabs(n.mean - 1) < 0.01 && fabs(n.deviation / 0.02 - 1) < 0.3);
    assert_true(numbers_of(t, "norm.bias", 64).most == 0);
    trainer_destroy(t);
    graph_clear(&g);
}

/* The same name and seed give the same values, whatever else there is; another seed gives others. */
static void test_by_name(void **state)
{
    (void)state;
    struct graph all = {0}, one = {0};
    graph_output(&all, "y", add_layers(&all));
    struct node *x = graph_input(&one, "x", DTYPE_F32, SHAPE(1, 4, 4, 64));
    graph_output(&one, "y", nn_conv2d(&one, x, 64, 3, (struct conv){.stride = 1, .pad = PAD(1)}, "plain"));
    struct trainer *a = make(&all, INITIALISE_PUBLISHED, 1), *b = make(&one, INITIALISE_PUBLISHED, 1);
    struct trainer *c = make(&one, INITIALISE_PUBLISHED, 2);
    const size_t bytes = (size_t)64 * 64 * 9 * sizeof(float);
    assert_memory_equal(trainer_find(a, "plain.weight"), trainer_find(b, "plain.weight"), bytes);
    assert_memory_not_equal(trainer_find(a, "plain.weight"), trainer_find(c, "plain.weight"), bytes);
    trainer_destroy(a);
    trainer_destroy(b);
    trainer_destroy(c);
    graph_clear(&all);
    graph_clear(&one);
}

/* ---- whitening ---- */

enum { SAMPLES = 500, WIDTH = 6, ROWS = 3 };

/* Directions of very different size, mixed and off centre. */
static void draw_samples(float samples[SAMPLES * WIDTH], float spread)
{
    struct rng rng;
    float mix[WIDTH * WIDTH], own[WIDTH];
    rng_init(&rng, RNG_PHILOX, 3);
    rng_normal(&rng, mix, WIDTH * WIDTH);
    for (int i = 0; i < SAMPLES; i++) {
        rng_normal(&rng, own, WIDTH);
        for (int c = 0; c < WIDTH; c++) {
            samples[i * WIDTH + c] = 3;
            for (int k = 0; k < WIDTH; k++)
                samples[i * WIDTH + c] += spread * mix[c * WIDTH + k] * own[k] / (float)(1 + k);
        }
    }
}

static double product(const float *row, const float *sample)
{
    double sum = 0;
    for (int c = 0; c < WIDTH; c++) sum += (double)row[c] * (double)sample[c];
    return sum;
}

static void test_whitened(void **state)
{
    (void)state;
    struct error err = {0};
    float samples[SAMPLES * WIDTH], weight[ROWS * WIDTH], before[ROWS * WIDTH];
    draw_samples(samples, 1);
    for (int i = 0; i < ROWS * WIDTH; i++) weight[i] = (float)sin(1.7 * i * i);
    memcpy(before, weight, sizeof before);
    assert_int_equal(whiten(weight, ROWS, WIDTH, samples, SAMPLES, &err), STATUS_OK);
    for (int r = 0; r < ROWS; r++) {
        double mean = 0, square = 0;
        for (int i = 0; i < SAMPLES; i++) {
            const double value = product(weight + r * WIDTH, samples + i * WIDTH);
            mean += value / SAMPLES;
            square += value * value / SAMPLES;
        }
        assert_true(fabs(mean) < 1e-4);
        /* A raw row's products vary by hundreds; the floor under the smallest directions takes the rest of the one. */
        if (square < 0.5 || square > 1 + 1e-4) fail_msg("row %d: a variance of %g", r, square);
    }
    /* Nothing to learn from: nothing is changed. */
    memcpy(weight, before, sizeof weight);
    assert_int_equal(whiten(weight, ROWS, WIDTH, samples, 1, &err), STATUS_OK);
    assert_memory_equal(weight, before, sizeof weight);
    draw_samples(samples, 0);
    assert_int_equal(whiten(weight, ROWS, WIDTH, samples, SAMPLES, &err), STATUS_OK);
    assert_memory_equal(weight, before, sizeof weight);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_is_a_permutation),
        cmocka_unit_test(test_orders_differ),
        cmocka_unit_test(test_numbers_by_item),
        cmocka_unit_test(test_published),
        cmocka_unit_test(test_dcgan),
        cmocka_unit_test(test_by_name),
        cmocka_unit_test(test_whitened),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
