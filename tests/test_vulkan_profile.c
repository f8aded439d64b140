/* SPDX-License-Identifier: MIT
 *
 * Steps timed by a Vulkan device's own clock: nothing else changes, the times fit into the run, and clocks of few bits
 * and devices without one are dealt with. Where: tests/support/device.h.
 */
#include "core/base/clock.h"
#include "core/tensor/exec.h"
#include "core/vulkan/backend_vulkan.h"
#include "tests/support/device.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 16, LONG = 3100 };

/* ---- a clock of our own ---- */

enum { TICKS = 7 };

static struct {
    PFN_vkGetQueryPoolResults real;
    uint32_t bits; /* 0: the device's clock is read */
} fake;

/* Every stamp is TICKS after the one before, near the clock's end, and with anything in the bits that do not count. */
static VkResult VKAPI_CALL read_clock(VkDevice device, VkQueryPool pool, uint32_t first, uint32_t count, size_t bytes,
                                      void *data, VkDeviceSize stride, VkQueryResultFlags flags)
{
    const VkResult result = fake.real(device, pool, first, count, bytes, data, stride, flags);
    uint64_t *stamps = data;
    for (uint32_t i = 0; i < count && fake.bits; i++) {
        const uint64_t end = UINT64_C(1) << fake.bits;
        stamps[i] = (end - 2 * TICKS + i * TICKS) % end + (i % 3) * end;
    }
    return result;
}

static void on_loaded(void *context, struct vk_functions *f)
{
    (void)context;
    if (!f->GetQueryPoolResults) return;
    fake.real = f->GetQueryPoolResults;
    f->GetQueryPoolResults = read_clock;
}

static const struct vk_hook hook = {.loaded = on_loaded};

/* ---- running ---- */

static void must(enum status status, const struct error *err)
{
    if (status != STATUS_OK) fail_msg("%s", err->text);
}

struct times {
    const struct node *last;
    int steps;
    double end, total; /* of the last step; of all */
};

static void on_step(void *context, const struct backend_step *step)
{
    struct times *times = context;
    assert_non_null(step->kernel);
    assert_true(!times->last || step->node->index > times->last->index);
    assert_true(step->seconds >= 0 && step->begin >= times->end - 1e-9);
    times->last = step->node;
    times->steps++;
    times->total += step->seconds;
    times->end = step->begin + step->seconds;
}

static struct exec *open_exec(struct backend *backend, struct graph *g, int scales)
{
    struct exec *exec = NULL;
    struct error err = {0};
    struct node *x = graph_input(g, "x", DTYPE_F32, SHAPE(SIDE, SIDE));
    x = graph_softmax(g, graph_matmul(g, x, x, false, true), 1);
    for (int i = 0; i < scales; i++) x = graph_scale(g, x, i % 2 ? 0.5f : 2, 0);
    graph_output(g, "y", x);
    must(exec_create(&exec, g, backend, 0, &err), &err);
    return exec;
}

static void run_once(struct backend *backend, struct exec *exec, const struct backend_probe *probe, float *y)
{
    struct error err = {0};
    float x[SIDE * SIDE];
    for (int i = 0; i < SIDE * SIDE; i++) x[i] = sinf((float)i);
    must(exec_write(exec, "x", x, &err), &err);
    backend->probe = probe;
    must(exec_run(exec, &err), &err);
    must(exec_read(exec, "y", y, &err), &err);
    backend->probe = NULL;
}

/* Steps by hundreds go into one command buffer, so this is many of them. */
static void test_long_run(void **state)
{
    struct backend *vulkan = *state;
    static float got[SIDE * SIDE], want[SIDE * SIDE];
    struct graph g = {0};
    struct exec *exec = open_exec(vulkan, &g, LONG);
    run_once(vulkan, exec, NULL, want);

    struct times counted = {0};
    run_once(vulkan, exec, &(struct backend_probe){.step = on_step, .context = &counted}, got);
    assert_int_equal(counted.steps, LONG + 2);
    assert_true(counted.total == 0 && counted.end == 0);
    assert_memory_equal(got, want, sizeof got);

    const double start = clock_seconds();
    struct times times = {.end = start};
    run_once(vulkan, exec, &(struct backend_probe){.step = on_step, .context = &times, .timed = true}, got);
    assert_int_equal(times.steps, LONG + 2);
    assert_true(times.total > 0 && times.end <= clock_seconds());
    assert_true(times.total <= times.end - start);
    assert_memory_equal(got, want, sizeof got);
    run_once(vulkan, exec, NULL, got);
    assert_memory_equal(got, want, sizeof got);
    exec_destroy(exec);
    graph_clear(&g);
}

static void test_narrow_clock(void **state)
{
    struct backend *vulkan = *state;
    struct vk_device *device = vulkan_backend_context(vulkan)->device;
    const uint32_t bits = device->timestamp_bits;
    float y[SIDE * SIDE];
    struct graph g = {0};
    struct times times = {0};
    struct exec *exec = open_exec(vulkan, &g, 20);
    fake.bits = device->timestamp_bits = 36;
    run_once(vulkan, exec, &(struct backend_probe){.step = on_step, .context = &times, .timed = true}, y);
    fake.bits = 0;
    device->timestamp_bits = bits;
    const double each = TICKS * (double)device->properties.limits.timestampPeriod * 1e-9;
    assert_true(fabs(times.total - times.steps * each) < 1e-6 * times.total);
    exec_destroy(exec);
    graph_clear(&g);
}

static void test_no_clock(void **state)
{
    struct backend *vulkan = *state;
    struct vk_device *device = vulkan_backend_context(vulkan)->device;
    const uint32_t bits = device->timestamp_bits;
    float y[SIDE * SIDE];
    struct graph g = {0};
    struct times times = {0};
    struct error err = {0};
    struct exec *exec = open_exec(vulkan, &g, 2);
    run_once(vulkan, exec, NULL, y);
    device->timestamp_bits = 0;
    vulkan->probe = &(struct backend_probe){.step = on_step, .context = &times, .timed = true};
    assert_int_equal(exec_run(exec, &err), STATUS_UNSUPPORTED);
    assert_non_null(strstr(err.text, " has no clock that kernels could be timed by"));
    assert_int_equal(times.steps, 0);
    run_once(vulkan, exec, &(struct backend_probe){.step = on_step, .context = &times}, y); /* counting needs none */
    assert_int_equal(times.steps, 4);
    device->timestamp_bits = bits;
    exec_destroy(exec);
    graph_clear(&g);
}

static void test_copy(void **state)
{
    struct backend *vulkan = *state;
    static float from[1000], to[1000];
    struct error err = {0};
    double seconds = 0;
    for (int i = 0; i < 1000; i++) from[i] = (float)i;
    struct buffer *a = vulkan->f->alloc(vulkan, sizeof from, &err), *b = vulkan->f->alloc(vulkan, sizeof to, &err);
    assert_true(a && b);
    must(vulkan->f->upload(vulkan, a, 0, from, sizeof from, &err), &err);
    must(vulkan->f->copy(vulkan, b, a, sizeof from, &seconds, &err), &err);
    must(vulkan->f->download(vulkan, to, b, 0, sizeof to, &err), &err);
    assert_memory_equal(to, from, sizeof to);
    assert_true(seconds > 0 && seconds < 60);
    vulkan->f->free(vulkan, a);
    vulkan->f->free(vulkan, b);
}

int main(void)
{
    struct backend *vulkan = NULL;
    struct error err = {0};
    const struct backend_options options = {.device = device_for_tests()};
    if (vulkan_backend_open_hooked(&vulkan, &options, &hook, &err) != STATUS_OK) {
        fprintf(stderr, "skipped: %s\n", err.text);
        return DEVICE_SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_long_run, vulkan),
        cmocka_unit_test_prestate(test_narrow_clock, vulkan),
        cmocka_unit_test_prestate(test_no_clock, vulkan),
        cmocka_unit_test_prestate(test_copy, vulkan),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    vulkan->f->close(vulkan);
    return failed;
}
