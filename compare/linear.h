/* SPDX-License-Identifier: MIT
 *
 * Linear algebra of the measures, in double: OpenBLAS's products and LAPACK's decompositions, as limn calls them.
 *
 * Everything runs on the caller's thread, in an order that depends on the shapes only: the same arrays give the same
 * figures, bit for bit. Matrices are row-major.
 */
#ifndef COMPARE_LINEAR_H
#define COMPARE_LINEAR_H

#include "core/base/status.h"

#include <stdint.h>

/* c [m, n] = a [m, k] times b [n, k] transposed; rows of c are `pitch` apart. */
void linear_products(const double *a, const double *b, int64_t m, int64_t n, int64_t k, double *c, int64_t pitch);

/* c [k, k] = a [m, k] transposed times itself, both triangles. */
void linear_gram(const double *a, int64_t m, int64_t k, double *c);

/* Of the symmetric a [n, n], whose contents are replaced by the eigenvectors, one a row; values [n] rise. */
MUST_CHECK enum status linear_eigen(double *a, int64_t n, double *values, struct error *err);

/* The sum of the singular values (nuclear norm) of a [m, n], whose contents are lost. */
MUST_CHECK enum status linear_nuclear_norm(double *a, int64_t m, int64_t n, double *norm, struct error *err);

#endif
