/* SPDX-License-Identifier: MIT
 *
 * Each measure against its reference implementation, fed the same arrays (tests/golden/measures), and on what is no set
 * of features at all.
 */
#include "compare/copying.h"
#include "compare/diversity.h"
#include "compare/draw.h"
#include "compare/frechet.h"
#include "compare/kernel_distance.h"
#include "compare/manifold.h"
#include "compare/measures.h"
#include "compare/modes.h"
#include "core/base/memory.h"
#include "tests/support/golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { CASES = 7, PROMPTS = 6, SUBSETS = 20, SUBSET_SIZE = 12, SEED = 2020, MOST = 256 };
#define LIMIT 1e-4

static const char *const cases[CASES] = {"wide", "narrow", "mixed", "flat", "apart", "units", "ties"};
static struct checkpoint *golden;

static int set_up(void **state)
{
    (void)state;
    golden = golden_open("measures/goldens.safetensors");
    return golden == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    checkpoint_close(golden);
    return 0;
}

static struct features features_of(const char *name, char which)
{
    const struct tensor *t = golden_tensor(golden, "%s.%c", name, which);
    return (struct features){golden_values(golden, "%s.%c", name, which), t->dim[0], t->dim[1], name};
}

static void drop(struct features *f)
{
    memory_free((void *)(uintptr_t)f->values);
}

/* floor: what the value is a difference of, where it is small beside that. */
static void near_to(double got, double want, double floor, const char *name, const char *what)
{
    const double size = fabs(want) > floor ? fabs(want) : floor;
    if (!(fabs(got - want) <= LIMIT * size)) fail_msg("%s: %s is %.9g and should be %.9g", name, what, got, want);
}

static void check_ok(enum status status, const struct error *err)
{
    if (status != STATUS_OK) fail_msg("%s", err->text);
}

/* Runs the body for each case, with features a and b. */
struct one {
    const char *name;
    struct features a, b;
};

static void each_case(void (*body)(const struct one *))
{
    for (int i = 0; i < CASES; i++) {
        struct one one = {cases[i], features_of(cases[i], 'a'), features_of(cases[i], 'b')};
        body(&one);
        drop(&one.a);
        drop(&one.b);
    }
}

/* ---- distances of distributions ---- */

static void check_frechet(const struct one *c)
{
    struct error err = {0};
    struct frechet got, back, self;
    float *want = golden_values(golden, "%s.fid", c->name);
    check_ok(frechet_distance(&got, &c->a, &c->b, &err), &err);
    check_ok(frechet_distance(&back, &c->b, &c->a, &err), &err);
    check_ok(frechet_distance(&self, &c->a, &c->a, &err), &err);
    near_to(got.distance, (double)want[0], 0, c->name, "FID");
    near_to(back.distance, (double)want[0], 0, c->name, "FID the other way");
    assert_true(self.distance < 1e-9 * self.reference_spread);
    memory_free(want);
}

static void fid_is_torch_fidelitys(void **state)
{
    (void)state;
    each_case(check_frechet);
}

static void check_kernels(const struct one *c)
{
    struct error err = {0};
    struct kernel_distance kid, cmmd;
    double mean, deviation;
    float *want = golden_values(golden, "%s.kid", c->name), *other = golden_values(golden, "%s.cmmd", c->name);
    const struct kid_subsets how = {.subsets = SUBSETS, .subset_size = SUBSET_SIZE, .seed = SEED};
    check_ok(kernel_distances(&kid, &cmmd, &c->a, &c->b, 0, NULL, &err), &err);
    check_ok(kid_over_subsets(&mean, &deviation, &c->a, &c->b, &how, &err), &err);
    near_to(kid.unbiased, (double)want[0], 0, c->name, "KID");
    near_to(kid.error, (double)want[1], 0, c->name, "KID's standard error");
    near_to(mean, (double)want[2], 0, c->name, "KID over subsets");
    near_to(deviation, (double)want[3], 0, c->name, "KID's deviation over subsets");
    near_to(cmmd.biased, (double)other[0], 0, c->name, "CMMD");
    near_to(cmmd.unbiased, (double)other[1], 0, c->name, "CMMD without bias");
    near_to(cmmd.error, (double)other[2], 0, c->name, "CMMD's standard error");
    memory_free(want);
    memory_free(other);
}

/* Of directions, as torch-fidelity with kid_kernel_poly_gamma = 1, and measures_take says the same. */
static void kid_of_directions(void **state)
{
    (void)state;
    struct error err = {0};
    struct kernel_distance kid;
    struct measures m = {0};
    double mean, deviation;
    struct features a = features_of("units", 'a'), b = features_of("units", 'b');
    float *want = golden_values(golden, "%s.kid1", "units");
    const struct kid_subsets how = {.subsets = SUBSETS, .subset_size = SUBSET_SIZE, .seed = SEED, .gamma = 1};
    check_ok(kernel_distances(&kid, NULL, &a, &b, KID_GAMMA_OF_DIRECTIONS, NULL, &err), &err);
    check_ok(kid_over_subsets(&mean, &deviation, &a, &b, &how, &err), &err);
    near_to(kid.unbiased, (double)want[0], 0, "units", "KID");
    near_to(kid.error, (double)want[1], 0, "units", "KID's standard error");
    near_to(kid.picture_error, (double)want[2], 0, "units", "KID's standard error, of the pictures");
    near_to(mean, (double)want[3], 0, "units", "KID over subsets");
    near_to(deviation, (double)want[4], 0, "units", "KID's deviation over subsets");
    check_ok(measures_take(&m, &(struct measures_input){.pictures = a, .reference = b}, &err), &err);
    near_to(m.figure[MEASURE_KID].value, (double)want[0], 0, "units", "KID");
    near_to(m.kid_picture_error, (double)want[2], 0, "units", "KID's standard error, of the pictures");
    measures_clear(&m);
    memory_free(want);
    drop(&a);
    drop(&b);
}

/* A reference of which some is asked for: FID and KID are of that alone, recall and coverage are shares of it. */
static void a_part_of_the_reference(void **state)
{
    (void)state;
    enum { PART = 20 };
    struct error err = {0};
    struct measures all = {0}, part = {0}, alone = {0};
    struct features a = features_of("units", 'a'), b = features_of("units", 'b');
    struct features last = {.values = b.values + (b.count - PART) * b.width, .count = PART, .width = b.width};
    bool asked[MOST] = {false};
    for (int64_t i = b.count - PART; i < b.count; i++) asked[i] = true;
    check_ok(measures_take(&all, &(struct measures_input){.pictures = a, .reference = b}, &err), &err);
    check_ok(measures_take(&part, &(struct measures_input){.pictures = a, .reference = b, .asked = asked}, &err), &err);
    check_ok(measures_take(&alone, &(struct measures_input){.pictures = a, .reference = last}, &err), &err);
    assert_int_equal(part.reference_count, PART);
    static const enum measure of_part[] = {MEASURE_FID, MEASURE_KID, MEASURE_CMMD},
                              of_all[] = {MEASURE_PRECISION, MEASURE_DENSITY};
    for (int i = 0; i < 3; i++)
        assert_true(part.figure[of_part[i]].value == alone.figure[of_part[i]].value &&
                    part.figure[of_part[i]].value != all.figure[of_part[i]].value);
    for (int i = 0; i < 2; i++) assert_true(part.figure[of_all[i]].value == all.figure[of_all[i]].value);
    /* Both halves together reach what the whole does. */
    struct measures rest = {0};
    for (int64_t i = 0; i < b.count; i++) asked[i] = !asked[i];
    check_ok(measures_take(&rest, &(struct measures_input){.pictures = a, .reference = b, .asked = asked}, &err), &err);
    static const enum measure shares[] = {MEASURE_RECALL, MEASURE_COVERAGE};
    for (int i = 0; i < 2; i++)
        near_to((PART * part.figure[shares[i]].value + (double)(b.count - PART) * rest.figure[shares[i]].value) /
                    (double)b.count,
                all.figure[shares[i]].value, 1e-9, "units", "shares");
    assert_true(part.figure[MEASURE_DISTINCT].value == all.figure[MEASURE_DISTINCT].value);
    measures_clear(&all);
    measures_clear(&part);
    measures_clear(&alone);
    measures_clear(&rest);
    drop(&a);
    drop(&b);
}

static void kid_and_cmmd_are_the_references(void **state)
{
    (void)state;
    each_case(check_kernels);
}

static void subsets_are_numpys(void **state)
{
    (void)state;
    /* numpy.random.RandomState(2020).permutation(10) */
    static const int64_t first[] = {2, 4, 9, 1, 5, 7, 6, 3, 8, 0};
    struct rng rng;
    int64_t order[10];
    rng_init(&rng, RNG_MT19937, 2020);
    draw_permutation(&rng, order, 10);
    assert_memory_equal(order, first, sizeof first);
    assert_int_equal(draw_up_to(&rng, 0), 0);
}

/* ---- manifolds ---- */

static void check_manifold(const struct one *c)
{
    struct error err = {0};
    struct manifold got;
    float *want = golden_values(golden, "%s.manifold", c->name);
    check_ok(manifold_compare(&got, &c->a, &c->b, &(struct manifold_options){MANIFOLD_K, DENSITY_K, NULL, NULL}, &err),
             &err);
    near_to(got.precision, (double)want[0], 1e-9, c->name, "precision");
    near_to(got.recall, (double)want[1], 1e-9, c->name, "recall");
    near_to(got.density, (double)want[2], 1e-9, c->name, "density");
    near_to(got.coverage, (double)want[3], 1e-9, c->name, "coverage");
    memory_free(want);
}

static void manifolds_are_the_references(void **state)
{
    (void)state;
    each_case(check_manifold);
}

/* Naeem et al. 2020, section 4.2: 1 - (N - 1) ... (N - k) / ((2 N - 1) ... (2 N - k)) for sets of N. */
static void coverage_to_expect(void **state)
{
    (void)state;
    struct error err = {0};
    struct manifold got;
    float values[12] = {0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 1023, 2047};
    const struct features six = {values, 6, 1, "six"}, others = {values + 6, 6, 1, "six others"};
    check_ok(manifold_compare(&got, &six, &others, &(struct manifold_options){1, 2, NULL, NULL}, &err), &err);
    near_to(got.coverage_ideal, 1 - 5.0 * 4 / (11 * 10), 0, "six", "the coverage to expect");
    /* Four against six: all of the first k of 5 + 4 must be references. */
    struct features four = six;
    four.count = 4;
    check_ok(manifold_compare(&got, &four, &others, &(struct manifold_options){1, 2, NULL, NULL}, &err), &err);
    near_to(got.coverage_ideal, 1 - 5.0 * 4 / (9 * 8), 0, "four", "the coverage to expect");
}

/* ---- diversity ---- */

static void check_diversity(const struct one *c)
{
    struct error err = {0};
    struct mean_distance got;
    int32_t group[MOST];
    for (int i = 0; i < MOST; i++) group[i] = i % 4;
    float *want = golden_values(golden, "%s.diversity", c->name);
    check_ok(diversity_distance(&got, &c->a, group, NULL, &err), &err);
    near_to(got.value, (double)want[0], 0, c->name, "the mean distance");
    near_to(got.error, (double)want[1], 0, c->name, "the mean distance's error");
    near_to(got.within, (double)want[2], 0, c->name, "the mean distance within groups");
    memory_free(want);
}

static void mean_distance_is_scipys(void **state)
{
    (void)state;
    each_case(check_diversity);
}

/* As make.py makes them. */
static void paint(uint8_t *out, int k, int width, int height)
{
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++) {
                const int slope = ((x * (3 + c) + y * 5) & 511) - 256, wave = (slope < 0 ? -slope : slope) * 7 / 8;
                const int v = wave * (5 - k) / 5 + ((x * 7 + y * 11 + k * 29) * k & 31);
                *out++ = (uint8_t)(v < 255 ? v : 255);
            }
}

static void check_ms_ssim(int width, int height)
{
    struct error err = {0};
    const size_t bytes = (size_t)width * (size_t)height * 3;
    uint8_t *pictures = memory_alloc(4 * bytes), *pair = memory_alloc(2 * bytes);
    float *want = golden_values(golden, "ms_ssim.%dx%d", width, height);
    assert_non_null(pictures);
    assert_non_null(pair);
    struct ms_ssim got;
    double sum = 0;
    const struct ms_ssim_options options = {.pairs = 6};
    for (int k = 0; k < 4; k++) paint(pictures + (size_t)k * bytes, k, width, height);
    for (int i = 0, at = 0; i < 4; i++)
        for (int j = i + 1; j < 4; j++, at++) {
            memcpy(pair, pictures + (size_t)i * bytes, bytes);
            memcpy(pair + bytes, pictures + (size_t)j * bytes, bytes);
            const struct pixels two = {pair, 2, width, height, NULL};
            check_ok(diversity_ms_ssim(&got, &two, &options, &err), &err);
            near_to(got.value, (double)want[at], 0, "MS-SSIM", "a pair");
            sum += (double)want[at];
        }
    const struct pixels all = {pictures, 4, width, height, NULL};
    check_ok(diversity_ms_ssim(&got, &all, &options, &err), &err);
    near_to(got.value, sum / 6, 0, "MS-SSIM", "all pairs");
    /* Without picture 0, 1, 2, 3 these pairs are left. */
    static const int left[4][3] = {{3, 4, 5}, {1, 2, 5}, {0, 2, 4}, {0, 1, 3}};
    double means[4], squares = 0;
    for (int i = 0; i < 4; i++) means[i] = (double)(want[left[i][0]] + want[left[i][1]] + want[left[i][2]]) / 3;
    for (int i = 0; i < 4; i++) squares += (means[i] - sum / 6) * (means[i] - sum / 6);
    near_to(got.error, sqrt(squares * 3 / 4), 0, "MS-SSIM", "the error");
    assert_int_equal(got.pairs, 6);
    /* One of six at a time: it is never a picture with itself, and in the end it was each. */
    int seen = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        check_ok(diversity_ms_ssim(&got, &all, &(struct ms_ssim_options){.pairs = 1, .seed = seed}, &err), &err);
        int which = 0;
        while (which < 6 && fabs(got.value - (double)want[which]) > 1e-6) which++;
        assert_true(which < 6);
        seen |= 1 << which;
        if (width > 64) break;
    }
    assert_true(width > 64 || seen == 63);
    memory_free(pictures);
    memory_free(pair);
    memory_free(want);
}

static void ms_ssim_is_pytorchs(void **state)
{
    (void)state;
    check_ms_ssim(176, 192);
    check_ms_ssim(173, 181);
    check_ms_ssim(64, 64);
    check_ms_ssim(37, 50);
    check_ms_ssim(16, 23);
}

/* ---- prompts ---- */

static void check_modes(const struct one *c)
{
    struct error err = {0};
    struct arena memory = {0};
    struct modes got, even;
    int32_t of[MOST];
    struct features prompts = c->b;
    prompts.count = PROMPTS;
    for (int i = 0; i < MOST; i++) of[i] = i * 7 % PROMPTS;
    float *want = golden_values(golden, "%s.modes", c->name), *best = golden_values(golden, "%s.best", c->name);
    check_ok(modes_measure(&got, &c->a, &prompts, of, &memory, &err), &err);
    check_ok(modes_measure(&even, &c->a, &prompts, NULL, &memory, &err), &err);
    for (int64_t i = 0; i < c->a.count; i++) assert_int_equal(got.best[i], (int)best[i]);
    const double figures[] = {(double)got.covered, got.entropy,     got.divergence, even.divergence,
                              got.mean_score,      got.score_error, got.own_first};
    for (int i = 0; i < 7; i++) near_to(figures[i], (double)want[i], 1e-5, c->name, "a figure of prompts");
    assert_int_equal(got.asked, PROMPTS);
    assert_int_equal(even.asked, 0);
    assert_true(isnan(even.mean_score) && isnan(even.own_first));
    memory_free(want);
    memory_free(best);
    arena_clear(&memory);
}

static void prompts_are_scipys(void **state)
{
    (void)state;
    each_case(check_modes);
}

/* ---- copies ---- */

static void check_copying(const struct one *c)
{
    struct error err = {0};
    struct arena memory = {0};
    struct copying_threshold threshold;
    struct copies copies;
    struct duplicates duplicates;
    const struct rows a = rows_of_features(&c->a), b = rows_of_features(&c->b);
    float *nearest = golden_values(golden, "%s.nearest", c->name), *want = golden_values(golden, "%s.copying", c->name);
    float *groups = golden_values(golden, "%s.duplicates", c->name);
    float *diversity = golden_values(golden, "%s.diversity", c->name);
    check_ok(copying_threshold(&threshold, &b, COPYING_FEATURES, &memory, NULL, &err), &err);
    check_ok(copying_copies(&copies, &a, &b, &threshold, COPYING_FEATURES, &memory, NULL, &err), &err);
    for (int64_t i = 0; i < a.count; i++) assert_int_equal(copies.nearest[i], (int)nearest[i]);
    near_to(copies.median, (double)want[0], 0, c->name, "the median of distances");
    near_to(threshold.median, (double)want[1], 0, c->name, "the training set's own median");
    near_to(copies.z, (double)want[2], 0, c->name, "the copying test");
    const double most = 0.7 * (double)diversity[0];
    check_ok(copying_duplicates(&duplicates, &a, most, COPYING_FEATURES, &memory, NULL, &err), &err);
    assert_int_equal(duplicates.pairs, (int)groups[0]);
    assert_int_equal(duplicates.distinct, (int)groups[1]);
    assert_int_equal(duplicates.largest, (int)groups[2]);
    const double n = (double)a.count;
    near_to(duplicates.support, n * (n - 1) / (2 * (double)groups[0]), 0, c->name, "support");
    memory_free(nearest);
    memory_free(want);
    memory_free(groups);
    memory_free(diversity);
    arena_clear(&memory);
}

static void copies_are_scipys(void **state)
{
    (void)state;
    each_case(check_copying);
}

/* N pictures, equally likely, n draws: the estimate is near N. */
static void birthdays(void **state)
{
    (void)state;
    enum { N = 365, DRAWS = 200 };
    struct error err = {0};
    struct arena memory = {0};
    struct rng rng;
    float values[DRAWS];
    double sum = 0;
    rng_init(&rng, RNG_MT19937, 5);
    for (int round = 0; round < 50; round++) {
        struct duplicates d;
        for (int i = 0; i < DRAWS; i++) values[i] = (float)draw_up_to(&rng, N - 1);
        const struct rows rows = {.values = values, .count = DRAWS, .width = 1};
        check_ok(copying_duplicates(&d, &rows, 0.5, COPYING_FEATURES, &memory, NULL, &err), &err);
        assert_false(d.support_is_bound);
        sum += 1 / d.support / 50; /* 1 / N is what is estimated without bias */
    }
    assert_true(fabs(1 / sum - N) < 0.05 * N);
    arena_clear(&memory);
}

static void pixels_are_measured_in_levels(void **state)
{
    (void)state;
    struct error err = {0};
    struct arena memory = {0};
    struct copying_threshold threshold;
    struct copies copies;
    uint8_t mine[2 * 12], training[3 * 12];
    memset(mine, 100, 12);
    memset(mine + 12, 150, 12);
    memset(training, 0, 12);
    memset(training + 12, 100, 12);
    memset(training + 24, 158, 12);
    const struct pixels p = {mine, 2, 2, 2, NULL}, t = {training, 3, 2, 2, NULL};
    const struct rows a = rows_of_pixels(&p), b = rows_of_pixels(&t);
    check_ok(copying_threshold(&threshold, &b, COPYING_PIXELS, &memory, NULL, &err), &err);
    assert_true(threshold.distance == 16); /* neighbours 58 and 100 away: the most that is allowed */
    assert_true(threshold.median == 58);
    check_ok(copying_copies(&copies, &a, &b, &threshold, COPYING_PIXELS, &memory, NULL, &err), &err);
    assert_true(copies.distance[0] == 0 && copies.distance[1] == 8);
    assert_int_equal(copies.nearest[1], 2);
    assert_int_equal(copies.copies, 2);
    arena_clear(&memory);
}

/* 1% of 201 real pictures: the third smallest distance to a neighbour, if that is between the limits. */
static void thresholds_are_of_real_pictures(void **state)
{
    (void)state;
    struct error err = {0};
    struct arena memory = {0};
    struct copying_threshold t;
    struct duplicates d;
    float line[201] = {0};
    for (int i = 1; i < 201; i++) line[i] = line[i - 1] + 0.05F + 0.001F * (float)i;
    struct rows real = {.values = line, .count = 201, .width = 1};
    check_ok(copying_threshold(&t, &real, COPYING_FEATURES, &memory, NULL, &err), &err);
    assert_int_equal(t.queries, 201);
    near_to(t.distance, 0.052, 0, "a line", "the threshold"); /* neighbours: 0.051, 0.051, 0.052, ... */
    for (int i = 0; i < 201; i++) line[i] *= 0.01F;
    check_ok(copying_threshold(&t, &real, COPYING_FEATURES, &memory, NULL, &err), &err);
    assert_true(t.distance == 0.02);
    check_ok(copying_threshold(&t, NULL, COPYING_PIXELS, &memory, NULL, &err), &err);
    assert_true(t.distance == 6 && !t.calibrated && isnan(t.median));
    /* No pair: at least n (n - 1) / (2 ln 20). */
    real.count = 64;
    check_ok(copying_duplicates(&d, &real, 1e-6, COPYING_FEATURES, &memory, NULL, &err), &err);
    assert_true(d.support_is_bound);
    near_to(d.support, 64 * 63 / (2 * 2.9957323), 0, "a line", "support");
    arena_clear(&memory);
}

/* Far from zero, inner products cancel to noise; the same rows are at 0 all the same. */
static void equal_rows_are_at_zero(void **state)
{
    (void)state;
    enum { ROWS = 40, COLUMNS = 2000 };
    struct error err = {0};
    struct mean_distance got;
    static float values[ROWS * COLUMNS];
    for (int i = 0; i < ROWS * COLUMNS; i++) values[i] = 1000 + sinf((float)(i % COLUMNS) * 37.3F);
    const struct features same = {values, ROWS, COLUMNS, NULL};
    check_ok(diversity_distance(&got, &same, NULL, NULL, &err), &err);
    assert_true(got.value == 0 && got.error == 0);
}

/* ---- what cannot be measured ---- */

static void refused(enum status status, struct error *err, const char *sentence)
{
    assert_int_equal(status, STATUS_ARGUMENT);
    assert_string_equal(err->text, sentence);
    error_clear(err);
}

static void bad_features_are_named(void **state)
{
    (void)state;
    struct error err = {0};
    struct frechet fid;
    struct kernel_distance kid;
    struct manifold manifold;
    double mean, deviation;
    float good[24] = {0}, bad[24] = {0};
    for (int i = 0; i < 24; i++) good[i] = (float)(i * i % 7);
    bad[5] = NAN;
    bad[6] = INFINITY;
    const struct features a = {good, 6, 4, "paintings"}, one = {good, 1, 4, "photos"}, none = {NULL, 0, 4, "photos"};
    const struct features thin = {good, 6, 3, "photos"}, nan = {bad, 6, 4, "photos"};
    refused(frechet_distance(&fid, &one, &a, &err), &err, "photos: 1 of them; 2 to 1000000 are needed");
    refused(frechet_distance(&fid, &a, &none, &err), &err, "photos: 0 of them; 2 to 1000000 are needed");
    refused(frechet_distance(&fid, &a, &thin, &err), &err,
            "paintings has features 4 wide and photos 3; they must come from one network");
    refused(kernel_distances(&kid, NULL, &a, &nan, 0, NULL, &err), &err,
            "photos: feature 2 of number 2 is nan; all must be finite");
    refused(kernel_distances(NULL, &kid, &one, &a, 0, NULL, &err), &err, "photos: 1 of them; 2 to 1000000 are needed");
    refused(manifold_compare(&manifold, &a, &a, &(struct manifold_options){6, 5, NULL, NULL}, &err), &err,
            "paintings: 6 of them; 7 to 1000000 are needed");
    refused(manifold_compare(&manifold, &a, &a, &(struct manifold_options){0, 5, NULL, NULL}, &err), &err,
            "0 neighbours; 1 to 64 are allowed");
    refused(kid_over_subsets(&mean, &deviation, &a, &a, &(struct kid_subsets){.subsets = 1, .subset_size = 7}, &err),
            &err, "subsets of 7; 2 to 6 are allowed, the number of the smaller set");
    refused(kid_over_subsets(&mean, &deviation, &a, &a, &(struct kid_subsets){.subset_size = 2}, &err), &err,
            "0 subsets; at least 1 is needed");
}

static void bad_sets_are_named(void **state)
{
    (void)state;
    struct error err = {0};
    struct arena memory = {0};
    struct mean_distance spread;
    struct ms_ssim ssim;
    struct modes modes;
    float good[24] = {1};
    const struct features a = {good, 6, 4, NULL}, one = {good, 1, 4, NULL};
    refused(diversity_distance(&spread, &one, NULL, NULL, &err), &err,
            "the pictures: 1 of them; 2 to 1000000 are needed");
    refused(
        diversity_ms_ssim(&ssim, &(struct pixels){NULL, 0, 8, 8, NULL}, &(struct ms_ssim_options){.pairs = 1}, &err),
        &err, "the pictures: 0 of them; 2 to 1000000 are needed");
    refused(diversity_ms_ssim(&ssim, &(struct pixels){NULL, 2, 8, 15, "icons"}, &(struct ms_ssim_options){.pairs = 1},
                              &err),
            &err, "icons are 8 x 15 pixels; MS-SSIM needs 16 each way");
    const int32_t of[] = {0, 1, 2, 3, 4, 6};
    refused(modes_measure(&modes, &a, &a, of, &memory, &err), &err,
            "picture 6 is said to be of prompt 6; there are 6, counted from 0");
    arena_clear(&memory);
}

/* Two of each is the least: there are figures, but no standard errors. */
static void two_are_enough(void **state)
{
    (void)state;
    struct error err = {0};
    struct kernel_distance kid;
    struct frechet fid;
    struct mean_distance spread;
    float values[4] = {0, 1, 5, 8};
    const struct features a = {values, 2, 1, NULL}, b = {values + 2, 2, 1, NULL};
    check_ok(kernel_distances(&kid, NULL, &a, &b, 0, NULL, &err), &err);
    assert_true(isfinite(kid.unbiased) && isnan(kid.error));
    check_ok(frechet_distance(&fid, &a, &b, &err), &err);
    near_to(fid.distance, 36 + 0.5 + 4.5 - 2 * 1.5, 0, "two", "FID");
    check_ok(diversity_distance(&spread, &a, NULL, NULL, &err), &err);
    assert_true(spread.value == 1 && isnan(spread.error) && isnan(spread.within));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fid_is_torch_fidelitys),
        cmocka_unit_test(kid_and_cmmd_are_the_references),
        cmocka_unit_test(kid_of_directions),
        cmocka_unit_test(a_part_of_the_reference),
        cmocka_unit_test(subsets_are_numpys),
        cmocka_unit_test(manifolds_are_the_references),
        cmocka_unit_test(coverage_to_expect),
        cmocka_unit_test(mean_distance_is_scipys),
        cmocka_unit_test(ms_ssim_is_pytorchs),
        cmocka_unit_test(prompts_are_scipys),
        cmocka_unit_test(copies_are_scipys),
        cmocka_unit_test(birthdays),
        cmocka_unit_test(pixels_are_measured_in_levels),
        cmocka_unit_test(thresholds_are_of_real_pictures),
        cmocka_unit_test(equal_rows_are_at_zero),
        cmocka_unit_test(bad_features_are_named),
        cmocka_unit_test(bad_sets_are_named),
        cmocka_unit_test(two_are_enough),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
