/* SPDX-License-Identifier: MIT
 *
 * The noise that a picture starts from. The generators draw in the order of PyTorch's [channels, height, width]; limn's
 * latents are [height, width, channels]. Every picture of a batch has a generator of its own:
 *
 *     noise_first(&rng[i], &(struct noise_seed){.kind = kind, .seed = seed + i}, shape, x + i * values, &err);
 *     noise_draw(&rng[i], shape, z + i * values, &err);                      later, for a stochastic step
 */
#ifndef DIFFUSION_NOISE_H
#define DIFFUSION_NOISE_H

#include "core/base/random.h"
#include "core/base/status.h"

struct latent_shape {
    int height, width, channels;
};

struct noise_seed {
    enum rng_kind kind;
    uint64_t seed;
    uint64_t subseed;        /* a neighbour towards which the noise is turned */
    double subseed_strength; /* 0: seed alone, 1: subseed alone */
};

/* The next tensor of the generator. Fails only for want of memory. */
MUST_CHECK enum status noise_draw(struct rng *rng, struct latent_shape shape, float *out, struct error *err);

/* The next tensor of the generator, turned towards the first of the subseed's. */
MUST_CHECK enum status noise_varied(struct rng *rng, const struct noise_seed *seed, struct latent_shape shape,
                                    float *out, struct error *err);

/* Seeds the generator and draws its first tensor, mixed with the subseed's. */
MUST_CHECK enum status noise_first(struct rng *rng, const struct noise_seed *seed, struct latent_shape shape,
                                   float *out, struct error *err);

/* Spherical interpolation of [channels, height, width] as the AUTOMATIC1111 web UI does it: each column of each channel
 * is turned by its own angle. `low` becomes the result. */
void noise_slerp(double strength, struct latent_shape shape, float *low, const float *high);

#endif
