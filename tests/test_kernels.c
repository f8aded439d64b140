/* SPDX-License-Identifier: MIT
 *
 * The fast kernels against each other, at sizes where they cut their work into several pieces (test_ops.c holds them
 * to the exact results at small ones). AVX2 and AVX-512 must give the same bytes: a picture does not depend on which
 * of them painted it. Both must be near what OpenBLAS, or else the reference, gives. Products in bf16 are held to the
 * plain ones of rounded operands, by AMX and by AVX-512 BF16.
 */
#include "core/cpu/kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct cpu_kernels plain, narrow, wide; /* OpenBLAS, AVX2, AVX-512 */
    struct cpu_kernels half[2];             /* products in bf16: by AVX-512 BF16, and the best there are */
    bool has_narrow, has_wide, has_half;
    struct pool *pool;
};

/* A node and values for its operands. */
struct subject {
    struct graph graph;
    struct node *node;
    void *in[NODE_MAX_INPUTS];
};

static float *random_floats(int64_t n, float size, uint32_t seed)
{
    float *values = memory_alloc_raw((size_t)n * sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = size * ((float)(seed >> 8) / 8388608.0f - 1);
    }
    return values;
}

/* Parameters, which are weights of products, are stored as `dtype`, and small, so that results stay near 1. */
static void draw(struct subject *s, enum dtype dtype)
{
    assert_int_equal(s->graph.error.status, STATUS_OK);
    for (int i = 0; i < s->node->inputs; i++) {
        struct node *x = s->node->input[i];
        if (!x) continue;
        const int64_t n = shape_count(x->shape);
        const bool weight = x->op == OP_PARAM;
        const float size = weight ? sqrtf(3.0f * (float)x->shape.dim[0] / (float)n) : 1.5f;
        float *values = random_floats(n, size, 77u * (uint32_t)i + 5u);
        s->in[i] = values;
        if (!weight) continue;
        x->dtype = dtype;
        s->in[i] = memory_alloc_raw(dtype_bytes(dtype, (size_t)n));
        assert_non_null(s->in[i]);
        dtype_from_f32(s->in[i], dtype, values, (size_t)n);
        memory_free(values);
    }
}

static void release(struct subject *s)
{
    for (int i = 0; i < NODE_MAX_INPUTS; i++) memory_free(s->in[i]);
    graph_clear(&s->graph);
}

static float *run(const struct subject *s, const struct cpu_kernels *table, struct pool *pool)
{
    const struct cpu_slot *slot = &table->slot[s->node->op];
    const size_t bytes = (size_t)shape_count(s->node->shape) * sizeof(float);
    const size_t work = slot->work ? slot->work(s->node, pool_threads(pool)) : 0;
    struct error err = {0};
    struct cpu_call call = {.node = s->node, .pool = pool, .err = &err};
    for (int i = 0; i < NODE_MAX_INPUTS; i++) call.in[i] = s->in[i];
    call.out = memory_alloc_raw(bytes);
    call.work = memory_alloc_raw(work);
    assert_non_null(call.out);
    assert_non_null(call.work);
    memset(call.out, 0xff, bytes);
    memset(call.work, 0xff, work);
    slot->run(&call);
    assert_int_equal(err.status, STATUS_OK);
    memory_free(call.work);
    return call.out;
}

static void check_near(const float *got, const float *want, int64_t n)
{
    float largest = 0;
    for (int64_t i = 0; i < n; i++) largest = fmaxf(largest, fabsf(want[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabsf(got[i] - want[i]) <= 1e-5f * largest))
            fail_msg("element %lld is %.9g and should be near %.9g", (long long)i, (double)got[i], (double)want[i]);
}

/* Operands that are bf16 already are exact for the bf16 products too: only the order of sums tells them from the plain.
 * Those round the weights themselves, of whatever type; for the plain ones it is done here. */
static void check_bf16(const struct fixture *f, struct subject *s)
{
    struct node *const x = s->node->input[0], *const w = s->node->input[1];
    const enum op op = s->node->op;
    if (!f->has_half || (op != OP_LINEAR && op != OP_CONV2D && op != OP_CONV2D_TRANSPOSE)) return;
    float *values = s->in[0], *half[2];
    for (int64_t i = 0; i < shape_count(x->shape); i++) values[i] = bf16_to_f32(f32_to_bf16(values[i]));
    for (int i = 0; i < 2; i++) half[i] = run(s, &f->half[i], f->pool);
    const size_t n = (size_t)shape_count(w->shape);
    float *wide = memory_alloc_raw(n * sizeof *wide);
    assert_non_null(wide);
    dtype_to_f32(wide, s->in[1], w->dtype, 0, n);
    for (size_t i = 0; i < n; i++) wide[i] = bf16_to_f32(f32_to_bf16(wide[i]));
    memory_free(s->in[1]);
    s->in[1] = wide;
    w->dtype = DTYPE_F32;
    float *plain = run(s, &f->plain, f->pool);
    for (int i = 0; i < 2; i++) {
        check_near(half[i], plain, shape_count(s->node->shape));
        memory_free(half[i]);
    }
    memory_free(plain);
}

static void check(const struct fixture *f, struct subject *s, enum dtype dtype)
{
    draw(s, dtype);
    const int64_t n = shape_count(s->node->shape);
    float *plain = run(s, &f->plain, f->pool), *narrow = NULL, *wide = NULL;
    if (f->has_narrow) {
        narrow = run(s, &f->narrow, f->pool);
        check_near(narrow, plain, n);
    }
    if (f->has_wide) {
        wide = run(s, &f->wide, f->pool);
        assert_memory_equal(wide, narrow, (size_t)n * sizeof *wide);
    }
    memory_free(plain);
    memory_free(narrow);
    memory_free(wide);
    check_bf16(f, s);
    release(s);
}

static void check_conv(const struct fixture *f, struct shape x, int64_t O, int kernel, struct conv conv,
                       enum dtype dtype)
{
    struct subject s = {0};
    struct graph *g = &s.graph;
    const int64_t I = shape_dim(x, -1);
    s.node =
        graph_conv2d(g, graph_input(g, "x", DTYPE_F32, x), graph_param(g, "w", PARAM_CONV, SHAPE(O, kernel, kernel, I)),
                     graph_input(g, "b", DTYPE_F32, SHAPE(O)), conv);
    s.node->input[3] = graph_input(g, "residual", DTYPE_F32, s.node->shape);
    s.node->inputs = 4;
    check(f, &s, dtype);
}

static void test_conv2d(void **state)
{
    const struct conv same = {.stride = 1, .pad = PAD(1)};
    /* Winograd: squares in several blocks, filters in several pieces, channels in several k blocks, odd sides. */
    check_conv(*state, SHAPE(2, 31, 33, 48), 200, 3, same, DTYPE_F16);
    check_conv(*state, SHAPE(1, 16, 16, 1040), 288, 3, same, DTYPE_BF16);
    check_conv(*state, SHAPE(1, 20, 20, 33), 35, 3, (struct conv){.stride = 1, .pad = {0, 2, 1, 0}}, DTYPE_F32);
    check_conv(*state, SHAPE(2, 17, 16, 160), 200, 3, same, DTYPE_Q8_0);
    check_conv(*state, SHAPE(1, 16, 19, 416), 40, 3, same, DTYPE_Q4_0);
    /* Direct: shared weights in several pieces, and each task's own. */
    check_conv(*state, SHAPE(1, 14, 15, 1024), 544, 3, same, DTYPE_F16);
    check_conv(*state, SHAPE(2, 8, 8, 320), 328, 3, same, DTYPE_F16);
    check_conv(*state, SHAPE(1, 32, 32, 96), 1300, 1, (struct conv){.stride = 1}, DTYPE_F16);
    check_conv(*state, SHAPE(1, 33, 32, 64), 64, 3, (struct conv){.stride = 2, .pad = {0, 0, 1, 1}}, DTYPE_F32);
    check_conv(*state, SHAPE(1, 40, 40, 128), 3, 3, same, DTYPE_F16);
    check_conv(*state, SHAPE(1, 14, 15, 288), 544, 3, same, DTYPE_Q4_0);
    check_conv(*state, SHAPE(2, 8, 8, 320), 328, 3, same, DTYPE_Q8_0);
}

static void check_weight(const struct fixture *f, struct shape x, int64_t O, int64_t kernel, struct conv conv)
{
    struct subject s = {0};
    struct graph *g = &s.graph;
    struct node *pictures = graph_input(g, "x", DTYPE_F32, x);
    struct node *w = graph_param(g, "w", PARAM_CONV, SHAPE(O, kernel, kernel, shape_dim(x, -1)));
    struct node *dy = graph_input(g, "dy", DTYPE_F32, graph_conv2d(g, pictures, w, NULL, conv)->shape);
    s.node = graph_conv2d_weight(g, pictures, dy, kernel, kernel, conv);
    check(f, &s, DTYPE_F32);
}

static void test_conv2d_weight(void **state)
{
    const struct conv half = {.stride = 2, .pad = PAD(1)};
    /* Lines in pieces, the last of which is shorter; all kernel rows at once, and each by itself; a kernel row in
     * pieces, pixel by pixel; several parts, and several blocks of outputs. */
    check_weight(*state, SHAPE(2, 20, 150, 16), 40, 3, (struct conv){.stride = 1, .pad = {1, 2, 1, 0}});
    check_weight(*state, SHAPE(9, 32, 30, 64), 136, 4, half);
    check_weight(*state, SHAPE(3, 9, 9, 512), 20, 4, half);
    check_weight(*state, SHAPE(2, 7, 5, 3), 300, 3, (struct conv){.stride = 3});
}

static void check_transpose(const struct fixture *f, struct shape x, int64_t O, int64_t kernel, struct conv conv,
                            enum dtype dtype)
{
    struct subject s = {0};
    struct graph *g = &s.graph;
    const int64_t I = shape_dim(x, -1);
    s.node = graph_conv2d_transpose(g, graph_input(g, "x", DTYPE_F32, x),
                                    graph_param(g, "w", PARAM_CONV_TRANSPOSE, SHAPE(I, kernel, kernel, O)),
                                    conv.pad.top > 0 ? graph_input(g, "b", DTYPE_F32, SHAPE(O)) : NULL, conv);
    check(f, &s, dtype);
}

static void test_conv2d_transpose(void **state)
{
    const struct conv twice = {.stride = 2, .pad = PAD(1)}, same = {.stride = 1, .pad = PAD(1)};
    /* Phases whose weights all tasks share, and each task's own; a convolution, and Winograd's; few channels, in
     * several bands of lines that are longer than a piece; one pixel. */
    check_transpose(*state, SHAPE(3, 16, 17, 130), 70, 4, twice, DTYPE_F16);
    check_transpose(*state, SHAPE(2, 5, 4, 300), 300, 3, twice, DTYPE_F32);
    check_transpose(*state, SHAPE(2, 17, 18, 40), 24, 3, same, DTYPE_BF16);
    check_transpose(*state, SHAPE(2, 20, 18, 40), 48, 3, same, DTYPE_F32);
    check_transpose(*state, SHAPE(2, 19, 130, 270), 3, 4, twice, DTYPE_F16);
    check_transpose(*state, SHAPE(70, 1, 1, 100), 200, 4, (struct conv){.stride = 1}, DTYPE_F16);
}

static void test_matmul(void **state)
{
    /* Matrices, and the rows, columns and summands of each: some are cut, and some share a task's scratch. */
    static const int64_t sizes[][4] = {{1, 3000, 200, 700}, {1, 200, 700, 2500}, {6, 65, 70, 66}, {2, 300, 260, 300}};
    for (int i = 0; i < 16; i++) {
        struct subject s = {0};
        struct graph *g = &s.graph;
        const int64_t n = sizes[i / 4][0], M = sizes[i / 4][1], N = sizes[i / 4][2], K = sizes[i / 4][3];
        const bool ta = i & 1, tb = i & 2;
        struct node *a = graph_input(g, "a", DTYPE_F32, ta ? SHAPE(n, K, M) : SHAPE(n, M, K));
        struct node *b = graph_input(g, "b", DTYPE_F32, tb ? SHAPE(n, N, K) : SHAPE(n, K, N));
        s.node = graph_matmul(g, a, b, ta, tb);
        check(*state, &s, DTYPE_F32);
    }
}

static void test_linear(void **state)
{
    static const int64_t sizes[][3] = {{300, 700, 1000}, {77, 768, 640},   {1, 1280, 1280},
                                       {1030, 40, 60},   {300, 544, 1000}, {77, 288, 640}};
    static const enum dtype dtypes[] = {DTYPE_F16, DTYPE_F16, DTYPE_F16, DTYPE_F32, DTYPE_Q8_0, DTYPE_Q4_0};
    for (int i = 0; i < 6; i++) {
        struct subject s = {0};
        struct graph *g = &s.graph;
        s.node = graph_linear(g, graph_input(g, "x", DTYPE_F32, SHAPE(2, sizes[i][0], sizes[i][1])),
                              graph_param(g, "w", PARAM_PLAIN, SHAPE(sizes[i][2], sizes[i][1])), NULL);
        s.node->as.gemm.act = i % 2 ? UNARY_GELU : UNARY_NONE;
        check(*state, &s, dtypes[i]);
    }
}

static void test_attention(void **state)
{
    static const struct {
        int64_t T, S, width;
        int heads;
        bool causal;
    } cases[] = {
        {1100, 300, 80, 2, false}, {200, 77, 160, 1, false}, {150, 150, 64, 1, true}, {70, 260, 512, 1, false}};
    for (int i = 0; i < 4; i++) {
        struct subject s = {0};
        struct graph *g = &s.graph;
        const struct shape q = SHAPE(1, cases[i].T, cases[i].width), k = SHAPE(1, cases[i].S, cases[i].width);
        s.node = graph_attention(g, graph_input(g, "q", DTYPE_F32, q), graph_input(g, "k", DTYPE_F32, k),
                                 graph_input(g, "v", DTYPE_F32, k),
                                 (struct attention){.heads = cases[i].heads, .causal = cases[i].causal});
        check(*state, &s, DTYPE_F32);
    }
}

static void test_norms(void **state)
{
    for (int i = 0; i < 2; i++) {
        struct subject s = {0};
        struct graph *g = &s.graph;
        const int64_t C = i ? 1000 : 320;
        struct node *x = graph_input(g, "x", DTYPE_F32, SHAPE(2, 23, 29, C));
        struct node *weight = graph_input(g, "weight", DTYPE_F32, SHAPE(C));
        struct node *bias = graph_input(g, "bias", DTYPE_F32, SHAPE(C));
        const struct norm norm = {.groups = 20, .eps = 1e-5f, .act = UNARY_SILU};
        s.node = i ? graph_layer_norm(g, x, weight, bias, 1e-5f) : graph_group_norm(g, x, weight, bias, norm);
        check(*state, &s, DTYPE_F32);
    }
}

static void test_elements(void **state)
{
    for (int kind = 0; kind <= UNARY_COUNT; kind++) {
        if (kind == UNARY_LOG || kind == UNARY_SQRT || kind == UNARY_LEAKY_RELU) continue;
        struct subject s = {0};
        struct node *x = graph_input(&s.graph, "x", DTYPE_F32, SHAPE(3, 130, 134));
        s.node = kind == UNARY_COUNT ? graph_geglu(&s.graph, x) : graph_unary(&s.graph, x, (enum unary)kind);
        check(*state, &s, DTYPE_F32);
    }
}

static int setup(void **state)
{
    static struct fixture f;
    struct error err = {0};
    cpu_kernels_best(&f.plain, true);
    f.narrow = f.wide = f.plain;
    cpu_kernels_blas(&f.plain);
#if defined(__x86_64__)
    __builtin_cpu_init();
    f.has_narrow = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    f.has_wide = f.has_narrow && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (f.has_narrow) cpu_kernels_avx2(&f.narrow);
    if (f.has_wide) cpu_kernels_avx512(&f.wide);
#endif
    f.half[0] = f.half[1] = f.plain;
    f.has_half = f.has_wide && cpu_kernels_bf16(&f.half[1]);
#if defined(__x86_64__)
    if (f.has_half) cpu_kernels_avx512bf16(&f.half[0]);
#endif
    if (!f.has_half) print_message("this processor has no bf16 instructions: products in bf16 are not tested\n");
    *state = &f;
    return pool_create(&f.pool, 2, &err) != STATUS_OK;
}

static int teardown(void **state)
{
    pool_destroy(((struct fixture *)*state)->pool);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv2d),        cmocka_unit_test(test_conv2d_transpose), cmocka_unit_test(test_matmul),
        cmocka_unit_test(test_conv2d_weight), cmocka_unit_test(test_linear),           cmocka_unit_test(test_attention),
        cmocka_unit_test(test_norms),         cmocka_unit_test(test_elements),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
