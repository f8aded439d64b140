/* SPDX-License-Identifier: MIT
 *
 * A picture by a GAN: text to its embedding, seed to a latent vector, both to pixels in one pass.
 *
 * Of a picture, the vector that makes it is found first (pipeline/gan_find.h), once for all seeds: varied, it is turned
 * towards the seed's; edited, it is found by what the mask leaves, turned half as far, and fitted again to what the
 * mask leaves; what the generator makes of it then fills the rest.
 */
#ifndef PIPELINE_GAN_PAINT_H
#define PIPELINE_GAN_PAINT_H

#include "core/base/random.h"
#include "core/io/image.h"
#include "pipeline/gan_model.h"

/* A request with every default filled in and checked, as struct job is for diffusion. */
struct gan_job {
    struct limn_model *model; /* borrowed */
    struct limn_request request;
    enum rng_kind rng;
};

/* Settings that a GAN has no use for are told to the request's watch in one sentence. */
MUST_CHECK enum status gan_job_init(struct gan_job *job, struct limn_model *model, const struct limn_request *request,
                                    struct error *err);

MUST_CHECK enum status gan_paint(const struct gan_job *job, struct image *out, struct error *err);

/* The picture of any vector. text: of gan_embed. */
MUST_CHECK enum status gan_paint_latent(const struct gan_job *job, const float *text, const float *z, struct image *out,
                                        struct error *err);

/* The vector of the request's picture, where `mask` (without pixels: everywhere) is black. */
MUST_CHECK enum status gan_find_picture(const struct gan_job *job, const struct image *mask, const float *text,
                                        float *z, float *rms, struct error *err);

/* Refuses a file of a discriminator alone. */
MUST_CHECK enum status gan_need_generator(const struct gan_job *job, struct error *err);

/* The request's picture at a network's size: [side, side, 3] in -1..1, or of one channel in the first third. */
MUST_CHECK enum status gan_load_picture(const struct gan_job *job, int side, int channels, float *out,
                                        struct error *err);

/* z as torch.randn(1, n, 1, 1) draws it, turned towards the subseed's, and truncated: what lies beyond the threshold is
 * drawn again (Brock et al. 2019, arXiv 1809.11096, section 3.1). */
MUST_CHECK enum status gan_draw(const struct gan_job *job, float *z, struct error *err);

/* The prompt's pooled embedding, as long as the generator wants it; nothing for one that takes no text. */
MUST_CHECK enum status gan_embed(const struct gan_job *job, float *text, struct error *err);

#endif
