/* SPDX-License-Identifier: MIT
 *
 * A backend is a machine that runs plans: nine functions, none optional. A graph runs on one backend; there is no
 * scheduler between backends, and an operation that a backend does not support is refused by name before anything runs.
 *
 * Nobody includes a backend's own headers: BACKEND_MAP names each one's open function, NAME_backend_open.
 */
#ifndef TENSOR_BACKEND_H
#define TENSOR_BACKEND_H

#include "core/base/dtype.h"
#include "core/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
    /* Copies the first bytes of one buffer to another, and waits. *seconds: how long that took, by the clock that steps
     * are timed by. */
    enum status (*copy)(struct backend *b, struct buffer *to, const struct buffer *from, size_t bytes, double *seconds,
                        struct error *err);
    void (*close)(struct backend *b);
};

/* A step that has run. */
struct backend_step {
    const struct node *node;
    const char *kernel;    /* which of the backend's kernels ran it: "conv2d_subgroup", "avx512" */
    double begin, seconds; /* when it began, as clock_seconds counts, and what it took; 0 unless they were asked for */
};

/* For measuring: `step` is told of every step of a run, in their order, at the latest when the run is waited for. */
struct backend_probe {
    void (*step)(void *context, const struct backend_step *step);
    void *context;
    bool timed; /* take the time of each, by the device's own clock if it has one: no two steps then run at once */
};

enum { BACKEND_REASON_BYTES = 160 };

/* First member of every backend's own struct. */
struct backend {
    const struct backend_functions *f;
    const char *device;                /* borrowed; the name of what it computes on: "CPU", or what the driver says */
    const struct backend_probe *probe; /* borrowed; NULL, unless someone measures */
    bool plain;         /* plans that are made from now on use the plain kernels, which keep f32 from end to end */
    enum dtype compute; /* as in backend_options; F16: but for plain plans */
    char reason[BACKEND_REASON_BYTES]; /* why `supports` last said no, if there is more to say than that */
};

struct backend_options {
    int threads;         /* CPU: 0 = all processors */
    bool reference_only; /* only the reference kernels (Vulkan: the simple ones), for tests and doubts */
    const char *device;  /* Vulkan: a number or a part of the device's name; NULL: the best real GPU */
    enum dtype compute;  /* F32; BF16, where the CPU can: products' operands are rounded to it; F16, where the Vulkan
                            device can: values lie in memory as halves. Sums are F32 in any case */
};

/* LIMN_VULKAN is set where the build found glslc and Vulkan's headers. */
#ifdef LIMN_VULKAN
#define BACKEND_MAP(X) X(cpu) X(vulkan)
#else
#define BACKEND_MAP(X) X(cpu)
#endif

/* The types that every backend takes: a product's weight or an embedding's table may be any that stores weights, an
 * embedding's ids and what becomes of them by reshaping are I32; all else is F32. What is no parameter may be F16 in
 * the plans of a backend whose values lie so. */
bool backend_takes(const struct node *node);

#define X(name)                                                                                                        \
    MUST_CHECK enum status name##_backend_open(struct backend **out, const struct backend_options *options,            \
                                               struct error *err);
BACKEND_MAP(X)
#undef X

/* name: "cpu", "vulkan", or "vulkan:" and what options->device takes; options: NULL for the defaults. The caller closes
 * it with (*out)->f->close(*out) after everything that lives in it. */
MUST_CHECK enum status backend_open(struct backend **out, const char *name, const struct backend_options *options,
                                    struct error *err);

/* What `limn devices` tells of a device; its number is its place in the list. */
struct backend_device {
    char name[256];
    const char *type;  /* "discrete GPU", "software device", ... */
    char driver[576];  /* its name and version */
    char version[16];  /* of Vulkan: "1.3.230" */
    uint64_t memory;   /* bytes that are the device's own, or that it shares with the host */
    char kernels[160]; /* the families of kernels that it can run, the fastest first: "subgroup, products" */
    bool software;     /* runs only when it is named */
    char problem[ERROR_TEXT_BYTES]; /* why it cannot be opened; then all else is empty. "": it can */
};

enum { BACKEND_MOST_DEVICES = 16 };

/* The devices beside the CPU, the best first, by the numbers that "vulkan:N" takes. STATUS_UNSUPPORTED, with a
 * sentence, where there can be none: without the loader, or in a build without Vulkan. */
MUST_CHECK enum status backend_devices(struct backend_device list[BACKEND_MOST_DEVICES], int *count, struct error *err);

/* The yardstick of limn bench: GFLOP/s of f32 matrix products by the library that the CPU backend is built on, with
 * this many threads (0: all processors). */
MUST_CHECK enum status backend_sgemm(double *gflops, int threads, struct error *err);

#endif
