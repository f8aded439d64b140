/* SPDX-License-Identifier: MIT
 *
 * Slots for processors with AVX-512 F, BW, DQ and VL: the vector kernels, compiled for this width.
 */
#include "core/cpu/vec_avx512.h"

#include "core/cpu/vec_table.inc.h"

void cpu_kernels_avx512(struct cpu_kernels *table)
{
    fill_slots(table);
}
