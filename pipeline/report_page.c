/* SPDX-License-Identifier: MIT
 *
 * report.html: the verdict first, then what it rests on. Everything that came from outside goes through page_text.
 */
#include "pipeline/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *family_word(const struct entrant *e)
{
    if (strcmp(e->family, "gan") == 0) return "GAN";
    return "diffusion model";
}

/* ---- the top ---- */

static void put_head(struct page *page, const struct comparison *c)
{
    page_put(page,
             "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
             "content=\"width=device-width,initial-scale=1\"><meta name=\"generator\" content=\"limn " LIMN_VERSION
             "\"><link rel=\"icon\" href=\"data:,\"><title>limn compare: ");
    for (int i = 0; i < c->count; i++) {
        if (i) page_put(page, " and ");
        page_text(page, c->entrants[i].name);
    }
    page_put(page, "</title><style>\n");
    for (int i = 0; report_style[i]; i++) page_put(page, report_style[i]);
    page_put(page, "</style></head><body><main>");
}

static void put_verdict(struct page *page, const struct comparison *c)
{
    page_put(page, "<header><p class=\"kicker\">");
    for (int i = 0; i < c->count; i++) {
        page_put(page, i ? " against " : "");
        page_text(page, c->entrants[i].name);
    }
    if (c->per_prompt)
        page_format(page, " \xc2\xb7 %d prompt%s, %d picture%s of each", c->prompt_count,
                    c->prompt_count == 1 ? "" : "s", c->per_prompt, c->per_prompt == 1 ? "" : "s");
    page_put(page, "</p><h1>");
    page_text(page, c->verdict[0]);
    page_put(page, "</h1><ul class=\"plain lead\">");
    for (int i = 1; i < c->verdict_count; i++) {
        page_put(page, "<li>");
        page_text(page, c->verdict[i]);
        page_put(page, "</li>");
    }
    page_put(page, "</ul></header>");
}

static void put_warnings(struct page *page, const struct comparison *c)
{
    if (c->warning_count == 0) return;
    page_put(page, "<aside class=\"note\">");
    for (int i = 0; i < c->warning_count; i++) {
        page_put(page, "<p>");
        page_text(page, c->warnings[i]);
        page_put(page, ".</p>");
    }
    page_put(page, "</aside>");
}

/* ---- cards ---- */

static void put_tile(struct page *page, const char *title, const struct figure *f)
{
    if (!f->known) return;
    page_format(page, "<div><dt>%s</dt><dd>", title);
    page_number(page, f->value);
    if (isfinite(f->error)) {
        page_put(page, " <small>");
        page_error(page, f->error);
        page_put(page, "</small>");
    }
    page_put(page, "</dd></div>");
}

enum { CARD_VERDICTS = 6 };

static void put_card(struct page *page, const struct comparison *c, int i)
{
    static const char *const kinds[] = {
        [VERDICT_FAULT] = "fault", [VERDICT_DOUBT] = "doubt", [VERDICT_GOOD] = "good", [VERDICT_NOTE] = ""};
    const struct entrant *e = &c->entrants[i];
    const struct figure *f = e->measures.figure;
    page_format(page, "<article class=\"card e%d\"><h3>", i);
    page_name(page, c, i);
    page_put(page, "</h3><p class=\"soft\">");
    if (e->is_model) page_format(page, "%s%s", family_word(e), e->settings[0] ? ", " : "; ");
    page_text(page, e->settings);
    page_format(page, "%s%lld %spictures of %d \xc3\x97 %d</p><div class=\"row\">", e->settings[0] ? "; " : "",
                (long long)e->set.count, e->is_model ? "" : "finished ", e->width, e->height);
    for (int k = 0; k < 4; k++) page_shot(page, e, k * e->set.count / 4, 56);
    page_put(page, "</div><dl class=\"tiles\">");
    put_tile(page, "CLIP score", &f[MEASURE_CLIP_SCORE]);
    put_tile(page, "KID", &f[MEASURE_KID]);
    put_tile(page, "FID", &f[MEASURE_FID]);
    put_tile(page, "mean distance", &f[MEASURE_DIVERSITY]);
    put_tile(page, "distinct pictures", &f[MEASURE_DISTINCT]);
    if (e->is_model) {
        page_put(page, "<div><dt>a picture takes</dt><dd>");
        page_format(page, e->cost.seconds < 1 ? "%.3g <small>ms</small>" : "%.3g <small>s</small>",
                    e->cost.seconds < 1 ? 1000 * e->cost.seconds : e->cost.seconds);
        page_put(page, "</dd></div><div><dt>arithmetic</dt><dd>");
        page_number(page, e->cost.gflop);
        page_put(page, " <small>GFLOP</small></dd></div>");
    }
    page_put(page, "</dl><ul class=\"plain\">");
    for (int k = 0; k < e->verdicts.count; k++) {
        if (k == CARD_VERDICTS)
            page_format(page, "</ul><details><summary>%d more</summary><ul class=\"plain\">", e->verdicts.count - k);
        page_format(page, "<li class=\"%s\">", kinds[e->verdicts.verdict[k].kind]);
        page_title(page, e->verdicts.verdict[k].text);
        page_put(page, "</li>");
    }
    page_put(page, e->verdicts.count > CARD_VERDICTS ? "</ul></details></article>" : "</ul></article>");
}

static void put_cards(struct page *page, const struct comparison *c)
{
    page_put(page, "<section class=\"cards\" aria-label=\"At a glance\">");
    for (int i = 0; i < c->count; i++) put_card(page, c, i);
    page_put(page, "</section>");
}

/* ---- the end ---- */

static void put_fact(struct page *page, const char *name, const char *text)
{
    page_format(page, "<dt>%s</dt><dd>", name);
    page_text(page, text);
    page_put(page, "</dd>");
}

static void put_entrant_fact(struct page *page, const struct comparison *c, int i)
{
    const struct entrant *e = &c->entrants[i];
    page_put(page, "<dt>");
    page_name(page, c, i);
    page_put(page, "</dt><dd><code>");
    page_text(page, e->path);
    page_put(page, "</code>");
    if (e->hash[0]) {
        page_put(page, " (");
        page_text(page, e->hash);
        page_put(page, ")");
    }
    page_put(page, "</dd>");
}

static void put_reference_fact(struct page *page, const struct comparison *c)
{
    if (c->reference.count == 0) {
        put_fact(page, "Reference set", "none: what compares with real pictures was not measured (--reference FOLDER)");
        return;
    }
    page_put(page, "<dt>Reference set</dt><dd><code>");
    page_text(page, c->reference_path);
    page_format(page, "</code>: %lld pictures, seen at %d \xc3\x97 %d%s", (long long)c->reference.count,
                c->reference.side_x, c->reference.side_y,
                c->reference_learnt ? ", which all of these models have learnt from" : "");
    if (c->wanted)
        page_format(page,
                    ". The %lld of them that show what the prompts ask for are the standard; copies are looked for in "
                    "all of them",
                    (long long)c->wanted_count);
    page_put(page, "</dd>");
}

static void put_definitions(struct page *page, const struct comparison *c)
{
    (void)c;
    page_put(page, "<details><summary>What each measure says, and where it comes from</summary><dl class=\"facts\">");
    for (int i = 0; i < MEASURE_COUNT; i++) {
        const struct measure_info *info = measure_info((enum measure)i);
        page_put(page, "<dt>");
        page_title(page, info->title);
        page_put(page, "</dt><dd>");
        page_text(page, info->says);
        page_put(page, " <span class=\"soft\">(");
        page_text(page, info->source);
        page_put(page, ")</span></dd>");
    }
    page_put(page, "</dl></details>");
}

static void put_method(struct page *page, const struct comparison *c)
{
    page_put(page, "<section><h2>How this was measured</h2><dl class=\"facts\">");
    for (int i = 0; i < c->count; i++) put_entrant_fact(page, c, i);
    page_put(page, "<dt>Pictures</dt><dd>");
    for (int i = 0; i < c->count; i++)
        page_format(page, "%s%lld", i ? " and " : "", (long long)c->entrants[i].set.count);
    if (c->per_prompt)
        page_format(page,
                    ": %d of each of %d prompts. Picture k of prompt p has the seed %llu + %d (p \xe2\x88\x92 1) + "
                    "(k \xe2\x88\x92 1), with every model",
                    c->per_prompt, c->prompt_count, (unsigned long long)c->request->seed, (int)COMPARE_SEED_STRIDE);
    page_put(page, "</dd>");
    put_fact(page, "Features", c->network);
    put_fact(page, "Resize rule", PICTURE_SET_RESIZE_RULE);
    put_reference_fact(page, c);
    put_fact(
        page, "Better",
        "means by more than two standard errors. The verdict goes by CLIP score (likeness to the "
        "prompt) and KID (likeness to real pictures); by KID alone where a model, and not the other, was made with "
        "the text tower of the network that gives the score");
    page_put(page, "</dl>");
    put_definitions(page, c);
    page_put(page, "</section>");
}

void report_page(struct page *page, const struct comparison *c)
{
    const bool models = c->entrants[0].is_model;
    put_head(page, c);
    put_verdict(page, c);
    put_warnings(page, c);
    put_cards(page, c);
    report_side_by_side(page, c);
    report_quality(page, c);
    if (models) report_cost(page, c);
    if (models) report_ways(page, c);
    if (models) report_walks(page, c);
    report_repeats(page, c);
    report_copies(page, c);
    put_method(page, c);
    page_put(page, "<footer>Made by limn " LIMN_VERSION ". The same figures are in report.json, the same rows in "
                   "grid.png.</footer></main></body></html>\n");
}
