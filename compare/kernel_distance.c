/* SPDX-License-Identifier: MIT */
#include "compare/kernel_distance.h"

#include "compare/distances.h"
#include "compare/draw.h"
#include "core/base/memory.h"

#include <math.h>
#include <string.h>

#define CMMD_SIGMA 10.0
#define CMMD_SCALE 1000.0

/* What the kernel sums to, a row of pictures at a time, which is all that estimates and their jackknives need. */
struct sums {
    bool gaussian;
    bool same;              /* the walk is from a set to itself: the diagonal is left out and kept apart */
    double *rows, *columns; /* of the walk; columns may be NULL */
    double *diagonal;       /* its sum */
    double width;
};

static double kernel(const struct sums *s, double x)
{
    if (s->gaussian) return exp(-x / (2 * CMMD_SIGMA * CMMD_SIGMA));
    const double y = x / s->width + 1;
    return y * y * y;
}

static void add_block(void *context, const struct rows_block *block)
{
    const struct sums *s = context;
    for (int64_t i = 0; i < block->count; i++) {
        double sum = 0;
        for (int64_t j = 0; j < block->columns; j++) {
            const double k = kernel(s, block->table[i * block->columns + j]);
            if (s->same && j == block->first + i) {
                *s->diagonal += k;
                continue;
            }
            sum += k;
            if (s->columns) s->columns[j] += k;
        }
        s->rows[block->first + i] = sum;
    }
}

/* Two sets' sums: of a picture with the others of its set (aa, bb) and with the other set (ab, ba). */
struct table {
    double n, m;
    double *aa, *bb, *ab, *ba; /* aa owned, and with it the others */
    double diagonals;          /* each divided by its count squared, added up */
};

static double total(const double *values, double n)
{
    double sum = 0;
    for (int64_t i = 0; i < (int64_t)n; i++) sum += values[i];
    return sum;
}

static double unbiased(double aa, double bb, double ab, double n, double m)
{
    return aa / (n * (n - 1)) + bb / (m * (m - 1)) - 2 * ab / (n * m);
}

/* Variance of the estimate by leaving each picture out in turn: (n - 1) / n times the sum of squares about the mean. */
static double jackknife(double n, const double *own, const double *across, double own_total, double across_total,
                        double others)
{
    double sum = 0, squares = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < (int64_t)n; i++) {
            const double value =
                (own_total - 2 * own[i]) / ((n - 1) * (n - 2)) - 2 * (across_total - across[i]) / ((n - 1) * others);
            if (pass == 0)
                sum += value;
            else
                squares += (value - sum / n) * (value - sum / n);
        }
    return squares * (n - 1) / n;
}

static void estimate(struct kernel_distance *out, const struct table *t)
{
    const double n = t->n, m = t->m, aa = total(t->aa, n), bb = total(t->bb, m), ab = total(t->ab, n);
    out->unbiased = unbiased(aa, bb, ab, n, m);
    out->biased = aa / (n * n) + bb / (m * m) + t->diagonals - 2 * ab / (n * m);
    out->error = NAN;
    if (n > 2 && m > 2)
        out->error = sqrt(jackknife(n, t->aa, t->ab, aa, ab, m) + jackknife(m, t->bb, t->ba, bb, ab, n));
}

static enum status compare(struct kernel_distance *out, const struct features *pictures,
                           const struct features *reference, const struct rows_visit *visit, struct error *err)
{
    const struct rows a = rows_of_features(pictures), b = rows_of_features(reference);
    struct table t = {.n = (double)a.count, .m = (double)b.count};
    const size_t n = (size_t)a.count, m = (size_t)b.count, bytes = 2 * (n + m) * sizeof(double);
    t.aa = memory_alloc(bytes);
    if (!t.aa) return fail_no_memory(err, "sums of a kernel", bytes);
    t.ab = t.aa + n;
    t.bb = t.ab + n;
    t.ba = t.bb + m;
    double a_diagonal = 0, b_diagonal = 0;
    const bool gaussian = !visit->products;
    struct sums sums = {gaussian, true, t.aa, NULL, &a_diagonal, (double)a.width};
    struct rows_visit mine = *visit;
    mine.block = add_block;
    mine.context = &sums;
    enum status status = rows_walk(&a, &a, &mine, err);
    sums = (struct sums){gaussian, true, t.bb, NULL, &b_diagonal, (double)a.width};
    if (status == STATUS_OK) status = rows_walk(&b, &b, &mine, err);
    sums = (struct sums){gaussian, false, t.ab, t.ba, NULL, (double)a.width};
    if (status == STATUS_OK) status = rows_walk(&a, &b, &mine, err);
    t.diagonals = a_diagonal / (t.n * t.n) + b_diagonal / (t.m * t.m);
    if (status == STATUS_OK) estimate(out, &t);
    memory_free(t.aa);
    return status;
}

enum status kid_distance(struct kernel_distance *out, const struct features *pictures, const struct features *reference,
                         const struct measures_watch *watch, struct error *err)
{
    *out = (struct kernel_distance){0};
    const enum status status = features_check_pair(pictures, reference, 2, err);
    if (status != STATUS_OK) return status;
    const struct rows_visit visit = {.products = true, .watch = watch, .what = "KID"};
    return compare(out, pictures, reference, &visit, err);
}

enum status cmmd_distance(struct kernel_distance *out, const struct features *pictures,
                          const struct features *reference, const struct measures_watch *watch, struct error *err)
{
    *out = (struct kernel_distance){0};
    enum status status = features_check_pair(pictures, reference, 2, err);
    if (status != STATUS_OK) return status;
    const struct rows_visit visit = {.watch = watch, .what = "CMMD"};
    status = compare(out, pictures, reference, &visit, err);
    out->unbiased *= CMMD_SCALE;
    out->biased *= CMMD_SCALE;
    out->error *= CMMD_SCALE;
    return status;
}

/* ---- subsets ---- */

static void gather(const struct features *from, const int64_t *order, int64_t count, float *out)
{
    for (int64_t i = 0; i < count; i++)
        memcpy(out + i * from->width, from->values + order[i] * from->width, (size_t)from->width * sizeof *out);
}

static enum status check_subsets(const struct kid_subsets *how, int64_t least, struct error *err)
{
    if (how->subsets < 1) return fail(err, STATUS_ARGUMENT, "%d subsets; at least 1 is needed", how->subsets);
    if (how->subset_size < 2 || how->subset_size > least)
        return fail(err, STATUS_ARGUMENT, "subsets of %lld; 2 to %lld are allowed, the number of the smaller set",
                    (long long)how->subset_size, (long long)least);
    return STATUS_OK;
}

enum status kid_over_subsets(double *mean, double *deviation, const struct features *pictures,
                             const struct features *reference, const struct kid_subsets *how, struct error *err)
{
    const int64_t n = pictures->count, m = reference->count, size = how->subset_size, width = pictures->width;
    *mean = *deviation = 0;
    enum status status = features_check_pair(pictures, reference, 2, err);
    if (status == STATUS_OK) status = check_subsets(how, n < m ? n : m, err);
    if (status != STATUS_OK) return status;
    const size_t bytes = 2 * (size_t)size * (size_t)width * sizeof(float);
    float *values = memory_alloc_raw(bytes);
    int64_t *order = memory_alloc_raw((size_t)(n > m ? n : m) * sizeof *order);
    double *found = memory_alloc_raw((size_t)how->subsets * sizeof *found);
    if (!values || !order || !found) status = fail_no_memory(err, "subsets of features", bytes);
    struct rng rng;
    rng_init(&rng, RNG_MT19937, how->seed);
    for (int i = 0; i < how->subsets && status == STATUS_OK; i++) {
        struct features a = *pictures, b = *reference;
        struct kernel_distance one;
        draw_permutation(&rng, order, n);
        gather(pictures, order, size, values);
        draw_permutation(&rng, order, m);
        gather(reference, order, size, values + size * width);
        a.values = values;
        b.values = values + size * width;
        a.count = b.count = size;
        status = kid_distance(&one, &a, &b, NULL, err);
        found[i] = one.unbiased;
        *mean += one.unbiased / how->subsets;
        if (status == STATUS_OK) status = measures_step(how->watch, "KID subsets", i + 1, how->subsets, err);
    }
    for (int i = 0; i < how->subsets && status == STATUS_OK; i++)
        *deviation += (found[i] - *mean) * (found[i] - *mean) / how->subsets;
    *deviation = sqrt(*deviation);
    memory_free(values);
    memory_free(order);
    memory_free(found);
    return status;
}
