#version 450
// SPDX-License-Identifier: MIT
// The pixels of a convolution for winograd.glsl: v[plane, square, channel] = B^T d B for the 6x6 pixels d of each of
// some squares, zeros outside the picture. An invocation makes four channels of a square.
#extension GL_GOOGLE_include_directive : require
#extension GL_ARB_gpu_shader_int64 : require
#extension GL_EXT_control_flow_attributes : require
#include "common.glsl"

layout(local_size_x = 64) in;
const uint DTYPE = 0;

#include "weights4.glsl"
#include "winograd.glsl"

layout(std430, binding = 0) writeonly buffer result_buffer { u64vec2 v[]; };
TEXELS4(x, 1);

layout(push_constant) uniform arguments
{
    uint first, squares, I4; // which squares of all pictures, and fours of channels
    int H, W;
    uint squares_wide, squares_of_picture;
    int top, left;
};

void main()
{
    const uint at = invocation_index();
    if (at >= squares * I4) return;
    const uint i = at % I4, square = first + at / I4, place = square % squares_of_picture;
    const int row = int(place / squares_wide) * 4 - top, column = int(place % squares_wide) * 4 - left;
    const uint picture = square / squares_of_picture * uint(H * W);
    vec4 columns[6][6];
    [[unroll]] for (int c = 0; c < 6; c++) {
        [[unroll]] for (int r = 0; r < 6; r++) {
            const bool inside = row + r >= 0 && row + r < H && column + c >= 0 && column + c < W;
            columns[c][r] = FLOAT4(x, inside ? (picture + uint((row + r) * W + column + c)) * I4 + i : 0);
            if (!inside) columns[c][r] = vec4(0.0);
        }
        to_points(columns[c]);
    }
    [[unroll]] for (uint r = 0; r < 6; r++) {
        vec4 line[6];
        [[unroll]] for (uint c = 0; c < 6; c++) line[c] = columns[c][r];
        to_points(line);
        [[unroll]] for (uint c = 0; c < 6; c++) v[(r * 6 + c) * squares * I4 + at] = four_words(line[c]);
    }
}
