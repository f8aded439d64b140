/* SPDX-License-Identifier: MIT
 *
 * Lettering: every letter of ASCII and every syllable of Hangul is drawn, none like another, within its width.
 */
#include "core/base/memory.h"
#include "core/io/lettering.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 48, SIZE = 24, BYTES = SIDE * SIDE };

static struct image blank(int width, int height)
{
    struct error err = {0};
    struct image image = {0};
    assert_int_equal(image_create(&image, width, height, 3, &err), STATUS_OK);
    memset(image.pixels, 255, 3 * (size_t)width * (size_t)height);
    return image;
}

static void draw(struct image *image, const char *text, float x, float y, float size)
{
    struct error err = {0};
    struct canvas canvas;
    assert_int_equal(canvas_open(&canvas, image, &err), STATUS_OK);
    lettering_draw(&canvas, text, x, y, size);
    canvas_paint(&canvas, 0, 1);
    canvas_close(&canvas);
}

/* Draws it with room around; its pixels as one number, and 0 if there are none. */
static uint64_t print_of(const char *text)
{
    struct image image = blank(SIDE, SIDE);
    draw(&image, text, 4, 32, SIZE);
    uint64_t hash = 14695981039346656037u;
    int inked = 0;
    for (int i = 0; i < BYTES; i++) {
        hash = (hash ^ image.pixels[3 * i]) * 1099511628211u;
        inked += image.pixels[3 * i] < 128;
    }
    const int right =
        4 + (int)lettering_width(text, strlen(text), SIZE) + 3; /* the pen is round, and a little beyond */
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            if ((x < 1 || x > right || y < 4 || y > 45) && image.pixels[3 * (y * SIDE + x)] != 255)
                fail_msg("'%s' leaves its place at %d, %d", text, x, y);
    image_clear(&image);
    return inked ? hash : 0;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void assert_all_differ(uint64_t *prints, int count)
{
    qsort(prints, (size_t)count, sizeof *prints, by_value);
    assert_true(prints[0] != 0);
    for (int i = 1; i < count; i++) assert_true(prints[i] != prints[i - 1]);
}

static void test_ascii(void **state)
{
    (void)state;
    uint64_t prints['~' - '!' + 1];
    for (int c = '!'; c <= '~'; c++) prints[c - '!'] = print_of((char[]){(char)c, '\0'});
    assert_all_differ(prints, '~' - '!' + 1);
    assert_true(print_of(" ") == 0);
}

static void test_hangul(void **state)
{
    (void)state;
    enum { FIRST = 0xac00, COUNT = 11172 };
    uint64_t *prints = memory_alloc(COUNT * sizeof *prints);
    assert_non_null(prints);
    for (int i = 0; i < COUNT; i++) {
        const int c = FIRST + i;
        const char text[] = {(char)(0xe0 | c >> 12), (char)(0x80 | (c >> 6 & 63)), (char)(0x80 | (c & 63)), '\0'};
        prints[i] = print_of(text);
    }
    assert_all_differ(prints, COUNT);
    memory_free(prints);
}

/* What there is no letter for is a box, and so is a byte that is no UTF-8. */
static void test_others(void **state)
{
    (void)state;
    assert_true(print_of("\xc3\xa9") == print_of("\xf0\x9f\x90\xb1"));
    assert_true(print_of("\xff") == print_of("\xc3\xa9"));
    assert_true(print_of("\xec\xac") == print_of("\xff\xff"));
}

/* The edge of a picture cuts a line; nothing is written outside. */
static void test_edges(void **state)
{
    (void)state;
    for (int x = -100; x < 40; x += 7) {
        struct image image = blank(17, 5);
        draw(&image, "apple \xec\x82\xac\xea\xb3\xbc", (float)x, (float)x / 4, 30);
        image_clear(&image);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ascii),
        cmocka_unit_test(test_hangul),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
