/* SPDX-License-Identifier: MIT
 *
 * Large pictures in overlapping tiles, for when the whole would not fit into memory: what decodes (or encodes) one tile
 * is called for each, and the results are faded into each other along the seams. All tiles are of one size, so one
 * graph serves them all. Nothing here knows what a tile's content means.
 *
 *     struct vae_tiling t = {.height = 96, .width = 128, .tile = 64, .overlap = 16, .in = {1, 4}, .out = {8, 3}};
 *     vae_tiles_run(&t, latent, picture, decode_one, &mine, &err);
 */
#ifndef DIFFUSION_VAE_TILES_H
#define DIFFUSION_VAE_TILES_H

#include "core/base/status.h"

/* A picture as seen from its latent: `scale` pixels to a latent pixel, `channels` floats to a pixel. */
struct vae_side {
    int scale, channels;
};

struct vae_tiling {
    int height, width; /* of the latent */
    int tile;          /* side of a tile in latent pixels; a shorter side of the latent is not cut */
    int overlap;       /* of neighbours, in latent pixels: 1 to tile - 1 */
    struct vae_side in, out;
};

int vae_tile_height(const struct vae_tiling *tiling);
int vae_tile_width(const struct vae_tiling *tiling);
int vae_tiles_count(const struct vae_tiling *tiling);

/* in [height * in.scale, width * in.scale, in.channels] -> out, likewise. `run` turns one tile of vae_tile_height x
 * vae_tile_width latent pixels from `in` to `out`; what it returns ends the run unless it is STATUS_OK. */
MUST_CHECK enum status vae_tiles_run(const struct vae_tiling *tiling, const float *in, float *out,
                                     enum status (*run)(void *context, const float *in, float *out, struct error *err),
                                     void *context, struct error *err);

#endif
