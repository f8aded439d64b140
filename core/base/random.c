/* SPDX-License-Identifier: MIT
 *
 * The two generators of PyTorch, so that a seed means the same picture here and there.
 *
 * MT19937: Matsumoto & Nishimura 1998, "Mersenne Twister"; normals as ATen's DistributionTemplates.h draws them on a
 * CPU. Philox4x32-10: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"; normals as cuRAND's.
 */
#include "core/base/random.h"

#include <assert.h>
#include <math.h>

#define PI 3.14159265358979323846

/* ---- Mersenne Twister ---- */

enum { MT_MIDDLE = 397, BLOCK = 16, PAIRS = BLOCK / 2 };

static void mt_seed(struct rng *rng, uint32_t seed)
{
    rng->state[0] = seed;
    for (uint32_t i = 1; i < MT19937_WORDS; i++) {
        const uint32_t before = rng->state[i - 1];
        rng->state[i] = 1812433253u * (before ^ before >> 30) + i;
    }
    rng->position = MT19937_WORDS;
}

static void mt_twist(struct rng *rng)
{
    uint32_t *s = rng->state;
    for (int i = 0; i < MT19937_WORDS; i++) {
        const uint32_t joined = (s[i] & 0x80000000u) | (s[(i + 1) % MT19937_WORDS] & 0x7fffffffu);
        s[i] = s[(i + MT_MIDDLE) % MT19937_WORDS] ^ joined >> 1 ^ (joined & 1 ? 0x9908b0dfu : 0);
    }
    rng->position = 0;
}

static uint32_t mt_next(struct rng *rng)
{
    if (rng->position == MT19937_WORDS) mt_twist(rng);
    uint32_t word = rng->state[rng->position++];
    word ^= word >> 11;
    word ^= word << 7 & 0x9d2c5680u;
    word ^= word << 15 & 0xefc60000u;
    return word ^ word >> 18;
}

static float mt_uniform(struct rng *rng)
{
    return (float)(mt_next(rng) & 0xffffff) * 0x1p-24f;
}

static double mt_uniform_double(struct rng *rng)
{
    const uint64_t high = mt_next(rng);
    const uint64_t both = high << 32 | mt_next(rng);
    return (double)(both & ((UINT64_C(1) << 53) - 1)) * 0x1p-53;
}

/* Box & Muller 1958 over one block: the first half gives radii, the second half angles. */
static void mt_transform(float block[BLOCK])
{
    for (int j = 0; j < PAIRS; j++) {
        const double radius = sqrt(-2 * log(1 - (double)block[j]));
        const double angle = 2 * PI * (double)block[j + PAIRS];
        block[j] = (float)(radius * cos(angle));
        block[j + PAIRS] = (float)(radius * sin(angle));
    }
}

/* Short tensors are drawn one by one in double; the second value of a pair waits in the generator. */
static float mt_normal_single(struct rng *rng)
{
    if (rng->has_spare) {
        rng->has_spare = 0;
        return (float)rng->spare;
    }
    const double angle = 2 * PI * mt_uniform_double(rng);
    const double radius = sqrt(-2 * log1p(-mt_uniform_double(rng)));
    rng->spare = radius * sin(angle);
    rng->has_spare = 1;
    return (float)(radius * cos(angle));
}

static void mt_normal(struct rng *rng, float *out, size_t n)
{
    if (n < BLOCK) {
        for (size_t i = 0; i < n; i++) out[i] = mt_normal_single(rng);
        return;
    }
    for (size_t i = 0; i < n; i++) out[i] = mt_uniform(rng);
    for (size_t i = 0; i + BLOCK <= n; i += BLOCK) mt_transform(out + i);
    if (n % BLOCK == 0) return;
    /* A length that is no multiple of the block: the last sixteen values are all drawn anew. */
    float *tail = out + (n - BLOCK);
    for (int i = 0; i < BLOCK; i++) tail[i] = mt_uniform(rng);
    mt_transform(tail);
}

/* ---- Philox ---- */

static void philox(uint32_t word[4], uint64_t seed)
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)word[0] * 0xd2511f53u, b = (uint64_t)word[2] * 0xcd9e8d57u;
        word[0] = (uint32_t)(b >> 32) ^ word[1] ^ key0;
        word[1] = (uint32_t)b;
        word[2] = (uint32_t)(a >> 32) ^ word[3] ^ key1;
        word[3] = (uint32_t)a;
        key0 += 0x9e3779b9u;
        key1 += 0xbb67ae85u;
    }
}

/* Value i belongs to subsequence i; all values of one call stand at the same offset. The two uniforms are rounded to
 * f32 as on the device, because close to 1 the logarithm feels every bit. */
static void philox_normal(struct rng *rng, float *out, size_t n)
{
    const float unit = 0x1p-32f, turn = 0x1p-32f * 6.2831855f;
    for (size_t i = 0; i < n; i++) {
        uint32_t word[4] = {(uint32_t)rng->offset, (uint32_t)(rng->offset >> 32), (uint32_t)i,
                            (uint32_t)((uint64_t)i >> 32)};
        philox(word, rng->seed);
        const double u = (double)fmaf((float)word[0], unit, unit / 2);
        const double angle = (double)fmaf((float)word[1], turn, turn / 2);
        out[i] = (float)(sqrt(-2 * log(u)) * sin(angle));
    }
    if (n > 0) rng->offset++;
}

/* ---- either ---- */

void rng_init(struct rng *rng, enum rng_kind kind, uint64_t seed)
{
    *rng = (struct rng){.kind = kind, .seed = seed};
    if (kind == RNG_MT19937) mt_seed(rng, (uint32_t)seed);
}

void rng_normal(struct rng *rng, float *out, size_t n)
{
    assert(rng->kind == RNG_PHILOX || rng->kind == RNG_MT19937);
    if (rng->kind == RNG_MT19937)
        mt_normal(rng, out, n);
    else
        philox_normal(rng, out, n);
}

uint32_t rng_bits(struct rng *rng)
{
    if (rng->kind == RNG_MT19937) return mt_next(rng);
    uint32_t word[4] = {(uint32_t)rng->offset, (uint32_t)(rng->offset >> 32), 0, 0};
    philox(word, rng->seed);
    rng->offset++;
    return word[0];
}
