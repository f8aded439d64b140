#version 450
// SPDX-License-Identifier: MIT
// Sum or maximum over some of four dimensions. EACH invocations share one element of the result: all LOCAL of a
// workgroup, or one alone.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "values.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LOCAL = 64;
layout(constant_id = 1) const uint EACH = 64;
layout(constant_id = 2) const uint MAXIMUM = 0; // 1: the largest; 0: the sum times `factor`

layout(std430, binding = 0) writeonly buffer result_buffer { VALUE y[]; };
layout(std430, binding = 1) readonly buffer x_buffer { VALUE x[]; };

// The dimensions that stay and those that go, as sizes and strides in x; sizes are 1 where there is none.
layout(push_constant) uniform arguments
{
    uint results, count;
    uint kept0, kept1, kept2, kept3, kept_stride0, kept_stride1, kept_stride2, kept_stride3;
    uint gone0, gone1, gone2, gone3, gone_stride0, gone_stride1, gone_stride2, gone_stride3;
    float factor;
};

#include "tree.glsl"

uint kept_place(uint at)
{
    uint place = at % kept3 * kept_stride3;
    at /= kept3;
    place += at % kept2 * kept_stride2;
    at /= kept2;
    return place + at % kept1 * kept_stride1 + at / kept1 * kept_stride0;
}

uint gone_place(uint at)
{
    uint place = at % gone3 * gone_stride3;
    at /= gone3;
    place += at % gone2 * gone_stride2;
    at /= gone2;
    return place + at % gone1 * gone_stride1 + at / gone1 * gone_stride0;
}

void main()
{
    const uint result = group_index() * (LOCAL / EACH) + gl_LocalInvocationID.x / EACH;
    const uint lane = gl_LocalInvocationID.x % EACH;
    if (EACH == LOCAL && result >= results) return;
    float value = MAXIMUM != 0 ? -3.4e38 : 0.0;
    if (result < results) {
        const uint origin = kept_place(result);
        for (uint i = lane; i < count; i += EACH) {
            const float element = float(x[origin + gone_place(i)]);
            value = MAXIMUM != 0 ? max(value, element) : value + element;
        }
    }
    if (EACH > 1) value = MAXIMUM != 0 ? group_max(value) : group_sum(value);
    if (lane == 0 && result < results) y[result] = VALUE(MAXIMUM != 0 ? value : value * factor);
}
