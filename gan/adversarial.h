/* SPDX-License-Identifier: MIT
 *
 * The game of a GAN's two networks, as two graphs with a loss each (Goodfellow et al. 2014, arXiv 1406.2661; DCGAN:
 * Radford et al. 2015, arXiv 1511.06434).
 *
 *     struct adversarial a = {.generator = &generator, .discriminator = &discriminator, .batch = 128};
 *     struct node *loss = adversarial_discriminator(&d_graph, &a);      step 1: tell pictures from what is made
 *     struct node *loss = adversarial_generator(&g_graph, &a);          step 2: make what is taken for pictures
 *
 * Names of the generator's parameters begin with "generator.", the discriminator's with "discriminator.". Each graph
 * has its loss as an output and these inputs, where the adversarial asks for them:
 *
 *     z          [B, 1, 1, latent]           both
 *     pictures   [B, H, W, C] in -1..1       discriminator
 *     text       [B, text_width]             both, if the networks are conditional
 *     wrong      [B, text_width]             discriminator, if `mismatch`: texts of other pictures
 *     mix        [B, 1, 1, 1] in 0..1        discriminator, with ADVERSARIAL_WGAN_GP: where between made and real
 *     noise      [B, H, W, C]                both, if `noise`: added to whatever the discriminator sees
 *     made noise [B, H, W, C]                discriminator, if `noise`: the same for what is made
 *
 * Batch norms go by the batch. What it was like is in outputs named by adversarial_mean and adversarial_variance, for
 * running statistics: of the generator in the generator's graph, of the discriminator in the discriminator's (when it
 * saw the real pictures).
 */
#ifndef GAN_ADVERSARIAL_H
#define GAN_ADVERSARIAL_H

#include "gan/network.h"

/* X(NAME, "name") */
#define ADVERSARIAL_LOSS_MAP(X)                                                                                        \
    X(BCE, "bce")         /* cross entropy; the generator's is the non-saturating one */                               \
    X(HINGE, "hinge")     /* Lim and Ye 2017, arXiv 1705.02894 */                                                      \
    X(WGAN_GP, "wgan-gp") /* Gulrajani et al. 2017, arXiv 1704.00028; its discriminator must have no batch norm */

enum adversarial_loss {
#define X(id, name) ADVERSARIAL_##id,
    ADVERSARIAL_LOSS_MAP(X)
#undef X
};

struct adversarial {
    const struct gan_config *generator, *discriminator; /* borrowed; both conditional or both not */
    int batch;
    enum adversarial_loss loss;
    float penalty; /* weight of WGAN-GP's; the paper's is 10 */
    float r1;      /* weight / 2 of the squared slope at real pictures (Mescheder et al. 2018, arXiv 1801.04406) */
    float real;    /* what BCE wants of real pictures: 1, or 0.9 (Salimans et al. 2016, arXiv 1606.03498); 0: 1 */
    bool mismatch; /* real pictures with wrong texts are false too (Reed et al. 2016, arXiv 1605.05396) */
    bool noise;    /* instance noise (Sonderby et al. 2017, arXiv 1610.04490) */
};

struct node *adversarial_discriminator(struct graph *g, const struct adversarial *a);
struct node *adversarial_generator(struct graph *g, const struct adversarial *a);

enum { ADVERSARIAL_NAME_BYTES = GAN_NAME_BYTES + 16 };
void adversarial_mean(char name[ADVERSARIAL_NAME_BYTES], const struct gan_layer *layer);
void adversarial_variance(char name[ADVERSARIAL_NAME_BYTES], const struct gan_layer *layer);

/* "bce", ...; NULL past the last. */
const char *adversarial_loss_name(int i);

#endif
