#version 450
// SPDX-License-Identifier: MIT
// y = f(x), or y = factor x + offset: an invocation is an element.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "values.glsl"

layout(local_size_x = 64) in;
layout(constant_id = 0) const uint KIND = 0; // enum unary, or AFFINE
const uint AFFINE = 255;

layout(std430, binding = 0) buffer result_buffer { VALUE y[]; };
layout(std430, binding = 1) readonly buffer x_buffer { VALUE x[]; };

layout(push_constant) uniform arguments
{
    uint count;
    float a, b; // the slope of leaky ReLU; factor and offset
};

#include "activation.glsl"

void main()
{
    const uint at = invocation_index();
    if (at >= count) return;
    y[at] = VALUE(KIND == AFFINE ? a * float(x[at]) + b : activate(KIND, float(x[at]), a));
}
