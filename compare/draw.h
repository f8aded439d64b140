/* SPDX-License-Identifier: MIT
 *
 * Which pictures or pairs to take, from a seed, as numpy's RandomState(seed) draws them.
 */
#ifndef COMPARE_DRAW_H
#define COMPARE_DRAW_H

#include "core/base/random.h"

/* 0 to most, each as likely: numpy's random_interval, for most < 2^32. */
uint32_t draw_up_to(struct rng *rng, uint32_t most);

/* order[0..n) becomes RandomState.permutation(n), whose first entries are RandomState.choice(n, ..., replace=False). */
void draw_permutation(struct rng *rng, int64_t *order, int64_t n);

#endif
