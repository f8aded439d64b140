/* SPDX-License-Identifier: MIT */
#include "core/tensor/backend.h"

#include "core/base/pool.h"
#include "core/tensor/graph.h"

#include <string.h>

/* core/cpu/kernels.h; like the open functions it is known here by name only. */
double cpu_sgemm_gflops(struct pool *pool);

#ifdef LIMN_VULKAN
MUST_CHECK enum status vulkan_backend_devices(struct backend_device *list, int *count, struct error *err);
#endif

static const struct {
    const char *name;
    enum status (*open)(struct backend **out, const struct backend_options *options, struct error *err);
} backends[] = {
#define X(name) {#name, name##_backend_open},
    BACKEND_MAP(X)
#undef X
};

enum status backend_open(struct backend **out, const char *name, const struct backend_options *options,
                         struct error *err)
{
    static const struct backend_options defaults = {0};
    *out = NULL;
    struct backend_options chosen = options ? *options : defaults;
    const size_t length = strcspn(name, ":");
    if (name[length] == ':') chosen.device = name + length + 1;
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (strlen(backends[i].name) == length && strncmp(backends[i].name, name, length) == 0)
            return backends[i].open(out, &chosen, err);
#define X(name) " " #name
    return fail(err, STATUS_ARGUMENT, "there is no backend '%.80s'; there are:" BACKEND_MAP(X), name);
#undef X
}

enum status backend_devices(struct backend_device list[BACKEND_MOST_DEVICES], int *count, struct error *err)
{
    *count = 0;
#ifdef LIMN_VULKAN
    return vulkan_backend_devices(list, count, err);
#else
    (void)list;
    return fail(err, STATUS_UNSUPPORTED,
                "this limn was built without Vulkan (glslc or Vulkan's headers were missing); build it again with "
                "them, or run on the CPU");
#endif
}

/* Of blocks a row is a whole number. */
static bool is_weight(const struct node *node)
{
    return dtype_stores_weights(node->dtype) && shape_dim(node->shape, -1) % (int64_t)dtype_block(node->dtype) == 0;
}

static bool dtype_fits(const struct node *node, int i)
{
    const bool half = node->input[i]->dtype == DTYPE_F16 && node->input[i]->op != OP_PARAM;
    const enum dtype dtype = half ? DTYPE_F32 : node->input[i]->dtype;
    switch (node->op) {
    case OP_EMBEDDING:
        if (i == 0) return dtype == DTYPE_I32;
        return is_weight(node->input[i]);
    case OP_SCATTER: return dtype == (i == 0 ? DTYPE_I32 : DTYPE_F32);
    case OP_LINEAR:
    case OP_CONV2D:
    case OP_CONV2D_TRANSPOSE: return dtype == DTYPE_F32 || (i == 1 && is_weight(node->input[i]));
    case OP_RESHAPE: return dtype == DTYPE_F32 || dtype == node->dtype;
    default: return dtype == DTYPE_F32;
    }
}

bool backend_takes(const struct node *node)
{
    for (int i = 0; i < node->inputs; i++)
        if (node->input[i] && !dtype_fits(node, i)) return false;
    return true;
}

enum status backend_sgemm(double *gflops, int threads, struct error *err)
{
    struct pool *pool = NULL;
    const enum status status = pool_create(&pool, threads, err);
    if (status != STATUS_OK) return status;
    *gflops = cpu_sgemm_gflops(pool);
    pool_destroy(pool);
    return *gflops > 0 ? STATUS_OK : fail_no_memory(err, "three matrices", 0);
}
