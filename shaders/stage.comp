#version 450
// SPDX-License-Identifier: MIT
// Values between halves, as they lie in memory, and floats, as they are computed with: an invocation is an element.
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_shader_16bit_storage : require
#include "common.glsl"

layout(local_size_x = 64) in;
layout(constant_id = 0) const uint KIND = 0;
const uint NARROW = 0; // else widen

layout(std430, binding = 0) buffer floats_buffer { float floats[]; };
layout(std430, binding = 1) buffer halves_buffer { float16_t halves[]; };

layout(push_constant) uniform arguments { uint count; };

void main()
{
    const uint at = invocation_index();
    if (at >= count) return;
    if (KIND == NARROW)
        halves[at] = float16_t(floats[at]);
    else
        floats[at] = float(halves[at]);
}
