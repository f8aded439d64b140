#version 450
// SPDX-License-Identifier: MIT
// The transpose of a convolution: an invocation is one element of the result.
//     y[b, r, c, o] = bias[o] + sum x[b, h, v, i] w[i, ky, kx, o] over all h s + ky - top = r, v s + kx - left = c
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 64) in;
layout(constant_id = 0) const uint DTYPE = 0;
layout(constant_id = 1) const uint HAS_BIAS = 0;

#include "weights.glsl"

layout(std430, binding = 0) writeonly buffer result_buffer { float y[]; };
layout(std430, binding = 1) readonly buffer x_buffer { float x[]; };
WEIGHTS(w, 2);
layout(std430, binding = 3) readonly buffer bias_buffer { float bias[]; };

layout(push_constant) uniform arguments
{
    uint count, tall, wide, O; // elements and sizes of y
    int H, W;
    uint I;
    int kernel_height, kernel_width, stride, top, left;
};

void main()
{
    const uint at = invocation_index();
    if (at >= count) return;
    const uint pixel = at / O, o = at % O, b = pixel / (tall * wide);
    const int r = int(pixel / wide % tall) + top, c = int(pixel % wide) + left;
    const uint channel = uint(kernel_height * kernel_width) * O; // from one i of w to the next
    float sum = HAS_BIAS != 0 ? bias[o] : 0.0;
    for (int ky = 0; ky < kernel_height; ky++)
        for (int kx = 0; kx < kernel_width; kx++) {
            const int up = r - ky, across = c - kx;
            if (up < 0 || across < 0 || up % stride != 0 || across % stride != 0) continue;
            if (up / stride >= H || across / stride >= W) continue;
            const uint from = ((b * uint(H) + uint(up / stride)) * uint(W) + uint(across / stride)) * I;
            const uint weight = uint(ky * kernel_width + kx) * O + o;
            for (uint i = 0; i < I; i++) sum += x[from + i] * WEIGHT(w, weight + i * channel);
        }
    y[at] = sum;
}
