/* SPDX-License-Identifier: MIT
 *
 * OpenBLAS carries LAPACK under its Fortran names (no LAPACKE in Debian's build), column-major. A row-major matrix is
 * its transpose there, which has the same singular values, and for a symmetric one it is the same matrix.
 */
#include "compare/linear.h"

#include "core/base/memory.h"

#include <cblas.h>
#include <limits.h>
#include <pthread.h>

/* Eigenvalues of a symmetric matrix by divide and conquer (Cuppen 1981). */
void dsyevd_(const char *job, const char *triangle, const blasint *n, double *a, const blasint *pitch, double *values,
             double *work, const blasint *work_size, blasint *integers, const blasint *integer_size, blasint *info);
/* Singular values, by the same idea (Gu & Eisenstat 1995). */
void dgesdd_(const char *job, const blasint *m, const blasint *n, double *a, const blasint *pitch, double *values,
             double *u, const blasint *u_pitch, double *vt, const blasint *vt_pitch, double *work,
             const blasint *work_size, blasint *integers, blasint *info);

/* Threads of OpenBLAS would share a sum out by their number, and its serial build lets one thread in at a time. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static void enter(void)
{
    pthread_mutex_lock(&turn);
    if (openblas_get_num_threads() != 1) openblas_set_num_threads(1);
}

static void leave(void)
{
    pthread_mutex_unlock(&turn);
}

void linear_products(const double *a, const double *b, int64_t m, int64_t n, int64_t k, double *c, int64_t pitch)
{
    enter();
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)m, (blasint)n, (blasint)k, 1, a, (blasint)k, b,
                (blasint)k, 0, c, (blasint)pitch);
    leave();
}

void linear_gram(const double *a, int64_t m, int64_t k, double *c)
{
    enter();
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, (blasint)k, (blasint)m, 1, a, (blasint)k, 0, c, (blasint)k);
    leave();
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < i; j++) c[i * k + j] = c[j * k + i];
}

static enum status check_size(int64_t m, int64_t n, struct error *err)
{
    enum { MOST = 32768 }; /* LAPACK counts its work space, about m * n, in 32 bits */
    if (m <= MOST && n <= MOST) return STATUS_OK;
    return fail(err, STATUS_LIMIT, "a matrix of %lld x %lld is too large to decompose; at most %d each way are allowed",
                (long long)m, (long long)n, MOST);
}

enum status linear_eigen(double *a, int64_t n, double *values, struct error *err)
{
    enum status status = check_size(n, n, err);
    if (status != STATUS_OK) return status;
    const blasint size = (blasint)n, ask = -1;
    blasint info = 0, integer_size = 0;
    double wanted = 0;
    dsyevd_("V", "U", &size, a, &size, values, &wanted, &ask, &integer_size, &ask, &info);
    const size_t bytes = (size_t)wanted * sizeof(double), integer_bytes = (size_t)integer_size * sizeof(blasint);
    double *work = memory_alloc_raw(bytes);
    blasint *integers = memory_alloc_raw(integer_bytes);
    const blasint work_size = (blasint)wanted;
    if (!work || !integers) {
        status = fail_no_memory(err, "eigenvalues", bytes + integer_bytes);
    } else {
        enter();
        dsyevd_("V", "U", &size, a, &size, values, work, &work_size, integers, &integer_size, &info);
        leave();
        if (info != 0) status = fail(err, STATUS_ARGUMENT, "the eigenvalues of a covariance could not be found");
    }
    memory_free(work);
    memory_free(integers);
    return status;
}

enum status linear_nuclear_norm(double *a, int64_t m, int64_t n, double *norm, struct error *err)
{
    enum status status = check_size(m, n, err);
    if (status != STATUS_OK) return status;
    const blasint rows = (blasint)n, columns = (blasint)m, one = 1, ask = -1; /* of the transpose */
    const size_t least = (size_t)(m < n ? m : n);
    blasint info = 0;
    double wanted = 0;
    dgesdd_("N", &rows, &columns, a, &rows, NULL, NULL, &one, NULL, &one, &wanted, &ask, NULL, &info);
    const size_t bytes = ((size_t)wanted + least) * sizeof(double);
    double *values = memory_alloc_raw(bytes);
    blasint *integers = memory_alloc_raw(8 * least * sizeof *integers);
    const blasint work_size = (blasint)wanted;
    if (!values || !integers) {
        status = fail_no_memory(err, "singular values", bytes);
    } else {
        enter();
        dgesdd_("N", &rows, &columns, a, &rows, values, NULL, &one, NULL, &one, values + least, &work_size, integers,
                &info);
        leave();
        if (info != 0) status = fail(err, STATUS_ARGUMENT, "the singular values of two covariances could not be found");
        *norm = 0;
        for (size_t i = least; i-- > 0;) *norm += values[i]; /* the small ones first */
    }
    memory_free(values);
    memory_free(integers);
    return status;
}
