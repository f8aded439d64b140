/* SPDX-License-Identifier: MIT
 *
 * What a comparison leaves behind in its folder:
 *
 *     grid.png       the same prompt and seed in a row, a column for each of the compared
 *     report.json    every figure; the same for the same request, but for its member "machine"
 *     report.html    one page that needs nothing beside it
 */
#ifndef PIPELINE_REPORT_H
#define PIPELINE_REPORT_H

#include "core/io/bytes.h"
#include "pipeline/compare.h"

#include <jansson.h>

/* Writes all three. *json: the text of report.json, freed by the caller with memory_free. */
MUST_CHECK enum status report_write(const struct comparison *c, char **json, struct error *err);

/* The figures, with "machine" last. */
MUST_CHECK enum status report_json(const struct comparison *c, json_t **out, struct error *err);
MUST_CHECK enum status report_grid(const struct comparison *c, struct image *out, struct error *err);

/* Rows of the grid: pairs of prompt and seed, as shots of the first entrant. */
enum { REPORT_GRID_ROWS = 16 };
int report_grid_rows(const struct comparison *c, int shots[REPORT_GRID_ROWS]);
/* The entrant's picture of the same prompt and seed, or of the same place where there are none; -1: it has none. */
int report_partner(const struct comparison *c, int entrant, int shot);
/* The picture as RGB, its longer side at most so many pixels. */
MUST_CHECK enum status report_shot(const struct entrant *entrant, int shot, int most, struct image *out,
                                   struct error *err);

/* A text that grows; `failed` sticks when there is no memory. */
struct page {
    struct bytes text; /* owned; without a NUL */
    bool failed;
};
void page_put(struct page *page, const char *text);
void page_format(struct page *page, const char *format, ...) PRINTF_LIKE(2, 3);
/* Text from outside: what HTML would obey is written as entities, what is not UTF-8 as U+FFFD. */
void page_text(struct page *page, const char *text);
/* A picture as a data URI in an img element; side: of its longer side on the page, in CSS pixels. */
void page_picture(struct page *page, const struct image *image, int side, const char *alt);

/* report.html, and its parts: tables with bars (report_tables.c) and rows of pictures (report_strips.c). */
void report_page(struct page *page, const struct comparison *c);
void report_quality(struct page *page, const struct comparison *c);
void report_cost(struct page *page, const struct comparison *c);
void report_variety(struct page *page, const struct comparison *c);
void report_copying(struct page *page, const struct comparison *c);
void report_side_by_side(struct page *page, const struct comparison *c);
void report_ways(struct page *page, const struct comparison *c);
void report_walks(struct page *page, const struct comparison *c);
void report_repeats(struct page *page, const struct comparison *c);
void report_copies(struct page *page, const struct comparison *c);
extern const char *const report_style[]; /* lines of CSS, until a NULL */

/* As page_text, the first letter (ASCII) a capital one. */
void page_title(struct page *page, const char *text);
/* Coloured dot and name of an entrant. */
void page_name(struct page *page, const struct comparison *c, int entrant);
/* A picture of an entrant, as a figure's content; what cannot be read leaves a word. */
void page_shot(struct page *page, const struct entrant *entrant, int64_t shot, int side);
/* As people read it: "30.5", "1,234", "0.0012". */
void page_number(struct page *page, double value);
/* As long as the value's share of the most. */
void page_bar(struct page *page, double value, double most);
void page_error(struct page *page, double value); /* with a plus-minus sign before it */

#endif
