/* SPDX-License-Identifier: MIT
 *
 * What a diffusers folder says about its model in JSON beside the tensors, because no tensor tells it: heads, groups,
 * the latents' scale, how noise was added. A checkpoint without that JSON leaves everything as it is, and so does a key
 * that is not there. What would make another picture and is not built here is refused.
 */
#ifndef DIFFUSION_FOLDER_CONFIG_H
#define DIFFUSION_FOLDER_CONFIG_H

#include "core/io/checkpoint.h"
#include "diffusion/schedule.h"
#include "diffusion/unet.h"
#include "diffusion/vae.h"

/* unet/config.json; widths and depths of the levels must be known already. */
MUST_CHECK enum status folder_config_unet(struct unet_config *config, const struct checkpoint *checkpoint,
                                          struct error *err);
/* vae/config.json */
MUST_CHECK enum status folder_config_vae(struct vae_config *config, const struct checkpoint *checkpoint,
                                         struct error *err);
/* scheduler/scheduler_config.json, but for what the model predicts and whether its last time is pure noise, which other
 * files can say too. */
MUST_CHECK enum status folder_config_schedule(struct schedule_options *options, const struct checkpoint *checkpoint,
                                              struct error *err);

#endif
