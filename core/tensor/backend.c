/* SPDX-License-Identifier: MIT */
#include "core/tensor/backend.h"

#include "core/base/pool.h"

#include <string.h>

/* core/cpu/kernels.h; like the open functions it is known here by name only. */
double cpu_sgemm_gflops(struct pool *pool);

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
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (strcmp(backends[i].name, name) == 0) return backends[i].open(out, options ? options : &defaults, err);
#define X(name) " " #name
    return fail(err, STATUS_ARGUMENT, "there is no backend '%s'; there are:" BACKEND_MAP(X), name);
#undef X
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
