/* SPDX-License-Identifier: MIT
 *
 * A graph says what to compute. Model files build it with the calls below; a backend runs it (core/tensor/exec.h).
 *
 *     struct graph g = {0};
 *     struct node *x = graph_input(&g, "x", DTYPE_F32, SHAPE(1, 64, 64, 4));
 *     struct node *w = graph_param(&g, "conv_in.weight", PARAM_CONV, SHAPE(320, 3, 3, 4));
 *     struct node *y = graph_conv2d(&g, x, w, NULL, (struct conv){.stride = 1, .pad = PAD(1)});
 *     graph_output(&g, "y", y);
 *     ... exec_create(&exec, &g, backend, ...) ...
 *     graph_clear(&g);
 *
 * Building cannot half-fail. The first error sticks in the graph, every later call returns a nil node, and exec_create
 * reports it. So builders hold no error checks. Nodes belong to the graph and die in graph_clear.
 *
 * Values are F32; only ids are I32, and only embedding and reshape take them.
 *
 * The set of operations is closed (OP_MAP): the gradient of each is written with operations of the set, so a backend
 * that runs the forward pass can train.
 */
#ifndef TENSOR_GRAPH_H
#define TENSOR_GRAPH_H

#include "core/base/dtype.h"
#include "core/base/memory.h"
#include "core/base/status.h"
#include "core/tensor/shape.h"

/* X(name, text, fewest inputs, most inputs). Optional inputs keep their place: a missing one is a NULL pointer. */
#define OP_MAP(X)                                                                                                      \
    X(INPUT, "input", 0, 0)                                                                                            \
    X(PARAM, "param", 0, 0)                                                                                            \
    X(CONSTANT, "constant", 0, 0)                                                                                      \
    X(LINEAR, "linear", 2, 4)                     /* x, w, bias?, residual? */                                         \
    X(MATMUL, "matmul", 2, 2)                     /* a, b */                                                           \
    X(CONV2D, "conv2d", 2, 4)                     /* x, w, bias?, residual? */                                         \
    X(CONV2D_TRANSPOSE, "conv2d_transpose", 2, 3) /* x, w, bias? */                                                    \
    X(GROUP_NORM, "group_norm", 1, 3)             /* x, weight?, bias? */                                              \
    X(LAYER_NORM, "layer_norm", 1, 3)             /* x, weight?, bias? */                                              \
    X(BATCH_NORM, "batch_norm", 5, 5)             /* x, weight, bias, running mean, running variance */                \
    X(UNARY, "unary", 1, 1)                                                                                            \
    X(BINARY, "binary", 2, 2)                                                                                          \
    X(SCALE, "scale", 1, 1)                                                                                            \
    X(GEGLU, "geglu", 1, 1)                                                                                            \
    X(ATTENTION, "attention", 3, 3) /* q, k, v */                                                                      \
    X(SOFTMAX, "softmax", 1, 1)                                                                                        \
    X(EMBEDDING, "embedding", 2, 2) /* ids, table */                                                                   \
    X(UPSAMPLE, "upsample", 1, 1)                                                                                      \
    X(AVERAGE_POOL, "average_pool", 1, 1)                                                                              \
    X(CONCAT, "concat", 2, 2)                                                                                          \
    X(SLICE, "slice", 1, 1)                                                                                            \
    X(RESHAPE, "reshape", 1, 1)                                                                                        \
    X(PERMUTE, "permute", 1, 1)                                                                                        \
    X(REDUCE, "reduce", 1, 1)                                                                                          \
    X(BROADCAST, "broadcast", 1, 1)                                                                                    \
    X(PAD, "pad", 1, 1)                                                                                                \
    X(SCATTER, "scatter", 2, 2)               /* ids, rows */                                                          \
    X(CONV2D_WEIGHT, "conv2d_weight", 2, 2)   /* x, dy */                                                              \
    X(NORM_GRADIENT, "norm_gradient", 2, 2)   /* x, dy */                                                              \
    X(UNARY_GRADIENT, "unary_gradient", 2, 2) /* x, dy */

enum op {
#define X(name, text, fewest, most) OP_##name,
    OP_MAP(X)
#undef X
        OP_COUNT
};

/* X(name, text). NONE is the identity. GELU is the erf form, GELU_TANH the tanh approximation (Hendrycks & Gimpel
 * 2016), QUICK_GELU is x*sigmoid(1.702x) as in OpenAI's CLIP. LEAKY_RELU's slope is the node's alpha. SOFTPLUS is
 * log(1 + e^x), STEP is 1 above 0 and else 0. */
#define UNARY_MAP(X)                                                                                                   \
    X(NONE, "none")                                                                                                    \
    X(SILU, "silu")                                                                                                    \
    X(GELU, "gelu")                                                                                                    \
    X(GELU_TANH, "gelu_tanh")                                                                                          \
    X(QUICK_GELU, "quick_gelu")                                                                                        \
    X(RELU, "relu")                                                                                                    \
    X(LEAKY_RELU, "leaky_relu")                                                                                        \
    X(TANH, "tanh")                                                                                                    \
    X(SIGMOID, "sigmoid")                                                                                              \
    X(EXP, "exp")                                                                                                      \
    X(LOG, "log")                                                                                                      \
    X(SQRT, "sqrt")                                                                                                    \
    X(SOFTPLUS, "softplus")                                                                                            \
    X(STEP, "step")

enum unary {
#define X(name, text) UNARY_##name,
    UNARY_MAP(X)
#undef X
        UNARY_COUNT
};

enum binary { BINARY_ADD, BINARY_SUB, BINARY_MUL, BINARY_DIV };
enum reduce { REDUCE_SUM, REDUCE_MEAN, REDUCE_MAX };

/* How a parameter lies in a checkpoint, and so how it is turned when it is loaded. Inside limn a convolution's weight
 * is [out, kh, kw, in]: a matrix of out rows, each as long as one patch, just like a linear layer's [out, in]. */
enum param_layout {
    PARAM_PLAIN,          /* as it stands */
    PARAM_CONV,           /* checkpoint [out, in, kh, kw] -> [out, kh, kw, in] */
    PARAM_CONV_TRANSPOSE, /* checkpoint [in, out, kh, kw] -> [in, kh, kw, out] */
};

struct padding {
    int top, left, bottom, right;
};
#define PAD(n) ((struct padding){(n), (n), (n), (n)})

struct conv {
    int stride;         /* >= 1, both directions */
    struct padding pad; /* zeros around the picture; for the transpose: cut from the result, and bottom and right may
                           be negative down to 1 - stride: so much is added (PyTorch's output_padding) */
};

struct norm {
    int groups;     /* group norm only; divides the channels */
    float eps;      /* > 0 */
    enum unary act; /* applied to the result: NONE or SILU, usually set by fusion */
};

struct attention {
    int heads;   /* divides the width of q, k and v */
    bool causal; /* token i sees tokens 0..i only */
    float scale; /* 0 means 1/sqrt(width / heads) */
};

enum { NODE_MAX_INPUTS = 5 };

struct node {
    enum op op;
    enum dtype dtype; /* of the result: F32, I32 (ids), or for a parameter what stores it */
    struct shape shape;
    struct node *input[NODE_MAX_INPUTS];
    int inputs;       /* highest used place + 1 */
    int index;        /* position in graph->nodes, which is an order of evaluation */
    const char *name; /* of inputs, parameters and outputs; else NULL */
    union {
        struct {
            /* y = act(x w^T + bias) + residual; the residual has the result's shape, or is [B, 1, 1, C]: one row a
             * picture. Activation and residual are set by fusion (core/tensor/fuse.c); the transpose has neither. */
            enum unary act;
            struct conv conv; /* CONV2D, its transpose and its CONV2D_WEIGHT */
        } gemm;
        struct {
            bool transpose_a, transpose_b;
        } matmul;
        struct norm norm;
        struct {
            enum unary kind;
            float alpha;
        } unary; /* and UNARY_GRADIENT */
        enum binary binary;
        struct {
            float factor, offset; /* y = factor * x + offset */
        } scale;
        struct attention attention;
        int upsample; /* factor */
        struct {
            int kernel, stride;
        } pool;
        int axis; /* CONCAT, SOFTMAX */
        struct {
            int axis;
            int64_t start;
        } slice;                     /* and PAD, of which it is the inverse */
        int permute[SHAPE_MAX_RANK]; /* result dimension i is input dimension permute[i] */
        struct {
            enum reduce kind;
            unsigned axes; /* bit i: dimension i is reduced to 1 */
        } reduce;
        struct {
            enum param_layout layout;
            int64_t first_row, total_rows; /* rows first_row.. of a tensor of total_rows; total 0: the whole tensor */
            struct weight *weight;         /* borrowed; set when the parameter is bound (core/nn/params.h) */
        } param;
        const float *constant; /* owned by the graph */
    } as;
};

/* Zero-initialised it is a valid empty graph. */
struct graph {
    struct arena arena;
    struct node **nodes; /* owned; in order of evaluation */
    int count, capacity;
    struct node **outputs; /* owned */
    int output_count;
    struct error error; /* the first thing that went wrong while building */
    struct node nil;    /* what every call returns after that; its rank is 0 */
};

void graph_clear(struct graph *g);
struct node *graph_find(const struct graph *g, const char *name); /* input, parameter or output; NULL if none */
/* Records a builder's own complaint as the sticky error and returns the nil node. */
struct node *graph_fail(struct graph *g, enum status status, const char *format, ...) PRINTF_LIKE(3, 4);

/* ---- leaves ---- names are copied. A parameter asked for twice is one node. */
struct node *graph_input(struct graph *g, const char *name, enum dtype dtype, struct shape shape);
struct node *graph_param(struct graph *g, const char *name, enum param_layout layout, struct shape shape);
/* Rows first..first+shape[0] of the tensor `name`, whose first dimension is `total` (OpenCLIP's joined q, k, v). */
struct node *graph_param_rows(struct graph *g, const char *name, struct shape shape, int64_t first, int64_t total);
struct node *graph_constant(struct graph *g, struct shape shape, const float *values); /* values are copied */
void graph_output(struct graph *g, const char *name, struct node *node);

/* ---- products ---- */
/* x [..., K], w [N, K], bias [N] or NULL -> [..., N]. */
struct node *graph_linear(struct graph *g, struct node *x, struct node *w, struct node *bias);
/* a [..., M, K] (or [..., K, M] if transposed), b likewise -> [..., M, N]; equal leading dimensions. Those may be a
 * batch; M may not: a row's last bits depend on how many there are. Pictures as rows belong into a linear layer. */
struct node *graph_matmul(struct graph *g, struct node *a, struct node *b, bool transpose_a, bool transpose_b);
/* x [B, H, W, I], w [O, kh, kw, I] -> [B, (H + pads - kh)/stride + 1, ..., O]. */
struct node *graph_conv2d(struct graph *g, struct node *x, struct node *w, struct node *bias, struct conv conv);
/* x [B, H, W, I], w [I, kh, kw, O] -> [B, (H - 1)*stride + kh - pads, ..., O]. */
struct node *graph_conv2d_transpose(struct graph *g, struct node *x, struct node *w, struct node *bias,
                                    struct conv conv);
/* q [B, T, D], k and v [B, S, D] -> [B, T, D]; softmax(q k^T * scale) v per head, without the T x S matrix in memory
 * (Dao et al. 2022, arXiv 2205.14135). */
struct node *graph_attention(struct graph *g, struct node *q, struct node *k, struct node *v,
                             struct attention attention);

/* ---- normalisation ---- over [B, H, W, C] or [B, T, C] */
struct node *graph_group_norm(struct graph *g, struct node *x, struct node *weight, struct node *bias,
                              struct norm norm);
struct node *graph_layer_norm(struct graph *g, struct node *x, struct node *weight, struct node *bias, float eps);
struct node *graph_batch_norm(struct graph *g, struct node *x, struct node *weight, struct node *bias,
                              struct node *mean, struct node *variance, float eps);

/* ---- element by element ---- */
struct node *graph_unary(struct graph *g, struct node *x, enum unary kind);
struct node *graph_leaky_relu(struct graph *g, struct node *x, float slope);
/* Dimensions of 1 in either operand are repeated to the other's; equal ranks. */
struct node *graph_binary(struct graph *g, enum binary kind, struct node *a, struct node *b);
struct node *graph_add(struct graph *g, struct node *a, struct node *b);
struct node *graph_mul(struct graph *g, struct node *a, struct node *b);
struct node *graph_scale(struct graph *g, struct node *x, float factor, float offset);
/* x [..., 2D] -> [..., D]: the first half times GELU of the second (Shazeer 2020, arXiv 2002.05202). */
struct node *graph_geglu(struct graph *g, struct node *x);
struct node *graph_softmax(struct graph *g, struct node *x, int axis);

/* ---- moving ---- */
/* ids I32 [B, T], table [V, D] -> [B, T, D]; an id outside the table is an error when it runs. */
struct node *graph_embedding(struct graph *g, struct node *ids, struct node *table);
struct node *graph_upsample(struct graph *g, struct node *x, int factor); /* nearest neighbour */
struct node *graph_average_pool(struct graph *g, struct node *x, int kernel, int stride);
struct node *graph_concat(struct graph *g, struct node *a, struct node *b, int axis);
struct node *graph_slice(struct graph *g, struct node *x, int axis, int64_t start, int64_t length);
struct node *graph_reshape(struct graph *g, struct node *x, struct shape shape);
struct node *graph_permute(struct graph *g, struct node *x, const int order[]);
struct node *graph_reduce(struct graph *g, enum reduce kind, struct node *x, unsigned axes); /* bit i: dimension i */

/* ---- what gradients are made of (core/tensor/gradient.h) ---- dy is the gradient of an operation's result */
struct node *graph_broadcast(struct graph *g, struct node *x, struct shape shape); /* repeats dimensions of 1 */
/* Zeros around: the axis becomes `length` long, and x begins at `start`. */
struct node *graph_pad(struct graph *g, struct node *x, int axis, int64_t start, int64_t length);
/* ids I32 [B, T], rows [B, T, D] -> [count, D]: each row is added to the place that its id names. */
struct node *graph_scatter(struct graph *g, struct node *ids, struct node *rows, int64_t count);
/* Gradient of conv2d's weight: x [B, H, W, I], dy [B, h, w, O] -> [O, height, width, I]. */
struct node *graph_conv2d_weight(struct graph *g, struct node *x, struct node *dy, int64_t height, int64_t width,
                                 struct conv conv);
/* Gradient of group norm's operand; norm.act must be NONE, and dy already times the norm's weight. */
struct node *graph_norm_gradient(struct graph *g, struct node *x, struct node *dy, struct norm norm);
/* dy times the activation's slope at x. */
struct node *graph_unary_gradient(struct graph *g, struct node *x, struct node *dy, enum unary kind, float alpha);

const char *op_name(enum op op);
const char *unary_name(enum unary kind);

#endif
