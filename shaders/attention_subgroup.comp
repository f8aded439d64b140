#version 450
// SPDX-License-Identifier: MIT
// Attention in one pass over the keys for devices where loads are dear and lanes cheap (see conv2d_subgroup.comp). A
// workgroup is one subgroup and QUERIES queries of one head. For each block of four keys a lane it makes the scores,
// which are a product of matrices with the inner dimension side by side; and adds the values, weighted, to the outputs,
// four of them a lane: an outer product. The running maximum, sum and outputs are rescaled when the maximum grows
// (Milakov and Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022, arXiv 2205.14135).
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#extension GL_ARB_gpu_shader_int64 : require
#extension GL_EXT_control_flow_attributes : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;
layout(constant_id = 1) const uint QUERIES = 16; // a multiple of LANES, or less
layout(constant_id = 2) const uint HEAD4 = 10;   // width of a head by fours
layout(constant_id = 3) const uint CAUSAL = 0;
const uint DTYPE = 0;

layout(std430, binding = 0) writeonly buffer result_buffer { u64vec2 y[]; };
#include "weights4.glsl"
TEXELS4(q, 1);
TEXELS4(k, 2);
TEXELS4(v, 3);

layout(push_constant) uniform arguments
{
    uint tasks, T, S, heads, query_groups;
    float scale;
};

const uint SLOTS = (QUERIES + LANES - 1) / LANES; // queries that a lane loads
const uint EACH = (HEAD4 + LANES - 1) / LANES;    // fours of outputs that a lane sums up
const float LEAST = -3.4e38;

void main()
{
    const uint lane = gl_SubgroupInvocationID, task = group_index();
    if (task >= tasks) return; // the whole subgroup
    const uint first = task % query_groups * QUERIES, head = task / query_groups % heads;
    const uint b = task / query_groups / heads, D4 = heads * HEAD4;
    const uint keys = b * S * D4 + head * HEAD4;
    uint query[SLOTS];
    [[unroll]] for (uint s = 0; s < SLOTS; s++)
        query[s] = (b * T + min(first + s * LANES + lane, T - 1)) * D4 + head * HEAD4;

    vec4 result[QUERIES * EACH];
    float most[QUERIES], total[QUERIES]; // of this lane's keys
    [[unroll]] for (uint i = 0; i < QUERIES * EACH; i++) result[i] = vec4(0.0);
    [[unroll]] for (uint i = 0; i < QUERIES; i++) {
        most[i] = LEAST;
        total[i] = 0.0;
    }
    const uint end = CAUSAL != 0 ? min(first + QUERIES, S) : S;
    for (uint block = 0; block < end; block += 4 * LANES) {
        const uint key = block + 4 * lane;
        uint from[4];
        [[unroll]] for (uint c = 0; c < 4; c++) from[c] = keys + min(key + c, S - 1) * D4;
        vec4 score[QUERIES];
        [[unroll]] for (uint i = 0; i < QUERIES; i++) score[i] = vec4(0.0);
        for (uint d = 0; d < HEAD4; d++) {
            vec4 q4[SLOTS], k4[4];
            [[unroll]] for (uint s = 0; s < SLOTS; s++) q4[s] = FLOAT4(q, query[s] + d);
            [[unroll]] for (uint c = 0; c < 4; c++) k4[c] = FLOAT4(k, from[c] + d);
            [[unroll]] for (uint i = 0; i < QUERIES; i++) {
                const vec4 one = subgroupShuffle(q4[i / LANES], i % LANES);
                score[i] += vec4(dot(one, k4[0]), dot(one, k4[1]), dot(one, k4[2]), dot(one, k4[3]));
            }
        }
        [[unroll]] for (uint i = 0; i < QUERIES; i++) {
            const uint seen = CAUSAL != 0 ? min(first + i + 1, S) : S;
            const bvec4 see = lessThan(uvec4(key, key + 1, key + 2, key + 3), uvec4(seen));
            const vec4 scaled = mix(vec4(LEAST), score[i] * scale, see);
            const vec2 pair = max(scaled.xy, scaled.zw);
            const float now = max(most[i], subgroupMax(max(pair.x, pair.y))), shrink = exp(most[i] - now);
            score[i] = mix(vec4(0.0), exp(scaled - now), see);
            total[i] = total[i] * shrink + (score[i].x + score[i].y) + (score[i].z + score[i].w);
            most[i] = now;
            [[unroll]] for (uint e = 0; e < EACH; e++) result[i * EACH + e] *= shrink;
        }
        for (uint l = 0; l < LANES; l++) {
            vec4 v4[4 * EACH];
            [[unroll]] for (uint c = 0; c < 4; c++)
                [[unroll]] for (uint e = 0; e < EACH; e++)
                    v4[c * EACH + e] = FLOAT4(
                        v, keys + min(block + 4 * l + c, S - 1) * D4 + min(e * LANES + lane, HEAD4 - 1));
            [[unroll]] for (uint i = 0; i < QUERIES; i++) {
                const vec4 share = subgroupShuffle(score[i], l);
                [[unroll]] for (uint e = 0; e < EACH; e++)
                    result[i * EACH + e] += share.x * v4[e] + share.y * v4[EACH + e] + share.z * v4[2 * EACH + e] +
                                            share.w * v4[3 * EACH + e];
            }
        }
    }

    [[unroll]] for (uint i = 0; i < QUERIES; i++) {
        const float inverse = 1.0 / subgroupAdd(total[i]);
        if (first + i >= T) continue;
        const uint to = (b * T + first + i) * D4 + head * HEAD4;
        [[unroll]] for (uint e = 0; e < EACH; e++) {
            const uint d = e * LANES + lane;
            if (d >= HEAD4) continue;
            y[to + d] = four_words(result[i * EACH + e] * inverse);
        }
    }
}
