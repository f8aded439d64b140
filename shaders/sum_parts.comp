#version 450
// SPDX-License-Identifier: MIT
// The sum of a product's parts, y[i] = act(sum_p part[p, i] + bias) + residual: what follows where the inner dimension
// was cut.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "values.glsl"

layout(local_size_x = 64) in;
layout(constant_id = 0) const uint ACT = 0;

layout(std430, binding = 0) buffer result_buffer { VALUE y[]; };
layout(std430, binding = 1) readonly buffer part_buffer { float part[]; };
layout(std430, binding = 2) readonly buffer bias_buffer { float bias[]; };
layout(std430, binding = 3) readonly buffer residual_buffer { VALUE residual[]; };

layout(push_constant) uniform arguments { uint count, N, parts, has_bias, has_residual, rows_each; };

#include "epilogue.glsl"

void main()
{
    const uint at = invocation_index();
    if (at >= count) return;
    float sum = 0.0;
    for (uint p = 0; p < parts; p++) sum += part[p * count + at];
    y[at] = VALUE(finish(sum, at / N, at % N, N));
}
