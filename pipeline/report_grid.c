/* SPDX-License-Identifier: MIT
 *
 * grid.png:
 *
 *                         emoji        gan
 *     1. a red apple     +------+    +------+
 *     seed 7             |      |    |      |
 *                        +------+    +------+
 */
#include "core/io/image_ops.h"
#include "core/io/lettering.h"
#include "pipeline/report.h"

#include <stdio.h>
#include <string.h>

enum {
    MARGIN = 24,
    GAP = 12,
    LABEL_WIDTH = 210,
    LEAST_CELL = 128,
    MOST_CELL = 256,
    LETTER = 11,
    LINE = 22,
    PROMPT_LINES = 4,
    LINE_BYTES = 256,
    SMALL = 9,
    DARK = 0x191919,
    PALE = 0x6e6e6e,
};

/* ---- rows ---- */

int report_grid_rows(const struct comparison *c, int shots[REPORT_GRID_ROWS])
{
    const int total = (int)c->entrants[0].set.count;
    const int rows = total < REPORT_GRID_ROWS ? total : REPORT_GRID_ROWS;
    const int each = c->per_prompt && c->prompt_count < rows ? rows / c->prompt_count : 1;
    if (!c->per_prompt) {
        for (int i = 0; i < rows; i++) shots[i] = (int)((int64_t)i * total / rows);
        return rows;
    }
    int used = 0;
    for (int p = 0; p < c->prompt_count; p++)
        for (int k = 0; k < each && k < c->per_prompt && used < rows; k++) shots[used++] = p * c->per_prompt + k;
    return used;
}

int report_partner(const struct comparison *c, int entrant, int shot)
{
    const struct entrant *e = &c->entrants[entrant];
    const struct compare_shot *wanted = &c->entrants[0].shots[shot];
    if (entrant == 0 || c->per_prompt || !wanted->prompt) return shot < e->set.count ? shot : -1;
    for (int i = 0; i < (int)e->set.count; i++) {
        const struct compare_shot *s = &e->shots[i];
        if (s->prompt && s->seed == wanted->seed && strcmp(s->prompt, wanted->prompt) == 0) return i;
    }
    return -1;
}

enum status report_shot(const struct entrant *entrant, int shot, int most, struct image *out, struct error *err)
{
    struct image read = {0}, rgb = {0};
    enum status status = image_read(&read, entrant->shots[shot].path, NULL, err);
    if (status == STATUS_OK) status = image_to_rgb(&rgb, &read, err);
    image_clear(&read);
    const int longer = rgb.width > rgb.height ? rgb.width : rgb.height;
    if (status == STATUS_OK && longer > most) {
        const int width = rgb.width * most / longer, height = rgb.height * most / longer;
        status = image_resize(out, &rgb, width > 0 ? width : 1, height > 0 ? height : 1, IMAGE_LANCZOS, err);
        image_clear(&rgb);
    } else {
        *out = rgb;
    }
    return status;
}

/* ---- drawing ---- */

struct sheet {
    const struct comparison *c;
    struct image *image;
    struct canvas canvas; /* on the image */
    int cell;             /* side of the square that each picture is fitted into */
    int head, step;       /* height of the head line; from one row to the next */
};

static void put_line(struct sheet *s, const char *text, int x, int y, int colour)
{
    lettering_draw(&s->canvas, text, (float)x, (float)y, colour == DARK ? LETTER : SMALL);
    canvas_paint(&s->canvas, (uint32_t)colour, 1);
}

/* `text` broken at blanks into lines that fit; what is longer than PROMPT_LINES ends with dots. Returns the lines. */
static int draw_wrapped(struct sheet *s, const char *text, int x, int y)
{
    size_t at = 0, bytes = strlen(text);
    int lines = 0;
    while (at < bytes && lines < PROMPT_LINES) {
        size_t fits = 0, last_blank = 0;
        for (size_t end = 1; at + end <= bytes; end++) {
            const bool whole = at + end == bytes || ((unsigned char)text[at + end] & 0xc0) != 0x80;
            if (!whole) continue;
            if (lettering_width(text + at, end, LETTER) > LABEL_WIDTH - GAP || end >= LINE_BYTES - 4) break;
            fits = end;
            if (at + end == bytes || text[at + end] == ' ') last_blank = end;
        }
        if (last_blank > 0) fits = last_blank;
        if (fits == 0) fits = 1;
        char line[LINE_BYTES];
        const bool cut = lines == PROMPT_LINES - 1 && at + fits < bytes;
        snprintf(line, sizeof line, "%.*s%s", (int)fits, text + at, cut ? "..." : "");
        put_line(s, line, x, y + (lines + 1) * LINE, DARK);
        at += fits;
        while (at < bytes && text[at] == ' ') at++;
        lines++;
    }
    return lines;
}

static void paste(struct image *to, const struct image *from, int x, int y)
{
    for (int row = 0; row < from->height; row++)
        memcpy(to->pixels + ((size_t)(y + row) * (size_t)to->width + (size_t)x) * 3,
               from->pixels + (size_t)row * (size_t)from->width * 3, (size_t)from->width * 3);
}

static enum status draw_cell(const struct sheet *s, int entrant, int shot, int x, int y, struct error *err)
{
    const struct entrant *e = &s->c->entrants[entrant];
    struct image shown = {0}, fitted = {0};
    enum status status = report_shot(e, shot, s->cell, &shown, err);
    if (status != STATUS_OK) return status;
    const int longer = shown.width > shown.height ? shown.width : shown.height;
    const int width = shown.width * s->cell / longer, height = shown.height * s->cell / longer;
    status = image_resize(&fitted, &shown, width > 0 ? width : 1, height > 0 ? height : 1, IMAGE_BICUBIC, err);
    if (status == STATUS_OK) paste(s->image, &fitted, x + (s->cell - width) / 2, y + (s->cell - height) / 2);
    image_clear(&shown);
    image_clear(&fitted);
    return status;
}

static enum status draw_row(struct sheet *s, int row, int shot, struct error *err)
{
    const struct compare_shot *first = &s->c->entrants[0].shots[shot];
    const int y = MARGIN + s->head + row * s->step;
    char title[64 + LINE_BYTES * PROMPT_LINES], seed[48];
    if (first->prompt)
        snprintf(title, sizeof title, "%d. %s", first->prompt_row + 1,
                 first->prompt[0] ? first->prompt : "(no prompt)");
    else
        snprintf(title, sizeof title, "picture %d", shot + 1);
    const int lines = draw_wrapped(s, title, MARGIN, y);
    snprintf(seed, sizeof seed, "seed %llu", (unsigned long long)first->seed);
    if (first->prompt) put_line(s, seed, MARGIN, y + (lines + 1) * LINE, PALE);
    enum status status = STATUS_OK;
    for (int e = 0; e < s->c->count && status == STATUS_OK; e++) {
        const int partner = report_partner(s->c, e, shot);
        const int x = MARGIN + LABEL_WIDTH + e * (s->cell + GAP);
        if (partner >= 0)
            status = draw_cell(s, e, partner, x, y, err);
        else
            put_line(s, "none", x, y + LINE, PALE);
    }
    return status;
}

/* Names too long for their column are cut. */
static void draw_head(struct sheet *s)
{
    for (int e = 0; e < s->c->count; e++) {
        const char *name = s->c->entrants[e].name;
        char shown[LINE_BYTES];
        size_t length = strlen(name);
        while (length > 1 && lettering_width(name, length, LETTER) > (float)s->cell) length--;
        snprintf(shown, sizeof shown, "%.*s", (int)length, name);
        put_line(s, shown, MARGIN + LABEL_WIDTH + e * (s->cell + GAP), MARGIN + LETTER, DARK);
    }
    put_line(s, "prompt", MARGIN, MARGIN + LETTER, PALE);
}

enum status report_grid(const struct comparison *c, struct image *out, struct error *err)
{
    int shots[REPORT_GRID_ROWS], largest = 0;
    const int rows = report_grid_rows(c, shots);
    for (int i = 0; i < c->count; i++) {
        const struct entrant *e = &c->entrants[i];
        if (e->width > largest) largest = e->width;
        if (e->height > largest) largest = e->height;
    }
    struct sheet s = {.c = c, .image = out, .head = LETTER + GAP};
    s.cell = largest < LEAST_CELL ? LEAST_CELL : largest > MOST_CELL ? MOST_CELL : largest;
    s.step = s.cell + GAP;
    const int width = 2 * MARGIN + LABEL_WIDTH + c->count * (s.cell + GAP) - GAP;
    enum status status = image_create(out, width, 2 * MARGIN + s.head + rows * s.step - GAP, 3, err);
    if (status != STATUS_OK) return status;
    memset(out->pixels, 255, (size_t)out->width * (size_t)out->height * 3);
    status = canvas_open(&s.canvas, out, err);
    if (status == STATUS_OK) draw_head(&s);
    for (int i = 0; i < rows && status == STATUS_OK; i++) status = draw_row(&s, i, shots[i], err);
    canvas_close(&s.canvas);
    return status;
}
