#version 450
// SPDX-License-Identifier: MIT
// Products whose second operand lies with the columns of the result side by side, for devices where loads are dear and
// lanes cheap (see conv2d_subgroup.comp): a workgroup is one subgroup, and sums ROWS rows of four columns a lane as
// outer products, four terms at a time. Each lane loads four columns of b for each term, and of a one row's four terms
// in every LANES, or four rows' one term where those lie side by side; the rows go round by shuffles.
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
layout(constant_id = 1) const uint ROWS = 32;    // a multiple of LANES, or less
layout(constant_id = 2) const uint GRADIENT = 0; // 1: of a convolution's weight
layout(constant_id = 3) const uint A_FOURS = 0;  // fours of a that lie in a line, at multiples of 4: see below
const uint NONE = 0, TERMS = 1, LINES = 2;       // its values: none, of a row's terms, of a term's rows
const uint DTYPE = 0;

layout(std430, binding = 0) writeonly buffer result_buffer { u64vec2 y[]; };
#include "weights4.glsl"
TEXELS4(a4, 1);
TEXELS4(b, 2);
layout(std430, binding = 3) readonly buffer a_buffer { float a[]; }; // as a4

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

const uint SLOTS = (ROWS + LANES - 1) / LANES;               // rows that a lane loads
const uint LINE_SLOTS = (ROWS + 4 * LANES - 1) / (4 * LANES); // fours of rows

// A pixel of dy. They are counted, because divisions are dear on the software device.
struct place {
    uint row, column, picture; // the last as pixels of x
};

place place_of(uint k)
{
    return place(k / wide % tall, k % wide, k / (tall * wide) * uint(H * W));
}

void advance(inout place p)
{
    const bool line = ++p.column == wide;
    p.column = line ? 0 : p.column;
    p.row += line ? 1 : 0;
    const bool picture = p.row == tall;
    p.row = picture ? 0 : p.row;
    p.picture += picture ? uint(H * W) : 0;
}

// The four of b that term k has in column 0; whether there is one.
bool find(uint matrix, uint k, place p, out uint from)
{
    from = k * N4 + matrix * b_matrix;
    if (GRADIENT == 0) return true;
    const int r = int(p.row) * stride + int(matrix) / kernel_width - top;
    const int c = int(p.column) * stride + int(matrix) % kernel_width - left;
    const bool inside = r >= 0 && r < H && c >= 0 && c < W;
    from = inside ? (p.picture + uint(r * W + c)) * N4 : 0;
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
    [[unroll]] for (uint s = 0; s < SLOTS; s++) {
        const uint slot = s * LANES + lane;
        const uint row = A_FOURS == LINES ? min(first_row + slot * 4, M - 4) : min(first_row + slot, M - 1);
        from_a[s] = matrix * a_matrix + row * a_m;
    }
    const uint at4 = min(column4, N4 - 1), end = min(K, (gl_WorkGroupID.z + 1) * part);
    place p = place_of(GRADIENT != 0 ? gl_WorkGroupID.z * part : 0);
    // Four terms in a turn: on the software device a sum that a loop carries is stored with care for masked lanes.
    for (uint k = gl_WorkGroupID.z * part; k < end; k += 4) {
        vec4 four[4], own[4 * SLOTS]; // own: [slot], a row's four terms; or [term][slot], four rows
        [[unroll]] for (uint j = 0; j < 4; j++) {
            const uint term = min(k + j, end - 1);
            uint from;
            const bool inside = find(matrix, term, p, from) && k + j < end; // what lies beyond may be no number
            four[j] = FLOAT4(b, k + j < end ? from + at4 : 0);
            if (!inside) four[j] = vec4(0.0);
            if (GRADIENT != 0) advance(p);
            if (A_FOURS == LINES)
                [[unroll]] for (uint s = 0; s < LINE_SLOTS; s++) {
                    own[j * LINE_SLOTS + s] = FLOAT4(a4, (from_a[s] + term * a_k) / 4);
                    if (k + j >= end) own[j * LINE_SLOTS + s] = vec4(0.0);
                }
            if (A_FOURS == NONE)
                [[unroll]] for (uint s = 0; s < SLOTS; s++) own[s][j] = k + j < end ? a[from_a[s] + term * a_k] : 0.0;
        }
        if (A_FOURS == TERMS)
            [[unroll]] for (uint s = 0; s < SLOTS; s++) own[s] = FLOAT4(a4, (from_a[s] + k) / 4);
        [[unroll]] for (uint m = 0; m < ROWS; m++) {
            const uint s = m / 4 / LANES;
            const vec4 mine = A_FOURS == LINES ? vec4(own[s][m % 4], own[LINE_SLOTS + s][m % 4],
                                                      own[2 * LINE_SLOTS + s][m % 4], own[3 * LINE_SLOTS + s][m % 4])
                                               : own[m / LANES];
            const vec4 v = subgroupShuffle(mine, A_FOURS == LINES ? m / 4 % LANES : m % LANES);
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
