/* SPDX-License-Identifier: MIT
 *
 * Slots for processors with AVX2, FMA and F16C.
 */
#include "core/cpu/kernels.h"

void cpu_kernels_avx2(struct cpu_kernels *table)
{
    (void)table;
}
