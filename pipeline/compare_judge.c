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

/* The gravest fault of an entrant; NULL if it has none. */
static const char *fault_of(const struct comparison *c, int i)
{
    const struct verdicts *v = &c->entrants[i].verdicts;
    return v->count > 0 && v->verdict[0].kind == VERDICT_FAULT ? v->verdict[0].text : NULL;
}

/* The only one without a fault among several; -1 if there is no such one. */
static int only_sound(const struct comparison *c)
{
    int sound = -1, count = 0;
    for (int i = 0; i < c->count; i++) {
        if (fault_of(c, i)) continue;
        sound = i;
        count++;
    }
    return count == 1 ? sound : -1;
}

static void put_headline(const struct comparison *c, const struct ranking *prompts, const struct ranking *real,
                         char text[PHRASE_BYTES])
{
    char what[64] = "better";
    if (c->prompt_count == 1) snprintf(what, sizeof what, "this prompt better");
    if (c->prompt_count > 1) snprintf(what, sizeof what, "these %d prompts better", c->prompt_count);
    const bool both = prompts->clear && real->clear, split = both && prompts->best != real->best;
    const int winner = split ? -1 : prompts->clear ? prompts->best : real->clear ? real->best : -1;
    const int sound = only_sound(c);
    const char *fault = winner >= 0 ? fault_of(c, winner) : NULL;
    if (sound >= 0 && winner == sound)
        snprintf(text, PHRASE_BYTES, "%s paints %s.", name_of(c, winner), what);
    else if (sound >= 0)
        snprintf(text, PHRASE_BYTES, "%s alone paints without a grave fault.", name_of(c, sound));
    else if (fault)
        snprintf(text, PHRASE_BYTES, "%s has the better figures, but a fault: %s.", name_of(c, winner), fault);
    else if (split)
        snprintf(text, PHRASE_BYTES, "%s keeps closer to the prompts, %s to the reference pictures.",
                 name_of(c, prompts->best), name_of(c, real->best));
    else if (both)
        snprintf(text, PHRASE_BYTES, "%s paints %s.", name_of(c, winner), what);
    else if (winner >= 0)
        snprintf(text, PHRASE_BYTES, "%s %s.", name_of(c, winner),
                 prompts->clear ? "keeps closer to what was asked for" : "comes closer to the reference pictures");
    else if (!prompts->known && !real->known)
        snprintf(text, PHRASE_BYTES, "Nothing here says which is better: that needs prompts or reference pictures.");
    else
        snprintf(text, PHRASE_BYTES, "No clear difference in quality.");
}

static enum status add(struct comparison *c, const char *sentence, struct error *err)
{
    if (c->verdict_count == COMPARE_SENTENCES) return STATUS_OK;
    c->verdict[c->verdict_count] = arena_strdup(&c->memory, sentence);
    if (!c->verdict[c->verdict_count]) return fail_no_memory(err, "a verdict", strlen(sentence) + 1);
    c->verdict_count++;
    return STATUS_OK;
}

static enum status add_evidence(struct comparison *c, const struct ranking *r, enum measure measure, const char *title,
                                const char *says, struct error *err)
{
    char text[PHRASE_BYTES];
    if (!r->known) return STATUS_OK;
    const double best = c->entrants[r->best].measures.figure[measure].value;
    const double second = c->entrants[r->second].measures.figure[measure].value;
    if (r->clear)
        snprintf(text, sizeof text,
                 "%s %s: its %s is %.3g and that of %s %.3g, with a standard error of %.2g between them.",
                 name_of(c, r->best), says, title, best, name_of(c, r->second), second, r->error);
    else
        snprintf(text, sizeof text,
                 "By %s they cannot be told apart: %.3g for %s and %.3g for %s, with a standard error of "
                 "%.2g between them.",
                 title, best, name_of(c, r->best), second, name_of(c, r->second), r->error);
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
    const double ratio = high->gflop / low->gflop, unit = pow(10, fmax(0, floor(log10(ratio)) - 1));
    if (high->gflop < 1.05 * low->gflop)
        snprintf(text, sizeof text, "Both take about the same arithmetic, %.3g GFLOP a picture.", high->gflop);
    else
        snprintf(text, sizeof text,
                 "A picture takes %s %.3g GFLOP in %d evaluation%s of its network and %s %.3g GFLOP in %d: about "
                 "%.*f times as much.",
                 name_of(c, cheap), low->gflop, low->evaluations, low->evaluations == 1 ? "" : "s", name_of(c, dear),
                 high->gflop, high->evaluations, ratio < 10 ? 1 : 0, ratio < 10 ? ratio : round(ratio / unit) * unit);
    return add(c, text, err);
}

/* The gravest fault of each; the others stand with its figures. */
static enum status add_faults(struct comparison *c, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < c->count && status == STATUS_OK; i++) {
        char text[PHRASE_BYTES];
        const char *fault = fault_of(c, i);
        if (!fault || strstr(c->verdict[0], fault)) continue;
        snprintf(text, sizeof text, "%s: %s.", name_of(c, i), fault);
        status = add(c, text, err);
    }
    return status;
}

enum status compare_judge(struct comparison *c, struct error *err)
{
    const struct ranking prompts = rank(c, MEASURE_CLIP_SCORE), real = rank(c, MEASURE_KID);
    char headline[PHRASE_BYTES];
    put_headline(c, &prompts, &real, headline);
    enum status status = add(c, headline, err);
    if (status == STATUS_OK)
        status = add_evidence(c, &prompts, MEASURE_CLIP_SCORE, "CLIP score", "matches the prompts more closely", err);
    if (status == STATUS_OK)
        status = add_evidence(c, &real, MEASURE_KID, "KID", "is nearer to the reference pictures", err);
    if (status == STATUS_OK) status = add_cost(c, err);
    return status == STATUS_OK ? add_faults(c, err) : status;
}
