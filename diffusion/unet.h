/* SPDX-License-Identifier: MIT
 *
 * The denoiser of Stable Diffusion 1.x and 2.x, and of anything built to the same plan at another size: the U-Net of
 * Dhariwal & Nichol 2021 (arXiv 2105.05233) with cross-attention on the text (Rombach et al. 2022, arXiv 2112.10752).
 * What a checkpoint holds is read from its tensors' names and shapes.
 *
 *     unet_config_detect(&config, checkpoint, &err);      then perhaps config.heads = 4
 *     struct node *eps = unet_build(&graph, &config, &(struct unet_inputs){x, embedding, context, NULL});
 */
#ifndef DIFFUSION_UNET_H
#define DIFFUSION_UNET_H

#include "core/io/checkpoint.h"
#include "core/tensor/graph.h"

enum { UNET_MAX_LEVELS = 8, UNET_MAX_BLOCKS = 8, UNET_MAX_DEPTH = 32 };

struct unet_config {
    int in_channels; /* 4; 9 for inpainting models: latent, mask, masked latent; 8 for InstructPix2Pix */
    int out_channels;
    int model_channels;
    int time_width; /* of the time embedding's hidden layers: 4 * model_channels */
    int context_width;
    int pooled_width; /* 0: conditioned on text and time only; else equal to context_width */
    int levels;
    int blocks;                 /* residual blocks a level on the way down; one more on the way up */
    int width[UNET_MAX_LEVELS]; /* channels of each level */
    int depth[UNET_MAX_LEVELS]; /* transformer blocks after each of its residual blocks; 0: no attention */
    int middle_depth;

    /* Not in any tensor, so set by rule where no diffusers folder says it: SD 1.x has 8 heads; models with linear
     * projections, as SD 2.x, have heads of 64; groups are 32. A caller who knows better writes over them. One of heads
     * and head_size is 0. */
    int heads, head_size;
    int groups;
};

/* Is there a U-Net at all? */
bool unet_present(const struct checkpoint *checkpoint);
MUST_CHECK enum status unet_config_detect(struct unet_config *config, const struct checkpoint *checkpoint,
                                          struct error *err);

struct unet_inputs {
    struct node *x;         /* [B, H, W, in_channels], any H and W */
    struct node *embedding; /* [B, model_channels], rows made by unet_time_embedding */
    struct node *context;   /* [B, T, context_width] */
    struct node *pooled;    /* [B, pooled_width], one vector for the whole text; NULL if pooled_width is 0 */
};

/* The result is [B, H, W, out_channels]. */
struct node *unet_build(struct graph *g, const struct unet_config *config, const struct unet_inputs *inputs);

/* Sinusoids of a time, whole or not (Vaswani et al. 2017, cosines first): `channels` values. */
void unet_time_embedding(double time, int channels, float *out);

#endif
