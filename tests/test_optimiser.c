/* SPDX-License-Identifier: MIT
 *
 * Optimisers: five steps against PyTorch's, averages, clipping, learning rates; the same bits at any number of threads;
 * what is refused; and every allocation of a step of training failing in turn.
 */
#include "core/nn/batch_norm.h"
#include "core/nn/losses.h"
#include "core/nn/muon.h"
#include "core/nn/trainer.h"
#include "tests/support/golden.h"
#include "tests/support/weights.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* w [9, 7] at 0 and b [5] at 64, as a trainer would lay them out. */
enum { W = 63, B_AT = 64, B = 5, ALL = 80, TRACE_STEPS = 5 };

static void must(enum status status, const struct error *err)
{
    if (status != STATUS_OK) fail_msg("%s", err->text);
}

static void fill(float *both, const char *w, const char *b)
{
    weights_fill(both, w, 2, (const int64_t[]){9, 7}, 0, W);
    weights_fill(both + B_AT, b, 1, (const int64_t[]){B}, 0, B);
}

static void near(const struct checkpoint *golden, const float *got, size_t n, const char *name, int step,
                 const char *what)
{
    char key[64];
    snprintf(key, sizeof key, "%s.%d.%s", name, step, what);
    float *want = golden_values(golden, "%s", key);
    golden_near(got, want, n, 1e-6, "%s", key);
    memory_free(want);
}

static void test_traces(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct optimiser_rule rule;
        float rate;
    } cases[] = {
        {"adamw", {OPTIMISER_ADAMW, 0.9f, 0.95f, 1e-6f, .decay = 0.1f, .clip = 2.5f, .average = 0.9f}, 0.01f},
        {"adam", {OPTIMISER_ADAM, 0.5f, 0.999f, 1e-8f, .decay = 0.05f, .clip = 2.5f, .average = 0.9f}, 0.01f},
        {"sgd", {OPTIMISER_SGD, 0.9f, .decay = 0.01f, .clip = 2.5f, .average = 0.9f}, 0.1f},
        {"plain", {OPTIMISER_SGD, .clip = 2.5f, .average = 0.9f}, 0.1f},
    };
    struct checkpoint *golden = golden_open("gradients/optimisers.safetensors");
    for (int c = 0; c < 4; c++) {
        struct optimiser *o = NULL;
        struct error err = {0};
        must(optimiser_create(&o, &cases[c].rule, ALL, 1, &err), &err);
        fill(o->value, "w", "b");
        optimiser_start_average(o);
        for (int step = 0; step < TRACE_STEPS; step++) {
            char dw[16], db[16];
            float norm;
            snprintf(dw, sizeof dw, "dw.%d", step);
            snprintf(db, sizeof db, "db.%d", step);
            fill(o->gradient, dw, db);
            must(optimiser_step(o, cases[c].rate, &norm, &err), &err);
            near(golden, &norm, 1, cases[c].name, step, "norm");
            near(golden, o->value, W, cases[c].name, step, "w");
            near(golden, o->value + B_AT, B, cases[c].name, step, "b");
            for (int i = 0; i < ALL; i++) assert_true(o->gradient[i] == 0);
        }
        float *want = golden_values(golden, "%s.average", cases[c].name);
        golden_near(o->average, want, W, 1e-6, "%s: running average", cases[c].name);
        memory_free(want);
        assert_int_equal(o->steps, TRACE_STEPS);
        optimiser_destroy(o);
    }
    checkpoint_close(golden);
}

static float noise(int64_t i)
{
    return (float)((uint64_t)(i + 1) * 0x9E3779B97F4A7C15u >> 40) * 0x1p-23f - 1;
}

/* Enough elements for many tasks, with a last one that is cut short, and decay switched off here and there. */
static void test_threads(void **state)
{
    (void)state;
    enum { COUNT = 150003 };
    static const enum optimiser_kind kinds[] = {OPTIMISER_ADAMW, OPTIMISER_ADAM, OPTIMISER_SGD};
    for (int k = 0; k < 3; k++) {
        float *first = NULL;
        for (int threads = 1; threads <= 5; threads++) {
            const struct optimiser_rule rule = {kinds[k],      0.9f,      0.99f,          1e-8f,
                                                .decay = 0.1f, .clip = 1, .average = 0.5f};
            struct optimiser *o = NULL;
            struct error err = {0};
            must(optimiser_create(&o, &rule, COUNT, threads, &err), &err);
            for (int i = 0; i < COUNT / OPTIMISER_BLOCK; i += 3) o->decays[i] = 0;
            for (int i = 0; i < COUNT; i++) o->value[i] = noise(i);
            for (int step = 0; step < 3; step++) {
                for (int i = 0; i < COUNT; i++) o->gradient[i] = noise(i * 5 + step);
                must(optimiser_step(o, 0.01f, NULL, &err), &err);
            }
            const size_t bytes = COUNT * sizeof(float);
            if (first) {
                assert_memory_equal(o->value, first, bytes);
                assert_memory_equal(o->average, first + COUNT, bytes);
            } else {
                first = test_malloc(2 * bytes);
                memcpy(first, o->value, bytes);
                memcpy(first + COUNT, o->average, bytes);
            }
            optimiser_destroy(o);
        }
        test_free(first);
    }
}

/* ---- Muon ---- */

enum { MUON_PARAMETERS = 4 };

static const struct {
    const char *name, *gradient, *key;
    int rank;
    int64_t dim[4]; /* in a checkpoint */
} muon_parameters[MUON_PARAMETERS] = {
    {"w", "dw", "w", 2, {9, 7}},
    {"k", "dk", "k", 4, {4, 3, 2, 2}},
    {"b", "db", "b", 1, {5}},
    {"table", "dtable", "table", 2, {6, 2}},
};

/* By the weight rule, channels last. */
static void fill_parameter(float *out, const char *name, int p)
{
    const int64_t *d = muon_parameters[p].dim;
    float plain[W];
    int64_t n = 1;
    for (int i = 0; i < muon_parameters[p].rank; i++) n *= d[i];
    weights_fill(plain, name, muon_parameters[p].rank, d, 0, n);
    const int64_t pixels = muon_parameters[p].rank == 4 ? d[2] * d[3] : 1, channels = d[1];
    for (int64_t i = 0; i < n; i++)
        out[pixels == 1 ? i : (i / (channels * pixels) * pixels + i % pixels) * channels + i / pixels % channels] =
            plain[i];
}

static struct trainer *muon_trainer(struct backend *backend, int threads, struct error *err)
{
    struct graph g = {0};
    struct trainer *t = NULL;
    graph_param(&g, "w", PARAM_PLAIN, SHAPE(9, 7));
    graph_param(&g, "k", PARAM_CONV, SHAPE(4, 2, 2, 3));
    graph_param(&g, "b", PARAM_PLAIN, SHAPE(5));
    graph_param(&g, "table", PARAM_PLAIN, SHAPE(6, 2));
    const struct trainer_options options = {
        .rule = {OPTIMISER_MUON, 0.9f, 0.95f, 1e-6f, .decay = 0.1f, .clip = 1, .average = 0.9f,
                 .matrix_momentum = 0.95f, .matrix_rate = 20},
        .threads = threads,
        .no_matrices = (const char *const[]){"tab", NULL},
    };
    if (trainer_create(&t, backend, &g, &options, err) == STATUS_OK)
        for (int p = 0; p < MUON_PARAMETERS; p++)
            fill_parameter(trainer_find(t, muon_parameters[p].name), muon_parameters[p].name, p);
    graph_clear(&g);
    return t;
}

static float *gradient_of(struct trainer *t, int p)
{
    return t->optimiser->gradient + (trainer_find(t, muon_parameters[p].name) - t->optimiser->value);
}

static void check_muon(struct backend *backend, const struct checkpoint *golden, int threads)
{
    struct error err = {0};
    struct trainer *t = muon_trainer(backend, threads, &err);
    must(err.status, &err);
    for (int step = 0; step < TRACE_STEPS; step++) {
        char name[32];
        float norm;
        for (int p = 0; p < MUON_PARAMETERS; p++) {
            snprintf(name, sizeof name, "%s.%d", muon_parameters[p].gradient, step);
            fill_parameter(gradient_of(t, p), name, p);
        }
        must(trainer_step(t, 0.01f, &norm, &err), &err);
        near(golden, &norm, 1, "muon", step, "norm");
        for (int p = 0; p < MUON_PARAMETERS; p++) {
            char key[64];
            snprintf(key, sizeof key, "muon.%d.%s", step, muon_parameters[p].key);
            float *want = golden_values(golden, "%s", key);
            golden_near(trainer_find(t, muon_parameters[p].name), want, (size_t)golden_tensor(golden, "%s", key)->count,
                        5e-6, "%s", key);
            memory_free(want);
        }
    }
    trainer_destroy(t);
}

static void test_muon(void **state)
{
    (void)state;
    struct checkpoint *golden = golden_open("gradients/optimisers.safetensors");
    for (int threads = 1; threads <= 3; threads++) {
        struct backend *backend = NULL;
        struct error err = {0};
        must(backend_open(&backend, "cpu", &(struct backend_options){.threads = threads}, &err), &err);
        check_muon(backend, golden, threads);
        backend->f->close(backend);
    }
    checkpoint_close(golden);
}

/* Big enough for many tasks: the same bits at any number of threads; and what it is for: singular values near one, so
 * that a matrix times its transpose is near the identity. */
static void test_muon_threads(void **state)
{
    (void)state;
    enum { ROWS = 96, COLUMNS = 500, COUNT = ROWS * COLUMNS };
    float *flat = test_malloc(2 * COUNT * sizeof *flat), *first = flat + COUNT;
    for (int threads = 1; threads <= 4; threads++) {
        struct backend *backend = NULL;
        struct muon *muon = NULL;
        size_t needed;
        struct error err = {0};
        must(backend_open(&backend, "cpu", &(struct backend_options){.threads = threads}, &err), &err);
        must(muon_create(&muon, backend, &(struct muon_matrix){0, ROWS, COLUMNS}, 1, 0, &needed, &err), &err);
        for (int64_t i = 0; i < COUNT; i++) flat[i] = noise(i * i * i);
        must(muon_turn(muon, flat, &err), &err);
        if (threads == 1) memcpy(first, flat, COUNT * sizeof *flat);
        assert_memory_equal(flat, first, COUNT * sizeof *flat);
        muon_destroy(muon);
        backend->f->close(backend);
    }
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j <= i; j++) {
            float dot = 0;
            for (int k = 0; k < COLUMNS; k++) dot += flat[i * COLUMNS + k] * flat[j * COLUMNS + k];
            assert_true(i == j ? dot > 0.3f && dot < 1.6f : fabsf(dot) < 0.4f);
        }
    test_free(flat);
}

/* Every allocation of a trainer with Muon fails in turn. */
static void test_muon_no_memory(void **state)
{
    (void)state;
    struct backend *backend = NULL;
    struct error err = {0};
    must(backend_open(&backend, "cpu", &(struct backend_options){.threads = 1}, &err), &err);
    memory_fail_after(0);
    trainer_destroy(muon_trainer(backend, 1, &err));
    const uint64_t asked = memory_fail_after(0);
    must(err.status, &err);
    for (uint64_t i = 1; i <= asked; i++) {
        error_clear(&err);
        memory_fail_after(i);
        struct trainer *t = muon_trainer(backend, 1, &err);
        memory_fail_after(0);
        assert_null(t);
        assert_int_equal(err.status, STATUS_NO_MEMORY);
    }
    backend->f->close(backend);
}

/* Decay pulls only where it applies, also if that changes inside a task. */
static void test_decay_flags(void **state)
{
    (void)state;
    const struct optimiser_rule rule = {OPTIMISER_ADAMW, 0.9f, 0.99f, 1e-8f, .decay = 0.5f};
    struct optimiser *o = NULL;
    struct error err = {0};
    must(optimiser_create(&o, &rule, 4 * OPTIMISER_BLOCK, 1, &err), &err);
    o->decays[1] = o->decays[2] = 0;
    for (int i = 0; i < o->count; i++) o->value[i] = 1;
    must(optimiser_step(o, 0.5f, NULL, &err), &err);
    for (int i = 0; i < o->count; i++) {
        const int block = i / OPTIMISER_BLOCK;
        assert_true(o->value[i] == (block == 1 || block == 2 ? 1.0f : 0.75f));
    }
    optimiser_destroy(o);
}

/* A young average is not what the weights began as. */
static void test_warm_average(void **state)
{
    (void)state;
    const struct optimiser_rule rule = {OPTIMISER_SGD, .average = 0.5f, .average_warms = true};
    struct optimiser *o = NULL;
    struct error err = {0};
    must(optimiser_create(&o, &rule, 1, 1, &err), &err);
    float want = 0;
    for (int step = 1; step <= 20; step++) {
        const float keep = step < 8 ? (float)(step + 1) / (float)(step + 10) : 0.5f;
        o->gradient[0] = -1;
        must(optimiser_step(o, 1, NULL, &err), &err);
        want = keep * want + (1 - keep) * (float)step;
        assert_true(o->average[0] == want);
    }
    optimiser_destroy(o);
}

static void test_learning_rates(void **state)
{
    (void)state;
    const struct learning_rate constant = {LEARNING_RATE_CONSTANT, 0.5f, .warm_up = 4};
    static const float want[] = {0.125f, 0.25f, 0.375f, 0.5f, 0.5f, 0.5f};
    for (int i = 0; i < 6; i++) assert_true(learning_rate_at(&constant, i) == want[i]);
    const struct learning_rate cosine = {LEARNING_RATE_COSINE, 1, 0.2f, .warm_up = 2, .steps = 10};
    assert_true(learning_rate_at(&cosine, 0) == 0.5f);
    assert_true(learning_rate_at(&cosine, 1) == 1);
    assert_true(learning_rate_at(&cosine, 2) == 1);
    assert_true(fabsf(learning_rate_at(&cosine, 6) - 0.6f) < 1e-6f);
    assert_true(learning_rate_at(&cosine, 10) == 0.2f);
    assert_true(learning_rate_at(&cosine, 1000) == 0.2f);
    for (int i = 2; i < 10; i++) assert_true(learning_rate_at(&cosine, i) > learning_rate_at(&cosine, i + 1));
    const struct learning_rate none = {.kind = LEARNING_RATE_COSINE, .peak = 1};
    assert_true(learning_rate_at(&none, 0) == 0);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        struct optimiser_rule rule;
        int64_t count;
        const char *text;
    } cases[] = {
        {{.kind = OPTIMISER_ADAMW, .beta1 = 1, .beta2 = 0.9f, .eps = 1e-8f}, 1, "betas of 1 and 0.9 are not allowed"},
        {{.kind = OPTIMISER_ADAMW, .beta1 = 0.9f, .beta2 = -0.5f, .eps = 1e-8f}, 1, "betas of 0.9 and -0.5"},
        {{.kind = OPTIMISER_ADAMW, .beta1 = 0.9f, .beta2 = NAN, .eps = 1e-8f}, 1, "betas of 0.9 and nan"},
        {{.kind = OPTIMISER_ADAM, .beta1 = 0.9f, .beta2 = 0.9f}, 1, "epsilon is 0 and must be above 0"},
        {{OPTIMISER_SGD, 0.9f, .decay = -1}, 1, "a weight decay of -1"},
        {{OPTIMISER_SGD, 0.9f, .clip = INFINITY}, 1, "a largest norm of inf"},
        {{OPTIMISER_SGD, 0.9f, .average = 1}, 1, "a running average's factor is 1"},
        {{OPTIMISER_MUON, 0.9f, 0.9f, 1e-8f, .matrix_momentum = 1, .matrix_rate = 20}, 1, "a momentum of 1 must be"},
        {{OPTIMISER_MUON, 0.9f, 0.9f, 1e-8f, .matrix_rate = 0}, 1, "a rate of 0 times the others'"},
        {{.kind = OPTIMISER_SGD, .beta1 = 0.9f}, 0, "an optimiser for 0 numbers"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct optimiser *o = NULL;
        struct error err = {0};
        assert_int_equal(optimiser_create(&o, &cases[i].rule, cases[i].count, 1, &err), STATUS_ARGUMENT);
        assert_null(o);
        if (!strstr(err.text, cases[i].text)) fail_msg("'%s' does not say '%s'", err.text, cases[i].text);
    }
}

/* A gradient that is no number stops the training where it was. */
static void test_not_finite(void **state)
{
    (void)state;
    const struct optimiser_rule rule = {OPTIMISER_ADAMW, 0.9f, 0.99f, 1e-8f, .decay = 0.1f};
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        struct optimiser *o = NULL;
        struct error err = {0};
        must(optimiser_create(&o, &rule, 40, 1, &err), &err);
        o->value[7] = 2;
        o->gradient[39] = bad[i];
        assert_int_equal(optimiser_step(o, 0.1f, NULL, &err), STATUS_ARGUMENT);
        assert_non_null(strstr(err.text, "the gradients of step 1 are not finite"));
        assert_true(o->value[7] == 2 && o->first[39] == 0 && o->steps == 0);
        optimiser_destroy(o);
    }
}

/* ---- losses ---- */

/* The loss of x against numbers that torch gave. */
static void check_loss(struct backend *backend, struct node *(*build)(struct graph *g, struct node *x),
                       struct shape shape, const float *x, float want)
{
    struct graph g = {0};
    struct exec *exec = NULL;
    struct error err = {0};
    graph_output(&g, "loss", build(&g, graph_input(&g, "x", DTYPE_F32, shape)));
    must(exec_create(&exec, &g, backend, 0, &err), &err);
    must(exec_write(exec, "x", x, &err), &err);
    must(exec_run(exec, &err), &err);
    float got;
    must(exec_read(exec, "loss", &got, &err), &err);
    golden_near(&got, &want, 1, 1e-6, "loss of %g", (double)want);
    exec_destroy(exec);
    graph_clear(&g);
}

static struct node *entropy_of_real(struct graph *g, struct node *x)
{
    return nn_binary_cross_entropy(g, x, 1);
}

static struct node *entropy_of_smoothed(struct graph *g, struct node *x)
{
    return nn_binary_cross_entropy(g, x, 0.9f);
}

static struct node *hinge_of_real(struct graph *g, struct node *x)
{
    return nn_hinge(g, x, true);
}

static struct node *hinge_of_made(struct graph *g, struct node *x)
{
    return nn_hinge(g, x, false);
}

static struct node *rows_matched(struct graph *g, struct node *x)
{
    return nn_matching_error(g, x, 1);
}

static struct node *columns_matched(struct graph *g, struct node *x)
{
    return nn_matching_error(g, x, 0);
}

static struct node *weighted_error(struct graph *g, struct node *x)
{
    const float zero = 0, weights[] = {1, 2};
    return nn_squared_error(g, x, graph_constant(g, SHAPE(1, 1), &zero), graph_constant(g, SHAPE(2, 1), weights));
}

static void test_losses(void **state)
{
    (void)state;
    struct backend *backend = NULL;
    struct error err = {0};
    must(backend_open(&backend, "cpu", &(struct backend_options){.threads = 1}, &err), &err);
    const float x[] = {-200, 0, 3, 200}, logits[] = {100, 99, -1, 2};
    check_loss(backend, entropy_of_real, SHAPE(4, 1), x, (200 + 0.69314718f + 0.04858735f) / 4);
    check_loss(backend, entropy_of_smoothed, SHAPE(4, 1), x, (180 + 0.69314718f + 0.34858735f + 20) / 4);
    check_loss(backend, hinge_of_real, SHAPE(4, 1), x, 202.0f / 4);
    check_loss(backend, hinge_of_made, SHAPE(4, 1), x, 206.0f / 4);
    check_loss(backend, rows_matched, SHAPE(2, 2), logits, (0.31326169f + 0.04858735f) / 2);
    check_loss(backend, columns_matched, SHAPE(2, 2), logits, 97.0f / 2);
    check_loss(backend, weighted_error, SHAPE(2, 2), (const float[]){1, 2, 3, -4}, (1 + 4 + 2 * (9 + 16)) / 4.0f);
    backend->f->close(backend);
}

/* ---- batch norm of a trained network ---- */

static void test_batch_norm(void **state)
{
    (void)state;
    struct backend *backend = NULL;
    struct error err = {0};
    must(backend_open(&backend, "cpu", &(struct backend_options){.threads = 1}, &err), &err);
    struct graph g = {0};
    struct exec *exec = NULL;
    struct trainer *t = NULL;
    struct node *x = graph_input(&g, "x", DTYPE_F32, SHAPE(1, 1, 2, 2));
    graph_output(&g, "y", nn_batch_norm(&g, x, 0.25f, "main.%d", 1));
    must(
        trainer_create(&t, backend, &g, &(struct trainer_options){.rule = {.kind = OPTIMISER_SGD}, .threads = 1}, &err),
        &err);
    static const struct {
        const char *name;
        float values[2];
    } parameters[] = {{"main.1.weight", {2, 3}},
                      {"main.1.bias", {0.5f, -1}},
                      {"main.1.running_mean", {1, 2}},
                      {"main.1.running_var", {3.75f, 0.75f}}};
    for (int i = 0; i < 4; i++) {
        float *values = trainer_find(t, parameters[i].name);
        assert_non_null(values);
        memcpy(values, parameters[i].values, sizeof parameters[i].values);
    }
    trainer_bind(t, &g);
    must(trainer_publish(t, &err), &err);
    must(exec_create(&exec, &g, backend, 0, &err), &err);
    must(exec_write(exec, "x", (const float[]){3, 2, -1, 4}, &err), &err);
    must(exec_run(exec, &err), &err);
    float y[4];
    must(exec_read(exec, "y", y, &err), &err);
    assert_memory_equal(y, ((const float[]){2.5f, -1, -1.5f, 5}), sizeof y);
    exec_destroy(exec);
    graph_clear(&g);
    trainer_destroy(t);
    backend->f->close(backend);

    struct batch_statistics statistics;
    struct node *one = graph_input(&g, "one", DTYPE_F32, SHAPE(1, 1, 1, 3));
    nn_batch_norm_training(&g, one, 1e-5f, &statistics, "norm");
    assert_non_null(strstr(g.error.text, "norm: a batch norm learns nothing from one value"));
    graph_clear(&g);
}

/* ---- a step of training when memory runs out ---- */

static struct node *small_loss(struct graph *g)
{
    struct node *x = graph_input(g, "x", DTYPE_F32, SHAPE(2, 6));
    struct node *a = graph_param(g, "net.a", PARAM_PLAIN, SHAPE(6, 6));
    struct node *b = graph_param(g, "net.b", PARAM_PLAIN, SHAPE(6)), *y = graph_linear(g, x, a, b);
    /* Two parts of one tensor are two parameters. */
    for (int i = 0; i < 2; i++)
        y = graph_unary(g, graph_linear(g, y, graph_param_rows(g, "net.both", SHAPE(6, 6), 6 * i, 12), NULL),
                        UNARY_SILU);
    return nn_mean(g, graph_mul(g, y, graph_linear(g, y, graph_param(g, "frozen", PARAM_PLAIN, SHAPE(6, 6)), NULL)));
}

/* One step with a frozen parameter, which another trainer holds; the status of whatever failed. */
static enum status one_step(struct backend *backend, struct error *err)
{
    const struct optimiser_rule rule = {OPTIMISER_ADAMW, 0.9f, 0.99f, 1e-8f, .average = 0.9f};
    const struct trainer_options options = {.prefix = "net.", .rule = rule, .threads = 2};
    const struct trainer_options frozen_options = {.prefix = "frozen", .rule = {.kind = OPTIMISER_SGD}, .threads = 1};
    struct trainer *t = NULL, *frozen = NULL;
    struct exec *exec = NULL;
    struct graph g = {0};
    const float x[12] = {1, -1, 0.5f, 2};
    struct node *loss = small_loss(&g);
    enum status status = trainer_create(&t, backend, &g, &options, err);
    if (status == STATUS_OK) status = trainer_create(&frozen, backend, &g, &frozen_options, err);
    if (status != STATUS_OK) goto done;
    assert_int_equal(t->count, 4);
    for (int i = 0; i < t->optimiser->count; i++) t->optimiser->value[i] = noise(i);
    for (int i = 0; i < 36; i++) frozen->optimiser->value[i] = noise(i);
    trainer_differentiate(t, &g, loss, 2);
    trainer_bind(t, &g);
    trainer_bind(frozen, &g);
    status = trainer_publish(t, err);
    if (status == STATUS_OK) status = trainer_publish(frozen, err);
    if (status == STATUS_OK) status = exec_create(&exec, &g, backend, 0, err);
    if (status == STATUS_OK) status = exec_write(exec, "x", x, err);
    if (status == STATUS_OK) status = exec_run(exec, err);
    if (status == STATUS_OK) status = trainer_collect(t, exec, 1, err);
    if (status == STATUS_OK) status = trainer_step(t, 0.1f, NULL, err);
    /* Every trained value moved; biases are not decayed, but their gradients are there. */
    for (int i = 0; i < 6 && status == STATUS_OK; i++) assert_true(trainer_find(t, "net.b")[i] != noise(48 + i));
done:
    exec_destroy(exec);
    graph_clear(&g);
    trainer_destroy(t);
    trainer_destroy(frozen);
    return status;
}

static void test_no_memory(void **state)
{
    (void)state;
    struct backend *backend = NULL;
    struct error err = {0};
    must(backend_open(&backend, "cpu", &(struct backend_options){.threads = 1}, &err), &err);
    enum status status = STATUS_NO_MEMORY;
    uint64_t at = 1;
    for (; status != STATUS_OK; at++) {
        memory_fail_after(at);
        error_clear(&err);
        status = one_step(backend, &err);
        memory_fail_after(0);
        if (status != STATUS_OK) assert_int_equal(status, STATUS_NO_MEMORY);
    }
    assert_true(at > 20);
    backend->f->close(backend);
}

/* Graphs see the values after a step, the running average when that is published, and then the values again. */
static void test_publishing(void **state)
{
    (void)state;
    struct backend *backend = NULL;
    struct error err = {0};
    must(backend_open(&backend, "cpu", &(struct backend_options){.threads = 1}, &err), &err);
    const struct trainer_options options = {.rule = {.kind = OPTIMISER_SGD, .average = 0.5f}, .threads = 1};
    struct graph g = {0};
    struct exec *exec = NULL;
    struct trainer *t = NULL;
    struct node *w = graph_param(&g, "w", PARAM_PLAIN, SHAPE(2)), *loss = nn_mean(&g, graph_mul(&g, w, w));
    must(trainer_create(&t, backend, &g, &options, &err), &err);
    trainer_differentiate(t, &g, loss, 1);
    graph_output(&g, "w as seen", graph_scale(&g, w, 1, 0));
    trainer_bind(t, &g);
    float *values = trainer_find(t, "w");
    values[0] = 4;
    values[1] = -8;
    optimiser_start_average(t->optimiser);
    must(trainer_publish(t, &err), &err);
    must(exec_create(&exec, &g, backend, 0, &err), &err);
    must(exec_run(exec, &err), &err);
    must(trainer_collect(t, exec, 1, &err), &err);
    must(trainer_step(t, 0.5f, NULL, &err), &err); /* w -= w / 2 */
    static const float want[3][2] = {{2, -4}, {3, -6}, {2, -4}};
    for (int i = 0; i < 3; i++) {
        float seen[2];
        if (i == 1) must(trainer_publish_average(t, &err), &err);
        if (i == 2) must(trainer_publish(t, &err), &err);
        must(exec_run(exec, &err), &err);
        must(exec_read(exec, "w as seen", seen, &err), &err);
        assert_memory_equal(seen, want[i], sizeof seen);
    }
    exec_destroy(exec);
    graph_clear(&g);
    trainer_destroy(t);
    backend->f->close(backend);
}

/* Its runs together are within a limit, to the byte, or are refused with what they would take. */
static void test_muon_limit(void **state)
{
    (void)state;
    static const struct muon_matrix matrices[] = {{0, 32, 64}, {2048, 64, 16}, {3072, 32, 64}};
    struct backend *backend = NULL;
    struct muon *muon = NULL;
    struct error err = {0};
    size_t all, needed;
    must(backend_open(&backend, "cpu", &(struct backend_options){.threads = 1}, &err), &err);
    must(muon_create(&muon, backend, matrices, 3, 0, &all, &err), &err);
    muon_destroy(muon);
    must(muon_create(&muon, backend, matrices, 3, all, &needed, &err), &err);
    muon_destroy(muon);
    assert_int_equal(needed, all);
    assert_int_equal(muon_create(&muon, backend, matrices, 3, all - 1, &needed, &err), STATUS_LIMIT);
    assert_null(muon);
    assert_int_equal(needed, all);
    err = (struct error){0};
    assert_int_equal(muon_create(&muon, backend, matrices, 3, 1, &needed, &err), STATUS_LIMIT);
    assert_in_range(needed, 2, all - 1); /* the first alone */
    backend->f->close(backend);
}

static void test_trainer_refuses(void **state)
{
    (void)state;
    struct backend *backend = NULL;
    struct error err = {0};
    struct trainer *t = NULL;
    must(backend_open(&backend, "cpu", &(struct backend_options){.threads = 1}, &err), &err);
    struct graph g = {0};
    small_loss(&g);
    const struct trainer_options options = {.prefix = "other.", .rule = {.kind = OPTIMISER_SGD}, .threads = 1};
    assert_int_equal(trainer_create(&t, backend, &g, &options, &err), STATUS_ARGUMENT);
    assert_non_null(strstr(err.text, "the graph has no parameter 'other....' to train"));
    graph_clear(&g);
    backend->f->close(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_traces),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_decay_flags),
        cmocka_unit_test(test_learning_rates),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_batch_norm),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_publishing),
        cmocka_unit_test(test_trainer_refuses),
        cmocka_unit_test(test_muon_limit),
        cmocka_unit_test(test_muon),
        cmocka_unit_test(test_warm_average),
        cmocka_unit_test(test_muon_threads),
        cmocka_unit_test(test_muon_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
