/* SPDX-License-Identifier: MIT
 *
 * What reference kernels share; for the files reference_*.c. Each kernel is its formula as loops, cut into tasks that
 * nothing shares: a row, a picture's row, a group. Products accumulate in f32, statistics and sums in double.
 */
#ifndef CPU_REFERENCE_H
#define CPU_REFERENCE_H

#include "core/cpu/kernels.h"

/* One element through an activation; alpha is the slope of leaky ReLU. */
float reference_unary(enum unary kind, float x, float alpha);

/* Where the operand's row for result row `row` begins: repeated dimensions do not advance. */
const float *reference_broadcast(struct shape result, struct shape operand, const float *values, int64_t row);

/* n values of a weight from element `first` on as f32: in place if they are stored so, else converted into `row`. */
const float *reference_row(const struct node *weight, const void *values, int64_t first, int64_t n, float *row);

/* Where the residual of output row `row` (of `rows`) begins: its own row, or its picture's; NULL if there is none. */
const float *reference_residual(const struct cpu_call *call, int64_t row);

void reference_reduce(const struct cpu_call *call);

/* The slots of each file. */
void reference_products(struct cpu_kernels *table);
void reference_convolutions(struct cpu_kernels *table);
void reference_norms(struct cpu_kernels *table);
void reference_elements(struct cpu_kernels *table);
void reference_moves(struct cpu_kernels *table);
void reference_gradients(struct cpu_kernels *table);

#endif
