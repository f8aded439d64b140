/* SPDX-License-Identifier: MIT
 *
 * A request with every default filled in and every value checked against the model: what is left cannot be refused,
 * only fail.
 */
#ifndef PIPELINE_JOB_H
#define PIPELINE_JOB_H

#include "diffusion/noise.h"
#include "diffusion/sampler.h"
#include "pipeline/model.h"

struct job {
    struct limn_model *model;    /* borrowed */
    struct limn_request request; /* complete: no NULL texts, no zeros that stand for defaults but clip_skip's */
    const struct sampler_kind *sampler;
    const struct sampler_schedule *schedule;
    enum rng_kind rng;
    struct latent_shape latent;
    int factor; /* pixels to a latent pixel, each way */
};

/* What every model asks of a request: texts, seeds, strengths and pictures, with their defaults filled in, and the name
 * of the generator. */
MUST_CHECK enum status job_check_request(struct limn_request *r, enum rng_kind *rng, struct error *err);

MUST_CHECK enum status job_init(struct job *job, struct limn_model *model, const struct limn_request *request,
                                struct error *err);

/* The sampler for this job, which the caller destroys. from_picture: only the steps that `strength` leaves. */
MUST_CHECK enum status job_sampler(const struct job *job, bool from_picture, struct sampler **out, struct error *err);

#endif
