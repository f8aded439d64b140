/* SPDX-License-Identifier: MIT
 *
 * Which kernels run on this machine: the reference first, then what is faster and what the processor can do. A binary
 * built on one x86-64 machine starts on any other, because this file, which asks, is compiled for the plainest one.
 */
#include "core/cpu/reference.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* GCC's and clang's __builtin_cpu_supports also ask whether the system saves the wide registers. */
static void override_for_x86(struct cpu_kernels *table)
{
    unsigned a, b, c = 0, d;
    __builtin_cpu_init();
    const bool f16c = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C); /* clang 14 does not know its name */
    if (!f16c || !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return;
    cpu_kernels_avx2(table);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        cpu_kernels_avx512(table);
}
#else
static void override_for_x86(struct cpu_kernels *table)
{
    (void)table;
}
#endif

static void fill_with_references(struct cpu_kernels *table)
{
    *table = (struct cpu_kernels){0};
    reference_products(table);
    reference_convolutions(table);
    reference_norms(table);
    reference_elements(table);
    reference_moves(table);
    reference_gradients(table);
}

void cpu_kernels_best(struct cpu_kernels *table, bool reference_only)
{
    fill_with_references(table);
    if (reference_only) return;
    cpu_kernels_blas(table);
    override_for_x86(table);
}
