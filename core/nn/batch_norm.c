/* SPDX-License-Identifier: MIT */
#include "core/nn/batch_norm.h"

#include <stdarg.h>
#include <stdio.h>

enum { NAME_BYTES = 256 };

/* The parameter PREFIX.what, [C] as x has channels. */
static struct node *vector(struct graph *g, const struct node *x, const char *prefix, const char *what)
{
    char name[NAME_BYTES + 16];
    snprintf(name, sizeof name, "%s.%s", prefix, what);
    return graph_param(g, name, PARAM_PLAIN, SHAPE(shape_dim(x->shape, -1)));
}

static bool make_prefix(struct graph *g, char prefix[NAME_BYTES], const char *format, va_list args)
{
    if (vsnprintf(prefix, NAME_BYTES, format, args) >= NAME_BYTES)
        graph_fail(g, STATUS_ARGUMENT, "the name of a layer, '%.60s...', is longer than %d bytes", prefix,
                   NAME_BYTES - 1);
    return g->error.status == STATUS_OK;
}

struct node *nn_batch_norm(struct graph *g, struct node *x, float eps, const char *format, ...)
{
    char prefix[NAME_BYTES];
    va_list args;
    va_start(args, format);
    const bool ready = make_prefix(g, prefix, format, args);
    va_end(args);
    if (!ready) return &g->nil;
    return graph_batch_norm(g, x, vector(g, x, prefix, "weight"), vector(g, x, prefix, "bias"),
                            vector(g, x, prefix, "running_mean"), vector(g, x, prefix, "running_var"), eps);
}

/* The batch as one picture whose pixels are all its pixels, and a group for each channel: then batch norm is group norm
 * (Wu and He 2018, arXiv 1803.08494), and has its kernels and its gradients. */
struct node *nn_batch_norm_training(struct graph *g, struct node *x, float eps, struct batch_statistics *statistics,
                                    const char *format, ...)
{
    char prefix[NAME_BYTES];
    va_list args;
    va_start(args, format);
    const bool ready = make_prefix(g, prefix, format, args);
    va_end(args);
    if (!ready) return &g->nil;
    const int64_t C = shape_dim(x->shape, -1), rows = shape_rows(x->shape);
    if (rows < 2) return graph_fail(g, STATUS_ARGUMENT, "%s: a batch norm learns nothing from one value", prefix);
    struct node *all = graph_reshape(g, x, SHAPE(1, rows, C));
    if (statistics) {
        struct node *mean = graph_reduce(g, REDUCE_MEAN, all, 1u << 1);
        struct node *apart = graph_binary(g, BINARY_SUB, all, mean);
        struct node *sum = graph_reduce(g, REDUCE_SUM, graph_mul(g, apart, apart), 1u << 1);
        statistics->mean = graph_reshape(g, mean, SHAPE(C));
        statistics->variance = graph_reshape(g, graph_scale(g, sum, 1 / (float)(rows - 1), 0), SHAPE(C));
    }
    struct node *y = graph_group_norm(g, all, vector(g, x, prefix, "weight"), vector(g, x, prefix, "bias"),
                                      (struct norm){.groups = (int)C, .eps = eps});
    return graph_reshape(g, y, x->shape);
}
