/* SPDX-License-Identifier: MIT
 *
 * Every Vulkan function that limn calls, as lists, and the table that holds their addresses. There is no link-time
 * dependency: the loader is opened at run time (loader.h), and all calls go through a table that belongs to one
 * device. So a test can put functions of its own into it, which fail at a given call.
 */
#ifndef VULKAN_FUNCTIONS_H
#define VULKAN_FUNCTIONS_H

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan_core.h>

/* What can fail returns a VkResult and stands in a list of its own. */
#define VK_GLOBAL_MAP(X)                                                                                               \
    X(EnumerateInstanceVersion)                                                                                        \
    X(CreateInstance)

#define VK_INSTANCE_MAP(X)                                                                                             \
    X(EnumeratePhysicalDevices)                                                                                        \
    X(EnumerateDeviceExtensionProperties)                                                                              \
    X(CreateDevice)

#define VK_INSTANCE_VOID_MAP(X)                                                                                        \
    X(DestroyInstance)                                                                                                 \
    X(GetPhysicalDeviceProperties2)                                                                                    \
    X(GetPhysicalDeviceFeatures2)                                                                                      \
    X(GetPhysicalDeviceMemoryProperties)                                                                               \
    X(GetPhysicalDeviceQueueFamilyProperties)                                                                          \
    X(GetDeviceProcAddr)

#define VK_DEVICE_MAP(X)                                                                                               \
    X(CreateBuffer)                                                                                                    \
    X(CreateBufferView)                                                                                                \
    X(AllocateMemory)                                                                                                  \
    X(BindBufferMemory)                                                                                                \
    X(MapMemory)                                                                                                       \
    X(CreateCommandPool)                                                                                               \
    X(AllocateCommandBuffers)                                                                                          \
    X(BeginCommandBuffer)                                                                                              \
    X(EndCommandBuffer)                                                                                                \
    X(CreateFence)                                                                                                     \
    X(ResetFences)                                                                                                     \
    X(WaitForFences)                                                                                                   \
    X(QueueSubmit)                                                                                                     \
    X(CreateShaderModule)                                                                                              \
    X(CreateDescriptorSetLayout)                                                                                       \
    X(CreatePipelineLayout)                                                                                            \
    X(CreatePipelineCache)                                                                                             \
    X(GetPipelineCacheData)                                                                                            \
    X(CreateComputePipelines)                                                                                          \
    X(CreateDescriptorPool)                                                                                            \
    X(AllocateDescriptorSets)                                                                                          \
    X(CreateQueryPool)                                                                                                 \
    X(GetQueryPoolResults)                                                                                             \
    X(DeviceWaitIdle)

#define VK_DEVICE_VOID_MAP(X)                                                                                          \
    X(DestroyDevice)                                                                                                   \
    X(GetDeviceQueue)                                                                                                  \
    X(DestroyBuffer)                                                                                                   \
    X(DestroyBufferView)                                                                                               \
    X(FreeMemory)                                                                                                      \
    X(GetBufferMemoryRequirements)                                                                                     \
    X(DestroyCommandPool)                                                                                              \
    X(FreeCommandBuffers)                                                                                              \
    X(DestroyFence)                                                                                                    \
    X(DestroyShaderModule)                                                                                             \
    X(DestroyDescriptorSetLayout)                                                                                      \
    X(DestroyPipelineLayout)                                                                                           \
    X(DestroyPipelineCache)                                                                                            \
    X(DestroyPipeline)                                                                                                 \
    X(DestroyDescriptorPool)                                                                                           \
    X(UpdateDescriptorSets)                                                                                            \
    X(DestroyQueryPool)                                                                                                \
    X(CmdBindPipeline)                                                                                                 \
    X(CmdBindDescriptorSets)                                                                                           \
    X(CmdPushConstants)                                                                                                \
    X(CmdDispatch)                                                                                                     \
    X(CmdPipelineBarrier)                                                                                              \
    X(CmdCopyBuffer)                                                                                                   \
    X(CmdResetQueryPool)                                                                                               \
    X(CmdWriteTimestamp)

/* The functions that a fault can be injected into. */
#define VK_FALLIBLE_MAP(X) VK_GLOBAL_MAP(X) VK_INSTANCE_MAP(X) VK_DEVICE_MAP(X)

struct vk_functions {
#define X(name) PFN_vk##name name;
    VK_FALLIBLE_MAP(X)
    VK_INSTANCE_VOID_MAP(X)
    VK_DEVICE_VOID_MAP(X)
#undef X
    PFN_vkGetInstanceProcAddr GetInstanceProcAddr;
};

/* For tests: called each time entries have been filled in (three times: global, of the instance, of the device), to
 * replace them. */
struct vk_hook {
    void (*loaded)(void *context, struct vk_functions *f);
    void *context;
};

#endif
