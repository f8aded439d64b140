/* SPDX-License-Identifier: MIT
 *
 * Where a product begins and ends, whatever multiplies in between: weights as they are stored become vectors, and
 * finished sums become results. Included after one of vec_avx2.h and vec_avx512.h, and vec_math.inc.h.
 */
#include "core/cpu/product.h"

#include <string.h>

/* The quantised weights from element `at` on. All of them are there and in one block: rows are whole blocks, and k
 * blocks begin at multiples of 16. */
static vec load_quantised(const struct cpu_weight *w, size_t at)
{
    const size_t place = at % DTYPE_MAX_BLOCK, half = DTYPE_MAX_BLOCK / 2;
    const size_t bytes = w->dtype == DTYPE_Q8_0 ? DTYPE_Q8_0_BYTES : DTYPE_Q4_0_BYTES;
    const uint8_t *block = (const uint8_t *)w->stored + at / DTYPE_MAX_BLOCK * bytes;
    const uint8_t *values = block + sizeof(uint16_t);
    uint16_t scale;
    memcpy(&scale, block, sizeof scale);
    if (w->dtype == DTYPE_Q8_0) return vec_mul(vec_set_f16(scale), vec_from_i8(values + place));
    const vec steps = vec_from_nibbles(values + place % half, place >= half);
    return vec_mul(vec_set_f16(scale), vec_sub(steps, vec_set(8)));
}

/* VEC_LANES weights from element `at` on, of which the first `n` are there. */
static vec load_weights(const struct cpu_weight *w, int64_t at, int n)
{
    if (w->dtype == DTYPE_F32) return vec_load_part((const float *)w->stored + at, n);
    if (w->dtype == DTYPE_Q8_0 || w->dtype == DTYPE_Q4_0) return load_quantised(w, (size_t)at);
    uint16_t part[VEC_LANES] = {0};
    const uint16_t *halves = (const uint16_t *)w->stored + at;
    if (n < VEC_LANES) {
        memcpy(part, halves, (size_t)n * sizeof *part);
        halves = part;
    }
    return w->dtype == DTYPE_F16 ? vec_from_f16(halves) : vec_from_bf16(halves);
}

/* y = act(c + bias) + residual, with `act` a constant. */
__attribute__((always_inline)) static inline void finish_as(const struct product_block *block, enum unary act)
{
    for (int64_t r = 0; r < block->rows; r++) {
        const float *c = block->c + r * block->c_pitch;
        const float *residual = block->residual ? block->residual + r * block->residual_pitch : NULL;
        float *y = block->y + r * block->y_pitch;
        for (int64_t j = 0; j < block->columns; j += VEC_LANES) {
            const int n = (int)(block->columns - j < VEC_LANES ? block->columns - j : VEC_LANES);
            vec sum = vec_load(c + j);
            if (block->bias) sum = vec_add(sum, vec_load_part(block->bias + j, n));
            sum = vec_unary(sum, act, 0);
            if (residual) sum = vec_add(sum, vec_load_part(residual + j, n));
            vec_store_part(y + j, sum, n);
        }
    }
}

static void finish(const struct product_block *block)
{
    switch (block->act) {
#define X(name, text)                                                                                                  \
    case UNARY_##name: finish_as(block, UNARY_##name); break;
        UNARY_MAP(X)
#undef X
    case UNARY_COUNT: break;
    }
}
