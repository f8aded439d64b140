/* SPDX-License-Identifier: MIT
 *
 * Batch norm (Ioffe and Szegedy 2015, arXiv 1502.03167), with parameters named as PyTorch names them: NAME.weight,
 * NAME.bias, NAME.running_mean, NAME.running_var. The name is a printf format.
 */
#ifndef NN_BATCH_NORM_H
#define NN_BATCH_NORM_H

#include "core/tensor/graph.h"

/* Of a trained network: by the statistics that training left. x [B, ..., C]. */
struct node *nn_batch_norm(struct graph *g, struct node *x, float eps, const char *format, ...) PRINTF_LIKE(4, 5);

/* What one batch was like, [C] each; the variance is unbiased. A trainer that keeps running statistics makes outputs of
 * them, and moves running_mean and running_var a tenth of the way (PyTorch's momentum) after each step. */
struct batch_statistics {
    struct node *mean, *variance;
};

/* In training: by the batch's own statistics. `statistics` may be NULL. */
struct node *nn_batch_norm_training(struct graph *g, struct node *x, float eps, struct batch_statistics *statistics,
                                    const char *format, ...) PRINTF_LIKE(5, 6);

#endif
