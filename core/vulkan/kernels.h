/* SPDX-License-Identifier: MIT
 *
 * What a kernel is to the host: a row of a table. A row says for which nodes it stands and how such a node becomes
 * dispatches; that is a function of the node and the device's capabilities alone, so it is asked when a plan is made
 * (for the scratch), when it is recorded, and by tests. docs/VULKAN.md shows how a kernel is added.
 *
 * Rows stand in families, one file a family (kernels_NAME.c, shaders beside it in shaders/). For a node the first row
 * that fits wins: families in the order of VK_FAMILY_MAP, rows in the order of their table. So a fast kernel is added
 * in front of the simple one and takes what it can do.
 *
 * The rules of core/cpu/kernels.h hold here too: the result may be the very bytes of an operand that plan_overwrites
 * allows; sums are taken in an order that depends on the shape of one picture alone, never on the batch; weights and
 * tables come as F32, F16 or BF16, all else as F32, ids as I32. Where a plan has its values as F16, scratch is F32
 * still.
 */
#ifndef VULKAN_KERNELS_H
#define VULKAN_KERNELS_H

#include "core/tensor/graph.h"
#include "core/vulkan/device.h"

enum { VK_MAX_BINDINGS = 8, VK_MAX_SPECS = 24, VK_MAX_PUSHES = 32, VK_MAX_DISPATCHES = 64 };

/* VK_IN + i is the node's input i. */
enum vk_operand { VK_IN, VK_OUT = NODE_MAX_INPUTS, VK_WORK, VK_CHECK };

struct vk_binding {
    enum vk_operand operand;
    bool written;
    size_t texel;         /* bytes of one, if it is read by texels; 0: a storage buffer */
    size_t offset, bytes; /* of VK_WORK */
};

struct vk_dispatch {
    const char *shader; /* the name of its file in shaders/, without .comp */
    struct vk_binding bindings[VK_MAX_BINDINGS];
    uint32_t specs[VK_MAX_SPECS];   /* constant_id 0, 1, ... */
    uint32_t pushes[VK_MAX_PUSHES]; /* the shader's push constants, as words */
    int binding_count, spec_count, push_count;
    int texels; /* how many bindings, from the second on, are read by texels */
    uint32_t groups[3];
    uint32_t subgroup; /* the kernel relies on whole subgroups of so many lanes; 0: it does not */
    uint64_t loops;    /* most iterations of all loops of an invocation together */
    bool too_large;    /* a number did not fit into a push constant */
    bool half;         /* the shader as it is compiled for values that are halves, if there is one */
};

/* What a row makes of a node. */
struct vk_job {
    struct vk_dispatch dispatches[VK_MAX_DISPATCHES]; /* run in this order, each after the last */
    int count;
    size_t work; /* bytes of scratch for all of them; 64-byte aligned when it runs */
};

/* In place of a row's operation. */
#define VK_ANY_OP OP_COUNT

struct vk_kernel {
    const char *name;                                                  /* for profiles and tests */
    enum op op;                                                        /* or VK_ANY_OP */
    bool (*fits)(const struct vk_caps *caps, const struct node *node); /* NULL: every node of this op */
    void (*build)(const struct vk_caps *caps, const struct node *node, struct vk_job *job);
};

/* What a family makes of values that lie as F16 (struct backend, `half`). */
enum vk_halves {
    VK_NO_HALVES,         /* nothing: its shaders read F32 */
    VK_HALF_SHADERS,      /* its shaders include values.glsl, and so are compiled for either */
    VK_HALF_SHADERS_ONLY, /* the same, and there is no other form */
    VK_HALVES_ONLY,       /* it stands for nodes with such values alone, and deals with them itself */
};

struct vk_family {
    const char *name;
    const struct vk_kernel *kernels;
    int count;
    enum vk_halves halves;
    bool simple; /* the plain form, which every device runs and the others are tested against */
    bool gpu;    /* no gain on a software device, which runs it only when it is asked for by row */
};

/* X(name): vk_family_NAME of kernels_NAME.c; the faster ones first. */
#define VK_FAMILY_MAP(X)                                                                                               \
    X(matrix)                                                                                                          \
    X(subgroup)                                                                                                        \
    X(tile)                                                                                                            \
    X(split)                                                                                                           \
    X(products)                                                                                                        \
    X(norms)                                                                                                           \
    X(elements)                                                                                                        \
    X(moves)                                                                                                           \
    X(staged)

#define X(name) extern const struct vk_family vk_family_##name;
VK_FAMILY_MAP(X)
#undef X

/* What may be chosen from; zero-initialised: everything. */
struct vk_choice {
    bool simple_only;             /* as if there were no other families */
    const struct vk_kernel *only; /* this row for its operation; NULL: the first that fits. For tests */
};

/* The job of the first row that stands for the node on such a device, or NULL; then `reason` says why, if there is
 * more to say than that there is no kernel. */
const struct vk_kernel *vk_kernel_find(const struct vk_caps *caps, const struct node *node,
                                       const struct vk_choice *choice, struct vk_job *job, char *reason,
                                       size_t reason_bytes);

/* How many bytes of the value a binding shows. */
size_t vk_binding_bytes(const struct node *node, const struct vk_binding *binding);

int vk_family_count(void);
const struct vk_family *vk_family_at(int i);

/* ---- for rows: a dispatch, part by part ---- */

struct vk_dispatch *vk_dispatch_add(struct vk_job *job, const char *shader);
void vk_read(struct vk_dispatch *d, int operand);
void vk_read_or(struct vk_dispatch *d, const struct node *node, int input, int other); /* the other if it is missing */
void vk_write(struct vk_dispatch *d, int operand);
void vk_work(struct vk_dispatch *d, size_t offset, size_t bytes, bool written);
/* What was bound last is read by texels, of four elements of such a type or, where it has blocks, of a word
 * (weights4.glsl). The result comes first, then all of these, then what else there is; none may be the result's
 * bytes. */
void vk_as_texels(struct vk_dispatch *d, enum dtype dtype);
void vk_spec(struct vk_dispatch *d, uint32_t value);
void vk_push(struct vk_dispatch *d, int64_t value); /* what does not fit into 32 bits makes the row refuse the node */
void vk_push_float(struct vk_dispatch *d, float value);

/* Workgroups in x and y, at least `count` of them: shaders take theirs from group_index() of common.glsl. */
void vk_groups(const struct vk_caps *caps, struct vk_dispatch *d, int64_t count);
/* One invocation an element, in workgroups of VK_LINEAR invocations: invocation_index() of common.glsl. */
void vk_linear(const struct vk_caps *caps, struct vk_dispatch *d, int64_t count);
enum { VK_LINEAR = 64 };

/* A product whose inner dimension is cut into `parts` (at least 1): binds where its sums go, the result itself or the
 * scratch, as [part, result], and sets the workgroups in z; and the dispatch that adds them up, if there are many. */
void vk_parts_bind(struct vk_job *job, struct vk_dispatch *d, const struct node *node, int64_t parts);
void vk_parts_add(const struct vk_caps *caps, const struct node *node, struct vk_job *job, int64_t parts);

#endif
