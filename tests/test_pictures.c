/* SPDX-License-Identifier: MIT
 *
 * Whole pictures against diffusers', from seed to bytes, on tiny models of every kind (tests/golden/README.md).
 */
#include "core/base/memory.h"
#include "include/limn.h"
#include "tests/support/golden.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 64, LARGEST_DIFFERENCE = 2 };

/* A row for each case of pictures.safetensors; its settings are those that the golden's own metadata states. */
static const struct {
    const char *name;
    enum tiny model;
    const char *prediction;
    struct limn_request request;
    int edits; /* 1: with the golden's picture; 2: with its mask too */
} cases[] = {
    {"sd1.ddim", TINY_SD1, NULL, {.sampler = "ddim"}, 0},
    {"sd1.ddim_skip2", TINY_SD1, NULL, {.sampler = "ddim", .clip_skip = 2}, 0},
    {"sd1.cfg1", TINY_SD1, NULL, {.sampler = "dpm++2m", .schedule = "karras", .cfg = 1}, 0},
    {"sd1.euler_a_wide_n2", TINY_SD1, NULL, {.sampler = "euler_a", .width = 128}, 0},
    {"sd2_v.dpmpp_2m", TINY_SD2, "v", {.sampler = "dpm++2m"}, 0},
    {"sd2_v.zero_snr", TINY_SD2_ZERO_SNR, NULL, {.sampler = "ddim"}, 0}, /* its folder says "trailing" */
    {"sd2_eps.euler", TINY_SD2, NULL, {.sampler = "euler"}, 0},
    {"sd1.vary", TINY_SD1, NULL, {.sampler = "ddim", .strength = 0.6F}, 1},
    {"sd1.vary_sde", TINY_SD1, NULL, {.sampler = "dpm++2m_sde", .strength = 0.6F}, 1},
    {"sd1.edit", TINY_SD1, NULL, {.sampler = "ddim", .strength = 1}, 2},
    {"sd1.edit_strength", TINY_SD1, NULL, {.sampler = "euler_a", .strength = 0.6F}, 2},
    {"sd1_inpaint.ddim", TINY_SD1_INPAINT, NULL, {.sampler = "ddim", .strength = 1}, 2},
    {"sd1_inpaint.strength", TINY_SD1_INPAINT, NULL, {.sampler = "ddim", .strength = 0.6F}, 2},
};

struct fixture {
    struct checkpoint *golden;
    char path[TINY_COUNT][TINY_PATH_BYTES];
    struct limn_image image, mask; /* borrow the golden's bytes */
};

static int set_up(void **state)
{
    struct fixture *f = memory_alloc(sizeof *f);
    assert_non_null(f);
    f->golden = golden_open("pictures.safetensors");
    for (int kind = TINY_SD1; kind <= TINY_SD2_ZERO_SNR; kind++) tiny_write(f->path[kind], (enum tiny)kind);
    f->image =
        (struct limn_image){.width = SIDE, .height = SIDE, .channels = 3, .pixels = memory_alloc(SIDE * SIDE * 3)};
    f->mask = (struct limn_image){.width = SIDE, .height = SIDE, .channels = 1, .pixels = memory_alloc(SIDE * SIDE)};
    memcpy(f->image.pixels, golden_tensor(f->golden, "image")->data, SIDE * SIDE * 3);
    memcpy(f->mask.pixels, golden_tensor(f->golden, "mask")->data, SIDE * SIDE);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    for (int kind = TINY_SD1; kind <= TINY_SD2_ZERO_SNR; kind++) tiny_remove(f->path[kind]);
    limn_image_clear(&f->image);
    limn_image_clear(&f->mask);
    checkpoint_close(f->golden);
    memory_free(f);
    return 0;
}

/* Where there is a mask, pixels outside must be the picture's own, which diffusers' are not. */
static void compare(const struct fixture *f, const char *name, int edits, const struct limn_image *got,
                    const uint8_t *want)
{
    int largest = 0;
    for (int i = 0; i < got->width * got->height; i++) {
        const uint8_t *pixel = got->pixels + 3 * i;
        if (edits == 2 && !f->mask.pixels[i]) {
            assert_memory_equal(pixel, f->image.pixels + 3 * i, 3);
            continue;
        }
        for (int c = 0; c < 3; c++) {
            const int difference = abs(pixel[c] - want[3 * i + c]);
            if (difference > largest) largest = difference;
        }
    }
    print_message("%s: largest difference %d of 255\n", name, largest);
    if (largest > LARGEST_DIFFERENCE) fail_msg("%s: a difference of %d", name, largest);
}

static void run_case(const struct fixture *f, size_t i)
{
    const struct tensor *want = golden_tensor(f->golden, "%s.image", cases[i].name);
    struct limn_request request = cases[i].request;
    struct limn_error error = {0};
    struct limn_model *model = NULL;
    const struct limn_model_options options = {.path = f->path[cases[i].model], .prediction = cases[i].prediction};
    if (limn_model_open(&model, &options, &error) != LIMN_OK) fail_msg("%s: %s", cases[i].name, error.text);
    request.prompt = "a red apple";
    request.negative = "blurry";
    request.rng = "mt19937";
    request.steps = 10;
    if (!request.width) request.width = SIDE;
    request.height = SIDE;
    request.image = cases[i].edits >= 1 ? &f->image : NULL;
    request.mask = cases[i].edits >= 2 ? &f->mask : NULL;
    for (int64_t k = 0; k < want->dim[0]; k++) {
        struct limn_picture picture = {0};
        request.seed = 42 + (uint64_t)k;
        if (limn_paint(model, &request, &picture, &error) != LIMN_OK) fail_msg("%s: %s", cases[i].name, error.text);
        assert_int_equal(picture.image.width, want->dim[2]);
        assert_int_equal(picture.image.height, want->dim[1]);
        compare(f, cases[i].name, cases[i].edits, &picture.image,
                (const uint8_t *)want->data + k * (want->count / want->dim[0]));
        limn_picture_clear(&picture);
    }
    limn_model_close(model);
}

static void test_pictures(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) run_case(*state, i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pictures)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
