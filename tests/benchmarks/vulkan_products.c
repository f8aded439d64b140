/* SPDX-License-Identifier: MIT
 *
 * What the Vulkan backend makes of a second of processor time on Mesa's software device, against OpenBLAS in the same
 * run: they take turns, so that a busy machine is unfair to both. On a GPU processor time says nothing; use limn bench.
 *
 *     vulkan_products [device [rounds [case]]]     the device is llvmpipe and there are 5 rounds, unless they are given
 *
 * OpenBLAS is asked for the product of matrices that the operation amounts to, with everything already in place; for
 * attention, for its two products. Each figure is the median of its rounds.
 */
#define _DEFAULT_SOURCE
#include "core/base/memory.h"
#include "core/tensor/exec.h"
#include "core/tensor/flops.h"
#include "core/vulkan/backend_vulkan.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

struct product {
    const char *name;
    enum op op;
    int64_t rows, wide, in, out; /* pictures are rows x wide; keys of an attention: wide; heads: out */
    int kernel, stride;
    enum dtype dtype;
};

static const struct product products[] = {
    {"conv 320-320 3x3 64x64 f32", OP_CONV2D, 64, 64, 320, 320, 3, 1, DTYPE_F32},
    {"conv 320-320 3x3 64x64 f16", OP_CONV2D, 64, 64, 320, 320, 3, 1, DTYPE_F16},
    {"conv 64-64 3x3 32x32 f32", OP_CONV2D, 32, 32, 64, 64, 3, 1, DTYPE_F32},
    {"linear 1024x512-512 f32", OP_LINEAR, 1024, 1, 512, 512, 1, 1, DTYPE_F32},
    {"matmul 512x512x512", OP_MATMUL, 512, 1, 512, 512, 0, 1, DTYPE_F32},
    {"matmul 512x512x512, a^T", OP_MATMUL, 512, 1, 512, 512, 1, 1, DTYPE_F32},
    {"matmul 512x512x512, b^T", OP_MATMUL, 512, 1, 512, 512, 2, 1, DTYPE_F32},
    {"weight 64-64 3x3 32x32", OP_CONV2D_WEIGHT, 32, 32, 64, 64, 3, 1, DTYPE_F32},
    {"transpose 128-64 4x4/2 16x16", OP_CONV2D_TRANSPOSE, 16, 16, 128, 64, 4, 2, DTYPE_F32},
    {"attention 1024x1024, 4 of 40", OP_ATTENTION, 1024, 1024, 160, 4, 0, 1, DTYPE_F32},
};

static double seconds(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct node *build(struct graph *g, const struct product *p)
{
    const int pad = p->kernel / 2 - (p->op == OP_CONV2D_TRANSPOSE);
    const struct conv conv = {p->stride, PAD(pad)};
    struct node *x = graph_input(g, "x", DTYPE_F32, SHAPE(1, p->rows, p->wide, p->in));
    switch (p->op) {
    case OP_CONV2D: {
        struct node *w = graph_param(g, "w", PARAM_PLAIN, SHAPE(p->out, p->kernel, p->kernel, p->in));
        struct node *y = graph_conv2d(g, x, w, NULL, conv);
        w->dtype = p->dtype; /* the graph is built of f32, as a checkpoint not yet read */
        return y;
    }
    case OP_CONV2D_TRANSPOSE:
        return graph_conv2d_transpose(
            g, x, graph_param(g, "w", PARAM_PLAIN, SHAPE(p->in, p->kernel, p->kernel, p->out)), NULL, conv);
    case OP_CONV2D_WEIGHT:
        return graph_conv2d_weight(g, x, graph_input(g, "dy", DTYPE_F32, SHAPE(1, p->rows, p->wide, p->out)), p->kernel,
                                   p->kernel, conv);
    case OP_LINEAR:
        return graph_linear(g, graph_reshape(g, x, SHAPE(p->rows, p->in)),
                            graph_param(g, "w", PARAM_PLAIN, SHAPE(p->out, p->in)), NULL);
    case OP_MATMUL: {
        const bool ta = p->kernel & 1, tb = p->kernel & 2;
        struct node *a = graph_input(g, "a", DTYPE_F32, ta ? SHAPE(p->in, p->rows) : SHAPE(p->rows, p->in));
        struct node *b = graph_input(g, "b", DTYPE_F32, tb ? SHAPE(p->out, p->in) : SHAPE(p->in, p->out));
        return graph_matmul(g, a, b, ta, tb);
    }
    default: {
        struct node *q = graph_input(g, "q", DTYPE_F32, SHAPE(1, p->rows, p->in));
        struct node *k = graph_input(g, "k", DTYPE_F32, SHAPE(1, p->wide, p->in));
        struct node *v = graph_input(g, "v", DTYPE_F32, SHAPE(1, p->wide, p->in));
        return graph_attention(g, q, k, v, (struct attention){.heads = (int)p->out});
    }
    }
}

/* A product of M x K and K x N of about as many multiplications, on zeros: they take as long as any. */
static double blas(const struct product *p, double flops)
{
    const int M = (int)(p->op == OP_CONV2D_WEIGHT ? p->out : p->rows * (p->op == OP_ATTENTION ? 1 : p->wide));
    const int N = (int)(p->op == OP_ATTENTION ? p->wide : p->op == OP_CONV2D_WEIGHT ? p->in * 9 : p->out);
    const int K = (int)(flops / 2.0 / M / N);
    float *a = memory_alloc((size_t)M * (size_t)K * sizeof *a), *b = memory_alloc((size_t)N * (size_t)K * sizeof *b);
    float *c = memory_alloc((size_t)M * (size_t)N * sizeof *c);
    if (!a || !b || !c) exit(1);
    memset(a, 0, (size_t)M * (size_t)K * sizeof *a);
    memset(b, 0, (size_t)N * (size_t)K * sizeof *b);
    memset(c, 0, (size_t)M * (size_t)N * sizeof *c);
    const double start = seconds();
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, M, N, K, 1, a, K, b, K, 0, c, N);
    const double took = seconds() - start;
    memory_free(a);
    memory_free(b);
    memory_free(c);
    return took;
}

/* Binds the parameters to a buffer of zeros, and makes the graph ready. */
static enum status prepare(struct exec **exec, struct graph *g, struct backend *backend, struct weight *weight,
                           struct error *err)
{
    static const char zeros[1 << 23];
    for (int i = 0; i < g->count; i++) {
        struct node *n = g->nodes[i];
        if (n->op != OP_PARAM) continue;
        const size_t bytes = dtype_bytes(n->dtype, (size_t)shape_count(n->shape));
        *weight = (struct weight){.name = n->name, .dtype = n->dtype, .shape = n->shape};
        weight->buffer = backend->f->alloc(backend, bytes, err);
        if (!weight->buffer || bytes > sizeof zeros) return STATUS_NO_MEMORY;
        const enum status status = backend->f->upload(backend, weight->buffer, 0, zeros, bytes, err);
        if (status != STATUS_OK) return status;
        n->as.param.weight = weight;
    }
    enum status status = exec_create(exec, g, backend, 0, err);
    for (int i = 0; i < g->count && status == STATUS_OK; i++)
        if (g->nodes[i]->op == OP_INPUT) status = exec_write(*exec, g->nodes[i]->name, zeros, err);
    return status == STATUS_OK ? exec_run(*exec, err) : status; /* which compiles the kernel */
}

static enum status measure(struct backend *backend, const struct product *p, int rounds, struct error *err)
{
    enum { MOST = 101 };
    double ours[MOST], theirs[MOST];
    struct graph g = {0};
    struct weight weight = {0};
    struct exec *exec = NULL;
    struct node *node = build(&g, p);
    graph_output(&g, "y", node);
    const double flops = flops_of_node(node);
    enum status status = prepare(&exec, &g, backend, &weight, err);
    for (int i = 0; i < rounds && i < MOST && status == STATUS_OK; i++) {
        theirs[i] = blas(p, flops);
        const double start = seconds();
        status = exec_run(exec, err);
        ours[i] = seconds() - start;
    }
    if (status == STATUS_OK) {
        qsort(ours, (size_t)rounds, sizeof *ours, by_size);
        qsort(theirs, (size_t)rounds, sizeof *theirs, by_size);
        const double us = ours[rounds / 2], them = theirs[rounds / 2];
        printf("%-32s %8.3f GFLOP  %7.2f /s  OpenBLAS %7.2f /s  1/%.1f\n", p->name, flops * 1e-9, flops * 1e-9 / us,
               flops * 1e-9 / them, us / them);
    }
    exec_destroy(exec);
    backend->f->free(backend, weight.buffer);
    graph_clear(&g);
    return status;
}

int main(int argc, char **argv)
{
    const struct backend_options options = {.device = argc > 1 ? argv[1] : "llvmpipe"};
    const int rounds = argc > 2 ? atoi(argv[2]) : 5;
    struct backend *backend = NULL;
    struct error err = {0};
    openblas_set_num_threads(1);
    enum status status = vulkan_backend_open_hooked(&backend, &options, NULL, &err);
    if (rounds < 1 || rounds > 100) return 1;
    for (size_t i = 0; i < sizeof products / sizeof *products && status == STATUS_OK; i++)
        if (argc < 4 || strstr(products[i].name, argv[3])) status = measure(backend, &products[i], rounds, &err);
    if (status != STATUS_OK) fprintf(stderr, "%s\n", err.text);
    if (backend) backend->f->close(backend);
    return status == STATUS_OK ? 0 : 1;
}
