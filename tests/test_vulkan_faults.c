/* SPDX-License-Identifier: MIT
 *
 * Every call into Vulkan fails in turn, once as a lost device and once for want of memory: no crash, nothing left
 * behind, and a sentence of the right kind. The same for every allocation of the host.
 */
#include "core/tensor/exec.h"
#include "core/vulkan/backend_vulkan.h"
#include "tests/support/device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NEVER = 1 << 30 };

/* ---- the functions that fail ---- */

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
static void on_loaded(void *context, struct vk_functions *f)
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

static const struct vk_hook hook = {.loaded = on_loaded};

static void fail_at(int call, VkResult result, bool for_good)
{
    faults.calls = 0;
    faults.fail_at = call;
    faults.result = result;
    faults.for_good = for_good;
}

/* ---- what is done ---- */

static struct backend_options options(void)
{
    return (struct backend_options){.device = device_for_tests()};
}

static enum status open_backend(struct backend **backend, struct error *err)
{
    const struct backend_options chosen = options();
    return vulkan_backend_open_hooked(backend, &chosen, &hook, err);
}

static void build(struct graph *g)
{
    float table[12] = {0};
    struct node *ids = graph_input(g, "ids", DTYPE_I32, SHAPE(1, 2));
    struct node *x = graph_embedding(g, ids, graph_constant(g, SHAPE(3, 4), table));
    graph_output(g, "y", graph_layer_norm(g, graph_scale(g, x, 2, 1), NULL, NULL, 1e-5f));
}

static void on_timed(void *context, const struct node *node, double seconds)
{
    (void)context, (void)node, (void)seconds;
}

/* Everything that a picture asks of a backend, on one that is open. */
static enum status use(struct backend *backend, struct error *err)
{
    static const struct backend_probe probe = {.timed = on_timed};
    const int32_t ids[2] = {2, 0};
    float y[8];
    struct graph g = {0};
    struct exec *exec = NULL;
    build(&g);
    enum status status = exec_create(&exec, &g, backend, 0, err);
    if (status == STATUS_OK) status = exec_write(exec, "ids", ids, err);
    for (int i = 0; i < 2 && status == STATUS_OK; i++) {
        backend->probe = i ? &probe : NULL;
        status = exec_run(exec, err);
    }
    backend->probe = NULL;
    if (status == STATUS_OK) status = exec_read(exec, "y", y, err);
    exec_destroy(exec);
    graph_clear(&g);
    return status;
}

static const struct {
    VkResult result;
    bool for_good; /* a lost device stays lost */
    enum status status;
    const char *words;
} kinds[] = {
    {VK_ERROR_DEVICE_LOST, true, STATUS_DEVICE, " was lost at "},
    {VK_ERROR_OUT_OF_DEVICE_MEMORY, false, STATUS_NO_MEMORY, " has no memory left for "},
    {VK_ERROR_UNKNOWN, false, STATUS_DEVICE, " failed at "},
};

static void check_sentence(enum status status, const struct error *err, int kind, int call)
{
    if (status != kinds[kind].status) fail_msg("call %d: status %s, '%s'", call, status_name(status), err->text);
    if (!strstr(err->text, kinds[kind].words)) fail_msg("call %d: '%s'", call, err->text);
    assert_non_null(strstr(err->text, "the CPU")); /* the remedy */
}

static void test_opening(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++)
        for (int call = 1;; call++) {
            struct backend *backend = NULL;
            struct error err = {0};
            fail_at(call, kinds[kind].result, kinds[kind].for_good);
            const enum status status = open_backend(&backend, &err);
            fail_at(NEVER, VK_SUCCESS, false);
            if (status == STATUS_OK) {
                backend->f->close(backend);
                assert_true(call > 6);
                break;
            }
            check_sentence(status, &err, kind, call);
            assert_int_equal(faults.alive, 0);
        }
    assert_int_equal(faults.alive, 0);
}

/* Kernels are compiled again in each round, so that this fails too. */
static void forget_kernels(struct vk_context *context)
{
    struct error err = {0};
    vk_pipelines_clear(&context->pipelines);
    if (vk_pipelines_init(&context->pipelines, context->device, &err) != STATUS_OK) fail_msg("%s", err.text);
}

static void check_running(bool staged)
{
    struct backend *backend = NULL;
    struct error err = {0};
    fail_at(NEVER, VK_SUCCESS, false);
    if (open_backend(&backend, &err) != STATUS_OK) fail_msg("%s", err.text);
    struct vk_context *context = vulkan_backend_context(backend);
    context->memory.always_staged = staged;
    for (int kind = 0; kind < 3; kind++)
        for (int call = 1;; call++) {
            error_clear(&err);
            forget_kernels(context);
            vk_buffer_destroy(&context->memory, context->memory.staging);
            context->memory.staging = NULL;
            const int alive = faults.alive - 1; /* and the cache of kernels */
            fail_at(call, kinds[kind].result, kinds[kind].for_good);
            const enum status status = use(backend, &err);
            fail_at(NEVER, VK_SUCCESS, false);
            vk_pipelines_clear(&context->pipelines);
            vk_buffer_destroy(&context->memory, context->memory.staging);
            context->memory.staging = NULL;
            if (faults.alive != alive) fail_msg("call %d: %d things are left behind", call, faults.alive - alive);
            if (status == STATUS_OK) {
                assert_true(call > 30);
                break;
            }
            check_sentence(status, &err, kind, call);
            assert_int_equal(context->device->lost, kind == 0);
            context->device->lost = false;
        }
    /* What failed for a while works again. */
    forget_kernels(context);
    error_clear(&err);
    if (use(backend, &err) != STATUS_OK) fail_msg("%s", err.text);
    backend->f->close(backend);
    assert_int_equal(faults.alive, 0);
}

static void test_running(void **state)
{
    (void)state;
    check_running(false);
    check_running(true);
}

/* A device that was lost is not asked again. */
static void test_stays_lost(void **state)
{
    (void)state;
    struct backend *backend = NULL;
    struct error err = {0};
    if (open_backend(&backend, &err) != STATUS_OK) fail_msg("%s", err.text);
    vulkan_backend_context(backend)->device->lost = true;
    assert_int_equal(use(backend, &err), STATUS_DEVICE);
    assert_non_null(strstr(err.text, " was lost at an earlier run"));
    backend->f->close(backend);
}

static void test_no_host_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct backend *backend = NULL;
        struct error err = {0};
        memory_fail_after(n);
        enum status status = open_backend(&backend, &err);
        if (status == STATUS_OK) status = use(backend, &err);
        memory_fail_after(0);
        if (backend) backend->f->close(backend);
        assert_int_equal(faults.alive, 0);
        if (status == STATUS_OK) {
            assert_true(n > 10);
            break;
        }
        assert_int_equal(status, STATUS_NO_MEMORY);
    }
}

int main(void)
{
    struct backend *backend = NULL;
    struct error err = {0};
    fail_at(NEVER, VK_SUCCESS, false);
    if (open_backend(&backend, &err) != STATUS_OK) {
        fprintf(stderr, "skipped: %s\n", err.text);
        return DEVICE_SKIPPED;
    }
    backend->f->close(backend);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opening),
        cmocka_unit_test(test_running),
        cmocka_unit_test(test_stays_lost),
        cmocka_unit_test(test_no_host_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
