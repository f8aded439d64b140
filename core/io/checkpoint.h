/* SPDX-License-Identifier: MIT
 *
 * A checkpoint is a set of named tensors read from files: .safetensors, .gguf, .ckpt/.pth (zip + pickle), or a
 * diffusers folder (shards included). The kind of file is found from its first bytes, never from its name.
 *
 *     checkpoint_open(&c, "model.safetensors", &err);
 *     const struct tensor *t = checkpoint_find(c, "model.diffusion_model.out.2.weight");
 *     checkpoint_close(c);
 *
 * Files are memory-mapped; every offset is checked against the file before a tensor is handed out. Nothing in a file is
 * ever executed. After reading a large tensor, checkpoint_release gives its pages back to the system.
 */
#ifndef IO_CHECKPOINT_H
#define IO_CHECKPOINT_H

#include "core/base/dtype.h"
#include "core/base/status.h"

#include <stdbool.h>

enum { CHECKPOINT_MAX_RANK = 8 };

struct tensor {
    const char *name; /* borrowed from the checkpoint */
    enum dtype dtype;
    int rank; /* 0: a single number */
    int64_t dim[CHECKPOINT_MAX_RANK];
    int64_t count;    /* elements */
    const void *data; /* borrowed; contiguous, row-major, little-endian; any alignment */
};

struct checkpoint;

/* path: a file, or a folder in diffusers' layout (model_index.json) or transformers' (config.json). Tensors of the
 * first get their part as a prefix: "unet/down_blocks.0...", "vae/...", "text_encoder/...". */
MUST_CHECK enum status checkpoint_open(struct checkpoint **out, const char *path, struct error *err);
void checkpoint_close(struct checkpoint *checkpoint);

int checkpoint_count(const struct checkpoint *checkpoint);
const struct tensor *checkpoint_at(const struct checkpoint *checkpoint, int i);              /* sorted by name */
const struct tensor *checkpoint_find(const struct checkpoint *checkpoint, const char *name); /* NULL if none */
void checkpoint_release(const struct checkpoint *checkpoint, const struct tensor *tensor);

/* Text metadata: safetensors' __metadata__; for a folder the JSON files by their relative path
 * ("unet/config.json", "scheduler/scheduler_config.json", "config.json"). NULL if there is none. */
const char *checkpoint_metadata(const struct checkpoint *checkpoint, const char *key);

enum checkpoint_format { CHECKPOINT_SAFETENSORS, CHECKPOINT_GGUF, CHECKPOINT_PICKLE, CHECKPOINT_FOLDER };
enum checkpoint_format checkpoint_format(const struct checkpoint *checkpoint);
uint64_t checkpoint_file_bytes(const struct checkpoint *checkpoint);

/* Renames tensors: `rename` returns the new name in `out` (NUL-terminated) and true, or false to keep the old one.
 * Used to give published layouts the names that limn's builders use. */
enum { CHECKPOINT_NAME_BYTES = 256 };
MUST_CHECK enum status checkpoint_rename(struct checkpoint *checkpoint,
                                         bool (*rename)(void *context, const char *old,
                                                        char out[CHECKPOINT_NAME_BYTES]),
                                         void *context, struct error *err);

#endif
