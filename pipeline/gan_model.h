/* SPDX-License-Identifier: MIT
 *
 * What an opened model holds if it is a GAN.
 */
#ifndef PIPELINE_GAN_MODEL_H
#define PIPELINE_GAN_MODEL_H

#include "gan/gan_config.h"
#include "pipeline/model.h"

struct gan_model {
    struct gan_config generator, discriminator;
    bool paints, judges;  /* there is a generator, a discriminator that is understood */
    struct error unclear; /* why a discriminator that is there is not understood */
};

/* For model.c, when the backend and the parameters are there: finds the networks and loads the generator's weights and
 * the text encoder's. */
MUST_CHECK enum status gan_model_open(struct limn_model *model, struct error *err);

/* Opens a stage with the generator for a batch of one: input "z", and "text" if it is conditional; output "picture",
 * [side, side, 3] in -1..1, also of generators that make grey pictures or values in 0..1. */
MUST_CHECK enum status gan_stage_open(struct stage *stage, struct limn_model *model, struct error *err);

/* The picture as nodes: what gan_stage_open puts out, for graphs that go on from there. */
struct node *gan_picture(struct graph *g, const struct gan_config *generator, struct node *z, struct node *text);

#endif
