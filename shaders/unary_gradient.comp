#version 450
// SPDX-License-Identifier: MIT
// dx = dy f'(x): an invocation is an element.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "values.glsl"

layout(local_size_x = 64) in;
layout(constant_id = 0) const uint KIND = 0; // enum unary

layout(std430, binding = 0) buffer result_buffer { VALUE dx[]; };
layout(std430, binding = 1) readonly buffer x_buffer { VALUE x[]; };
layout(std430, binding = 2) readonly buffer dy_buffer { VALUE dy[]; };

layout(push_constant) uniform arguments
{
    uint count;
    float alpha;
};

#include "activation.glsl"

void main()
{
    const uint at = invocation_index();
    if (at >= count) return;
    dx[at] = VALUE(float(dy[at]) * slope(KIND, float(x[at]), alpha));
}
