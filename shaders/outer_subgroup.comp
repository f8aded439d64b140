#version 450
// SPDX-License-Identifier: MIT
// Products whose second operand lies with the columns of the result side by side, for devices where loads are dear and
// lanes cheap (see conv2d_subgroup.comp): a workgroup is one subgroup, and sums ROWS rows of four columns a lane as
// outer products. Each lane loads four columns of b and one row's value of a in every LANES; the rows go round by
// shuffles.
//     matrices   y[m, n] = sum_k a[m, k] b[k, n], a with any strides
//     gradient   dw[o, tap, i] = sum over pixels of dy[pixel, o] x[pixel's place for the tap, i]: m is o, a is dy,
//                n is i, and there are kernel_height * kernel_width matrices, whose b is x, moved by the tap
// Where k is too long for one loop it is cut into parts, one a workgroup in z, which sum_parts.comp adds up.
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#extension GL_ARB_gpu_shader_int64 : require
#extension GL_EXT_control_flow_attributes : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;
layout(constant_id = 1) const uint ROWS = 16;    // a multiple of LANES, or less
layout(constant_id = 2) const uint GRADIENT = 0; // 1: of a convolution's weight
const uint DTYPE = 0;

layout(std430, binding = 0) writeonly buffer result_buffer { u64vec2 y[]; };
layout(std430, binding = 1) readonly buffer a_buffer { float a[]; };
#include "weights4.glsl"
FLOATS4(b, 2);

layout(push_constant) uniform arguments
{
    uint count, M, N4, K, part; // elements of y; its sizes, columns by fours; length of a part of k
    uint a_matrix, a_m, a_k;
    uint b_matrix;                // by fours
    uint y_matrix, y_m;           // from one matrix of y and from one row to the next
    uint row_groups, column_groups, matrices;
    int H, W;                     // of x
    uint tall, wide;              // of dy
    int kernel_width, stride, top, left;
};

const uint SLOTS = (ROWS + LANES - 1) / LANES;

// The four of b that row k has in column 0; whether there is one.
bool find(uint matrix, uint k, out uint from)
{
    from = k * N4 + matrix * b_matrix;
    if (GRADIENT == 0) return true;
    const int ky = int(matrix) / kernel_width - top, kx = int(matrix) % kernel_width - left;
    const int r = int(k / wide % tall) * stride + ky, c = int(k % wide) * stride + kx;
    const bool inside = r >= 0 && r < H && c >= 0 && c < W;
    from = inside ? ((k / (tall * wide) * uint(H) + uint(r)) * uint(W) + uint(c)) * N4 : 0;
    return inside;
}

void main()
{
    const uint lane = gl_SubgroupInvocationID, task = group_index();
    const uint first_row = task % row_groups * ROWS;
    const uint column4 = task / row_groups % column_groups * LANES + lane;
    const uint matrix = task / row_groups / column_groups;
    if (matrix >= matrices) return; // the whole subgroup
    vec4 sum[ROWS];
    [[unroll]] for (uint m = 0; m < ROWS; m++) sum[m] = vec4(0.0);
    uint from_a[SLOTS];
    [[unroll]] for (uint s = 0; s < SLOTS; s++)
        from_a[s] = matrix * a_matrix + min(first_row + s * LANES + lane, M - 1) * a_m;
    const uint at4 = min(column4, N4 - 1), end = min(K, (gl_WorkGroupID.z + 1) * part);
    // Four rows of b at a time: on the software device a sum that a loop carries is stored with care for masked lanes.
    for (uint k = gl_WorkGroupID.z * part; k < end; k += 4) {
        vec4 four[4], value[SLOTS];
        [[unroll]] for (uint j = 0; j < 4; j++) {
            uint from;
            const bool inside = find(matrix, min(k + j, K - 1), from) && k + j < end;
            four[j] = FLOAT4(b, from + at4);
            if (!inside) four[j] = vec4(0.0);
            [[unroll]] for (uint s = 0; s < SLOTS; s++) value[s][j] = a[from_a[s] + min(k + j, K - 1) * a_k];
        }
        if (k + 4 > end) // what lies beyond may be no number
            [[unroll]] for (uint s = 0; s < SLOTS; s++)
                value[s] = mix(vec4(0.0), value[s], lessThan(uvec4(k, k + 1, k + 2, k + 3), uvec4(end)));
        [[unroll]] for (uint m = 0; m < ROWS; m++) {
            const vec4 v = subgroupShuffle(value[m / LANES], m % LANES);
            sum[m] += v.x * four[0] + v.y * four[1] + v.z * four[2] + v.w * four[3];
        }
    }
    if (column4 >= N4) return;
    const uint to = gl_WorkGroupID.z * count + matrix * y_matrix + column4 * 4;
    for (uint m = 0; m < ROWS && first_row + m < M; m++) {
        vec4 v = sum[0]; // sum[m], see conv2d_subgroup.comp
        [[unroll]] for (uint q = 1; q < ROWS; q++) v = m == q ? sum[q] : v;
        y[(to + (first_row + m) * y_m) / 4] = four_words(v);
    }
}
