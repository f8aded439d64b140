/* SPDX-License-Identifier: MIT
 *
 * Which kernels run on this machine: the reference first, then what is faster and what the processor can do. A binary
 * built on one x86-64 machine starts on any other, because this file, which asks, is compiled for the plainest one.
 */
#include "core/cpu/kernels.h"

void cpu_kernels_best(struct cpu_kernels *table, bool reference_only)
{
    cpu_kernels_reference(table);
    if (reference_only) return;
    cpu_kernels_blas(table);
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    if (!avx2) return;
    cpu_kernels_avx2(table);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        cpu_kernels_avx512(table);
#endif
}
