/* SPDX-License-Identifier: MIT
 *
 * The cache of compiled kernels: what was written comes back, and anything else that lies in its place is no cache.
 */
#define _POSIX_C_SOURCE 200809L /* setenv */
#include "core/base/memory.h"
#include "core/vulkan/pipeline_cache.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BYTES = 300 };

static const VkPhysicalDeviceProperties gpu = {
    .apiVersion = VK_API_VERSION_1_2, .driverVersion = 7, .vendorID = 0x10de, .deviceID = 0x2335};

static const char file_name[] = "limn/pipelines-000010de-00002335.bin";

static int set_up(void **state)
{
    static struct scratch scratch;
    unsigned char bytes[BYTES];
    for (int i = 0; i < BYTES; i++) bytes[i] = (unsigned char)(i * 7);
    scratch_open(&scratch);
    setenv("XDG_CACHE_HOME", scratch.folder, 1);
    pipeline_cache_save(&gpu, bytes, BYTES);
    *state = &scratch;
    return 0;
}

static int tear_down(void **state)
{
    scratch_close(*state);
    return 0;
}

static bool loads(const VkPhysicalDeviceProperties *device)
{
    struct vk_cached cached;
    pipeline_cache_load(&cached, device);
    const bool there = cached.bytes != NULL;
    if (there) {
        assert_int_equal(cached.size, BYTES);
        for (int i = 0; i < BYTES; i++) assert_int_equal(((unsigned char *)cached.bytes)[i], (unsigned char)(i * 7));
    }
    pipeline_cache_free(&cached);
    return there;
}

static void test_comes_back(void **state)
{
    assert_true(loads(&gpu));
    assert_int_equal(scratch_files(*state), 2); /* the folder and the file: nothing temporary is left */
}

static void test_is_of_one_driver(void **state)
{
    (void)state;
    VkPhysicalDeviceProperties other = gpu;
    other.driverVersion++;
    assert_false(loads(&other));
    other = gpu;
    other.pipelineCacheUUID[15] = 1;
    assert_false(loads(&other));
    other = gpu;
    other.deviceID++;
    assert_false(loads(&other));
}

static void test_damage_is_a_miss(void **state)
{
    size_t size;
    uint8_t *whole = file_load(scratch_path(*state, file_name), &size);
    assert_true(size > BYTES);
    for (size_t i = 0; i < size; i++) {
        whole[i] ^= 0x10;
        file_save(scratch_path(*state, file_name), whole, size);
        if (loads(&gpu)) fail_msg("byte %zu of %zu is wrong", i, size);
        whole[i] ^= 0x10;
    }
    for (size_t n = 0; n < size; n += 11) {
        file_save(scratch_path(*state, file_name), whole, n);
        if (loads(&gpu)) fail_msg("%zu of %zu bytes", n, size);
    }
    file_save(scratch_path(*state, file_name), whole, size);
    assert_true(loads(&gpu));
    memory_free(whole);
}

/* Nowhere to write to, or nothing to write: no cache, and no complaint. */
static void test_no_place(void **state)
{
    unsigned char bytes[BYTES] = {0};
    VkPhysicalDeviceProperties other = gpu;
    other.deviceID = 1;
    pipeline_cache_save(&other, bytes, 32); /* a driver's header alone */
    assert_false(loads(&other));
    file_save(scratch_path(*state, "file"), "x", 1);
    setenv("XDG_CACHE_HOME", scratch_path(*state, "file"), 1);
    pipeline_cache_save(&gpu, bytes, BYTES);
    assert_false(loads(&gpu));
    setenv("XDG_CACHE_HOME", "relative", 1);
    unsetenv("HOME");
    pipeline_cache_save(&gpu, bytes, BYTES);
    assert_false(loads(&gpu));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_is_of_one_driver, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damage_is_a_miss, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_place, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
