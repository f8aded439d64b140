/* SPDX-License-Identifier: MIT
 *
 * Every allocation of a small picture made to fail in turn: from the first one on, then all but the first, and so on,
 * until nothing fails. Each time the answer is LIMN_NO_MEMORY, without a leak (the sanitizers watch) and with nothing
 * left in what was to be filled in.
 */
#include "core/base/memory.h"
#include "include/limn.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char path[TINY_PATH_BYTES];
static uint8_t pixels[16 * 16 * 4], mask_pixels[8 * 8];

static int set_up(void **state)
{
    (void)state;
    tiny_write(path, TINY_PACK);
    memset(mask_pixels + 32, 255, 32);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tiny_remove(path);
    return 0;
}

/* Calls `run` with its first allocation failing, then its second, until it gets by without the one that would. */
static void fail_each(enum limn_status (*run)(void *context, struct limn_error *error), void *context)
{
    for (uint64_t i = 1;; i++) {
        struct limn_error error = {0};
        (void)memory_fail_after(i);
        const enum limn_status status = run(context, &error);
        const uint64_t asked = memory_fail_after(0);
        if (asked < i) {
            assert_int_equal(status, LIMN_OK);
            print_message("%llu allocations\n", (unsigned long long)asked);
            assert_true(i > 3);
            return;
        }
        if (status != LIMN_NO_MEMORY)
            fail_msg("allocation %llu: %s: %s", (unsigned long long)i, limn_status_name(status), error.text);
        assert_true(error.text[0] != '\0');
    }
}

static enum limn_status open_and_close(void *context, struct limn_error *error)
{
    (void)context;
    struct limn_model *model = NULL;
    const enum limn_status status =
        limn_model_open(&model, &(struct limn_model_options){.path = path, .threads = 2}, error);
    assert_int_equal(model != NULL, status == LIMN_OK);
    limn_model_close(model);
    return status;
}

static void test_open(void **state)
{
    (void)state;
    fail_each(open_and_close, NULL);
}

/* A picture painted, written, and its recipe read back. The model lives through all failures. */
struct painting {
    struct limn_model *model;
    struct limn_request request;
};

static enum limn_status paint(void *context, struct limn_error *error)
{
    const struct painting *p = context;
    struct limn_picture picture = {0};
    struct limn_recipe *recipe = NULL;
    enum limn_status status = limn_paint(p->model, &p->request, &picture, error);
    assert_int_equal(picture.image.pixels != NULL && picture.parameters != NULL, status == LIMN_OK);
    if (status == LIMN_OK) status = limn_picture_write(&picture, "oom.png", error);
    if (status == LIMN_OK) status = limn_recipe_read(&recipe, "oom.png", NULL, error);
    assert_int_equal(recipe != NULL, status == LIMN_OK);
    limn_recipe_close(recipe);
    limn_picture_clear(&picture);
    return status;
}

static void fail_painting(const struct limn_request *request)
{
    struct limn_error error = {0};
    struct painting p = {.request = *request};
    if (limn_model_open(&p.model, &(struct limn_model_options){.path = path, .threads = 2}, &error) != LIMN_OK)
        fail_msg("%s", error.text);
    fail_each(paint, &p);
    limn_model_close(p.model);
    assert_int_equal(remove("oom.png"), 0);
}

static void test_generate(void **state)
{
    (void)state;
    const struct limn_request request = {
        .prompt = "a (red:1.2) apple", .negative = "cat", .width = 16, .height = 16, .steps = 1, .sampler = "euler_a"};
    fail_painting(&request);
}

static void test_edit(void **state)
{
    (void)state;
    const struct limn_image image = {.width = 16, .height = 16, .channels = 4, .pixels = pixels},
                            mask = {.width = 8, .height = 8, .channels = 1, .pixels = mask_pixels};
    const struct limn_request request = {.image = &image,
                                         .mask = &mask,
                                         .mask_blur = 1,
                                         .width = 24,
                                         .height = 16,
                                         .steps = 2,
                                         .cfg = 1,
                                         .strength = 0.5F,
                                         .subseed_strength = 0.5F};
    fail_painting(&request);
}

static enum limn_status read_info(void *context, struct limn_error *error)
{
    (void)context;
    struct limn_info info;
    const enum limn_status status = limn_info_read(&info, path, error);
    assert_int_equal(info.memory != NULL, status == LIMN_OK);
    limn_info_clear(&info);
    return status;
}

static void test_info(void **state)
{
    (void)state;
    fail_each(read_info, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_generate),
        cmocka_unit_test(test_edit),
        cmocka_unit_test(test_info),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
