/* SPDX-License-Identifier: MIT */
#ifdef LIMN_VULKAN
#include "tests/support/faults.h"

#include <string.h>

/* The calls so far, the one that fails and how, and whether all after it fail too; and what is alive. */
static struct {
    struct vk_functions real;
    int calls, fail_at, alive;
    VkResult result;
    bool for_good;
} faults;

static bool injected(void)
{
    const int call = ++faults.calls;
    return call == faults.fail_at || (faults.for_good && call > faults.fail_at);
}

#define CALL const VkAllocationCallbacks *
#define SIZE VkDeviceSize

#define PARAMS_EnumerateInstanceVersion uint32_t *a
#define ARGS_EnumerateInstanceVersion   a
#define PARAMS_CreateInstance           const VkInstanceCreateInfo *a, CALL b, VkInstance *c
#define ARGS_CreateInstance             a, b, c
#define PARAMS_EnumeratePhysicalDevices VkInstance a, uint32_t *b, VkPhysicalDevice *c
#define ARGS_EnumeratePhysicalDevices   a, b, c
#define PARAMS_EnumerateDeviceExtensionProperties                                                                      \
    VkPhysicalDevice a, const char *b, uint32_t *c, VkExtensionProperties *d
#define ARGS_EnumerateDeviceExtensionProperties a, b, c, d
#define PARAMS_CreateDevice                     VkPhysicalDevice a, const VkDeviceCreateInfo *b, CALL c, VkDevice *d
#define ARGS_CreateDevice                       a, b, c, d
#define CREATE(kind)                            VkDevice a, const Vk##kind##CreateInfo *b, CALL c, Vk##kind *d
#define PARAMS_CreateBuffer                     CREATE(Buffer)
#define ARGS_CreateBuffer                       a, b, c, d
#define PARAMS_CreateBufferView                 CREATE(BufferView)
#define ARGS_CreateBufferView                   a, b, c, d
#define PARAMS_AllocateMemory                   VkDevice a, const VkMemoryAllocateInfo *b, CALL c, VkDeviceMemory *d
#define ARGS_AllocateMemory                     a, b, c, d
#define PARAMS_BindBufferMemory                 VkDevice a, VkBuffer b, VkDeviceMemory c, VkDeviceSize d
#define ARGS_BindBufferMemory                   a, b, c, d
#define PARAMS_MapMemory                        VkDevice a, VkDeviceMemory b, SIZE c, SIZE d, VkFlags e, void **f
#define ARGS_MapMemory                          a, b, c, d, e, f
#define PARAMS_CreateCommandPool                CREATE(CommandPool)
#define ARGS_CreateCommandPool                  a, b, c, d
#define PARAMS_AllocateCommandBuffers           VkDevice a, const VkCommandBufferAllocateInfo *b, VkCommandBuffer *c
#define ARGS_AllocateCommandBuffers             a, b, c
#define PARAMS_BeginCommandBuffer               VkCommandBuffer a, const VkCommandBufferBeginInfo *b
#define ARGS_BeginCommandBuffer                 a, b
#define PARAMS_EndCommandBuffer                 VkCommandBuffer a
#define ARGS_EndCommandBuffer                   a
#define PARAMS_CreateFence                      CREATE(Fence)
#define ARGS_CreateFence                        a, b, c, d
#define PARAMS_ResetFences                      VkDevice a, uint32_t b, const VkFence *c
#define ARGS_ResetFences                        a, b, c
#define PARAMS_WaitForFences                    VkDevice a, uint32_t b, const VkFence *c, VkBool32 d, uint64_t e
#define ARGS_WaitForFences                      a, b, c, d, e
#define PARAMS_QueueSubmit                      VkQueue a, uint32_t b, const VkSubmitInfo *c, VkFence d
#define ARGS_QueueSubmit                        a, b, c, d
#define PARAMS_CreateShaderModule               CREATE(ShaderModule)
#define ARGS_CreateShaderModule                 a, b, c, d
#define PARAMS_CreateDescriptorSetLayout        CREATE(DescriptorSetLayout)
#define ARGS_CreateDescriptorSetLayout          a, b, c, d
#define PARAMS_CreatePipelineLayout             CREATE(PipelineLayout)
#define ARGS_CreatePipelineLayout               a, b, c, d
#define PARAMS_CreatePipelineCache              CREATE(PipelineCache)
#define ARGS_CreatePipelineCache                a, b, c, d
#define PARAMS_GetPipelineCacheData             VkDevice a, VkPipelineCache b, size_t *c, void *d
#define ARGS_GetPipelineCacheData               a, b, c, d
#define PARAMS_CreateComputePipelines                                                                                  \
    VkDevice a, VkPipelineCache b, uint32_t c, const VkComputePipelineCreateInfo *d, CALL e, VkPipeline *f
#define ARGS_CreateComputePipelines   a, b, c, d, e, f
#define PARAMS_CreateDescriptorPool   CREATE(DescriptorPool)
#define ARGS_CreateDescriptorPool     a, b, c, d
#define PARAMS_AllocateDescriptorSets VkDevice a, const VkDescriptorSetAllocateInfo *b, VkDescriptorSet *c
#define ARGS_AllocateDescriptorSets   a, b, c
#define PARAMS_CreateQueryPool        CREATE(QueryPool)
#define ARGS_CreateQueryPool          a, b, c, d
#define PARAMS_GetQueryPoolResults                                                                                     \
    VkDevice a, VkQueryPool b, uint32_t c, uint32_t d, size_t e, void *f, VkDeviceSize g, VkQueryResultFlags h
#define ARGS_GetQueryPoolResults a, b, c, d, e, f, g, h
#define PARAMS_DeviceWaitIdle    VkDevice a
#define ARGS_DeviceWaitIdle      a

/* What makes something that must be destroyed again. Sets and command buffers go with their pools. */
static bool makes(const char *name)
{
    return strncmp(name, "Create", 6) == 0 || strcmp(name, "AllocateMemory") == 0;
}

/* A lost device runs nothing any more; ours does, so it must be left to end. */
static bool waits(const char *name)
{
    return faults.result == VK_ERROR_DEVICE_LOST &&
           (strcmp(name, "WaitForFences") == 0 || strcmp(name, "DeviceWaitIdle") == 0);
}

#define X(name)                                                                                                        \
    static VkResult VKAPI_CALL fake_##name(PARAMS_##name)                                                              \
    {                                                                                                                  \
        const bool fails = injected();                                                                                 \
        if (fails && waits(#name)) (void)faults.real.name(ARGS_##name);                                                \
        if (fails) return faults.result;                                                                               \
        const VkResult result = faults.real.name(ARGS_##name);                                                         \
        if (result == VK_SUCCESS) faults.alive += makes(#name);                                                        \
        return result;                                                                                                 \
    }
VK_FALLIBLE_MAP(X)
#undef X

#define DESTROY_MAP(X)                                                                                                 \
    X(DestroyBuffer, VkBuffer)                                                                                         \
    X(DestroyBufferView, VkBufferView)                                                                                 \
    X(FreeMemory, VkDeviceMemory)                                                                                      \
    X(DestroyCommandPool, VkCommandPool)                                                                               \
    X(DestroyFence, VkFence)                                                                                           \
    X(DestroyShaderModule, VkShaderModule)                                                                             \
    X(DestroyDescriptorSetLayout, VkDescriptorSetLayout)                                                               \
    X(DestroyPipelineLayout, VkPipelineLayout)                                                                         \
    X(DestroyPipelineCache, VkPipelineCache)                                                                           \
    X(DestroyPipeline, VkPipeline)                                                                                     \
    X(DestroyDescriptorPool, VkDescriptorPool)                                                                         \
    X(DestroyQueryPool, VkQueryPool)

#define X(name, kind)                                                                                                  \
    static void VKAPI_CALL fake_##name(VkDevice a, kind b, const VkAllocationCallbacks *c)                             \
    {                                                                                                                  \
        faults.alive--;                                                                                                \
        faults.real.name(a, b, c);                                                                                     \
    }
DESTROY_MAP(X)
#undef X

static void VKAPI_CALL fake_DestroyInstance(VkInstance a, const VkAllocationCallbacks *b)
{
    faults.alive--;
    faults.real.DestroyInstance(a, b);
}

static void VKAPI_CALL fake_DestroyDevice(VkDevice a, const VkAllocationCallbacks *b)
{
    faults.alive--;
    faults.real.DestroyDevice(a, b);
}

/* Replaces what has been loaded since the last time. */
void faults_put(void *context, struct vk_functions *f)
{
    (void)context;
#define X(name)                                                                                                        \
    if (f->name && f->name != fake_##name) {                                                                           \
        faults.real.name = f->name;                                                                                    \
        f->name = fake_##name;                                                                                         \
    }
    VK_FALLIBLE_MAP(X)
    X(DestroyInstance)
    X(DestroyDevice)
#define Y(name, kind) X(name)
    DESTROY_MAP(Y)
#undef Y
#undef X
}

void faults_at(int call, VkResult result, bool for_good)
{
    faults.calls = 0;
    faults.fail_at = call;
    faults.result = result;
    faults.for_good = for_good;
}

int faults_calls(void)
{
    return faults.calls;
}

int faults_alive(void)
{
    return faults.alive;
}
#else
typedef int faults_are_of_vulkan; /* C wants something in every file. */
#endif
