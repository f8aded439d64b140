/* SPDX-License-Identifier: MIT
 *
 * Muon's directions (Keller Jordan and others 2024, https://kellerjordan.github.io/posts/muon): a matrix G = U S V^T is
 * replaced by about U V^T, through five Newton-Schulz rounds of an odd polynomial that takes singular values from
 * anywhere in 0..1 to about 1. It is a graph run on a backend, for it is nothing but matrix products.
 *
 *     muon_create(&muon, backend, matrices, count, 0, &needed, &err);      each a piece of a flat array of parameters
 *     muon_turn(muon, gradient, &err);                         as optimiser_directions has it
 *     muon_destroy(muon);
 */
#ifndef NN_MUON_H
#define NN_MUON_H

#include "core/tensor/exec.h"

struct muon;

/* rows x columns floats from `place`; a convolution's weight has a row for each output. */
struct muon_matrix {
    int64_t place, rows, columns;
};

/* `matrices` is copied. There must be at least one. limit: most bytes that its runs may take, 0 for no limit; more is
 * STATUS_LIMIT, before they are allocated. *needed becomes what they take, or at least take where that is more. */
MUST_CHECK enum status muon_create(struct muon **out, struct backend *backend, const struct muon_matrix *matrices,
                                   int count, size_t limit, size_t *needed, struct error *err);
void muon_destroy(struct muon *muon);

/* Turns every matrix of the flat array, and scales tall ones by sqrt(rows / columns). context: the muon. */
MUST_CHECK enum status muon_turn(void *context, float *flat, struct error *err);

#endif
