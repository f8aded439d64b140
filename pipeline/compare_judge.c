/* SPDX-License-Identifier: MIT
 *
 * From figures to a few sentences: which of them paints this better, and at what cost. Two things count for better:
 * likeness to the prompt (CLIP score) and likeness to real pictures (KID). A difference is clear when it is more than
 * two standard errors; of models that painted the same prompts from the same seeds, the errors of the pairs'
 * differences.
 */
#include "pipeline/compare.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CLEAR_ERRORS = 2, PHRASE_BYTES = 512 };

/* What one measure says of all entrants. */
struct ranking {
    bool known, clear;
    int best, second;
    double difference, error;
};

static bool paired(const struct comparison *c, int a, int b)
{
    const struct measures *x = &c->entrants[a].measures, *y = &c->entrants[b].measures;
    return c->per_prompt > 0 && x->clip_score && y->clip_score && x->count == y->count;
}

static double paired_error(const double *a, const double *b, int64_t count)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++) sum += a[i] - b[i];
    const double mean = sum / (double)count;
    for (int64_t i = 0; i < count; i++) squares += (a[i] - b[i] - mean) * (a[i] - b[i] - mean);
    return count > 1 ? sqrt(squares / (double)(count - 1) / (double)count) : NAN;
}

static struct ranking rank(const struct comparison *c, enum measure measure)
{
    struct ranking r = {.best = -1, .second = -1};
    const double sign = measure_info(measure)->better == BETTER_LOWER ? -1 : 1;
    for (int i = 0; i < c->count; i++) {
        const struct figure *f = &c->entrants[i].measures.figure[measure];
        if (!f->known || !isfinite(f->value)) return (struct ranking){0};
        if (r.best < 0 || sign * f->value > sign * c->entrants[r.best].measures.figure[measure].value) {
            r.second = r.best;
            r.best = i;
        } else if (r.second < 0 || sign * f->value > sign * c->entrants[r.second].measures.figure[measure].value) {
            r.second = i;
        }
    }
    const struct measures *best = &c->entrants[r.best].measures, *second = &c->entrants[r.second].measures;
    r.known = true;
    r.difference = fabs(best->figure[measure].value - second->figure[measure].value);
    if (measure == MEASURE_CLIP_SCORE && paired(c, r.best, r.second))
        r.error = paired_error(best->clip_score, second->clip_score, best->count);
    else
        r.error = hypot(best->figure[measure].error, second->figure[measure].error);
    r.clear = r.difference > CLEAR_ERRORS * r.error; /* false for an error that is not known */
    return r;
}

static const char *name_of(const struct comparison *c, int i)
{
    return c->entrants[i].name;
}

static void put_headline(const struct comparison *c, const struct ranking *prompts, const struct ranking *real,
                         char text[PHRASE_BYTES])
{
    char what[64] = "better";
    if (c->prompt_count == 1) snprintf(what, sizeof what, "this prompt better");
    if (c->prompt_count > 1) snprintf(what, sizeof what, "these %d prompts better", c->prompt_count);
    const bool agree = prompts->clear && real->clear && prompts->best == real->best;
    if (!prompts->known && !real->known)
        snprintf(text, PHRASE_BYTES, "Nothing here says which is better: that needs prompts or reference pictures.");
    else if (agree)
        snprintf(text, PHRASE_BYTES, "%s paints %s.", name_of(c, prompts->best), what);
    else if (prompts->clear && real->clear)
        snprintf(text, PHRASE_BYTES, "%s keeps closer to the prompts, %s to the reference pictures.",
                 name_of(c, prompts->best), name_of(c, real->best));
    else if (prompts->clear)
        snprintf(text, PHRASE_BYTES, "%s keeps closer to %s.", name_of(c, prompts->best),
                 c->prompt_count == 1 ? "the prompt" : "the prompts");
    else if (real->clear)
        snprintf(text, PHRASE_BYTES, "%s comes closer to the reference pictures.", name_of(c, real->best));
    else
        snprintf(text, PHRASE_BYTES, "So few pictures show no clear difference in quality.");
}

static enum status add(struct comparison *c, const char *sentence, struct error *err)
{
    if (c->verdict_count == COMPARE_SENTENCES) return STATUS_OK;
    c->verdict[c->verdict_count] = arena_strdup(&c->memory, sentence);
    if (!c->verdict[c->verdict_count]) return fail_no_memory(err, "a verdict", strlen(sentence) + 1);
    c->verdict_count++;
    return STATUS_OK;
}

static enum status add_evidence(struct comparison *c, const struct ranking *r, enum measure measure, const char *says,
                                struct error *err)
{
    char text[PHRASE_BYTES];
    if (!r->known) return STATUS_OK;
    const double best = c->entrants[r->best].measures.figure[measure].value;
    const double second = c->entrants[r->second].measures.figure[measure].value;
    snprintf(text, sizeof text, "%s of %s is %.4g, of %s %.4g: a difference of %.2g with a standard error of %.2g, %s.",
             says, name_of(c, r->best), best, name_of(c, r->second), second, r->difference, r->error,
             r->clear ? "which is clear" : "which proves nothing");
    return add(c, text, err);
}

/* The dearest against the cheapest, by arithmetic: seconds would differ from run to run. */
static enum status add_cost(struct comparison *c, struct error *err)
{
    int cheap = 0, dear = 0;
    char text[PHRASE_BYTES];
    for (int i = 0; i < c->count; i++) {
        if (!c->entrants[i].is_model || c->entrants[i].cost.gflop <= 0) return STATUS_OK;
        if (c->entrants[i].cost.gflop < c->entrants[cheap].cost.gflop) cheap = i;
        if (c->entrants[i].cost.gflop > c->entrants[dear].cost.gflop) dear = i;
    }
    const struct compare_cost *low = &c->entrants[cheap].cost, *high = &c->entrants[dear].cost;
    if (high->gflop < 1.05 * low->gflop)
        snprintf(text, sizeof text, "Both take about the same arithmetic, %.3g GFLOP a picture.", high->gflop);
    else
        snprintf(text, sizeof text,
                 "A picture takes %s %.3g GFLOP in %d evaluation%s of its network and %s %.3g GFLOP in %d: %.*f times "
                 "as much.",
                 name_of(c, cheap), low->gflop, low->evaluations, low->evaluations == 1 ? "" : "s", name_of(c, dear),
                 high->gflop, high->evaluations, high->gflop < 10 * low->gflop ? 1 : 0, high->gflop / low->gflop);
    return add(c, text, err);
}

static enum status add_faults(struct comparison *c, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < c->count; i++) {
        const struct verdicts *v = &c->entrants[i].verdicts;
        for (int k = 0; k < v->count && status == STATUS_OK; k++) {
            char text[PHRASE_BYTES];
            if (v->verdict[k].kind != VERDICT_FAULT) continue;
            snprintf(text, sizeof text, "%s: %s.", name_of(c, i), v->verdict[k].text);
            status = add(c, text, err);
        }
    }
    return status;
}

enum status compare_judge(struct comparison *c, struct error *err)
{
    const struct ranking prompts = rank(c, MEASURE_CLIP_SCORE), real = rank(c, MEASURE_KID);
    char headline[PHRASE_BYTES];
    put_headline(c, &prompts, &real, headline);
    enum status status = add(c, headline, err);
    if (status == STATUS_OK) status = add_faults(c, err);
    if (status == STATUS_OK) status = add_evidence(c, &prompts, MEASURE_CLIP_SCORE, "The CLIP score", err);
    if (status == STATUS_OK) status = add_evidence(c, &real, MEASURE_KID, "KID against the reference", err);
    return status == STATUS_OK ? add_cost(c, err) : status;
}
