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
    const float *text;    /* of gan_embed */
    size_t floats;        /* of all three, which lie one after the other */
};

/* z: the best of several starts, which are the same for every request. *rms: the root of the weighted mean square of
 * what is left, over 2, the range of values. */
MUST_CHECK enum status gan_find_latent(const struct gan_job *job, const struct gan_target *target, float *z, float *rms,
                                       struct error *err);

/* Brings z, which is not far from the target, nearer to it. */
MUST_CHECK enum status gan_fit_latent(const struct gan_job *job, const struct gan_target *target, float *z,
                                      struct error *err);

#endif
