/* SPDX-License-Identifier: MIT
 *
 * What an opened model holds if it is a GAN.
 */
#ifndef PIPELINE_GAN_MODEL_H
#define PIPELINE_GAN_MODEL_H

#include "gan/gan_config.h"
#include "pipeline/model.h"

/* The last picture whose vector was looked for. A search takes many times as long as a picture, and all seeds of a
 * batch begin with the same. */
struct gan_found {
    float *target; /* owned; the picture, its weights and its text: what the vector was found by; NULL: none yet */
    float *z;      /* behind the target, in the same block */
    float rms;
};

struct gan_model {
    struct gan_config generator, discriminator;
    bool paints, judges;  /* there is a generator, a discriminator that is understood */
    struct error unclear; /* why a discriminator that is there is not understood */
    struct gan_found found;
};

/* For model.c, when the backend and the parameters are there: finds the networks and loads the generator's weights and
 * the text encoder's. */
MUST_CHECK enum status gan_model_open(struct limn_model *model, struct error *err);
void gan_model_close(struct gan_model *gan); /* NULL is fine */

/* Opens a stage with the generator for a batch of one: input "z", and "text" if it is conditional; output "picture",
 * [side, side, 3] in -1..1, also of generators that make grey pictures or values in 0..1. */
MUST_CHECK enum status gan_stage_open(struct stage *stage, struct limn_model *model, struct error *err);

/* The picture as nodes: what gan_stage_open puts out, for graphs that go on from there. */
struct node *gan_picture(struct graph *g, const struct gan_config *generator, struct node *z, struct node *text);

#endif
