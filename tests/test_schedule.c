/* SPDX-License-Identifier: MIT */
#include "core/base/memory.h"
#include "diffusion/schedule.h"
#include "tests/support/golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void near(double got, double want, double limit)
{
    if (!(fabs(got - want) <= limit)) fail_msg("%.12g, not %.12g", got, want);
}

static struct schedule made(struct schedule_options options)
{
    struct schedule s;
    struct error err = {0};
    if (schedule_init(&s, &options, &err) != STATUS_OK) fail_msg("%s", err.text);
    return s;
}

static void tables_are_diffusers(void **state)
{
    (void)state;
    struct schedule_options linear = SCHEDULE_STABLE_DIFFUSION, cosine = linear, zero = linear;
    linear.betas = BETAS_LINEAR;
    linear.beta_start = 0.0001;
    linear.beta_end = 0.02;
    cosine.betas = BETAS_COSINE;
    zero.zero_snr = true;
    const struct {
        const char *name;
        struct schedule_options options;
    } cases[] = {
        {"scaled_linear", SCHEDULE_STABLE_DIFFUSION}, {"linear", linear}, {"cosine", cosine}, {"zero_snr", zero}};
    struct checkpoint *g = golden_open("samplers.safetensors");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct schedule s = made(cases[i].options);
        float *want = golden_values(g, "alphas_cumprod.%s", cases[i].name);
        for (int t = 0; t < 1000; t++) near(s.alphas_cumprod[t], (double)want[t], 1e-6);
        near(s.alphas_cumprod[999], (double)want[999], 1e-5 * (double)want[999]); /* tiny, and sigmas divide by it */
        memory_free(want);
        schedule_clear(&s);
    }
    checkpoint_close(g);
}

static void zero_snr_ends_in_noise(void **state)
{
    (void)state;
    struct schedule_options options = SCHEDULE_STABLE_DIFFUSION;
    struct schedule plain = made(options);
    options.zero_snr = true;
    struct schedule s = made(options);
    near(s.alphas_cumprod[999], 0, 0);
    near(s.alphas_cumprod[0], plain.alphas_cumprod[0], 1e-6);
    near(schedule_sigma(&s, 999), sqrt((1 - 0x1p-24) / 0x1p-24), 1e-9);
    schedule_clear(&plain);
    schedule_clear(&s);
}

/* Any number of training steps: the products are those of the definition. */
static void any_number_of_steps(void **state)
{
    (void)state;
    const int counts[] = {1, 2, 7, 250, 4000};
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++)
        for (int betas = BETAS_LINEAR; betas <= BETAS_COSINE; betas++) {
            struct schedule_options options = SCHEDULE_STABLE_DIFFUSION;
            options.train_steps = counts[k];
            options.steps_offset = 0;
            options.betas = (enum betas)betas;
            struct schedule s = made(options);
            for (int t = 0; t < counts[k]; t++) {
                assert_true(s.alphas_cumprod[t] < (t == 0 ? 1 : s.alphas_cumprod[t - 1]));
                assert_true(s.alphas_cumprod[t] > 0);
            }
            if (betas == BETAS_LINEAR && counts[k] == 2) near(s.alphas_cumprod[1], (1 - 0.00085) * (1 - 0.012), 1e-7);
            schedule_clear(&s);
        }
}

static void sigmas_and_times_are_inverse(void **state)
{
    (void)state;
    struct schedule s = made(SCHEDULE_STABLE_DIFFUSION);
    near(schedule_sigma(&s, 0), 0.029167532, 1e-6);
    near(schedule_sigma(&s, 999), 14.614646, 1e-4);
    for (int t = 0; t < 1000; t += 37) near(schedule_time(&s, schedule_sigma(&s, t)), t, 1e-6);
    near(schedule_sigma(&s, 500.25), 0.75 * schedule_sigma(&s, 500) + 0.25 * schedule_sigma(&s, 501), 1e-12);
    near(schedule_time(&s, sqrt(schedule_sigma(&s, 500) * schedule_sigma(&s, 501))), 500.5, 1e-9);
    near(schedule_time(&s, 1e9), 999, 0);
    near(schedule_time(&s, 0), 0, 0);
    schedule_clear(&s);
}

/* Table 2 of Lin et al. 2023 for 10 of 1000. */
static void spacings(void **state)
{
    (void)state;
    struct schedule s = made(SCHEDULE_STABLE_DIFFUSION);
    const double want[][10] = {
        [SPACING_LEADING] = {901, 801, 701, 601, 501, 401, 301, 201, 101, 1},
        [SPACING_LINSPACE] = {999, 888, 777, 666, 555, 444, 333, 222, 111, 0},
        [SPACING_TRAILING] = {999, 899, 799, 699, 599, 499, 399, 299, 199, 99},
    };
    for (int spacing = SPACING_LEADING; spacing <= SPACING_TRAILING; spacing++) {
        const struct steps steps = {.spacing = (enum spacing)spacing, .n = 10, .points = 10, .whole = true};
        for (int i = 0; i < 10; i++) near(schedule_step_time(&s, steps, i), want[spacing][i], 0);
        for (int n = 1; n <= 1000; n++) {
            const struct steps all = {.spacing = (enum spacing)spacing, .n = n, .points = n, .whole = true};
            double before = 1000;
            for (int i = 0; i < n; i++) {
                const double t = schedule_step_time(&s, all, i);
                assert_true(t >= 0 && t <= 999 && (t < before || t == 999));
                before = t;
            }
        }
    }
    near(schedule_step_time(&s, (struct steps){SPACING_LINSPACE, 7, 7, false}, 5), 166.5, 1e-12);
    schedule_clear(&s);
}

static void karras(void **state)
{
    (void)state;
    near(schedule_karras(14.6146, 0.0292, 10, 0), 14.6146, 1e-12);
    near(schedule_karras(14.6146, 0.0292, 10, 9), 0.0292, 1e-12);
    const double middle = (pow(14.6146, 1. / 7) + pow(0.0292, 1. / 7)) / 2;
    near(schedule_karras(14.6146, 0.0292, 11, 5), pow(middle, 7), 1e-12);
    near(schedule_karras(3, 1, 1, 0), 3, 1e-12);
}

static void predictions_agree(void **state)
{
    (void)state;
    const double x0 = 0.7, eps = -1.3, alpha = 0.6, sigma = 0.8, x = alpha * x0 + sigma * eps;
    const double outputs[] = {
        [PREDICTION_EPSILON] = eps, [PREDICTION_V] = alpha * eps - sigma * x0, [PREDICTION_X0] = x0};
    for (int p = PREDICTION_EPSILON; p <= PREDICTION_X0; p++) {
        const struct denoise d = schedule_denoise((enum prediction)p, alpha, sigma);
        near(d.x * x + d.output * outputs[p], x0, 1e-12);
    }
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    const struct {
        struct schedule_options options;
        const char *names;
    } cases[] = {
        {{.beta_start = .1, .beta_end = .2, .train_steps = 0}, "0 training steps"},
        {{.beta_start = .1, .beta_end = .2, .train_steps = 100001}, "100001 training steps"},
        {{.beta_start = .1, .beta_end = .2, .train_steps = 10, .steps_offset = 10}, "steps_offset is 10"},
        {{.beta_start = .2, .beta_end = .1, .train_steps = 10}, "0.2 to 0.1"},
        {{.beta_start = 0, .beta_end = .1, .train_steps = 10}, "0 to 0.1"},
        {{.beta_start = NAN, .beta_end = .1, .train_steps = 10}, "nan to 0.1"},
        {{.beta_start = .1, .beta_end = 1, .train_steps = 10}, "0.1 to 1"},
        {{.betas = BETAS_COSINE, .train_steps = 1, .zero_snr = true}, "zero"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct schedule s;
        struct error err = {0};
        assert_int_equal(schedule_init(&s, &cases[i].options, &err), STATUS_ARGUMENT);
        if (strstr(err.text, cases[i].names) == NULL) fail_msg("'%s' lacks '%s'", err.text, cases[i].names);
        schedule_clear(&s);
    }
    struct schedule s;
    struct error err = {0};
    memory_fail_after(1);
    assert_int_equal(schedule_init(&s, &SCHEDULE_STABLE_DIFFUSION, &err), STATUS_NO_MEMORY);
    memory_fail_after(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_diffusers),
        cmocka_unit_test(zero_snr_ends_in_noise),
        cmocka_unit_test(any_number_of_steps),
        cmocka_unit_test(sigmas_and_times_are_inverse),
        cmocka_unit_test(spacings),
        cmocka_unit_test(karras),
        cmocka_unit_test(predictions_agree),
        cmocka_unit_test(bad_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
