#version 450
// SPDX-License-Identifier: MIT
// Convolution in its plainest form: an invocation is one element of the result.
//     y[b, r, c, o] = act(sum x[b, r s - top + ky, c s - left + kx, i] w[o, ky, kx, i] + bias[o]) + residual
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 64) in;
layout(constant_id = 0) const uint DTYPE = 0;
layout(constant_id = 1) const uint ACT = 0;

#include "weights.glsl"

layout(std430, binding = 0) buffer result_buffer { float y[]; };
layout(std430, binding = 1) readonly buffer x_buffer { float x[]; };
WEIGHTS(w, 2);
layout(std430, binding = 3) readonly buffer bias_buffer { float bias[]; };
layout(std430, binding = 4) readonly buffer residual_buffer { float residual[]; };

layout(push_constant) uniform arguments
{
    uint count, tall, wide, O; // elements and sizes of y
    int H, W;
    uint I;
    uint kernel_height, kernel_width;
    int stride, top, left;
    uint has_bias, has_residual, rows_each;
};

#include "epilogue.glsl"

void main()
{
    const uint at = invocation_index();
    if (at >= count) return;
    const uint pixel = at / O, o = at % O, b = pixel / (tall * wide);
    const int first_row = int(pixel / wide % tall) * stride - top, first_column = int(pixel % wide) * stride - left;
    float sum = 0.0;
    uint weight = o * kernel_height * kernel_width * I;
    for (uint ky = 0; ky < kernel_height; ky++)
        for (uint kx = 0; kx < kernel_width; kx++, weight += I) {
            const int row = first_row + int(ky), column = first_column + int(kx);
            if (row < 0 || row >= H || column < 0 || column >= W) continue;
            const uint from = ((b * uint(H) + uint(row)) * uint(W) + uint(column)) * I;
            for (uint i = 0; i < I; i++) sum += x[from + i] * WEIGHT(w, weight + i);
        }
    y[at] = finish(sum, pixel, o, O);
}
