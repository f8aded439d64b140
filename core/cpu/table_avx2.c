/* SPDX-License-Identifier: MIT
 *
 * Slots for processors with AVX2, FMA and F16C: the vector kernels, compiled for this width.
 */
#include "core/cpu/vec_avx2.h"

#include "core/cpu/vec_table.inc.h"

void cpu_kernels_avx2(struct cpu_kernels *table)
{
    fill_slots(table);
}
