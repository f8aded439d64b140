/* SPDX-License-Identifier: MIT
 *
 * Slots for processors with AVX-512 BF16 (AMD, from Zen 4 on; Intel, from Cooper Lake on): one instruction adds the
 * products of 16 pairs to 16 sums.
 */
#include "core/cpu/vec_avx512.h"

#include "core/cpu/vec_math.inc.h"

#include "core/cpu/vec_product_ends.inc.h"

#include "core/cpu/vec_bf16.inc.h"

/* c [TILE_ROWS, BF16_COLUMNS] (+)= rounded rows times a strip of W. */
static void multiply_rows(float *c, int64_t c_pitch, const uint16_t *a, const uint16_t *w, int64_t steps, bool add)
{
    vec sum[TILE_ROWS][2];
    for (int i = 0; i < TILE_ROWS; i++)
        for (int j = 0; j < 2; j++) sum[i][j] = add ? vec_load(c + i * c_pitch + j * VEC_LANES) : vec_set(0.0f);
    for (int64_t s = 0; s < steps; s++, a += BF16_DEPTH, w += 2 * BF16_BLOCK)
        for (int p = 0; p < BF16_DEPTH; p += 2) {
            const __m512bh left = (__m512bh)_mm512_loadu_si512(w + p / 2 * BF16_DEPTH);
            const __m512bh right = (__m512bh)_mm512_loadu_si512(w + BF16_BLOCK + p / 2 * BF16_DEPTH);
            for (int i = 0; i < TILE_ROWS; i++) {
                int32_t pair;
                memcpy(&pair, a + i * BF16_PITCH + p, sizeof pair);
                const __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
                sum[i][0] = _mm512_dpbf16_ps(sum[i][0], x, left);
                sum[i][1] = _mm512_dpbf16_ps(sum[i][1], x, right);
            }
        }
    for (int i = 0; i < TILE_ROWS; i++)
        for (int j = 0; j < 2; j++) vec_store(c + i * c_pitch + j * VEC_LANES, sum[i][j]);
}

static void multiply_bf16(float *c, int64_t c_pitch, const float *const *rows, const float *w, int64_t m, int64_t n,
                          int64_t k, bool add)
{
    uint16_t rounded[BF16_ROWS * BF16_PITCH];
    const int64_t steps = steps_of(k);
    for (int64_t i = 0; i < m; i += BF16_ROWS) {
        round_rows(rounded, rows + i, BF16_ROWS, k);
        for (int64_t j = 0; j < n; j += BF16_COLUMNS) {
            const uint16_t *strip = (const uint16_t *)(const void *)(w + strip_at(j, steps));
            for (int64_t r = 0; r < BF16_ROWS; r += TILE_ROWS)
                multiply_rows(c + (i + r) * c_pitch + j, c_pitch, rounded + r * BF16_PITCH, strip, steps, add);
        }
    }
}

#include "core/cpu/vec_bf16_table.inc.h"

void cpu_kernels_avx512bf16(struct cpu_kernels *table)
{
    fill_slots(table);
}
