#version 450
// SPDX-License-Identifier: MIT
// Moves elements as they are: slices, permutations, halves of a concatenation, repeated dimensions, zeros around. An
// invocation is one place of a box of four dimensions, which has strides in the result and in the operand; where its
// index along `axis` lies outside start .. start + length - 1, the result is 0.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "values.glsl"

layout(local_size_x = 64) in;

layout(std430, binding = 0) writeonly buffer result_buffer { WORD y[]; };
layout(std430, binding = 1) readonly buffer x_buffer { WORD x[]; };

layout(push_constant) uniform arguments
{
    uint count, size1, size2, size3;
    uint y_first, y_stride0, y_stride1, y_stride2, y_stride3;
    uint x_first, x_stride0, x_stride1, x_stride2, x_stride3;
    uint axis, start, length;
};

void main()
{
    const uint at = invocation_index();
    if (at >= count) return;
    const uint i3 = at % size3, i2 = at / size3 % size2, rest = at / (size3 * size2), i1 = rest % size1,
               i0 = rest / size1;
    const uint along = (axis == 0 ? i0 : axis == 1 ? i1 : axis == 2 ? i2 : i3) - start; // wraps below start
    const uint from = x_first + i0 * x_stride0 + i1 * x_stride1 + i2 * x_stride2 + i3 * x_stride3;
    const uint to = y_first + i0 * y_stride0 + i1 * y_stride1 + i2 * y_stride2 + i3 * y_stride3;
    uint value = 0;
    if (along < length) value = uint(x[from]);
    y[to] = WORD(value);
}
