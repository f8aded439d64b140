/* SPDX-License-Identifier: MIT
 *
 * The tables are computed in double and rounded to f32 in the places where diffusers does, since a table that is better
 * than the one the weights were trained with is worse.
 */
#include "diffusion/schedule.h"

#include "core/base/memory.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>

#define PI 3.14159265358979323846

const struct schedule_options SCHEDULE_STABLE_DIFFUSION = {
    .betas = BETAS_SCALED_LINEAR,
    .beta_start = 0.00085,
    .beta_end = 0.012,
    .train_steps = 1000,
    .prediction = PREDICTION_EPSILON,
    .steps_offset = 1,
};

/* The smallest positive half: stands for a signal of exactly zero wherever a sigma must be finite. */
static const double smallest_alpha = 0x1p-24;

/* ---- tables ---- */

static double cosine_signal(double t)
{
    const double c = cos((t + 0.008) / 1.008 * PI / 2);
    return c * c;
}

/* torch.linspace in f32, which counts from both ends. */
static float linspace_f32(double first, double last, int n, int i)
{
    const float a = (float)first, b = (float)last, step = (b - a) / (float)(n > 1 ? n - 1 : 1);
    return i < n / 2 ? a + step * (float)i : b - step * (float)(n - 1 - i);
}

static float beta_at(const struct schedule_options *o, int i)
{
    const int n = o->train_steps;
    switch (o->betas) {
    case BETAS_LINEAR: return linspace_f32(o->beta_start, o->beta_end, n, i);
    case BETAS_SCALED_LINEAR: {
        const float root = linspace_f32(sqrt(o->beta_start), sqrt(o->beta_end), n, i);
        return root * root;
    }
    case BETAS_COSINE: return (float)fmin(1 - cosine_signal((i + 1.0) / n) / cosine_signal((double)i / n), 0.999);
    }
    return 0;
}

/* Lin et al. 2023, algorithm 1: the signal's amplitude is shifted to end at zero and stretched to begin where it did.
 * Going back through betas, as they do, repeats their rounding. */
static void rescale_to_zero_snr(double *a, int n)
{
    const float first = (float)sqrt(a[0]), last = (float)sqrt(a[n - 1]);
    const float stretch = first / (first - last);
    float before = 0;
    double product = 1;
    for (int i = 0; i < n; i++) {
        const float amplitude = ((float)sqrt(a[i]) - last) * stretch;
        const float signal = amplitude * amplitude;
        const float beta = 1 - (i == 0 ? signal : signal / before);
        before = signal;
        product *= (double)(1 - beta);
        a[i] = (double)(float)product;
    }
}

static enum status check_options(const struct schedule_options *o, struct error *err)
{
    if (o->train_steps < 1 || o->train_steps > SCHEDULE_MAX_TRAIN_STEPS)
        return fail(err, STATUS_ARGUMENT, "the noise schedule has %d training steps; 1 to %d are allowed",
                    o->train_steps, SCHEDULE_MAX_TRAIN_STEPS);
    if (o->steps_offset < 0 || o->steps_offset >= o->train_steps)
        return fail(err, STATUS_ARGUMENT, "the noise schedule's steps_offset is %d; 0 to %d are allowed",
                    o->steps_offset, o->train_steps - 1);
    if (o->betas != BETAS_COSINE && !(o->beta_start > 0 && o->beta_start <= o->beta_end && o->beta_end < 1))
        return fail(err, STATUS_ARGUMENT,
                    "the noise schedule's betas run from %g to %g; they must rise within 0 to 1, both ends excluded",
                    o->beta_start, o->beta_end);
    if (o->zero_snr && o->train_steps < 2)
        return fail(err, STATUS_ARGUMENT, "a noise schedule of one training step cannot be rescaled to zero signal");
    return STATUS_OK;
}

enum status schedule_init(struct schedule *schedule, const struct schedule_options *options, struct error *err)
{
    *schedule = (struct schedule){.options = *options};
    const enum status status = check_options(options, err);
    if (status != STATUS_OK) return status;
    const int n = options->train_steps;
    const size_t bytes = (size_t)n * sizeof *schedule->alphas_cumprod;
    double *a = schedule->alphas_cumprod = memory_alloc(bytes);
    if (a == NULL) return fail_no_memory(err, "the noise schedule", bytes);
    double product = 1;
    for (int i = 0; i < n; i++) {
        product *= (double)(1 - beta_at(options, i));
        a[i] = (double)(float)product;
    }
    if (options->zero_snr) rescale_to_zero_snr(a, n);
    return STATUS_OK;
}

void schedule_clear(struct schedule *schedule)
{
    memory_free(schedule->alphas_cumprod);
    *schedule = (struct schedule){0};
}

/* ---- sigmas and times ---- */

static double sigma_at(const struct schedule *schedule, int time)
{
    double a = schedule->alphas_cumprod[time];
    if (schedule->options.zero_snr && time == schedule->options.train_steps - 1) a = smallest_alpha;
    return sqrt((1 - a) / a);
}

double schedule_sigma(const struct schedule *schedule, double time)
{
    const int last = schedule->options.train_steps - 1;
    if (time <= 0) return sigma_at(schedule, 0);
    if (time >= last) return sigma_at(schedule, last);
    const int low = (int)time;
    const double part = time - low, sigma = sigma_at(schedule, low);
    return sigma + part * (sigma_at(schedule, low + 1) - sigma);
}

double schedule_time(const struct schedule *schedule, double sigma)
{
    int low = 0, high = schedule->options.train_steps - 1;
    if (sigma <= sigma_at(schedule, low)) return low;
    if (sigma >= sigma_at(schedule, high)) return high;
    while (high - low > 1) {
        const int middle = low + (high - low) / 2;
        if (sigma_at(schedule, middle) <= sigma)
            low = middle;
        else
            high = middle;
    }
    const double from = log(sigma_at(schedule, low)), to = log(sigma_at(schedule, high));
    return low + (log(sigma) - from) / (to - from);
}

double schedule_step_time(const struct schedule *schedule, struct steps steps, int i)
{
    const int train = schedule->options.train_steps, from_low = steps.points - 1 - i;
    assert(i >= 0 && i < steps.n && steps.n <= train && steps.points >= steps.n && steps.spacing != SPACING_DEFAULT);
    double time = 0;
    switch (steps.spacing) {
    case SPACING_LEADING: time = (double)from_low * (train / steps.points) + schedule->options.steps_offset; break;
    case SPACING_TRAILING: time = nearbyint(train - i * ((double)train / steps.n)) - 1; break;
    case SPACING_LINSPACE:
        if (steps.points > 1) time = from_low * ((train - 1.0) / (steps.points - 1));
        if (steps.whole) time = nearbyint(time);
        break;
    case SPACING_DEFAULT: break;
    }
    return fmin(time, train - 1);
}

double schedule_karras(double high, double low, int n, int i)
{
    const double rho = 7, from = pow(high, 1 / rho), to = pow(low, 1 / rho);
    return pow(from + (n > 1 ? (double)i / (n - 1) : 0) * (to - from), rho);
}

struct denoise schedule_denoise(enum prediction prediction, double alpha, double sigma)
{
    switch (prediction) {
    case PREDICTION_EPSILON: return (struct denoise){.x = 1 / alpha, .output = -sigma / alpha};
    case PREDICTION_V: return (struct denoise){.x = alpha, .output = -sigma};
    case PREDICTION_X0: return (struct denoise){.x = 0, .output = 1};
    }
    return (struct denoise){0};
}
