/* SPDX-License-Identifier: MIT */
#include "tests/support/cases.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const int64_t awkward[] = {1, 3, 7, 17, 31, 33, 65};
enum { AWKWARD = sizeof awkward / sizeof *awkward };

/* ---- values ---- */

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* A leaf's name says what its values are like. */
static float draw(const char *name, uint64_t i)
{
    const float u = (float)(mix((uint64_t)name[0] * 0x9E3779B97F4A7C15u + i) >> 40) * 0x1p-23f - 1.0f;
    if (strcmp(name, "positive") == 0) return fabsf(u) + 0.1f;
    if (strcmp(name, "shifted") == 0) return u + 50;
    if (strcmp(name, "loud") == 0) return u * 8;
    return u;
}

struct case_value case_value_make(const struct node *leaf, int64_t ids)
{
    const int64_t n = shape_count(leaf->shape);
    struct case_value v = {.bytes = dtype_bytes(leaf->dtype, (size_t)n)};
    v.stored = test_malloc(v.bytes);
    v.exact = test_malloc((size_t)n * sizeof *v.exact);
    float *values = test_malloc((size_t)n * sizeof *values);
    if (leaf->dtype == DTYPE_I32) {
        int32_t *to = v.stored;
        for (int64_t i = 0; i < n; i++) to[i] = (int32_t)(mix((uint64_t)i) % (uint64_t)ids);
    } else {
        for (int64_t i = 0; i < n; i++) values[i] = draw(leaf->name, (uint64_t)i);
        dtype_from_f32(v.stored, leaf->dtype, values, (size_t)n);
    }
    dtype_to_f32(values, v.stored, leaf->dtype, 0, (size_t)n);
    for (int64_t i = 0; i < n; i++) v.exact[i] = (double)values[i];
    test_free(values);
    return v;
}

void case_value_clear(struct case_value *value)
{
    test_free(value->stored);
    test_free(value->exact);
}

void case_print(const struct node *node)
{
    char text[SHAPE_TEXT_BYTES];
    print_message("%s -> %s, operands", op_name(node->op), shape_text(node->shape, text));
    for (int i = 0; i < node->inputs; i++)
        if (node->input[i])
            print_message(" %s %s", dtype_name(node->input[i]->dtype), shape_text(node->input[i]->shape, text));
    print_message("\n");
}

void case_check_same(const struct node *node, const float *got, const float *want, int64_t n, const char *table,
                     const char *what, int number)
{
    if (memcmp(got, want, (size_t)n * sizeof *got) == 0) return;
    case_print(node);
    int64_t at = 0;
    while (memcmp(&got[at], &want[at], sizeof *got) == 0) at++;
    fail_msg("%s kernel, %s %d: element %lld is %a and was %a", table, what, number, (long long)at, (double)got[at],
             (double)want[at]);
}

void case_check_near(const struct node *node, const float *got, const double *want, const char *table)
{
    const int64_t n = shape_count(node->shape);
    double largest = 0;
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs(want[i]));
    const bool by_element = node->op == OP_UNARY || node->op == OP_GEGLU || node->op == OP_BINARY;
    const double allowed = (by_element ? 1e-6 : 1e-5) * fmax(largest, 1e-3);
    for (int64_t i = 0; i < n; i++) {
        /* A half has 11 bits, and below 2^-14 steps of 2^-24; it ends at 65504. */
        const double rounding = node->dtype == DTYPE_F16 ? ldexp(fabs(want[i]), -11) + ldexp(1, -25) : 0;
        if (fabs((double)got[i] - want[i]) <= allowed + rounding) continue;
        if (node->dtype == DTYPE_F16 && fabs(want[i]) >= 65504 && isinf(got[i])) continue;
        case_print(node);
        fail_msg("%s kernel: element %lld is %.9g and should be %.9g (%.1e off, %.1e allowed)", table, (long long)i,
                 (double)got[i], want[i], fabs((double)got[i] - want[i]), allowed);
    }
}

void case_set_dtypes(const struct node *node, const struct case_spec *s)
{
    for (int i = 0; i < node->inputs; i++)
        if (node->input[i] && node->input[i]->op == OP_PARAM && i == 1 && s->dtype != DTYPE_COUNT)
            node->input[i]->dtype = s->dtype;
}

/* ---- builders ---- */

static struct node *input(struct graph *g, const char *name, struct shape shape)
{
    return graph_input(g, name, DTYPE_F32, shape);
}

static struct node *param(struct graph *g, const char *name, struct shape shape)
{
    return graph_param(g, name, PARAM_PLAIN, shape);
}

/* What fusion would have set. */
static struct node *fused(struct graph *g, struct node *product, int64_t B, const struct case_spec *s)
{
    struct shape shape = product->shape;
    product->as.gemm.act = s->act;
    if (s->residual == 0) return product;
    for (int i = 1; i < shape.rank - 1 && s->residual == 2; i++) shape.dim[i] = 1;
    shape.dim[0] = B;
    product->input[3] = input(g, "residual", shape);
    product->inputs = 4;
    return product;
}

static struct node *build_linear(struct graph *g, int64_t B, const struct case_spec *s)
{
    struct node *x = input(g, "x", s->H ? SHAPE(B, s->H, s->C) : SHAPE(B, s->C));
    struct node *bias = s->bias ? param(g, "bias", SHAPE(s->O)) : NULL;
    return fused(g, graph_linear(g, x, param(g, "w", SHAPE(s->O, s->C)), bias), B, s);
}

static struct node *build_conv(struct graph *g, int64_t B, const struct case_spec *s)
{
    struct node *x = input(g, "x", SHAPE(B, s->H, s->W, s->C));
    struct node *w = param(g, "w", SHAPE(s->O, s->kernel, s->flag ? 1 : s->kernel, s->C));
    struct node *bias = s->bias ? param(g, "bias", SHAPE(s->O)) : NULL;
    return fused(g, graph_conv2d(g, x, w, bias, (struct conv){s->stride, s->pad}), B, s);
}

static struct node *build_conv_transpose(struct graph *g, int64_t B, const struct case_spec *s)
{
    struct node *x = input(g, "x", SHAPE(B, s->H, s->W, s->C));
    struct node *w = param(g, "w", SHAPE(s->C, s->kernel, s->kernel, s->O));
    struct node *bias = s->bias ? param(g, "bias", SHAPE(s->O)) : NULL;
    return graph_conv2d_transpose(g, x, w, bias, (struct conv){s->stride, s->pad});
}

static struct node *build_matmul(struct graph *g, int64_t B, const struct case_spec *s)
{
    const bool ta = s->kind & 1, tb = s->kind & 2;
    struct node *a = input(g, "a", ta ? SHAPE(B, s->C, s->H) : SHAPE(B, s->H, s->C));
    struct node *b = input(g, "b", tb ? SHAPE(B, s->O, s->C) : SHAPE(B, s->C, s->O));
    return graph_matmul(g, a, b, ta, tb);
}

static struct node *build_attention(struct graph *g, int64_t B, const struct case_spec *s)
{
    struct node *q = input(g, s->flag ? "loud" : "q", SHAPE(B, s->H, s->C * s->kind));
    struct node *k = input(g, "k", SHAPE(B, s->S, s->C * s->kind)), *v = input(g, "v", k->shape);
    return graph_attention(g, q, k, v, (struct attention){.heads = s->kind, .causal = s->causal});
}

static struct node *build_norm(struct graph *g, int64_t B, const struct case_spec *s)
{
    const int64_t C = s->kind == OP_GROUP_NORM ? s->C * s->O : s->C;
    struct node *x = input(g, s->flag ? "shifted" : "x", s->W ? SHAPE(B, s->H, s->W, C) : SHAPE(B, s->H, C));
    struct node *w = s->bias ? param(g, "weight", SHAPE(C)) : NULL, *b = s->bias ? param(g, "bias", SHAPE(C)) : NULL;
    if (s->kind == OP_LAYER_NORM) return graph_layer_norm(g, x, w, b, 1e-5f);
    if (s->kind == OP_GROUP_NORM)
        return graph_group_norm(g, x, w, b, (struct norm){.groups = (int)s->O, .eps = 1e-5f, .act = s->act});
    struct node *mean = param(g, "mean", SHAPE(C)), *variance = param(g, "positive", SHAPE(C));
    return graph_batch_norm(g, x, w, b, mean, variance, 1e-5f);
}

static struct node *build_element(struct graph *g, int64_t B, const struct case_spec *s)
{
    const bool positive = s->kind == UNARY_LOG || s->kind == UNARY_SQRT;
    struct node *x = input(g, positive ? "positive" : s->flag ? "loud" : "x", SHAPE(B, s->H, s->C));
    if (s->kind == -1) return graph_scale(g, x, 1.75f, -0.5f);
    if (s->kind == -2) return graph_geglu(g, x);
    if (s->kind == -3) return graph_softmax(g, x, s->axis);
    if (s->kind == UNARY_LEAKY_RELU) return graph_leaky_relu(g, x, 0.2f);
    return graph_unary(g, x, (enum unary)s->kind);
}

/* `axis` tells, by its bits, in which dimensions a is 1, and above them those of b. */
static struct node *build_binary(struct graph *g, int64_t B, const struct case_spec *s)
{
    struct shape a = SHAPE(B, s->H, s->W, s->C), b = a;
    for (int i = 0; i < 4; i++) {
        if (s->axis >> i & 1) a.dim[i] = 1;
        if (s->axis >> (4 + i) & 1) b.dim[i] = 1;
    }
    /* A picture alone has its own row of a batch, but all of what is repeated over the batch. */
    struct node *x = a.dim[0] == B ? input(g, "x", a) : param(g, "x", a);
    struct node *y = b.dim[0] == B ? input(g, "positive", b) : param(g, "positive", b);
    return graph_binary(g, (enum binary)s->kind, x, y);
}

static struct node *build_embedding(struct graph *g, int64_t B, const struct case_spec *s)
{
    struct node *ids = graph_input(g, "ids", DTYPE_I32, SHAPE(B, s->H));
    return graph_embedding(g, ids, param(g, "table", SHAPE(s->S, s->C)));
}

static struct node *build_resize(struct graph *g, int64_t B, const struct case_spec *s)
{
    struct node *x = input(g, "x", SHAPE(B, s->H, s->W, s->C));
    return s->kind ? graph_average_pool(g, x, s->kernel, s->stride) : graph_upsample(g, x, s->stride);
}

static struct node *build_concat(struct graph *g, int64_t B, const struct case_spec *s)
{
    struct shape shape = SHAPE(B, s->H, s->W, s->C);
    struct node *a = input(g, "a", shape);
    shape.dim[s->axis] = s->axis ? s->O : B;
    return graph_concat(g, a, input(g, "b", shape), s->axis);
}

static struct node *build_slice(struct graph *g, int64_t B, const struct case_spec *s)
{
    struct node *x = input(g, "x", SHAPE(B, s->H, s->W, s->C));
    const int64_t extent = x->shape.dim[s->axis], start = extent / 3;
    return graph_slice(g, x, s->axis, start, extent - start - (extent > 3));
}

static struct node *build_permute(struct graph *g, int64_t B, const struct case_spec *s)
{
    int order[4] = {s->kind & 3, s->kind >> 2 & 3, s->kind >> 4 & 3, s->kind >> 6 & 3};
    return graph_permute(g, input(g, "x", SHAPE(B, s->H, s->W, s->C)), order);
}

static struct node *build_reduce(struct graph *g, int64_t B, const struct case_spec *s)
{
    return graph_reduce(g, (enum reduce)s->kind, input(g, "x", SHAPE(B, s->H, s->W, s->C)), (unsigned)s->axis);
}

static struct node *build_reshape(struct graph *g, int64_t B, const struct case_spec *s)
{
    return graph_reshape(g, param(g, "w", SHAPE(B, s->H, s->C)), SHAPE(B * s->C, s->H));
}

static struct node *build_gradient(struct graph *g, int64_t B, const struct case_spec *s)
{
    const struct shape shape = s->W ? SHAPE(B, s->H, s->W, s->C) : SHAPE(B, s->C);
    struct node *x = input(g, s->flag ? "shifted" : "positive", shape), *dy;
    const int64_t tall = (s->H + s->pad.top + s->pad.bottom - s->kernel) / (s->stride ? s->stride : 1) + 1;
    const int64_t wide = (s->W + s->pad.left + s->pad.right - s->kernel) / (s->stride ? s->stride : 1) + 1;
    struct node *ids;
    switch (s->kind) {
    case OP_NORM_GRADIENT:
        dy = input(g, "dy", x->shape);
        return graph_norm_gradient(g, x, dy, (struct norm){.groups = s->axis, .eps = 1e-5f});
    case OP_UNARY_GRADIENT:
        dy = input(g, "dy", x->shape);
        return graph_unary_gradient(g, x, dy, (enum unary)s->axis, 0.2f);
    case OP_CONV2D_WEIGHT:
        dy = input(g, "dy", SHAPE(B, tall, wide, s->O));
        return graph_conv2d_weight(g, x, dy, s->kernel, s->kernel, (struct conv){s->stride, s->pad});
    case OP_SCATTER:
        ids = graph_input(g, "ids", DTYPE_I32, SHAPE(B, s->H));
        return graph_scatter(g, ids, input(g, "rows", SHAPE(B, s->H, s->C)), s->S);
    case OP_PAD: return graph_pad(g, x, s->axis, s->O, x->shape.dim[s->axis] + s->O + 2);
    default: return graph_broadcast(g, input(g, "x", SHAPE(B, s->H, 1, s->flag ? 1 : s->C)), x->shape);
    }
}

/* ---- cases ---- */

/* Turns a counter into the options of a product, with cycles of lengths that share no factor. */
static struct case_spec vary_product(struct case_spec s, int number)
{
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    static const enum unary acts[] = {UNARY_NONE,       UNARY_SILU,      UNARY_NONE, UNARY_GELU,
                                      UNARY_QUICK_GELU, UNARY_GELU_TANH, UNARY_RELU};
    static const int residuals[] = {0, 1, 2, 0, 1};
    s.dtype = dtypes[number % 3];
    s.residual = s.H ? residuals[number % 5] : residuals[number % 2];
    s.act = acts[number % 7];
    s.bias = number % 4 != 0;
    return s;
}

/* In both types of blocks, of which the weight's rows must be whole ones. */
static void check_blocks(case_check *check, void *context, case_builder *build, struct case_spec s, int number)
{
    s = vary_product(s, number);
    s.dtype = DTYPE_Q8_0;
    check(context, build, s);
    s.dtype = DTYPE_Q4_0;
    check(context, build, s);
}

void cases_linear(case_check *check, void *context)
{
    int number = 0;
    for (int h = -1; h < AWKWARD; h++)
        for (int c = 0; c < AWKWARD; c++)
            for (int o = 0; o < AWKWARD; o++) {
                const struct case_spec s = {.H = h < 0 ? 0 : awkward[h], .C = awkward[c], .O = awkward[o]};
                check(context, build_linear, vary_product(s, number++));
            }
    /* Inner sizes that vectors of four divide, and others around the sizes of tiles. */
    static const int64_t even[] = {4, 12, 32, 36, 64}, rows[] = {1, 15, 16, 17, 33, 64, 65},
                         outer[] = {1, 5, 31, 32, 64, 70};
    for (int h = 0; h < 7; h++)
        for (int c = 0; c < 5; c++)
            for (int o = 0; o < 6; o++) {
                const struct case_spec s = {.H = rows[h], .C = even[c], .O = outer[o]};
                if ((h + c + o) % 3 == 0) check(context, build_linear, vary_product(s, number++));
            }
    static const int64_t large[][3] = {{77, 320, 200}, {256, 130, 257}, {1, 1000, 515}, {130, 40, 1030}, {500, 9, 16}};
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 3; j++) {
            const struct case_spec s = {.H = large[i][0], .C = large[i][1], .O = large[i][2]};
            check(context, build_linear, vary_product(s, number++));
        }
    /* 288: sums are cut within a block of weights. */
    static const int64_t blocks[] = {32, 96, 288}, some[] = {0, 1, 7, 33, 65, 200}, filters[] = {1, 7, 33, 64};
    for (int h = 0; h < 6; h++)
        for (int c = 0; c < 3; c++)
            for (int o = 0; o < 4; o++) {
                const struct case_spec s = {.H = some[h], .C = blocks[c], .O = filters[o]};
                check_blocks(check, context, build_linear, s, number++);
            }
}

void cases_matmul(case_check *check, void *context)
{
    int number = 0;
    for (int h = 0; h < AWKWARD; h++)
        for (int c = 0; c < AWKWARD; c++)
            for (int o = 0; o < AWKWARD; o++) {
                const struct case_spec s = {
                    .H = awkward[h], .C = awkward[c], .O = awkward[o], .kind = number++ % 4, .dtype = DTYPE_COUNT};
                check(context, build_matmul, s);
            }
    /* Sizes that vectors of four divide, and around tiles of 16 rows and of 32 columns. */
    static const int64_t even[][3] = {{1, 4, 4},   {15, 8, 32}, {16, 12, 28}, {17, 64, 36},
                                      {33, 5, 68}, {40, 36, 5}, {64, 7, 64},  {70, 32, 132}};
    for (int i = 0; i < 8; i++)
        for (int kind = 0; kind < 4; kind++) {
            const struct case_spec s = {
                .H = even[i][0], .C = even[i][1], .O = even[i][2], .kind = kind, .dtype = DTYPE_COUNT};
            check(context, build_matmul, s);
        }
    /* So many terms of so few sums that a device with much to do at once cuts them into parts. */
    for (int kind = 0; kind < 4; kind++) {
        const struct case_spec s = {.H = 5 + kind, .C = 1100, .O = 12, .kind = kind, .dtype = DTYPE_COUNT};
        check(context, build_matmul, s);
    }
}

static int64_t pick(uint64_t *seed, const int64_t *list, int count)
{
    return list[mix(*seed += 0x9E3779B97F4A7C15u) % (uint64_t)count];
}

void cases_conv2d(case_check *check, void *context)
{
    static const int64_t kernels[] = {1, 1, 2, 3, 3, 3, 4, 5}, strides[] = {1, 1, 2, 3}, pads[] = {0, 1, 1, 2, 4};
    uint64_t seed = 1;
    for (int number = 0; number < 200; number++) {
        struct case_spec s = {.H = pick(&seed, awkward, 5),
                              .W = pick(&seed, awkward, 6),
                              .C = pick(&seed, awkward, AWKWARD),
                              .O = pick(&seed, awkward, AWKWARD),
                              .kernel = (int)pick(&seed, kernels, 8),
                              .stride = (int)pick(&seed, strides, 4)};
        s.pad = PAD((int)pick(&seed, pads, 5));
        if (number % 3 == 0) s.pad = (struct padding){.bottom = 1, .right = 1}; /* as in SD's VAE encoder */
        s.flag = number % 11 == 0;
        if (s.H + s.pad.top + s.pad.bottom < s.kernel || s.W + s.pad.left + s.pad.right < s.kernel) continue;
        check(context, build_conv, vary_product(s, number));
    }
    const struct case_spec large[] = {
        {.H = 24, .W = 25, .C = 40, .O = 48, .kernel = 3, .stride = 1, .pad = PAD(1)},
        {.H = 3, .W = 130, .C = 64, .O = 4, .kernel = 3, .stride = 1, .pad = PAD(1)},
        {.H = 16, .W = 16, .C = 96, .O = 80, .kernel = 1, .stride = 1},
        {.H = 33, .W = 31, .C = 32, .O = 33, .kernel = 3, .stride = 2, .pad = {0, 0, 1, 1}},
        {.H = 8, .W = 8, .C = 320, .O = 40, .kernel = 3, .stride = 1, .pad = PAD(1)},
        {.H = 33, .W = 31, .C = 6, .O = 70, .kernel = 3, .stride = 1, .pad = PAD(1)},
        {.H = 33, .W = 31, .C = 8, .O = 70, .kernel = 3, .stride = 1, .pad = PAD(1)},
        /* For F(4x4, 3x3): one less and one more than squares of 4, little of a square, other paddings. */
        {.H = 31, .W = 35, .C = 36, .O = 64, .kernel = 3, .stride = 1, .pad = PAD(1)},
        {.H = 33, .W = 32, .C = 64, .O = 36, .kernel = 3, .stride = 1, .pad = {0, 2, 1, 0}},
        {.H = 4, .W = 257, .C = 64, .O = 32, .kernel = 3, .stride = 1, .pad = PAD(1)}};
    for (int i = 0; i < 10; i++)
        for (int j = 0; j < 2; j++) check(context, build_conv, vary_product(large[i], i + 7 * j));
    /* So many squares that they are transformed in parts. */
    const struct case_spec parts = {.H = 44, .W = 42, .C = 48, .O = 48, .kernel = 3, .stride = 1, .pad = PAD(1)};
    check(context, build_conv, vary_product(parts, 1));
    const struct case_spec blocks[] = {{.H = 7, .W = 5, .C = 32, .O = 33, .kernel = 3, .stride = 1, .pad = PAD(1)},
                                       {.H = 17, .W = 16, .C = 160, .O = 40, .kernel = 3, .stride = 1, .pad = PAD(1)},
                                       {.H = 9, .W = 8, .C = 96, .O = 7, .kernel = 3, .stride = 2, .pad = {0, 0, 1, 1}},
                                       {.H = 3, .W = 31, .C = 64, .O = 65, .kernel = 1, .stride = 1},
                                       {.H = 6, .W = 7, .C = 32, .O = 3, .kernel = 5, .stride = 3, .pad = PAD(2)}};
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 2; j++) check_blocks(check, context, build_conv, blocks[i], i + 6 * j);
}

void cases_conv2d_transpose(case_check *check, void *context)
{
    static const int64_t kernels[] = {1, 2, 3, 4, 5}, strides[] = {1, 2, 2, 3};
    uint64_t seed = 2;
    for (int number = 0; number < 80; number++) {
        struct case_spec s = {.H = pick(&seed, awkward, 4),
                              .W = pick(&seed, awkward, 5),
                              .C = pick(&seed, awkward, AWKWARD),
                              .O = pick(&seed, awkward, AWKWARD),
                              .kernel = (int)pick(&seed, kernels, 5),
                              .stride = (int)pick(&seed, strides, 4)};
        if (number % 2 && s.kernel > 2) s.pad = (struct padding){1, 1, number % 3 != 0, 1};
        if (number % 5 == 0) s.pad.bottom = 1 - s.stride; /* rows that are added */
        s = vary_product(s, number);
        if ((s.H - 1) * s.stride + s.kernel <= 2 || (s.W - 1) * s.stride + s.kernel <= 2) continue;
        check(context, build_conv_transpose, s);
    }
    const struct case_spec large = {
        .H = 33, .W = 31, .C = 24, .O = 40, .kernel = 4, .stride = 2, .pad = PAD(1), .dtype = DTYPE_F32};
    check(context, build_conv_transpose, large);
    /* Channels that vectors of four divide. */
    for (int number = 0; number < 36; number++) {
        struct case_spec s = {.H = pick(&seed, awkward, 4),
                              .W = pick(&seed, awkward, 5),
                              .C = (int64_t[]){4, 12, 32}[number % 3],
                              .O = (int64_t[]){4, 28, 32, 36}[number % 4],
                              .kernel = (int)pick(&seed, kernels, 5),
                              .stride = (int)pick(&seed, strides, 4)};
        if (number % 2 && s.kernel > 2) s.pad = (struct padding){1, 1, number % 3 != 0, 1};
        if (number % 5 == 0) s.pad.bottom = 1 - s.stride;
        s = vary_product(s, number);
        if ((s.H - 1) * s.stride + s.kernel <= 2 || (s.W - 1) * s.stride + s.kernel <= 2) continue;
        check(context, build_conv_transpose, s);
    }
    /* Many terms of few sums. */
    const struct case_spec deep = {
        .H = 3, .W = 4, .C = 280, .O = 12, .kernel = 4, .stride = 2, .pad = PAD(1), .bias = true, .dtype = DTYPE_F16};
    check(context, build_conv_transpose, deep);
    const struct case_spec blocks[] = {{.H = 3, .W = 5, .C = 7, .O = 32, .kernel = 4, .stride = 2, .pad = PAD(1)},
                                       {.H = 7, .W = 3, .C = 33, .O = 64, .kernel = 3, .stride = 1, .pad = PAD(1)},
                                       {.H = 5, .W = 4, .C = 4, .O = 96, .kernel = 2, .stride = 2},
                                       {.H = 2, .W = 7, .C = 36, .O = 32, .kernel = 3, .stride = 3}};
    for (int i = 0; i < 4; i++) check_blocks(check, context, build_conv_transpose, blocks[i], i);
}

void cases_attention(case_check *check, void *context)
{
    static const int64_t widths[] = {1, 3, 8, 17, 40, 64, 65, 160};
    int number = 0;
    for (int t = 0; t < AWKWARD; t++)
        for (int k = 0; k < AWKWARD; k++)
            for (int w = 0; w < 8; w++) {
                const struct case_spec s = {.H = awkward[t],
                                            .S = awkward[k],
                                            .C = widths[w],
                                            .kind = 1 + number % 3,
                                            .causal = number % 2 == 0,
                                            .flag = number % 5 == 0,
                                            .dtype = DTYPE_COUNT};
                number++;
                check(context, build_attention, s);
            }
    const struct case_spec large = {.H = 300, .S = 290, .C = 40, .kind = 2, .dtype = DTYPE_COUNT};
    check(context, build_attention, large);
    const struct case_spec text = {.H = 77, .S = 77, .C = 64, .kind = 2, .causal = true, .dtype = DTYPE_COUNT};
    check(context, build_attention, text);
    const struct case_spec wide = {.H = 17, .S = 37, .C = 260, .kind = 1, .dtype = DTYPE_COUNT};
    check(context, build_attention, wide);
}

void cases_norms(case_check *check, void *context)
{
    static const enum op kinds[] = {OP_GROUP_NORM, OP_LAYER_NORM, OP_BATCH_NORM};
    int number = 0;
    for (int k = 0; k < 3; k++)
        for (int h = 0; h < AWKWARD; h++)
            for (int c = 0; c < AWKWARD; c++) {
                struct case_spec s = {.kind = (int)kinds[k], .H = awkward[h], .C = awkward[c], .dtype = DTYPE_COUNT};
                s.O = 1 + number % 5;
                s.W = number % 2 ? 3 : 0;
                s.act = number % 3 == 0 ? UNARY_SILU : UNARY_NONE;
                s.bias = k == 2 || number % 4 != 0;
                s.flag = number % 7 == 0;
                number++;
                check(context, build_norm, s);
            }
    const struct case_spec large = {.kind = OP_GROUP_NORM,
                                    .H = 70,
                                    .W = 61,
                                    .C = 10,
                                    .O = 32,
                                    .act = UNARY_SILU,
                                    .bias = true,
                                    .dtype = DTYPE_COUNT};
    check(context, build_norm, large);
    /* Groups of so many elements that they are summed in parts; narrower and wider than a workgroup. */
    static const int64_t parts[][4] = {{41, 37, 12, 3}, {60, 61, 3, 4}, {9, 11, 300, 2}, {129, 65, 1, 8}};
    for (int i = 0; i < 4; i++) {
        struct case_spec s = large;
        s.H = parts[i][0], s.W = parts[i][1], s.C = parts[i][2], s.O = parts[i][3];
        s.act = i % 2 ? UNARY_SILU : UNARY_NONE;
        s.bias = i != 2;
        s.flag = i < 2;
        check(context, build_norm, s);
    }
}

void cases_elements(case_check *check, void *context)
{
    for (int kind = -3; kind < UNARY_COUNT; kind++)
        for (int h = 0; h < AWKWARD; h += 3)
            for (int c = 0; c < AWKWARD; c++) {
                struct case_spec s = {.H = awkward[h], .C = awkward[c], .kind = kind, .dtype = DTYPE_COUNT};
                s.flag = kind != UNARY_EXP && c % 2 == 0;
                if (kind == -2) s.C *= 2;
                s.axis = kind == -3 ? 1 + c % 2 : 0;
                check(context, build_element, s);
            }
    const struct case_spec first_axis = {.H = 7, .C = 5, .kind = -3, .axis = 0, .alone = true, .dtype = DTYPE_COUNT};
    check(context, build_element, first_axis);
}

void cases_binary(case_check *check, void *context)
{
    for (int kind = BINARY_ADD; kind <= BINARY_DIV; kind++)
        for (int which = 0; which < 256; which++) {
            if (which & which >> 4 & 15) continue; /* both 1: there is no such dimension then */
            const struct case_spec s = {.H = 3,
                                        .W = 5,
                                        .C = which % 3 ? 17 : 33,
                                        .axis = which,
                                        .kind = kind,
                                        .alone = which & 0x11,
                                        .dtype = DTYPE_COUNT};
            check(context, build_binary, s);
        }
}

void cases_embedding(case_check *check, void *context)
{
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_Q8_0, DTYPE_Q4_0};
    for (int d = 0; d < 5; d++)
        for (int h = 0; h < AWKWARD; h++)
            for (int c = 0; c < AWKWARD; c++) {
                struct case_spec s = {.H = awkward[h], .C = awkward[c], .S = 1 + c * 9, .dtype = dtypes[d]};
                if (dtype_block(s.dtype) > 1) s.C = (1 + c % 3) * (int64_t)dtype_block(s.dtype);
                check(context, build_embedding, s);
            }
}

void cases_moves(case_check *check, void *context)
{
    static const int orders[] = {0 | 1 << 2 | 2 << 4 | 3 << 6, 0 | 3 << 2 | 1 << 4 | 2 << 6,
                                 0 | 2 << 2 | 3 << 4 | 1 << 6, 0 | 2 << 2 | 1 << 4 | 3 << 6,
                                 0 | 1 << 2 | 3 << 4 | 2 << 6, 3 | 2 << 2 | 1 << 4 | 0 << 6,
                                 1 | 0 << 2 | 3 << 4 | 2 << 6};
    for (int h = 0; h < AWKWARD; h += 2)
        for (int c = 0; c < AWKWARD; c++) {
            struct case_spec s = {
                .H = awkward[h], .W = 5, .C = awkward[c], .O = awkward[(c + h) % AWKWARD], .dtype = DTYPE_COUNT};
            for (s.axis = 0; s.axis < 4; s.axis++) {
                s.alone = s.axis == 0;
                check(context, build_concat, s);
                check(context, build_slice, s);
            }
            for (int i = 0; i < 7; i++) {
                s.kind = orders[i];
                s.alone = i >= 5;
                check(context, build_permute, s);
            }
            s.alone = true;
            check(context, build_reshape, s);
        }
}

void cases_resize(case_check *check, void *context)
{
    for (int h = 0; h < 5; h++)
        for (int c = 0; c < AWKWARD; c++)
            for (int factor = 1; factor <= 3; factor++) {
                struct case_spec s = {.H = awkward[h], .W = 7, .C = awkward[c], .stride = factor, .dtype = DTYPE_COUNT};
                check(context, build_resize, s);
                s.kind = 1;
                s.kernel = awkward[h] < 3 ? 1 : 1 + factor % 3;
                check(context, build_resize, s);
            }
}

void cases_reduce(case_check *check, void *context)
{
    for (int kind = REDUCE_SUM; kind <= REDUCE_MAX; kind++)
        for (int axes = 1; axes < 16; axes++)
            for (int c = 0; c < AWKWARD; c += 2) {
                const struct case_spec s = {.H = 5,
                                            .W = 7,
                                            .C = awkward[c],
                                            .axis = axes,
                                            .kind = kind,
                                            .alone = axes & 1,
                                            .dtype = DTYPE_COUNT};
                check(context, build_reduce, s);
            }
}

void cases_gradients(case_check *check, void *context)
{
    for (int h = 0; h < 5; h++)
        for (int c = 0; c < AWKWARD; c++) {
            struct case_spec s = {
                .H = awkward[h], .W = 5, .C = awkward[c], .O = c + 1, .S = 1 + 40 * h, .dtype = DTYPE_COUNT};
            s.flag = c % 2;
            s.kind = OP_BROADCAST;
            check(context, build_gradient, s);
            s.kind = OP_NORM_GRADIENT;
            s.axis = c % 3 ? (int)s.C : 1;
            check(context, build_gradient, s);
            s.W = 0; /* rows, as layer norm has them */
            s.axis = 1;
            check(context, build_gradient, s);
            s.W = 5;
            s.kind = OP_PAD;
            for (s.axis = 1; s.axis < 4; s.axis++) check(context, build_gradient, s);
            s.kind = OP_UNARY_GRADIENT;
            s.flag = false;
            for (s.axis = 0; s.axis < UNARY_COUNT; s.axis++) check(context, build_gradient, s);
            s.kind = OP_SCATTER;
            s.alone = true;
            check(context, build_gradient, s);
        }
}

void cases_conv2d_weight(case_check *check, void *context)
{
    static const int64_t kernels[] = {1, 2, 3, 3, 4, 5}, strides[] = {1, 1, 2, 3}, pads[] = {0, 1, 1, 2};
    uint64_t seed = 3;
    for (int number = 0; number < 150; number++) {
        struct case_spec s = {.kind = OP_CONV2D_WEIGHT, .alone = true, .dtype = DTYPE_COUNT};
        s.H = pick(&seed, awkward, 5);
        s.W = pick(&seed, awkward, 5);
        s.C = pick(&seed, awkward, AWKWARD);
        s.O = pick(&seed, awkward, AWKWARD);
        s.kernel = (int)pick(&seed, kernels, 6);
        s.stride = (int)pick(&seed, strides, 4);
        s.pad = number % 3 ? PAD((int)pick(&seed, pads, 4)) : (struct padding){.bottom = 1, .right = 1};
        if (s.H + s.pad.top + s.pad.bottom < s.kernel || s.W + s.pad.left + s.pad.right < s.kernel) continue;
        check(context, build_gradient, s);
    }
    const struct case_spec large = {.kind = OP_CONV2D_WEIGHT,
                                    .alone = true,
                                    .H = 17,
                                    .W = 24,
                                    .C = 96,
                                    .O = 80,
                                    .kernel = 3,
                                    .stride = 1,
                                    .pad = PAD(1),
                                    .dtype = DTYPE_COUNT};
    check(context, build_gradient, large);
    /* Channels that vectors of four divide. */
    for (int number = 0; number < 24; number++) {
        struct case_spec s = {.kind = OP_CONV2D_WEIGHT, .alone = true, .dtype = DTYPE_COUNT};
        s.H = pick(&seed, awkward, 5);
        s.W = pick(&seed, awkward, 5);
        s.C = (int64_t[]){4, 12, 32, 36}[number % 4];
        s.O = (int64_t[]){1, 16, 17}[number % 3];
        s.kernel = 1 + number % 3;
        s.stride = 1 + number % 2;
        s.pad = number % 5 ? PAD(1) : (struct padding){.bottom = 1, .right = 1};
        if (s.H + s.pad.top + s.pad.bottom < s.kernel || s.W + s.pad.left + s.pad.right < s.kernel) continue;
        check(context, build_gradient, s);
    }
    /* Few weights and many pixels, so that the pixels are cut into parts. */
    const struct case_spec tall = {.kind = OP_CONV2D_WEIGHT,
                                   .alone = true,
                                   .H = 65,
                                   .W = 33,
                                   .C = 3,
                                   .O = 5,
                                   .kernel = 3,
                                   .stride = 1,
                                   .pad = PAD(1),
                                   .dtype = DTYPE_COUNT};
    check(context, build_gradient, tall);
    struct case_spec even = tall;
    even.C = 4;
    check(context, build_gradient, even);
}
