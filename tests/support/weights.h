/* SPDX-License-Identifier: MIT
 *
 * Made-up weights: every value follows from its tensor's name and shape by the rule of tests/golden/README.md, so that
 * no weights are stored and the goldens' networks can be built again.
 *
 *     weights_write_lists(path, (const char *[]){"unet-sd1", "vae-sd"}, 2, DTYPE_F32, &err);     a tiny checkpoint
 *     weights_write_graphs(path, (struct graph *[]){&unet, &vae}, 2, DTYPE_F16, &err);           of any size
 */
#ifndef SUPPORT_WEIGHTS_H
#define SUPPORT_WEIGHTS_H

#include "core/tensor/graph.h"

/* Elements first.. of the tensor `name`, whose shape is that of a checkpoint (convolutions [out, in, kh, kw]). */
void weights_fill(float *out, const char *name, int rank, const int64_t *dim, int64_t first, int64_t n);

/* A safetensors file with the tensors of lists in tests/golden/tensors (without ".txt"), stored as F32, F16 or BF16. */
MUST_CHECK enum status weights_write_lists(const char *path, const char *const lists[], int count, enum dtype dtype,
                                           struct error *err);

/* The same with metadata. */
struct safetensors_note;
MUST_CHECK enum status weights_write_noted(const char *path, const char *const lists[], int count, enum dtype dtype,
                                           const struct safetensors_note *notes, int note_count, struct error *err);

/* A safetensors file with every parameter of the graphs, each once. */
MUST_CHECK enum status weights_write_graphs(const char *path, struct graph *const graphs[], int count, enum dtype dtype,
                                            struct error *err);

#endif
