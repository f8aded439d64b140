#version 450
// SPDX-License-Identifier: MIT
// Nearest-neighbour upsampling, y[b, r, c] = x[b, r / factor, c / factor], and average pooling, the mean of
// x[b, r s + ky, c s + kx] over ky, kx < kernel: an invocation is an element of the result.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "values.glsl"

layout(local_size_x = 64) in;
layout(constant_id = 0) const uint POOL = 0;

layout(std430, binding = 0) writeonly buffer result_buffer { VALUE y[]; };
layout(std430, binding = 1) readonly buffer x_buffer { VALUE x[]; };

layout(push_constant) uniform arguments
{
    uint count, tall, wide, C, H, W;
    uint kernel, stride; // upsampling: 1, factor
};

void main()
{
    const uint at = invocation_index();
    if (at >= count) return;
    const uint i = at % C, c = at / C % wide, r = at / (C * wide) % tall, b = at / (C * wide * tall);
    if (POOL == 0) {
        y[at] = VALUE(float(x[((b * H + r / stride) * W + c / stride) * C + i]));
        return;
    }
    float sum = 0.0;
    for (uint ky = 0; ky < kernel; ky++)
        for (uint kx = 0; kx < kernel; kx++) sum += float(x[((b * H + r * stride + ky) * W + c * stride + kx) * C + i]);
    y[at] = VALUE(sum / float(kernel * kernel));
}
