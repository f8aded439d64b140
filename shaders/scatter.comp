#version 450
// SPDX-License-Identifier: MIT
// y[ids[i]] += rows[i], from id `first` on: an invocation is an element of y and looks at all ids in order, so the
// sums are always the same. Where `first` is not 0 the sums go on from what is there.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 64) in;

layout(std430, binding = 0) buffer result_buffer { float y[]; };
layout(std430, binding = 1) readonly buffer ids_buffer { uint ids[]; };
layout(std430, binding = 2) readonly buffer rows_buffer { float rows[]; };
layout(std430, binding = 3) buffer bad_buffer { uint bad; };

layout(push_constant) uniform arguments { uint count, D, table, first, end; };

void main()
{
    const uint at = invocation_index();
    if (at >= count) return;
    const uint row = at / D, d = at % D;
    float sum = 0.0;
    if (first != 0) sum = y[at];
    for (uint i = first; i < end; i++) {
        if (ids[i] == row) sum += rows[i * D + d];
        if (at == 0 && ids[i] >= table) atomicMin(bad, i);
    }
    y[at] = sum;
}
