#version 450
// SPDX-License-Identifier: MIT
// Linear layers and products of matrices in their plainest form: an invocation is one element of the result.
//     y[b, m, n] = sum_k a[b, m, k] w[b, n, k]
// with any strides, so that either operand may lie transposed. Where k is too long for one loop it is cut into parts,
// one a workgroup in z; then y is [part, b, m, n], and sum_parts.comp adds them up.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 64) in;
layout(constant_id = 0) const uint DTYPE = 0;
layout(constant_id = 1) const uint ACT = 0;

#include "weights.glsl"

layout(std430, binding = 0) buffer result_buffer { float y[]; };
layout(std430, binding = 1) readonly buffer a_buffer { float a[]; };
WEIGHTS(w, 2);
layout(std430, binding = 3) readonly buffer bias_buffer { float bias[]; };
layout(std430, binding = 4) readonly buffer residual_buffer { float residual[]; };

layout(push_constant) uniform arguments
{
    uint count, M, N, K, part; // elements of y; its sizes; length of a part of k
    uint a_matrix, a_m, a_k, w_matrix, w_n, w_k;
    uint has_bias, has_residual, rows_each;
};

#include "epilogue.glsl"

void main()
{
    const uint at = invocation_index();
    if (at >= count) return;
    const uint row = at / N, n = at % N, matrix = row / M, m = row % M;
    const uint a_row = matrix * a_matrix + m * a_m, w_row = matrix * w_matrix + n * w_n;
    const uint end = min(K, (gl_WorkGroupID.z + 1) * part);
    float sum = 0.0;
    for (uint k = gl_WorkGroupID.z * part; k < end; k++) sum += a[a_row + k * a_k] * WEIGHT(w, w_row + k * w_k);
    y[gl_WorkGroupID.z * count + at] = finish(sum, row, n, N);
}
