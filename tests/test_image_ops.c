/* SPDX-License-Identifier: MIT
 *
 * Resizing, flattening and masks against Pillow, blurring against an exact Gaussian (tests/golden/images).
 */
#include "core/base/memory.h"
#include "core/io/image_ops.h"
#include "tests/support/golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct checkpoint *golden;

static int open_golden(void **state)
{
    (void)state;
    golden = golden_open("images/images.safetensors");
    return 0;
}

static int close_golden(void **state)
{
    (void)state;
    checkpoint_close(golden);
    return 0;
}

/* The image borrows the golden's pixels. */
static struct image golden_image(const char *name)
{
    const struct tensor *t = golden_tensor(golden, "%s", name);
    assert_int_equal(t->rank, 3);
    return (struct image){
        .width = (int)t->dim[1], .height = (int)t->dim[0], .channels = (int)t->dim[2], .pixels = (uint8_t *)t->data};
}

/* Compares and clears. */
static void assert_near(struct image *got, const char *name, int tolerance)
{
    const struct image want = golden_image(name);
    assert_int_equal(got->width, want.width);
    assert_int_equal(got->height, want.height);
    assert_int_equal(got->channels, want.channels);
    for (int i = 0; i < got->width * got->height * got->channels; i++)
        if (abs(got->pixels[i] - want.pixels[i]) > tolerance)
            fail_msg("%s: value %d: %d instead of %d", name, i, got->pixels[i], want.pixels[i]);
    image_clear(got);
}

static void resizes_as_pillow_does(void **state)
{
    static const char *const filters[] = {"bilinear", "bicubic", "lanczos"};
    static const int sizes[][2] = {{16, 16}, {37, 10}, {61, 40}, {5, 3}, {1, 1}};
    (void)state;
    const struct image photo = golden_image("photo"), luma = golden_image("luma");
    for (int filter = 0; filter < 3; filter++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            struct error err = {0};
            struct image out;
            char name[64];
            const int width = sizes[i][0], height = sizes[i][1];
            assert_int_equal(image_resize(&out, &photo, width, height, (enum image_filter)filter, &err), STATUS_OK);
            snprintf(name, sizeof name, "resize.%s.%dx%d", filters[filter], width, height);
            assert_near(&out, name, 0);
            assert_int_equal(image_resize(&out, &luma, width, height, (enum image_filter)filter, &err), STATUS_OK);
            snprintf(name, sizeof name, "resize-grey.%s.%dx%d", filters[filter], width, height);
            assert_near(&out, name, 0);
        }
}

static void resizing_to_the_same_size_changes_nothing(void **state)
{
    (void)state;
    const struct image photo = golden_image("photo");
    for (int filter = 0; filter < 3; filter++) {
        struct error err = {0};
        struct image out;
        assert_int_equal(image_resize(&out, &photo, photo.width, photo.height, (enum image_filter)filter, &err),
                         STATUS_OK);
        assert_near(&out, "photo", 0);
    }
}

static void refuses_sizes(void **state)
{
    static const int sizes[][2] = {{0, 5}, {5, -1}, {16385, 5}, {5, 100000}};
    (void)state;
    const struct image photo = golden_image("photo");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct error err = {0};
        struct image out;
        assert_int_equal(image_resize(&out, &photo, sizes[i][0], sizes[i][1], IMAGE_LANCZOS, &err), STATUS_ARGUMENT);
        assert_non_null(strstr(err.text, "16384"));
        assert_null(out.pixels);
    }
}

static void blurs_as_a_gaussian(void **state)
{
    static const char *const sigmas[] = {"0.5", "1.5", "4", "9"};
    (void)state;
    const struct image mask = golden_image("mask");
    for (size_t i = 0; i < sizeof sigmas / sizeof *sigmas; i++) {
        struct error err = {0};
        struct image out;
        char name[32];
        const float sigma = strtof(sigmas[i], NULL);
        assert_int_equal(image_blur(&out, &mask, sigma, &err), STATUS_OK);
        snprintf(name, sizeof name, "blur.%s", sigmas[i]);
        assert_near(&out, name, 1);
    }
}

static void blur_of_zero_changes_nothing(void **state)
{
    (void)state;
    const struct image mask = golden_image("mask");
    struct error err = {0};
    struct image out;
    assert_int_equal(image_blur(&out, &mask, 0, &err), STATUS_OK);
    assert_near(&out, "mask", 0);
    assert_int_equal(image_blur(&out, &mask, -1, &err), STATUS_ARGUMENT);
    error_clear(&err);
    assert_int_equal(image_blur(&out, &mask, NAN, &err), STATUS_ARGUMENT);
}

static void flattens_and_masks(void **state)
{
    (void)state;
    struct error err = {0};
    struct image out;
    const struct image rgba = golden_image("rgba.png"), photo = golden_image("photo");
    assert_int_equal(image_to_rgb(&out, &rgba, &err), STATUS_OK);
    assert_near(&out, "flat", 1);
    assert_int_equal(image_to_mask(&out, &photo, &err), STATUS_OK);
    assert_near(&out, "luma", 0);
}

static void masks_are_grey_times_alpha(void **state)
{
    static const struct {
        int channels;
        uint8_t pixel[4], level;
    } cases[] = {
        {1, {200}, 200},
        {2, {200, 255}, 200},
        {2, {200, 0}, 0},
        {3, {255, 255, 255}, 255},
        {3, {0, 0, 0}, 0},
        {3, {255, 0, 0}, 76},
        {4, {255, 255, 255, 255}, 255},
        {4, {255, 255, 255, 128}, 128},
        {4, {255, 255, 255, 0}, 0},
        {4, {0, 0, 0, 255}, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        uint8_t pixel[4];
        memcpy(pixel, cases[i].pixel, 4);
        struct image out;
        assert_int_equal(
            image_to_mask(
                &out, &(struct image){.width = 1, .height = 1, .channels = cases[i].channels, .pixels = pixel}, &err),
            STATUS_OK);
        assert_int_equal(out.pixels[0], cases[i].level);
        image_clear(&out);
    }
}

/* The promise of editing: what the mask leaves alone is the input, bit for bit. */
static void composite_leaves_unmasked_pixels_alone(void **state)
{
    static const char *const names[] = {"grey.png", "grey-alpha.png", "rgb.png", "rgba.png"};
    (void)state;
    for (size_t n = 0; n < 4; n++) {
        struct error err = {0};
        const struct image base = golden_image(names[n]);
        struct image top, mask, out;
        assert_int_equal(image_create(&top, base.width, base.height, 3, &err), STATUS_OK);
        assert_int_equal(image_create(&mask, base.width, base.height, 1, &err), STATUS_OK);
        const int count = base.width * base.height, channels = base.channels, colours = channels <= 2 ? 1 : 3;
        for (int i = 0; i < count * 3; i++) top.pixels[i] = (uint8_t)(i * 7);
        for (int i = 0; i < count; i++) mask.pixels[i] = (uint8_t)(i % 3 == 0 ? 0 : i % 3 == 1 ? 255 : i);
        assert_int_equal(image_composite(&out, &base, &top, &mask, &err), STATUS_OK);
        assert_int_equal(out.channels, channels % 2 ? 3 : 4);
        for (int i = 0; i < count; i++) {
            const uint8_t *got = out.pixels + i * out.channels, *was = base.pixels + i * channels;
            for (int c = 0; c < 3; c++) {
                const int old = was[colours == 1 ? 0 : c], new = top.pixels[i * 3 + c];
                if (mask.pixels[i] == 0) assert_int_equal(got[c], old);
                if (mask.pixels[i] == 255) assert_int_equal(got[c], new);
                assert_in_range(got[c], old < new ? old : new, old < new ? new : old);
            }
            if (channels % 2 == 0 && mask.pixels[i] == 0) assert_int_equal(got[3], was[channels - 1]);
            if (channels % 2 == 0 && mask.pixels[i] == 255) assert_int_equal(got[3], 255);
        }
        image_clear(&top);
        image_clear(&mask);
        image_clear(&out);
    }
}

static void floats_there_and_back(void **state)
{
    float values[256 * 3];
    (void)state;
    struct error err = {0};
    struct image image, back;
    assert_int_equal(image_create(&image, 256, 1, 3, &err), STATUS_OK);
    for (int i = 0; i < 256 * 3; i++) image.pixels[i] = (uint8_t)(i / 3);
    image_to_floats(values, &image);
    assert_true(values[0] == -1 && fabsf(values[255 * 3] - 1) < 1e-6f && fabsf(values[128 * 3] - 1 / 255.0f) < 1e-6f);
    assert_int_equal(image_from_floats(&back, values, 256, 1, &err), STATUS_OK);
    assert_memory_equal(back.pixels, image.pixels, 256 * 3);
    image_clear(&back);
    const float odd[] = {-5, 7, NAN, INFINITY, -INFINITY, 0};
    const uint8_t want[] = {0, 255, 0, 255, 0, 128};
    assert_int_equal(image_from_floats(&back, odd, 2, 1, &err), STATUS_OK);
    assert_memory_equal(back.pixels, want, 6);
    image_clear(&back);
    image_clear(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resizes_as_pillow_does),
        cmocka_unit_test(resizing_to_the_same_size_changes_nothing),
        cmocka_unit_test(refuses_sizes),
        cmocka_unit_test(blurs_as_a_gaussian),
        cmocka_unit_test(blur_of_zero_changes_nothing),
        cmocka_unit_test(flattens_and_masks),
        cmocka_unit_test(masks_are_grey_times_alpha),
        cmocka_unit_test(composite_leaves_unmasked_pixels_alone),
        cmocka_unit_test(floats_there_and_back),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
