#version 450
// SPDX-License-Identifier: MIT
// The results of a convolution by winograd.glsl: y = act(A^T m A + bias) + residual for the sums m[plane, square,
// filter] of some squares. An invocation makes four channels of a square.
#extension GL_GOOGLE_include_directive : require
#extension GL_ARB_gpu_shader_int64 : require
#extension GL_EXT_control_flow_attributes : require
#include "common.glsl"

layout(local_size_x = 64) in;
layout(constant_id = 0) const uint ACT = 0;
const uint DTYPE = 0;

#include "activation.glsl"
#include "weights4.glsl"
#include "winograd.glsl"

layout(std430, binding = 0) buffer result_buffer { u64vec2 y[]; };
TEXELS4(m, 1);
FLOATS4(bias, 2);
FLOATS4(residual, 3); // may be the result's own bytes

layout(push_constant) uniform arguments
{
    uint first, squares, O4; // which squares of all pictures, and fours of channels
    uint tall, wide;         // of y
    uint squares_wide, squares_of_picture;
    uint has_bias, has_residual, rows_each; // as in epilogue.glsl
};

void finish(vec4 sum, uint row, uint o)
{
    vec4 result = activate4(ACT, sum);
    if (has_residual != 0) result += floats_at(residual[row / rows_each * O4 + o]);
    y[row * O4 + o] = four_words(result);
}

void main()
{
    const uint at = invocation_index();
    if (at >= squares * O4) return;
    const uint o = at % O4, square = first + at / O4, place = square % squares_of_picture;
    const uint row = place / squares_wide * 4, column = place % squares_wide * 4;
    const uint from = (square / squares_of_picture * tall + row) * wide + column;
    vec4 columns[6][4], pixels[4][4];
    [[unroll]] for (uint c = 0; c < 6; c++) {
        vec4 column[6];
        [[unroll]] for (uint r = 0; r < 6; r++) column[r] = FLOAT4(m, (r * 6 + c) * squares * O4 + at);
        from_points(column, columns[c]);
    }
    [[unroll]] for (uint r = 0; r < 4; r++) {
        vec4 line[6];
        [[unroll]] for (uint c = 0; c < 6; c++) line[c] = columns[c][r];
        from_points(line, pixels[r]);
    }
    const vec4 b = has_bias != 0 ? floats_at(bias[o]) : vec4(0.0);
    [[unroll]] for (uint r = 0; r < 4; r++)
        [[unroll]] for (uint c = 0; c < 4; c++)
            if (row + r < tall && column + c < wide) finish(pixels[r][c] + b, from + r * wide + c, o);
}
