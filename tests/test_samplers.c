/* SPDX-License-Identifier: MIT
 *
 * Every sampler against diffusers, step by step: tests/golden/samplers.py made the numbers with a stand-in for a model
 * that is repeated here. The configuration of each case is read from the golden file, as diffusers wrote it.
 */
#include "core/base/memory.h"
#include "diffusion/noise.h"
#include "diffusion/sampler.h"
#include "tests/support/golden.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { N = 64, NAME_BYTES = 128 };

/* ---- parity ---- */

struct goldens {
    struct checkpoint *file;
    json_t *cases; /* owned; name -> configuration */
    float *first, *c, *x0, *noise;
};

struct run {
    const json_t *about, *config;
    struct schedule schedule;
    struct sampler *sampler;
    bool strength;
};

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value == NULL ? "" : value;
}

static double number(const json_t *object, const char *key, double otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

static struct schedule_options schedule_of(const json_t *config)
{
    const char *betas = text(config, "beta_schedule"), *prediction = text(config, "prediction_type");
    return (struct schedule_options){
        .betas = strcmp(betas, "linear") == 0          ? BETAS_LINEAR
                 : strcmp(betas, "scaled_linear") == 0 ? BETAS_SCALED_LINEAR
                                                       : BETAS_COSINE,
        .beta_start = number(config, "beta_start", 0),
        .beta_end = number(config, "beta_end", 0),
        .train_steps = (int)number(config, "num_train_timesteps", 0),
        .prediction = strcmp(prediction, "epsilon") == 0        ? PREDICTION_EPSILON
                      : strcmp(prediction, "v_prediction") == 0 ? PREDICTION_V
                                                                : PREDICTION_X0,
        .zero_snr = json_is_true(json_object_get(config, "rescale_betas_zero_snr")),
        .final_alpha_one = json_is_true(json_object_get(config, "set_alpha_to_one")),
        .steps_offset = (int)number(config, "steps_offset", 0),
    };
}

static struct run open_run(const struct goldens *g, const char *name, size_t values)
{
    struct run run = {0};
    run.about = json_object_get(g->cases, name);
    run.config = json_object_get(run.about, "config");
    assert_non_null(run.config);
    char kind[NAME_BYTES];
    snprintf(kind, sizeof kind, "%.*s", (int)strcspn(name, "."), name);
    const bool karras = json_is_true(json_object_get(run.config, "use_karras_sigmas"));
    struct schedule_options schedule = schedule_of(run.config);
    const struct sampler_schedule *spacing = sampler_schedule_find(text(run.config, "timestep_spacing"));
    assert_non_null(spacing);
    schedule.spacing = spacing->spacing;
    const struct sampler_options options = {
        .name = kind,
        .schedule = karras ? "karras" : NULL,
        .steps = (int)number(run.about, "steps", 0),
        .eta = number(run.about, "eta", 0),
        .strength = number(run.about, "strength", 0),
        .values = values,
    };
    run.strength = options.strength > 0;
    struct error err = {0};
    if (schedule_init(&run.schedule, &schedule, &err) != STATUS_OK) fail_msg("%s: %s", name, err.text);
    if (sampler_create(&run.sampler, &run.schedule, &options, &err) != STATUS_OK) fail_msg("%s: %s", name, err.text);
    return run;
}

static void close_run(struct run *run)
{
    sampler_destroy(run->sampler);
    schedule_clear(&run->schedule);
}

static void model(const float *x, double time, const float *c, float *out)
{
    for (int j = 0; j < N; j++) out[j] = (float)((double)x[j] * (0.3 + 0.4 * time / 1000) + 0.1 * (double)c[j]);
}

static void compare_sigmas(const struct goldens *g, const char *name, const struct sampler *s)
{
    char key[NAME_BYTES];
    snprintf(key, sizeof key, "%s.sigmas", name);
    const struct tensor *t = checkpoint_find(g->file, key);
    if (t == NULL) return;
    float *want = golden_values(g->file, "%s", key);
    assert_int_equal(t->count, sampler_count(s) + 1);
    for (int i = 0; i <= sampler_count(s); i++) {
        const struct sampler_step *step = sampler_step_at(s, i);
        const double sigma = step->sigma / step->alpha;
        if (!(fabs(sigma - (double)want[i]) <= 2e-5 * (double)want[i]))
            fail_msg("%s: sigma %d is %.9g", name, i, sigma);
    }
    memory_free(want);
}

static void compare_case(const struct goldens *g, const char *name, double *worst)
{
    struct run run = open_run(g, name, N);
    struct sampler *s = run.sampler;
    float x[N], input[N], output[N];
    float *first = golden_values(g->file, "%s.first", name), *times = golden_values(g->file, "%s.times", name);
    float *latents = golden_values(g->file, "%s.latents", name);
    assert_int_equal(golden_tensor(g->file, "%s.times", name)->count, sampler_count(s));
    compare_sigmas(g, name, s);
    if (run.strength)
        sampler_add_noise(s, 0, g->x0, g->first, x, N);
    else
        sampler_start(s, g->first, x);
    golden_near(x, first, N, 2e-5, "%s: the first latent", name);
    int drawn = 0;
    for (int i = 0; i < sampler_count(s); i++) {
        const double time = sampler_step_at(s, i)->time;
        if (!(fabs(time - (double)times[i]) <= 2e-3)) fail_msg("%s: time %d is %.9g", name, i, time);
        sampler_input(s, i, x, input, N);
        model(input, time, g->c, output);
        const bool noisy = sampler_needs_noise(s, i);
        sampler_step(s, i, output, noisy ? g->noise + N * drawn : NULL, x);
        drawn += noisy;
        golden_near(x, latents + N * i, N, 1e-4, "%s: step %d", name, i);
        *worst = fmax(*worst, golden_error(x, latents + N * i, N));
    }
    /* diffusers also draws where the factor is zero, which can only be in the last step. */
    const int draws = (int)number(run.about, "noise_used", -1);
    assert_true(drawn == draws || drawn == draws - 1);
    memory_free(first);
    memory_free(times);
    memory_free(latents);
    close_run(&run);
}

static struct goldens open_goldens(void)
{
    struct goldens g = {.file = golden_open("samplers.safetensors")};
    const char *cases = checkpoint_metadata(g.file, "cases");
    assert_non_null(cases);
    g.cases = json_loads(cases, 0, NULL);
    g.first = golden_values(g.file, "noise0");
    g.c = golden_values(g.file, "c");
    g.x0 = golden_values(g.file, "x0");
    g.noise = golden_values(g.file, "noise");
    return g;
}

static void close_goldens(struct goldens *g)
{
    memory_free(g->first);
    memory_free(g->c);
    memory_free(g->x0);
    memory_free(g->noise);
    json_decref(g->cases);
    checkpoint_close(g->file);
}

static void every_step_is_diffusers(void **state)
{
    (void)state;
    struct goldens g = open_goldens();
    int cases = 0;
    double worst = 0;
    const char *name = NULL;
    json_t *about = NULL;
    json_object_foreach (g.cases, name, about) {
        compare_case(&g, name, &worst);
        cases++;
    }
    print_message("%d cases, largest relative error of a step %.1e\n", cases, worst);
    assert_true(cases >= 96);
    close_goldens(&g);
}

/* ---- what else is promised ---- */

static struct sampler *make(const struct schedule *schedule, struct sampler_options options)
{
    struct sampler *s = NULL;
    struct error err = {0};
    if (sampler_create(&s, schedule, &options, &err) != STATUS_OK) fail_msg("%s", err.text);
    return s;
}

static struct schedule stable_diffusion(void)
{
    struct schedule s;
    struct error err = {0};
    assert_int_equal(schedule_init(&s, &SCHEDULE_STABLE_DIFFUSION, &err), STATUS_OK);
    return s;
}

static const struct latent_shape shape = {4, 4, 4};

/* Runs `images` pictures with seeds seed, seed + 1, ... as one batch. */
static void run_batch(const struct schedule *schedule, const char *name, uint64_t seed, int images, float *x)
{
    struct error err = {0};
    struct rng rng[3];
    float z[3 * N], input[3 * N], output[3 * N], c[N] = {0.5f};
    const size_t values = (size_t)images * N;
    struct sampler *s = make(schedule, (struct sampler_options){.name = name, .steps = 6, .values = values});
    for (int b = 0; b < images; b++) {
        const struct noise_seed noise = {.kind = RNG_MT19937, .seed = seed + (uint64_t)b};
        assert_int_equal(noise_first(&rng[b], &noise, shape, z + b * N, &err), STATUS_OK);
    }
    sampler_start(s, z, x);
    for (int i = 0; i < sampler_count(s); i++) {
        sampler_input(s, i, x, input, values);
        for (int b = 0; b < images; b++) {
            model(input + b * N, sampler_step_at(s, i)->time, c, output + b * N);
            if (sampler_needs_noise(s, i)) assert_int_equal(noise_draw(&rng[b], shape, z + b * N, &err), STATUS_OK);
        }
        sampler_step(s, i, output, z, x);
    }
    sampler_destroy(s);
}

static void image_of_a_batch_is_the_single_image(void **state)
{
    (void)state;
    struct schedule schedule = stable_diffusion();
    for (int k = 0; sampler_kind_at(k) != NULL; k++) {
        float batch[3 * N], single[N];
        run_batch(&schedule, sampler_kind_at(k)->name, 100, 3, batch);
        for (int b = 0; b < 3; b++) {
            run_batch(&schedule, sampler_kind_at(k)->name, 100 + (uint64_t)b, 1, single);
            assert_memory_equal(batch + b * N, single, sizeof single);
        }
        assert_memory_not_equal(batch, batch + N, sizeof single);
    }
    schedule_clear(&schedule);
}

static void stochastic_is_what_the_table_says(void **state)
{
    (void)state;
    struct schedule schedule = stable_diffusion();
    for (int k = 0; sampler_kind_at(k) != NULL; k++) {
        const struct sampler_kind *kind = sampler_kind_at(k);
        struct sampler *s = make(&schedule, (struct sampler_options){.name = kind->name, .steps = 5, .values = N});
        assert_ptr_equal(sampler_kind(s), kind);
        for (int i = 0; i < 4; i++) assert_int_equal(sampler_needs_noise(s, i), kind->stochastic);
        assert_false(sampler_needs_noise(s, sampler_count(s)));
        sampler_destroy(s);
    }
    schedule_clear(&schedule);
}

static void names_are_found_as_people_write_them(void **state)
{
    (void)state;
    const struct {
        const char *written, *name;
    } cases[] = {
        {"DPM++ 2M SDE", "dpm++2m_sde"},
        {"dpmpp_2m_sde", "dpm++2m_sde"},
        {"dpmpp2m", "dpm++2m"},
        {"Euler a", "euler_a"},
        {"euler-ancestral", "euler_a"},
        {"EULER", "euler"},
        {"DDIM", "ddim"},
        {"lcm", "lcm"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct sampler_kind *kind = sampler_kind_find(cases[i].written);
        assert_non_null(kind);
        assert_string_equal(kind->name, cases[i].name);
    }
    assert_null(sampler_kind_find("euler b"));
    assert_null(sampler_kind_find("eule"));
    assert_null(sampler_kind_find(""));
    assert_string_equal(sampler_schedule_find("Karras")->name, "karras");
    assert_string_equal(sampler_schedule_find("Automatic")->name, "default");
    assert_string_equal(sampler_schedule_find("Uniform")->name, "default");
    assert_null(sampler_schedule_find("exponential"));
}

static void strength_leaves_out_the_front(void **state)
{
    (void)state;
    struct schedule schedule = stable_diffusion();
    const struct {
        int steps;
        double strength;
        int left;
    } cases[] = {{10, 0, 10}, {10, 1, 10}, {10, 0.6, 6}, {10, 0.59, 5}, {20, 0.75, 15}, {1, 1, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sampler_options options = {.name = "ddim", .steps = cases[i].steps, .values = N};
        struct sampler *all = make(&schedule, options);
        options.strength = cases[i].strength;
        struct sampler *part = make(&schedule, options);
        assert_int_equal(sampler_count(part), cases[i].left);
        assert_true(sampler_step_at(part, 0)->time == sampler_step_at(all, cases[i].steps - cases[i].left)->time);
        sampler_destroy(part);
        sampler_destroy(all);
    }
    schedule_clear(&schedule);
}

/* Re-noising, as inpainting does between steps: exact in the model's eyes, and clean after the last step. */
static void added_noise_has_the_steps_level(void **state)
{
    (void)state;
    struct goldens g = open_goldens();
    struct schedule schedule = stable_diffusion();
    for (int k = 0; sampler_kind_at(k) != NULL; k++) {
        struct sampler *s =
            make(&schedule, (struct sampler_options){.name = sampler_kind_at(k)->name, .steps = 8, .values = N});
        float x[N], seen[N];
        for (int i = 0; i < 8; i++) {
            const struct sampler_step *step = sampler_step_at(s, i);
            sampler_add_noise(s, i, g.x0, g.first, x, N);
            sampler_input(s, i, x, seen, N);
            for (int j = 0; j < N; j++) {
                const double want = step->alpha * (double)g.x0[j] + step->sigma * (double)g.first[j];
                assert_true(fabs((double)seen[j] - want) < 1e-6);
            }
        }
        sampler_add_noise(s, 8, g.x0, g.first, x, N);
        assert_memory_equal(x, g.x0, sizeof x);
        sampler_destroy(s);
    }
    schedule_clear(&schedule);
    close_goldens(&g);
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    const struct {
        struct sampler_options options;
        bool zero_snr;
        const char *names;
    } cases[] = {
        {{.name = "heun", .steps = 5}, false, "'heun'"},
        {{.name = "euler", .schedule = "sgm", .steps = 5}, false, "'sgm'"},
        {{.name = "euler", .steps = 0}, false, "0 steps"},
        {{.name = "euler", .steps = -3}, false, "-3 steps"},
        {{.name = "euler", .steps = 1001}, false, "1 to 1000"},
        {{.name = "lcm", .steps = 51}, false, "1 to 50"},
        {{.name = "ddim", .steps = 5, .eta = 1.5}, false, "eta 1.5"},
        {{.name = "ddim", .steps = 5, .eta = NAN}, false, "eta nan"},
        {{.name = "euler", .steps = 5, .eta = 0.5}, false, "only sampler ddim"},
        {{.name = "ddim", .steps = 5, .strength = -0.1}, false, "strength -0.1"},
        {{.name = "ddim", .steps = 5, .strength = 1.01}, false, "strength 1.01"},
        {{.name = "ddim", .steps = 5, .strength = NAN}, false, "strength nan"},
        {{.name = "ddim", .steps = 5, .strength = 0.19}, false, "at least 0.2"},
        {{.name = "ddim", .schedule = "karras", .steps = 5}, false, "karras"},
        {{.name = "lcm", .schedule = "trailing", .steps = 5}, false, "trailing"},
        {{.name = "ddim", .schedule = "trailing", .steps = 5}, true, "no signal left"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct schedule_options options = SCHEDULE_STABLE_DIFFUSION;
        options.zero_snr = cases[i].zero_snr;
        struct schedule schedule;
        struct error err = {0};
        assert_int_equal(schedule_init(&schedule, &options, &err), STATUS_OK);
        struct sampler *s = NULL;
        assert_int_equal(sampler_create(&s, &schedule, &cases[i].options, &err), STATUS_ARGUMENT);
        assert_null(s);
        if (strstr(err.text, cases[i].names) == NULL) fail_msg("'%s' lacks '%s'", err.text, cases[i].names);
        schedule_clear(&schedule);
    }
}

static void memory_may_run_out(void **state)
{
    (void)state;
    struct schedule schedule = stable_diffusion();
    const struct sampler_options options = {.name = "dpm++2m", .steps = 5, .values = N};
    enum status status = STATUS_NO_MEMORY;
    for (uint64_t at = 1; status != STATUS_OK; at++) {
        struct sampler *s = NULL;
        struct error err = {0};
        memory_fail_after(at);
        status = sampler_create(&s, &schedule, &options, &err);
        memory_fail_after(0);
        assert_int_equal(status, at <= 3 ? STATUS_NO_MEMORY : STATUS_OK);
        sampler_destroy(s);
    }
    schedule_clear(&schedule);

    float noise[N];
    struct rng rng;
    for (int mixed = 0; mixed <= 1; mixed++) {
        const struct noise_seed seed = {.kind = RNG_PHILOX, .seed = 1, .subseed = 2, .subseed_strength = 0.5 * mixed};
        struct error err = {0};
        memory_fail_after(1);
        assert_int_equal(noise_first(&rng, &seed, shape, noise, &err), STATUS_NO_MEMORY);
        memory_fail_after(0);
    }
}

/* Song et al. 2023's boundary: at time 0 the latent passes unchanged. Only a short schedule shows it, since c_skip
 * falls with the square of the time. */
static void lcm_keeps_the_boundary(void **state)
{
    (void)state;
    struct schedule_options options = SCHEDULE_STABLE_DIFFUSION;
    struct schedule schedule;
    struct error err = {0};
    options.train_steps = 50;
    assert_int_equal(schedule_init(&schedule, &options, &err), STATUS_OK);
    struct sampler *s = make(&schedule, (struct sampler_options){.name = "lcm", .steps = 50, .values = N});
    const struct sampler_step *last = sampler_step_at(s, 49);
    assert_true(last->time == 0 && last->keep == 1 && last->data == 0);
    assert_true(fabs(last[-1].keep / last->alpha - 0.25 / 100.25) < 1e-9);
    sampler_destroy(s);
    schedule_clear(&schedule);
}

/* ---- first noise ---- */

static void noise_is_channels_last(void **state)
{
    (void)state;
    struct rng rng, same;
    struct error err = {0};
    float got[24], planes[24];
    rng_init(&same, RNG_PHILOX, 5);
    rng_normal(&same, planes, 24);
    const struct noise_seed seed = {.kind = RNG_PHILOX, .seed = 5, .subseed = 9};
    assert_int_equal(noise_first(&rng, &seed, (struct latent_shape){3, 4, 2}, got, &err), STATUS_OK);
    for (int c = 0; c < 2; c++)
        for (int i = 0; i < 12; i++) assert_true(got[i * 2 + c] == planes[c * 12 + i]);
    assert_int_equal(rng.offset, 1);
}

/* The web UI's slerp(0.3, randn(2, 4, 3) of seed 7, the same of seed 8), computed by torch and turned to [4, 3, 2]. */
static void subseed_is_the_web_uis(void **state)
{
    (void)state;
    const float want[24] = {-1.2148335f, -1.9404719f,  0.87311941f,  0.14221582f,  1.5084243f,    -0.97386038f,
                            -1.3462379f, 0.10313818f,  0.009481654f, -0.70247906f, 0.63937879f,   -0.38494751f,
                            0.36561549f, -1.5138797f,  -0.67987353f, -0.42798591f, -0.012623429f, 1.0832933f,
                            -1.2074752f, -0.08856988f, -0.19855019f, 1.1702393f,   1.4938905f,    1.3357873f};
    const struct latent_shape small = {4, 3, 2};
    struct rng rng;
    struct error err = {0};
    float got[24];
    struct noise_seed seed = {.kind = RNG_MT19937, .seed = 7, .subseed = 8, .subseed_strength = 0.3};
    assert_int_equal(noise_first(&rng, &seed, small, got, &err), STATUS_OK);
    golden_near(got, want, 24, 1e-5, "slerp");

    float low[24], high[24], end[24];
    seed.subseed_strength = 1;
    assert_int_equal(noise_first(&rng, &seed, small, end, &err), STATUS_OK);
    seed = (struct noise_seed){.kind = RNG_MT19937, .seed = 8};
    assert_int_equal(noise_first(&rng, &seed, small, high, &err), STATUS_OK);
    golden_near(end, high, 24, 1e-6, "all of the subseed");

    /* Parallel tensors are mixed linearly, with the parts as the web UI has them. */
    for (int i = 0; i < 24; i++) {
        low[i] = high[i];
        end[i] = 1.5f * high[i];
    }
    noise_slerp(0.3, small, low, end);
    for (int i = 0; i < 24; i++) assert_true(fabs((double)low[i] - (0.3 + 0.7 * 1.5) * (double)high[i]) < 1e-6);
}

/* Rows of one pixel make every angle 0 or 180 degrees: still numbers. */
static void slerp_stays_finite(void **state)
{
    (void)state;
    float low[6] = {1, -2, 3, -4, 0, 1}, high[6] = {2, 2, -1, 5, 1, 0};
    noise_slerp(0.5, (struct latent_shape){1, 6, 1}, low, high);
    for (int i = 0; i < 6; i++) assert_true(isfinite(low[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_step_is_diffusers),
        cmocka_unit_test(image_of_a_batch_is_the_single_image),
        cmocka_unit_test(stochastic_is_what_the_table_says),
        cmocka_unit_test(names_are_found_as_people_write_them),
        cmocka_unit_test(strength_leaves_out_the_front),
        cmocka_unit_test(added_noise_has_the_steps_level),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(lcm_keeps_the_boundary),
        cmocka_unit_test(memory_may_run_out),
        cmocka_unit_test(noise_is_channels_last),
        cmocka_unit_test(subseed_is_the_web_uis),
        cmocka_unit_test(slerp_stays_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
