#version 450
// SPDX-License-Identifier: MIT
// Convolution for devices where loads are dear and lanes cheap (Mesa's software device): a workgroup is one subgroup,
// and makes PIXELS pixels of 4 channels a lane. Each lane loads four filters' weights for four channels of x, and one
// pixel's four values in every LANES; the pixels go round by shuffles, so that
//
//     loads for 4 channels of x, a lane:   CHANNELS weights + PIXELS / LANES pixels, vectors all
//     products made of them, a lane:       4 x CHANNELS x PIXELS
//
// A linear layer is a convolution with a kernel of 1 x 1 over one row of pixels; and a product of matrices a b^T one
// over many such pictures, each with filters of its own. Channels of x are a multiple of 4.
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#extension GL_ARB_gpu_shader_int64 : require
#extension GL_EXT_control_flow_attributes : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;
layout(constant_id = 1) const uint PIXELS = 32; // a multiple of LANES, or less
layout(constant_id = 2) const uint DTYPE = 0;
layout(constant_id = 3) const uint ACT = 0;
layout(constant_id = 4) const uint FOURS = 0; // O is a multiple of 4

layout(std430, binding = 0) buffer result_buffer { float y[]; };
#include "weights4.glsl"
TEXELS4(x, 1);
TEXELS4(w, 2);
layout(std430, binding = 3) readonly buffer bias_buffer { float bias[]; };
layout(std430, binding = 4) readonly buffer residual_buffer { float residual[]; };
layout(std430, binding = 0) buffer result4_buffer { u64vec2 y4[]; }; // the same by fours
FLOATS4(bias4, 3);
FLOATS4(residual4, 4);

layout(push_constant) uniform arguments
{
    uint pixels, tall, wide, O; // of y (of one matrix), where O is the channels
    int H, W;
    uint I4; // fours of channels of x
    int kernel_height, kernel_width, stride, top, left;
    uint pixel_groups, matrices, w_matrix; // how often all is done, and filters of one by fours
    uint has_bias, has_residual, rows_each;
};

#include "epilogue.glsl"

const uint SLOTS = (PIXELS + LANES - 1) / LANES; // pixels that a lane loads
const uint CHANNELS = 4;

void main()
{
    const uint lane = gl_SubgroupInvocationID;
    const uint channel_groups = (O + LANES * CHANNELS - 1) / (LANES * CHANNELS);
    const uint matrix = group_index() / pixel_groups / channel_groups, end_pixel = (matrix + 1) * pixels;
    const uint first_pixel = matrix * pixels + group_index() % pixel_groups * PIXELS;
    const uint first_channel = (group_index() / pixel_groups % channel_groups * LANES + lane) * CHANNELS;
    if (matrix >= matrices) return; // the whole subgroup
    vec4 sum[PIXELS];
    [[unroll]] for (uint p = 0; p < PIXELS; p++) sum[p] = vec4(0.0);

    int row[SLOTS], column[SLOTS];
    uint picture[SLOTS];
    [[unroll]] for (uint s = 0; s < SLOTS; s++) {
        const uint pixel = min(first_pixel + s * LANES + lane, end_pixel - 1);
        picture[s] = pixel / (tall * wide) * uint(H * W);
        row[s] = int(pixel / wide % tall) * stride - top;
        column[s] = int(pixel % wide) * stride - left;
    }
    const uint filter4 = uint(kernel_height * kernel_width) * I4;
    uint weight[CHANNELS];
    [[unroll]] for (uint c = 0; c < CHANNELS; c++) 
        weight[c] = matrix * w_matrix + min(first_channel + c, O - 1) * filter4;

    for (int ky = 0; ky < kernel_height; ky++)
        for (int kx = 0; kx < kernel_width; kx++) {
            uint from[SLOTS];
            bool inside[SLOTS];
            [[unroll]] for (uint s = 0; s < SLOTS; s++) {
                const int r = row[s] + ky, c = column[s] + kx;
                inside[s] = r >= 0 && r < H && c >= 0 && c < W;
                from[s] = inside[s] ? (picture[s] + uint(r * W + c)) * I4 : 0;
            }
            for (uint i = 0; i < I4; i++) {
                vec4 four[SLOTS], w4[CHANNELS];
                [[unroll]] for (uint s = 0; s < SLOTS; s++) {
                    four[s] = FLOAT4(x, from[s] + i);
                    if (!inside[s]) four[s] = vec4(0.0);
                }
                [[unroll]] for (uint c = 0; c < CHANNELS; c++) w4[c] = WEIGHT4(w, weight[c] + i);
                [[unroll]] for (uint p = 0; p < PIXELS; p++) {
                    const vec4 v = subgroupShuffle(four[p / LANES], p % LANES);
                    sum[p] += vec4(dot(v, w4[0]), dot(v, w4[1]), dot(v, w4[2]), dot(v, w4[3]));
                }
            }
            [[unroll]] for (uint c = 0; c < CHANNELS; c++) weight[c] += I4;
        }

    if (first_channel >= O) return;
    const vec4 b = FOURS != 0 && has_bias != 0 ? floats_at(bias4[first_channel / 4]) : vec4(0.0);
    for (uint p = 0; p < PIXELS && first_pixel + p < end_pixel; p++) {
        // This is sum[p]; but with an index that is no constant, all sums would be stored lane by lane all the time.
        vec4 v = sum[0];
        [[unroll]] for (uint q = 1; q < PIXELS; q++) v = p == q ? sum[q] : v;
        const uint row = first_pixel + p;
        if (FOURS != 0) {
            v = activate4(ACT, v + b);
            if (has_residual != 0) v += floats_at(residual4[(row / rows_each * O + first_channel) / 4]);
            y4[(row * O + first_channel) / 4] = four_words(v);
        } else {
            [[unroll]] for (uint c = 0; c < CHANNELS; c++)
                if (first_channel + c < O)
                    y[row * O + first_channel + c] = finish(v[c], row, first_channel + c, O);
        }
    }
}
