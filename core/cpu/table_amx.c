/* SPDX-License-Identifier: MIT
 *
 * Slots for processors with AMX's bf16 tiles (Intel, from Sapphire Rapids on): eight registers of 16 rows of 64 bytes,
 * and one instruction that multiplies two of them, 16 x 32 by 32 x 16, and adds to a third.
 *
 *               W      block 0   block 1
 *                      (tile 6)  (tile 7)
 *     A  rows 0-15     sums 0    sums 1        With two tiles of A and two of W, four products take four loads.
 *        (tile 4)
 *        rows 16-31    sums 2    sums 3
 *        (tile 5)
 *
 * The system lends the tiles to a process that asks for them; dispatch.c does so once.
 */
#include "core/cpu/vec_avx512.h"

#include "core/cpu/vec_math.inc.h"

#include "core/cpu/vec_product_ends.inc.h"

#include "core/cpu/vec_bf16.inc.h"

/* What ldtilecfg reads (Intel's Software Developer's Manual, volume 1, section 18.3). */
struct tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

static void shape_tiles(void)
{
    struct tile_shapes shapes = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        shapes.row_bytes[i] = 64;
        shapes.rows[i] = 16;
    }
    _tile_loadconfig(&shapes);
}

/* c [32, 32] (+)= two tiles of rounded rows times a strip of W. */
static void multiply_two(float *c, int64_t c_pitch, const uint16_t *a, const uint16_t *w, int64_t steps, bool add)
{
    const size_t pitch = (size_t)c_pitch * sizeof *c;
    float *lower = c + BF16_ROWS * c_pitch;
    if (add) {
        _tile_loadd(0, c, pitch);
        _tile_loadd(1, c + VEC_LANES, pitch);
        _tile_loadd(2, lower, pitch);
        _tile_loadd(3, lower + VEC_LANES, pitch);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int64_t s = 0; s < steps; s++, a += BF16_DEPTH, w += 2 * BF16_BLOCK) {
        _tile_loadd(4, a, BF16_PITCH * sizeof *a);
        _tile_loadd(6, w, 64);
        _tile_loadd(7, w + BF16_BLOCK, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(5, a + BF16_ROWS * BF16_PITCH, BF16_PITCH * sizeof *a);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, pitch);
    _tile_stored(1, c + VEC_LANES, pitch);
    _tile_stored(2, lower, pitch);
    _tile_stored(3, lower + VEC_LANES, pitch);
}

/* The same for a last tile of rows. */
static void multiply_one(float *c, int64_t c_pitch, const uint16_t *a, const uint16_t *w, int64_t steps, bool add)
{
    const size_t pitch = (size_t)c_pitch * sizeof *c;
    if (add) {
        _tile_loadd(0, c, pitch);
        _tile_loadd(1, c + VEC_LANES, pitch);
    } else {
        _tile_zero(0);
        _tile_zero(1);
    }
    for (int64_t s = 0; s < steps; s++, a += BF16_DEPTH, w += 2 * BF16_BLOCK) {
        _tile_loadd(4, a, BF16_PITCH * sizeof *a);
        _tile_loadd(6, w, 64);
        _tile_loadd(7, w + BF16_BLOCK, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
    }
    _tile_stored(0, c, pitch);
    _tile_stored(1, c + VEC_LANES, pitch);
}

static void multiply_bf16(float *c, int64_t c_pitch, const float *const *rows, const float *w, int64_t m, int64_t n,
                          int64_t k, bool add)
{
    uint16_t rounded[2 * BF16_ROWS * BF16_PITCH];
    const int64_t steps = steps_of(k);
    shape_tiles();
    for (int64_t i = 0; i < m; i += 2 * BF16_ROWS) {
        const bool two = m - i > BF16_ROWS;
        round_rows(rounded, rows + i, two ? 2 * BF16_ROWS : BF16_ROWS, k);
        for (int64_t j = 0; j < n; j += BF16_COLUMNS) {
            const uint16_t *strip = (const uint16_t *)(const void *)(w + strip_at(j, steps));
            (two ? multiply_two : multiply_one)(c + i * c_pitch + j, c_pitch, rounded, strip, steps, add);
        }
    }
    _tile_release();
}

#include "core/cpu/vec_bf16_table.inc.h"

void cpu_kernels_amx(struct cpu_kernels *table)
{
    fill_slots(table);
}
