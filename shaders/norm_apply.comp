#version 450
// SPDX-License-Identifier: MIT
// The third step: y = act((x - mean) scale + bias), four channels an invocation.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "values.glsl"

layout(local_size_x = 64) in;
layout(constant_id = 0) const uint ACT = 0;

layout(std430, binding = 0) buffer result_buffer { VALUE4 y[]; };
layout(std430, binding = 1) readonly buffer x_buffer { VALUE4 x[]; };
layout(std430, binding = 2) readonly buffer mean_buffer { vec4 mean[]; };
layout(std430, binding = 3) readonly buffer scale_buffer { vec4 scale[]; };
layout(std430, binding = 4) readonly buffer bias_buffer { vec4 bias[]; };

layout(push_constant) uniform arguments { uint count4, C4, rows, has_bias; };

#include "activation.glsl"

void main()
{
    const uint at = invocation_index();
    if (at >= count4) return;
    const uint row = at / C4, c = at - row * C4, channel = row / rows * C4 + c;
    vec4 value = (vec4(x[at]) - mean[channel]) * scale[channel];
    if (has_bias != 0) value += bias[c];
    for (uint i = 0; i < 4; i++) value[i] = activate(ACT, value[i], 0.0);
    y[at] = VALUE4(value);
}
