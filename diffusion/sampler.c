/* SPDX-License-Identifier: MIT
 *
 * Each sampler has two functions. `level` says at which time and noise level step i stands; `weigh` says how the step
 * combines what there is. The arithmetic is that of diffusers 0.27, also where the papers do otherwise; the tests
 * compare every step with it. All of it is double, since steps close to clean subtract nearly equal numbers.
 */
#include "diffusion/sampler.h"

#include "core/base/memory.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <string.h>

/* What `level` and `weigh` may read. */
struct recipe {
    const struct schedule *schedule;
    enum spacing spacing;
    bool karras;
    int steps; /* before strength takes some away */
    double eta;
};

struct method {
    struct sampler_kind kind;
    const char *alias;    /* another program's name, or NULL */
    enum spacing spacing; /* by default; DEFAULT: its times are its own, and no other can be had */
    bool multistep;       /* uses the x0 of the step before */
    void (*level)(const struct recipe *r, int i, struct sampler_step *step);
    /* step[1] is the next; `before` is the step that was run before this one, NULL for the first. */
    void (*weigh)(const struct recipe *r, const struct sampler_step *before, struct sampler_step *step);
};

struct sampler {
    const struct method *method;
    struct sampler_step *steps; /* owned; one more than are run: the last is the clean end */
    int count;
    size_t values;
    double start; /* factor of the first noise */
    float *older; /* owned; x0 of the step before, if the method wants it */
};

/* ---- noise levels ---- */

static double ratio(const struct sampler_step *step)
{
    return step->sigma / step->alpha;
}

static void set_ratio(struct sampler_step *step, double sigma)
{
    step->alpha = 1 / sqrt(sigma * sigma + 1);
    step->sigma = sigma * step->alpha;
}

static void set_time(const struct recipe *r, double time, struct sampler_step *step)
{
    const double a = r->schedule->alphas_cumprod[(int)time];
    step->time = time;
    step->alpha = sqrt(a);
    step->sigma = sqrt(1 - a);
    step->scale = 1;
}

static void ddim_level(const struct recipe *r, int i, struct sampler_step *step)
{
    const struct steps steps = {.spacing = r->spacing, .n = r->steps, .points = r->steps, .whole = true};
    set_time(r, schedule_step_time(r->schedule, steps, i), step);
}

/* Euler's latents are x0 + sigma eps; the model sees them divided back to a variance of one. */
static void euler_level(const struct recipe *r, int i, struct sampler_step *step)
{
    const struct steps steps = {.spacing = r->spacing, .n = r->steps, .points = r->steps};
    step->time = schedule_step_time(r->schedule, steps, i);
    double sigma = schedule_sigma(r->schedule, step->time);
    if (r->karras) {
        const double high = schedule_sigma(r->schedule, schedule_step_time(r->schedule, steps, 0));
        const double low = schedule_sigma(r->schedule, schedule_step_time(r->schedule, steps, r->steps - 1));
        sigma = schedule_karras(high, low, r->steps, i);
        step->time = schedule_time(r->schedule, sigma);
    }
    set_ratio(step, sigma);
    step->scale = step->alpha;
}

/* One point more than there are steps: the spare one would be the end, which is clean instead. */
static void dpm_level(const struct recipe *r, int i, struct sampler_step *step)
{
    const struct steps steps = {.spacing = r->spacing, .n = r->steps, .points = r->steps + 1, .whole = true};
    step->time = schedule_step_time(r->schedule, steps, i);
    double sigma = schedule_sigma(r->schedule, step->time);
    if (r->karras) {
        const double high = schedule_sigma(r->schedule, r->schedule->options.train_steps);
        sigma = schedule_karras(high, schedule_sigma(r->schedule, 0), r->steps, i);
        step->time = nearbyint(schedule_time(r->schedule, sigma));
    }
    set_ratio(step, sigma);
    step->scale = 1;
}

/* Consistency models are distilled on a grid of fifty times, and know no others. */
static int lcm_grid(const struct schedule *schedule)
{
    return schedule->options.train_steps < 50 ? schedule->options.train_steps : 50;
}

static void lcm_level(const struct recipe *r, int i, struct sampler_step *step)
{
    const int grid = lcm_grid(r->schedule), stride = r->schedule->options.train_steps / grid;
    const int point = grid - (int)floor(i * ((double)grid / r->steps));
    set_time(r, (double)point * stride - 1, step);
}

/* ---- weights ---- */

/* Ho et al. 2020, equations 6 and 7: the posterior's mean and the smaller of its two variances. */
static void ddpm_weigh(const struct recipe *r, const struct sampler_step *before, struct sampler_step *step)
{
    (void)r, (void)before;
    const double a = step->alpha * step->alpha, next = step[1].alpha * step[1].alpha;
    const double beta = 1 - a / next;
    step->data = sqrt(next) * beta / (1 - a);
    step->keep = sqrt(a / next) * (1 - next) / (1 - a);
    if (step->time > 0) step->noise = sqrt(fmax((1 - next) / (1 - a) * beta, 1e-20));
}

/* alphas_cumprod one stride of the training schedule before this step, however the times are spaced. */
static double signal_before(const struct recipe *r, const struct sampler_step *step, double at_end)
{
    const int time = (int)step->time - r->schedule->options.train_steps / r->steps;
    return time < 0 ? at_end : r->schedule->alphas_cumprod[time];
}

/* Song et al. 2020 (arXiv 2010.02502), equations 12 and 16, with eps written as (x - alpha x0) / sigma. */
static void ddim_weigh(const struct recipe *r, const struct sampler_step *before, struct sampler_step *step)
{
    (void)before;
    const struct schedule *s = r->schedule;
    const double a = step->alpha * step->alpha;
    const double next = signal_before(r, step, s->options.final_alpha_one ? 1 : s->alphas_cumprod[0]);
    const double variance = r->eta * r->eta * fmax((1 - next) / (1 - a) * (1 - a / next), 0);
    const double direction = sqrt(fmax(1 - next - variance, 0));
    step->keep = direction / step->sigma;
    step->data = sqrt(next) - step->alpha * step->keep;
    step->noise = sqrt(variance);
}

/* Karras et al. 2022, algorithm 1 without churn: along (x - x0) / sigma. */
static void euler_weigh(const struct recipe *r, const struct sampler_step *before, struct sampler_step *step)
{
    (void)r, (void)before;
    step->keep = ratio(step + 1) / ratio(step);
    step->data = 1 - step->keep;
}

/* The same to a lower level, then noise up to the one wanted; each as k-diffusion's get_ancestral_step. */
static void euler_a_weigh(const struct recipe *r, const struct sampler_step *before, struct sampler_step *step)
{
    (void)r, (void)before;
    const double from = ratio(step), to = ratio(step + 1);
    const double up = to * sqrt(from * from - to * to) / from;
    step->keep = sqrt(to * to - up * up) / from;
    step->data = 1 - step->keep;
    step->noise = up;
}

/* Lu et al. 2022 (arXiv 2211.01095), algorithm 2 with the midpoint solver. With lambda = -log ratio, a step is
 * h = lambda' - lambda long, and exp(-h) is the quotient of the ratios. The first step has no history and the last,
 * to a clean latent, is infinitely long: both are of first order. */
static void dpm_second_order(const struct sampler_step *before, struct sampler_step *step)
{
    if (before == NULL || step[1].sigma == 0) return;
    const double h = log(ratio(step) / ratio(step + 1)), h_before = log(ratio(before) / ratio(step));
    step->older = -0.5 * step->data * h / h_before;
    step->data -= step->older;
}

static void dpm_weigh(const struct recipe *r, const struct sampler_step *before, struct sampler_step *step)
{
    (void)r;
    step->keep = step[1].sigma / step->sigma;
    step->data = step[1].alpha * (1 - ratio(step + 1) / ratio(step));
    dpm_second_order(before, step);
}

static void dpm_sde_weigh(const struct recipe *r, const struct sampler_step *before, struct sampler_step *step)
{
    (void)r;
    const double shrink = ratio(step + 1) / ratio(step);
    step->keep = step[1].sigma / step->sigma * shrink;
    step->data = step[1].alpha * (1 - shrink * shrink);
    step->noise = step[1].sigma * sqrt(1 - shrink * shrink);
    dpm_second_order(before, step);
}

/* Luo et al. 2023 (arXiv 2310.04378), algorithm 3: a jump to x0, and noise back up to the next level. */
static void lcm_weigh(const struct recipe *r, const struct sampler_step *before, struct sampler_step *step)
{
    (void)r, (void)before;
    const double spread = 0.5, time = 10 * step->time, length = time * time + spread * spread;
    step->keep = step[1].alpha * spread * spread / length;
    step->data = step[1].alpha * time / sqrt(length);
    step->noise = step[1].sigma;
}

/* ---- tables ---- */

/* clang-format off */
static const struct method methods[] = {
    {{"euler_a", "Euler a", "Euler, with fresh noise", true, true, NULL},
     "euler_ancestral", SPACING_LINSPACE, false, euler_level, euler_a_weigh},
    {{"euler", "Euler", "plain Euler steps", false, true, NULL},
     NULL, SPACING_LINSPACE, false, euler_level, euler_weigh},
    {{"dpm++2m", "DPM++ 2M", "second order, good in 20 steps", false, true, "karras"},
     NULL, SPACING_LINSPACE, true, dpm_level, dpm_weigh},
    {{"dpm++2m_sde", "DPM++ 2M SDE", "the same, with fresh noise", true, true, "exponential"},
     NULL, SPACING_LINSPACE, true, dpm_level, dpm_sde_weigh},
    {{"ddim", "DDIM", "deterministic unless eta > 0", false, false, NULL},
     NULL, SPACING_LEADING, false, ddim_level, ddim_weigh},
    {{"ddpm", "DDPM", "the original chain; wants many steps", true, false, NULL},
     NULL, SPACING_LEADING, false, ddim_level, ddpm_weigh},
    {{"lcm", "LCM", "2 to 8 steps, for distilled models only", true, false, NULL},
     NULL, SPACING_DEFAULT, false, lcm_level, lcm_weigh},
};
/* clang-format on */

static const struct sampler_schedule schedules[] = {
    {"default", "Automatic", SPACING_DEFAULT, false},  {"karras", "Karras", SPACING_DEFAULT, true},
    {"leading", "Leading", SPACING_LEADING, false},    {"linspace", "Linspace", SPACING_LINSPACE, false},
    {"trailing", "Trailing", SPACING_TRAILING, false},
};

enum { METHODS = sizeof methods / sizeof *methods, SCHEDULES = sizeof schedules / sizeof *schedules };

const struct sampler_kind *sampler_kind_at(int i)
{
    return i >= 0 && i < METHODS ? &methods[i].kind : NULL;
}

const struct sampler_schedule *sampler_schedule_at(int i)
{
    return i >= 0 && i < SCHEDULES ? &schedules[i] : NULL;
}

/* The next character that counts, folded; '+' counts as 'p'. */
static int folded(const char **at)
{
    while (**at == ' ' || **at == '_' || **at == '-') (*at)++;
    const int c = (unsigned char)**at;
    if (c != 0) (*at)++;
    return c == '+' ? 'p' : tolower(c);
}

static bool same_name(const char *a, const char *b)
{
    for (;;) {
        const int x = folded(&a);
        if (x != folded(&b)) return false;
        if (x == 0) return true;
    }
}

static const struct method *method_find(const char *name)
{
    for (int i = 0; i < METHODS; i++) {
        const struct method *m = &methods[i];
        if (same_name(name, m->kind.name) || same_name(name, m->kind.display)) return m;
        if (m->alias != NULL && same_name(name, m->alias)) return m;
    }
    return NULL;
}

const struct sampler_kind *sampler_kind_find(const char *name)
{
    const struct method *m = method_find(name);
    return m == NULL ? NULL : &m->kind;
}

const struct sampler_schedule *sampler_schedule_find(const char *name)
{
    if (same_name(name, "uniform")) return &schedules[0];
    for (int i = 0; i < SCHEDULES; i++)
        if (same_name(name, schedules[i].name) || same_name(name, schedules[i].display)) return &schedules[i];
    return NULL;
}

/* ---- making one ---- */

static enum status check_options(const struct method *m, const struct schedule *schedule,
                                 const struct sampler_schedule *chosen, const struct sampler_options *o,
                                 struct error *err)
{
    const bool own_times = m->spacing == SPACING_DEFAULT;
    const int most = own_times ? lcm_grid(schedule) : schedule->options.train_steps;
    if (o->steps < 1 || o->steps > most)
        return fail(err, STATUS_ARGUMENT, "%d steps: sampler %s runs 1 to %d", o->steps, m->kind.name, most);
    if (!(o->strength >= 0 && o->strength <= 1))
        return fail(err, STATUS_ARGUMENT, "strength %g: it must be above 0 and at most 1", o->strength);
    if (!(o->eta >= 0 && o->eta <= 1)) return fail(err, STATUS_ARGUMENT, "eta %g: it must be 0 to 1", o->eta);
    if (o->eta > 0 && m->weigh != ddim_weigh)
        return fail(err, STATUS_ARGUMENT, "eta %g: only sampler ddim has an eta, not %s", o->eta, m->kind.name);
    if (chosen->karras && !m->kind.karras)
        return fail(err, STATUS_ARGUMENT,
                    "schedule karras: sampler %s cannot run on it; euler, euler_a, dpm++2m and dpm++2m_sde can",
                    m->kind.name);
    if (own_times && chosen->spacing != SPACING_DEFAULT)
        return fail(err, STATUS_ARGUMENT, "schedule %s: sampler %s has times of its own, only default is allowed",
                    chosen->name, m->kind.name);
    return STATUS_OK;
}

/* diffusers' rule: the steps at the front are left out, so many that int(steps * strength) remain. */
static enum status steps_left(const struct sampler_options *o, int *left, struct error *err)
{
    *left = o->strength > 0 ? (int)(o->steps * o->strength) : o->steps;
    if (*left >= 1) return STATUS_OK;
    return fail(err, STATUS_ARGUMENT, "strength %g of %d steps leaves none to run; it must be at least %g", o->strength,
                o->steps, 1.0 / o->steps);
}

static bool finite_step(const struct sampler_step *step)
{
    const double numbers[] = {step->scale, step->denoise.x, step->denoise.output, step->keep,
                              step->data,  step->older,     step->noise};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!isfinite(numbers[i])) return false;
    return true;
}

static enum status fill(struct sampler *s, const struct recipe *r, struct error *err)
{
    const struct method *m = s->method;
    const int left_out = r->steps - s->count;
    for (int i = 0; i < s->count; i++) m->level(r, left_out + i, &s->steps[i]);
    s->steps[s->count] = (struct sampler_step){.alpha = 1, .scale = 1};
    for (int i = 0; i < s->count; i++) {
        struct sampler_step *step = &s->steps[i];
        step->denoise = schedule_denoise(r->schedule->options.prediction, step->alpha, step->sigma);
        m->weigh(r, i > 0 ? step - 1 : NULL, step);
        if (!finite_step(step) && i > 0 && (step->time == step[-1].time || step->time == step[1].time))
            return fail(err, STATUS_ARGUMENT,
                        "%d steps: with this schedule, two of them fall on time %g, which sampler %s cannot do; fewer "
                        "are needed",
                        r->steps, step->time, m->kind.name);
        if (!finite_step(step))
            return fail(err, STATUS_ARGUMENT,
                        "sampler %s cannot begin at time %g, where the schedule has no signal left and the model "
                        "predicts noise; a model with v-prediction, or another schedule, is needed",
                        m->kind.name, step->time);
    }
    /* Where latents are x0 + sigma eps the first noise has the size of sigma; with leading times, which stop short of
     * the last, diffusers adds the variance of the signal. */
    const struct sampler_step *first = &s->steps[0];
    s->start = first->scale == 1 ? 1 : r->spacing == SPACING_LEADING ? 1 / first->scale : ratio(first);
    return STATUS_OK;
}

enum status sampler_create(struct sampler **out, const struct schedule *schedule, const struct sampler_options *options,
                           struct error *err)
{
    *out = NULL;
    const struct method *m = method_find(options->name);
    if (m == NULL) return fail(err, STATUS_ARGUMENT, "there is no sampler '%s'", options->name);
    const char *wanted = options->schedule != NULL ? options->schedule : "default";
    const struct sampler_schedule *chosen = sampler_schedule_find(wanted);
    if (chosen == NULL)
        return fail(err, STATUS_ARGUMENT,
                    "there is no schedule '%s'; there are default, karras, leading, linspace and trailing", wanted);
    int left = 0;
    enum status status = check_options(m, schedule, chosen, options, err);
    if (status == STATUS_OK) status = steps_left(options, &left, err);
    if (status != STATUS_OK) return status;

    struct recipe r = {.schedule = schedule, .karras = chosen->karras, .steps = options->steps, .eta = options->eta};
    r.spacing = chosen->spacing != SPACING_DEFAULT ? chosen->spacing : schedule->options.spacing;
    if (r.spacing == SPACING_DEFAULT) r.spacing = m->spacing;
    struct sampler *s = memory_alloc(sizeof *s);
    if (s == NULL) return fail_no_memory(err, "the sampler", sizeof *s);
    *s = (struct sampler){.method = m, .count = left, .values = options->values};
    const size_t step_bytes = (size_t)(left + 1) * sizeof *s->steps, older_bytes = options->values * sizeof *s->older;
    s->steps = memory_alloc(step_bytes);
    if (m->multistep) s->older = memory_alloc(older_bytes);
    if (s->steps == NULL || (m->multistep && s->older == NULL))
        status = fail_no_memory(err, "the sampler", step_bytes + older_bytes);
    if (status == STATUS_OK) status = fill(s, &r, err);
    if (status == STATUS_OK)
        *out = s;
    else
        sampler_destroy(s);
    return status;
}

void sampler_destroy(struct sampler *sampler)
{
    if (sampler == NULL) return;
    memory_free(sampler->older);
    memory_free(sampler->steps);
    memory_free(sampler);
}

/* ---- running it ---- */

int sampler_count(const struct sampler *sampler)
{
    return sampler->count;
}

const struct sampler_kind *sampler_kind(const struct sampler *sampler)
{
    return &sampler->method->kind;
}

const struct sampler_step *sampler_step_at(const struct sampler *sampler, int i)
{
    assert(i >= 0 && i <= sampler->count);
    return &sampler->steps[i];
}

bool sampler_needs_noise(const struct sampler *sampler, int i)
{
    return sampler_step_at(sampler, i)->noise > 0;
}

void sampler_start(const struct sampler *sampler, const float *noise, float *x)
{
    for (size_t j = 0; j < sampler->values; j++) x[j] = (float)(sampler->start * (double)noise[j]);
}

void sampler_add_noise(const struct sampler *sampler, int i, const float *x0, const float *noise, float *x, size_t n)
{
    const struct sampler_step *step = sampler_step_at(sampler, i);
    const double signal = step->alpha / step->scale, size = step->sigma / step->scale;
    for (size_t j = 0; j < n; j++) x[j] = (float)(signal * (double)x0[j] + size * (double)noise[j]);
}

void sampler_input(const struct sampler *sampler, int i, const float *x, float *input, size_t n)
{
    const double scale = sampler_step_at(sampler, i)->scale;
    for (size_t j = 0; j < n; j++) input[j] = (float)(scale * (double)x[j]);
}

void sampler_step(struct sampler *sampler, int i, const float *output, const float *noise, float *x)
{
    assert(i < sampler->count);
    const struct sampler_step s = *sampler_step_at(sampler, i);
    assert(s.noise == 0 || noise != NULL);
    for (size_t j = 0; j < sampler->values; j++) {
        const double x0 = s.denoise.x * s.scale * (double)x[j] + s.denoise.output * (double)output[j];
        double next = s.keep * (double)x[j] + s.data * x0;
        if (sampler->older != NULL) {
            next += s.older * (double)sampler->older[j];
            sampler->older[j] = (float)x0;
        }
        if (s.noise > 0) next += s.noise * (double)noise[j];
        x[j] = (float)next;
    }
}
