/* SPDX-License-Identifier: MIT
 *
 * A graph made ready to run: planned, its arena allocated on a backend, its parameters bound.
 *
 *     exec_create(&exec, &graph, backend, limit, &err)     parameters must be bound before (params_load)
 *     exec_write(exec, "x", latent, &err); exec_run(exec, &err); exec_read(exec, "eps", out, &err);
 *     exec_destroy(exec);
 */
#ifndef TENSOR_EXEC_H
#define TENSOR_EXEC_H

#include "core/tensor/plan.h"

struct exec;

/* A weight in a backend's memory. One weight may serve many graphs. */
struct weight {
    const char *name;      /* borrowed from its params */
    enum dtype dtype;      /* one that stores weights */
    struct shape shape;    /* in limn's layout */
    struct buffer *buffer; /* borrowed from its params */
    size_t offset;         /* in the buffer, 64-byte aligned */
};

/* limit: most bytes the arena may take, 0 for no limit; more is STATUS_LIMIT with both numbers in the sentence.
 * The graph and the backend must outlive the exec. */
MUST_CHECK enum status exec_create(struct exec **out, struct graph *graph, struct backend *backend, size_t limit,
                                   struct error *err);
/* The same; *needed becomes what the arena takes, also where that is more than the limit. */
MUST_CHECK enum status exec_create_within(struct exec **out, struct graph *graph, struct backend *backend, size_t limit,
                                          size_t *needed, struct error *err);
void exec_destroy(struct exec *exec);
size_t exec_bytes(const struct exec *exec);

/* Host arrays in the node's own shape, F32 or I32 as the graph was built, however values lie in the arena. The name
 * must be an input (write) or output (read). */
MUST_CHECK enum status exec_write(struct exec *exec, const char *input, const void *values, struct error *err);
MUST_CHECK enum status exec_run(struct exec *exec, struct error *err);
MUST_CHECK enum status exec_read(struct exec *exec, const char *output, float *values, struct error *err);

#endif
