/* SPDX-License-Identifier: MIT
 *
 * Which kernels run on this machine: the reference first, then what is faster and what the processor can do. A binary
 * built on one x86-64 machine starts on any other, because this file, which asks, is compiled for the plainest one.
 */
#define _GNU_SOURCE /* syscall */
#include "core/cpu/reference.h"

/* Lets one family put its kernels into the table, and notes what it took over. */
static void fill(struct cpu_kernels *table, void (*family)(struct cpu_kernels *table), const char *name)
{
    const struct cpu_kernels before = *table;
    family(table);
    for (int i = 0; i < OP_COUNT; i++)
        if (table->slot[i].run != before.slot[i].run) table->family[i] = name;
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* GCC's and clang's __builtin_cpu_supports also ask whether the system saves the wide registers. */
static void override_for_x86(struct cpu_kernels *table)
{
    unsigned a, b, c = 0, d;
    __builtin_cpu_init();
    const bool f16c = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C); /* clang 14 does not know its name */
    if (!f16c || !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return;
    fill(table, cpu_kernels_avx2, "avx2");
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        fill(table, cpu_kernels_avx512, "avx512");
}

static bool has_avx512bf16(void)
{
    unsigned a = 0, b, c, d;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 5);
}

/* Linux lends the tiles' 8 KiB of registers to processes that ask for them (its Documentation/arch/x86/xstate.rst). */
static bool may_use_tiles(void)
{
    enum { REQUEST_STATE = 0x1023, TILE_DATA = 18 };
    unsigned a, b, c, d = 0;
    const unsigned amx_bf16 = 1u << 22, amx_tile = 1u << 24;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & (amx_bf16 | amx_tile)) != (amx_bf16 | amx_tile)) return false;
#if defined(__linux__)
    return syscall(SYS_arch_prctl, REQUEST_STATE, TILE_DATA) == 0;
#else
    return false;
#endif
}

bool cpu_kernels_bf16(struct cpu_kernels *table)
{
    __builtin_cpu_init();
    if (!has_avx512bf16()) return false;
    if (may_use_tiles())
        fill(table, cpu_kernels_amx, "amx");
    else
        fill(table, cpu_kernels_avx512bf16, "avx512bf16");
    return true;
}
#else
static void override_for_x86(struct cpu_kernels *table)
{
    (void)table;
}

bool cpu_kernels_bf16(struct cpu_kernels *table)
{
    (void)table;
    return false;
}
#endif

static void fill_with_references(struct cpu_kernels *table)
{
    reference_products(table);
    reference_convolutions(table);
    reference_norms(table);
    reference_elements(table);
    reference_moves(table);
    reference_gradients(table);
}

void cpu_kernels_best(struct cpu_kernels *table, bool reference_only)
{
    *table = (struct cpu_kernels){0};
    fill(table, fill_with_references, "reference");
    if (reference_only) return;
    fill(table, cpu_kernels_blas, "blas");
    override_for_x86(table);
}
