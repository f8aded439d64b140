#version 450
// SPDX-License-Identifier: MIT
// y[..., d] = x[..., d] gelu(x[..., D + d]) (Shazeer 2020, arXiv 2002.05202): an invocation is an element.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "values.glsl"

layout(local_size_x = 64) in;

layout(std430, binding = 0) writeonly buffer result_buffer { VALUE y[]; };
layout(std430, binding = 1) readonly buffer x_buffer { VALUE x[]; };

layout(push_constant) uniform arguments { uint count, D; };

#include "activation.glsl"

void main()
{
    const uint at = invocation_index();
    if (at >= count) return;
    const uint from = at / D * 2 * D + at % D;
    y[at] = VALUE(float(x[from]) * activate(UNARY_GELU, float(x[from + D]), 0.0));
}
