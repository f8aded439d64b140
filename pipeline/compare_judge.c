/* SPDX-License-Identifier: MIT
 *
 * From figures to a few sentences: which of them paints this better, and at what cost. Two things count for better:
 * likeness to the prompt (CLIP score) and likeness to real pictures (KID). A difference is clear when it is more than
 * two standard errors; of models that painted the same prompts from the same seeds, the errors of the pairs'
 * differences. CLIP score decides nothing between a model that was conditioned on the text tower of the network that
 * gives the score and one that was not: the first has been made to please this judge.
 */
#include "pipeline/compare.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CLEAR_ERRORS = 2, PHRASE_BYTES = 512 };

/* What one measure says of the entrants that have it, two at least. */
struct ranking {
    bool known, clear;
    bool biased; /* the measure is nearer to some of them than to others */
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

bool compare_is_biased(const struct comparison *c, enum measure measure)
{
    int close = 0, far = 0;
    if (measure != MEASURE_CLIP_SCORE && measure != MEASURE_PROMPT_RANK1) return false;
    for (int i = 0; i < c->count; i++) {
        if (!c->entrants[i].measures.figure[measure].known) continue;
        close += c->entrants[i].knows_network;
        far += !c->entrants[i].knows_network;
    }
    return close > 0 && far > 0;
}

static struct ranking rank(const struct comparison *c, enum measure measure)
{
    struct ranking r = {.best = -1, .second = -1};
    const double sign = measure_info(measure)->better == BETTER_LOWER ? -1 : 1;
    for (int i = 0; i < c->count; i++) {
        const struct figure *f = &c->entrants[i].measures.figure[measure];
        if (!f->known || !isfinite(f->value)) continue;
        if (r.best < 0 || sign * f->value > sign * c->entrants[r.best].measures.figure[measure].value) {
            r.second = r.best;
            r.best = i;
        } else if (r.second < 0 || sign * f->value > sign * c->entrants[r.second].measures.figure[measure].value) {
            r.second = i;
        }
    }
    if (r.second < 0) return (struct ranking){0};
    const struct measures *best = &c->entrants[r.best].measures, *second = &c->entrants[r.second].measures;
    r.known = true;
    r.biased = compare_is_biased(c, measure);
    r.difference = fabs(best->figure[measure].value - second->figure[measure].value);
    if (measure == MEASURE_CLIP_SCORE && paired(c, r.best, r.second))
        r.error = paired_error(best->clip_score, second->clip_score, best->count);
    else if (measure == MEASURE_KID) /* The reference is the same for both. */
        r.error = hypot(best->kid_picture_error, second->kid_picture_error);
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

/* Whose picture is nearest to its own prompt nine times in ten is known to paint what it is asked for. */
static bool follows_prompts(const struct comparison *c, int i)
{
    const struct figure *own = &c->entrants[i].measures.figure[MEASURE_PROMPT_RANK1];
    return own->known && own->value > 0.9;
}

/* What the two rankings come to. */
struct outcome {
    int winner;       /* -1: none */
    bool both, split; /* closer to the prompts and to the reference; one to these, another to that */
};

/* A score that is biased is no voice for anyone. Then the other one decides, and it speaks for both where the winner
 * follows its prompts beyond doubt. */
static struct outcome weigh(const struct comparison *c, const struct ranking *prompts, const struct ranking *real)
{
    struct outcome o = {.winner = -1};
    const bool by_prompts = prompts->clear && !prompts->biased;
    o.split = by_prompts && real->clear && prompts->best != real->best;
    if (o.split) return o;
    o.winner = by_prompts ? prompts->best : real->clear ? real->best : -1;
    o.both = real->clear && (by_prompts || (prompts->biased && follows_prompts(c, real->best)));
    return o;
}

static void put_open_headline(const struct comparison *c, const struct ranking *prompts, const struct ranking *real,
                              char text[PHRASE_BYTES])
{
    const int sound = only_sound(c);
    if (sound >= 0)
        snprintf(text, PHRASE_BYTES, "%s alone paints without a grave fault.", name_of(c, sound));
    else if (real->known || (prompts->known && !prompts->biased))
        snprintf(text, PHRASE_BYTES, "No clear difference in quality.");
    else
        snprintf(text, PHRASE_BYTES, "Nothing here says which is better: that needs %sreference pictures.",
                 prompts->known ? "" : "prompts that they follow, or ");
}

static void put_headline(const struct comparison *c, const struct ranking *prompts, const struct ranking *real,
                         char text[PHRASE_BYTES])
{
    char what[64] = "better";
    if (c->prompt_count == 1) snprintf(what, sizeof what, "this prompt better");
    if (c->prompt_count > 1) snprintf(what, sizeof what, "these %d prompts better", c->prompt_count);
    const struct outcome o = weigh(c, prompts, real);
    const char *fault = o.winner >= 0 ? fault_of(c, o.winner) : NULL;
    const int gist = fault ? (int)strcspn(fault, ":") : 0; /* its figures stand below */
    if (o.split)
        snprintf(text, PHRASE_BYTES, "%s keeps closer to the prompts, %s to the reference pictures.",
                 name_of(c, prompts->best), name_of(c, real->best));
    else if (o.winner < 0)
        put_open_headline(c, prompts, real, text);
    else if (fault && o.both)
        snprintf(text, PHRASE_BYTES, "%s paints %s, but %.*s.", name_of(c, o.winner), what, gist, fault);
    else if (fault)
        snprintf(text, PHRASE_BYTES, "%s has the better figures, but %.*s.", name_of(c, o.winner), gist, fault);
    else if (o.both || only_sound(c) == o.winner)
        snprintf(text, PHRASE_BYTES, "%s paints %s.", name_of(c, o.winner), what);
    else
        snprintf(text, PHRASE_BYTES, "%s %s.", name_of(c, o.winner),
                 real->clear ? "comes closer to the reference pictures" : "keeps closer to what was asked for");
}

static enum status add(struct comparison *c, const char *sentence, struct error *err)
{
    if (c->verdict_count == COMPARE_SENTENCES) return STATUS_OK;
    c->verdict[c->verdict_count] = arena_strdup(&c->memory, sentence);
    if (!c->verdict[c->verdict_count]) return fail_no_memory(err, "a verdict", strlen(sentence) + 1);
    c->verdict_count++;
    return STATUS_OK;
}

/* The names of those that were made with the network that scores. */
static void list_close(const struct comparison *c, char text[PHRASE_BYTES / 2])
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < c->count; i++)
        if (c->entrants[i].knows_network && used < PHRASE_BYTES / 2)
            used += (size_t)snprintf(text + used, PHRASE_BYTES / 2 - used, "%s%s", used ? " and " : "", name_of(c, i));
}

static enum status add_evidence(struct comparison *c, const struct ranking *r, enum measure measure, const char *title,
                                const char *says, struct error *err)
{
    char text[PHRASE_BYTES];
    if (!r->known) return STATUS_OK;
    const double best = c->entrants[r->best].measures.figure[measure].value;
    const double second = c->entrants[r->second].measures.figure[measure].value;
    if (r->biased) {
        char made[PHRASE_BYTES / 2];
        list_close(c, made);
        snprintf(text, sizeof text,
                 "%s decides nothing here (%.3g for %s, %.3g for %s): it flatters %s, made with the text tower of the "
                 "very network that gives it.",
                 title, best, name_of(c, r->best), second, name_of(c, r->second), made);
    } else if (r->clear) {
        snprintf(text, sizeof text,
                 "%s %s: its %s is %.3g and that of %s %.3g, with a standard error of %.2g between them.",
                 name_of(c, r->best), says, title, best, name_of(c, r->second), second, r->error);
    } else {
        snprintf(text, sizeof text,
                 "By %s they cannot be told apart: %.3g for %s and %.3g for %s, with a standard error of "
                 "%.2g between them.",
                 title, best, name_of(c, r->best), second, name_of(c, r->second), r->error);
    }
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

static enum status add_unprompted(struct comparison *c, struct error *err)
{
    enum status status = STATUS_OK;
    char text[PHRASE_BYTES];
    for (int i = 0; i < c->count && status == STATUS_OK; i++) {
        if (c->entrants[i].takes_prompts) continue;
        snprintf(text, sizeof text, "%s takes no prompt, so there is none that its pictures could follow.",
                 name_of(c, i));
        status = add(c, text, err);
    }
    return status;
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
        status = add_evidence(c, &real, MEASURE_KID, "KID", "is nearer to the reference pictures", err);
    if (status == STATUS_OK)
        status = add_evidence(c, &prompts, MEASURE_CLIP_SCORE, "CLIP score", "matches the prompts more closely", err);
    if (status == STATUS_OK) status = add_unprompted(c, err);
    if (status == STATUS_OK) status = add_cost(c, err);
    return status == STATUS_OK ? add_faults(c, err) : status;
}
