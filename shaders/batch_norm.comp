#version 450
// SPDX-License-Identifier: MIT
// Batch norm with the statistics that training left (Ioffe and Szegedy 2015, arXiv 1502.03167): an invocation is an
// element.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "values.glsl"

layout(local_size_x = 64) in;

layout(std430, binding = 0) buffer result_buffer { VALUE y[]; };
layout(std430, binding = 1) readonly buffer x_buffer { VALUE x[]; };
layout(std430, binding = 2) readonly buffer weight_buffer { float weight[]; };
layout(std430, binding = 3) readonly buffer bias_buffer { float bias[]; };
layout(std430, binding = 4) readonly buffer mean_buffer { float mean[]; };
layout(std430, binding = 5) readonly buffer variance_buffer { float variance[]; };

layout(push_constant) uniform arguments
{
    uint count, C;
    float eps;
};

void main()
{
    const uint at = invocation_index(), c = at % C;
    if (at >= count) return;
    y[at] = VALUE((float(x[at]) - mean[c]) / sqrt(variance[c] + eps) * weight[c] + bias[c]);
}
