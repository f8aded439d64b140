/* SPDX-License-Identifier: MIT
 *
 * What devices tell of themselves beyond the core of Vulkan. Nothing here has to be there: a device without an
 * extension has caps as if there were none.
 */
#ifndef VULKAN_EXTENSIONS_H
#define VULKAN_EXTENSIONS_H

#include "core/vulkan/device.h"

/* Fills in what read_caps of device.c leaves: caps.cores. */
MUST_CHECK enum status vk_extensions_read(struct vk_device *device, struct error *err);

#endif
