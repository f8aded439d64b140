/* SPDX-License-Identifier: MIT */
#include "compare/measures.h"

#include "compare/copying.h"
#include "compare/diversity.h"
#include "compare/frechet.h"
#include "compare/kernel_distance.h"
#include "compare/manifold.h"
#include "compare/modes.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    MANIFOLD_FEW = 1000, /* a tenth of what the papers take */
    MS_SSIM_FEW = 100,   /* pairs; as many as Odena et al. take for a class */
    RANKS_FEW = 8        /* Mann & Whitney: from here on the statistic is near enough normal */
};
#define COUPONS_SURE 3.0 /* Erdos & Renyi 1961: n = k (ln k + c) draws miss none of k with probability exp(-e^-c) */

const struct measure_info *measure_info(enum measure measure)
{
    static const struct measure_info list[MEASURE_COUNT] = {
#define X(id, name, title, better, unit, source, says)                                                                 \
    [MEASURE_##id] = {name, title, BETTER_##better, unit, source, says},
        MEASURE_MAP(X)
#undef X
    };
    return &list[measure];
}

/* ---- figures ---- */

PRINTF_LIKE(2, 3) static void caution(struct figure *f, const char *format, ...)
{
    va_list arguments;
    if (f->caution[0]) return; /* the first one is the gravest */
    va_start(arguments, format);
    vsnprintf(f->caution, sizeof f->caution, format, arguments);
    va_end(arguments);
}

static struct figure *set(struct measures *m, enum measure measure, double value, double error)
{
    struct figure *f = &m->figure[measure];
    *f = (struct figure){.known = true, .value = value, .error = error, .ideal = NAN};
    return f;
}

/* All figures from first to last, because of one thing. */
static void not_known(struct measures *m, enum measure first, enum measure last, const char *why)
{
    for (int i = (int)first; i <= (int)last; i++) caution(&m->figure[i], "%s", why);
}

static long long fewer(int64_t a, int64_t b)
{
    return (long long)(a < b ? a : b);
}

/* ---- against a reference ---- */

static enum status take_frechet(struct measures *m, const struct measures_input *in, struct error *err)
{
    struct frechet frechet;
    const enum status status = frechet_distance(&frechet, &in->pictures, &in->reference, err);
    if (status != STATUS_OK) return status;
    struct figure *f = set(m, MEASURE_FID, frechet.distance, NAN);
    const long long few = fewer(m->count, m->reference_count);
    m->reference_spread = frechet.reference_spread;
    if (few <= m->width)
        caution(f,
                "%lld pictures with features %lld wide have a covariance of less than full rank, and FID comes out too "
                "large: compare it only between sets of as many (%d are advised, Heusel et al. 2017)",
                few, (long long)m->width, FRECHET_ADVISED);
    else if (few < FRECHET_ADVISED)
        caution(f,
                "of %lld pictures FID comes out too large: compare it only between sets of as many (%d are advised, "
                "Heusel et al. 2017)",
                few, FRECHET_ADVISED);
    return measures_step(in->watch, "FID", 1, 1, err);
}

static enum status take_kernels(struct measures *m, const struct measures_input *in, struct error *err)
{
    struct kernel_distance kid, cmmd;
    /* As much smaller than the set as 1000 are than the 10,000 of the papers, or else half of it. */
    const int64_t few = fewer(m->count, m->reference_count), part = few < 100 ? few / 2 : few < 500 ? 50 : few / 10;
    const struct kid_subsets subsets = {.subsets = KID_SUBSETS,
                                        .subset_size = part < KID_SUBSET_SIZE ? part : KID_SUBSET_SIZE,
                                        .seed = in->seed,
                                        .gamma = KID_GAMMA_OF_DIRECTIONS,
                                        .watch = in->watch};
    enum status status =
        kernel_distances(&kid, &cmmd, &in->pictures, &in->reference, KID_GAMMA_OF_DIRECTIONS, in->watch, err);
    if (status == STATUS_OK && few >= 4) {
        status = kid_over_subsets(&m->kid_subset_mean, &m->kid_subset_deviation, &in->pictures, &in->reference,
                                  &subsets, err);
        m->kid_subsets = subsets.subsets;
        m->kid_subset_size = subsets.subset_size;
    }
    if (status != STATUS_OK) return status;
    struct figure *f = set(m, MEASURE_KID, kid.unbiased, kid.error);
    f->ideal = 0;
    m->kid_picture_error = kid.picture_error;
    if (isnan(kid.error))
        caution(f, "2 pictures of a set are too few for a standard error");
    else if (kid.unbiased < 2 * kid.error)
        caution(f, "cannot be told from 0, where both sets are alike: the standard error is %.2g", kid.error);
    f = set(m, MEASURE_CMMD, cmmd.biased, cmmd.error);
    f->ideal = cmmd.biased - cmmd.unbiased;
    if (f->ideal > cmmd.biased / 10)
        caution(f, "%.2g of it is bias that comes from having %lld and %lld pictures (Gretton et al. 2012)", f->ideal,
                (long long)m->count, (long long)m->reference_count);
    return STATUS_OK;
}

static enum status take_manifold(struct measures *m, const struct measures_input *in, struct error *err)
{
    struct manifold manifold;
    const struct manifold_options options = {MANIFOLD_K, DENSITY_K, in->asked, in->watch};
    const enum status status = manifold_compare(&manifold, &in->pictures, &in->reference, &options, err);
    if (status != STATUS_OK) return status;
    struct figure *precision = set(m, MEASURE_PRECISION, manifold.precision, NAN);
    struct figure *recall = set(m, MEASURE_RECALL, manifold.recall, NAN);
    struct figure *density = set(m, MEASURE_DENSITY, manifold.density, NAN);
    struct figure *coverage = set(m, MEASURE_COVERAGE, manifold.coverage, NAN);
    const long long few = fewer(m->count, in->reference.count);
    density->ideal = 1;
    coverage->ideal = manifold.coverage_ideal;
    if (few < MANIFOLD_FEW) {
        struct figure *const shaky[] = {precision, recall, density};
        for (int i = 0; i < 3; i++)
            caution(shaky[i],
                    "%lld pictures are few: neighbours are far apart, and it depends on the number (the "
                    "papers take %d and more)",
                    few, MANIFOLD_ADVISED);
    }
    if (manifold.coverage_ideal < 0.9)
        caution(coverage, "with %lld pictures against %lld a perfect model would be expected to reach %.2f",
                (long long)m->count, (long long)m->reference_count, manifold.coverage_ideal);
    return STATUS_OK;
}

/* all: with the whole reference; in: with what is asked for alone. */
static enum status take_reference(struct measures *m, const struct measures_input *all, const struct measures_input *in,
                                  struct error *err)
{
    const long long few = fewer(m->count, m->reference_count);
    char why[CAUTION_BYTES];
    if (m->reference_count == 0) {
        not_known(m, MEASURE_FID, MEASURE_COVERAGE, "there are no reference pictures to compare with");
        return STATUS_OK;
    }
    snprintf(why, sizeof why, "%lld picture%s of a set %s too few for it", few, few == 1 ? "" : "s",
             few == 1 ? "is" : "are");
    enum status status = STATUS_OK;
    if (few >= 2) status = take_frechet(m, in, err);
    if (few >= 2 && status == STATUS_OK) status = take_kernels(m, in, err);
    if (fewer(m->count, all->reference.count) > DENSITY_K && status == STATUS_OK) status = take_manifold(m, all, err);
    for (int i = MEASURE_FID; i <= (int)MEASURE_COVERAGE; i++)
        if (!m->figure[i].known) caution(&m->figure[i], "%s", why);
    return status;
}

/* ---- prompts ---- */

static void set_modes(struct measures *m, const struct modes *modes)
{
    const double n = (double)m->count, k = (double)m->prompt_count, asked = (double)modes->asked;
    struct figure *covered = set(m, MEASURE_MODES, (double)modes->covered, NAN);
    struct figure *entropy = set(m, MEASURE_MODE_ENTROPY, modes->entropy, NAN);
    struct figure *divergence = set(m, MEASURE_MODE_KL, modes->divergence, NAN);
    covered->ideal = asked > 0 ? asked : NAN;
    divergence->ideal = asked > 0 ? 0 : (k - 1) / (2 * n);
    divergence->known = isfinite(modes->divergence);
    if (!divergence->known)
        caution(divergence, "a picture is nearest to a prompt that nobody asked for, which makes it infinite");
    if (asked == 0 && n < k * (log(k) + COUPONS_SURE)) {
        const double wanted = ceil(k * (log(k) + COUPONS_SURE));
        caution(covered,
                "%.0f pictures miss some of %.0f prompts even if all are as likely; %.0f would not (Erdos & "
                "Renyi 1961)",
                n, k, wanted);
    }
    if ((k - 1) / (2 * n) > log(k) / 10) {
        struct figure *const biased[] = {entropy, divergence};
        for (int i = 0; i < 2; i++)
            caution(biased[i], "%.0f pictures over %.0f prompts shift it by about %.2g nats (Miller 1955)", n, k,
                    (k - 1) / (2 * n));
    }
}

static enum status take_prompts(struct measures *m, const struct measures_input *in, struct error *err)
{
    struct modes modes;
    if (m->prompt_count == 0) {
        not_known(m, MEASURE_CLIP_SCORE, MEASURE_PROMPT_RANK1, "there are no prompts to compare with");
        not_known(m, MEASURE_MODES, MEASURE_MODE_KL, "there are no prompts to compare with");
        return STATUS_OK;
    }
    const enum status status = modes_measure(&modes, &in->pictures, &in->prompts, in->prompt_of, &m->memory, err);
    if (status != STATUS_OK) return status;
    m->clip_score = modes.score;
    m->best_prompt = modes.best;
    m->prompt_hits = modes.hits;
    m->prompts_asked = modes.asked;
    if (m->prompt_count > 1)
        set_modes(m, &modes);
    else
        not_known(m, MEASURE_MODES, MEASURE_MODE_KL, "one prompt alone is hit by every picture");
    if (!in->prompt_of) {
        not_known(m, MEASURE_CLIP_SCORE, MEASURE_PROMPT_RANK1, "nobody says which prompt a picture is of");
        return STATUS_OK;
    }
    struct figure *f = set(m, MEASURE_CLIP_SCORE, modes.mean_score, modes.score_error);
    if (m->count == 1) caution(f, "it is of one picture only");
    if (m->prompt_count == 1) {
        not_known(m, MEASURE_PROMPT_RANK1, MEASURE_PROMPT_RANK1, "one prompt alone is always the nearest");
        return STATUS_OK;
    }
    const double p = modes.own_first;
    f = set(m, MEASURE_PROMPT_RANK1, p, sqrt(p * (1 - p) / (double)m->count));
    f->ideal = 1;
    return STATUS_OK;
}

/* ---- the pictures among themselves ---- */

static enum status take_distances(struct measures *m, const struct measures_input *in, struct error *err)
{
    struct mean_distance distance;
    const int32_t *group = m->prompt_count > 0 ? in->prompt_of : NULL;
    const enum status status = diversity_distance(&distance, &in->pictures, group, in->watch, err);
    if (status != STATUS_OK) return status;
    struct figure *f = set(m, MEASURE_DIVERSITY, distance.value, distance.error);
    if (isnan(distance.error)) caution(f, "it is of one pair only");
    if (in->reference.count >= 2) {
        struct mean_distance real;
        if (diversity_distance(&real, &in->reference, NULL, in->watch, err) != STATUS_OK) return err->status;
        f->ideal = real.value;
    }
    if (distance.within_pairs > 0)
        set(m, MEASURE_DIVERSITY_WITHIN, distance.within, NAN);
    else
        not_known(m, MEASURE_DIVERSITY_WITHIN, MEASURE_DIVERSITY_WITHIN,
                  group ? "no two pictures are of one prompt" : "nobody says which prompt a picture is of");
    return STATUS_OK;
}

static enum status take_ms_ssim(struct measures *m, const struct measures_input *in, struct error *err)
{
    /* As much work for large pictures as for 1000 pairs of 128 x 128, but not below what the paper takes. */
    const double room = 128.0 * 128.0 / ((double)in->pixels.width * in->pixels.height);
    const double fit = room < 1 ? MS_SSIM_PAIRS * room : MS_SSIM_PAIRS;
    const int64_t usual = fit < MS_SSIM_FEW ? MS_SSIM_FEW : (int64_t)fit;
    const struct ms_ssim_options options = {in->max_pairs > 0 ? in->max_pairs : usual, in->seed, in->watch};
    struct ms_ssim ssim;
    if (in->pixels.count == 0) {
        not_known(m, MEASURE_MS_SSIM, MEASURE_MS_SSIM, "there are no pixels of one size to compare");
        return STATUS_OK;
    }
    if (in->pixels.width < MS_SSIM_LEAST_SIDE || in->pixels.height < MS_SSIM_LEAST_SIDE) {
        caution(&m->figure[MEASURE_MS_SSIM], "pictures of %d x %d are too small; it needs %d pixels each way",
                in->pixels.width, in->pixels.height, MS_SSIM_LEAST_SIDE);
        return STATUS_OK;
    }
    const enum status status = diversity_ms_ssim(&ssim, &in->pixels, &options, err);
    if (status != STATUS_OK) return status;
    struct figure *f = set(m, MEASURE_MS_SSIM, ssim.value, ssim.error);
    if (ssim.pairs < MS_SSIM_FEW)
        caution(f, "it is of %lld pair%s; Odena et al. 2017 take %d", (long long)ssim.pairs, ssim.pairs == 1 ? "" : "s",
                MS_SSIM_FEW);
    return STATUS_OK;
}

/* Real pictures to calibrate by: as many as there are, in the reference or the training set. */
static const struct features *real_pictures(const struct measures_input *in)
{
    const struct features *more = in->training.count > in->reference.count ? &in->training : &in->reference;
    return more->count >= 2 ? more : NULL;
}

static enum status take_duplicates(struct measures *m, const struct measures_input *in, struct error *err)
{
    const struct features *real = real_pictures(in);
    const struct rows rows = rows_of_features(&in->pictures), by = rows_of_features(real ? real : &in->pictures);
    struct copying_threshold threshold;
    struct duplicates d;
    enum status status = copying_threshold(&threshold, real ? &by : NULL, COPYING_FEATURES, &m->memory, in->watch, err);
    if (status == STATUS_OK)
        status = copying_duplicates(&d, &rows, threshold.distance, COPYING_FEATURES, &m->memory, in->watch, err);
    if (status != STATUS_OK) return status;
    m->duplicate_distance = threshold.distance;
    m->duplicate_calibrated = threshold.calibrated;
    m->duplicate_pairs = d.pairs;
    m->largest_group = d.largest;
    m->group = d.group;
    struct figure *distinct = set(m, MEASURE_DISTINCT, (double)d.distinct, NAN);
    distinct->ideal = (double)m->count;
    struct figure *support = set(m, MEASURE_SUPPORT, d.support, NAN);
    support->bound = d.support_is_bound;
    if (d.support_is_bound)
        caution(support, "no two of %lld pictures are the same: it is likely (19 in 20) at least this",
                (long long)m->count);
    else if (d.pairs < 10)
        caution(support, "it rests on %lld pair%s only", (long long)d.pairs, d.pairs == 1 ? "" : "s");
    if (!threshold.calibrated)
        for (int i = MEASURE_DISTINCT; i <= (int)MEASURE_SUPPORT; i++)
            caution(&m->figure[i],
                    "no real pictures say how near is too near; features at most %.2g apart count as "
                    "the same",
                    threshold.distance);
    return STATUS_OK;
}

static enum status take_diversity(struct measures *m, const struct measures_input *all, const struct measures_input *in,
                                  struct error *err)
{
    enum status status = STATUS_OK;
    if (m->count < 2) {
        not_known(m, MEASURE_DIVERSITY, MEASURE_MS_SSIM, "one picture has nothing to differ from");
        not_known(m, MEASURE_DISTINCT, MEASURE_SUPPORT, "one picture has nothing to differ from");
        return STATUS_OK;
    }
    status = take_distances(m, in, err);
    if (status == STATUS_OK) status = take_ms_ssim(m, in, err);
    if (status == STATUS_OK) status = take_duplicates(m, all, err);
    return status;
}

/* ---- against the training set ---- */

struct copying {
    struct copying_threshold threshold;
    struct copies copies;
};

static enum status take_copies_of(struct copying *out, struct measures *m, const struct rows *mine,
                                  const struct rows *training, enum copying_kind kind,
                                  const struct measures_watch *watch, struct error *err)
{
    const struct rows *by = training->count >= 2 ? training : NULL;
    enum status status = copying_threshold(&out->threshold, by, kind, &m->memory, watch, err);
    if (status == STATUS_OK)
        status = copying_copies(&out->copies, mine, training, &out->threshold, kind, &m->memory, watch, err);
    return status;
}

static void set_copies(struct measures *m, const struct copying *c, enum measure copies, enum measure nearest,
                       int64_t training)
{
    const double share = (double)c->copies.copies / (double)m->count;
    struct figure *f = set(m, copies, share, sqrt(share * (1 - share) / (double)m->count));
    if (training < COPYING_ADVISED)
        caution(f, "%lld training pictures are too few to say how near is too near; %d would do", (long long)training,
                COPYING_ADVISED);
    set(m, nearest, c->copies.median, NAN)->ideal = c->threshold.median;
}

static enum status take_copies(struct measures *m, const struct measures_input *in, struct error *err)
{
    struct copying c;
    if (m->training_count == 0) {
        const char *why = "there are no training pictures to compare with";
        not_known(m, MEASURE_COPIES, MEASURE_COPIES, why);
        not_known(m, MEASURE_NEAREST, MEASURE_NEAREST, why);
        not_known(m, MEASURE_COPYING_Z, MEASURE_COPYING_Z, why);
        return STATUS_OK;
    }
    const struct rows mine = rows_of_features(&in->pictures), training = rows_of_features(&in->training);
    const enum status status = take_copies_of(&c, m, &mine, &training, COPYING_FEATURES, in->watch, err);
    if (status != STATUS_OK) return status;
    set_copies(m, &c, MEASURE_COPIES, MEASURE_NEAREST, training.count);
    m->nearest_training = c.copies.nearest;
    m->nearest_distance = c.copies.distance;
    m->copy_distance = c.threshold.distance;
    m->copies = c.copies.copies;
    if (isnan(c.copies.z)) {
        not_known(m, MEASURE_COPYING_Z, MEASURE_COPYING_Z, "one training picture has no neighbour to compare with");
        return STATUS_OK;
    }
    struct figure *f = set(m, MEASURE_COPYING_Z, c.copies.z, 1);
    f->ideal = 0;
    if (fewer(m->count, training.count) < RANKS_FEW)
        caution(f, "%lld pictures of a set are too few for it; %d would do (Mann & Whitney 1947)",
                fewer(m->count, training.count), RANKS_FEW);
    return STATUS_OK;
}

static enum status take_pixel_copies(struct measures *m, const struct measures_input *in, struct error *err)
{
    struct copying c;
    if (in->training_pixels.count == 0 || in->pixels.count == 0) {
        const char *why = in->pixels.count == 0 ? "there are no pixels of one size to compare"
                                                : "there are no training pictures to compare with";
        not_known(m, MEASURE_COPIES_PIXELS, MEASURE_COPIES_PIXELS, why);
        not_known(m, MEASURE_NEAREST_PIXELS, MEASURE_NEAREST_PIXELS, why);
        return STATUS_OK;
    }
    const struct rows mine = rows_of_pixels(&in->pixels), training = rows_of_pixels(&in->training_pixels);
    const enum status status = take_copies_of(&c, m, &mine, &training, COPYING_PIXELS, in->watch, err);
    if (status != STATUS_OK) return status;
    set_copies(m, &c, MEASURE_COPIES_PIXELS, MEASURE_NEAREST_PIXELS, training.count);
    m->nearest_pixels = c.copies.nearest;
    m->nearest_pixels_distance = c.copies.distance;
    m->copy_pixels_distance = c.threshold.distance;
    m->copies_pixels = c.copies.copies;
    return STATUS_OK;
}

/* ---- all ---- */

/* Thresholds and CMMD are those of vectors of length 1. */
static enum status check_directions(const struct features *f, struct error *err)
{
    for (int64_t i = 0; i < f->count; i++) {
        double sum = 0;
        for (int64_t j = 0; j < f->width; j++) {
            const double x = (double)f->values[i * f->width + j];
            sum += x * x;
        }
        if (fabs(sum - 1) > 1e-3)
            return fail(err, STATUS_ARGUMENT, "%s: number %lld has length %g; directions, of length 1, are needed",
                        features_name(f), (long long)(i + 1), sqrt(sum));
    }
    return STATUS_OK;
}

static enum status check_pixels(const struct measures_input *in, struct error *err)
{
    const struct pixels *p = &in->pixels, *t = &in->training_pixels;
    if (p->count != 0 && p->count != in->pictures.count)
        return fail(err, STATUS_ARGUMENT, "there are pixels of %lld pictures and features of %lld", (long long)p->count,
                    (long long)in->pictures.count);
    if (p->count != 0 && (p->width < 1 || p->height < 1))
        return fail(err, STATUS_ARGUMENT, "the pictures are %d x %d pixels", p->width, p->height);
    if (p->count != 0 && t->count != 0 && (p->width != t->width || p->height != t->height))
        return fail(err, STATUS_ARGUMENT,
                    "the pictures are %d x %d pixels and those of training %d x %d; they must be "
                    "of one size",
                    p->width, p->height, t->width, t->height);
    return STATUS_OK;
}

static enum status check(const struct measures_input *in, struct error *err)
{
    const struct features *const others[] = {&in->reference, &in->prompts, &in->training};
    enum status status = features_check(&in->pictures, 1, err);
    if (status == STATUS_OK) status = check_directions(&in->pictures, err);
    for (int i = 0; i < 3 && status == STATUS_OK; i++) {
        if (others[i]->count == 0) continue;
        status = features_check_pair(&in->pictures, others[i], 1, err);
        if (status == STATUS_OK) status = check_directions(others[i], err);
    }
    return status == STATUS_OK ? check_pixels(in, err) : status;
}

/* The rows that are asked for, in the measures' memory. */
static enum status narrow(struct features *out, const struct measures_input *in, struct arena *memory,
                          struct error *err)
{
    const struct features *all = &in->reference;
    const size_t row = (size_t)all->width * sizeof(float);
    *out = *all;
    if (!in->asked || all->count == 0) return STATUS_OK;
    float *values = arena_alloc(memory, (size_t)all->count * row);
    if (!values) return fail_no_memory(err, "features of the reference", (size_t)all->count * row);
    out->values = values;
    out->count = 0;
    for (int64_t i = 0; i < all->count; i++)
        if (in->asked[i]) memcpy(values + out->count++ * all->width, all->values + i * all->width, row);
    return STATUS_OK;
}

enum status measures_take(struct measures *out, const struct measures_input *in, struct error *err)
{
    *out = (struct measures){.count = in->pictures.count,
                             .training_count = in->training.count,
                             .prompt_count = in->prompts.count,
                             .width = in->pictures.width,
                             .reference_spread = NAN,
                             .kid_picture_error = NAN,
                             .copy_distance = NAN,
                             .copy_pixels_distance = NAN};
    for (int i = 0; i < MEASURE_COUNT; i++) out->figure[i] = (struct figure){.value = NAN, .error = NAN, .ideal = NAN};
    enum status status = check(in, err);
    if (status == STATUS_OK) {
        out->training_name = arena_strdup(&out->memory, in->training.name ? in->training.name : "its training set");
        if (!out->training_name) status = fail_no_memory(err, "the name of a training set", 1);
    }
    struct measures_input asked = *in;
    if (status == STATUS_OK) status = narrow(&asked.reference, in, &out->memory, err);
    out->reference_count = asked.reference.count;
    out->reference_is_asked = in->asked != NULL;
    if (status == STATUS_OK) status = take_reference(out, in, &asked, err);
    if (status == STATUS_OK) status = take_prompts(out, in, err);
    if (status == STATUS_OK) status = take_diversity(out, in, &asked, err);
    if (status == STATUS_OK) status = take_copies(out, in, err);
    if (status == STATUS_OK) status = take_pixel_copies(out, in, err);
    if (status != STATUS_OK) measures_clear(out);
    return status;
}

void measures_clear(struct measures *measures)
{
    arena_clear(&measures->memory);
    *measures = (struct measures){0};
}
