/* SPDX-License-Identifier: MIT */
#include "core/nn/layers.h"

#include <stdarg.h>
#include <stdio.h>

enum { NAME_BYTES = 256 };

/* The two names of a layer. */
struct names {
    char weight[NAME_BYTES], bias[NAME_BYTES];
};

/* False if the graph has failed already, or if the name is too long (which then sticks). */
static bool make_names(struct graph *g, struct names *names, const char *format, va_list args)
{
    enum { LONGEST_ENDING = sizeof ".weight" };
    char prefix[NAME_BYTES];
    const int length = vsnprintf(prefix, sizeof prefix, format, args);
    if (length < 0 || length > NAME_BYTES - LONGEST_ENDING) {
        graph_fail(g, STATUS_ARGUMENT, "the name of a layer, '%.60s...', is longer than %d bytes", prefix,
                   NAME_BYTES - LONGEST_ENDING);
        return false;
    }
    snprintf(names->weight, NAME_BYTES, "%.*s.weight", NAME_BYTES - LONGEST_ENDING, prefix);
    snprintf(names->bias, NAME_BYTES, "%.*s.bias", NAME_BYTES - LONGEST_ENDING, prefix);
    return g->error.status == STATUS_OK;
}

/* Makes the names from the calling function's own format and arguments. */
#define MAKE_NAMES(ready, names)                                                                                       \
    va_list args;                                                                                                      \
    va_start(args, format);                                                                                            \
    const bool ready = make_names(g, &names, format, args);                                                            \
    va_end(args)

static struct node *vector(struct graph *g, const char *name, int64_t width)
{
    return graph_param(g, name, PARAM_PLAIN, SHAPE(width));
}

struct node *nn_linear(struct graph *g, struct node *x, int64_t out, const char *format, ...)
{
    struct names names;
    MAKE_NAMES(ready, names);
    if (!ready) return &g->nil;
    struct node *w = graph_param(g, names.weight, PARAM_PLAIN, SHAPE(out, shape_dim(x->shape, -1)));
    return graph_linear(g, x, w, vector(g, names.bias, out));
}

struct node *nn_linear_no_bias(struct graph *g, struct node *x, int64_t out, const char *format, ...)
{
    struct names names;
    MAKE_NAMES(ready, names);
    if (!ready) return &g->nil;
    struct node *w = graph_param(g, names.weight, PARAM_PLAIN, SHAPE(out, shape_dim(x->shape, -1)));
    return graph_linear(g, x, w, NULL);
}

struct node *nn_conv2d(struct graph *g, struct node *x, int64_t out, int kernel, struct conv conv, const char *format,
                       ...)
{
    struct names names;
    MAKE_NAMES(ready, names);
    if (!ready) return &g->nil;
    struct node *w = graph_param(g, names.weight, PARAM_CONV, SHAPE(out, kernel, kernel, shape_dim(x->shape, -1)));
    return graph_conv2d(g, x, w, vector(g, names.bias, out), conv);
}

struct node *nn_group_norm(struct graph *g, struct node *x, struct norm norm, const char *format, ...)
{
    struct names names;
    MAKE_NAMES(ready, names);
    if (!ready) return &g->nil;
    const int64_t width = shape_dim(x->shape, -1);
    return graph_group_norm(g, x, vector(g, names.weight, width), vector(g, names.bias, width), norm);
}

struct node *nn_layer_norm(struct graph *g, struct node *x, float eps, const char *format, ...)
{
    struct names names;
    MAKE_NAMES(ready, names);
    if (!ready) return &g->nil;
    const int64_t width = shape_dim(x->shape, -1);
    return graph_layer_norm(g, x, vector(g, names.weight, width), vector(g, names.bias, width), eps);
}
