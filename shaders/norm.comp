#version 450
// SPDX-License-Identifier: MIT
// Group norm and layer norm: a workgroup is one group of one picture, or one row.
//     y = act((x - mean) / sqrt(variance + eps) * weight + bias)
// The mean is taken twice, the second time of what is left when the first is taken off: so a large common offset costs
// no digits.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "values.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LOCAL = 64;
layout(constant_id = 1) const uint ACT = 0;

layout(std430, binding = 0) buffer result_buffer { VALUE y[]; };
layout(std430, binding = 1) readonly buffer x_buffer { VALUE x[]; };
layout(std430, binding = 2) readonly buffer weight_buffer { float weight[]; };
layout(std430, binding = 3) readonly buffer bias_buffer { float bias[]; };

// A group is `rows` runs of `width` elements, `pitch` apart; there are `groups` of them side by side.
layout(push_constant) uniform arguments
{
    uint tasks, groups, rows, width, pitch;
    float eps;
    uint has_weight, has_bias;
};

#include "activation.glsl"
#include "tree.glsl"

void main()
{
    const uint task = group_index(), lane = gl_LocalInvocationID.x;
    if (task >= tasks) return;
    const uint first = task % groups * width, origin = task / groups * rows * pitch + first, count = rows * width;
    float sum = 0.0, square = 0.0;
    for (uint i = lane; i < count; i += LOCAL) sum += float(x[origin + i / width * pitch + i % width]);
    const float rough = group_sum(sum) / float(count);
    sum = 0.0;
    for (uint i = lane; i < count; i += LOCAL) {
        const float apart = float(x[origin + i / width * pitch + i % width]) - rough;
        sum += apart;
        square += apart * apart;
    }
    const float left = group_sum(sum) / float(count);
    const float variance = max(group_sum(square) / float(count) - left * left, 0.0);
    const float inverse = 1.0 / sqrt(variance + eps);
    for (uint i = lane; i < count; i += LOCAL) {
        const uint at = origin + i / width * pitch + i % width, c = first + i % width;
        float value = (float(x[at]) - rough - left) * inverse;
        if (has_weight != 0) value *= weight[c];
        if (has_bias != 0) value += bias[c];
        y[at] = VALUE(activate(ACT, value, 0.0));
    }
}
