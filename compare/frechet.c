/* SPDX-License-Identifier: MIT
 *
 * tr((S1 S2)^(1/2)) without a matrix square root of S1 S2, which is not symmetric and, near singular, is where other
 * programs need an epsilon. For any factors S1 = F1' F1 and S2 = F2' F2 the eigenvalues of S1 S2 other than 0 are those
 * of (F1 F2') (F1 F2')', so that the trace is the sum of the singular values of F1 F2'. Nothing can turn complex, and
 * rank does not matter. The factor of a set of n pictures with features d wide:
 *
 *     n <= d   the centred features over sqrt(n - 1)           [n, d]
 *     n >  d   Lambda^(1/2) V' of S = V Lambda V'              [d, d], Lambda's rounding below 0 cut off
 */
#include "compare/frechet.h"

#include "compare/linear.h"
#include "core/base/memory.h"

#include <math.h>

struct normal {
    double *mean;   /* owned; [width] */
    double *factor; /* owned; [rows, width] */
    int64_t rows;
    double trace;
};

static void normal_clear(struct normal *n)
{
    memory_free(n->mean);
    memory_free(n->factor);
}

/* Features as they lie, less their mean, over sqrt(n - 1). */
static void centre(const struct features *f, double *mean, double *out)
{
    const int64_t n = f->count, d = f->width;
    const double scale = 1 / sqrt((double)(n - 1));
    for (int64_t j = 0; j < d; j++) mean[j] = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++) mean[j] += (double)f->values[i * d + j];
    for (int64_t j = 0; j < d; j++) mean[j] /= (double)n;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++) out[i * d + j] = ((double)f->values[i * d + j] - mean[j]) * scale;
}

/* factor [d, d] from the centred features [n, d]. */
static enum status reduce(const double *centred, int64_t n, int64_t d, double *factor, struct error *err)
{
    double *values = memory_alloc_raw((size_t)d * sizeof *values);
    if (!values) return fail_no_memory(err, "eigenvalues", (size_t)d * sizeof *values);
    linear_gram(centred, n, d, factor);
    const enum status status = linear_eigen(factor, d, values, err);
    for (int64_t i = 0; i < d && status == STATUS_OK; i++) {
        const double root = values[i] > 0 ? sqrt(values[i]) : 0;
        for (int64_t j = 0; j < d; j++) factor[i * d + j] *= root;
    }
    memory_free(values);
    return status;
}

static enum status normal_fit(struct normal *out, const struct features *f, struct error *err)
{
    const int64_t n = f->count, d = f->width;
    const size_t bytes = (size_t)n * (size_t)d * sizeof(double), square = (size_t)d * (size_t)d * sizeof(double);
    double *centred = memory_alloc_raw(bytes);
    enum status status = STATUS_OK;
    out->mean = memory_alloc_raw((size_t)d * sizeof *out->mean);
    out->rows = n <= d ? n : d;
    if (centred && out->mean) {
        centre(f, out->mean, centred);
        for (int64_t i = 0; i < n * d; i++) out->trace += centred[i] * centred[i];
    }
    if (centred && n <= d) {
        out->factor = centred;
        centred = NULL;
    } else {
        out->factor = memory_alloc_raw(square);
    }
    if (!out->mean || !out->factor || (n > d && !centred))
        status = fail_no_memory(err, "a covariance of features", bytes + square);
    else if (n > d)
        status = reduce(centred, n, d, out->factor, err);
    memory_free(centred);
    return status;
}

static enum status distance(struct frechet *out, const struct normal *a, const struct normal *b, int64_t width,
                            struct error *err)
{
    const size_t bytes = (size_t)a->rows * (size_t)b->rows * sizeof(double);
    double *product = memory_alloc_raw(bytes), overlap = 0, shift = 0;
    if (!product) return fail_no_memory(err, "a product of covariances", bytes);
    linear_products(a->factor, b->factor, a->rows, b->rows, width, product, b->rows);
    const enum status status = linear_nuclear_norm(product, a->rows, b->rows, &overlap, err);
    for (int64_t j = 0; j < width; j++) shift += (a->mean[j] - b->mean[j]) * (a->mean[j] - b->mean[j]);
    const double value = shift + a->trace + b->trace - 2 * overlap;
    *out = (struct frechet){.distance = value > 0 ? value : 0, .reference_spread = b->trace};
    memory_free(product);
    return status;
}

enum status frechet_distance(struct frechet *out, const struct features *pictures, const struct features *reference,
                             struct error *err)
{
    struct normal a = {0}, b = {0};
    *out = (struct frechet){0};
    enum status status = features_check_pair(pictures, reference, 2, err);
    if (status == STATUS_OK) status = normal_fit(&a, pictures, err);
    if (status == STATUS_OK) status = normal_fit(&b, reference, err);
    if (status == STATUS_OK) status = distance(out, &a, &b, pictures->width, err);
    normal_clear(&a);
    normal_clear(&b);
    return status;
}
