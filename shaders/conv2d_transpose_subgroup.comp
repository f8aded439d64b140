#version 450
// SPDX-License-Identifier: MIT
// The transpose of a convolution for devices where loads are dear and lanes cheap (see conv2d_subgroup.comp):
//     y[b, r, c, o] = bias[o] + sum x[b, h, v, i] w[i, ky, kx, o] over all h s + ky - top = r, v s + kx - left = c
// A workgroup is one subgroup, and makes PIXELS pixels of four channels a lane. The pixels of one workgroup have the
// same remainders of r + top and c + left by the stride, its phase: so they meet the same taps of the kernel, and no
// others are looked at.
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#extension GL_ARB_gpu_shader_int64 : require
#extension GL_EXT_control_flow_attributes : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;
layout(constant_id = 1) const uint PIXELS = 16; // a multiple of LANES, or less
layout(constant_id = 2) const uint DTYPE = 0;

layout(std430, binding = 0) writeonly buffer result_buffer { u64vec2 y[]; };
#include "weights4.glsl"
TEXELS4(x, 1);
TEXELS4(w, 2);
FLOATS4(bias, 3);

layout(push_constant) uniform arguments
{
    uint pictures, tall, wide, O4; // of y, where O4 is its channels by fours
    int H, W;
    uint I4; // channels of x by fours
    int kernel_height, kernel_width, stride, top, left;
    uint phase_tall, phase_wide; // the most rows and columns of y that one phase has
    uint pixel_groups, channel_groups, has_bias;
};

const uint SLOTS = (PIXELS + LANES - 1) / LANES; // pixels that a lane loads

void main()
{
    const uint lane = gl_SubgroupInvocationID, task = group_index(), area = phase_tall * phase_wide;
    const uint first = task % pixel_groups * PIXELS;
    const uint channel4 = task / pixel_groups % channel_groups * LANES + lane, at4 = min(channel4, O4 - 1);
    const int phase = int(task / pixel_groups / channel_groups), phase_row = phase / stride;
    if (phase_row >= stride) return; // the whole subgroup
    const int phase_column = phase % stride;
    vec4 sum[PIXELS];
    [[unroll]] for (uint p = 0; p < PIXELS; p++) sum[p] = vec4(0.0);

    // The first rows and columns of y that have the phase, and this lane's pixels as places in x for tap (0, 0).
    const int first_row = (phase_row - top % stride + stride) % stride;
    const int first_column = (phase_column - left % stride + stride) % stride;
    int row[SLOTS], column[SLOTS];
    uint picture[SLOTS];
    [[unroll]] for (uint s = 0; s < SLOTS; s++) {
        const uint pixel = min(first + s * LANES + lane, pictures * area - 1);
        picture[s] = pixel / area * uint(H * W);
        row[s] = (first_row + int(pixel / phase_wide % phase_tall) * stride + top - phase_row) / stride;
        column[s] = (first_column + int(pixel % phase_wide) * stride + left - phase_column) / stride;
    }
    const uint filter4 = uint(kernel_height * kernel_width) * O4; // from one i of w to the next
    for (int ky = phase_row; ky < kernel_height; ky += stride)
        for (int kx = phase_column; kx < kernel_width; kx += stride) {
            uint from[SLOTS];
            bool inside[SLOTS];
            [[unroll]] for (uint s = 0; s < SLOTS; s++) {
                const int r = row[s] - ky / stride, c = column[s] - kx / stride;
                inside[s] = r >= 0 && r < H && c >= 0 && c < W;
                from[s] = inside[s] ? (picture[s] + uint(r * W + c)) * I4 : 0;
            }
            uint weight = uint(ky * kernel_width + kx) * O4 + at4;
            for (uint i = 0; i < I4; i++, weight += 4 * filter4) {
                vec4 four[SLOTS], w4[4];
                [[unroll]] for (uint s = 0; s < SLOTS; s++) {
                    four[s] = FLOAT4(x, from[s] + i);
                    if (!inside[s]) four[s] = vec4(0.0);
                }
                [[unroll]] for (uint c = 0; c < 4; c++) w4[c] = WEIGHT4(w, weight + c * filter4);
                [[unroll]] for (uint p = 0; p < PIXELS; p++) {
                    const vec4 v = subgroupShuffle(four[p / LANES], p % LANES);
                    sum[p] += v.x * w4[0] + v.y * w4[1] + v.z * w4[2] + v.w * w4[3];
                }
            }
        }

    if (channel4 >= O4) return;
    const vec4 b = has_bias != 0 ? floats_at(bias[channel4]) : vec4(0.0);
    for (uint p = 0; p < PIXELS && first + p < pictures * area; p++) {
        const uint pixel = first + p;
        const uint r = uint(first_row) + pixel / phase_wide % phase_tall * uint(stride);
        const uint c = uint(first_column) + pixel % phase_wide * uint(stride);
        if (r >= tall || c >= wide) continue; // of a phase that has one less
        vec4 v = sum[0]; // sum[p], see conv2d_subgroup.comp
        [[unroll]] for (uint q = 1; q < PIXELS; q++) v = p == q ? sum[q] : v;
        y[((pixel / area * tall + r) * wide + c) * O4 + channel4] = four_words(v + b);
    }
}
