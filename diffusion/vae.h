/* SPDX-License-Identifier: MIT
 *
 * Pictures to latents and back: the autoencoder with a Kullback-Leibler penalty of Rombach et al. 2022 (arXiv
 * 2112.10752), AutoencoderKL of Stable Diffusion. One latent pixel stands for a square of vae_factor pixels.
 *
 *     vae_config_detect(&config, checkpoint, &err);
 *     struct node *moments = vae_encode(&graph, &config, image);      [B, H, W, 3] in -1..1 -> [B, h, w, 2 latent]
 *     struct node *picture = vae_decode(&graph, &config, latent);     [B, h, w, latent] -> [B, H, W, 3]
 *
 * The U-Net's latents are this model's times config.scale, which is not applied here.
 */
#ifndef DIFFUSION_VAE_H
#define DIFFUSION_VAE_H

#include "core/io/checkpoint.h"
#include "core/tensor/graph.h"

enum { VAE_MAX_LEVELS = 8, VAE_MAX_BLOCKS = 8 };

struct vae_config {
    int latent_channels;
    int z_channels; /* inside, between the 1x1 convolutions; the same in all published models */
    int levels;
    int blocks;                /* residual blocks a level in the encoder; one more in the decoder */
    int width[VAE_MAX_LEVELS]; /* channels, from the level of the picture's own size down */
    bool encoder;              /* the file may hold the decoder alone */
    bool quant, post_quant;    /* the 1x1 convolutions before and after the latent are there */
    int groups;                /* of norms: 32 where no diffusers folder says it; in no tensor, so a caller who knows
                                  better writes over it, as over */
    double scale;              /* of the U-Net's latents: they are this model's times it; 0.18215 */
    int patch;                 /* above 0: there is no network, a latent pixel is a square of so many pixels a side */
};

/* For models that paint pixels: encoding only moves them, and what it gives is certain. */
struct vae_config vae_of_pixels(int patch);

/* Is there a decoder at all? */
bool vae_present(const struct checkpoint *checkpoint);
MUST_CHECK enum status vae_config_detect(struct vae_config *config, const struct checkpoint *checkpoint,
                                         struct error *err);
int vae_factor(const struct vae_config *config);

/* H and W must be multiples of vae_factor. Channels 0..latent-1 of the moments are means, the rest log variances. */
struct node *vae_encode(struct graph *g, const struct vae_config *config, struct node *image);
struct node *vae_decode(struct graph *g, const struct vae_config *config, struct node *latent);

/* latent = mean + exp(log variance / 2) * noise for `pixels` latent pixels; noise NULL: the mean. */
void vae_sample(const float *moments, const float *noise, int64_t pixels, int latent_channels, float *latent);

#endif
