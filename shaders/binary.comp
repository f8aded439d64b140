#version 450
// SPDX-License-Identifier: MIT
// Sum, difference, product or quotient, with repeated dimensions of either operand: an invocation is an element of the
// result. The stride of a repeated dimension is 0.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "values.glsl"

layout(local_size_x = 64) in;
layout(constant_id = 0) const uint KIND = 0; // enum binary

layout(std430, binding = 0) buffer result_buffer { VALUE y[]; };
layout(std430, binding = 1) readonly buffer a_buffer { VALUE a[]; };
layout(std430, binding = 2) readonly buffer b_buffer { VALUE b[]; };

layout(push_constant) uniform arguments
{
    uint count, size1, size2, size3; // of the result
    uint a_stride0, a_stride1, a_stride2, a_stride3;
    uint b_stride0, b_stride1, b_stride2, b_stride3;
};

void main()
{
    const uint at = invocation_index();
    if (at >= count) return;
    const uint i3 = at % size3, i2 = at / size3 % size2, rest = at / (size3 * size2), i1 = rest % size1,
               i0 = rest / size1;
    const float u = float(a[i0 * a_stride0 + i1 * a_stride1 + i2 * a_stride2 + i3 * a_stride3]);
    const float v = float(b[i0 * b_stride0 + i1 * b_stride1 + i2 * b_stride2 + i3 * b_stride3]);
    y[at] = VALUE(KIND == 0 ? u + v : KIND == 1 ? u - v : KIND == 2 ? u * v : u / v);
}
