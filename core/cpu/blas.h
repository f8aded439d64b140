/* SPDX-License-Identifier: MIT
 *
 * OpenBLAS as this backend calls it: one single-threaded product per task of our pool.
 *
 * Who threads: our pool, not OpenBLAS. On two cores (Zen 4, Debian's OpenBLAS 0.3.21) the halves of a 512 x 320 x 2880
 * product ran at 64 + 65 GFLOP/s in two threads of ours and at 105 in OpenBLAS's own two: it wakes and joins its
 * threads for every product, and a core waits while patches are gathered.
 */
#ifndef CPU_BLAS_H
#define CPU_BLAS_H

#include <stdbool.h>
#include <stdint.h>

/* Once before the first product: OpenBLAS shall not start threads. May be called by many threads at once. */
void blas_use_one_thread(void);

/* c [m, n] = a [m, k] b [k, n], or += if `add`; row-major, transposed operands lie as [k, m] and [n, k]. Rows are
 * `*_pitch` floats apart. May be called by many threads at once. */
struct blas_product {
    int64_t m, n, k;
    const float *a, *b;
    float *c;
    int64_t a_pitch, b_pitch, c_pitch;
    bool transpose_a, transpose_b, add;
};
void blas_multiply(const struct blas_product *p);

/* The same by OpenBLAS's own threads. For measuring: nobody else may be in OpenBLAS meanwhile. */
void blas_multiply_threaded(const struct blas_product *p, int threads);

#endif
