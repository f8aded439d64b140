/* SPDX-License-Identifier: MIT
 *
 * The CPU backend's tables of kernels that this machine can run, each built up as cpu_kernels_best does it: the
 * reference, OpenBLAS over it, AVX2 over both, AVX-512 over all; and with products in bf16.
 *
 *     cmocka_run_group_tests(tests, tables_open, tables_close);      the state is a struct tables
 */
#ifndef SUPPORT_TABLES_H
#define SUPPORT_TABLES_H

#include "core/cpu/kernels.h"
#include "core/tensor/plan.h"

enum { TABLES_MOST = 6 };

struct tables {
    struct cpu_kernels list[TABLES_MOST];
    const char *names[TABLES_MOST];
    int count;
    struct pool *pool; /* of two threads */
};

int tables_open(void **state);
int tables_close(void **state);

/* One node; result and scratch are full of NaN beforehand. Returns the result, freed with test_free. */
void *table_run(const struct cpu_kernels *table, struct pool *pool, const struct node *node, const void *const in[]);

#endif
