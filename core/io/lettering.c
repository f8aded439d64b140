/* SPDX-License-Identifier: MIT
 *
 * A letter is strokes on a grid, written as digits: two for each point (x, y), a blank between strokes; a stroke of one
 * point is a dot. Latin letters stand on y = 6 and are 6 high, small ones begin at y = 2, tails end at y = 8:
 *
 *     "0006 0312324346"      h: a stem from (0,0) to (0,6); (0,3) (1,2) (3,2) (4,3) (4,6)
 *
 * A syllable of Hangul is its letters, each drawn on a grid of 8 x 8 that is laid into its part of the square:
 *
 *     upright vowel      lying vowel       both            with a final letter
 *     +-----+--+         +--------+        +-----+--+      +-----+--+
 *     | ini |  |         |  ini   |        | ini |  |      | ini |vo|
 *     | tial|vo|         +--------+        +-----+vo|      +-----+--+
 *     |     |  |         | vowel  |        | vow |  |      |  final |
 *     +-----+--+         +--------+        +-----+--+      +--------+
 */
#include "core/io/lettering.h"

#include "core/io/charset.h"

#include <string.h>

/* From '!' on. */
static const char *const ascii[] = {
    "0004 06",
    "0001 2021",
    "1016 3036 0242 0444",
    "413010010213334445361605 2027",
    "0640 01 45",
    "46121120310405162644",
    "0001",
    "10010516",
    "00111506",
    "2125 0244 4204",
    "0343 2125",
    "1607",
    "0333",
    "06",
    "0640",
    "102031352616050110",
    "011016 0626",
    "01103041420646",
    "004022324345361605",
    "36300444",
    "400002324345361605",
    "3010010516364544331304",
    "004016",
    "103041423313020110 1304051636454433",
    "1636454130100102133342",
    "03 06",
    "13 1607",
    "310335",
    "0242 0444",
    "013305",
    "011030414224 26",
    "343212144441301001051646", /* @ */
    "062046 1434",
    "00063645443303 0030414233",
    "4130100105163645",
    "00062644422000",
    "40000646 0333",
    "400006 0333",
    "41301001051636454323",
    "0006 4046 0343",
    "1016 0020 0626",
    "3035261605",
    "0006 4004 1346",
    "000646",
    "0600234046",
    "06004640",
    "103041453616050110",
    "06003041423303",
    "103041453616050110 2446",
    "06003041423303 2346",
    "413010010213334445361605",
    "0040 2026",
    "000516364540",
    "002640",
    "0016233640",
    "0046 4006",
    "002340 2326",
    "00400646",
    "10000616",
    "0046",
    "00101606",
    "022042",
    "0747",
    "0011", /* ` */
    "4246 4332120305163645",
    "0006 0312324345361605",
    "4332120305163645",
    "4046 4332120305163645",
    "04444332120305163645",
    "30201116 0232",
    "4247381807 4332120305163645",
    "0006 0312324346",
    "0206 00",
    "121708 10",
    "0006 3205 1436",
    "000516",
    "0206 03122326 23324346",
    "0206 0312324346",
    "123243453616050312",
    "0208 0312324345361605",
    "4248 4332120305163645",
    "0206 031232",
    "43321203143445361605",
    "10152636 0232",
    "0205163645 4246",
    "022642",
    "0216233642",
    "0246 4206",
    "0226 42261808",
    "02420646",
    "20111203141526",
    "0007",
    "00111223141506",
    "04133443",
};

static const char box[] = "0040460600";

enum consonant { G, N, D, R, M, B, S, NG, J, CH, K, T, P, H, NO_CONSONANT };

static const char *const consonants[] = {
    [G] = "008088",
    [N] = "000888",
    [D] = "80000888",
    [R] = "008084040888",
    [M] = "0080880800",
    [B] = "00088880 0484",
    [S] = "4008 4388",
    [NG] = "206082866828060220",
    [J] = "0080 4008 4488",
    [CH] = "3050 0282 4208 4588",
    [K] = "008088 0484",
    [T] = "80000888 0484",
    [P] = "0080 2028 6068 0888",
    [H] = "3050 0282 345475775838171534",
};

/* One letter or two beside each other, in Unicode's order. */
static const unsigned char initials[19][2] = {
    {G, NO_CONSONANT},
    {G, G},
    {N, NO_CONSONANT},
    {D, NO_CONSONANT},
    {D, D},
    {R, NO_CONSONANT},
    {M, NO_CONSONANT},
    {B, NO_CONSONANT},
    {B, B},
    {S, NO_CONSONANT},
    {S, S},
    {NG, NO_CONSONANT},
    {J, NO_CONSONANT},
    {J, J},
    {CH, NO_CONSONANT},
    {K, NO_CONSONANT},
    {T, NO_CONSONANT},
    {P, NO_CONSONANT},
    {H, NO_CONSONANT},
};
static const unsigned char finals[27][2] = {
    {G, NO_CONSONANT},
    {G, G},
    {G, S},
    {N, NO_CONSONANT},
    {N, J},
    {N, H},
    {D, NO_CONSONANT},
    {R, NO_CONSONANT},
    {R, G},
    {R, M},
    {R, B},
    {R, S},
    {R, T},
    {R, P},
    {R, H},
    {M, NO_CONSONANT},
    {B, NO_CONSONANT},
    {B, S},
    {S, NO_CONSONANT},
    {S, S},
    {NG, NO_CONSONANT},
    {J, NO_CONSONANT},
    {CH, NO_CONSONANT},
    {K, NO_CONSONANT},
    {T, NO_CONSONANT},
    {P, NO_CONSONANT},
    {H, NO_CONSONANT},
};

/* The lying part and the upright part. */
static const struct {
    const char *lying, *upright;
} vowels[21] = {
    {NULL, "3038 3484"},
    {NULL, "2028 6068 2464"},
    {NULL, "3038 3383 3585"},
    {NULL, "2028 6068 2363 2565"},
    {NULL, "6068 1464"},
    {NULL, "4048 7078 0444"},
    {NULL, "6068 1363 1565"},
    {NULL, "4048 7078 0343 0545"},
    {"0686 4146", NULL},
    {"0686 4146", "3038 3484"},
    {"0686 4146", "2028 6068 2464"},
    {"0686 4146", "4048"},
    {"0686 2126 6166", NULL},
    {"0282 4248", NULL},
    {"0282 4248", "6068 1464"},
    {"0282 4248", "4048 7078 0444"},
    {"0282 4248", "4048"},
    {"0282 2228 6268", NULL},
    {"0484", NULL},
    {"0484", "4048"},
    {NULL, "4048"},
};

enum {
    SYLLABLE_FIRST = 0xac00,
    SYLLABLE_LAST = 0xd7a3,
    SYLLABLE_WIDTH = 7,
    HEIGHT = 6, /* of a capital letter on its grid */
    HANGUL_GRID = 8,
    ROUND_LATIN = 6, /* strokes of so many points are curves, and softened */
    ROUND_HANGUL = 9,
    MOST_POINTS = 24,
};

/* ---- strokes ---- */

struct pen {
    struct canvas *canvas;
    float x, y, unit; /* where the letter's grid has its upper left corner, and how many pixels a step of it is */
    float width;
};

struct point {
    float x, y;
};

/* The grid's point (0, 0) lies at (x, y) and a step is (sx, sy), in units of the pen. */
struct lattice {
    float x, y, sx, sy;
    int round; /* points from which on a stroke is softened */
};

/* Cuts the corners off, each a quarter of the way to its neighbours (Chaikin 1974): what is drawn with ten points looks
 * round. Ends stay. Returns how many points there are now. */
static int soften(const struct point *in, int count, struct point *out)
{
    int n = 0;
    out[n++] = in[0];
    for (int i = 0; i + 1 < count; i++) {
        const struct point a = in[i], b = in[i + 1];
        if (i > 0) out[n++] = (struct point){a.x + (b.x - a.x) / 4, a.y + (b.y - a.y) / 4};
        if (i + 2 < count) out[n++] = (struct point){b.x + (a.x - b.x) / 4, b.y + (a.y - b.y) / 4};
    }
    out[n++] = in[count - 1];
    return n;
}

static void draw_stroke(const struct pen *pen, const struct point *points, int count)
{
    if (count == 1) canvas_line(pen->canvas, points[0].x, points[0].y, points[0].x, points[0].y, 1.5f * pen->width);
    for (int i = 0; i + 1 < count; i++)
        canvas_line(pen->canvas, points[i].x, points[i].y, points[i + 1].x, points[i + 1].y, pen->width);
}

static void draw_strokes(const struct pen *pen, const char *strokes, struct lattice to)
{
    while (*strokes) {
        struct point points[MOST_POINTS], soft[2 * MOST_POINTS];
        int count = 0;
        for (; *strokes && *strokes != ' '; strokes += 2)
            points[count++] = (struct point){pen->x + pen->unit * (to.x + to.sx * (float)(strokes[0] - '0')),
                                             pen->y + pen->unit * (to.y + to.sy * (float)(strokes[1] - '0'))};
        if (*strokes == ' ') strokes++;
        if (count >= to.round)
            draw_stroke(pen, soft, soften(points, count, soft));
        else
            draw_stroke(pen, points, count);
    }
}

/* ---- syllables ---- */

/* Parts of the syllable's square, as shares of it. */
struct part {
    float left, top, right, bottom;
};

static void draw_part(const struct pen *pen, const char *strokes, struct part p)
{
    const float side = SYLLABLE_WIDTH;
    draw_strokes(pen, strokes,
                 (struct lattice){p.left * side, p.top * side - 0.5f, (p.right - p.left) * side / HANGUL_GRID,
                                  (p.bottom - p.top) * side / HANGUL_GRID, ROUND_HANGUL});
}

static void draw_consonants(const struct pen *pen, const unsigned char letters[2], struct part p)
{
    const float middle = (p.left + p.right) / 2, gap = 0.06f;
    if (letters[1] == NO_CONSONANT) {
        draw_part(pen, consonants[letters[0]], p);
        return;
    }
    draw_part(pen, consonants[letters[0]], (struct part){p.left, p.top, middle - gap, p.bottom});
    draw_part(pen, consonants[letters[1]], (struct part){middle + gap, p.top, p.right, p.bottom});
}

/* Unicode counts syllables by initial, vowel and final: 19 x 21 x 28. */
static void draw_syllable(const struct pen *pen, int index)
{
    const int initial = index / (21 * 28), vowel = index / 28 % 21, final = index % 28;
    const char *lying = vowels[vowel].lying, *upright = vowels[vowel].upright;
    const float foot = final ? 0.6f : 1; /* how far down initial and vowel reach */
    const float split = 0.52f * foot;    /* between initial and lying vowel */
    const float right = upright ? 0.56f : 0.94f;
    const struct part place = {upright ? 0.02f : 0.1f, lying ? 0 : 0.06f * foot, lying ? right - 0.04f : right,
                               lying ? split * 0.82f : 0.86f * foot};
    draw_consonants(pen, initials[initial], place);
    if (lying) draw_part(pen, lying, (struct part){0, split, right + 0.04f, foot * 0.98f});
    if (upright) draw_part(pen, upright, (struct part){0.64f, 0, 1, foot});
    if (final) draw_consonants(pen, finals[final - 1], (struct part){0.14f, 0.72f, 0.92f, 1});
}

/* ---- lines of text ---- */

/* Width of a letter on the grid, without the space behind it. */
static int glyph_width(const char *strokes)
{
    int width = 0;
    for (const char *at = strokes; *at; at += *at == ' ' ? 1 : 2)
        if (*at != ' ' && *at - '0' > width) width = *at - '0';
    return width;
}

static const char *glyph(uint32_t letter)
{
    if (letter >= '!' && letter < '!' + sizeof ascii / sizeof *ascii) return ascii[letter - '!'];
    return letter <= ' ' ? "" : box;
}

enum { SPACE_AFTER = 2, BLANK = 1, SYLLABLE_SPACE = 1 };

static bool is_syllable(uint32_t letter)
{
    return letter >= SYLLABLE_FIRST && letter <= SYLLABLE_LAST;
}

/* With the space after it. */
static int advance(uint32_t letter)
{
    if (is_syllable(letter)) return SYLLABLE_WIDTH + SYLLABLE_SPACE;
    return letter <= ' ' ? SPACE_AFTER + BLANK : glyph_width(glyph(letter)) + SPACE_AFTER;
}

static size_t next_letter(const char *text, size_t bytes, uint32_t *letter)
{
    const size_t used = utf8_decode(text, bytes, letter);
    if (used > 0) return used;
    *letter = 0xfffd;
    return 1;
}

float lettering_width(const char *text, size_t bytes, float size)
{
    int width = 0, space = 0;
    for (size_t at = 0; at < bytes;) {
        uint32_t letter;
        at += next_letter(text + at, bytes - at, &letter);
        width += advance(letter);
        space = is_syllable(letter) ? SYLLABLE_SPACE : SPACE_AFTER;
    }
    return (float)(width - space) * size / HEIGHT;
}

void lettering_draw(struct canvas *canvas, const char *text, float x, float y, float size)
{
    const size_t bytes = strlen(text);
    struct pen pen = {.canvas = canvas, .x = x, .y = y - size, .unit = size / HEIGHT, .width = 0.135f * size};
    for (size_t at = 0; at < bytes;) {
        uint32_t letter;
        at += next_letter(text + at, bytes - at, &letter);
        if (is_syllable(letter))
            draw_syllable(&pen, (int)letter - SYLLABLE_FIRST);
        else
            draw_strokes(&pen, glyph(letter), (struct lattice){0, 0, 1, 1, ROUND_LATIN});
        pen.x += (float)advance(letter) * pen.unit;
    }
}
