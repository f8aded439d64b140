/* SPDX-License-Identifier: MIT
 *
 * The cases that every backend's kernels are tested on: all operations at awkward shapes, in every stored type, with
 * all that fusion may set. A case is a builder and its numbers; cases_NAME hands them to the check of a test.
 *
 *     static void check(void *context, case_builder *build, struct case_spec s);
 *     cases_conv2d(check, &fixture);
 */
#ifndef SUPPORT_CASES_H
#define SUPPORT_CASES_H

#include "core/tensor/graph.h"

enum { CASE_BATCH = 3 };

/* What a case is made of; each builder uses the parts it needs. */
struct case_spec {
    int64_t H, W, C, O; /* rows or pixels, and channels in and out */
    int64_t S;          /* keys of an attention, rows of a table */
    int kernel, stride, axis, kind;
    struct padding pad;
    enum unary act;
    int residual; /* 0 none, 1 the result's shape, 2 a row a picture */
    bool bias, causal, flag;
    enum dtype dtype; /* of weights */
    bool alone;       /* the first dimension is no batch */
};

/* Adds leaves and one node to the graph, for B pictures. */
typedef struct node *case_builder(struct graph *g, int64_t B, const struct case_spec *s);
typedef void case_check(void *context, case_builder *build, struct case_spec s);

#define CASES_MAP(X)                                                                                                   \
    X(linear)                                                                                                          \
    X(matmul)                                                                                                          \
    X(conv2d)                                                                                                          \
    X(conv2d_transpose)                                                                                                \
    X(attention)                                                                                                       \
    X(norms)                                                                                                           \
    X(elements)                                                                                                        \
    X(binary)                                                                                                          \
    X(embedding)                                                                                                       \
    X(moves)                                                                                                           \
    X(resize)                                                                                                          \
    X(reduce)                                                                                                          \
    X(gradients)                                                                                                       \
    X(conv2d_weight)

#define X(name) void cases_##name(case_check *check, void *context);
CASES_MAP(X)
#undef X

struct case_value {
    void *stored;  /* as the kernel gets it; both freed by case_value_clear */
    double *exact; /* the same as doubles */
    size_t bytes;
};

/* By the leaf's name, as "positive" and "loud"; ids are below `ids`. */
struct case_value case_value_make(const struct node *leaf, int64_t ids);
void case_value_clear(struct case_value *value);

/* Gives the node's weight the type of the case. */
void case_set_dtypes(const struct node *node, const struct case_spec *s);

void case_print(const struct node *node);

/* Fail the test if the values are not the same bits, or not within what the operation is allowed to be off. `what`
 * names the kernel, and `which` what was done differently. */
void case_check_same(const struct node *node, const float *got, const float *want, int64_t n, const char *what,
                     const char *which, int number);
void case_check_near(const struct node *node, const float *got, const double *want, const char *what);

#endif
