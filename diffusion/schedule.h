/* SPDX-License-Identifier: MIT
 *
 * How noise was added while the model was trained (Ho et al. 2020, arXiv 2006.11239). At time t of 0..train_steps-1 a
 * clean latent x0 has become
 *
 *     x = sqrt(a) x0 + sqrt(1 - a) eps         a: alphas_cumprod[t]
 *
 * or, divided by sqrt(a), x0 + sigma eps. The numbers are those of diffusers' schedulers, rounded to f32 where they
 * round. The caller owns the struct:
 *
 *     schedule_init(&schedule, &SCHEDULE_STABLE_DIFFUSION, &err);  ...  schedule_clear(&schedule);
 */
#ifndef DIFFUSION_SCHEDULE_H
#define DIFFUSION_SCHEDULE_H

#include "core/base/status.h"

#include <stdbool.h>

/* Cosine: Nichol & Dhariwal 2021, arXiv 2102.09672; betas are capped at 0.999 and beta_start, beta_end are unused. */
enum betas { BETAS_LINEAR, BETAS_SCALED_LINEAR, BETAS_COSINE };

/* What the model returns: the noise, v = sqrt(a) eps - sqrt(1-a) x0 (Salimans & Ho 2022), or the clean latent. */
enum prediction { PREDICTION_EPSILON, PREDICTION_V, PREDICTION_X0 };

/* Which of the times a run of n steps visits: names and formulas of Lin et al. 2023 (arXiv 2305.08891), table 2. */
enum spacing { SPACING_DEFAULT, SPACING_LEADING, SPACING_LINSPACE, SPACING_TRAILING };

enum { SCHEDULE_MAX_TRAIN_STEPS = 100000 };

struct schedule_options {
    enum betas betas;
    double beta_start, beta_end;
    int train_steps;
    enum prediction prediction;
    bool zero_snr;        /* betas rescaled so that the last time is pure noise (Lin et al. 2023, algorithm 1) */
    bool final_alpha_one; /* DDIM's last step ends at a = 1; otherwise at alphas_cumprod[0] */
    int steps_offset;     /* added to times with leading spacing */
    enum spacing spacing; /* that the model was made for; of Karras sigmas, the times between which they run */
};

/* SD 1.x; SD 2.x with v-prediction differs in `prediction` only. */
extern const struct schedule_options SCHEDULE_STABLE_DIFFUSION;

struct schedule {
    struct schedule_options options;
    double *alphas_cumprod; /* owned; options.train_steps values */
};

/* Half-built or zeroed schedules may be cleared. */
MUST_CHECK enum status schedule_init(struct schedule *schedule, const struct schedule_options *options,
                                     struct error *err);
void schedule_clear(struct schedule *schedule);

/* sqrt((1 - a) / a) at a time that may lie between two of the table's. Where a is 0 it counts as 2^-24. */
double schedule_sigma(const struct schedule *schedule, double time);
/* The time whose sigma is nearest in logarithm, between two of the table's. */
double schedule_time(const struct schedule *schedule, double sigma);

/* Time of step i (0 the noisiest) of n. The times are the first n of `points` (n or n + 1) from the noisiest down;
 * `whole`: linspace is rounded to whole times. Not with SPACING_DEFAULT; 1 <= n <= train_steps. */
struct steps {
    enum spacing spacing;
    int n, points;
    bool whole;
};
double schedule_step_time(const struct schedule *schedule, struct steps steps, int i);

/* Sigma i of n from `high` to `low`, even in sigma^(1/7) (Karras et al. 2022, arXiv 2206.00364, equation 5). */
double schedule_karras(double high, double low, int n, int i);

/* The clean latent is `x` times x plus `output` times the model's output, where x = alpha x0 + sigma eps. */
struct denoise {
    double x, output;
};
struct denoise schedule_denoise(enum prediction prediction, double alpha, double sigma);

#endif
