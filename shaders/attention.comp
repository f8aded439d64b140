#version 450
// SPDX-License-Identifier: MIT
// Attention in one pass: a workgroup is one query of one head. Each invocation scores one key of a block against the
// query; the running maximum, sum and output are rescaled when the maximum grows (Milakov and Gimelshein 2018,
// arXiv 1805.02867; Dao et al. 2022, arXiv 2205.14135).
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LOCAL = 128;
layout(constant_id = 1) const uint HEAD = 64; // width of a head
layout(constant_id = 2) const uint CAUSAL = 0;

layout(std430, binding = 0) writeonly buffer result_buffer { float y[]; };
layout(std430, binding = 1) readonly buffer q_buffer { float q[]; };
layout(std430, binding = 2) readonly buffer k_buffer { float k[]; };
layout(std430, binding = 3) readonly buffer v_buffer { float v[]; };

layout(push_constant) uniform arguments
{
    uint tasks, T, S, heads;
    float scale;
};

const uint EACH = (HEAD + LOCAL - 1) / LOCAL; // values of the output that an invocation sums up
shared float query[HEAD];
shared float weight[LOCAL];

#include "tree.glsl"

void main()
{
    const uint task = group_index(), lane = gl_LocalInvocationID.x;
    if (task >= tasks) return;
    const uint head = task % heads, t = task / heads % T, b = task / (heads * T), D = heads * HEAD;
    const uint row = (b * T + t) * D + head * HEAD, keys = b * S * D + head * HEAD;
    const uint seen = CAUSAL != 0 ? min(t + 1, S) : S;
    for (uint d = lane; d < HEAD; d += LOCAL) query[d] = q[row + d] * scale;
    float values[EACH];
    for (uint e = 0; e < EACH; e++) values[e] = 0.0;
    float most = -3.4e38, total = 0.0;
    for (uint first = 0; first < seen; first += LOCAL) {
        const uint s = first + lane;
        float score = -3.4e38;
        barrier();
        if (s < seen) {
            score = 0.0;
            for (uint d = 0; d < HEAD; d++) score += query[d] * k[keys + s * D + d];
        }
        const float now = max(most, group_max(score)), shrink = exp(most - now);
        const float share = s < seen ? exp(score - now) : 0.0;
        most = now;
        total = total * shrink + share;
        weight[lane] = share;
        barrier();
        const uint length = min(LOCAL, seen - first);
        for (uint e = 0; e < EACH; e++) {
            const uint d = e * LOCAL + lane;
            values[e] *= shrink;
            if (d >= HEAD) continue;
            for (uint i = 0; i < length; i++) values[e] += weight[i] * v[keys + (first + i) * D + d];
        }
    }
    total = group_sum(total);
    for (uint e = 0; e < EACH; e++) {
        const uint d = e * LOCAL + lane;
        if (d < HEAD) y[row + d] = values[e] / total;
    }
}
