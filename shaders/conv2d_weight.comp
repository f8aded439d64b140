#version 450
// SPDX-License-Identifier: MIT
// The gradient of a convolution's weight: an invocation is one weight and a part of dy's pixels.
//     dw[o, ky, kx, i] = sum over b, r, c of dy[b, r, c, o] x[b, r s - top + ky, c s - left + kx, i]
// The result is [part, o, ky, kx, i]; where there is more than one part, sum_parts.comp adds them up.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 64) in;

layout(std430, binding = 0) writeonly buffer result_buffer { float dw[]; };
layout(std430, binding = 1) readonly buffer x_buffer { float x[]; };
layout(std430, binding = 2) readonly buffer dy_buffer { float dy[]; };

layout(push_constant) uniform arguments
{
    uint count, kernel_height, kernel_width, I; // weights, and their sizes
    int H, W;
    uint tall, wide, O, pixels, part; // of dy; length of a part of the pixels
    int stride, top, left;
};

void main()
{
    const uint at = invocation_index();
    if (at >= count) return;
    const uint i = at % I, tap = at / I % (kernel_height * kernel_width), o = at / (I * kernel_height * kernel_width);
    const int ky = int(tap / kernel_width) - top, kx = int(tap % kernel_width) - left;
    const uint end = min(pixels, (gl_WorkGroupID.z + 1) * part);
    float sum = 0.0;
    for (uint pixel = gl_WorkGroupID.z * part; pixel < end; pixel++) {
        const uint b = pixel / (tall * wide);
        const int row = int(pixel / wide % tall) * stride + ky, column = int(pixel % wide) * stride + kx;
        if (row < 0 || row >= H || column < 0 || column >= W) continue;
        sum += dy[pixel * O + o] * x[((b * uint(H) + uint(row)) * uint(W) + uint(column)) * I + i];
    }
    dw[gl_WorkGroupID.z * count + at] = sum;
}
