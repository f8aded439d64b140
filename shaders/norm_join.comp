#version 450
// SPDX-License-Identifier: MIT
// The second step: the parts' means and squares become the group's (Chan, Golub and LeVeque 1979, "Updating formulae
// and a pairwise algorithm for computing sample variances"), and then for each of its channels what norm_apply.comp
// takes off and multiplies by. An invocation is a group of one picture.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 64) in;

layout(std430, binding = 0) readonly buffer part_buffer { vec2 part[]; };
layout(std430, binding = 1) writeonly buffer mean_buffer { float mean[]; };   // picture, channel
layout(std430, binding = 2) writeonly buffer scale_buffer { float scale[]; }; // the same
layout(std430, binding = 3) readonly buffer weight_buffer { float weight[]; };

layout(push_constant) uniform arguments
{
    uint tasks, groups, rows, width, parts, part_rows;
    float eps;
    uint has_weight;
};

void main()
{
    const uint task = invocation_index();
    if (task >= tasks) return;
    float middle = 0.0, squares = 0.0, seen = 0.0; // rows so far
    for (uint p = 0; p < parts; p++) {
        const vec2 next = part[task * parts + p];
        const float more = float(min(part_rows, rows - p * part_rows)), share = more / (seen + more);
        const float apart = next.x - middle;
        middle += apart * share;
        squares += next.y + apart * apart * seen * share * float(width);
        seen += more;
    }
    const float inverse = 1.0 / sqrt(squares / (seen * float(width)) + eps);
    for (uint c = 0; c < width; c++) {
        mean[task * width + c] = middle;
        scale[task * width + c] = has_weight != 0 ? inverse * weight[task % groups * width + c] : inverse;
    }
}
