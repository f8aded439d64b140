/* SPDX-License-Identifier: MIT
 *
 * Every call into Vulkan fails in turn, once as a lost device and once for want of memory: no crash, nothing left
 * behind, and a sentence of the right kind. The same for every allocation of the host.
 */
#include "core/tensor/exec.h"
#include "core/vulkan/backend_vulkan.h"
#include "tests/support/device.h"
#include "tests/support/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct vk_hook hook = {.loaded = faults_put};

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

static void on_step(void *context, const struct backend_step *step)
{
    (void)context, (void)step;
}

static enum status copy(struct backend *backend, struct error *err)
{
    enum { BYTES = 64 };
    struct buffer *from = backend->f->alloc(backend, BYTES, err), *to = NULL;
    if (from) to = backend->f->alloc(backend, BYTES, err);
    double seconds;
    const enum status status = to ? backend->f->copy(backend, to, from, BYTES, &seconds, err) : err->status;
    backend->f->free(backend, to);
    backend->f->free(backend, from);
    return status;
}

/* Everything that a picture, or measuring one, asks of a backend, on one that is open. */
static enum status use(struct backend *backend, struct error *err)
{
    static const struct backend_probe probe = {.step = on_step, .timed = true};
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
    if (status == STATUS_OK) status = exec_read(exec, "y", y, err);
    backend->probe = NULL;
    if (status == STATUS_OK) status = copy(backend, err);
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
            faults_at(call, kinds[kind].result, kinds[kind].for_good);
            const enum status status = open_backend(&backend, &err);
            faults_at(FAULTS_NEVER, VK_SUCCESS, false);
            if (status == STATUS_OK) {
                backend->f->close(backend);
                assert_true(call > 6);
                break;
            }
            check_sentence(status, &err, kind, call);
            assert_int_equal(faults_alive(), 0);
        }
    assert_int_equal(faults_alive(), 0);
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
    faults_at(FAULTS_NEVER, VK_SUCCESS, false);
    if (open_backend(&backend, &err) != STATUS_OK) fail_msg("%s", err.text);
    struct vk_context *context = vulkan_backend_context(backend);
    context->memory.always_staged = staged;
    for (int kind = 0; kind < 3; kind++)
        for (int call = 1;; call++) {
            error_clear(&err);
            forget_kernels(context);
            vk_buffer_destroy(&context->memory, context->memory.staging);
            context->memory.staging = NULL;
            const int alive = faults_alive() - 1; /* and the cache of kernels */
            faults_at(call, kinds[kind].result, kinds[kind].for_good);
            const enum status status = use(backend, &err);
            faults_at(FAULTS_NEVER, VK_SUCCESS, false);
            vk_pipelines_clear(&context->pipelines);
            vk_buffer_destroy(&context->memory, context->memory.staging);
            context->memory.staging = NULL;
            if (faults_alive() != alive) fail_msg("call %d: %d things are left behind", call, faults_alive() - alive);
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
    assert_int_equal(faults_alive(), 0);
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
        assert_int_equal(faults_alive(), 0);
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
    faults_at(FAULTS_NEVER, VK_SUCCESS, false);
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
