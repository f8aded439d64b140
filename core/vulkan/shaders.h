/* SPDX-License-Identifier: MIT
 *
 * The compiled shaders that travel in the program: one entry for each shaders/NAME.comp, and a second one for
 * those that include values.glsl. The build writes the table
 * (cmake/vulkan.cmake).
 */
#ifndef VULKAN_SHADERS_H
#define VULKAN_SHADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vk_shader {
    const char *name; /* of its file, without .comp */
    bool half;        /* compiled for values that are halves (shaders/values.glsl) */
    const uint32_t *words;
    size_t bytes;
};

extern const struct vk_shader vk_shaders[];
extern const int vk_shader_count;

#endif
