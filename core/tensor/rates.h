/* SPDX-License-Identifier: MIT
 *
 * What a backend can do at best, to hold against what it does with a network: how fast it multiplies large matrices,
 * and how fast its memory is copied.
 *
 *     struct rates rates = {0};
 *     rates_measure(&rates, backend, threads, &err);      and once more later: the better figures stay
 */
#ifndef TENSOR_RATES_H
#define TENSOR_RATES_H

#include "core/base/dtype.h"
#include "core/tensor/backend.h"

struct rates {
    /* Operations a second, a multiplication and an addition counted as two, by the second matrix's type, for
     * those that store weights. By the best of the backend's kernels; on the CPU, F32 is OpenBLAS's own. */
    double product[DTYPE_COUNT];
    double copy; /* bytes a second, each counted as it is read and as it is written */
};

/* threads: the CPU's, for OpenBLAS; 0: all processors. */
MUST_CHECK enum status rates_measure(struct rates *rates, struct backend *backend, int threads, struct error *err);

#endif
