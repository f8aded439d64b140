/* SPDX-License-Identifier: MIT
 *
 * The picture and mask of a request, as painting needs them: at the size that the model works at, as latents, and at
 * the picture's own size for the end.
 *
 *     source_init(&source, &job, &err);          all zeros if the request has no picture
 *     source_draw(&source, &rng, &err);          latents, in the order of draws that diffusers has
 *     ... denoise with source.start, keep, mask, extra and noise ...
 *     source_finish(&source, &painted, &image, &err);
 *     source_clear(&source);
 */
#ifndef PIPELINE_SOURCE_H
#define PIPELINE_SOURCE_H

#include "core/base/memory.h"
#include "core/base/random.h"
#include "core/io/image.h"
#include "pipeline/job.h"

struct source {
    const struct job *job; /* borrowed */
    struct arena memory;   /* holds the arrays */
    struct image mask;     /* owned; one channel at the picture's own size, inverted and blurred as asked */

    float *moments, *masked_moments; /* of the picture, and of the picture without what the mask names */
    float *level;                    /* [h, w]: the mask's value 0..1 at each latent pixel */

    /* For denoise(); NULL where it needs none. */
    float *noise, *start, *keep, *extra;
};

MUST_CHECK enum status source_init(struct source *source, const struct job *job, struct error *err);
MUST_CHECK enum status source_draw(struct source *source, struct rng *rng, struct error *err);
/* `painted` is RGB at the job's size. The result is it, or the request's picture with it where the mask says so. */
MUST_CHECK enum status source_finish(const struct source *source, struct image *painted, struct image *out,
                                     struct error *err);
void source_clear(struct source *source);

/* The request's mask alone: one channel at the picture's own size, inverted and blurred as asked; an error if it names
 * nothing. And the end alone: `painted`, RGB of any size, over the request's picture where the mask says so. */
MUST_CHECK enum status source_mask(struct image *mask, const struct limn_request *request, struct error *err);
MUST_CHECK enum status source_compose(const struct limn_request *request, const struct image *mask,
                                      struct image *painted, struct image *out, struct error *err);

#endif
