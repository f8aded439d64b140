/* SPDX-License-Identifier: MIT */
#include "compare/draw.h"

uint32_t draw_up_to(struct rng *rng, uint32_t most)
{
    uint32_t mask = most, bits;
    for (int shift = 1; shift < 32; shift *= 2) mask |= mask >> shift;
    if (most == 0) return 0;
    do bits = rng_bits(rng) & mask;
    while (bits > most);
    return bits;
}

void draw_permutation(struct rng *rng, int64_t *order, int64_t n)
{
    for (int64_t i = 0; i < n; i++) order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t j = draw_up_to(rng, (uint32_t)i), kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}
