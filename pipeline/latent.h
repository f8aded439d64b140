/* SPDX-License-Identifier: MIT
 *
 * Pictures to latents and back, within the memory limit: where the whole picture's run would not fit, it is done in
 * tiles with blended seams.
 */
#ifndef PIPELINE_LATENT_H
#define PIPELINE_LATENT_H

#include "diffusion/noise.h"
#include "pipeline/model.h"

/* image: [height * factor, width * factor, 3] in -1..1. moments: [height, width, 2 * channels], means and log variances
 * of the latent before it is scaled (vae_sample makes a latent of them). */
MUST_CHECK enum status latent_encode(struct limn_model *model, struct latent_shape shape, const float *image,
                                     float *moments, struct error *err);

/* latent: as the U-Net knows it, [height, width, channels]. image: as above, not clamped. */
MUST_CHECK enum status latent_decode(struct limn_model *model, struct latent_shape shape, const float *latent,
                                     float *image, struct error *err);

#endif
