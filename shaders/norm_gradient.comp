#version 450
// SPDX-License-Identifier: MIT
// With u = (x - mean) / s and s = sqrt(variance + eps), over one group of one picture:
//     dx = (dy - mean(dy) - u mean(dy u)) / s        (Ioffe and Szegedy 2015, arXiv 1502.03167, section 3)
// A workgroup is a group, laid out as in norm.comp.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "values.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LOCAL = 64;

layout(std430, binding = 0) buffer result_buffer { VALUE dx[]; };
layout(std430, binding = 1) readonly buffer x_buffer { VALUE x[]; };
layout(std430, binding = 2) readonly buffer dy_buffer { VALUE dy[]; };

layout(push_constant) uniform arguments
{
    uint tasks, groups, rows, width, pitch;
    float eps;
};

#include "tree.glsl"

void main()
{
    const uint task = group_index(), lane = gl_LocalInvocationID.x;
    if (task >= tasks) return;
    const uint origin = task / groups * rows * pitch + task % groups * width, count = rows * width;
    float sum = 0.0, square = 0.0, sum_dy = 0.0, sum_both = 0.0;
    for (uint i = lane; i < count; i += LOCAL) sum += float(x[origin + i / width * pitch + i % width]);
    const float rough = group_sum(sum) / float(count);
    sum = 0.0;
    for (uint i = lane; i < count; i += LOCAL) sum += float(x[origin + i / width * pitch + i % width]) - rough;
    const float mean = rough + group_sum(sum) / float(count);
    for (uint i = lane; i < count; i += LOCAL) {
        const uint at = origin + i / width * pitch + i % width;
        const float apart = float(x[at]) - mean;
        square += apart * apart;
        sum_dy += float(dy[at]);
        sum_both += float(dy[at]) * apart;
    }
    const float inverse = 1.0 / sqrt(group_sum(square) / float(count) + eps);
    const float mean_dy = group_sum(sum_dy) / float(count), mean_both = group_sum(sum_both) / float(count) * inverse;
    for (uint i = lane; i < count; i += LOCAL) {
        const uint at = origin + i / width * pitch + i % width;
        dx[at] = VALUE((float(dy[at]) - mean_dy - (float(x[at]) - mean) * inverse * mean_both) * inverse);
    }
}
