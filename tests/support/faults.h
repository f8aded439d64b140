/* SPDX-License-Identifier: MIT
 *
 * Functions of Vulkan that fail at a given call, in place of the driver's own. Only where limn is built with Vulkan.
 *
 *     static const struct vk_hook hook = {.loaded = faults_put};       from the device's opening on
 *     faults_put(NULL, &device->loader.f);                             or once it is open
 *     faults_at(12, VK_ERROR_DEVICE_LOST, true);                       the twelfth call from now, and all after it
 *     faults_at(FAULTS_NEVER, VK_SUCCESS, false);
 */
#ifndef SUPPORT_FAULTS_H
#define SUPPORT_FAULTS_H

#include "core/vulkan/functions.h"

#include <stdbool.h>

enum { FAULTS_NEVER = 1 << 30 };

void faults_put(void *context, struct vk_functions *f);
void faults_at(int call, VkResult result, bool for_good);
int faults_calls(void); /* since then */
int faults_alive(void); /* what was made through these functions and is not yet destroyed */

#endif
