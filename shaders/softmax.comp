#version 450
// SPDX-License-Identifier: MIT
// y[i] = exp(x[i] - max) / sum exp(x[j] - max) along an axis: a workgroup is one line of `length` elements, `inner`
// apart.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "values.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LOCAL = 64;

layout(std430, binding = 0) buffer result_buffer { VALUE y[]; };
layout(std430, binding = 1) readonly buffer x_buffer { VALUE x[]; };

layout(push_constant) uniform arguments { uint lines, length, inner; };

#include "tree.glsl"

void main()
{
    const uint line = group_index(), lane = gl_LocalInvocationID.x;
    if (line >= lines) return;
    const uint origin = line / inner * length * inner + line % inner;
    float most = -3.4e38, sum = 0.0;
    for (uint i = lane; i < length; i += LOCAL) most = max(most, float(x[origin + i * inner]));
    most = group_max(most);
    for (uint i = lane; i < length; i += LOCAL) sum += exp(float(x[origin + i * inner]) - most);
    sum = group_sum(sum);
    for (uint i = lane; i < length; i += LOCAL) y[origin + i * inner] = VALUE(exp(float(x[origin + i * inner]) - most) / sum);
}
