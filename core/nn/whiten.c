/* SPDX-License-Identifier: MIT
 *
 * With covariance C = L L' of the samples, a row r becomes the w that solves L' w = r: then w' C w = r' r.
 */
#include "core/nn/whiten.h"

#include "core/base/memory.h"

#include <math.h>

static const double floor_share = 0.02, rounding = 1e-12;

/* mean [width] and the lower half of covariance [width, width]. */
static void measure(double *mean, double *covariance, int64_t width, const float *samples, int64_t count)
{
    const int64_t used = count < WHITEN_SAMPLES ? count : WHITEN_SAMPLES;
    for (int64_t i = 0; i < used; i++)
        for (int64_t c = 0; c < width; c++) mean[c] += (double)samples[i * count / used * width + c] / (double)used;
    for (int64_t i = 0; i < used; i++) {
        const float *x = samples + i * count / used * width;
        for (int64_t r = 0; r < width; r++) {
            const double apart = ((double)x[r] - mean[r]) / (double)used;
            for (int64_t c = 0; c <= r; c++) covariance[r * width + c] += apart * ((double)x[c] - mean[c]);
        }
    }
}

/* Cholesky's: the lower half of a becomes L. It is positive definite, for its diagonal was raised. */
static void factorise(double *a, int64_t n)
{
    for (int64_t r = 0; r < n; r++) {
        for (int64_t c = 0; c <= r; c++) {
            double sum = a[r * n + c];
            for (int64_t k = 0; k < c; k++) sum -= a[r * n + k] * a[c * n + k];
            a[r * n + c] = c < r ? sum / a[c * n + c] : sqrt(sum);
        }
    }
}

/* x becomes the solution of L x = x. */
static void solve(const double *l, int64_t n, double *x)
{
    for (int64_t r = 0; r < n; r++) {
        for (int64_t c = 0; c < r; c++) x[r] -= l[r * n + c] * x[c];
        x[r] /= l[r * n + r];
    }
}

/* x becomes the solution of L' x = x. */
static void solve_transposed(const double *l, int64_t n, double *x)
{
    for (int64_t r = n - 1; r >= 0; r--) {
        x[r] /= l[r * n + r];
        for (int64_t c = 0; c < r; c++) x[c] -= l[r * n + c] * x[r];
    }
}

static double inner(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* mean: already solved for, so that a row at right angles to it has products with a mean of 0. */
static void turn(float *row, double *x, int64_t width, const double *l, const double *mean)
{
    for (int64_t c = 0; c < width; c++) x[c] = (double)row[c];
    const double square = inner(mean, mean, width), along = square > 0 ? inner(x, mean, width) / square : 0;
    for (int64_t c = 0; c < width; c++) x[c] -= along * mean[c];
    const double length = sqrt(inner(x, x, width));
    if (length == 0) return;
    for (int64_t c = 0; c < width; c++) x[c] /= length;
    solve_transposed(l, width, x);
    for (int64_t c = 0; c < width; c++) row[c] = (float)x[c];
}

enum status whiten(float *weight, int64_t rows, int64_t width, const float *samples, int64_t count, struct error *err)
{
    const size_t bytes = (size_t)(width * (width + 2)) * sizeof(double);
    if (count < 2) return STATUS_OK;
    double *covariance = memory_alloc(bytes), trace = 0;
    if (!covariance) return fail_no_memory(err, "a covariance", bytes);
    double *mean = covariance + width * width, *x = mean + width;
    measure(mean, covariance, width, samples, count);
    for (int64_t c = 0; c < width; c++) trace += covariance[c * width + c];
    for (int64_t c = 0; c < width; c++) covariance[c * width + c] += floor_share * trace / (double)width;
    if (trace > rounding * inner(mean, mean, width)) {
        factorise(covariance, width);
        solve(covariance, width, mean);
        for (int64_t r = 0; r < rows; r++) turn(weight + r * width, x, width, covariance, mean);
    }
    memory_free(covariance);
    return STATUS_OK;
}
