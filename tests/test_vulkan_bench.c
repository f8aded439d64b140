/* SPDX-License-Identifier: MIT
 *
 * limn bench on a Vulkan device: its times fit into the run, and sums, steps and trace agree. Where:
 * tests/support/device.h.
 */
#include "core/tensor/backend.h"
#include "tests/support/device.h"
#include "tests/support/measured.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static char device[128];

static void test_picture(void **state)
{
    (void)state;
    measured_check("pack-picture --steps 1", device);
}

static void test_training(void **state)
{
    (void)state;
    measured_check("train-unet-pack --batch 1", device);
}

int main(void)
{
    struct backend *backend = NULL;
    struct error err = {0};
    snprintf(device, sizeof device, "vulkan:%s", device_for_tests());
    if (backend_open(&backend, device, NULL, &err) != STATUS_OK) {
        fprintf(stderr, "skipped: %s\n", err.text);
        return DEVICE_SKIPPED;
    }
    backend->f->close(backend);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_picture),
        cmocka_unit_test(test_training),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
