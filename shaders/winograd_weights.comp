#version 450
// SPDX-License-Identifier: MIT
// The filters of a convolution for winograd.glsl: u[plane, filter, channel] = G g G^T. An invocation makes four
// channels of a filter.
#extension GL_GOOGLE_include_directive : require
#extension GL_ARB_gpu_shader_int64 : require
#extension GL_EXT_control_flow_attributes : require
#include "common.glsl"

layout(local_size_x = 64) in;
layout(constant_id = 0) const uint DTYPE = 0;

#include "weights4.glsl"
#include "winograd.glsl"

layout(std430, binding = 0) writeonly buffer result_buffer { u64vec2 u[]; };
TEXELS4(w, 1);

layout(push_constant) uniform arguments { uint O, I4; };

void main()
{
    const uint at = invocation_index();
    if (at >= O * I4) return;
    const uint from = at / I4 * 9 * I4 + at % I4;
    vec4 columns[3][6];
    [[unroll]] for (uint c = 0; c < 3; c++)
        filter_to_points(WEIGHT4(w, from + c * I4), WEIGHT4(w, from + (3 + c) * I4), WEIGHT4(w, from + (6 + c) * I4),
                         columns[c]);
    [[unroll]] for (uint r = 0; r < 6; r++) {
        vec4 line[6];
        filter_to_points(columns[0][r], columns[1][r], columns[2][r], line);
        [[unroll]] for (uint c = 0; c < 6; c++) u[(r * 6 + c) * O * I4 + at] = four_words(line[c]);
    }
}
