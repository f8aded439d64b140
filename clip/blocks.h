/* SPDX-License-Identifier: MIT
 *
 * Residual attention blocks: both halves of CLIP are stacks of them. A checkpoint names their parts in one of two ways,
 * which differ in whether q, k and v are one tensor.
 *
 *     struct blocks blocks = {.prefix = "visual.transformer.resblocks", .joined = true};
 *     blocks_detect(&blocks, checkpoint, "the image tower", &err);
 *     x = blocks_build(&graph, &blocks, x, blocks.layers);
 *
 *     x [B, T, D]
 */
#ifndef CLIP_BLOCKS_H
#define CLIP_BLOCKS_H

#include "core/io/checkpoint.h"
#include "core/tensor/graph.h"

enum { BLOCKS_MAX_LAYERS = 256, BLOCKS_MAX_WIDTH = 16384 };

struct blocks {
    const char *prefix; /* borrowed; what stands before a block's number in its tensors' names */
    bool joined;        /* OpenAI's and OpenCLIP's names; else Hugging Face's */
    bool causal;        /* a token sees only those before it */
    int layers, mlp_width;
    int heads;             /* not in any tensor, like the next */
    enum unary activation; /* GELU or QUICK_GELU */
};

/* For a tower that is to be trained: given prefix, joined and causal, sets the rest, with an MLP of four widths and
 * quick-GELU. */
MUST_CHECK enum status blocks_create(struct blocks *blocks, int width, int layers, int heads, const char *what,
                                     struct error *err);

/* Finds layers and mlp_width, given prefix and joined. `what` names the tower in sentences. */
MUST_CHECK enum status blocks_detect(struct blocks *blocks, const struct checkpoint *checkpoint, const char *what,
                                     struct error *err);

/* Reads heads and activation from a JSON object in the checkpoint's metadata, as far as they are there. */
struct blocks_json {
    const char *key, *member; /* the metadata's, and of the object inside it; member NULL: the whole text */
    const char *heads, *activation;
};
MUST_CHECK enum status blocks_read_json(struct blocks *blocks, const struct checkpoint *checkpoint,
                                        const struct blocks_json *json, const char *what, struct error *err);
/* After that: the heads must divide the width. */
MUST_CHECK enum status blocks_check_heads(const struct blocks *blocks, int width, const char *what, struct error *err);

/* "quick_gelu" or "gelu", as Hugging Face writes them. False for any other name. */
bool blocks_activation(const char *name, enum unary *activation);

/* The first `layers` blocks. */
struct node *blocks_build(struct graph *g, const struct blocks *blocks, struct node *x, int layers);

/* What follows the blocks: a layer norm, and a product with a matrix that lies there as [out, D], or as [D, out] in
 * OpenAI's checkpoints; `name` is the tensor's whole name. */
struct node *blocks_norm(struct graph *g, struct node *x, const char *name);
struct node *blocks_project(struct graph *g, const struct blocks *blocks, struct node *x, int64_t out,
                            const char *name);

/* Finds a matrix whose dimensions lie within limits; NULL and a sentence if it is not there or is too large. */
const struct tensor *blocks_find_matrix(const struct checkpoint *checkpoint, const char *name, int64_t most_rows,
                                        int64_t most_columns, const char *what, struct error *err);

#endif
