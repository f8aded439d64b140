/* SPDX-License-Identifier: MIT */
#include "core/vulkan/device.h"

#include "core/base/memory.h"
#include "core/vulkan/extensions.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_DEVICES = 16,
    /* Mesa's software device stopped loops silently after 65,535 iterations of all loops of an invocation together
     * (seen in 22.3.6; https://github.com/ggml-org/llama.cpp/pull/13813). */
    LLVMPIPE_LOOP_LIMIT = 65000,
    NO_LOOP_LIMIT = 1 << 30,
    /* What the planner and the loader of weights align to (MEMORY_ALIGNMENT). */
    MOST_OFFSET_ALIGNMENT = MEMORY_ALIGNMENT,
    SMALLEST_TEXEL = 4, /* bytes, of a word of blocks */
};

/* Nanoseconds after which work that was handed over counts as stuck. */
#define PATIENCE_NS UINT64_C(600000000000)

/* A device that could be opened. */
struct candidate {
    VkPhysicalDevice physical;
    VkPhysicalDeviceProperties properties;
    enum vk_class class;
    int number; /* in the order of the loader */
};

enum status vk_check(struct vk_device *device, VkResult result, const char *what, struct error *err)
{
    const char *name = device->properties.deviceName[0] ? device->properties.deviceName : "Vulkan";
    switch (result) {
    case VK_SUCCESS: return STATUS_OK;
    case VK_ERROR_OUT_OF_HOST_MEMORY:
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
    case VK_ERROR_OUT_OF_POOL_MEMORY:
    case VK_ERROR_FRAGMENTED_POOL:
        return fail(err, STATUS_NO_MEMORY,
                    "%s has no memory left for %s; make the picture smaller or fewer at a time, or run on the CPU",
                    name, what);
    case VK_ERROR_DEVICE_LOST:
        device->lost = true;
        return fail(err, STATUS_DEVICE, "%s was lost at %s; its driver may have reset it: try again, or run on the CPU",
                    name, what);
    case VK_TIMEOUT:
        device->lost = true;
        return fail(err, STATUS_DEVICE, "%s did not come to an end with %s; try a smaller picture, or run on the CPU",
                    name, what);
    case VK_ERROR_INCOMPATIBLE_DRIVER:
        return fail(err, STATUS_UNSUPPORTED, "this machine has no Vulkan driver; install one, or run on the CPU");
    default:
        return fail(err, STATUS_DEVICE, "%s failed at %s (VkResult %d); update its driver, or run on the CPU", name,
                    what, (int)result);
    }
}

enum status vk_device_wait(struct vk_device *device, VkFence fence, const char *what, struct error *err)
{
    const VkResult result = device->f->WaitForFences(device->handle, 1, &fence, VK_TRUE, PATIENCE_NS);
    /* The wait may fail, for want of memory, while the work goes on. */
    if (result != VK_SUCCESS && result != VK_TIMEOUT) (void)device->f->DeviceWaitIdle(device->handle);
    return vk_check(device, result, what, err);
}

/* ---- choosing ---- */

static enum vk_class class_of(VkPhysicalDeviceType type)
{
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return VK_CLASS_DISCRETE;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return VK_CLASS_INTEGRATED;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return VK_CLASS_VIRTUAL;
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return VK_CLASS_CPU;
    default: return VK_CLASS_OTHER;
    }
}

static int better_first(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->class != y->class) return x->class < y->class ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

/* The devices with Vulkan 1.2, best first: the numbers of `limn devices`. */
static enum status list_candidates(struct vk_device *d, struct candidate list[MOST_DEVICES], int *count,
                                   struct error *err)
{
    VkPhysicalDevice found[MOST_DEVICES];
    uint32_t number = MOST_DEVICES;
    *count = 0;
    const VkResult result = d->f->EnumeratePhysicalDevices(d->instance, &number, found);
    if (result == VK_ERROR_INITIALIZATION_FAILED) return STATUS_OK; /* the loader's word for: no driver at all */
    if (result != VK_INCOMPLETE) {
        const enum status status = vk_check(d, result, "the list of devices", err);
        if (status != STATUS_OK) return status;
    }
    for (uint32_t i = 0; i < number; i++) {
        VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
        d->f->GetPhysicalDeviceProperties2(found[i], &properties);
        if (properties.properties.apiVersion < VK_API_VERSION_1_2) continue;
        list[(*count)++] = (struct candidate){.physical = found[i],
                                              .properties = properties.properties,
                                              .class = class_of(properties.properties.deviceType),
                                              .number = (int)i};
    }
    qsort(list, (size_t)*count, sizeof *list, better_first);
    return STATUS_OK;
}

static bool contains(const char *text, const char *part)
{
    for (; *text; text++) {
        size_t i = 0;
        while (part[i] && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i])) i++;
        if (!part[i]) return true;
    }
    return false;
}

static const struct candidate *choose(const struct candidate *list, int count, const char *selector, struct error *err)
{
    if (!selector || !*selector) {
        if (count > 0 && list[0].class != VK_CLASS_CPU) return &list[0];
        if (count > 0)
            fail(err, STATUS_UNSUPPORTED,
                 "this machine has no GPU with Vulkan 1.2, only the software device '%s', which runs when it is named",
                 list[0].properties.deviceName);
        else
            fail(err, STATUS_UNSUPPORTED, "this machine has no device with Vulkan 1.2; run on the CPU");
        return NULL;
    }
    char *end;
    const long number = strtol(selector, &end, 10);
    if (*end == '\0' && number >= 0 && number < count) return &list[number];
    for (int i = 0; i < count && *end; i++)
        if (contains(list[i].properties.deviceName, selector)) return &list[i];
    fail(err, STATUS_ARGUMENT,
         "there is no Vulkan device '%.80s'; a number below %d or a part of a device's name is allowed", selector,
         count);
    return NULL;
}

/* ---- opening ---- */

static enum status create_instance(struct vk_device *d, struct error *err)
{
    uint32_t version = VK_API_VERSION_1_0;
    enum status status = vk_check(d, d->f->EnumerateInstanceVersion(&version), "its version", err);
    if (status != STATUS_OK) return status;
    if (version < VK_API_VERSION_1_2)
        return fail(err, STATUS_UNSUPPORTED, "the Vulkan loader of this machine is of version %u.%u; 1.2 is needed",
                    VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version));
    const VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                           .pApplicationName = "limn",
                                           .pEngineName = "limn",
                                           .apiVersion = version < VK_API_VERSION_1_3 ? version : VK_API_VERSION_1_3};
    const VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                       .pApplicationInfo = &application};
    VkInstance instance = NULL;
    status = vk_check(d, d->f->CreateInstance(&info, NULL, &instance), "its start", err);
    if (status != STATUS_OK) return status;
    status = vk_loader_instance(&d->loader, instance, err);
    d->instance = instance; /* after loading: without its functions it could not be destroyed */
    return status;
}

static enum status read_caps(struct vk_device *d, struct error *err)
{
    VkPhysicalDeviceSubgroupSizeControlProperties sizes = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES};
    VkPhysicalDeviceSubgroupProperties subgroup = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
    VkPhysicalDeviceMaintenance3Properties sizes3 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES, .pNext = &subgroup};
    d->driver = (VkPhysicalDeviceDriverProperties){.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES,
                                                   .pNext = &sizes3};
    VkPhysicalDeviceProperties2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &d->driver};
    const bool newer = d->properties.apiVersion >= VK_API_VERSION_1_3;
    if (newer) subgroup.pNext = &sizes;
    d->f->GetPhysicalDeviceProperties2(d->physical, &all);
    d->driver.pNext = NULL;
    const VkPhysicalDeviceLimits *limits = &all.properties.limits;
    if (limits->minStorageBufferOffsetAlignment > MOST_OFFSET_ALIGNMENT)
        return fail(err, STATUS_UNSUPPORTED, "%s wants its values at multiples of %llu bytes; at most %d is supported",
                    d->properties.deviceName, (unsigned long long)limits->minStorageBufferOffsetAlignment,
                    MOST_OFFSET_ALIGNMENT);
    d->caps = (struct vk_caps){
        .class = class_of(d->properties.deviceType),
        .subgroup = subgroup.subgroupSize,
        .shuffle = (subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) &&
                   (subgroup.supportedOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT),
        .arithmetic = (subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) &&
                      (subgroup.supportedOperations & VK_SUBGROUP_FEATURE_ARITHMETIC_BIT),
        .subgroup_control = newer && (sizes.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT),
        .invocations = limits->maxComputeWorkGroupInvocations,
        .shared_bytes = limits->maxComputeSharedMemorySize,
        .groups = {limits->maxComputeWorkGroupCount[0], limits->maxComputeWorkGroupCount[1],
                   limits->maxComputeWorkGroupCount[2]},
        .texels = limits->minTexelBufferOffsetAlignment <= MOST_OFFSET_ALIGNMENT &&
                  limits->maxTexelBufferElements >= limits->maxStorageBufferRange / SMALLEST_TEXEL,
        .storage_range = limits->maxStorageBufferRange,
        .allocation_bytes = sizes3.maxMemoryAllocationSize,
        .loop_limit = d->driver.driverID == VK_DRIVER_ID_MESA_LLVMPIPE ? LLVMPIPE_LOOP_LIMIT : NO_LOOP_LIMIT,
    };
    return STATUS_OK;
}

static enum status find_family(struct vk_device *d, struct error *err)
{
    VkQueueFamilyProperties families[MOST_DEVICES];
    uint32_t count = MOST_DEVICES;
    d->f->GetPhysicalDeviceQueueFamilyProperties(d->physical, &count, families);
    for (uint32_t i = 0; i < count; i++)
        if (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) {
            d->family = i;
            d->timestamp_bits = families[i].timestampValidBits;
            return STATUS_OK;
        }
    return fail(err, STATUS_UNSUPPORTED, "%s cannot compute, only draw; run on the CPU", d->properties.deviceName);
}

static enum status create_device(struct vk_device *d, struct error *err)
{
    VkPhysicalDeviceVulkan13Features have13 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES};
    VkPhysicalDevice16BitStorageFeatures have16 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
                                                   .pNext = d->caps.subgroup_control ? &have13 : NULL};
    VkPhysicalDeviceFeatures2 have = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &have16};
    d->f->GetPhysicalDeviceFeatures2(d->physical, &have);
    d->caps.int64 = have.features.shaderInt64;
    d->caps.half_storage = have16.storageBuffer16BitAccess;
    const VkPhysicalDeviceFeatures want = {.shaderInt64 = have.features.shaderInt64};
    d->caps.subgroup_control = have13.subgroupSizeControl && have13.computeFullSubgroups;
    VkPhysicalDeviceVulkan13Features want13 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES,
                                               .subgroupSizeControl = VK_TRUE,
                                               .computeFullSubgroups = VK_TRUE};
    VkPhysicalDevice16BitStorageFeatures want16 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
                                                   .pNext = d->caps.subgroup_control ? &want13 : NULL,
                                                   .storageBuffer16BitAccess = d->caps.half_storage};
    const float priority = 1;
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueFamilyIndex = d->family,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    struct vk_wanted wanted;
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .pNext = &want16,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos = &queue,
                               .pEnabledFeatures = &want};
    VkDevice handle = NULL;
    vk_extensions_want(&d->caps, &wanted, &info);
    enum status status = vk_check(d, d->f->CreateDevice(d->physical, &info, NULL, &handle), "opening it", err);
    if (status != STATUS_OK) return status;
    status = vk_loader_device(&d->loader, handle, err);
    d->handle = handle;
    if (status == STATUS_OK) d->f->GetDeviceQueue(handle, d->family, 0, &d->queue);
    return status;
}

enum status vk_device_open(struct vk_device **out, const char *selector, const struct vk_hook *hook, struct error *err)
{
    *out = NULL;
    struct candidate list[MOST_DEVICES];
    int count;
    struct vk_device *d = memory_alloc(sizeof *d);
    if (!d) return fail_no_memory(err, "a Vulkan device", sizeof *d);
    d->loader.hook = hook;
    d->f = &d->loader.f;
    enum status status = vk_loader_open(&d->loader, err);
    if (status == STATUS_OK) status = create_instance(d, err);
    if (status == STATUS_OK) status = list_candidates(d, list, &count, err);
    if (status != STATUS_OK) goto done;
    const struct candidate *chosen = choose(list, count, selector, err);
    status = err->status;
    if (!chosen) goto done;
    d->physical = chosen->physical;
    d->properties = chosen->properties;
    d->f->GetPhysicalDeviceMemoryProperties(d->physical, &d->memory);
    status = read_caps(d, err);
    if (status == STATUS_OK) status = vk_extensions_read(d, err);
    if (status == STATUS_OK) status = find_family(d, err);
    if (status == STATUS_OK) status = create_device(d, err);
done:
    if (status == STATUS_OK) {
        *out = d;
    } else {
        vk_device_close(d);
    }
    return status;
}

void vk_device_close(struct vk_device *d)
{
    if (!d) return;
    if (d->handle && d->f->DestroyDevice) d->f->DestroyDevice(d->handle, NULL);
    if (d->instance && d->f->DestroyInstance) d->f->DestroyInstance(d->instance, NULL);
    vk_loader_close(&d->loader);
    memory_free(d);
}
