/* SPDX-License-Identifier: MIT
 *
 * Random numbers as values: a generator is a small struct that its user owns and may copy, and the stream it gives is
 * a contract. A seed here gives the numbers that the same seed gives in PyTorch:
 *
 *   RNG_PHILOX   torch.randn(n, generator=torch.Generator('cuda').manual_seed(seed))    Philox4x32-10 + Box-Muller
 *   RNG_MT19937  torch.randn(n, generator=torch.Generator('cpu').manual_seed(seed))     MT19937 + torch's normal_fill
 *
 * One call is one tensor: as in torch, normals of two calls differ from those of one call of the sum of their lengths.
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

enum rng_kind { RNG_PHILOX, RNG_MT19937 };

enum { MT19937_WORDS = 624 };

struct rng {
    enum rng_kind kind;
    uint64_t seed;
    uint64_t offset;               /* Philox: counter of calls so far */
    uint32_t state[MT19937_WORDS]; /* MT19937 */
    int position;
    double spare; /* MT19937: the second normal of a pair, kept for short tensors as torch keeps it */
    int has_spare;
};

void rng_init(struct rng *rng, enum rng_kind kind, uint64_t seed);

/* Fills out[0..n) with standard normals, as one torch.randn call of n elements. */
void rng_normal(struct rng *rng, float *out, size_t n);

/* Uniform 32 bits from the stream (MT19937: the next word; Philox: one word a call). */
uint32_t rng_bits(struct rng *rng);

#endif
