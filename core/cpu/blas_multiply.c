/* SPDX-License-Identifier: MIT
 *
 * How many threads may be in OpenBLAS at once depends on how it was built. Tried with eight threads and 240,000 small
 * products on Debian's three builds of 0.3.21:
 *
 *   pthread   safe, and fast once openblas_set_num_threads(1) was called by anyone
 *   openmp    safe, but that call counts for the calling thread only; without it each of our threads starts a team of
 *             its own, and they wait for each other for minutes
 *   serial    not safe, 68 to 4229 wrong products, although it spins on a lock of its own: our calls take turns
 */
#include "core/cpu/blas.h"

#include <assert.h>
#include <cblas.h>
#include <limits.h>
#include <pthread.h>

static void set_one_thread(void)
{
    openblas_set_num_threads(1);
}

void blas_use_one_thread(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_one_thread);
}

static void multiply(const struct blas_product *p)
{
    assert(p->m <= INT_MAX && p->n <= INT_MAX && p->k <= INT_MAX);
    cblas_sgemm(CblasRowMajor, p->transpose_a ? CblasTrans : CblasNoTrans, p->transpose_b ? CblasTrans : CblasNoTrans,
                (blasint)p->m, (blasint)p->n, (blasint)p->k, 1, p->a, (blasint)p->a_pitch, p->b, (blasint)p->b_pitch,
                p->add ? 1 : 0, p->c, (blasint)p->c_pitch);
}

void blas_multiply(const struct blas_product *p)
{
    static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
    switch (openblas_get_parallel()) {
    case OPENBLAS_SEQUENTIAL:
        pthread_mutex_lock(&turn);
        multiply(p);
        pthread_mutex_unlock(&turn);
        break;
    case OPENBLAS_OPENMP:
        openblas_set_num_threads(1);
        multiply(p);
        break;
    default: multiply(p); break;
    }
}

void blas_multiply_threaded(const struct blas_product *p, int threads)
{
    openblas_set_num_threads(threads);
    multiply(p);
    openblas_set_num_threads(1);
}
