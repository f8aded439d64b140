/* SPDX-License-Identifier: MIT
 *
 * Layers: an operation together with its named parameters. The name is a printf format, so that a builder reads like
 * the checkpoint it mirrors:
 *
 *     h = nn_conv2d(g, h, 320, 3, (struct conv){.stride = 1, .pad = PAD(1)}, "%s.in_layers.2", prefix);
 *
 * Each adds ".weight" and ".bias" to the name. Input widths come from the operand's shape.
 */
#ifndef NN_LAYERS_H
#define NN_LAYERS_H

#include "core/tensor/graph.h"

struct node *nn_linear(struct graph *g, struct node *x, int64_t out, const char *format, ...) PRINTF_LIKE(4, 5);
struct node *nn_linear_no_bias(struct graph *g, struct node *x, int64_t out, const char *format, ...) PRINTF_LIKE(4, 5);
struct node *nn_conv2d(struct graph *g, struct node *x, int64_t out, int kernel, struct conv conv, const char *format,
                       ...) PRINTF_LIKE(6, 7);
struct node *nn_group_norm(struct graph *g, struct node *x, struct norm norm, const char *format, ...)
    PRINTF_LIKE(4, 5);
struct node *nn_layer_norm(struct graph *g, struct node *x, float eps, const char *format, ...) PRINTF_LIKE(4, 5);

#endif
