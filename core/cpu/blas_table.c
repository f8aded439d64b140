/* SPDX-License-Identifier: MIT
 *
 * Slots that OpenBLAS computes, or that are blocked around its matrix product.
 */
#include "core/cpu/kernels.h"

void cpu_kernels_blas(struct cpu_kernels *table)
{
    (void)table;
}
