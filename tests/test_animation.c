/* SPDX-License-Identifier: MIT
 *
 * Animated GIFs, read back by a decoder of the test's own. (Animated PNGs are in test_gan_paint.)
 */
#include "core/base/memory.h"
#include "core/io/animation.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST_CODES = 4096, MOST_BYTES = 1 << 20 };

/* The sub-blocks at `at` joined; returns the place behind them. */
static size_t join_blocks(const uint8_t *gif, size_t size, size_t at, uint8_t *out, size_t *count)
{
    *count = 0;
    while (at < size && gif[at]) {
        assert_true(at + 1 + gif[at] < size && *count + gif[at] <= MOST_BYTES);
        memcpy(out + *count, gif + at + 1, gif[at]);
        *count += gif[at];
        at += (size_t)gif[at] + 1;
    }
    return at + 1;
}

/* Welch's decoder, from the GIF89a specification: a table of (shorter run, last colour). */
static void decode(const uint8_t *data, size_t size, uint8_t *out, size_t wanted)
{
    static uint16_t shorter[MOST_CODES];
    static uint8_t last[MOST_CODES], stack[MOST_CODES];
    int codes = 258, width = 9, before = -1;
    size_t bit = 0, made = 0;
    for (;;) {
        int code = 0;
        assert_true((bit + (size_t)width + 7) / 8 <= size);
        for (int i = 0; i < width; i++, bit++) code |= (data[bit / 8] >> (bit % 8) & 1) << i;
        if (code == 257) break;
        if (code == 256) {
            codes = 258, width = 9, before = -1;
            continue;
        }
        assert_true(code < codes || (code == codes && before >= 0));
        int depth = 0, at = code == codes ? before : code;
        for (; at >= 258; at = shorter[at]) stack[depth++] = last[at];
        const uint8_t first = (uint8_t)at;
        assert_true(made + (size_t)depth + 2 <= wanted + 1);
        out[made++] = first;
        while (depth > 0) out[made++] = stack[--depth];
        if (code == codes) out[made++] = first;
        if (before >= 0 && codes < MOST_CODES) {
            shorter[codes] = (uint16_t)before;
            last[codes++] = first;
            if (codes == 1 << width && width < 12) width++;
        }
        before = code;
    }
    assert_int_equal(made, wanted);
}

struct frames {
    struct image list[3];
};

static struct frames make_frames(int width, int height, int colours)
{
    struct frames f;
    for (int i = 0; i < 3; i++) {
        struct error err = {0};
        uint32_t random = (uint32_t)i + 1;
        assert_int_equal(image_create(&f.list[i], width, height, 3, &err), STATUS_OK);
        for (int p = 0; p < width * height; p++) {
            random = random * 1664525u + 1013904223u;
            const uint32_t colour = (random >> 8) % (uint32_t)colours * 2654435761u;
            /* Long runs first, noise after: short codes and long ones. */
            for (int c = 0; c < 3; c++)
                f.list[i].pixels[3 * p + c] = (uint8_t)(p < width * height / 3 ? (unsigned)i * 40 : colour >> (8 * c));
        }
    }
    return f;
}

static void check(struct scratch *s, int width, int height, int colours, int tolerance)
{
    static uint8_t data[MOST_BYTES];
    struct frames f = make_frames(width, height, colours);
    struct error err = {0};
    size_t size, at = 13 + 768, count;
    const char *path = scratch_path(s, "a.gif");
    if (animation_write(f.list, 3, 80, path, NULL, &err) != STATUS_OK) fail_msg("%s", err.text);
    uint8_t *gif = file_load(path, &size), *numbers = test_malloc((size_t)(width * height) + 2);
    assert_memory_equal(gif, "GIF89a", 6);
    assert_int_equal(gif[6] | gif[7] << 8, width);
    assert_int_equal(gif[8] | gif[9] << 8, height);
    int seen = 0, delays = 0;
    while (at < size && gif[at] != ';') {
        if (gif[at] == 0x21) {
            if (gif[at + 1] == 0xf9) delays += gif[at + 4] | gif[at + 5] << 8;
            at = join_blocks(gif, size, at + 2, data, &count);
            continue;
        }
        assert_int_equal(gif[at], 0x2c);
        assert_int_equal(gif[at + 10], 8);
        at = join_blocks(gif, size, at + 11, data, &count);
        decode(data, count, numbers, (size_t)(width * height));
        for (int i = 0; i < width * height; i++)
            for (int c = 0; c < 3; c++)
                if (abs(gif[13 + 3 * numbers[i] + c] - f.list[seen].pixels[3 * i + c]) > tolerance)
                    fail_msg("frame %d, pixel %d", seen, i);
        seen++;
    }
    assert_int_equal(seen, 3);
    assert_int_equal(delays, 3 * 8);
    assert_int_equal(at + 1, size);
    memory_free(gif);
    test_free(numbers);
    for (int i = 0; i < 3; i++) image_clear(&f.list[i]);
}

static void test_gif(void **state)
{
    (void)state;
    struct scratch s;
    scratch_open(&s);
    check(&s, 1, 1, 2, 0);
    check(&s, 31, 17, 200, 0);
    check(&s, 301, 203, 250, 0);  /* the table of runs is full several times over */
    check(&s, 120, 90, 5000, 26); /* more colours than there are: the nearest level */
    scratch_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gif)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
