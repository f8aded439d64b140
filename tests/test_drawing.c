/* SPDX-License-Identifier: MIT
 *
 * Contact sheets and loss curves: that what is drawn is where it belongs.
 */
#include "core/base/memory.h"
#include "core/io/canvas.h"
#include "core/io/plot.h"
#include "core/io/sheet.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { WHITE = 0xffffff, BLUE = 0x0072b2 /* of the first curve */ };

static void must(enum status status, const struct error *err)
{
    if (status != STATUS_OK) fail_msg("%s", err->text);
}

static uint32_t pixel(const struct image *image, int x, int y)
{
    const uint8_t *p = image->pixels + 3 * ((size_t)y * (size_t)image->width + (size_t)x);
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

/* A picture whose pixels tell which it is and where they are. */
static struct image tile(int width, int height, int channels, uint8_t level)
{
    struct error err = {0};
    struct image image;
    must(image_create(&image, width, height, channels, &err), &err);
    for (int i = 0; i < width * height * channels; i++) image.pixels[i] = (uint8_t)(level + i / channels % width);
    return image;
}

/* ---- sheets ---- */

static void pictures_lie_in_their_cells(void **state)
{
    (void)state;
    struct error err = {0};
    struct image sheet, tiles[5];
    for (int i = 0; i < 5; i++) tiles[i] = tile(128, 100, 3, (uint8_t)(20 * i));
    must(sheet_draw(&sheet, tiles, 5, 3, &err), &err);
    assert_int_equal(sheet.width, 3 * 128 + 4 * 4);
    assert_int_equal(sheet.height, 2 * 100 + 3 * 4);
    for (int i = 0; i < 5; i++) {
        const int left = 4 + i % 3 * 132, top = 4 + i / 3 * 104;
        assert_int_equal(pixel(&sheet, left, top), 20 * i * 0x010101);
        assert_int_equal(pixel(&sheet, left + 127, top + 99), (20 * i + 127) * 0x010101);
        assert_int_equal(pixel(&sheet, left - 1, top), WHITE);
        assert_int_equal(pixel(&sheet, left, top + 100), WHITE);
    }
    assert_int_equal(pixel(&sheet, 4 + 2 * 132 + 60, 104 + 50), WHITE); /* the sixth cell is empty */
    for (int i = 0; i < 5; i++) image_clear(&tiles[i]);
    image_clear(&sheet);
}

static void small_pictures_are_shown_larger(void **state)
{
    (void)state;
    struct error err = {0};
    struct image sheet, tiles[64];
    for (int i = 0; i < 64; i++) tiles[i] = tile(28, 28, 1, (uint8_t)i);
    must(sheet_draw(&sheet, tiles, 64, 0, &err), &err);
    assert_int_equal(sheet.width, 8 * 84 + 9 * 4);
    assert_int_equal(sheet.height, sheet.width);
    for (int k = 0; k < 3; k++) assert_int_equal(pixel(&sheet, 4 + 3 * 5 + k, 4 + 2 - k), 5 * 0x010101);
    for (int i = 0; i < 64; i++) image_clear(&tiles[i]);
    image_clear(&sheet);
}

static void sheets_have_limits(void **state)
{
    (void)state;
    struct error err = {0};
    struct image sheet, large = tile(IMAGE_MAX_SIDE - 8, 2, 3, 0), tiny = tile(1, 1, 4, 200);
    assert_int_equal(sheet_draw(&sheet, &large, 1, 1, &err), STATUS_ARGUMENT);
    assert_non_null(strstr(err.text, "a sheet of 16408 x 34 pixels is too large; at most 16384"));
    error_clear(&err);
    must(sheet_draw(&sheet, &tiny, 1, 0, &err), &err);
    assert_int_equal(sheet.width, 96 + 8);
    image_clear(&sheet);
    image_clear(&large);
    image_clear(&tiny);
}

/* ---- curves ---- */

/* The rows of the picture in which column x has the first curve's full colour. */
static int count_rows(const struct image *picture, int x, int *first)
{
    int count = 0;
    for (int y = 44; y < PLOT_HEIGHT - 44; y++) {
        if (pixel(picture, x, y) != BLUE) continue;
        if (count++ == 0) *first = y;
    }
    return count;
}

static void a_falling_curve_falls(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    struct error err = {0};
    struct image picture;
    int64_t steps[COUNT];
    double values[COUNT];
    for (int i = 0; i < COUNT; i++) {
        steps[i] = 10 * i;
        values[i] = 2 - 0.003 * i;
    }
    const struct plot_series series = {"loss", steps, values, COUNT};
    must(plot_draw(&picture, &series, 1, &err), &err);
    int last = 0, y = 0;
    for (int x = 100; x < 900; x += 50, last = y) {
        assert_in_range(count_rows(&picture, x, &y), 1, 4);
        assert_true(y > last);
    }
    /* Half of the way across is half of the way down. */
    assert_in_range(count_rows(&picture, (72 + 932) / 2, &y), 1, 4);
    assert_in_range(y, (44 + 496) / 2 - 3, (44 + 496) / 2 + 3);
    image_clear(&picture);
}

/* 1, 1/10, 1/100, ... is a straight line on a logarithmic axis. */
static void a_wide_range_is_logarithmic(void **state)
{
    (void)state;
    enum { COUNT = 1001 };
    struct error err = {0};
    struct image picture;
    int64_t steps[COUNT];
    double values[COUNT];
    for (int i = 0; i < COUNT; i++) {
        steps[i] = i;
        values[i] = pow(10, -i / 250.0);
    }
    const struct plot_series series = {"loss", steps, values, COUNT};
    must(plot_draw(&picture, &series, 1, &err), &err);
    int quarter = 0, half = 0, most = 0;
    assert_in_range(count_rows(&picture, 72 + 860 / 4, &quarter), 1, 4);
    assert_in_range(count_rows(&picture, 72 + 860 / 2, &half), 1, 4);
    assert_in_range(count_rows(&picture, 72 + 860 * 3 / 4, &most), 1, 4);
    assert_in_range(most - half - (half - quarter) + 2, 0, 4);
    assert_in_range(half - quarter, 80, 120);
    image_clear(&picture);
}

/* Whatever the numbers are, a picture comes of them. */
static void strange_numbers_do_no_harm(void **state)
{
    (void)state;
    enum { COUNT = 3 };
    static const int64_t steps[][COUNT] = {
        {0, 1, 2}, {5, 5, 5}, {-7, 0, 7}, {INT64_MAX - 2, INT64_MAX - 1, INT64_MAX}, {INT64_MIN, 0, INT64_MAX}};
    static const double values[][COUNT] = {{0, 0, 0},
                                           {1e16, 1e16 + 2, 1e16 + 4},
                                           {-1, -2, NAN},
                                           {NAN, INFINITY, -INFINITY},
                                           {1e-320, 1e300, 1e29},
                                           {1e-300, 1e29, 3},
                                           {1e300, -1e300, 0},
                                           {5e-324, 5e-324, 5e-324}};
    for (size_t s = 0; s < sizeof steps / sizeof *steps; s++)
        for (size_t v = 0; v < sizeof values / sizeof *values; v++)
            for (int count = 0; count <= COUNT; count++) {
                struct error err = {0};
                struct image picture;
                const struct plot_series series[] = {{"loss", steps[s], values[v], count},
                                                     {NULL, steps[s], values[0], COUNT}};
                must(plot_draw(&picture, series, 1 + count % 2, &err), &err);
                assert_int_equal(picture.width, PLOT_WIDTH);
                image_clear(&picture);
            }
}

static void text_has_a_width(void **state)
{
    (void)state;
    struct error err = {0};
    struct image image = tile(80, 40, 3, 0);
    struct canvas c;
    memset(image.pixels, 255, 80 * 40 * 3);
    must(canvas_open(&c, &image, &err), &err);
    assert_true(canvas_text_width("") == 0);
    assert_true(canvas_text_width("10") < canvas_text_width("100"));
    canvas_clip(&c, 0, 0, 80, 30);
    canvas_text(&c, 40, 20, CANVAS_MIDDLE, "0.5 gq \x80");
    canvas_text(&c, 79, 39, CANVAS_RIGHT, "888888888888888"); /* left of the picture and below the clip */
    canvas_paint(&c, 0, 1);
    canvas_close(&c);
    int dark = 0, below = 0;
    for (int y = 0; y < 40; y++)
        for (int x = 0; x < 80; x++) {
            dark += pixel(&image, x, y) == 0;
            below += y >= 30 && pixel(&image, x, y) != WHITE;
        }
    assert_true(dark > 20);
    assert_int_equal(below, 0);
    image_clear(&image);
}

static void survives_lack_of_memory(void **state)
{
    (void)state;
    static const int64_t steps[] = {0, 1, 2};
    static const double values[] = {3, 2, 1};
    const struct plot_series series[] = {{"a", steps, values, 3}, {"b", steps, values, 3}};
    struct image tiles[2] = {tile(8, 8, 3, 0), tile(8, 8, 1, 0)};
    for (int what = 0; what < 2; what++)
        for (uint64_t n = 1;; n++) {
            struct error err = {0};
            struct image drawn;
            memory_fail_after(n);
            const enum status status =
                what ? plot_draw(&drawn, series, 2, &err) : sheet_draw(&drawn, tiles, 2, 0, &err);
            memory_fail_after(0);
            image_clear(&drawn);
            if (status == STATUS_OK) break;
            assert_int_equal(status, STATUS_NO_MEMORY);
        }
    for (int i = 0; i < 2; i++) image_clear(&tiles[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_lie_in_their_cells),
        cmocka_unit_test(small_pictures_are_shown_larger),
        cmocka_unit_test(sheets_have_limits),
        cmocka_unit_test(a_falling_curve_falls),
        cmocka_unit_test(a_wide_range_is_logarithmic),
        cmocka_unit_test(strange_numbers_do_no_harm),
        cmocka_unit_test(text_has_a_width),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
