// SPDX-License-Identifier: MIT
// Sums and maxima over a workgroup of LOCAL invocations (a power of two), in an order that is always the same. Every
// invocation must come here, and gets the result.

shared float tree[LOCAL];

float group_sum(float value)
{
    const uint lane = gl_LocalInvocationID.x;
    barrier();
    tree[lane] = value;
    barrier();
    for (uint half_way = LOCAL / 2; half_way > 0; half_way >>= 1) {
        if (lane < half_way) tree[lane] += tree[lane + half_way];
        barrier();
    }
    return tree[0];
}

float group_max(float value)
{
    const uint lane = gl_LocalInvocationID.x;
    barrier();
    tree[lane] = value;
    barrier();
    for (uint half_way = LOCAL / 2; half_way > 0; half_way >>= 1) {
        if (lane < half_way) tree[lane] = max(tree[lane], tree[lane + half_way]);
        barrier();
    }
    return tree[0];
}
