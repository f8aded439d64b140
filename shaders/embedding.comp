#version 450
// SPDX-License-Identifier: MIT
// y[i] = table[ids[i]]: an invocation is an element. The place of an id that the table does not have is left in `bad`,
// the lowest if there are several.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "values.glsl"

layout(local_size_x = 64) in;
layout(constant_id = 0) const uint DTYPE = 0;

#include "weights.glsl"

layout(std430, binding = 0) writeonly buffer result_buffer { VALUE y[]; };
layout(std430, binding = 1) readonly buffer ids_buffer { uint ids[]; };
WEIGHTS(table, 2);
layout(std430, binding = 3) buffer bad_buffer { uint bad; };

layout(push_constant) uniform arguments { uint count, D, rows; };

void main()
{
    const uint at = invocation_index();
    if (at >= count) return;
    const uint id = ids[at / D]; // a negative one is a large one
    float value = 0.0;
    if (id < rows)
        value = WEIGHT(table, id * D + at % D);
    else
        atomicMin(bad, at / D);
    y[at] = VALUE(value);
}
