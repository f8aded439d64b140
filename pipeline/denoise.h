/* SPDX-License-Identifier: MIT
 *
 * The one sampling loop: from noise, or from a noised picture, to a latent.
 */
#ifndef PIPELINE_DENOISE_H
#define PIPELINE_DENOISE_H

#include "pipeline/job.h"

/* What the loop works from; all borrowed. */
struct denoising {
    const struct job *job;
    const struct text_states *prompt, *negative; /* of one length; negative NULL: no guidance */
    struct rng *rng;                             /* has drawn what comes before the steps' own noise */
    const float *noise;                          /* [h, w, c]: where the picture starts, or what is added to `start` */
    const float *start; /* [h, w, c]: the clean latent to start from at job's strength; NULL: noise alone */
    const float *keep;  /* [h, w, c]: the clean latent that comes back where `mask` is below 1; NULL: none */
    const float *mask;  /* [h, w], with `keep`: 1 is free from the first step on, 0 never, 0.3 for the last 0.3 */
    const float *extra; /* [h, w, c + 1]: what an inpainting U-Net is shown beside the latent; NULL: nothing */
};

/* x: [h, w, c], the result. */
MUST_CHECK enum status denoise(const struct denoising *d, float *x, struct error *err);

#endif
