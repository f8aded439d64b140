// SPDX-License-Identifier: MIT
// Products as tiles, y[m, n] = sum_k a[m, k] b[k, n]: what tile.comp and spirv/matrix.comp share, that is, where the
// elements of both operands lie and where a sum goes. A workgroup makes ROWS x COLUMNS sums and takes DEPTH terms of
// each at a time; an invocation then fetches a block of four by four elements of either operand, or none.
//
//     WINDOW    convolution   m is a pixel of y, k is (tap, channel of x), n a filter; the filters lie as [n, k]. A
//                             linear layer is the same with one tap, over a single row of pixels
//     MATRICES  matrices      as many products as there are matrices; either operand may lie turned
//     PHASES    convolution,  for each phase (see conv2d_transpose_subgroup.comp) one product: m is a pixel of the
//               transposed    phase, k is (tap of the phase, channel of x), n a channel of y
//     GRADIENT  of a weight   for each tap one product: m is a channel of dy, k a pixel of dy, n a channel of x
//
// Where k is long it is cut into parts, one a workgroup in z, which sum_parts.comp adds up.
#include "common.glsl"
#include "values.glsl"

const uint WINDOW = 0, MATRICES = 1, PHASES = 2, GRADIENT = 3;

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LOCAL = 64;
layout(constant_id = 1) const uint ROWS = 64;
layout(constant_id = 2) const uint COLUMNS = 64;
layout(constant_id = 3) const uint DEPTH = 16; // ROWS * DEPTH and COLUMNS * DEPTH are 16 LOCAL or less
layout(constant_id = 4) const uint KIND = 0;
layout(constant_id = 5) const uint DTYPE = 0;   // of b
layout(constant_id = 6) const uint A_ALONG = 1; // a lies with k side by side, else with m
layout(constant_id = 7) const uint B_ALONG = 1; // b lies with k side by side, else with n
layout(constant_id = 8) const uint FOURS = 1;   // what lies side by side comes in multiples of four

#include "weights.glsl"

layout(std430, binding = 0) buffer result_buffer { VALUE y[]; };
layout(std430, binding = 0) buffer parts_buffer { float parts[]; }; // where k is cut: scratch
layout(std430, binding = 1) readonly buffer a_buffer { VALUE a[]; };
layout(std430, binding = 1) readonly buffer a_fours_buffer { VALUE4 a_fours[]; };
WEIGHTS(b, 2);
layout(std430, binding = 2) readonly buffer b_words_buffer { vec4 b_words[]; };
layout(std430, binding = 2) readonly buffer b_halves_buffer { uvec2 b_halves[]; };
layout(std430, binding = 3) readonly buffer bias_buffer { float bias[]; };
layout(std430, binding = 4) readonly buffer residual_buffer { VALUE residual[]; };

layout(push_constant) uniform arguments
{
    uint count, M, N, K, part;     // elements of y; sizes of one product; length of a part of k
    uint a_matrix, a_long;         // from one matrix to the next, and from one line of what lies side by side
    uint b_matrix, b_long;
    uint row_tiles, column_tiles, matrices;
    int H, W;                      // of x, whose channels are `channels`
    uint channels, tall, wide;     // of y, of dy, or of a phase
    uint kernel_height, kernel_width;
    int stride, top, left;
    uint result_tall, result_wide; // of y, where there are phases
    uint ACT, has_bias, has_residual, rows_each;
};

#include "epilogue.glsl"

vec4 a_four(uint at)
{
    return vec4(a_fours[at / 4]);
}

vec4 b_four(uint at)
{
    if (IN_BLOCKS)
        return scale_of(b[block_byte(at) >> 2], at) *
               four_steps(b[value_byte(at) >> 2], b[(value_byte(at) + 2) >> 2], at);
    if (DTYPE == DTYPE_F32) return b_words[at / 4];
    const uvec2 pair = b_halves[at / 4];
    if (DTYPE == DTYPE_F16) return vec4(unpackHalf2x16(pair.x), unpackHalf2x16(pair.y));
    return vec4(uintBitsToFloat(pair.x << 16), uintBitsToFloat(pair.x & 0xffff0000u), uintBitsToFloat(pair.y << 16),
                uintBitsToFloat(pair.y & 0xffff0000u));
}

// Which product this is, and its phase.
uint matrix, first_m, first_n;
ivec2 phase, taps;

bool find_tile()
{
    const uint task = group_index();
    first_m = task % row_tiles * ROWS;
    first_n = task / row_tiles % column_tiles * COLUMNS;
    matrix = task / row_tiles / column_tiles;
    phase = KIND == PHASES ? ivec2(int(matrix) / stride, int(matrix) % stride) : ivec2(0);
    taps = ivec2(kernel_height, kernel_width);
    if (KIND == PHASES) taps = (taps - phase + stride - 1) / stride;
    if (KIND == GRADIENT) taps = ivec2(matrix / kernel_width, matrix % kernel_width);
    return matrix < matrices;
}

// The end of this workgroup's k. A phase may have fewer taps than others, or none.
uint find_end()
{
    const uint all = KIND == PHASES ? uint(taps.x * taps.y) * channels : K;
    return min(all, (gl_WorkGroupID.z + 1) * part);
}

// The first row and column of y that has the phase.
ivec2 phase_start()
{
    return (phase - ivec2(top, left) % stride + stride) % stride;
}

// Pixels of y as places in x, for tap (0, 0): the picture's first pixel, row and column.
uvec4 a_picture;
ivec4 a_row, a_column;

void find_pixels(uint m)
{
    if (KIND != WINDOW && KIND != PHASES) return;
    const uvec4 pixel = min(uvec4(m, m + 1, m + 2, m + 3), uvec4(M - 1));
    a_picture = pixel / (tall * wide) * uint(H * W);
    a_row = ivec4(pixel / wide % tall) * stride;
    a_column = ivec4(pixel % wide) * stride;
    if (KIND == PHASES) {
        const ivec2 start = phase_start() + ivec2(top, left) - phase;
        a_row = (a_row + start.x) / stride;
        a_column = (a_column + start.y) / stride;
    } else {
        a_row -= top;
        a_column -= left;
    }
}

// Element (m, k) of a, where m is number i of an invocation's block; or the four from there along k.
bool find_a(uint i, uint m, uint k, uint end, out uint at)
{
    at = 0;
    if (m >= M || k >= end) return false;
    if (KIND == WINDOW || KIND == PHASES) {
        const int width = KIND == PHASES ? taps.y : int(kernel_width);
        const int tap = int(k / channels);
        const ivec2 shift = KIND == PHASES ? -ivec2(tap / width, tap % width) : ivec2(tap / width, tap % width);
        const int r = a_row[i] + shift.x, c = a_column[i] + shift.y;
        if (r < 0 || r >= H || c < 0 || c >= W) return false;
        at = (a_picture[i] + uint(r * W + c)) * channels + k % channels;
    } else {
        at = matrix * a_matrix + (A_ALONG != 0 ? m * a_long + k : k * a_long + m);
    }
    return true;
}

bool find_b(uint n, uint k, uint end, out uint at)
{
    at = 0;
    if (n >= N || k >= end) return false;
    if (KIND == PHASES) {
        const uint tap = k / channels, width = uint(taps.y);
        const uvec2 place = uvec2(phase) + uint(stride) * uvec2(tap / width, tap % width);
        at = ((k % channels * kernel_height + place.x) * kernel_width + place.y) * N + n;
    } else if (KIND == GRADIENT) {
        const int r = int(k / wide % tall) * stride + taps.x - top, c = int(k % wide) * stride + taps.y - left;
        if (r < 0 || r >= H || c < 0 || c >= W) return false;
        at = ((k / (tall * wide) * uint(H) + uint(r)) * uint(W) + uint(c)) * N + n;
    } else {
        at = matrix * b_matrix + (B_ALONG != 0 ? n * b_long + k : k * b_long + n);
    }
    return true;
}

vec4 transposed_row(vec4 rows[4], uint i)
{
    return vec4(rows[0][i], rows[1][i], rows[2][i], rows[3][i]);
}

// block[j][i] is element (m + i, k + j) of a, and 0 where there is none. Only where there are FOURS.
void fetch_a(uint m, uint k, uint end, out vec4 block[4])
{
    uint at;
    vec4 line[4];
    [[unroll]] for (uint i = 0; i < 4; i++)
        line[i] = find_a(i, A_ALONG != 0 ? m + i : m, A_ALONG != 0 ? k : k + i, end, at) ? a_four(at) : vec4(0.0);
    [[unroll]] for (uint j = 0; j < 4; j++) block[j] = A_ALONG != 0 ? transposed_row(line, j) : line[j];
}

// block[j][i] is element (n + i, k + j) of b.
void fetch_b(uint n, uint k, uint end, out vec4 block[4])
{
    uint at;
    vec4 line[4];
    [[unroll]] for (uint i = 0; i < 4; i++)
        line[i] = find_b(B_ALONG != 0 ? n + i : n, B_ALONG != 0 ? k : k + i, end, at) ? b_four(at) : vec4(0.0);
    [[unroll]] for (uint j = 0; j < 4; j++) block[j] = B_ALONG != 0 ? transposed_row(line, j) : line[j];
}

// The same, one element at a time: m is number i of the block.
float fetch_a_one(uint i, uint m, uint k, uint end)
{
    uint at;
    return find_a(i, m, k, end, at) ? float(a[at]) : 0.0;
}

float fetch_b_one(uint n, uint k, uint end)
{
    uint at;
    return find_b(n, k, end, at) ? WEIGHT(b, at) : 0.0;
}

// Which block an invocation fetches of `lines` lines of an operand, as (line, k), both by fours: those next to each
// other fetch what lies side by side. The second operand's blocks go to other invocations, if there are enough.
uvec2 block_of(uint lane, uint lines, bool along)
{
    return along ? uvec2(lane / (DEPTH / 4), lane % (DEPTH / 4)) : uvec2(lane % (lines / 4), lane / (lines / 4));
}

uint b_lane()
{
    return (gl_LocalInvocationID.x + LOCAL - ROWS * DEPTH / 16 % LOCAL) % LOCAL;
}

// Finishes sum (m, n) of this product and stores it.
void store(uint m, uint n, float sum)
{
    if (m >= M || n >= N) return;
    uint row = KIND == GRADIENT ? m * matrices + matrix : matrix * M + m;
    if (KIND == PHASES) {
        const uvec2 place = uvec2(phase_start()) + uvec2(m / wide % tall, m % wide) * uint(stride);
        if (place.x >= result_tall || place.y >= result_wide) return; // of a phase that has one less
        row = (m / (tall * wide) * result_tall + place.x) * result_wide + place.y;
    }
    sum = finish(sum, row, n, N);
    if (gl_NumWorkGroups.z > 1)
        parts[gl_WorkGroupID.z * count + row * N + n] = sum;
    else
        y[row * N + n] = VALUE(sum);
}
