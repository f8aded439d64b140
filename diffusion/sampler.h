/* SPDX-License-Identifier: MIT
 *
 * Samplers: from noise to a latent in a few calls of the model. Every sampler here is, step by step, one linear
 * combination, so a sampler is a table of numbers made once, and there is one loop:
 *
 *     sampler_create(&s, &schedule, &(struct sampler_options){.name = "euler_a", .steps = 20, .values = n}, &err);
 *     sampler_start(s, noise, x);                        or sampler_add_noise(s, 0, picture, noise, x, n)
 *     for (int i = 0; i < sampler_count(s); i++) {
 *         sampler_input(s, i, x, input, n);
 *         ... output = model(input, sampler_step_at(s, i)->time) ...
 *         sampler_step(s, i, output, sampler_needs_noise(s, i) ? fresh_noise : NULL, x);
 *     }
 *
 * Inpainting puts the original back after each step, at the level of the next: sampler_add_noise(s, i + 1, ...).
 *
 * Latents are arrays of `values` floats in any layout: nothing here mixes one value with another, so image i of a batch
 * is what it is alone, as long as its noise is drawn from its own generator (diffusion/noise.h).
 */
#ifndef DIFFUSION_SAMPLER_H
#define DIFFUSION_SAMPLER_H

#include "diffusion/schedule.h"

#include <stddef.h>

struct sampler;

/* A row of the table of samplers. */
struct sampler_kind {
    const char *name;    /* "dpm++2m" */
    const char *display; /* as the AUTOMATIC1111 web UI writes it: "DPM++ 2M" */
    const char *about;   /* a few words for help texts */
    bool stochastic;     /* fresh noise in its steps (ddim: only with eta > 0) */
    bool karras;         /* can run on Karras sigmas */
    /* What the web UI (since 1.9) means by the schedule "Automatic" with it, where that is not what "default" is here;
     * else NULL. "Uniform" is its name for what comes nearest to the default then. */
    const char *automatic;
};

/* A row of the table of step schedules. */
struct sampler_schedule {
    const char *name;    /* "karras" */
    const char *display; /* "Karras"; the web UI's "Automatic" for the default, but see `automatic` */
    enum spacing spacing;
    bool karras;
};

/* Rows in the order of help texts; NULL after the last. */
const struct sampler_kind *sampler_kind_at(int i);
const struct sampler_schedule *sampler_schedule_at(int i);
/* By name, display name or another program's name for it; case, spaces, '_' and '-' do not matter, "++" may be "pp".
 * NULL if there is none. */
const struct sampler_kind *sampler_kind_find(const char *name);
const struct sampler_schedule *sampler_schedule_find(const char *name);

struct sampler_options {
    const char *name;     /* any that sampler_kind_find knows */
    const char *schedule; /* any that sampler_schedule_find knows; NULL: the sampler's own */
    int steps;
    double eta;      /* ddim only: 0 draws no noise, 1 as much as ddpm (Song et al. 2020, equation 16) */
    double strength; /* of 0 to 1, how much of the steps is run when a picture is changed; 0 means all, as 1 does */
    size_t values;   /* floats in a batch of latents */
};

/* One step. x is the latent before it, z fresh noise. */
struct sampler_step {
    double time;                     /* what the model is told; whole or not */
    double alpha, sigma;             /* alpha^2 + sigma^2 = 1; scale * x = alpha x0 + sigma eps */
    double scale;                    /* the model sees scale * x */
    struct denoise denoise;          /* the estimate of x0 from the model's input and output */
    double keep, data, older, noise; /* next x = keep x + data x0 + older x0' + noise z; x0': the step before's */
};

/* The schedule is only read here. Refused by a sentence: unknown names, numbers outside their ranges, schedules the
 * sampler cannot run on, and steps whose arithmetic would not be finite. */
MUST_CHECK enum status sampler_create(struct sampler **out, const struct schedule *schedule,
                                      const struct sampler_options *options, struct error *err);
void sampler_destroy(struct sampler *sampler);

int sampler_count(const struct sampler *sampler); /* steps that are run, at least 1 */
const struct sampler_kind *sampler_kind(const struct sampler *sampler);
const struct sampler_step *sampler_step_at(const struct sampler *sampler, int i); /* 0..count; at count: the end */
bool sampler_needs_noise(const struct sampler *sampler, int i);

/* x = standard normal noise at the first step's size. */
void sampler_start(const struct sampler *sampler, const float *noise, float *x);
/* x = the clean latent x0 at the noise level that step i begins with; at i = count it is x0 itself. x may be x0. */
void sampler_add_noise(const struct sampler *sampler, int i, const float *x0, const float *noise, float *x, size_t n);
void sampler_input(const struct sampler *sampler, int i, const float *x, float *input, size_t n);
/* Steps are made in order, each once. noise: `values` floats where sampler_needs_noise, else ignored. */
void sampler_step(struct sampler *sampler, int i, const float *output, const float *noise, float *x);

#endif
