/* SPDX-License-Identifier: MIT
 *
 * The pack that comes with limn paints the same picture on a Vulkan device as on the CPU, to 2 of 255; and so it
 * does where the device has its values as halves. Where:
 * tests/support/device.h.
 */
#include "include/limn.h"
#include "tests/support/device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static enum limn_status paint(const char *device, const char *compute, struct limn_picture *picture,
                              struct limn_error *error)
{
    const struct limn_model_options options = {
        .path = SOURCE_DIR "/samples/emoji/emoji.safetensors", .device = device, .compute = compute};
    const struct limn_request request = {.prompt = "a red apple", .seed = 7};
    struct limn_model *model = NULL;
    enum limn_status status = limn_model_open(&model, &options, error);
    if (status == LIMN_OK) status = limn_paint(model, &request, picture, error);
    limn_model_close(model);
    return status;
}

static void check_same_picture(const char *compute)
{
    char device[128];
    struct limn_error error = {0};
    struct limn_picture cpu = {0}, gpu = {0};
    snprintf(device, sizeof device, "vulkan:%s", device_for_tests());
    if (paint("cpu", NULL, &cpu, &error) != LIMN_OK || paint(device, compute, &gpu, &error) != LIMN_OK)
        fail_msg("%s", error.text);
    assert_int_equal(gpu.image.width, cpu.image.width);
    assert_int_equal(gpu.image.height, cpu.image.height);
    assert_int_equal(gpu.image.channels, cpu.image.channels);
    const int bytes = cpu.image.width * cpu.image.height * cpu.image.channels;
    for (int i = 0; i < bytes; i++) {
        const int apart = abs(gpu.image.pixels[i] - cpu.image.pixels[i]);
        if (apart > 2) fail_msg("byte %d is %d apart", i, apart);
    }
    limn_picture_clear(&cpu);
    limn_picture_clear(&gpu);
}

static void test_same_picture(void **state)
{
    (void)state;
    check_same_picture(NULL);
}

static void test_same_picture_by_halves(void **state)
{
    (void)state;
    check_same_picture("f16");
}

static void test_no_such_compute(void **state)
{
    (void)state;
    struct limn_error error = {0};
    struct limn_picture picture = {0};
    assert_int_equal(paint("cpu", "f8", &picture, &error), LIMN_ARGUMENT);
    assert_string_equal(error.text, "compute 'f8': must be f32, bf16 or f16");
    assert_int_equal(paint("cpu", "f16", &picture, &error), LIMN_UNSUPPORTED);
    assert_non_null(strstr(error.text, "f16 is for Vulkan devices"));
}

static void test_no_such_device(void **state)
{
    (void)state;
    struct limn_error error = {0};
    struct limn_picture picture = {0};
    assert_int_equal(paint("vulkan:no such device", NULL, &picture, &error), LIMN_ARGUMENT);
    assert_non_null(strstr(error.text, "there is no Vulkan device 'no such device'"));
    assert_int_equal(paint("abacus:1", NULL, &picture, &error), LIMN_ARGUMENT);
    assert_string_equal(error.text,
                        "device 'abacus:1': must be cpu, vulkan, vulkan:NUMBER or vulkan:NAME; limn devices lists "
                        "those there are");
}

int main(void)
{
    char device[128];
    struct limn_error error = {0};
    struct limn_model *model = NULL;
    const struct limn_model_options options = {.path = SOURCE_DIR "/samples/emoji/emoji.safetensors", .device = device};
    snprintf(device, sizeof device, "vulkan:%s", device_for_tests());
    if (limn_model_open(&model, &options, &error) == LIMN_UNSUPPORTED) {
        fprintf(stderr, "skipped: %s\n", error.text);
        return DEVICE_SKIPPED;
    }
    limn_model_close(model);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_picture),
        cmocka_unit_test(test_same_picture_by_halves),
        cmocka_unit_test(test_no_such_compute),
        cmocka_unit_test(test_no_such_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
