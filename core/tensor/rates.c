/* SPDX-License-Identifier: MIT */
#include "core/tensor/rates.h"

#include "core/base/memory.h"
#include "core/tensor/exec.h"
#include "core/tensor/flops.h"

#include <string.h>

/* Matrices grow until a product takes long enough for any clock, and a device is full of work. */
enum { LEAST_SIDE = 512, MOST_SIDE = 4096, ROUNDS = 3, COPY_BYTES = 128 << 20 };
static const double enough_seconds = 0.02;

/* ---- products ---- */

struct product {
    struct graph graph;
    struct exec *exec;
    struct weight weight; /* its buffer is owned */
    const struct node *node;
    double seconds; /* of the fastest run */
};

static void on_step(void *context, const struct backend_step *step)
{
    struct product *p = context;
    if (step->node == p->node && (p->seconds == 0 || step->seconds < p->seconds)) p->seconds = step->seconds;
}

/* x w^T: by a linear layer, whose weight may be of any stored type, or by a product of two values. */
static void build(struct product *p, int64_t side, enum op op, enum dtype dtype)
{
    struct graph *g = &p->graph;
    struct node *x = graph_input(g, "x", DTYPE_F32, SHAPE(side, side)), *y;
    if (op == OP_LINEAR) {
        struct node *w = graph_param(g, "w", PARAM_PLAIN, SHAPE(side, side));
        y = graph_linear(g, x, w, NULL);
        w->dtype = dtype; /* as params_load sets it */
        w->as.param.weight = &p->weight;
    } else {
        y = graph_matmul(g, x, graph_input(g, "w", DTYPE_F32, SHAPE(side, side)), false, true);
    }
    graph_output(g, "y", y);
    p->node = y;
}

/* Numbers of either sign. Not zeros: a GPU that multiplies those stays cool, and runs faster than it ever will again.
 */
static float *draw(size_t count)
{
    float *values = memory_alloc_raw(count * sizeof *values);
    for (size_t i = 0; values && i < count; i++) values[i] = (float)(i % 29) / 29 - 0.5f;
    return values;
}

static enum status fill(struct product *p, struct backend *backend, int64_t side, enum dtype dtype, struct error *err)
{
    const size_t count = (size_t)side * (size_t)side, bytes = dtype_bytes(dtype, count);
    float *values = draw(count);
    void *stored = memory_alloc_raw(bytes);
    enum status status = values && stored ? STATUS_OK : fail_no_memory(err, "a matrix", count * sizeof *values);
    if (status != STATUS_OK) goto done;
    dtype_from_f32(stored, dtype, values, count);
    p->weight = (struct weight){.name = "w", .dtype = dtype, .shape = SHAPE(side, side)};
    p->weight.buffer = backend->f->alloc(backend, bytes, err);
    status = p->weight.buffer ? STATUS_OK : err->status;
    if (status == STATUS_OK) status = backend->f->upload(backend, p->weight.buffer, 0, stored, bytes, err);
    if (status == STATUS_OK) status = exec_create(&p->exec, &p->graph, backend, 0, err);
    for (int i = 0; i < p->graph.count && status == STATUS_OK; i++)
        if (p->graph.nodes[i]->op == OP_INPUT) status = exec_write(p->exec, p->graph.nodes[i]->name, values, err);
done:
    memory_free(values);
    memory_free(stored);
    return status;
}

static enum status measure_product(double *rate, double *seconds, struct backend *backend, int64_t side, enum op op,
                                   enum dtype dtype, struct error *err)
{
    struct product p = {0};
    const struct backend_probe probe = {.step = on_step, .context = &p, .timed = true};
    build(&p, side, op, dtype);
    enum status status = fill(&p, backend, side, dtype, err);
    if (status == STATUS_OK) status = exec_run(p.exec, err); /* which compiles the kernel */
    if (status == STATUS_OK) status = backend->f->wait(backend, err);
    backend->probe = &probe;
    for (int i = 0; i < ROUNDS && status == STATUS_OK; i++) {
        status = exec_run(p.exec, err);
        if (status == STATUS_OK) status = backend->f->wait(backend, err);
    }
    backend->probe = NULL;
    *seconds = p.seconds;
    if (p.seconds > 0 && flops_of_node(p.node) / p.seconds > *rate) *rate = flops_of_node(p.node) / p.seconds;
    exec_destroy(p.exec);
    if (p.weight.buffer) backend->f->free(backend, p.weight.buffer);
    graph_clear(&p.graph);
    return status;
}

static enum status measure_products(double *rate, struct backend *backend, enum op op, enum dtype dtype,
                                    struct error *err)
{
    enum status status = STATUS_OK;
    double seconds = 0;
    for (int64_t side = LEAST_SIDE; side <= MOST_SIDE && seconds < enough_seconds && status == STATUS_OK; side *= 2)
        status = measure_product(rate, &seconds, backend, side, op, dtype, err);
    return status;
}

/* ---- copies ---- */

static enum status measure_copy(double *rate, struct backend *backend, struct error *err)
{
    struct buffer *from = backend->f->alloc(backend, COPY_BYTES, err), *to = NULL;
    if (from) to = backend->f->alloc(backend, COPY_BYTES, err);
    enum status status = to ? STATUS_OK : err->status;
    for (int i = 0; i <= ROUNDS && status == STATUS_OK; i++) { /* The first makes the pages be there. */
        double seconds = 0;
        status = backend->f->copy(backend, i % 2 ? to : from, i % 2 ? from : to, COPY_BYTES, &seconds, err);
        if (status == STATUS_OK && i > 0 && seconds > 0 && 2.0 * COPY_BYTES / seconds > *rate)
            *rate = 2.0 * COPY_BYTES / seconds;
    }
    backend->f->free(backend, to);
    backend->f->free(backend, from);
    return status;
}

enum status rates_measure(struct rates *rates, struct backend *backend, int threads, struct error *err)
{
    double blas = 0;
    enum status status;
    if (strcmp(backend->f->name, "cpu") == 0) {
        status = backend_sgemm(&blas, threads, err);
        if (blas * 1e9 > rates->product[DTYPE_F32]) rates->product[DTYPE_F32] = blas * 1e9;
    } else {
        status = measure_products(&rates->product[DTYPE_F32], backend, OP_LINEAR, DTYPE_F32, err);
        if (status == STATUS_OK)
            status = measure_products(&rates->product[DTYPE_F32], backend, OP_MATMUL, DTYPE_F32, err);
    }
    for (int i = 0; i < DTYPE_COUNT && status == STATUS_OK; i++)
        if (i != DTYPE_F32 && dtype_stores_weights((enum dtype)i))
            status = measure_products(&rates->product[i], backend, OP_LINEAR, (enum dtype)i, err);
    return status == STATUS_OK ? measure_copy(&rates->copy, backend, err) : status;
}
