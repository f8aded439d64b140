/* SPDX-License-Identifier: MIT
 *
 * Where a product begins and ends, whatever multiplies in between: weights as they are stored become vectors, and
 * finished sums become results. Included after one of vec_avx2.h and vec_avx512.h, and vec_math.inc.h.
 */
#include "core/cpu/product.h"

#include <string.h>

/* VEC_LANES weights of any storage type, of which the first `n` are there. */
static vec load_weights(const char *from, enum dtype dtype, int n)
{
    if (dtype == DTYPE_F32) return vec_load_part((const float *)(const void *)from, n);
    uint16_t part[VEC_LANES] = {0};
    const uint16_t *halves = (const uint16_t *)(const void *)from;
    if (n < VEC_LANES) {
        memcpy(part, from, (size_t)n * sizeof *part);
        halves = part;
    }
    return dtype == DTYPE_F16 ? vec_from_f16(halves) : vec_from_bf16(halves);
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
