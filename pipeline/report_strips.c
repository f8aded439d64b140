/* SPDX-License-Identifier: MIT
 *
 * The report's pictures: side by side, on the way from noise, on a walk, and those that repeat or copy.
 */
#include "core/io/charset.h"
#include "pipeline/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    SHOWN_SIDE = 256,    /* pixels: what is larger is reduced for the page */
    PICTURES_BESIDE = 3, /* of each prompt and model */
    GROUPS_SHOWN = 4,    /* of near-duplicates, and so many of each */
    MEMBERS_SHOWN = 3,
    COPIES_SHOWN = 6,
    ALT_BYTES = 1024,
};

/* ---- words ---- */

static bool is_korean(const char *text)
{
    uint32_t letter;
    for (size_t at = 0, end = strlen(text), used; at < end; at += used ? used : 1) {
        used = utf8_decode(text + at, end - at, &letter);
        if (used && letter >= 0xac00 && letter <= 0xd7a3) return true;
    }
    return false;
}

/* With the language that its letters tell, and what it is in English if that is known. row: of the comparison's
 * prompts; -1: it is none of them. */
static void put_prompt(struct page *page, const struct comparison *c, const char *prompt, int row)
{
    page_put(page, is_korean(prompt) ? "<span lang=\"ko\">" : "<span>");
    page_text(page, prompt[0] ? prompt : "(no prompt)");
    page_put(page, "</span>");
    if (row < 0 || !c->glosses || !c->glosses[row]) return;
    page_put(page, " <span class=\"soft\">(");
    page_text(page, c->glosses[row]);
    page_put(page, ")</span>");
}

void page_name(struct page *page, const struct comparison *c, int entrant)
{
    page_format(page, "<span class=\"name e%d\">", entrant);
    page_text(page, c->entrants[entrant].name);
    page_put(page, "</span>");
}

void page_shot(struct page *page, const struct entrant *entrant, int64_t shot, int side)
{
    const struct compare_shot *s = &entrant->shots[shot];
    struct image image = {0};
    struct error err = {0};
    char alt[ALT_BYTES];
    if (s->prompt)
        snprintf(alt, sizeof alt, "%.700s, by %s, seed %llu", s->prompt, entrant->name, (unsigned long long)s->seed);
    else
        snprintf(alt, sizeof alt, "picture %lld of %s", (long long)shot + 1, entrant->name);
    const enum status status = report_shot(entrant, (int)shot, SHOWN_SIDE, &image, &err);
    if (status == STATUS_OK)
        page_picture(page, &image, side, alt);
    else if (status == STATUS_NO_MEMORY)
        page->failed = true;
    else
        page_put(page, "<span class=\"soft\">cannot be read any more</span>");
    image_clear(&image);
}

/* A picture of the set as it is in memory. */
static void put_member(struct page *page, const struct picture_set *set, int64_t i, int side, const char *alt)
{
    const size_t bytes = (size_t)set->kept_x * (size_t)set->kept_y * 3;
    const struct image image = {
        .width = set->kept_x, .height = set->kept_y, .channels = 3, .pixels = set->values + (size_t)i * bytes};
    page_picture(page, &image, side, alt);
}

/* ---- side by side ---- */

static void put_cell(struct page *page, const struct comparison *c, int entrant, int shot)
{
    page_format(page, "<td data-name=\"");
    page_text(page, c->entrants[entrant].name);
    page_put(page, "\"><div class=\"row\">");
    const int shown = c->per_prompt == 0 ? 1 : c->per_prompt < PICTURES_BESIDE ? c->per_prompt : PICTURES_BESIDE;
    for (int k = 0; k < shown; k++) {
        const int partner = report_partner(c, entrant, shot + k);
        if (partner >= 0)
            page_shot(page, &c->entrants[entrant], partner, 104);
        else
            page_put(page, "<span class=\"soft\">none</span>");
    }
    page_put(page, "</div></td>");
}

/* A row for each prompt; of folders, for each of some pictures. */
void report_side_by_side(struct page *page, const struct comparison *c)
{
    enum { MOST_ROWS = 24 };
    int shots[REPORT_GRID_ROWS];
    int rows = c->per_prompt ? c->prompt_count : report_grid_rows(c, shots);
    if (rows > MOST_ROWS) rows = MOST_ROWS;
    page_put(page,
             "<section><h2>Side by side</h2><p>Each row is one prompt; the pictures of a column begin with the same "
             "seeds as those of the next.</p><div class=\"scroll wide\"><table><thead><tr><th scope=\"col\">Prompt"
             "</th>");
    for (int i = 0; i < c->count; i++) {
        page_put(page, "<th scope=\"col\">");
        page_name(page, c, i);
        page_put(page, "</th>");
    }
    page_put(page, "</tr></thead><tbody>");
    for (int row = 0; row < rows; row++) {
        const int shot = c->per_prompt ? row * c->per_prompt : shots[row];
        const struct compare_shot *first = &c->entrants[0].shots[shot];
        page_put(page, "<tr><th scope=\"row\">");
        if (first->prompt) {
            page_format(page, "%d. ", first->prompt_row + 1);
            put_prompt(page, c, first->prompt, first->prompt_row);
            page_format(page, "<small>seed %llu%s</small>", (unsigned long long)first->seed,
                        c->per_prompt > 1 ? " and on" : "");
        } else {
            page_format(page, "picture %d", shot + 1);
        }
        page_put(page, "</th>");
        for (int i = 0; i < c->count; i++) put_cell(page, c, i, shot);
        page_put(page, "</tr>");
    }
    page_put(page, "</tbody></table></div>");
    if (c->per_prompt && c->prompt_count > rows)
        page_format(page, "<p class=\"soft\">The first %d of %d prompts; all pictures lie in the folder pictures.</p>",
                    rows, c->prompt_count);
    page_put(page, "</section>");
}

/* ---- ways and walks ---- */

static void put_strip_title(struct page *page, const struct comparison *c, int entrant, const char *says)
{
    page_put(page, "<h3>");
    page_name(page, c, entrant);
    page_put(page, " <span class=\"soft\">");
    page_text(page, says);
    page_put(page, "</span></h3>");
}

void report_ways(struct page *page, const struct comparison *c)
{
    page_put(page,
             "<section><h2>One step, or many</h2><p>A diffusion model takes the noise out of a picture a little at a "
             "time, and can correct on the way what it did before. A GAN\xe2\x80\x99s generator makes the whole "
             "picture out of random numbers in a single step. The prompt here: ");
    put_prompt(page, c, c->prompts[0], 0);
    page_put(page, ".</p>");
    for (int e = 0; e < c->count; e++) {
        const struct entrant *entrant = &c->entrants[e];
        const bool sampled = strcmp(entrant->family, "diffusion") == 0;
        char says[96], alt[ALT_BYTES];
        snprintf(says, sizeof says, "%d evaluation%s of its network", entrant->cost.evaluations,
                 entrant->cost.evaluations == 1 ? "" : "s");
        put_strip_title(page, c, e, says);
        page_put(page, "<ol class=\"strip\">");
        for (int i = 0; i < entrant->way_count; i++) {
            const struct compare_frame *f = &entrant->way[i];
            snprintf(alt, sizeof alt, "%s after step %d", entrant->name, f->step);
            page_put(page, "<li>");
            page_picture(page, &f->image, 128, alt);
            if (sampled)
                page_format(page, "step %d<br>%.0f%% noise</li>", f->step, 100 * f->noise);
            else
                page_put(page, i + 1 < entrant->way_count ? "its random numbers</li>" : "after its one step</li>");
        }
        page_put(page, "</ol>");
    }
    page_put(page, "</section>");
}

void report_walks(struct page *page, const struct comparison *c)
{
    page_put(page, "<section><h2>A walk between two seeds</h2><p>From one seed\xe2\x80\x99s random numbers to "
                   "another\xe2\x80\x99s along the arc between them, the prompt staying the same: ");
    put_prompt(page, c, c->prompts[c->walk_shot / c->per_prompt], c->walk_shot / c->per_prompt);
    page_put(page, ". A model that has learnt shapes and not single pictures changes one into the other step by step; "
                   "one that has learnt "
                   "by heart jumps. Diffusion models walk here with DDIM, which adds no noise of its own.</p>");
    for (int e = 0; e < c->count; e++) {
        const struct entrant *entrant = &c->entrants[e];
        char alt[ALT_BYTES];
        put_strip_title(page, c, e, "");
        page_put(page, "<ol class=\"strip\">");
        for (int i = 0; i < entrant->walk_count; i++) {
            const int percent = (100 * i + (entrant->walk_count - 1) / 2) / (entrant->walk_count - 1);
            snprintf(alt, sizeof alt, "%s, %d%% of the way", entrant->name, percent);
            page_put(page, "<li>");
            page_picture(page, &entrant->walk[i].image, 128, alt);
            page_format(page, "%d%%</li>", percent);
        }
        page_put(page, "</ol>");
    }
    page_put(page, "</section>");
}

/* ---- repetition ---- */

/* Pictures of each prompt's direction: what was asked for is a line of equal bars. */
static void put_hits(struct page *page, const struct comparison *c)
{
    int64_t most = 1;
    for (int e = 0; e < c->count; e++) {
        if (!c->entrants[e].measures.prompt_hits) return;
        for (int p = 0; p < c->prompt_count; p++)
            if (c->entrants[e].measures.prompt_hits[p] > most) most = c->entrants[e].measures.prompt_hits[p];
    }
    if (c->prompt_count < 2 || c->prompt_count > 48) return;
    page_put(page, "<h3>Which prompt a picture is nearest to</h3><div class=\"scroll\"><table class=\"hits\"><caption>"
                   "Pictures whose features are nearer to this prompt than to any other");
    if (c->per_prompt) page_format(page, "; %d were asked of each", c->per_prompt);
    page_put(page, "</caption><thead><tr><th scope=\"col\">Prompt</th>");
    for (int e = 0; e < c->count; e++) {
        page_put(page, "<th scope=\"col\">");
        page_name(page, c, e);
        page_put(page, "</th>");
    }
    page_put(page, "</tr></thead><tbody>");
    for (int p = 0; p < c->prompt_count; p++) {
        page_put(page, "<tr><th scope=\"row\">");
        put_prompt(page, c, c->prompts[p], p);
        page_put(page, "</th>");
        for (int e = 0; e < c->count; e++) {
            const int64_t hits = c->entrants[e].measures.prompt_hits[p];
            page_format(page, "<td class=\"e%d\">%lld ", e, (long long)hits);
            page_bar(page, (double)hits, (double)most);
            page_put(page, "</td>");
        }
        page_put(page, "</tr>");
    }
    page_put(page, "</tbody></table></div>");
}

/* The largest groups of near-duplicates. */
static void put_groups(struct page *page, const struct comparison *c, int e)
{
    const struct entrant *entrant = &c->entrants[e];
    const struct measures *m = &entrant->measures;
    int64_t chosen[GROUPS_SHOWN];
    int count = 0;
    for (; m->group && count < GROUPS_SHOWN; count++) {
        int64_t best = -1, best_size = 1;
        for (int64_t i = 0; i < m->count; i++) {
            bool seen = false;
            int64_t size = 0;
            for (int k = 0; k < count; k++) seen = seen || chosen[k] == m->group[i];
            for (int64_t j = i; j < m->count && !seen; j++) size += m->group[j] == m->group[i];
            if (!seen && size > best_size) {
                best = m->group[i];
                best_size = size;
            }
        }
        if (best < 0) break;
        chosen[count] = best;
    }
    put_strip_title(page, c, e, count ? "the same picture more than once" : "no two pictures are nearly the same");
    if (count == 0) return;
    page_put(page, "<ul class=\"pairs\">");
    for (int g = 0; g < count; g++) {
        int64_t size = 0;
        page_put(page, "<li><div class=\"row\">");
        for (int64_t i = 0; i < m->count; i++)
            if (m->group[i] == chosen[g] && ++size <= MEMBERS_SHOWN) page_shot(page, entrant, i, 44);
        page_format(page, "</div>%lld alike</li>", (long long)size);
    }
    page_put(page, "</ul>");
}

void report_repeats(struct page *page, const struct comparison *c)
{
    page_put(page,
             "<section><h2>Does it repeat itself?</h2><p>Mode collapse is the classic failure of a GAN: many random "
             "numbers, few pictures. Near-duplicates, the spread over the prompts and the birthday paradox (how "
             "often two of a few pictures are the same tells how many there are) show it.</p>");
    report_variety(page, c);
    for (int e = 0; e < c->count; e++) put_groups(page, c, e);
    put_hits(page, c);
    page_put(page, "</section>");
}

/* ---- copies ---- */

static void put_nearest(struct page *page, const struct comparison *c, int e)
{
    const struct entrant *entrant = &c->entrants[e];
    const struct measures *m = &entrant->measures;
    int64_t order[COPIES_SHOWN];
    int count = 0;
    for (; count < COPIES_SHOWN && count < m->count; count++) {
        int64_t best = -1;
        for (int64_t i = 0; i < m->count; i++) {
            bool seen = false;
            for (int k = 0; k < count; k++) seen = seen || order[k] == i;
            if (!seen && (best < 0 || m->nearest_distance[i] < m->nearest_distance[best])) best = i;
        }
        order[count] = best;
    }
    put_strip_title(page, c, e, "its pictures that are nearest to the reference, each with its neighbour");
    page_put(page, "<ul class=\"pairs\">");
    for (int k = 0; k < count; k++) {
        page_put(page, "<li><div class=\"row\">");
        page_shot(page, entrant, order[k], 60);
        put_member(page, &c->reference, m->nearest_training[order[k]], 60, "the nearest reference picture");
        page_put(page, "</div>distance ");
        page_number(page, m->nearest_distance[order[k]]);
        page_put(page, "</li>");
    }
    page_put(page, "</ul>");
}

void report_copies(struct page *page, const struct comparison *c)
{
    if (c->reference.count == 0) return;
    page_format(page,
                "<section><h2>Does it copy?</h2><p>%s pictures that are much nearer to one of it than its pictures are "
                "to each other are learnt by heart.</p>",
                c->reference_learnt ? "The reference is what these models have learnt from:"
                                    : "If the reference is what a model has learnt from,");
    report_copying(page, c);
    for (int e = 0; e < c->count; e++)
        if (c->entrants[e].measures.nearest_training) put_nearest(page, c, e);
    page_put(page, "</section>");
}
