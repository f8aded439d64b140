#version 450
// SPDX-License-Identifier: MIT
// The first step of a group norm that is summed in parts: a workgroup is a part, `part_rows` rows of one group of one
// picture, and finds its mean and the sum of the squares of what differs from it. norm_join.comp puts them together.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "values.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LOCAL = 64;

layout(std430, binding = 0) writeonly buffer part_buffer { vec2 part[]; };
layout(std430, binding = 1) readonly buffer x_buffer { VALUE x[]; };

// A group is `rows` runs of `width` elements, `pitch` apart; there are `groups` of them side by side.
layout(push_constant) uniform arguments { uint tasks, groups, rows, width, pitch, parts, part_rows; };

#include "tree.glsl"

void main()
{
    const uint task = group_index();
    if (task >= tasks) return;
    // Invocations lie side by side in a row, and in as many rows as there is room for; those left over have none.
    const uint across = min(width, LOCAL), down = LOCAL / across;
    const uint column = gl_LocalInvocationID.x % across, row = gl_LocalInvocationID.x / across;
    const uint first = task % parts * part_rows, end = row < down ? min(first + part_rows, rows) : 0;
    const uint whole = task / parts, origin = whole / groups * rows * pitch + whole % groups * width;
    const float count = float((min(first + part_rows, rows) - first) * width);
    float sum = 0.0, square = 0.0;
    for (uint r = first + row; r < end; r += down)
        for (uint c = column; c < width; c += across) sum += float(x[origin + r * pitch + c]);
    const float mean = group_sum(sum) / count;
    sum = 0.0;
    for (uint r = first + row; r < end; r += down)
        for (uint c = column; c < width; c += across) {
            const float apart = float(x[origin + r * pitch + c]) - mean;
            sum += apart;
            square += apart * apart;
        }
    // What rounding left in the mean comes off once more.
    const float left = group_sum(sum) / count, squares = group_sum(square) - count * left * left;
    if (gl_LocalInvocationID.x == 0) part[task] = vec2(mean + left, squares);
}
