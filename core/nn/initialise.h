/* SPDX-License-Identifier: MIT
 *
 * What parameters are before training. A parameter's name and shape say what it is in published networks, and each kind
 * begins as its authors' program has it; the table with its sources is in initialise.c.
 *
 *     initialise(trainer, INITIALISE_PUBLISHED, seed);
 *
 * A value depends on the seed, the parameter's name and its place there, and on nothing else: not on what other
 * parameters there are.
 */
#ifndef NN_INITIALISE_H
#define NN_INITIALISE_H

#include "core/nn/trainer.h"

enum initialise_kind {
    INITIALISE_PUBLISHED, /* by name; what no rule knows is as in PyTorch */
    INITIALISE_DCGAN,     /* Radford et al. 2015, arXiv 1511.06434, section 3 */
};

/* Fills the optimiser's values; trainer_publish is left to the caller. */
void initialise(struct trainer *t, enum initialise_kind kind, uint64_t seed);

/* A 64-bit key of several numbers, for generators that must not meet. */
uint64_t initialise_key(uint64_t seed, uint64_t a, uint64_t b);

#endif
