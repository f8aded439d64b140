#version 450
// SPDX-License-Identifier: MIT
// Products for GPUs: both operands go through shared memory, as tiles that every invocation of a workgroup reads, and
// an invocation sums up 8 x 8 elements of the result as outer products (Volkov and Demmel 2008, "Benchmarking GPUs to
// tune dense linear algebra"). What the operands are, and how they lie, is said in product.glsl.
//
//     loads from shared memory, for one k:   4 vectors of four
//     multiplications made of them:          64
//
// The next tiles are fetched from memory while the last ones are multiplied. Operands whose lines are no multiples of
// four long go to shared memory one by one.
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "product.glsl"

const uint ROWS4 = ROWS / 4 + 1, COLUMNS4 = COLUMNS / 4 + 1; // one more, so that stores meet different banks
const uint OPERANDS4 = DEPTH * (ROWS4 + COLUMNS4), HALF4 = ROWS / 2 * COLUMNS / 4;
const uint ACROSS = COLUMNS / 8;

// a as [k, m], behind it b as [k, n]; in the end half of the sums, as [m, n]. LOCAL is ROWS * COLUMNS / 64.
shared vec4 tile[OPERANDS4 > HALF4 ? OPERANDS4 : HALF4];

void main()
{
    if (!find_tile()) return; // the whole workgroup
    const uint lane = gl_LocalInvocationID.x, end = find_end();
    const uint right = lane % ACROSS, down = lane / ACROSS; // its fours of columns and rows, in both halves of the tile
    const uvec2 a_block = block_of(lane, ROWS, A_ALONG != 0), b_block = block_of(b_lane(), COLUMNS, B_ALONG != 0);
    const bool has_a = lane < ROWS * DEPTH / 16, has_b = b_lane() < COLUMNS * DEPTH / 16;
    const uint a_to = a_block.y * 4 * ROWS4 + a_block.x, b_to = DEPTH * ROWS4 + b_block.y * 4 * COLUMNS4 + b_block.x;
    const uint m = first_m + a_block.x * 4, n = first_n + b_block.x * 4, first = gl_WorkGroupID.z * part;
    vec4 sum[16], next_a[4], next_b[4];
    [[unroll]] for (uint i = 0; i < 16; i++) sum[i] = vec4(0.0);
    find_pixels(m);

    for (uint k = first; k < end + DEPTH; k += DEPTH) {
        if (k > first) {
            barrier();
            [[unroll]] for (uint j = 0; j < 4; j++) {
                if (has_a && FOURS != 0) tile[a_to + j * ROWS4] = next_a[j];
                if (has_b && FOURS != 0) tile[b_to + j * COLUMNS4] = next_b[j];
            }
            for (uint e = 0; e < 16 && FOURS == 0; e++) {
                const uint a_k = k - DEPTH + a_block.y * 4 + e / 4, b_k = k - DEPTH + b_block.y * 4 + e / 4;
                if (has_a) tile[a_to + e / 4 * ROWS4][e % 4] = fetch_a_one(e % 4, m + e % 4, a_k, end);
                if (has_b) tile[b_to + e / 4 * COLUMNS4][e % 4] = fetch_b_one(n + e % 4, b_k, end);
            }
            barrier();
        }
        if (has_a && k < end && FOURS != 0) fetch_a(m, k + a_block.y * 4, end, next_a);
        if (has_b && k < end && FOURS != 0) fetch_b(n, k + b_block.y * 4, end, next_b);
        for (uint d = 0; d < DEPTH && k > first; d++) {
            const vec4 a0 = tile[d * ROWS4 + down], a1 = tile[d * ROWS4 + ROWS / 8 + down];
            const uint at = DEPTH * ROWS4 + d * COLUMNS4 + right;
            const vec4 b0 = tile[at], b1 = tile[at + ACROSS];
            [[unroll]] for (uint i = 0; i < 4; i++) {
                sum[i] = fma(vec4(a0[i]), b0, sum[i]);
                sum[4 + i] = fma(vec4(a0[i]), b1, sum[4 + i]);
                sum[8 + i] = fma(vec4(a1[i]), b0, sum[8 + i]);
                sum[12 + i] = fma(vec4(a1[i]), b1, sum[12 + i]);
            }
        }
    }

    // Through shared memory, so that columns next to each other are stored together.
    [[unroll]] for (uint half_of = 0; half_of < 2; half_of++) {
        barrier();
        [[unroll]] for (uint i = 0; i < 4; i++) {
            tile[(down * 4 + i) * (COLUMNS / 4) + right] = sum[half_of * 8 + i];
            tile[(down * 4 + i) * (COLUMNS / 4) + ACROSS + right] = sum[half_of * 8 + 4 + i];
        }
        barrier();
        for (uint at = lane; at < HALF4 * 4; at += LOCAL)
            store(first_m + half_of * (ROWS / 2) + at / COLUMNS, first_n + at % COLUMNS, tile[at / 4][at % 4]);
    }
}
