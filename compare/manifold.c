/* SPDX-License-Identifier: MIT */
#include "compare/manifold.h"

#include "compare/distances.h"
#include "core/base/memory.h"

struct tally {
    const double *picture_radii, *reference_radii, *density_radii; /* squared */
    const bool *asked;                                             /* [references]; NULL: all */
    bool *precise;                                                 /* [pictures] */
    int64_t recalled, covered, dense;
};

/* Rows of the block are references, columns pictures. */
static void count_block(void *context, const struct rows_block *block)
{
    struct tally *t = context;
    for (int64_t i = 0; i < block->count; i++) {
        const double *row = block->table + i * block->columns;
        const double wide = t->reference_radii[block->first + i], narrow = t->density_radii[block->first + i];
        bool recalled = false;
        int64_t inside = 0;
        for (int64_t j = 0; j < block->columns; j++) {
            t->precise[j] = t->precise[j] || row[j] <= wide;
            recalled = recalled || row[j] <= t->picture_radii[j];
            inside += row[j] < narrow;
        }
        const bool asked = !t->asked || t->asked[block->first + i];
        t->recalled += asked && recalled;
        t->covered += asked && inside > 0;
        t->dense += inside;
    }
}

static double expected_coverage(int64_t references, int64_t pictures, int k)
{
    double missed = references > k ? 1 : 0;
    for (int i = 0; i < k && missed > 0; i++)
        missed *= (double)(references - 1 - i) / (double)(references + pictures - 1 - i);
    return 1 - missed;
}

static int64_t count_asked(const struct manifold_options *options, int64_t references)
{
    int64_t count = 0;
    for (int64_t i = 0; i < references; i++) count += !options->asked || options->asked[i];
    return count;
}

enum status manifold_compare(struct manifold *out, const struct features *pictures, const struct features *reference,
                             const struct manifold_options *options, struct error *err)
{
    const int k = options->k, density_k = options->density_k, largest = k > density_k ? k : density_k;
    const struct measures_watch *watch = options->watch;
    *out = (struct manifold){0};
    if (k < 1 || density_k < 1 || largest > NEAREST_MAX)
        return fail(err, STATUS_ARGUMENT, "%d neighbours; 1 to %d are allowed", k < density_k ? k : largest,
                    NEAREST_MAX);
    enum status status = features_check_pair(pictures, reference, largest + 1, err);
    if (status != STATUS_OK) return status;
    const struct rows a = rows_of_features(pictures), b = rows_of_features(reference);
    const size_t n = (size_t)a.count, m = (size_t)b.count, bytes = (n + 2 * m) * sizeof(double) + n;
    double *picture_radii = memory_alloc(bytes);
    if (!picture_radii) return fail_no_memory(err, "neighbours of pictures", bytes);
    double *reference_radii = picture_radii + n, *density_radii = reference_radii + m;
    struct tally t = {.picture_radii = picture_radii,
                      .reference_radii = reference_radii,
                      .density_radii = density_radii,
                      .asked = options->asked,
                      .precise = (bool *)(density_radii + m)};
    const struct rows_visit visit = {.block = count_block, .context = &t, .watch = watch, .what = "coverage"};
    const struct rows_radii of_pictures = {.k = k, .out = picture_radii, .watch = watch};
    const struct rows_radii of_reference = {k, density_k, reference_radii, density_radii, watch};
    status = rows_find_radii(&a, &of_pictures, err);
    if (status == STATUS_OK) status = rows_find_radii(&b, &of_reference, err);
    if (status == STATUS_OK) status = rows_walk(&b, &a, &visit, err);
    const int64_t asked = count_asked(options, b.count);
    int64_t precise = 0;
    for (size_t i = 0; i < n; i++) precise += t.precise[i];
    if (status == STATUS_OK)
        *out = (struct manifold){.precision = (double)precise / (double)n,
                                 .recall = (double)t.recalled / (double)asked,
                                 .density = (double)t.dense / ((double)n * density_k),
                                 .coverage = (double)t.covered / (double)asked,
                                 .coverage_ideal = expected_coverage(asked, a.count, density_k)};
    memory_free(picture_radii);
    return status;
}
