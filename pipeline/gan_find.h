/* SPDX-License-Identifier: MIT
 *
 * From a picture back to the latent vector that makes it, by gradient descent on the vector (Creswell and Bharath 2016,
 * arXiv 1611.05644; with a mask: Yeh et al. 2017, arXiv 1607.07539).
 */
#ifndef PIPELINE_GAN_FIND_H
#define PIPELINE_GAN_FIND_H

#include "pipeline/gan_paint.h"

struct gan_target {
    const float *picture; /* [side, side, 3] in -1..1 */
    const float *weight;  /* [side, side]: how much a pixel counts, 0..1 */
};

/* z: the best of several starts, which the job's seed draws. text: of gan_embed. *rms, if asked for: the root of the
 * weighted mean square of what is left, over 2, the range of values. */
MUST_CHECK enum status gan_find_latent(const struct gan_job *job, const struct gan_target *target, const float *text,
                                       float *z, float *rms, struct error *err);

#endif
