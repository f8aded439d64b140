/* SPDX-License-Identifier: MIT
 *
 * The slots of gradients that OpenBLAS computes; cpu_kernels_blas (core/cpu/blas_table.c) asks for them.
 */
#ifndef CPU_BLAS_GRADIENTS_H
#define CPU_BLAS_GRADIENTS_H

#include "core/cpu/kernels.h"

void blas_gradients(struct cpu_kernels *table);

#endif
