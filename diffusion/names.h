/* SPDX-License-Identifier: MIT
 *
 * The names that diffusers gives to the U-Net's and the VAE's tensors, turned into those of the original single-file
 * layout, which limn's builders use:
 *
 *     unet/down_blocks.0.resnets.0.norm1.weight    model.diffusion_model.input_blocks.1.0.in_layers.0.weight
 *     vae/encoder.mid_block.attentions.0.to_q.bias first_stage_model.encoder.mid.attn_1.q.bias
 *
 *     struct diffusers_names names;
 *     if (diffusers_names_detect(&names, checkpoint))
 *         status = checkpoint_rename(checkpoint, diffusers_rename, &names, &err);
 *
 * A U-Net or a VAE in a file of its own has no "unet/" or "vae/" before its names; both are found. A single-file VAE
 * without "first_stage_model." before its names gets it.
 */
#ifndef DIFFUSION_NAMES_H
#define DIFFUSION_NAMES_H

#include "core/io/checkpoint.h"

enum { NAMES_MAX_LEVELS = 16 };

/* What the numbers in the new names depend on. */
struct diffusers_names {
    int unet_blocks;                     /* residual blocks a level on the way down; 0: no U-Net with such names */
    bool up_attention[NAMES_MAX_LEVELS]; /* of the U-Net's up_blocks */
    int vae_levels;                      /* 0: no VAE with such names */
    bool bare_unet, bare_vae;            /* names begin without "unet/", "vae/" */
    bool bare_first_stage;               /* original names without "first_stage_model." */
};

/* False if nothing in the checkpoint needs another name. */
bool diffusers_names_detect(struct diffusers_names *names, const struct checkpoint *checkpoint);

/* For checkpoint_rename, with a struct diffusers_names as context. */
bool diffusers_rename(void *names, const char *old, char out[CHECKPOINT_NAME_BYTES]);

#endif
