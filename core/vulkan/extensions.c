/* SPDX-License-Identifier: MIT */
#include "core/vulkan/extensions.h"

#include "core/base/memory.h"

#include <string.h>

/* Of a middling device of its class, where the driver does not say. A software device's are few, so that what only
 * larger devices choose is met by small shapes: its tests are the only ones of that. */
static const uint32_t usual_cores[] = {
    [VK_CLASS_DISCRETE] = 32, [VK_CLASS_INTEGRATED] = 8, [VK_CLASS_VIRTUAL] = 16,
    [VK_CLASS_OTHER] = 8,     [VK_CLASS_CPU] = 8,
};

struct extensions {
    VkExtensionProperties *list; /* owned */
    uint32_t count;
};

static bool has(const struct extensions *e, const char *name)
{
    for (uint32_t i = 0; i < e->count; i++)
        if (strcmp(e->list[i].extensionName, name) == 0) return true;
    return false;
}

static enum status list_extensions(struct vk_device *d, struct extensions *e, struct error *err)
{
    const char *what = "the list of its extensions";
    VkResult result = d->f->EnumerateDeviceExtensionProperties(d->physical, NULL, &e->count, NULL);
    enum status status = vk_check(d, result, what, err);
    if (status != STATUS_OK || e->count == 0) return status;
    e->list = memory_alloc(e->count * sizeof *e->list);
    if (!e->list) return fail_no_memory(err, what, e->count * sizeof *e->list);
    result = d->f->EnumerateDeviceExtensionProperties(d->physical, NULL, &e->count, e->list);
    return result == VK_INCOMPLETE ? STATUS_OK : vk_check(d, result, what, err);
}

static void read_cores(struct vk_device *d, const struct extensions *e)
{
    VkPhysicalDeviceShaderSMBuiltinsPropertiesNV nv = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_SM_BUILTINS_PROPERTIES_NV};
    VkPhysicalDeviceShaderCorePropertiesAMD amd = {.sType =
                                                       VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_CORE_PROPERTIES_AMD};
    VkPhysicalDeviceProperties2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
    if (has(e, VK_NV_SHADER_SM_BUILTINS_EXTENSION_NAME)) all.pNext = &nv;
    if (has(e, VK_AMD_SHADER_CORE_PROPERTIES_EXTENSION_NAME)) all.pNext = &amd;
    if (all.pNext) d->f->GetPhysicalDeviceProperties2(d->physical, &all);
    const uint32_t amd_cores = amd.shaderEngineCount * amd.shaderArraysPerEngineCount * amd.computeUnitsPerShaderArray;
    d->caps.cores = nv.shaderSMCount ? nv.shaderSMCount : amd_cores ? amd_cores : usual_cores[d->caps.class];
}

enum status vk_extensions_read(struct vk_device *device, struct error *err)
{
    struct extensions extensions = {0};
    const enum status status = list_extensions(device, &extensions, err);
    if (status == STATUS_OK) read_cores(device, &extensions);
    memory_free(extensions.list);
    return status;
}
