/* SPDX-License-Identifier: MIT
 *
 * The device that tests of the Vulkan backend run on.
 */
#ifndef SUPPORT_DEVICE_H
#define SUPPORT_DEVICE_H

/* What a test's main returns where there is none; ctest then says that it was skipped. */
enum { DEVICE_SKIPPED = 77 };

/* The value of LIMN_TEST_DEVICE, or Mesa's software device. Its driver then stays loaded to the end: it keeps memory of
 * its own, and a leak checker should see who holds it. */
const char *device_for_tests(void);

#endif
