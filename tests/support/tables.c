/* SPDX-License-Identifier: MIT */
#include "tests/support/tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* A table that begins as the one before it. */
static struct cpu_kernels *add(struct tables *t, const char *name)
{
    if (t->count > 0) t->list[t->count] = t->list[t->count - 1];
    t->names[t->count] = name;
    return &t->list[t->count++];
}

int tables_open(void **state)
{
    static struct tables t;
    struct error err = {0};
    t = (struct tables){0};
    cpu_kernels_best(add(&t, "reference"), true);
    cpu_kernels_blas(add(&t, "OpenBLAS"));
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool narrow = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (narrow) cpu_kernels_avx2(add(&t, "AVX2"));
    if (narrow && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        cpu_kernels_avx512(add(&t, "AVX-512"));
#endif
    struct cpu_kernels half = t.list[t.count - 1];
    if (cpu_kernels_bf16(&half)) {
#if defined(__x86_64__)
        cpu_kernels_avx512bf16(add(&t, "AVX-512 BF16"));
#endif
        *add(&t, "bf16") = half;
    }
    *state = &t;
    return pool_create(&t.pool, 2, &err) != STATUS_OK;
}

int tables_close(void **state)
{
    pool_destroy(((struct tables *)*state)->pool);
    return 0;
}

void *table_run(const struct cpu_kernels *table, struct pool *pool, const struct node *node, const void *const in[])
{
    const struct cpu_slot *slot = &table->slot[node->op];
    const size_t bytes = dtype_bytes(node->dtype, (size_t)shape_count(node->shape));
    const size_t work = slot->work ? slot->work(node, pool_threads(pool)) : 0;
    struct error err = {0};
    struct cpu_call call = {.node = node, .pool = pool, .err = &err};
    for (int i = 0; i < node->inputs; i++) call.in[i] = in[i];
    call.out = memory_alloc_raw(bytes);
    call.work = memory_alloc_raw(work);
    assert_non_null(call.out);
    assert_non_null(call.work);
    memset(call.out, 0xff, bytes);
    memset(call.work, 0xff, work);
    slot->run(&call);
    if (err.status != STATUS_OK) fail_msg("%s", err.text);
    void *result = test_malloc(bytes);
    memcpy(result, call.out, bytes);
    memory_free(call.out);
    memory_free(call.work);
    return result;
}
