/* SPDX-License-Identifier: MIT
 *
 * The gradient of every operation, at awkward shapes, and the gradient of that gradient: first built once and run in
 * double, against difference quotients; then run by the reference kernels and by the best ones, planned and fused,
 * against the same numbers.
 */
#include "core/tensor/exec.h"
#include "core/tensor/gradient.h"
#include "tests/support/interpret.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MOST_OPERANDS = 5, BACKENDS = 2, IDS = 4 };

/* What a case is made of; each builder uses the parts it needs. */
struct spec {
    int64_t B, H, W, C, O, S;
    int kernel, stride, axis, kind, heads;
    struct padding pad;
    bool bias, causal, flag;
};

/* A function of some operands, its loss, the gradients of that, a loss of those, and the gradients of that. */
struct problem {
    struct graph g;
    struct node *in[MOST_OPERANDS], *ids;
    int count;
    struct node *loss, *first[MOST_OPERANDS], *loss_of_first, *second[MOST_OPERANDS];
};

typedef struct node *builder(struct problem *p, const struct spec *s);

struct fixture {
    struct backend *backends[BACKENDS];
};

static double draw(uint64_t seed, uint64_t i)
{
    uint64_t z = (seed + 1) * 0x9E3779B97F4A7C15u + (i + 1) * 0xD1B54A32D192ED03u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (double)(float)((double)((z ^ z >> 31) >> 40) * 0x1p-23 - 1.0);
}

/* ---- building ---- */

/* Adds an operand. Its name says what its values are like. */
static struct node *operand(struct problem *p, const char *like, struct shape shape)
{
    char name[32];
    snprintf(name, sizeof name, "%s %d", like, p->count);
    return p->in[p->count++] = graph_input(&p->g, name, DTYPE_F32, shape);
}

static double value_of(const struct node *leaf, int64_t i)
{
    const double u = draw((uint64_t)leaf->name[strlen(leaf->name) - 1], (uint64_t)i);
    if (leaf->dtype == DTYPE_I32) return (double)((i * 5 + i / 3) % IDS);
    if (strncmp(leaf->name, "positive", 8) == 0) return fabs(u) + 0.25;
    if (strncmp(leaf->name, "off zero", 8) == 0) return u < 0 ? u - 0.125 : u + 0.125;
    if (strncmp(leaf->name, "distinct", 8) == 0) return (double)((float)(i * 7919 % 1009) / 512.0f);
    return u;
}

/* sum of y times made-up weights */
static struct node *project(struct graph *g, struct node *y, uint64_t seed)
{
    const int64_t n = shape_count(y->shape);
    float *weights = test_malloc((size_t)(n ? n : 1) * sizeof *weights);
    for (int64_t i = 0; i < n; i++) weights[i] = (float)draw(seed, (uint64_t)i);
    struct node *r = n ? graph_constant(g, y->shape, weights) : y;
    test_free(weights);
    return graph_reshape(g, graph_reduce(g, REDUCE_SUM, graph_mul(g, y, r), (1u << y->shape.rank) - 1), SHAPE(1));
}

static void build(struct problem *p, builder *function, const struct spec *s)
{
    *p = (struct problem){0};
    p->loss = project(&p->g, function(p, s), 100);
    graph_grad(&p->g, p->loss, p->in, p->count, p->first);
    for (int i = 0; i < p->count; i++) {
        struct node *part = project(&p->g, p->first[i], 200 + (uint64_t)i);
        p->loss_of_first = i ? graph_add(&p->g, p->loss_of_first, part) : part;
    }
    graph_grad(&p->g, p->loss_of_first, p->in, p->count, p->second);
    for (int i = 0; i < p->count; i++) {
        char name[32];
        snprintf(name, sizeof name, "first of %d", i);
        graph_output(&p->g, name, p->first[i]);
        snprintf(name, sizeof name, "second of %d", i);
        graph_output(&p->g, name, p->second[i]);
    }
    if (p->g.error.status != STATUS_OK) fail_msg("%s", p->g.error.text);
}

/* ---- checking ---- */

static void complain(const struct problem *p, int which, const char *what, int64_t at, double got, double want)
{
    char text[SHAPE_TEXT_BYTES];
    for (int i = 0; i < p->g.count && p->g.nodes[i]->index <= p->loss->index; i++)
        print_message("%s %s\n", op_name(p->g.nodes[i]->op), shape_text(p->g.nodes[i]->shape, text));
    fail_msg("%s, operand %d, element %lld: %.9g, and should be %.9g", what, which, (long long)at, got, want);
}

static double largest_of(const double *values, int64_t n)
{
    double largest = 0;
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs(values[i]));
    return largest;
}

/* Difference quotients of `result` against the values of the gradient nodes. */
static void check_slopes(struct problem *p, double **values, const struct node *result, struct node *const gradient[],
                         const char *what)
{
    for (int i = 0; i < p->count; i++) {
        const int64_t n = shape_count(p->in[i]->shape);
        assert_true(shape_equal(p->in[i]->shape, gradient[i]->shape));
        for (int64_t k = 0; k < n; k++) {
            interpret_run(&p->g, values, p->g.count - 1);
            const double got = values[gradient[i]->index][k];
            const double allowed = 1e-6 * fmax(largest_of(values[gradient[i]->index], n), 1);
            const double want = interpret_slope(&p->g, values, result, p->in[i], k);
            if (!(fabs(got - want) <= allowed)) complain(p, i, what, k, got, want);
        }
    }
    interpret_run(&p->g, values, p->g.count - 1);
}

static void write_leaf(struct exec *exec, const struct node *leaf)
{
    const int64_t n = shape_count(leaf->shape);
    void *values = test_malloc((size_t)n * sizeof(float));
    for (int64_t k = 0; k < n; k++) {
        if (leaf->dtype == DTYPE_I32)
            ((int32_t *)values)[k] = (int32_t)value_of(leaf, k);
        else
            ((float *)values)[k] = (float)value_of(leaf, k);
    }
    struct error err = {0};
    if (exec_write(exec, leaf->name, values, &err) != STATUS_OK) fail_msg("%s", err.text);
    test_free(values);
}

static void check_output(const struct problem *p, struct exec *exec, const char *name, int which, const double *want,
                         double limit)
{
    const int64_t n = shape_count(p->in[which]->shape);
    float *got = test_malloc((size_t)n * sizeof *got);
    struct error err = {0};
    if (exec_read(exec, name, got, &err) != STATUS_OK) fail_msg("%s", err.text);
    const double allowed = limit * fmax(largest_of(want, n), 0.1);
    for (int64_t k = 0; k < n; k++)
        if (!(fabs((double)got[k] - want[k]) <= allowed)) complain(p, which, name, k, (double)got[k], want[k]);
    test_free(got);
}

static void check_backend(struct backend *backend, builder *function, const struct spec *s, const struct problem *p,
                          double **values)
{
    struct problem again;
    build(&again, function, s);
    struct exec *exec = NULL;
    struct error err = {0};
    if (exec_create(&exec, &again.g, backend, 0, &err) != STATUS_OK) fail_msg("%s", err.text);
    for (int i = 0; i < p->g.count; i++)
        if (p->g.nodes[i]->op == OP_INPUT) write_leaf(exec, p->g.nodes[i]);
    if (exec_run(exec, &err) != STATUS_OK) fail_msg("%s", err.text);
    for (int i = 0; i < p->count; i++) {
        char name[32];
        snprintf(name, sizeof name, "first of %d", i);
        check_output(p, exec, name, i, values[p->first[i]->index], 1e-5);
        snprintf(name, sizeof name, "second of %d", i);
        check_output(p, exec, name, i, values[p->second[i]->index], 5e-5);
    }
    exec_destroy(exec);
    graph_clear(&again.g);
}

static void check(const struct fixture *f, builder *function, struct spec s)
{
    struct problem p;
    build(&p, function, &s);
    double **values = interpret_create(&p.g);
    for (int i = 0; i < p.g.count; i++)
        for (int64_t k = 0; k < shape_count(p.g.nodes[i]->shape) && p.g.nodes[i]->op == OP_INPUT; k++)
            values[i][k] = value_of(p.g.nodes[i], k);
    check_slopes(&p, values, p.loss, p.first, "gradient");
    check_slopes(&p, values, p.loss_of_first, p.second, "gradient of the gradient");
    for (int b = 0; b < BACKENDS; b++) check_backend(f->backends[b], function, &s, &p, values);
    interpret_destroy(&p.g, values);
    graph_clear(&p.g);
}

/* ---- functions ---- */

static struct node *linear(struct problem *p, const struct spec *s)
{
    struct node *x = operand(p, "x", s->H ? SHAPE(s->B, s->H, s->C) : SHAPE(s->B, s->C));
    struct node *w = operand(p, "w", SHAPE(s->O, s->C));
    struct node *bias = s->bias ? operand(p, "bias", SHAPE(s->O)) : NULL;
    return graph_linear(&p->g, x, w, bias);
}

static struct node *matmul(struct problem *p, const struct spec *s)
{
    const bool ta = s->kind & 1, tb = s->kind & 2;
    struct node *a = operand(p, "a", ta ? SHAPE(s->B, s->C, s->H) : SHAPE(s->B, s->H, s->C));
    struct node *b = operand(p, "b", tb ? SHAPE(s->B, s->O, s->C) : SHAPE(s->B, s->C, s->O));
    return graph_matmul(&p->g, a, b, ta, tb);
}

static struct node *conv2d(struct problem *p, const struct spec *s)
{
    struct node *x = operand(p, "x", SHAPE(s->B, s->H, s->W, s->C));
    struct node *w = operand(p, "w", SHAPE(s->O, s->kernel, s->kernel, s->C));
    struct node *bias = s->bias ? operand(p, "bias", SHAPE(s->O)) : NULL;
    return graph_conv2d(&p->g, x, w, bias, (struct conv){s->stride, s->pad});
}

static struct node *conv2d_transpose(struct problem *p, const struct spec *s)
{
    struct node *x = operand(p, "x", SHAPE(s->B, s->H, s->W, s->C));
    struct node *w = operand(p, "w", SHAPE(s->C, s->kernel, s->kernel, s->O));
    struct node *bias = s->bias ? operand(p, "bias", SHAPE(s->O)) : NULL;
    return graph_conv2d_transpose(&p->g, x, w, bias, (struct conv){s->stride, s->pad});
}

static struct node *attention(struct problem *p, const struct spec *s)
{
    struct node *q = operand(p, "q", SHAPE(s->B, s->H, s->C));
    struct node *k = operand(p, "k", SHAPE(s->B, s->S, s->C)), *v = operand(p, "v", SHAPE(s->B, s->S, s->C));
    return graph_attention(&p->g, q, k, v, (struct attention){.heads = s->heads, .causal = s->causal});
}

static struct node *norm(struct problem *p, const struct spec *s)
{
    struct node *x = operand(p, "x", s->W ? SHAPE(s->B, s->H, s->W, s->C) : SHAPE(s->B, s->H, s->C));
    struct node *w = s->bias ? operand(p, "w", SHAPE(s->C)) : NULL, *b = s->bias ? operand(p, "b", SHAPE(s->C)) : NULL;
    if (s->kind == OP_LAYER_NORM) return graph_layer_norm(&p->g, x, w, b, 1e-3f);
    if (s->kind == OP_GROUP_NORM)
        return graph_group_norm(&p->g, x, w, b, (struct norm){s->heads, 1e-3f, s->flag ? UNARY_SILU : UNARY_NONE});
    struct node *mean = operand(p, "mean", SHAPE(s->C)), *variance = operand(p, "positive", SHAPE(s->C));
    return graph_batch_norm(&p->g, x, w, b, mean, variance, 1e-3f);
}

static struct node *unary(struct problem *p, const struct spec *s)
{
    const enum unary kind = (enum unary)s->kind;
    const bool positive = kind == UNARY_LOG || kind == UNARY_SQRT;
    struct node *x = operand(p, positive ? "positive" : "off zero", SHAPE(s->H, s->C));
    return kind == UNARY_LEAKY_RELU ? graph_leaky_relu(&p->g, x, 0.25f) : graph_unary(&p->g, x, kind);
}

/* `axis` tells, by its bits, in which dimensions a is 1, and above them those of b. */
static struct node *binary(struct problem *p, const struct spec *s)
{
    struct shape a = SHAPE(s->B, s->H, s->C), b = a;
    for (int i = 0; i < 3; i++) {
        if (s->axis >> i & 1) a.dim[i] = 1;
        if (s->axis >> (3 + i) & 1) b.dim[i] = 1;
    }
    struct node *x = operand(p, "a", a);
    return graph_binary(&p->g, (enum binary)s->kind, x, operand(p, "positive", b));
}

static struct node *element(struct problem *p, const struct spec *s)
{
    struct node *x = operand(p, "x", SHAPE(s->B, s->H, s->C));
    if (s->kind == OP_SCALE) return graph_scale(&p->g, x, 1.75f, -0.5f);
    if (s->kind == OP_GEGLU) return graph_geglu(&p->g, x);
    if (s->kind == OP_SOFTMAX) return graph_softmax(&p->g, x, s->axis);
    return graph_mul(&p->g, x, x); /* one operand in two places */
}

static struct node *lookup(struct problem *p, const struct spec *s)
{
    p->ids = graph_input(&p->g, "ids", DTYPE_I32, SHAPE(s->B, s->H));
    if (s->flag) return graph_scatter(&p->g, p->ids, operand(p, "rows", SHAPE(s->B, s->H, s->C)), IDS + s->kind);
    return graph_embedding(&p->g, p->ids, operand(p, "table", SHAPE(IDS + s->kind, s->C)));
}

static struct node *move(struct problem *p, const struct spec *s)
{
    struct shape shape = SHAPE(s->B, s->H, s->W, s->C);
    struct node *x = operand(p, s->kind == OP_REDUCE ? "distinct" : "x", shape);
    const int64_t length = shape.dim[s->axis & 3];
    switch (s->kind) {
    case OP_UPSAMPLE: return graph_upsample(&p->g, x, s->stride);
    case OP_AVERAGE_POOL: return graph_average_pool(&p->g, x, s->kernel, s->stride);
    case OP_SLICE: return graph_slice(&p->g, x, s->axis, length / 3, length - length / 3 - (length > 3));
    case OP_PAD: return graph_pad(&p->g, x, s->axis, 2, length + 3);
    case OP_RESHAPE: return graph_reshape(&p->g, x, SHAPE(s->B * s->C, s->H * s->W));
    case OP_PERMUTE:
        return graph_permute(&p->g, x, (const int[]){s->axis, 3 - s->axis, 1 ^ s->axis, 3 - (1 ^ s->axis)});
    case OP_REDUCE: return graph_reduce(&p->g, (enum reduce)s->stride, x, (unsigned)s->axis);
    case OP_BROADCAST: shape.dim[s->axis] = s->O; return graph_broadcast(&p->g, x, shape);
    default: shape.dim[s->axis] = s->O; return graph_concat(&p->g, x, operand(p, "y", shape), s->axis);
    }
}

/* ---- tests ---- */

static void test_linear(void **state)
{
    static const int64_t shapes[][4] = {{1, 0, 1, 1}, {3, 0, 5, 7}, {2, 3, 7, 5}, {1, 5, 1, 3}, {3, 1, 3, 1}};
    for (int i = 0; i < 5; i++)
        for (int bias = 0; bias < 2; bias++)
            check(*state, linear,
                  (struct spec){
                      .B = shapes[i][0], .H = shapes[i][1], .C = shapes[i][2], .O = shapes[i][3], .bias = bias});
}

static void test_matmul(void **state)
{
    for (int kind = 0; kind < 4; kind++) {
        check(*state, matmul, (struct spec){.B = 2, .H = 3, .C = 5, .O = 7, .kind = kind});
        check(*state, matmul, (struct spec){.B = 1, .H = 1, .C = 3, .O = 1, .kind = kind});
    }
}

static void test_conv2d(void **state)
{
    static const struct spec cases[] = {
        {.B = 2, .H = 5, .W = 3, .C = 3, .O = 5, .kernel = 3, .stride = 1, .pad = {1, 1, 1, 1}, .bias = true},
        {.B = 1, .H = 7, .W = 5, .C = 1, .O = 3, .kernel = 3, .stride = 2, .pad = {1, 1, 1, 1}},
        {.B = 1, .H = 6, .W = 7, .C = 2, .O = 1, .kernel = 3, .stride = 2, .pad = {0, 0, 1, 1}, .bias = true},
        {.B = 3, .H = 3, .W = 3, .C = 5, .O = 7, .kernel = 1, .stride = 1},
        {.B = 1, .H = 8, .W = 7, .C = 1, .O = 2, .kernel = 2, .stride = 3},
        {.B = 1, .H = 6, .W = 6, .C = 2, .O = 3, .kernel = 4, .stride = 2, .pad = {1, 1, 1, 1}},
        {.B = 1, .H = 3, .W = 4, .C = 1, .O = 1, .kernel = 5, .stride = 1, .pad = {3, 2, 1, 4}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check(*state, conv2d, cases[i]);
}

static void test_conv2d_transpose(void **state)
{
    static const struct spec cases[] = {
        {.B = 2, .H = 3, .W = 2, .C = 3, .O = 5, .kernel = 4, .stride = 2, .pad = {1, 1, 1, 1}, .bias = true},
        {.B = 1, .H = 1, .W = 1, .C = 7, .O = 3, .kernel = 4, .stride = 1},
        {.B = 1, .H = 3, .W = 3, .C = 1, .O = 3, .kernel = 3, .stride = 2, .pad = {1, 1, 0, 1}, .bias = true},
        {.B = 1, .H = 2, .W = 3, .C = 2, .O = 1, .kernel = 2, .stride = 3, .pad = {0, 0, -2, -1}, .bias = true},
        {.B = 1, .H = 2, .W = 3, .C = 3, .O = 2, .kernel = 5, .stride = 3, .pad = {2, 1, -1, 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check(*state, conv2d_transpose, cases[i]);
}

static void test_attention(void **state)
{
    check(*state, attention, (struct spec){.B = 2, .H = 3, .S = 5, .C = 6, .heads = 2});
    check(*state, attention, (struct spec){.B = 1, .H = 5, .S = 5, .C = 3, .heads = 1, .causal = true});
    check(*state, attention, (struct spec){.B = 1, .H = 5, .S = 3, .C = 3, .heads = 3, .causal = true});
    check(*state, attention, (struct spec){.B = 1, .H = 1, .S = 1, .C = 1, .heads = 1});
}

static void test_norms(void **state)
{
    static const enum op kinds[] = {OP_GROUP_NORM, OP_LAYER_NORM, OP_BATCH_NORM};
    for (int k = 0; k < 3; k++)
        for (int flag = 0; flag < 2; flag++) {
            const int kind = (int)kinds[k];
            check(*state, norm,
                  (struct spec){.kind = kind, .B = 2, .H = 3, .W = 2, .C = 6, .heads = 3, .bias = true, .flag = flag});
            check(*state, norm,
                  (struct spec){.kind = kind, .B = 1, .H = 5, .C = 3, .heads = 1 + 2 * flag, .bias = k == 2 || flag});
        }
}

static void test_unary(void **state)
{
    for (int kind = 0; kind < UNARY_COUNT; kind++) check(*state, unary, (struct spec){.H = 3, .C = 7, .kind = kind});
}

static void test_binary(void **state)
{
    for (int kind = BINARY_ADD; kind <= BINARY_DIV; kind++)
        for (int which = 0; which < 64; which++)
            if (!(which & which >> 3 & 7))
                check(*state, binary, (struct spec){.B = 2, .H = 3, .C = 5, .kind = kind, .axis = which});
}

static void test_elements(void **state)
{
    check(*state, element, (struct spec){.kind = OP_SCALE, .B = 1, .H = 3, .C = 5});
    check(*state, element, (struct spec){.kind = OP_GEGLU, .B = 2, .H = 3, .C = 10});
    check(*state, element, (struct spec){.kind = OP_BINARY, .B = 2, .H = 1, .C = 7});
    for (int axis = 0; axis < 3; axis++)
        check(*state, element, (struct spec){.kind = OP_SOFTMAX, .B = 3, .H = 5, .C = 2, .axis = axis});
}

static void test_lookup(void **state)
{
    for (int flag = 0; flag < 2; flag++)
        for (int more = 0; more < 70; more += 69)
            check(*state, lookup, (struct spec){.B = 2, .H = 5, .C = 3, .kind = more, .flag = flag});
}

static void test_moves(void **state)
{
    static const enum op kinds[] = {OP_SLICE, OP_PAD, OP_PERMUTE, OP_CONCAT};
    for (int k = 0; k < 4; k++)
        for (int axis = 0; axis < 4; axis++)
            check(*state, move,
                  (struct spec){.kind = (int)kinds[k], .B = 2, .H = 5, .W = 3, .C = 4, .O = 2, .axis = axis});
    for (int axis = 0; axis < 4; axis++) {
        int64_t dim[] = {2, 3, 3, 2};
        dim[axis] = 1;
        check(*state, move,
              (struct spec){
                  .kind = OP_BROADCAST, .B = dim[0], .H = dim[1], .W = dim[2], .C = dim[3], .O = 5, .axis = axis});
    }
    check(*state, move, (struct spec){.kind = OP_RESHAPE, .B = 2, .H = 5, .W = 3, .C = 4});
}

static void test_resize(void **state)
{
    for (int factor = 1; factor < 4; factor++)
        check(*state, move, (struct spec){.kind = OP_UPSAMPLE, .B = 2, .H = 3, .W = 1, .C = 3, .stride = factor});
    static const int pools[][4] = {{2, 2, 6, 4}, {2, 2, 7, 5}, {3, 2, 7, 6}, {1, 3, 5, 4}, {3, 1, 5, 3}, {1, 1, 2, 3}};
    for (int i = 0; i < 6; i++)
        check(*state, move,
              (struct spec){.kind = OP_AVERAGE_POOL,
                            .B = 2,
                            .H = pools[i][2],
                            .W = pools[i][3],
                            .C = 3,
                            .kernel = pools[i][0],
                            .stride = pools[i][1]});
}

static void test_reduce(void **state)
{
    for (int kind = REDUCE_SUM; kind <= REDUCE_MAX; kind++)
        for (int axes = 1; axes < 16; axes++)
            check(*state, move,
                  (struct spec){.kind = OP_REDUCE, .B = 2, .H = 3, .W = 1, .C = 5, .axis = axes, .stride = kind});
}

/* A maximum that several elements reach passes its gradient to them in equal parts, as torch.amax does. */
static void test_ties(void **state)
{
    const struct fixture *f = *state;
    struct graph g = {0};
    struct node *x = graph_input(&g, "x", DTYPE_F32, SHAPE(4)), *d = NULL;
    graph_grad(&g, graph_reduce(&g, REDUCE_MAX, x, 1), &x, 1, &d);
    graph_output(&g, "d", d);
    struct exec *exec = NULL;
    struct error err = {0};
    assert_int_equal(exec_create(&exec, &g, f->backends[0], 0, &err), STATUS_OK);
    float got[4];
    assert_int_equal(exec_write(exec, "x", (float[]){3, 1, 3, 2}, &err), STATUS_OK);
    assert_int_equal(exec_run(exec, &err), STATUS_OK);
    assert_int_equal(exec_read(exec, "d", got, &err), STATUS_OK);
    assert_memory_equal(got, ((float[]){0.5f, 0, 0.5f, 0}), sizeof got);
    exec_destroy(exec);
    graph_clear(&g);
}

static void expect_refusal(struct graph *g, const char *text)
{
    if (!strstr(g->error.text, text)) fail_msg("'%s' does not say '%s'", g->error.text, text);
    graph_clear(g);
}

static void test_refusals(void **state)
{
    (void)state;
    struct node *d[2];
    struct graph g = {0};
    struct node *x = graph_input(&g, "x", DTYPE_F32, SHAPE(2, 3));
    graph_grad(&g, graph_scale(&g, x, 2, 0), &x, 1, d);
    assert_ptr_equal(d[0], &g.nil);
    expect_refusal(&g, "the loss is [2, 3] and must be one number");

    struct node *ids = graph_input(&g, "ids", DTYPE_I32, SHAPE(1, 3));
    x = graph_input(&g, "x", DTYPE_F32, SHAPE(1, 1));
    graph_grad(&g, x, (struct node *[]){x, ids}, 2, d);
    expect_refusal(&g, "ids have none");

    x = graph_input(&g, "x", DTYPE_F32, SHAPE(1, 2));
    struct node *w = graph_input(&g, "w", DTYPE_F32, SHAPE(1, 2)), *y = graph_linear(&g, x, w, NULL);
    if (y != &g.nil) y->as.gemm.act = UNARY_RELU;
    graph_grad(&g, y, &w, 1, d);
    expect_refusal(&g, "gradients come before planning");

    x = graph_input(&g, "x", DTYPE_F32, SHAPE(1, 1));
    graph_conv2d_transpose(&g, graph_input(&g, "p", DTYPE_F32, SHAPE(1, 2, 2, 1)),
                           graph_input(&g, "q", DTYPE_F32, SHAPE(1, 3, 3, 1)), NULL,
                           (struct conv){.stride = 2, .pad = {.bottom = -2}});
    expect_refusal(&g, "a padding of 0, 0, -2, 0 is not allowed");
}

/* Branches that lead to none of the wanted nodes cost nothing, and what the loss does not depend on gets zeros. */
static void test_pruning(void **state)
{
    (void)state;
    struct graph g = {0};
    struct node *x = graph_input(&g, "x", DTYPE_F32, SHAPE(1, 3)), *w = graph_input(&g, "w", DTYPE_F32, SHAPE(1, 3));
    struct node *alone = graph_input(&g, "alone", DTYPE_F32, SHAPE(2)), *d[2];
    struct node *y = graph_linear(&g, graph_unary(&g, x, UNARY_GELU), w, NULL);
    graph_grad(&g, y, (struct node *[]){w, alone}, 2, d);
    assert_int_equal(g.error.status, STATUS_OK);
    for (int i = y->index + 1; i < g.count; i++) assert_int_not_equal(g.nodes[i]->op, OP_UNARY_GRADIENT);
    assert_true(shape_equal(d[1]->shape, alone->shape));
    assert_int_equal(d[1]->op, OP_BROADCAST);
    assert_true(d[1]->input[0]->as.constant[0] == 0);
    graph_clear(&g);
}

/* Every allocation fails in turn, and the graph says so. */
static void test_no_memory(void **state)
{
    (void)state;
    bool failed = true;
    for (uint64_t at = 1; failed; at++) {
        struct graph g = {0};
        struct node *d[2];
        memory_fail_after(at);
        struct node *x = graph_input(&g, "x", DTYPE_F32, SHAPE(1, 4, 4));
        struct node *y = graph_attention(&g, x, x, x, (struct attention){.heads = 2, .causal = true});
        y = graph_layer_norm(&g, y, graph_input(&g, "w", DTYPE_F32, SHAPE(4)), NULL, 1e-5f);
        y = graph_reduce(&g, REDUCE_MEAN, graph_mul(&g, y, y), 7);
        graph_grad(&g, y, (struct node *[]){x}, 1, d);
        if (d[0] != &g.nil) {
            struct node *z = graph_reduce(&g, REDUCE_SUM, d[0], 7);
            graph_grad(&g, z, (struct node *[]){x}, 1, d);
        }
        memory_fail_after(0);
        failed = g.error.status != STATUS_OK;
        if (failed) assert_int_equal(g.error.status, STATUS_NO_MEMORY);
        assert_true((d[0] == &g.nil) == failed);
        graph_clear(&g);
    }
}

static int set_up(void **state)
{
    static struct fixture fixture;
    struct error err = {0};
    const struct backend_options options[] = {{.threads = 1, .reference_only = true}, {.threads = 2}};
    for (int i = 0; i < BACKENDS; i++)
        if (backend_open(&fixture.backends[i], "cpu", &options[i], &err) != STATUS_OK) return -1;
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    const struct fixture *f = *state;
    for (int i = 0; i < BACKENDS; i++) f->backends[i]->f->close(f->backends[i]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),    cmocka_unit_test(test_matmul),
        cmocka_unit_test(test_conv2d),    cmocka_unit_test(test_conv2d_transpose),
        cmocka_unit_test(test_attention), cmocka_unit_test(test_norms),
        cmocka_unit_test(test_unary),     cmocka_unit_test(test_binary),
        cmocka_unit_test(test_elements),  cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_moves),     cmocka_unit_test(test_resize),
        cmocka_unit_test(test_reduce),    cmocka_unit_test(test_ties),
        cmocka_unit_test(test_refusals),  cmocka_unit_test(test_pruning),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
