/* SPDX-License-Identifier: MIT
 *
 * Faults that are planted, and the measure that has to find each: one picture over and over, copies of training
 * pictures, noise, prompts that are not followed. And what measures say of themselves: that there are too few pictures,
 * that something is missing.
 *
 * "Pictures" are directions about one of a few centres, a centre for each prompt, and small grey squares to go with
 * them.
 */
#include "compare/measures.h"
#include "core/base/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { WIDTH = 24, PROMPTS = 6, COUNT = 64, REAL = 240, SIDE = 16, PIXELS = SIDE * SIDE * 3, MOST = 1200 };

/* What a test works with: sets drawn anew for each. */
struct world {
    float centres[PROMPTS * WIDTH];
    float painted[MOST * WIDTH], real[MOST * WIDTH], learnt[MOST * WIDTH];
    uint8_t painted_pixels[COUNT * PIXELS], learnt_pixels[REAL * PIXELS];
    int32_t prompt_of[MOST];
    struct measures_input in;
};
static struct world w;

static void normalise(float *v)
{
    double sum = 0;
    for (int j = 0; j < WIDTH; j++) sum += (double)v[j] * (double)v[j];
    for (int j = 0; j < WIDTH; j++) v[j] = (float)((double)v[j] / sqrt(sum));
}

/* count directions about the prompts' centres in turn. */
static void draw(float *out, int count, uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, RNG_MT19937, seed);
    rng_normal(&rng, out, (size_t)count * WIDTH);
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < WIDTH; j++)
            out[i * WIDTH + j] = 0.15F * out[i * WIDTH + j] + w.centres[i % PROMPTS * WIDTH + j];
        normalise(out + i * WIDTH);
    }
}

static void draw_pixels(uint8_t *out, int count, uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, RNG_MT19937, seed);
    for (int i = 0; i < count * PIXELS; i++) out[i] = (uint8_t)rng_bits(&rng);
}

/* A good model: what it paints comes from where real pictures do. */
static int set_up(void **state)
{
    (void)state;
    struct rng rng;
    memset(&w, 0, sizeof w);
    rng_init(&rng, RNG_MT19937, 1);
    rng_normal(&rng, w.centres, PROMPTS * WIDTH);
    for (int i = 0; i < PROMPTS; i++) normalise(w.centres + i * WIDTH);
    draw(w.painted, COUNT, 2);
    draw(w.real, REAL, 3);
    draw(w.learnt, REAL, 4);
    draw_pixels(w.painted_pixels, COUNT, 5);
    draw_pixels(w.learnt_pixels, REAL, 6);
    for (int i = 0; i < MOST; i++) w.prompt_of[i] = i % PROMPTS;
    w.in = (struct measures_input){.pictures = {w.painted, COUNT, WIDTH, "the model"},
                                   .reference = {w.real, REAL, WIDTH, "real pictures"},
                                   .prompts = {w.centres, PROMPTS, WIDTH, "prompts"},
                                   .prompt_of = w.prompt_of,
                                   .training = {w.learnt, REAL, WIDTH, NULL},
                                   .pixels = {w.painted_pixels, COUNT, SIDE, SIDE, NULL},
                                   .training_pixels = {w.learnt_pixels, REAL, SIDE, SIDE, NULL},
                                   .seed = 7,
                                   .max_pairs = 120};
    return 0;
}

static void take(struct measures *m, struct verdicts *v)
{
    struct error err = {0};
    if (measures_take(m, &w.in, &err) != STATUS_OK) fail_msg("%s", err.text);
    compare_verdicts(v, m);
}

static const struct verdict *find(const struct verdicts *v, enum verdict_kind kind, enum measure measure)
{
    for (int i = 0; i < v->count; i++)
        if (v->verdict[i].kind == kind && v->verdict[i].measure == measure) return &v->verdict[i];
    return NULL;
}

static void says(const struct verdicts *v, enum verdict_kind kind, enum measure measure, const char *text)
{
    const struct verdict *found = find(v, kind, measure);
    if (!found) fail_msg("no verdict by %s of this kind", measure_info(measure)->name);
    if (strncmp(found->text, text, strlen(text)) != 0) fail_msg("'%s' does not begin with '%s'", found->text, text);
}

static int count_kind(const struct verdicts *v, enum verdict_kind kind)
{
    int count = 0;
    for (int i = 0; i < v->count; i++) count += v->verdict[i].kind == kind;
    return count;
}

static void repeat(const float *row, int count)
{
    for (int i = 0; i < count; i++) memmove(w.painted + i * WIDTH, row, WIDTH * sizeof *row);
}

/* ---- the faults ---- */

static void a_good_model_has_none(void **state)
{
    (void)state;
    struct measures m;
    struct verdicts v;
    take(&m, &v);
    for (int i = 0; i < v.count; i++)
        if (v.verdict[i].kind < VERDICT_GOOD) fail_msg("unfounded: %s", v.verdict[i].text);
    for (int i = 0; i < MEASURE_COUNT; i++)
        if (!m.figure[i].known)
            fail_msg("%s is not known: %s", measure_info((enum measure)i)->name, m.figure[i].caution);
    assert_string_equal(m.figure[MEASURE_COVERAGE].caution,
                        "with 64 pictures against 240 a perfect model would be expected to reach 0.70");
    says(&v, VERDICT_GOOD, MEASURE_DISTINCT, "repeats nothing: 64 distinct of 64");
    says(&v, VERDICT_GOOD, MEASURE_COPIES,
         "copies nothing: none of 64 pictures is near to one of 240 of its training set");
    says(&v, VERDICT_GOOD, MEASURE_KID, "KID cannot tell it from the reference");
    says(&v, VERDICT_GOOD, MEASURE_PROMPT_RANK1, "follows its prompts: ");
    assert_true(m.figure[MEASURE_SUPPORT].bound);
    assert_int_equal(m.duplicate_calibrated, true);
    assert_true(fabs(m.figure[MEASURE_COPYING_Z].value) < 3);
    measures_clear(&m);
}

static void one_picture_over_and_over(void **state)
{
    (void)state;
    struct measures m;
    struct verdicts v;
    repeat(w.real, COUNT - 2);
    for (int i = 1; i < COUNT; i++) memcpy(w.painted_pixels + i * PIXELS, w.painted_pixels, PIXELS);
    take(&m, &v);
    says(&v, VERDICT_FAULT, MEASURE_DISTINCT, "paints one picture over and over: 3 distinct of 64");
    says(&v, VERDICT_DOUBT, MEASURE_COVERAGE,
         "misses most of what the reference has: coverage 0.08, where 0.70 can be expected of as many pictures (6 "
         "prompts may ask for less)");
    says(&v, VERDICT_DOUBT, MEASURE_SUPPORT,
         "seems to know about 1.07 different pictures for these prompts, going by 1891 pairs");
    says(&v, VERDICT_FAULT, MEASURE_DIVERSITY, "its pictures are much more alike than the reference's");
    says(&v, VERDICT_FAULT, MEASURE_MS_SSIM, "its pictures are nearly the same pixel by pixel: MS-SSIM 1.000");
    assert_true(v.verdict[0].kind == VERDICT_FAULT);
    assert_true(m.figure[MEASURE_PRECISION].value == 1); /* a real picture, after all */
    assert_true(m.figure[MEASURE_RECALL].value > 0.9);   /* the two others have wide balls about them */
    assert_true(m.group[0] == 0 && m.group[61] == 0 && m.group[62] == 1 && m.group[63] == 2);
    assert_null(find(&v, VERDICT_DOUBT, MEASURE_COPYING_Z));
    measures_clear(&m);
    repeat(w.real, COUNT);
    w.in.prompt_of = NULL;
    take(&m, &v);
    says(&v, VERDICT_FAULT, MEASURE_COVERAGE, "misses most of what the reference has: coverage 0.0");
    says(&v, VERDICT_FAULT, MEASURE_DISTINCT, "paints one picture over and over: 1 distinct of 64");
    says(&v, VERDICT_FAULT, MEASURE_RECALL, "the reference's pictures do not lie among its own: recall 0.00");
    measures_clear(&m);
}

/* A model that listens to the prompt and not to the seed. */
static void one_picture_for_a_prompt(void **state)
{
    (void)state;
    struct measures m;
    struct verdicts v;
    for (int i = PROMPTS; i < COUNT; i++)
        memcpy(w.painted + i * WIDTH, w.painted + i % PROMPTS * WIDTH, WIDTH * sizeof *w.painted);
    take(&m, &v);
    says(&v, VERDICT_FAULT, MEASURE_DISTINCT,
         "paints one picture for a prompt, whatever the seed: 6 distinct of 64 for 6 prompts");
    assert_true(m.figure[MEASURE_DIVERSITY_WITHIN].value == 0);
    assert_null(find(&v, VERDICT_FAULT, MEASURE_PROMPT_RANK1));
    w.in.prompt_of = NULL;
    measures_clear(&m);
    take(&m, &v);
    says(&v, VERDICT_FAULT, MEASURE_DISTINCT, "paints few pictures over and over: 6 distinct of 64");
    measures_clear(&m);
}

static void three_pictures_for_a_prompt(void **state)
{
    (void)state;
    struct measures m;
    struct verdicts v;
    for (int i = 3 * PROMPTS; i < COUNT; i++)
        memcpy(w.painted + i * WIDTH, w.painted + i % (3 * PROMPTS) * WIDTH, WIDTH * sizeof *w.painted);
    take(&m, &v);
    says(&v, VERDICT_DOUBT, MEASURE_DISTINCT, "changes little with the seed: 18 distinct of 64 for 6 prompts");
    measures_clear(&m);
}

static void one_repeat(void **state)
{
    (void)state;
    struct measures m;
    struct verdicts v;
    memcpy(w.painted + WIDTH, w.painted, WIDTH * sizeof *w.painted);
    take(&m, &v);
    assert_true(m.figure[MEASURE_DISTINCT].value == 63 && !m.figure[MEASURE_SUPPORT].bound);
    assert_true(m.figure[MEASURE_SUPPORT].value == 64 * 63 / 2);
    assert_string_equal(m.figure[MEASURE_SUPPORT].caution, "it rests on 1 pair only");
    assert_null(find(&v, VERDICT_DOUBT, MEASURE_SUPPORT));
    measures_clear(&m);
}

static void copies_of_training_pictures(void **state)
{
    (void)state;
    struct measures m;
    struct verdicts v;
    for (int i = 0; i < 12; i++) {
        memcpy(w.painted + i * WIDTH, w.learnt + 18 * i * WIDTH, WIDTH * sizeof *w.painted);
        memcpy(w.painted_pixels + i * PIXELS, w.learnt_pixels + 18 * i * PIXELS, PIXELS);
    }
    take(&m, &v);
    says(&v, VERDICT_FAULT, MEASURE_COPIES_PIXELS, "copies its training set: 12 of 64 pictures are pictures of it");
    assert_int_equal(count_kind(&v, VERDICT_FAULT), 1);
    measures_clear(&m);
    w.in.training.name = "the reference";
    take(&m, &v);
    says(&v, VERDICT_FAULT, MEASURE_COPIES_PIXELS, "copies the reference: 12 of 64 pictures are pictures of it");
    assert_int_equal(m.copies, 12);
    assert_int_equal(m.copies_pixels, 12);
    assert_true(m.figure[MEASURE_COPIES].value == 12.0 / 64);
    assert_int_equal(m.nearest_training[3], 54);
    assert_int_equal(m.nearest_pixels[3], 54);
    measures_clear(&m);
}

/* Not to the bit: a little off in features, and pixels changed all over. */
static void near_copies_of_training_pictures(void **state)
{
    (void)state;
    struct measures m;
    struct verdicts v;
    w.in.pixels.count = w.in.training_pixels.count = 0;
    for (int i = 0; i < COUNT; i++) {
        for (int j = 0; j < WIDTH; j++)
            w.painted[i * WIDTH + j] = 0.1F * w.painted[i * WIDTH + j] + 0.9F * w.learnt[3 * i * WIDTH + j];
        normalise(w.painted + i * WIDTH);
    }
    take(&m, &v);
    says(&v, VERDICT_FAULT, MEASURE_COPIES, "copies its training set: ");
    assert_true(m.copies > COUNT / 2);
    assert_true(m.figure[MEASURE_COPYING_Z].value < -8);
    measures_clear(&m);
    /* Farther off than training pictures are from each other at their nearest, but too near on the whole. */
    for (int i = 0; i < COUNT; i++) {
        for (int j = 0; j < WIDTH; j++)
            w.painted[i * WIDTH + j] =
                0.6F * w.learnt[(3 * i + 6) % REAL * WIDTH + j] + 0.9F * w.learnt[3 * i * WIDTH + j];
        normalise(w.painted + i * WIDTH);
    }
    take(&m, &v);
    assert_null(find(&v, VERDICT_FAULT, MEASURE_COPIES));
    says(&v, VERDICT_DOUBT, MEASURE_COPYING_Z, "keeps close to its training set: ");
    measures_clear(&m);
}

static void noise(void **state)
{
    (void)state;
    struct measures m, good;
    struct verdicts v;
    struct rng rng;
    take(&good, &v);
    rng_init(&rng, RNG_MT19937, 9);
    rng_normal(&rng, w.painted, COUNT * WIDTH);
    for (int i = 0; i < COUNT; i++) normalise(w.painted + i * WIDTH);
    take(&m, &v);
    says(&v, VERDICT_FAULT, MEASURE_PRECISION, "its pictures are not like the reference's: precision 0.0");
    says(&v, VERDICT_FAULT, MEASURE_PROMPT_RANK1, "does not follow its prompts, as CLIP sees it: ");
    says(&v, VERDICT_FAULT, MEASURE_NEAREST, "its pictures are like none of its training set: 1 from the nearest");
    says(&v, VERDICT_NOTE, MEASURE_KID, "KID tells it from the reference");
    assert_true(m.figure[MEASURE_FID].value > 3 * good.figure[MEASURE_FID].value);
    assert_true(m.figure[MEASURE_CMMD].value > 3 * good.figure[MEASURE_CMMD].value);
    assert_null(find(&v, VERDICT_FAULT, MEASURE_DISTINCT)); /* noise does not repeat itself */
    measures_clear(&m);
    /* And noise that has a place of its own, far from everything. */
    for (int i = 0; i < COUNT * WIDTH; i++) w.painted[i] = 0.2F * w.painted[i] - w.centres[i % WIDTH];
    for (int i = 0; i < COUNT; i++) normalise(w.painted + i * WIDTH);
    take(&m, &v);
    says(&v, VERDICT_FAULT, MEASURE_FID, "is farther from the reference than the mean of the reference's features");
    measures_clear(&m);
    measures_clear(&good);
}

static void prompts_that_are_never_painted(void **state)
{
    (void)state;
    struct measures m;
    struct verdicts v;
    w.in.prompt_of = NULL;
    for (int i = 0; i < COUNT; i++)
        memcpy(w.painted + i * WIDTH, w.real + (i * PROMPTS + i % 2) % REAL * WIDTH, WIDTH * sizeof *w.painted);
    take(&m, &v);
    assert_true(m.figure[MEASURE_MODES].value == 2);
    says(&v, VERDICT_FAULT, MEASURE_MODES, "4 of 6 prompts are the nearest to no picture at all");
    assert_true(fabs(m.figure[MEASURE_MODE_ENTROPY].value - log(2)) < 0.01);
    assert_true(fabs(m.figure[MEASURE_MODE_KL].value - log(3)) < 0.01);
    measures_clear(&m);
    /* With so few pictures chance alone may miss some. */
    w.in.pictures.count = w.in.pixels.count = 20;
    take(&m, &v);
    assert_string_equal(m.figure[MEASURE_MODES].caution,
                        "20 pictures miss some of 6 prompts even if all are as likely; 29 would not (Erdos & Renyi "
                        "1961)");
    assert_null(find(&v, VERDICT_FAULT, MEASURE_MODES));
    measures_clear(&m);
    /* A prompt is painted that nobody asked for. */
    set_up(NULL);
    memset(w.prompt_of, 0, sizeof w.prompt_of);
    take(&m, &v);
    assert_false(m.figure[MEASURE_MODE_KL].known);
    assert_string_equal(m.figure[MEASURE_MODE_KL].caution,
                        "a picture is nearest to a prompt that nobody asked for, which makes it infinite");
    measures_clear(&m);
}

/* ---- what measures say of themselves ---- */

static void one_picture_alone(void **state)
{
    (void)state;
    struct measures m;
    struct verdicts v;
    w.in.pictures.count = w.in.pixels.count = 1;
    take(&m, &v);
    assert_int_equal(count_kind(&v, VERDICT_FAULT), 0);
    assert_false(m.figure[MEASURE_FID].known);
    assert_string_equal(m.figure[MEASURE_FID].caution, "1 picture of a set is too few for it");
    assert_string_equal(m.figure[MEASURE_RECALL].caution, "1 picture of a set is too few for it");
    assert_string_equal(m.figure[MEASURE_DIVERSITY].caution, "one picture has nothing to differ from");
    assert_string_equal(m.figure[MEASURE_SUPPORT].caution, "one picture has nothing to differ from");
    assert_true(m.figure[MEASURE_CLIP_SCORE].known);
    assert_string_equal(m.figure[MEASURE_CLIP_SCORE].caution, "it is of one picture only");
    assert_true(m.figure[MEASURE_NEAREST].known);
    assert_string_equal(m.figure[MEASURE_COPYING_Z].caution,
                        "1 pictures of a set are too few for it; 8 would do (Mann & Whitney 1947)");
    measures_clear(&m);
}

/* Every number of pictures up to what all measures take. */
static void few_pictures(void **state)
{
    (void)state;
    for (int n = 2; n <= 12; n++) {
        struct measures m;
        struct verdicts v;
        w.in.pictures.count = w.in.pixels.count = n;
        w.in.reference.count = w.in.training.count = w.in.training_pixels.count = n < 8 ? 13 - n : n;
        take(&m, &v);
        assert_true(m.figure[MEASURE_KID].known && m.figure[MEASURE_FID].known && m.figure[MEASURE_FID].caution[0]);
        assert_int_equal(m.figure[MEASURE_COVERAGE].known, n > 5);
        for (int i = 0; i < MEASURE_COUNT; i++) {
            if (m.figure[i].known && !isfinite(m.figure[i].value))
                fail_msg("%s of %d", measure_info((enum measure)i)->name, n);
            if (!m.figure[i].known && !m.figure[i].caution[0])
                fail_msg("%s of %d: why?", measure_info((enum measure)i)->name, n);
        }
        measures_clear(&m);
    }
}

static void cautions_go_with_numbers(void **state)
{
    (void)state;
    struct measures m;
    struct verdicts v;
    w.in.reference.count = 12;
    take(&m, &v);
    assert_string_equal(m.figure[MEASURE_FID].caution,
                        "12 pictures with features 24 wide have a covariance of less than full rank, and FID comes out "
                        "too large: compare it only between sets of as many (10000 are advised, Heusel et al. 2017)");
    says(&v, VERDICT_NOTE, MEASURE_FID,
         "64 pictures against 12 are few: compare FID, CMMD, precision, recall, density");
    measures_clear(&m);
    draw(w.painted, MOST, 12);
    draw(w.real, MOST, 13);
    w.in.pictures.count = w.in.reference.count = MOST;
    w.in.pixels.count = 0;
    take(&m, &v);
    assert_string_equal(m.figure[MEASURE_PRECISION].caution, "");
    assert_string_equal(m.figure[MEASURE_COVERAGE].caution, "");
    assert_true(m.figure[MEASURE_FID].caution[0] != '\0'); /* still far from 10,000 */
    assert_true(fabs(m.figure[MEASURE_COVERAGE].value - m.figure[MEASURE_COVERAGE].ideal) < 0.03);
    assert_true(fabs(m.figure[MEASURE_DENSITY].value - 1) < 0.1);
    measures_clear(&m);
}

static void nothing_to_compare_with(void **state)
{
    (void)state;
    struct measures m;
    struct verdicts v;
    w.in = (struct measures_input){.pictures = w.in.pictures};
    take(&m, &v);
    for (int i = 0; i < MEASURE_COUNT; i++) {
        const bool alone = i == MEASURE_DIVERSITY || i == MEASURE_DISTINCT || i == MEASURE_SUPPORT;
        assert_int_equal(m.figure[i].known, alone);
        if (i != MEASURE_DIVERSITY) assert_true(m.figure[i].caution[0] != '\0');
    }
    assert_string_equal(m.figure[MEASURE_DISTINCT].caution,
                        "no real pictures say how near is too near; features at most 0.1 apart count as the same");
    measures_clear(&m);
}

static void refused(const char *sentence)
{
    struct measures m;
    struct error err = {0};
    assert_int_equal(measures_take(&m, &w.in, &err), STATUS_ARGUMENT);
    assert_string_equal(err.text, sentence);
    set_up(NULL);
}

static void bad_input(void **state)
{
    (void)state;
    w.in.pictures.count = 0;
    refused("the model: 0 of them; 1 to 1000000 are needed");
    w.in.prompts.width = WIDTH - 1;
    refused("the model has features 24 wide and prompts 23; they must come from one network");
    w.learnt[5 * WIDTH + 2] = NAN;
    w.in.training.name = "training pictures";
    refused("training pictures: feature 3 of number 6 is nan; all must be finite");
    for (int j = 0; j < WIDTH; j++) w.real[WIDTH + j] *= 3;
    refused("real pictures: number 2 has length 3; directions, of length 1, are needed");
    w.in.pixels.count = 63;
    refused("there are pixels of 63 pictures and features of 64");
    w.in.training_pixels.width = 32;
    refused("the pictures are 16 x 16 pixels and those of training 32 x 16; they must be of one size");
    w.in.prompt_of = (int32_t[COUNT]){0, -1};
    refused("picture 2 is said to be of prompt -1; there are 6, counted from 0");
}

static void the_same_figures_again(void **state)
{
    (void)state;
    struct measures a, b;
    struct verdicts v;
    take(&a, &v);
    take(&b, &v);
    for (int i = 0; i < MEASURE_COUNT; i++)
        assert_memory_equal(&a.figure[i].value, &b.figure[i].value, sizeof a.figure[i].value);
    assert_memory_equal(&a.kid_subset_mean, &b.kid_subset_mean, sizeof a.kid_subset_mean);
    assert_int_equal(a.kid_subset_size, 32);
    measures_clear(&a);
    measures_clear(&b);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    w.in.pictures.count = w.in.pixels.count = 12;
    w.in.reference.count = w.in.training.count = w.in.training_pixels.count = 13;
    memory_fail_after(0);
    uint64_t asked = 1;
    for (uint64_t at = 1; at <= asked; at += at < 200 ? 1 : 37) {
        struct measures m;
        struct error err = {0};
        memory_fail_after(at);
        const enum status status = measures_take(&m, &w.in, &err);
        asked = memory_fail_after(0);
        if (status == STATUS_OK) {
            measures_clear(&m);
            assert_true(at > 100);
            return;
        }
        assert_int_equal(status, STATUS_NO_MEMORY);
        asked = at + 38;
    }
}

struct patience {
    int left, told;
};

static bool run_out(void *context)
{
    return ((struct patience *)context)->left-- == 0;
}

static void hear(void *context, const char *what, int64_t done, int64_t total)
{
    assert_true(what && done >= 1 && done <= total);
    ((struct patience *)context)->told++;
}

static void stops_when_asked(void **state)
{
    (void)state;
    int left = 0;
    for (;; left += 7) {
        struct measures m;
        struct error err = {0};
        struct patience patience = {.left = left};
        const struct measures_watch watch = {&patience, run_out, hear};
        w.in.watch = &watch;
        const enum status status = measures_take(&m, &w.in, &err);
        if (status == STATUS_OK) {
            assert_true(left > 100);
            assert_int_equal(patience.told + patience.left, left);
            measures_clear(&m);
            return;
        }
        assert_int_equal(status, STATUS_CANCELLED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_good_model_has_none, set_up),
        cmocka_unit_test_setup(one_picture_over_and_over, set_up),
        cmocka_unit_test_setup(one_picture_for_a_prompt, set_up),
        cmocka_unit_test_setup(three_pictures_for_a_prompt, set_up),
        cmocka_unit_test_setup(one_repeat, set_up),
        cmocka_unit_test_setup(copies_of_training_pictures, set_up),
        cmocka_unit_test_setup(near_copies_of_training_pictures, set_up),
        cmocka_unit_test_setup(noise, set_up),
        cmocka_unit_test_setup(prompts_that_are_never_painted, set_up),
        cmocka_unit_test_setup(one_picture_alone, set_up),
        cmocka_unit_test_setup(few_pictures, set_up),
        cmocka_unit_test_setup(cautions_go_with_numbers, set_up),
        cmocka_unit_test_setup(nothing_to_compare_with, set_up),
        cmocka_unit_test_setup(bad_input, set_up),
        cmocka_unit_test_setup(the_same_figures_again, set_up),
        cmocka_unit_test_setup(every_allocation_may_fail, set_up),
        cmocka_unit_test_setup(stops_when_asked, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
