/* SPDX-License-Identifier: MIT
 *
 * The Vulkan backend around its kernels: graphs against the CPU, commands that are recorded once, what it refuses and
 * with what sentence, and which device it chooses. Where: tests/support/device.h.
 */
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

enum { WIDTH = 24, SIDE = 9, BATCH = 2, VOCABULARY = 11, TOKENS = 5 };

struct fixture {
    struct backend *cpu, *vulkan;
};

static void must(enum status status, const struct error *err)
{
    if (status != STATUS_OK) fail_msg("%s", err->text);
}

/* ---- counting ---- */

static struct {
    PFN_vkBeginCommandBuffer begin;
    int count;
} counted;

static VkResult VKAPI_CALL count_begin(VkCommandBuffer commands, const VkCommandBufferBeginInfo *info)
{
    counted.count++;
    return counted.begin(commands, info);
}

static void on_loaded(void *context, struct vk_functions *f)
{
    (void)context;
    if (!f->BeginCommandBuffer) return;
    counted.begin = f->BeginCommandBuffer;
    f->BeginCommandBuffer = count_begin;
}

static const struct vk_hook hook = {.loaded = on_loaded};

/* ---- a graph with a bit of everything ---- */

static float draw(const char *name, int64_t i)
{
    uint32_t h = 2166136261u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 16777619u;
    h = (h ^ (uint32_t)i) * 2654435761u;
    h ^= h >> 15;
    h *= 2246822519u;
    return (float)(h >> 8) * 0x1p-23f - 1.0f;
}

static struct node *constant(struct graph *g, const char *name, struct shape shape)
{
    float values[4096];
    const int64_t n = shape_count(shape);
    assert_true(n <= 4096);
    for (int64_t i = 0; i < n; i++) values[i] = 0.3f * draw(name, i);
    return graph_constant(g, shape, values);
}

/* A residual block on pictures, a self-attention over their pixels, and tokens added: fusion, work over dying
 * operands, branches and reshapes. */
static void build(struct graph *g, int64_t B)
{
    const int64_t C = WIDTH;
    struct node *x = graph_input(g, "x", DTYPE_F32, SHAPE(B, SIDE, SIDE, C));
    struct node *ids = graph_input(g, "ids", DTYPE_I32, SHAPE(B, TOKENS));
    const struct conv same = {.stride = 1, .pad = PAD(1)};
    const struct norm norm = {.groups = 4, .eps = 1e-5f};
    struct node *h = graph_unary(g, graph_group_norm(g, x, NULL, NULL, norm), UNARY_SILU);
    h = graph_conv2d(g, h, constant(g, "w1", SHAPE(4, 3, 3, C)), constant(g, "b1", SHAPE(4)), same);
    h = graph_unary(g, h, UNARY_GELU);
    h = graph_conv2d(g, h, constant(g, "w2", SHAPE(C, 3, 3, 4)), NULL, same);
    x = graph_add(g, x, h);
    struct node *t = graph_reshape(g, x, SHAPE(B, SIDE * SIDE, C));
    struct node *q = graph_linear(g, graph_layer_norm(g, t, NULL, NULL, 1e-5f), constant(g, "q", SHAPE(C, C)), NULL);
    struct node *tokens = graph_embedding(g, ids, constant(g, "table", SHAPE(VOCABULARY, C)));
    struct node *a = graph_attention(g, q, tokens, tokens, (struct attention){.heads = 3});
    t = graph_add(g, graph_linear(g, a, constant(g, "o", SHAPE(C, C)), constant(g, "ob", SHAPE(C))), t);
    struct node *y = graph_upsample(g, graph_reshape(g, t, x->shape), 2);
    y = graph_concat(g, y, graph_scale(g, y, -0.5f, 1), 3);
    graph_output(g, "y", graph_average_pool(g, y, 3, 2));
    graph_output(g, "sum", graph_reduce(g, REDUCE_SUM, y, 15));
}

struct result {
    float y[BATCH * SIDE * SIDE * 2 * WIDTH], sum;
};

static void fill(float *x, int32_t *ids, int64_t B, int number)
{
    for (int64_t i = 0; i < B * SIDE * SIDE * WIDTH; i++) x[i] = draw("x", i + 1000 * number);
    for (int64_t i = 0; i < B * TOKENS; i++) ids[i] = (int32_t)((i + number) % VOCABULARY);
}

static void run_once(struct exec *exec, int64_t B, int number, struct result *result)
{
    static float x[BATCH * SIDE * SIDE * WIDTH];
    int32_t ids[BATCH * TOKENS];
    struct error err = {0};
    fill(x, ids, B, number);
    must(exec_write(exec, "x", x, &err), &err);
    must(exec_write(exec, "ids", ids, &err), &err);
    must(exec_run(exec, &err), &err);
    must(exec_read(exec, "y", result->y, &err), &err);
    must(exec_read(exec, "sum", &result->sum, &err), &err);
}

static void compare(const struct result *got, const struct result *want, int64_t B)
{
    for (int64_t i = 0; i < B * (SIDE - 1) * (SIDE - 1) * 2 * WIDTH; i++)
        if (!(fabsf(got->y[i] - want->y[i]) <= 1e-5f))
            fail_msg("element %lld is %.8g and on the CPU %.8g", (long long)i, (double)got->y[i], (double)want->y[i]);
    assert_true(fabsf(got->sum - want->sum) <= 1e-5f * fmaxf(1, fabsf(want->sum)));
}

static void check_graph(struct fixture *f)
{
    static struct result got, want;
    struct graph g[2] = {0};
    struct exec *exec[2];
    struct error err = {0};
    for (int i = 0; i < 2; i++) {
        build(&g[i], BATCH);
        must(exec_create(&exec[i], &g[i], i ? f->vulkan : f->cpu, 0, &err), &err);
    }
    for (int number = 0; number < 3; number++) {
        run_once(exec[0], BATCH, number, &want);
        counted.count = 0;
        run_once(exec[1], BATCH, number, &got);
        /* Recorded for the first run alone; but copies through the staging buffer are recorded each time. */
        if (!vulkan_backend_context(f->vulkan)->memory.always_staged) assert_int_equal(counted.count > 0, number == 0);
        compare(&got, &want, BATCH);
    }
    for (int i = 0; i < 2; i++) {
        exec_destroy(exec[i]);
        graph_clear(&g[i]);
    }
}

static void test_graph_as_on_cpu(void **state)
{
    check_graph(*state);
}

/* The same where host and device do not share memory, with values larger than the staging buffer. */
static void test_staged(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    const size_t bytes = 40 << 20;
    vulkan_backend_context(f->vulkan)->memory.always_staged = true;
    check_graph(f);
    unsigned char *values = test_malloc(bytes), *back = test_malloc(bytes);
    for (size_t i = 0; i < bytes; i++) values[i] = (unsigned char)(i * 2654435761u >> 24);
    struct buffer *buffer = f->vulkan->f->alloc(f->vulkan, bytes, &err);
    assert_non_null(buffer);
    must(f->vulkan->f->upload(f->vulkan, buffer, 3, values + 3, bytes - 3, &err), &err);
    must(f->vulkan->f->upload(f->vulkan, buffer, 0, values, 3, &err), &err);
    must(f->vulkan->f->download(f->vulkan, back, buffer, 0, bytes, &err), &err);
    assert_memory_equal(values, back, bytes);
    f->vulkan->f->free(f->vulkan, buffer);
    test_free(values);
    test_free(back);
    vulkan_backend_context(f->vulkan)->memory.always_staged = false;
}

/* Plans die and others come to lie at their address; weights move. Whatever runs must be what was asked for. */
static void test_plans_die(void **state)
{
    struct fixture *f = *state;
    static struct result got, want;
    for (int round = 0; round < 4; round++) {
        const int64_t B = 1 + round % 2;
        struct graph g[2] = {0};
        struct exec *exec[2];
        struct error err = {0};
        for (int i = 0; i < 2; i++) {
            build(&g[i], B);
            must(exec_create(&exec[i], &g[i], i ? f->vulkan : f->cpu, 0, &err), &err);
            run_once(exec[i], B, round, i ? &got : &want);
        }
        compare(&got, &want, B);
        for (int i = 0; i < 2; i++) {
            exec_destroy(exec[i]);
            graph_clear(&g[i]);
        }
    }
}

/* One arena serves two plans in turn. */
static void test_two_plans_in_one_arena(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct graph g[2] = {0};
    struct plan *plan[2];
    float x[8], y[8];
    for (int i = 0; i < 8; i++) x[i] = (float)i - 3;
    for (int i = 0; i < 2; i++) {
        struct node *in = graph_input(&g[i], "x", DTYPE_F32, SHAPE(2, 4));
        graph_output(&g[i], "y", graph_scale(&g[i], in, i ? 3.0f : 2.0f, 0));
        must(plan_create(&plan[i], &g[i], f->vulkan, &err), &err);
    }
    struct buffer *arena = f->vulkan->f->alloc(f->vulkan, 4096, &err);
    for (int round = 0; round < 4; round++) {
        const int i = round % 2;
        const size_t out = plan[i]->offsets[g[i].outputs[0]->index];
        must(f->vulkan->f->upload(f->vulkan, arena, plan[i]->offsets[0], x, sizeof x, &err), &err);
        must(f->vulkan->f->run(f->vulkan, plan[i], arena, &err), &err);
        must(f->vulkan->f->download(f->vulkan, y, arena, out, sizeof y, &err), &err); /* waits by itself */
        for (int k = 0; k < 8; k++) assert_true(y[k] == x[k] * (i ? 3.0f : 2.0f));
    }
    f->vulkan->f->free(f->vulkan, arena);
    for (int i = 0; i < 2; i++) {
        plan_destroy(plan[i]);
        graph_clear(&g[i]);
    }
}

/* ---- refusals ---- */

static void test_bad_ids(void **state)
{
    struct fixture *f = *state;
    static struct result result;
    static float x[BATCH * SIDE * SIDE * WIDTH];
    int32_t ids[BATCH * TOKENS];
    const int32_t bad[] = {VOCABULARY, -1, INT32_MAX, INT32_MIN};
    struct graph g = {0};
    struct exec *exec;
    struct error err = {0};
    build(&g, BATCH);
    must(exec_create(&exec, &g, f->vulkan, 0, &err), &err);
    for (int i = 0; i < 4; i++) {
        char sentence[96];
        fill(x, ids, BATCH, i);
        ids[7] = ids[9] = bad[i];
        must(exec_write(exec, "x", x, &err), &err);
        must(exec_write(exec, "ids", ids, &err), &err);
        assert_int_equal(exec_run(exec, &err), STATUS_ARGUMENT);
        snprintf(sentence, sizeof sentence, "id %d at place 7 is not in the embedding's table of %d rows", bad[i],
                 VOCABULARY);
        assert_string_equal(err.text, sentence);
        error_clear(&err);
    }
    run_once(exec, BATCH, 0, &result); /* and then it is well again */
    exec_destroy(exec);
    graph_clear(&g);
}

/* A device with small limits: what does not fit is refused before anything runs, with the numbers. */
static void test_limits(void **state)
{
    struct fixture *f = *state;
    struct vk_caps *caps = &vulkan_backend_context(f->vulkan)->device->caps;
    const struct vk_caps before = *caps;
    struct graph g[3] = {0};
    struct plan *plan;
    struct error err = {0};
    caps->storage_range = 1 << 20;
    graph_output(&g[0], "y", graph_scale(&g[0], graph_input(&g[0], "x", DTYPE_F32, SHAPE(1, 1024, 513)), 2, 0));
    assert_int_equal(plan_create(&plan, &g[0], f->vulkan, &err), STATUS_UNSUPPORTED);
    assert_string_equal(err.text, "the vulkan backend has no scale with a result [1, 1024, 513] and these operands: a "
                                  "value has 2.0 MiB and the device lets a kernel see 1.0 MiB of one");
    *caps = before;
    error_clear(&err);
    caps->loop_limit = 100;
    struct node *x = graph_input(&g[1], "x", DTYPE_F32, SHAPE(1, 4, 4, 128));
    graph_output(&g[1], "y",
                 graph_conv2d(&g[1], x, graph_param(&g[1], "w", PARAM_CONV, SHAPE(2, 3, 3, 128)), NULL,
                              (struct conv){.stride = 1, .pad = PAD(1)}));
    assert_int_equal(plan_create(&plan, &g[1], f->vulkan, &err), STATUS_UNSUPPORTED);
    assert_non_null(strstr(err.text, "times and this device stops loops at 100"));
    *caps = before;
    error_clear(&err);
    caps->allocation_bytes = 1 << 16;
    assert_null(f->vulkan->f->alloc(f->vulkan, 1 << 17, &err));
    assert_int_equal(err.status, STATUS_NO_MEMORY);
    assert_non_null(strstr(err.text, "gives at most 0.1 MiB in one piece"));
    *caps = before;
    for (int i = 0; i < 3; i++) graph_clear(&g[i]);
}

static struct node *input(struct graph *g, const char *name, struct shape shape)
{
    return graph_input(g, name, DTYPE_F32, shape);
}

/* The largest things that Stable Diffusion and its training come to, and beyond. */
static void build_large(struct graph *g)
{
    const struct conv same = {.stride = 1, .pad = PAD(1)};
    struct node *pixels = input(g, "pixels", SHAPE(1, 512, 512, 128)), *q = input(g, "q", SHAPE(2, 4096, 320));
    struct node *wide = input(g, "wide", SHAPE(1, 4096, 512)), *long_q = input(g, "long", SHAPE(1, 16384, 320));
    struct node *many = input(g, "many", SHAPE(16, 64, 64, 320)), *rows = input(g, "rows", SHAPE(65536, 320));
    graph_conv2d(g, input(g, "deep", SHAPE(2, 16, 16, 2560)), input(g, "w", SHAPE(1280, 3, 3, 2560)), NULL, same);
    graph_conv2d(g, pixels, input(g, "w3", SHAPE(3, 3, 3, 128)), NULL, same);
    graph_conv2d_transpose(g, input(g, "little", SHAPE(1, 64, 64, 1280)), input(g, "wt", SHAPE(1280, 4, 4, 320)), NULL,
                           (struct conv){.stride = 2});
    graph_conv2d_weight(g, many, many, 3, 3, same);
    graph_attention(g, q, q, q, (struct attention){.heads = 8});
    graph_attention(g, wide, wide, wide, (struct attention){.heads = 1});
    graph_attention(g, long_q, long_q, long_q, (struct attention){.heads = 8});
    graph_linear(g, rows, input(g, "lw", SHAPE(320, 320)), NULL);
    graph_linear(g, input(g, "x", SHAPE(1, 100000)), input(g, "xw", SHAPE(7, 100000)), NULL);
    graph_matmul(g, rows, rows, true, false);
    graph_group_norm(g, pixels, NULL, NULL, (struct norm){.groups = 32, .eps = 1e-5f});
    graph_norm_gradient(g, pixels, pixels, (struct norm){.groups = 32, .eps = 1e-5f});
    graph_softmax(g, pixels, 1);
    for (unsigned axes = 1; axes < 16; axes++) graph_reduce(g, REDUCE_SUM, pixels, axes);
    graph_scatter(g, graph_input(g, "ids", DTYPE_I32, SHAPE(1, 90000)), input(g, "table", SHAPE(1, 90000, 16)), 1000);
}

/* Mesa's software device of Debian 12 stops loops without a word; no kernel may come to that, whatever the shape. */
static void test_loops(void **state)
{
    struct fixture *f = *state;
    const struct vk_caps *caps = &vulkan_backend_context(f->vulkan)->device->caps;
    if (caps->class != VK_CLASS_CPU) {
        print_message("left out: this device is no software, which alone stops loops\n");
        skip();
    }
    assert_int_equal(caps->loop_limit, 65000);
    struct graph g = {0};
    build_large(&g);
    if (g.error.status != STATUS_OK) fail_msg("%s", g.error.text);
    for (int i = 0; i < g.count; i++)
        for (int simple = 0; simple < 2 && g.nodes[i]->op != OP_INPUT; simple++) {
            static struct vk_job job;
            char reason[BACKEND_REASON_BYTES];
            const struct vk_choice choice = {.simple_only = simple};
            if (!vk_kernel_find(caps, g.nodes[i], &choice, &job, reason, sizeof reason))
                fail_msg("%s: %s", op_name(g.nodes[i]->op), reason);
            for (int k = 0; k < job.count; k++) assert_true(job.dispatches[k].loops < caps->loop_limit);
        }
    graph_clear(&g);
}

/* Sums that are longer than a loop may be, and so are cut into parts. */
static void test_long_sums(void **state)
{
    enum { LENGTH = 70000, ROWS = 3, COLUMNS = 5 };
    struct fixture *f = *state;
    struct error err = {0};
    float *x = test_malloc((ROWS + COLUMNS) * LENGTH * sizeof *x), y[2][2][ROWS * COLUMNS];
    for (int i = 0; i < (ROWS + COLUMNS) * LENGTH; i++) x[i] = draw("x", i);
    f->vulkan->plain = true;
    for (int i = 0; i < 2; i++) {
        struct graph g = {0};
        struct exec *exec;
        struct node *a = input(&g, "a", SHAPE(ROWS, LENGTH)), *b = input(&g, "b", SHAPE(COLUMNS, LENGTH));
        struct node *linear = graph_unary(&g, graph_linear(&g, a, b, constant(&g, "c", SHAPE(COLUMNS))), UNARY_SILU);
        graph_output(&g, "linear", graph_add(&g, linear, constant(&g, "r", SHAPE(ROWS, COLUMNS))));
        graph_output(&g, "matmul", graph_matmul(&g, a, b, false, true));
        must(exec_create(&exec, &g, i ? f->vulkan : f->cpu, 0, &err), &err);
        must(exec_write(exec, "a", x, &err), &err);
        must(exec_write(exec, "b", x + ROWS * LENGTH, &err), &err);
        must(exec_run(exec, &err), &err);
        must(exec_read(exec, "linear", y[i][0], &err), &err);
        must(exec_read(exec, "matmul", y[i][1], &err), &err);
        exec_destroy(exec);
        graph_clear(&g);
    }
    f->vulkan->plain = false;
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < ROWS * COLUMNS; i++)
            if (!(fabsf(y[0][k][i] - y[1][k][i]) <= 1e-2f))
                fail_msg("sum %d is %.8g and on the CPU %.8g", i, (double)y[1][k][i], (double)y[0][k][i]);
    test_free(x);
}

static void test_choice_of_device(void **state)
{
    (void)state;
    struct backend *backend;
    struct error err = {0};
    struct backend_options options = {.device = "no such device"};
    assert_int_equal(backend_open(&backend, "vulkan", &options, &err), STATUS_ARGUMENT);
    assert_non_null(strstr(err.text, "there is no Vulkan device 'no such device'"));
    error_clear(&err);
    options.device = "99";
    assert_int_equal(backend_open(&backend, "vulkan", &options, &err), STATUS_ARGUMENT);
    error_clear(&err);
    options.device = "0";
    must(backend_open(&backend, "vulkan", &options, &err), &err);
    backend->f->close(backend);
    /* A software device runs only when it is named. */
    options.device = NULL;
    if (backend_open(&backend, "vulkan", &options, &err) != STATUS_OK) {
        assert_int_equal(err.status, STATUS_UNSUPPORTED);
        assert_non_null(strstr(err.text, "which runs when it is named"));
        return;
    }
    assert_int_not_equal(vulkan_backend_context(backend)->device->caps.class, VK_CLASS_CPU);
    backend->f->close(backend);
}

int main(void)
{
    struct fixture f = {0};
    struct error err = {0};
    const struct backend_options options = {.device = device_for_tests(), .threads = 1};
    if (vulkan_backend_open_hooked(&f.vulkan, &options, &hook, &err) != STATUS_OK) {
        fprintf(stderr, "skipped: %s\n", err.text);
        return DEVICE_SKIPPED;
    }
    if (backend_open(&f.cpu, "cpu", &options, &err) != STATUS_OK) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_graph_as_on_cpu, &f),
        cmocka_unit_test_prestate(test_staged, &f),
        cmocka_unit_test_prestate(test_plans_die, &f),
        cmocka_unit_test_prestate(test_two_plans_in_one_arena, &f),
        cmocka_unit_test_prestate(test_bad_ids, &f),
        cmocka_unit_test_prestate(test_limits, &f),
        cmocka_unit_test_prestate(test_loops, &f),
        cmocka_unit_test_prestate(test_long_sums, &f),
        cmocka_unit_test_prestate(test_choice_of_device, &f),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    f.vulkan->f->close(f.vulkan);
    f.cpu->f->close(f.cpu);
    return failed;
}
