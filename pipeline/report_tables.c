/* SPDX-License-Identifier: MIT
 *
 * The report's tables: a row for each measure, a column for each of the compared, a bar under each figure.
 */
#include "pipeline/report.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CLEAR_ERRORS = 2 };

/* ---- numbers ---- */

/* Digits in groups of three. */
static void put_grouped(struct page *page, double value)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%.0f", fabs(value));
    if (value < 0) page_put(page, "\xe2\x88\x92");
    const int length = (int)strlen(digits);
    for (int i = 0; i < length; i++) page_format(page, "%s%c", i > 0 && (length - i) % 3 == 0 ? "," : "", digits[i]);
}

/* Without an exponent, as long as that is readable. */
static void put_digits(struct page *page, double value, int digits)
{
    const double size = fabs(value);
    if (size >= 1000 && size < 1e15)
        put_grouped(page, value);
    else if (size >= 1e-6 && size < 1e-3)
        page_format(page, "%s%.*f", value < 0 ? "\xe2\x88\x92" : "", digits - 1 - (int)floor(log10(size)), size);
    else
        page_format(page, "%s%.*g", value < 0 ? "\xe2\x88\x92" : "", size >= 100 ? 4 : digits, size);
}

void page_number(struct page *page, double value)
{
    put_digits(page, value, 3);
}

void page_error(struct page *page, double value)
{
    page_put(page, "\xc2\xb1 ");
    put_digits(page, value, 2);
}

/* With K, M or G behind it. */
static void put_amount(struct page *page, double value, const char *unit)
{
    static const char *const prefixes[] = {"", "K", "M", "G", "T"};
    int i = 0;
    while (value >= 1000 && i < 4) {
        value /= 1000;
        i++;
    }
    page_format(page, "%.3g %s%s", value, prefixes[i], unit);
}

void page_bar(struct page *page, double value, double most)
{
    const double share = most > 0 && value > 0 ? fmin(1, value / most) : 0;
    page_put(page, "<span class=\"bar\">");
    if (share > 0) page_format(page, "<i style=\"width:%.1f%%\"></i>", 100 * share);
    page_put(page, "</span>");
}

/* ---- rows ---- */

static void put_head(struct page *page, const struct comparison *c, const char *first)
{
    page_format(page, "<thead><tr><th scope=\"col\">%s</th>", first);
    for (int i = 0; i < c->count; i++) {
        page_format(page, "<th scope=\"col\" class=\"e%d\">", i);
        page_name(page, c, i);
        page_put(page, "</th>");
    }
    page_put(page, "</tr></thead>");
}

static const struct figure *figure_of(const struct comparison *c, int entrant, enum measure measure)
{
    return &c->entrants[entrant].measures.figure[measure];
}

/* The verdict's own: of KID, the reference is the same for all. */
static double error_of(const struct comparison *c, int entrant, enum measure measure)
{
    return measure == MEASURE_KID ? c->entrants[entrant].measures.kid_picture_error
                                  : figure_of(c, entrant, measure)->error;
}

/* Which of them is better than every other by more than two standard errors; -1: none is, or no errors are known. */
static int clear_best(const struct comparison *c, enum measure measure)
{
    const enum measure_better better = measure_info(measure)->better;
    if (better == BETTER_NEITHER || compare_is_biased(c, measure)) return -1;
    const double sign = better == BETTER_LOWER ? -1 : 1;
    for (int i = 0; i < c->count; i++) {
        const struct figure *mine = figure_of(c, i, measure);
        bool best = mine->known;
        for (int k = 0; k < c->count && best; k++) {
            const struct figure *other = figure_of(c, k, measure);
            if (k == i) continue;
            best = other->known && sign * (mine->value - other->value) >
                                       CLEAR_ERRORS * hypot(error_of(c, i, measure), error_of(c, k, measure));
        }
        if (best) return i;
    }
    return -1;
}

static bool known_to_any(const struct comparison *c, enum measure measure)
{
    for (int i = 0; i < c->count; i++)
        if (figure_of(c, i, measure)->known) return true;
    return false;
}

static bool same_caution(const struct comparison *c, enum measure measure)
{
    for (int i = 1; i < c->count; i++)
        if (strcmp(figure_of(c, i, measure)->caution, figure_of(c, 0, measure)->caution) != 0) return false;
    return true;
}

static void put_figure(struct page *page, const struct comparison *c, int entrant, enum measure measure, double most)
{
    const struct figure *f = figure_of(c, entrant, measure);
    page_format(page, "<td class=\"figure e%d\" data-name=\"", entrant);
    page_text(page, c->entrants[entrant].name);
    page_put(page, "\">");
    if (!f->known) {
        page_put(page, "<span class=\"soft\">not known</span>");
    } else {
        page_put(page, f->bound ? "<b>at least " : "<b>");
        page_number(page, f->value);
        page_put(page, "</b>");
        if (measure_info(measure)->unit[0]) page_format(page, " %s", measure_info(measure)->unit);
        if (isfinite(f->error)) {
            page_put(page, " <span class=\"soft\">");
            page_error(page, f->error);
            page_put(page, "</span>");
        }
        if (clear_best(c, measure) == entrant) page_put(page, "<span class=\"best\">better</span>");
        page_bar(page, f->value, most);
        if (isfinite(f->ideal)) {
            page_put(page, "<small>ideal ");
            page_number(page, f->ideal);
            page_put(page, "</small>");
        }
    }
    if (f->caution[0] && !same_caution(c, measure)) {
        page_put(page, "<small class=\"caution\">Caution: ");
        page_text(page, f->caution);
        page_put(page, "</small>");
    }
    page_put(page, "</td>");
}

void page_title(struct page *page, const char *text)
{
    page_format(page, "%c", toupper((unsigned char)text[0]));
    page_text(page, text + 1);
}

static void put_measure(struct page *page, const struct comparison *c, enum measure measure)
{
    static const char *const direction[] = {
        [BETTER_LOWER] = "lower is better", [BETTER_HIGHER] = "higher is better", [BETTER_NEITHER] = ""};
    const struct measure_info *info = measure_info(measure);
    double most = 0;
    for (int i = 0; i < c->count; i++) {
        const struct figure *f = figure_of(c, i, measure);
        if (f->known) most = fmax(most, f->value);
        if (f->known && isfinite(f->ideal)) most = fmax(most, f->ideal);
    }
    page_put(page, "<tr><th scope=\"row\">");
    page_title(page, info->title);
    page_put(page, "<small>");
    page_text(page, info->says);
    if (direction[info->better][0]) page_format(page, " (%s)", direction[info->better]);
    page_put(page, "</small>");
    if (figure_of(c, 0, measure)->caution[0] && same_caution(c, measure)) {
        page_put(page, "<small class=\"caution\">Caution: ");
        page_text(page, figure_of(c, 0, measure)->caution);
        page_put(page, "</small>");
    }
    page_put(page, "</th>");
    for (int i = 0; i < c->count; i++) put_figure(page, c, i, measure, most);
    page_put(page, "</tr>");
}

/* ---- tables of measures ---- */

struct group {
    const char *title;
    enum measure measures[8];
    int count;
};

static void put_missing(struct page *page, const struct comparison *c, const struct group *groups, int count)
{
    const char *said = "";
    bool any = false;
    for (int g = 0; g < count; g++)
        for (int i = 0; i < groups[g].count; i++) {
            const enum measure measure = groups[g].measures[i];
            if (known_to_any(c, measure)) continue;
            const char *why = figure_of(c, 0, measure)->caution;
            page_put(page, !any ? "<p class=\"soft\">Not measured: " : strcmp(said, why) == 0 ? ", " : " ");
            page_text(page, measure_info(measure)->title);
            any = true;
            said = why;
            const bool last = g == count - 1 && i == groups[g].count - 1;
            const enum measure next =
                last ? measure
                     : groups[i < groups[g].count - 1 ? g : g + 1].measures[i < groups[g].count - 1 ? i + 1 : 0];
            if (last || known_to_any(c, next) || strcmp(figure_of(c, 0, next)->caution, why) != 0) {
                page_put(page, " (");
                page_text(page, why);
                page_put(page, ").");
            }
        }
    if (any) page_put(page, "</p>");
}

static void put_table(struct page *page, const struct comparison *c, const struct group *groups, int count)
{
    const struct measures *m = &c->entrants[0].measures;
    bool any = false;
    for (int g = 0; g < count; g++)
        for (int i = 0; i < groups[g].count; i++) any = any || known_to_any(c, groups[g].measures[i]);
    if (any) {
        page_put(page, "<div class=\"scroll wide\"><table class=\"even\"><caption>Figures of ");
        for (int i = 0; i < c->count; i++)
            page_format(page, "%s%lld",
                        i == 0             ? ""
                        : i + 1 < c->count ? ", "
                                           : " and ",
                        (long long)c->entrants[i].measures.count);
        page_put(page, " pictures");
        if (m->reference_count > 0) page_format(page, ", %lld of the reference", (long long)m->reference_count);
        page_put(page, "; features by ");
        page_text(page, c->network);
        page_put(page, "; figures after \xc2\xb1 are standard errors</caption>");
        put_head(page, c, "Measure");
        for (int g = 0; g < count; g++) {
            bool some = false;
            for (int i = 0; i < groups[g].count; i++) some = some || known_to_any(c, groups[g].measures[i]);
            if (!some) continue;
            page_format(page, "<tbody><tr><th scope=\"rowgroup\" colspan=\"%d\">%s</th></tr>", c->count + 1,
                        groups[g].title);
            for (int i = 0; i < groups[g].count; i++)
                if (known_to_any(c, groups[g].measures[i])) put_measure(page, c, groups[g].measures[i]);
            page_put(page, "</tbody>");
        }
        page_put(page, "</table></div>");
    }
    put_missing(page, c, groups, count);
}

void report_quality(struct page *page, const struct comparison *c)
{
    static const struct group groups[] = {
        {"Like the prompt", {MEASURE_CLIP_SCORE, MEASURE_PROMPT_RANK1}, 2},
        {"Like real pictures", {MEASURE_FID, MEASURE_KID, MEASURE_CMMD, MEASURE_PRECISION, MEASURE_DENSITY}, 5},
        {"As rich as real pictures", {MEASURE_RECALL, MEASURE_COVERAGE}, 2},
    };
    page_put(page, "<section><h2>How well they paint</h2><p>Three questions: does a picture show what its prompt says, "
                   "is it like a real picture, and do the pictures together cover what real ones cover?</p>");
    put_table(page, c, groups, sizeof groups / sizeof *groups);
    page_put(page, "</section>");
}

void report_variety(struct page *page, const struct comparison *c)
{
    static const struct group groups[] = {
        {"How unlike each other",
         {MEASURE_DIVERSITY, MEASURE_DIVERSITY_WITHIN, MEASURE_MS_SSIM, MEASURE_DISTINCT, MEASURE_SUPPORT},
         5},
        {"How evenly over the prompts", {MEASURE_MODES, MEASURE_MODE_ENTROPY, MEASURE_MODE_KL}, 3},
    };
    put_table(page, c, groups, sizeof groups / sizeof *groups);
}

void report_copying(struct page *page, const struct comparison *c)
{
    static const struct group groups[] = {
        {"Nearest reference picture",
         {MEASURE_COPIES, MEASURE_COPIES_PIXELS, MEASURE_COPYING_Z, MEASURE_NEAREST, MEASURE_NEAREST_PIXELS},
         5},
    };
    put_table(page, c, groups, sizeof groups / sizeof *groups);
}

/* ---- cost ---- */

enum cost { COST_EVALUATIONS, COST_GFLOP, COST_SECONDS, COST_PARAMETERS, COST_MEMORY, COSTS };

static double cost_of(const struct compare_cost *cost, enum cost which)
{
    switch (which) {
    case COST_EVALUATIONS: return cost->evaluations;
    case COST_GFLOP: return cost->gflop;
    case COST_SECONDS: return cost->seconds;
    case COST_PARAMETERS: return (double)cost->parameters;
    case COST_MEMORY: return (double)cost->memory_bytes;
    case COSTS: break;
    }
    return 0;
}

static void put_cost(struct page *page, enum cost which, double value)
{
    switch (which) {
    case COST_GFLOP: page_number(page, value); break;
    case COST_SECONDS:
        if (value < 1)
            page_format(page, "%.3g ms", 1000 * value);
        else
            page_format(page, "%.3g s", value);
        break;
    case COST_PARAMETERS: put_amount(page, value, ""); break;
    case COST_MEMORY: put_amount(page, value, "B"); break;
    default: page_number(page, value);
    }
}

static void put_cost_row(struct page *page, const struct comparison *c, enum cost which, const char *title,
                         const char *says)
{
    double most = 0;
    for (int i = 0; i < c->count; i++) most = fmax(most, cost_of(&c->entrants[i].cost, which));
    page_format(page, "<tr><th scope=\"row\">%s<small>%s</small></th>", title, says);
    for (int i = 0; i < c->count; i++) {
        const double value = cost_of(&c->entrants[i].cost, which);
        page_format(page, "<td class=\"figure e%d\" data-name=\"", i);
        page_text(page, c->entrants[i].name);
        page_put(page, "\"><b>");
        put_cost(page, which, value);
        page_put(page, "</b>");
        page_bar(page, value, most);
        page_put(page, "</td>");
    }
    page_put(page, "</tr>");
}

/* "While emoji paints one picture, gan paints 38." */
static void put_race(struct page *page, const struct comparison *c)
{
    int slow = 0, fast = 0;
    for (int i = 1; i < c->count; i++) {
        if (c->entrants[i].cost.seconds > c->entrants[slow].cost.seconds) slow = i;
        if (c->entrants[i].cost.seconds < c->entrants[fast].cost.seconds) fast = i;
    }
    const double ratio = c->entrants[slow].cost.seconds / c->entrants[fast].cost.seconds;
    if (!isfinite(ratio) || ratio < 1.2) return;
    page_put(page, "<p>While ");
    page_text(page, c->entrants[slow].name);
    page_put(page, " paints one picture, ");
    page_text(page, c->entrants[fast].name);
    page_put(page, " paints ");
    page_number(page, ratio < 10 ? ratio : round(ratio));
    page_put(page, ".</p>");
}

void report_cost(struct page *page, const struct comparison *c)
{
    page_put(page, "<section><h2>What a picture costs</h2>");
    put_race(page, c);
    page_put(page, "<div class=\"scroll wide\"><table class=\"even\"><caption>One picture at a time, on the machine "
                   "that made this "
                   "page; arithmetic and memory as planned, seconds as measured</caption>");
    put_head(page, c, "Cost");
    page_put(page, "<tbody>");
    put_cost_row(page, c, COST_EVALUATIONS, "Network evaluations",
                 "how often the painting network runs; guidance runs it twice a step");
    put_cost_row(page, c, COST_GFLOP, "GFLOP", "billions of additions and multiplications, text and decoding included");
    put_cost_row(page, c, COST_SECONDS, "Time", "the median of the pictures painted for this page");
    put_cost_row(page, c, COST_PARAMETERS, "Parameters", "numbers learnt, as far as painting uses them");
    put_cost_row(page, c, COST_MEMORY, "Peak memory", "weights, and the largest stage's working memory");
    page_put(page, "</tbody></table></div></section>");
}
