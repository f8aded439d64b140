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

/* ---- cooperative matrices ---- */

enum { MOST_SIZES = 64 };

/* The chain is the same for asking what there is and for asking for it. */
static void *link_features(struct vk_wanted *w)
{
    w->float16 = (VkPhysicalDeviceShaderFloat16Int8Features){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES};
    w->memory_model = (VkPhysicalDeviceVulkanMemoryModelFeatures){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES, .pNext = &w->float16};
    w->cooperative =
        (struct cooperative_features){.type = (VkStructureType)COOPERATIVE_FEATURES, .next = &w->memory_model};
    return &w->cooperative;
}

static bool has_features(const struct vk_device *d)
{
    struct vk_wanted have;
    VkPhysicalDeviceFeatures2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                     .pNext = link_features(&have)};
    d->f->GetPhysicalDeviceFeatures2(d->physical, &all);
    return have.cooperative.matrix && have.float16.shaderFloat16 && have.memory_model.vulkanMemoryModel;
}

/* Halves times halves, summed in f32, by one subgroup; of a size that the kernels' tiles are multiples of. */
static bool is_usable(const struct cooperative_size *s)
{
    const bool sizes = (s->m == 8 || s->m == 16) && (s->n == 8 || s->n == 16) && (s->k == 8 || s->k == 16);
    return sizes && s->a == COOPERATIVE_FLOAT16 && s->b == COOPERATIVE_FLOAT16 && s->c == COOPERATIVE_FLOAT32 &&
           s->result == COOPERATIVE_FLOAT32 && s->scope == COOPERATIVE_SUBGROUP && !s->saturating;
}

static enum status read_fragment(struct vk_device *d, const struct extensions *e, struct error *err)
{
    struct cooperative_size list[MOST_SIZES] = {{0}};
    uint32_t count = MOST_SIZES;
    if (!has(e, COOPERATIVE_EXTENSION) || !has_features(d)) return STATUS_OK;
    const cooperative_query query = (cooperative_query)d->f->GetInstanceProcAddr(d->instance, COOPERATIVE_QUERY);
    if (!query) return STATUS_OK;
    for (int i = 0; i < MOST_SIZES; i++) list[i].type = (VkStructureType)COOPERATIVE_SIZES;
    const VkResult result = query(d->physical, &count, list);
    if (result != VK_INCOMPLETE) {
        const enum status status = vk_check(d, result, "the list of its matrices", err);
        if (status != STATUS_OK) return status;
    }
    struct vk_fragment *best = &d->caps.fragment;
    for (uint32_t i = 0; i < count; i++)
        if (is_usable(&list[i]) && list[i].m * list[i].n * list[i].k > best->m * best->n * best->k)
            *best = (struct vk_fragment){list[i].m, list[i].n, list[i].k};
    return STATUS_OK;
}

void vk_extensions_want(const struct vk_caps *caps, struct vk_wanted *wanted, VkDeviceCreateInfo *info)
{
    if (caps->fragment.m == 0) return;
    void *first = link_features(wanted);
    wanted->cooperative.matrix = wanted->float16.shaderFloat16 = wanted->memory_model.vulkanMemoryModel = VK_TRUE;
    wanted->float16.pNext = (void *)info->pNext;
    wanted->names[0] = COOPERATIVE_EXTENSION;
    info->pNext = first;
    info->enabledExtensionCount = 1;
    info->ppEnabledExtensionNames = wanted->names;
}

enum status vk_extensions_read(struct vk_device *device, struct error *err)
{
    struct extensions extensions = {0};
    enum status status = list_extensions(device, &extensions, err);
    if (status == STATUS_OK) read_cores(device, &extensions);
    if (status == STATUS_OK) status = read_fragment(device, &extensions, err);
    memory_free(extensions.list);
    return status;
}
