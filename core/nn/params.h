/* SPDX-License-Identifier: MIT
 *
 * Named parameters: the weights of a model in a backend's memory, bound to graphs by name.
 *
 *     params_create(&params, backend, &err);
 *     params_load(params, &graph, checkpoint, &err)        every parameter of the graph is found, checked and uploaded
 *
 * Loading is binding by name. A weight that is already there (another graph asked for it) is shared. All missing and
 * mis-shaped tensors are named in one report, not only the first.
 */
#ifndef NN_PARAMS_H
#define NN_PARAMS_H

#include "core/io/checkpoint.h"
#include "core/tensor/exec.h"

struct params;

MUST_CHECK enum status params_create(struct params **out, struct backend *backend, struct error *err);
void params_destroy(struct params *params); /* after all graphs that use it */
size_t params_bytes(const struct params *params);

/* Weights that are loaded from now on are stored as `dtype`, which must be one that stores weights; DTYPE_COUNT, which
 * holds until this is called: as the checkpoint has them. Either way only the weights of products and the tables of
 * embeddings are other than F32, and of Q8_0 and Q4_0 only those whose rows, in limn's layout, are whole blocks; what
 * cannot be stored so stays as it is in the checkpoint, or becomes F32. */
void params_store_as(struct params *params, enum dtype dtype);

/* Binds every PARAM node of the graph. Shapes are compared without trailing ones (a 1x1 convolution may stand for a
 * linear layer). Tensors with NaN or infinite values, or with values too large for what stores them, are refused by
 * name. */
MUST_CHECK enum status params_load(struct params *params, struct graph *graph, const struct checkpoint *checkpoint,
                                   struct error *err);

#endif
