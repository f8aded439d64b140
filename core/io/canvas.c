/* SPDX-License-Identifier: MIT */
#include "core/io/canvas.h"

#include "core/base/memory.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum status canvas_open(struct canvas *c, struct image *picture, struct error *err)
{
    assert(picture->channels == 3);
    const size_t bytes = (size_t)picture->width * (size_t)picture->height;
    *c = (struct canvas){.picture = picture, .right = picture->width, .bottom = picture->height};
    c->mask = memory_alloc(bytes);
    return c->mask ? STATUS_OK : fail_no_memory(err, "a drawing", bytes);
}

void canvas_close(struct canvas *c)
{
    memory_free(c->mask);
    *c = (struct canvas){0};
}

void canvas_clip(struct canvas *c, int left, int top, int right, int bottom)
{
    assert(left >= 0 && top >= 0 && right <= c->picture->width && bottom <= c->picture->height);
    c->left = left;
    c->top = top;
    c->right = right;
    c->bottom = bottom;
}

/* The distance of a point from the line's nearest point. */
static float distance(float x, float y, float x0, float y0, float x1, float y1)
{
    const float dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy;
    const float t = length > 0 ? ((x - x0) * dx + (y - y0) * dy) / length : 0;
    const float along = t < 0 ? 0 : t > 1 ? 1 : t;
    return hypotf(x - x0 - along * dx, y - y0 - along * dy);
}

static int limited(float value, int least, int most)
{
    return value < (float)least ? least : value > (float)most ? most : (int)value;
}

/* A pixel is covered as far as its middle lies within the stroke, from none to all over the width of a pixel. */
void canvas_line(struct canvas *c, float x0, float y0, float x1, float y1, float width)
{
    const float reach = width / 2 + 0.5f;
    const int left = limited(fminf(x0, x1) - reach, c->left, c->right);
    const int right = limited(fmaxf(x0, x1) + reach + 1, c->left, c->right);
    const int top = limited(fminf(y0, y1) - reach, c->top, c->bottom);
    const int bottom = limited(fmaxf(y0, y1) + reach + 1, c->top, c->bottom);
    for (int y = top; y < bottom; y++)
        for (int x = left; x < right; x++) {
            const float inside = reach - distance((float)x + 0.5f, (float)y + 0.5f, x0, y0, x1, y1);
            const uint8_t level = inside >= 1 ? 255 : inside > 0 ? (uint8_t)(inside * 255 + 0.5f) : 0;
            uint8_t *mask = &c->mask[(size_t)y * (size_t)c->picture->width + (size_t)x];
            if (level > *mask) *mask = level;
        }
}

void canvas_paint(struct canvas *c, uint32_t rgb, float opacity)
{
    const size_t count = (size_t)c->picture->width * (size_t)c->picture->height;
    for (size_t i = 0; i < count; i++) {
        if (c->mask[i] == 0) continue;
        uint8_t *pixel = c->picture->pixels + 3 * i;
        const float share = (float)c->mask[i] * (opacity / 255);
        for (int k = 0; k < 3; k++) {
            const float colour = (float)(rgb >> (16 - 8 * k) & 255), below = pixel[k];
            pixel[k] = (uint8_t)(below + (colour - below) * share + 0.5f);
        }
    }
    memset(c->mask, 0, count);
}

/* ---- text ---- */

/* A glyph is strokes, set apart by blanks, of points: a digit across from the left, a digit down. Digits stand on 6 and
 * reach up to 0, small letters up to 2, their tails down to 8. A single point is a dot. */
static const struct glyph {
    char name;
    const char *strokes;
} glyphs[] = {
    {'0', "103041453616050110"},
    {'1', "022026"},
    {'2', "01103041420646"},
    {'3', "0110304142334445361605 1333"},
    {'4', "36300444"},
    {'5', "40000312324345361605"},
    {'6', "413010010516364543321203"},
    {'7', "004016"},
    {'8', "13020110304142331304051636454433"},
    {'9', "051636454130100103143443"},
    {'.', "06"},
    {'-', "0333"},
    {'+', "0343 2125"},
    {'M', "0600244046"},
    {'a', "3322120305162635 3236"},
    {'b', "0006 0312223335261605"},
    {'c', "3322120305162635"},
    {'d', "3036 3322120305162635"},
    {'e', "04343322120305162635"},
    {'f', "30201116 0222"},
    {'g', "3322120305162635 3237281807"},
    {'h', "0006 0312223336"},
    {'i', "0206 00"},
    {'j', "121708 10"},
    {'k', "0006 3204 1336"},
    {'l', "000516"},
    {'m', "0206 03122326 23324346"},
    {'n', "0206 0312223336"},
    {'o', "122233352616050312"},
    {'p', "0208 0312223335261605"},
    {'q', "3238 3322120305162635"},
    {'r', "0206 031222"},
    {'s', "33221203142435261605"},
    {'t', "101526 0222"},
    {'u', "0205162635 3236"},
    {'v', "022642"},
    {'w', "0216233642"},
    {'x', "0236 3206"},
    {'y', "0226 42261808"},
    {'z', "02320636"},
};

enum { GLYPH_HEIGHT = 6, BLANK = 2, MOST_POINTS = 48 };
static const float unit = (float)CANVAS_DIGIT_HEIGHT / GLYPH_HEIGHT, stroke_width = 1.35f;

static const char *strokes_of(char name)
{
    for (size_t i = 0; i < sizeof glyphs / sizeof *glyphs; i++)
        if (glyphs[i].name == name) return glyphs[i].strokes;
    return "";
}

/* In units, with the space after it. */
static int advance_of(const char *strokes)
{
    int most = 0;
    for (const char *s = strokes; *s; s += *s == ' ' ? 1 : 2)
        if (*s != ' ' && *s - '0' > most) most = *s - '0';
    return most + BLANK;
}

struct point {
    float x, y;
};

/* Cuts the corners off, each a quarter of the way to its neighbours (Chaikin 1974): what is drawn with ten points looks
 * round. Ends stay. Returns how many points there are now. */
static int soften(const struct point *in, int count, struct point *out)
{
    int n = 0;
    if (count < 3) {
        memcpy(out, in, (size_t)count * sizeof *in);
        return count;
    }
    out[n++] = in[0];
    for (int i = 0; i + 1 < count; i++) {
        const struct point a = in[i], b = in[i + 1];
        if (i > 0) out[n++] = (struct point){a.x + (b.x - a.x) / 4, a.y + (b.y - a.y) / 4};
        if (i + 2 < count) out[n++] = (struct point){b.x + (a.x - b.x) / 4, b.y + (a.y - b.y) / 4};
    }
    out[n++] = in[count - 1];
    return n;
}

/* (x, y): the glyph's left end on the base line. */
static void draw_glyph(struct canvas *c, float x, float y, const char *strokes)
{
    while (*strokes) {
        struct point points[MOST_POINTS], soft[2 * MOST_POINTS];
        int count = 0;
        for (; *strokes && *strokes != ' '; strokes += 2)
            points[count++] = (struct point){x + (float)(strokes[0] - '0') * unit,
                                             y + (float)(strokes[1] - '0' - GLYPH_HEIGHT) * unit};
        if (*strokes == ' ') strokes++;
        count = soften(points, count, soft);
        if (count == 1) canvas_line(c, soft[0].x, soft[0].y, soft[0].x, soft[0].y, 1.5f * stroke_width);
        for (int i = 0; i + 1 < count; i++)
            canvas_line(c, soft[i].x, soft[i].y, soft[i + 1].x, soft[i + 1].y, stroke_width);
    }
}

float canvas_text_width(const char *text)
{
    int units = 0;
    for (; *text; text++) units += advance_of(strokes_of(*text));
    return units > BLANK ? (float)(units - BLANK) * unit : 0;
}

void canvas_text(struct canvas *c, float x, float y, enum canvas_place place, const char *text)
{
    x -= canvas_text_width(text) * (place == CANVAS_LEFT ? 0 : place == CANVAS_MIDDLE ? 0.5f : 1);
    for (; *text; text++) {
        const char *strokes = strokes_of(*text);
        draw_glyph(c, x, y, strokes);
        x += (float)advance_of(strokes) * unit;
    }
}
