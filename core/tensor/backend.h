/* SPDX-License-Identifier: MIT
 *
 * A backend is a machine that runs plans: eight functions, none optional. A graph runs on one backend; there is no
 * scheduler between backends, and an operation that a backend does not support is refused by name before anything runs.
 *
 * Nobody includes a backend's own headers: BACKEND_MAP names each one's open function, NAME_backend_open.
 */
#ifndef TENSOR_BACKEND_H
#define TENSOR_BACKEND_H

#include "core/base/status.h"

#include <stdbool.h>
#include <stddef.h>

struct node;
struct plan;
struct buffer; /* memory of one backend; each backend defines its own */
struct backend;

struct backend_functions {
    const char *name; /* "cpu", "vulkan" */
    /* Memory. Contents are undefined. Offsets and sizes are bytes; upload and download check nothing but assert. */
    struct buffer *(*alloc)(struct backend *b, size_t bytes, struct error *err); /* NULL on failure */
    void (*free)(struct backend *b, struct buffer *buffer);                      /* NULL is a no-op */
    enum status (*upload)(struct backend *b, struct buffer *to, size_t offset, const void *from, size_t bytes,
                          struct error *err);
    enum status (*download)(struct backend *b, void *to, const struct buffer *from, size_t offset, size_t bytes,
                            struct error *err);
    /* True if this node's operation can run with these types and shapes. If so and `work` is not NULL, the scratch
     * bytes that the node needs while it runs are stored there. */
    bool (*supports)(struct backend *b, const struct node *node, size_t *work);
    /* Runs all steps of the plan; results lie in `arena` at the plan's offsets. */
    enum status (*run)(struct backend *b, const struct plan *plan, struct buffer *arena, struct error *err);
    enum status (*wait)(struct backend *b, struct error *err); /* until all that was asked for is done */
    void (*close)(struct backend *b);
};

/* For measuring: called with NULL when a run begins and with each node after its step. */
struct backend_probe {
    void (*step)(void *context, const struct node *node);
    void *context;
};

/* First member of every backend's own struct. */
struct backend {
    const struct backend_functions *f;
    const struct backend_probe *probe; /* borrowed; NULL, unless someone measures */
};

struct backend_options {
    int threads;         /* CPU: 0 = all processors */
    bool reference_only; /* CPU: only the reference kernels, for tests and doubts */
};

#define BACKEND_MAP(X) X(cpu)

#define X(name)                                                                                                        \
    MUST_CHECK enum status name##_backend_open(struct backend **out, const struct backend_options *options,            \
                                               struct error *err);
BACKEND_MAP(X)
#undef X

/* name: "cpu"; options: NULL for the defaults. The caller closes it with (*out)->f->close(*out) after everything that
 * lives in it. */
MUST_CHECK enum status backend_open(struct backend **out, const char *name, const struct backend_options *options,
                                    struct error *err);

/* The yardstick of limn bench: GFLOP/s of f32 matrix products by the library that the CPU backend is built on, with
 * this many threads (0: all processors). */
MUST_CHECK enum status backend_sgemm(double *gflops, int threads, struct error *err);

#endif
