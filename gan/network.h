/* SPDX-License-Identifier: MIT
 *
 * The graphs of a GAN's networks, from their description.
 *
 *     struct node *picture = gan_build(&g, &generator, z, NULL, NULL);            z [B, 1, 1, latent] -> [B, H, W, C]
 *     struct node *score = gan_build(&g, &discriminator, picture, text, NULL);    -> [B, 1] before any sigmoid
 *
 * Pictures are in -1..1 where the generator ends in tanh. text: [B, text_width], NULL for unconditional networks.
 */
#ifndef GAN_NETWORK_H
#define GAN_NETWORK_H

#include "core/nn/batch_norm.h"
#include "gan/gan_config.h"

/* What a training's batch was like at each layer's norm; NULL nodes where there is none. */
struct gan_statistics {
    struct batch_statistics layers[GAN_MAX_LAYERS];
};

/* statistics: NULL for a trained network, whose batch norms go by what training left. In training they go by the batch,
 * whose statistics are left there. */
struct node *gan_build(struct graph *g, const struct gan_config *config, struct node *x, struct node *text,
                       struct gan_statistics *statistics);

#endif
