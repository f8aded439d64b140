/* SPDX-License-Identifier: MIT */
#include "tests/support/device.h"

#include <dlfcn.h>
#include <stdlib.h>

const char *device_for_tests(void)
{
    const char *name = getenv("LIMN_TEST_DEVICE");
    if (name) return name;
    (void)dlopen("libvulkan_lvp.so", RTLD_NOW);
    return "llvmpipe";
}
