#version 450
// SPDX-License-Identifier: MIT
// Products for GPUs with cooperative matrices (SPV_KHR_cooperative_matrix): a subgroup multiplies fragments of both
// operands, FRAGMENT_M x FRAGMENT_K and FRAGMENT_K x FRAGMENT_N, of the size that the device has an instruction for.
// What the operands are, and how they lie, is said in product.glsl. Values are halves; a weight of another type is
// rounded to halves on its way through shared memory. Products and sums are f32.
//
// The workgroup's tile is cut into DOWN x ACROSS parts, one a subgroup. FOURS is always 1.
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#include "../product.glsl"

layout(constant_id = 9) const uint FRAGMENT_M = 16;
layout(constant_id = 10) const uint FRAGMENT_N = 16;
layout(constant_id = 11) const uint FRAGMENT_K = 16;
layout(constant_id = 12) const uint DOWN = 2;
layout(constant_id = 13) const uint ACROSS = 2;

const uint ROWS4 = ROWS / 4 + 2, COLUMNS4 = COLUMNS / 4 + 2; // 16 bytes more, so that lines meet different banks
const uint TALL = ROWS / DOWN / FRAGMENT_M, WIDE = COLUMNS / ACROSS / FRAGMENT_N; // fragments of a subgroup's part
const uint FRAGMENT = FRAGMENT_M * FRAGMENT_N;

shared f16vec4 a_tile[DEPTH * ROWS4];    // as [k, m]
shared f16vec4 b_tile[DEPTH * COLUMNS4]; // as [k, n]
shared float sums[DOWN * ACROSS * FRAGMENT];

void main()
{
    if (!find_tile()) return; // the whole workgroup
    const uint lane = gl_LocalInvocationID.x, end = find_end(), first = gl_WorkGroupID.z * part;
    const uvec2 a_block = block_of(lane, ROWS, A_ALONG != 0), b_block = block_of(b_lane(), COLUMNS, B_ALONG != 0);
    const bool has_a = lane < ROWS * DEPTH / 16, has_b = b_lane() < COLUMNS * DEPTH / 16;
    const uint a_to = a_block.y * 4 * ROWS4 + a_block.x, b_to = b_block.y * 4 * COLUMNS4 + b_block.x;
    const uint m = first_m + a_block.x * 4, n = first_n + b_block.x * 4;
    const uint part_m = gl_SubgroupID / ACROSS * (TALL * FRAGMENT_M);
    const uint part_n = gl_SubgroupID % ACROSS * (WIDE * FRAGMENT_N);
    coopmat<float, gl_ScopeSubgroup, FRAGMENT_M, FRAGMENT_N, gl_MatrixUseAccumulator> sum[TALL * WIDE];
    [[unroll]] for (uint i = 0; i < TALL * WIDE; i++)
        sum[i] = coopmat<float, gl_ScopeSubgroup, FRAGMENT_M, FRAGMENT_N, gl_MatrixUseAccumulator>(0.0);
    vec4 next_a[4], next_b[4];
    find_pixels(m);

    for (uint k = first; k < end + DEPTH; k += DEPTH) {
        if (k > first) {
            barrier();
            [[unroll]] for (uint j = 0; j < 4; j++) {
                if (has_a) a_tile[a_to + j * ROWS4] = f16vec4(next_a[j]);
                if (has_b) b_tile[b_to + j * COLUMNS4] = f16vec4(next_b[j]);
            }
            barrier();
        }
        if (has_a && k < end) fetch_a(m, k + a_block.y * 4, end, next_a);
        if (has_b && k < end) fetch_b(n, k + b_block.y * 4, end, next_b);
        for (uint d = 0; d < DEPTH && k > first; d += FRAGMENT_K) {
            coopmat<float16_t, gl_ScopeSubgroup, FRAGMENT_M, FRAGMENT_K, gl_MatrixUseA> a_part[TALL];
            [[unroll]] for (uint i = 0; i < TALL; i++)
                coopMatLoad(a_part[i], a_tile, d * ROWS4 + (part_m + i * FRAGMENT_M) / 4, ROWS4,
                            gl_CooperativeMatrixLayoutColumnMajor);
            [[unroll]] for (uint j = 0; j < WIDE; j++) {
                coopmat<float16_t, gl_ScopeSubgroup, FRAGMENT_K, FRAGMENT_N, gl_MatrixUseB> b_part;
                coopMatLoad(b_part, b_tile, d * COLUMNS4 + (part_n + j * FRAGMENT_N) / 4, COLUMNS4,
                            gl_CooperativeMatrixLayoutRowMajor);
                [[unroll]] for (uint i = 0; i < TALL; i++)
                    sum[i * WIDE + j] = coopMatMulAdd(a_part[i], b_part, sum[i * WIDE + j]);
            }
        }
    }

    // Through shared memory, since only there it is known which sum is which.
    [[unroll]] for (uint i = 0; i < TALL * WIDE; i++) {
        barrier();
        coopMatStore(sum[i], sums, gl_SubgroupID * FRAGMENT, FRAGMENT_N, gl_CooperativeMatrixLayoutRowMajor);
        barrier();
        for (uint at = gl_SubgroupInvocationID; at < FRAGMENT; at += gl_SubgroupSize)
            store(first_m + part_m + i / WIDE * FRAGMENT_M + at / FRAGMENT_N,
                  first_n + part_n + i % WIDE * FRAGMENT_N + at % FRAGMENT_N, sums[gl_SubgroupID * FRAGMENT + at]);
    }
}
