/* SPDX-License-Identifier: MIT
 *
 * Slots for processors with AVX-512 F, BW, DQ and VL.
 */
#include "core/cpu/kernels.h"

void cpu_kernels_avx512(struct cpu_kernels *table)
{
    (void)table;
}
