/* SPDX-License-Identifier: MIT
 *
 * From figures to sentences. A rule speaks where a figure is beyond what chance and the number of pictures explain, and
 * says the number it goes by. The rules and their limits are listed in docs/MEASURES.md.
 */
#include "compare/copying.h"
#include "compare/measures.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    FEW = 8,     /* below so many pictures a fault is only a doubt */
    TELLING = 50 /* so many could be told apart if they were different */
};
#define SURE          0.001 /* a chance smaller than this explains nothing */
#define SAME_FEATURES 1e-3  /* one picture, but for rounding */
#define SAME_PIXELS   0.5   /* levels of 255, root mean square */

PRINTF_LIKE(4, 5)
static void say(struct verdicts *v, enum verdict_kind kind, enum measure measure, const char *format, ...)
{
    va_list arguments;
    assert(v->count < VERDICT_MAX);
    struct verdict *verdict = &v->verdict[v->count++];
    *verdict = (struct verdict){.kind = kind, .measure = measure};
    va_start(arguments, format);
    vsnprintf(verdict->text, sizeof verdict->text, format, arguments);
    va_end(arguments);
}

static bool known(const struct measures *m, enum measure measure)
{
    return m->figure[measure].known;
}

static double value(const struct measures *m, enum measure measure)
{
    return m->figure[measure].value;
}

static double ideal(const struct measures *m, enum measure measure)
{
    return m->figure[measure].ideal;
}

static enum verdict_kind fault(const struct measures *m)
{
    return m->count < FEW ? VERDICT_DOUBT : VERDICT_FAULT;
}

/* ---- one picture over and over ---- */

static void judge_repeats(struct verdicts *v, const struct measures *m)
{
    if (!known(m, MEASURE_DISTINCT)) return;
    const long long n = m->count, distinct = (long long)value(m, MEASURE_DISTINCT), asked = m->prompts_asked;
    if (distinct == 1 || 2 * m->largest_group > n)
        say(v, fault(m), MEASURE_DISTINCT, "paints one picture over and over: %lld distinct of %lld", distinct, n);
    else if (asked > 1 && distinct <= asked && n >= 2 * asked)
        say(v, fault(m), MEASURE_DISTINCT,
            "paints one picture for a prompt, whatever the seed: %lld distinct of %lld for %lld prompts", distinct, n,
            asked);
    else if (asked > 1 && 2 * distinct <= n)
        say(v, VERDICT_DOUBT, MEASURE_DISTINCT, "changes little with the seed: %lld distinct of %lld for %lld prompts",
            distinct, n, asked);
    else if (2 * distinct <= n)
        say(v, fault(m), MEASURE_DISTINCT, "paints few pictures over and over: %lld distinct of %lld", distinct, n);
    else if (10 * distinct < 9 * n)
        say(v, VERDICT_DOUBT, MEASURE_DISTINCT, "repeats itself: %lld distinct of %lld", distinct, n);
    else if (distinct == n && n >= FEW)
        say(v, VERDICT_GOOD, MEASURE_DISTINCT, "repeats nothing: %lld distinct of %lld", distinct, n);
    if (m->duplicate_pairs >= 10 && value(m, MEASURE_SUPPORT) < 10 * (double)n)
        say(v, VERDICT_DOUBT, MEASURE_SUPPORT,
            "seems to know about %.3g different pictures%s, going by %lld pairs that are the same (birthday paradox)",
            value(m, MEASURE_SUPPORT), asked > 1 ? " for these prompts" : "", (long long)m->duplicate_pairs);
}

static void judge_diversity(struct verdicts *v, const struct measures *m)
{
    const double own = value(m, MEASURE_DIVERSITY), real = ideal(m, MEASURE_DIVERSITY);
    if (known(m, MEASURE_DIVERSITY) && own < real / 2)
        say(v, own < real / 4 ? fault(m) : VERDICT_DOUBT, MEASURE_DIVERSITY,
            "its pictures are much more alike than the reference's: a mean distance of %.3g against %.3g", own, real);
    if (known(m, MEASURE_MS_SSIM) && value(m, MEASURE_MS_SSIM) > 0.9)
        say(v, fault(m), MEASURE_MS_SSIM, "its pictures are nearly the same pixel by pixel: MS-SSIM %.3f",
            value(m, MEASURE_MS_SSIM));
}

/* ---- against the reference ---- */

/* Who is asked for a few things cannot paint all that the reference shows, which is no fault then. */
static void judge_reach(struct verdicts *v, const struct measures *m)
{
    const enum verdict_kind grave = m->prompts_asked > 0 ? VERDICT_DOUBT : fault(m);
    const double recall = value(m, MEASURE_RECALL), coverage = value(m, MEASURE_COVERAGE);
    const double reach = ideal(m, MEASURE_COVERAGE);
    char asked[64] = "";
    if (m->prompts_asked > 0 && !m->reference_is_asked)
        snprintf(asked, sizeof asked, " (%lld prompt%s may ask for less)", (long long)m->prompts_asked,
                 m->prompts_asked == 1 ? "" : "s");
    if (coverage < reach / 2)
        say(v, coverage < reach / 4 ? grave : VERDICT_DOUBT, MEASURE_COVERAGE,
            "misses most of what the reference has: coverage %.2f, where %.2f can be expected of as many pictures%s",
            coverage, reach, asked);
    if (recall < 0.1)
        say(v, recall < 0.02 ? grave : VERDICT_DOUBT, MEASURE_RECALL,
            "the reference's pictures do not lie among its own: recall %.2f%s", recall, asked);
}

static void judge_manifold(struct verdicts *v, const struct measures *m)
{
    if (!known(m, MEASURE_COVERAGE)) return;
    const double precision = value(m, MEASURE_PRECISION), density = value(m, MEASURE_DENSITY);
    if (precision < 0.1 && density < 0.1)
        say(v, fault(m), MEASURE_PRECISION, "its pictures are not like the reference's: precision %.2f, density %.2f",
            precision, density);
    judge_reach(v, m);
}

/* Pictures of nothing that the training set has are farther from it than its own are from each other. */
static void judge_strangeness(struct verdicts *v, const struct measures *m)
{
    const double own = value(m, MEASURE_NEAREST), real = ideal(m, MEASURE_NEAREST);
    if (known(m, MEASURE_COPYING_Z) && value(m, MEASURE_COPYING_Z) > 5 && 2 * own > 3 * real)
        say(v, fault(m), MEASURE_NEAREST,
            "its pictures are like none of %s: %.2g from the nearest, while those are %.2g from each other",
            m->training_name, own, real);
}

static void judge_distance(struct verdicts *v, const struct measures *m)
{
    if (known(m, MEASURE_FID) && value(m, MEASURE_FID) > m->reference_spread)
        say(v, fault(m), MEASURE_FID,
            "is farther from the reference than the mean of the reference's features repeated would be: FID %.3g "
            "against %.3g",
            value(m, MEASURE_FID), m->reference_spread);
    const struct figure *kid = &m->figure[MEASURE_KID];
    if (!kid->known || isnan(kid->error)) return;
    if (kid->value < 2 * kid->error && m->count >= TELLING && m->reference_count >= TELLING)
        say(v, VERDICT_GOOD, MEASURE_KID, "KID cannot tell it from the reference: %.2g, standard error %.2g",
            kid->value, kid->error);
    else if (kid->value > 3 * kid->error)
        say(v, VERDICT_NOTE, MEASURE_KID, "KID tells it from the reference: %.2g, standard error %.2g", kid->value,
            kid->error);
}

/* ---- prompts ---- */

static void judge_prompts(struct verdicts *v, const struct measures *m)
{
    const double k = (double)m->prompt_count, n = (double)m->count;
    if (known(m, MEASURE_PROMPT_RANK1)) {
        const double own = value(m, MEASURE_PROMPT_RANK1), chance = 1 / k;
        if (n >= FEW && own < chance + 3 * sqrt(chance * (1 - chance) / n))
            say(v, VERDICT_FAULT, MEASURE_PROMPT_RANK1,
                "does not follow its prompts, as CLIP sees it: %.0f of %.0f pictures are nearest to their own, and "
                "%.1f would be by chance",
                own * n, n, chance * n);
        else if (own > 0.9)
            say(v, VERDICT_GOOD, MEASURE_PROMPT_RANK1,
                "follows its prompts: %.0f of %.0f pictures are nearest to their own", own * n, n);
    }
    if (!known(m, MEASURE_MODES)) return;
    const double wanted = m->prompts_asked > 0 ? (double)m->prompts_asked : k;
    const double covered = value(m, MEASURE_MODES);
    if (covered < wanted && !m->figure[MEASURE_MODES].caution[0])
        say(v, 2 * covered <= wanted ? fault(m) : VERDICT_DOUBT, MEASURE_MODES,
            "%.0f of %.0f prompts are the nearest to no picture at all", wanted - covered, wanted);
}

/* ---- copies ---- */

static int64_t count_up_to(const double *distances, int64_t n, double most)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n && distances; i++) count += distances[i] <= most;
    return count;
}

/* Chernoff: the chance of `found` or more of n where each has the chance p is at most exp(-n KL(found / n || p)). */
static bool beyond_chance(int64_t found, int64_t n, double p)
{
    const double q = (double)found / (double)n;
    if (q <= p) return false;
    const double divergence = q * log(q / p) + (q < 1 ? (1 - q) * log((1 - q) / (1 - p)) : 0);
    return exp(-(double)n * divergence) < SURE;
}

static void judge_copies(struct verdicts *v, const struct measures *m)
{
    const long long n = m->count;
    const int64_t same_features = count_up_to(m->nearest_distance, m->count, SAME_FEATURES);
    const int64_t same_pixels = count_up_to(m->nearest_pixels_distance, m->count, SAME_PIXELS);
    const bool by_pixels = known(m, MEASURE_COPIES_PIXELS) && (same_pixels > 0 || m->copies_pixels > m->copies);
    const enum measure measure = by_pixels ? MEASURE_COPIES_PIXELS : MEASURE_COPIES;
    if (!known(m, measure)) return;
    /* One picture over and over is near to or far from the training set as one, not as many. */
    const bool varied = 2 * value(m, MEASURE_DISTINCT) > (double)m->count;
    const int64_t same = by_pixels ? same_pixels : m->nearest_pixels_distance ? 0 : same_features;
    const int64_t near = by_pixels ? m->copies_pixels : m->copies;
    const char *set = m->training_name;
    if (same > 0)
        say(v, VERDICT_FAULT, measure, "copies %s: %lld of %lld pictures are pictures of it", set, (long long)same, n);
    else if (beyond_chance(near, m->count, COPYING_SHARE) && !m->figure[measure].caution[0])
        say(v, VERDICT_FAULT, measure,
            "copies %s: %lld of %lld pictures are nearer to one of its pictures than 99%% of those are to each other",
            set, (long long)near, n);
    else if (known(m, MEASURE_COPYING_Z) && value(m, MEASURE_COPYING_Z) < -3 && varied)
        say(v, VERDICT_DOUBT, MEASURE_COPYING_Z,
            "keeps close to %s: nearer than the pictures of it are to each other, by %.1f standard deviations", set,
            -value(m, MEASURE_COPYING_Z));
    else if (near == 0 && m->count >= FEW)
        say(v, VERDICT_GOOD, measure, "copies nothing: none of %lld pictures is near to one of %lld of %s", n,
            (long long)m->training_count, set);
}

/* ---- how far to trust it ---- */

static void judge_numbers(struct verdicts *v, const struct measures *m)
{
    static const enum measure shaky[] = {MEASURE_FID, MEASURE_CMMD, MEASURE_PRECISION, MEASURE_RECALL, MEASURE_DENSITY};
    char names[VERDICT_BYTES / 2] = "";
    for (size_t i = 0; i < sizeof shaky / sizeof *shaky; i++) {
        const struct figure *f = &m->figure[shaky[i]];
        const size_t used = strlen(names);
        if (f->known && f->caution[0])
            snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", measure_info(shaky[i])->title);
    }
    if (names[0])
        say(v, VERDICT_NOTE, MEASURE_FID, "%lld pictures against %lld are few: compare %s only between sets of as many",
            (long long)m->count, (long long)m->reference_count, names);
}

void compare_verdicts(struct verdicts *out, const struct measures *measures)
{
    struct verdicts said = {0};
    judge_repeats(&said, measures);
    judge_diversity(&said, measures);
    judge_manifold(&said, measures);
    judge_strangeness(&said, measures);
    judge_copies(&said, measures);
    judge_distance(&said, measures);
    judge_prompts(&said, measures);
    judge_numbers(&said, measures);
    *out = (struct verdicts){0};
    for (int kind = VERDICT_FAULT; kind <= (int)VERDICT_NOTE; kind++)
        for (int i = 0; i < said.count; i++)
            if ((int)said.verdict[i].kind == kind) out->verdict[out->count++] = said.verdict[i];
}
