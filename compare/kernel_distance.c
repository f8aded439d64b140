/* SPDX-License-Identifier: MIT */
#include "compare/kernel_distance.h"

#include "compare/distances.h"
#include "compare/draw.h"
#include "core/base/memory.h"

#include <math.h>
#include <string.h>

#define CMMD_SIGMA 10.0
#define CMMD_SCALE 1000.0

enum kernel { KID, CMMD, KERNELS };

/* What a kernel sums to, a row of pictures at a time, which is all that estimates and their jackknives need: of a
 * picture with the others of its set (aa, bb) and with the other set (ab, ba). */
struct sums {
    double *aa, *bb, *ab, *ba;
    double a_diagonal, b_diagonal; /* pictures with themselves */
};

/* One walk sums both kernels: to take the inner products is most of the work. */
struct walk {
    struct sums sums[KERNELS];
    bool wanted[KERNELS];
    double n, m, gamma;
};

/* Of two pictures by their squared distance and their squared lengths, which also tell the inner product. */
static double kernel(enum kernel kind, double square, double lengths, double gamma)
{
    if (kind == CMMD) return exp(-square / (2 * CMMD_SIGMA * CMMD_SIGMA));
    const double y = gamma * (lengths - square) / 2 + 1;
    return y * y * y;
}

/* A set with itself: each pair once. */
static void add_own(const struct rows_block *block, enum kernel kind, double gamma, double *rows, double *diagonal)
{
    for (int64_t i = 0; i < block->count; i++) {
        const int64_t at = block->first + i;
        for (int64_t j = at; j < block->columns; j++) {
            const double square = block->table[i * block->columns + j];
            const double k = kernel(kind, square, block->a_squares[at] + block->b_squares[j], gamma);
            if (j == at) {
                *diagonal += k;
                continue;
            }
            rows[at] += k;
            rows[j] += k;
        }
    }
}

static void add_first(void *context, const struct rows_block *block)
{
    struct walk *w = context;
    for (int k = 0; k < KERNELS; k++)
        if (w->wanted[k]) add_own(block, (enum kernel)k, w->gamma, w->sums[k].aa, &w->sums[k].a_diagonal);
}

static void add_second(void *context, const struct rows_block *block)
{
    struct walk *w = context;
    for (int k = 0; k < KERNELS; k++)
        if (w->wanted[k]) add_own(block, (enum kernel)k, w->gamma, w->sums[k].bb, &w->sums[k].b_diagonal);
}

static void add_across(void *context, const struct rows_block *block)
{
    struct walk *w = context;
    for (int k = 0; k < KERNELS; k++)
        for (int64_t i = 0; i < block->count && w->wanted[k]; i++) {
            const int64_t at = block->first + i;
            for (int64_t j = 0; j < block->columns; j++) {
                const double square = block->table[i * block->columns + j];
                const double value =
                    kernel((enum kernel)k, square, block->a_squares[at] + block->b_squares[j], w->gamma);
                w->sums[k].ab[at] += value;
                w->sums[k].ba[j] += value;
            }
        }
}

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

static struct kernel_distance estimate(const struct sums *s, double n, double m, double scale)
{
    const double aa = total(s->aa, n), bb = total(s->bb, m), ab = total(s->ab, n);
    const double own = (aa + s->a_diagonal) / (n * n) + (bb + s->b_diagonal) / (m * m);
    const bool enough = n > 2 && m > 2;
    const double of_pictures = enough ? jackknife(n, s->aa, s->ab, aa, ab, m) : NAN;
    const double of_reference = enough ? jackknife(m, s->bb, s->ba, bb, ab, n) : NAN;
    return (struct kernel_distance){.unbiased = scale * unbiased(aa, bb, ab, n, m),
                                    .biased = scale * (own - 2 * ab / (n * m)),
                                    .error = scale * sqrt(of_pictures + of_reference),
                                    .picture_error = scale * sqrt(of_pictures)};
}

static enum status add_all(struct walk *w, const struct features *pictures, const struct features *reference,
                           const struct measures_watch *watch, struct error *err)
{
    const struct rows a = rows_of_features(pictures), b = rows_of_features(reference);
    struct rows_visit visit = {.context = w, .watch = watch, .what = "KID and CMMD", .upper = true};
    visit.block = add_first;
    enum status status = rows_walk(&a, &a, &visit, err);
    visit.block = add_second;
    if (status == STATUS_OK) status = rows_walk(&b, &b, &visit, err);
    visit.block = add_across;
    visit.upper = false;
    return status == STATUS_OK ? rows_walk(&a, &b, &visit, err) : status;
}

enum status kernel_distances(struct kernel_distance *kid, struct kernel_distance *cmmd, const struct features *pictures,
                             const struct features *reference, double gamma, const struct measures_watch *watch,
                             struct error *err)
{
    enum status status = features_check_pair(pictures, reference, 2, err);
    if (status != STATUS_OK) return status;
    const size_t n = (size_t)pictures->count, m = (size_t)reference->count, each = 2 * (n + m);
    double *values = memory_alloc(KERNELS * each * sizeof *values);
    if (!values) return fail_no_memory(err, "sums of kernels", KERNELS * each * sizeof *values);
    struct walk w = {.wanted = {[KID] = kid != NULL, [CMMD] = cmmd != NULL},
                     .n = (double)n,
                     .m = (double)m,
                     .gamma = gamma > 0 ? gamma : 1 / (double)pictures->width};
    for (size_t k = 0; k < KERNELS; k++) {
        double *at = values + k * each;
        w.sums[k] = (struct sums){.aa = at, .ab = at + n, .bb = at + 2 * n, .ba = at + 2 * n + m};
    }
    status = add_all(&w, pictures, reference, watch, err);
    if (status == STATUS_OK && kid) *kid = estimate(&w.sums[KID], w.n, w.m, 1);
    if (status == STATUS_OK && cmmd) *cmmd = estimate(&w.sums[CMMD], w.n, w.m, CMMD_SCALE);
    memory_free(values);
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
        struct kernel_distance one = {0};
        draw_permutation(&rng, order, n);
        gather(pictures, order, size, values);
        draw_permutation(&rng, order, m);
        gather(reference, order, size, values + size * width);
        a.values = values;
        b.values = values + size * width;
        a.count = b.count = size;
        status = kernel_distances(&one, NULL, &a, &b, how->gamma, NULL, err);
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
