#version 450
// SPDX-License-Identifier: MIT
// Attention in one pass over the keys for GPUs: a workgroup is QUERIES queries of one head, and takes a block of KEYS
// keys at a time through shared memory. An invocation makes the scores of 4 queries and KEYS_EACH keys; then it adds
// the values, weighted, to the outputs of the same queries, in every ACROSS of four. The running maximum, sum and
// outputs are rescaled when the maximum grows (Milakov and Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022,
// arXiv 2205.14135). It needs no subgroup.
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common.glsl"
#include "values.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LOCAL = 64;
layout(constant_id = 1) const uint HEAD4 = 10;    // width of a head by fours
layout(constant_id = 2) const uint KEYS_EACH = 4; // of a block, that one invocation scores
layout(constant_id = 3) const uint VALUES = 32;   // rows of v in shared memory at a time; divides KEYS
layout(constant_id = 4) const uint CAUSAL = 0;

layout(std430, binding = 0) writeonly buffer result_buffer { VALUE4 y[]; };
layout(std430, binding = 1) readonly buffer q_buffer { VALUE4 q[]; };
layout(std430, binding = 2) readonly buffer k_buffer { VALUE4 k[]; };
layout(std430, binding = 3) readonly buffer v_buffer { VALUE4 v[]; };

layout(push_constant) uniform arguments
{
    uint tasks, T, S, heads, query_groups;
    float scale;
};

const uint DOWN = 8, QUERIES = 4 * DOWN, ACROSS = LOCAL / DOWN, KEYS = KEYS_EACH * ACROSS;
const uint CHUNK4 = 8, LINE4 = CHUNK4 + 1;         // of a head's width at a time; one more, for the memory's banks
const uint EACH = (HEAD4 + ACROSS - 1) / ACROSS;   // fours of a query's output that an invocation sums up
const uint SCORED4 = (QUERIES + KEYS) * LINE4, VALUES4 = VALUES * HEAD4;
const float LEAST = -3.4e38;

shared vec4 rows[SCORED4 > VALUES4 ? SCORED4 : VALUES4]; // of q, behind them of k; later of v
shared vec4 shares[KEYS * DOWN];                         // as [key, down], for queries down + 8 i
shared vec4 partial[ACROSS * DOWN];

void main()
{
    const uint lane = gl_LocalInvocationID.x, right = lane % ACROSS, down = lane / ACROSS, task = group_index();
    if (task >= tasks) return; // the whole workgroup
    const uint first = task % query_groups * QUERIES, head = task / query_groups % heads;
    const uint b = task / query_groups / heads, D4 = heads * HEAD4;
    const uvec4 query = first + down + uvec4(0, 8, 16, 24), seen = CAUSAL != 0 ? min(query + 1, uvec4(S)) : uvec4(S);
    const uint end = CAUSAL != 0 ? min(first + QUERIES, S) : S;
    vec4 result[4 * EACH], most = vec4(LEAST), total = vec4(0.0); // total: of this invocation's keys
    [[unroll]] for (uint i = 0; i < 4 * EACH; i++) result[i] = vec4(0.0);

    for (uint block = 0; block < end; block += KEYS) {
        vec4 score[KEYS_EACH];
        [[unroll]] for (uint c = 0; c < KEYS_EACH; c++) score[c] = vec4(0.0);
        for (uint chunk = 0; chunk < HEAD4; chunk += CHUNK4) {
            barrier();
            for (uint at = lane; at < (QUERIES + KEYS) * CHUNK4; at += LOCAL) {
                const uint row = at / CHUNK4, d = chunk + at % CHUNK4;
                vec4 four = vec4(0.0);
                if (d < HEAD4 && row < QUERIES)
                    four = vec4(q[(b * T + min(first + row, T - 1)) * D4 + head * HEAD4 + d]);
                else if (d < HEAD4)
                    four = vec4(k[(b * S + min(block + row - QUERIES, S - 1)) * D4 + head * HEAD4 + d]);
                rows[row * LINE4 + at % CHUNK4] = four;
            }
            barrier();
            for (uint d = 0; d < CHUNK4; d++) {
                vec4 q4[4];
                [[unroll]] for (uint i = 0; i < 4; i++) q4[i] = rows[(i * DOWN + down) * LINE4 + d];
                [[unroll]] for (uint c = 0; c < KEYS_EACH; c++) {
                    const vec4 k4 = rows[(QUERIES + c * ACROSS + right) * LINE4 + d];
                    score[c] += vec4(dot(q4[0], k4), dot(q4[1], k4), dot(q4[2], k4), dot(q4[3], k4));
                }
            }
        }

        vec4 now = most;
        [[unroll]] for (uint c = 0; c < KEYS_EACH; c++) {
            score[c] = mix(vec4(LEAST), score[c] * scale, lessThan(uvec4(block + c * ACROSS + right), seen));
            now = max(now, score[c]);
        }
        partial[right * DOWN + down] = now;
        barrier();
        for (uint r = 0; r < ACROSS; r++) now = max(now, partial[r * DOWN + down]);
        const vec4 shrink = exp(most - now);
        most = now;
        total *= shrink;
        [[unroll]] for (uint c = 0; c < KEYS_EACH; c++) {
            const uint key = c * ACROSS + right;
            const vec4 share = mix(vec4(0.0), exp(score[c] - now), lessThan(uvec4(block + key), seen));
            total += share;
            shares[key * DOWN + down] = share;
        }
        [[unroll]] for (uint i = 0; i < 4 * EACH; i++) result[i] *= shrink[i % 4];

        for (uint start = 0; start < KEYS; start += VALUES) {
            barrier();
            for (uint at = lane; at < VALUES4; at += LOCAL)
                rows[at] = vec4(v[(b * S + min(block + start + at / HEAD4, S - 1)) * D4 + head * HEAD4 + at % HEAD4]);
            barrier();
            for (uint key = 0; key < VALUES; key++) {
                const vec4 share = shares[(start + key) * DOWN + down];
                [[unroll]] for (uint e = 0; e < EACH; e++) {
                    const vec4 v4 = rows[key * HEAD4 + min(e * ACROSS + right, HEAD4 - 1)];
                    [[unroll]] for (uint i = 0; i < 4; i++) result[4 * e + i] += share[i] * v4;
                }
            }
        }
    }

    barrier();
    partial[right * DOWN + down] = total;
    barrier();
    total = vec4(0.0);
    for (uint r = 0; r < ACROSS; r++) total += partial[r * DOWN + down];
    [[unroll]] for (uint i = 0; i < 4; i++)
        [[unroll]] for (uint e = 0; e < EACH; e++) {
            const uint d = e * ACROSS + right;
            if (query[i] < T && d < HEAD4) y[(b * T + query[i]) * D4 + head * HEAD4 + d] = VALUE4(result[4 * e + i] / total[i]);
        }
}
