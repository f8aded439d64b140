/* SPDX-License-Identifier: MIT
 *
 * What tests see of the Vulkan backend besides the eight functions of core/tensor/backend.h.
 */
#ifndef VULKAN_BACKEND_VULKAN_H
#define VULKAN_BACKEND_VULKAN_H

#include "core/tensor/backend.h"
#include "core/vulkan/recording.h"

/* As vulkan_backend_open, with functions that a test may replace; the hook is borrowed until close. */
MUST_CHECK enum status vulkan_backend_open_hooked(struct backend **out, const struct backend_options *options,
                                                  const struct vk_hook *hook, struct error *err);

/* The backend's own context; dies with it. */
struct vk_context *vulkan_backend_context(struct backend *backend);

#endif
