/* SPDX-License-Identifier: MIT
 *
 * A product's operands rounded to bf16, two summands to a word, which is how processors with bf16 instructions take
 * them; the sums stay f32. Rounding costs two decimal digits of every operand, so it is only done when it is asked for
 * (struct backend_options).
 *
 *     W as packed: strips of BF16_COLUMNS output channels, each in steps of BF16_DEPTH summands; a step is two blocks
 *     side by side, of 16 rows of 64 bytes:
 *
 *         block 0   k 0,1:  o0k0 o0k1 | o1k0 o1k1 | ... o15k0 o15k1        block 1   the same of o16 ... o31
 *                   k 2,3:  o0k2 o0k3 | ...
 *
 *     A, rounded:  rows of the same pairs, as they follow each other
 *
 * Summands are filled up with zeros to whole steps, and strips lie where those of f32 would. A row's sum does not
 * depend on the rows beside it. Included after vec_avx512.h, vec_math.inc.h and vec_product_ends.inc.h; then comes a
 * multiply of one instruction set, and vec_bf16_table.inc.h.
 */

enum {
    BF16_DEPTH = 32, /* summands of a step */
    BF16_ROWS = 16,  /* of A at a time */
    BF16_COLUMNS = 32,
    BF16_BLOCK = 512,                        /* elements of a block of W */
    BF16_PITCH = PRODUCT_DEPTH + BF16_DEPTH, /* between rounded rows of A; no power of two */
};

/* The pairs of 32 summands: 16 words, the first summand of each in its lower half. */
static __m512i pairs_of(vec first, vec second)
{
    return (__m512i)_mm512_cvtne2ps_pbh(second, first);
}

static int64_t steps_of(int64_t k)
{
    return (k + BF16_DEPTH - 1) / BF16_DEPTH;
}

/* Where the strip of packed W begins that begins with output channel j, in floats. */
static int64_t strip_at(int64_t j, int64_t steps)
{
    return j * steps * BF16_DEPTH;
}

/* One block of W, from element `at` on: up to 16 output channels by up to 32 summands. */
static void pack_block(uint16_t *to, const struct cpu_weight *w, int64_t at, int64_t n, int64_t k)
{
    const int first = (int)(k < VEC_LANES ? k : VEC_LANES), second = (int)k - first;
    vec square[VEC_LANES];
    for (int64_t i = 0; i < VEC_LANES; i++, at += w->pitch) {
        square[i] = vec_set(0.0f);
        if (i >= n) continue;
        const vec rest = second > 0 ? load_weights(w, at + VEC_LANES, second) : vec_set(0.0f);
        square[i] = _mm512_castsi512_ps(pairs_of(load_weights(w, at, first), rest));
    }
    vec_transpose(square);
    for (int i = 0; i < VEC_LANES; i++) _mm512_storeu_ps(to + i * BF16_DEPTH, square[i]);
}

static void pack_bf16(float *to, const struct cpu_weight *w, int64_t n, int64_t k)
{
    for (int64_t j = 0; j < n; j += BF16_COLUMNS) {
        uint16_t *block = (uint16_t *)(void *)(to + strip_at(j, steps_of(k)));
        for (int64_t p = 0; p < k; p += BF16_DEPTH)
            for (int64_t half = j; half < j + BF16_COLUMNS; half += VEC_LANES, block += BF16_BLOCK)
                pack_block(block, w, w->first + half * w->pitch + p, n - half, k - p < BF16_DEPTH ? k - p : BF16_DEPTH);
    }
}

/* Rows of A, rounded, filled up with zeros to whole steps. */
static void round_rows(uint16_t *to, const float *const *rows, int64_t count, int64_t k)
{
    for (int64_t r = 0; r < count; r++, to += BF16_PITCH) {
        const float *a = rows[r];
        for (int64_t p = 0; p < k; p += BF16_DEPTH) {
            const int64_t left = k - p;
            const vec first = vec_load_part(a + p, (int)(left < VEC_LANES ? left : VEC_LANES));
            const vec second =
                left <= VEC_LANES
                    ? vec_set(0.0f)
                    : vec_load_part(a + p + VEC_LANES, (int)(left < BF16_DEPTH ? left - VEC_LANES : VEC_LANES));
            _mm512_storeu_si512(to + p, pairs_of(first, second));
        }
    }
}
