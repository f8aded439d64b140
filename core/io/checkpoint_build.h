/* SPDX-License-Identifier: MIT
 *
 * A checkpoint while it is read: what the readers of the file formats (safetensors.c, gguf.c, torch_file.c, folder.c)
 * share. A reader adds files, blocks, metadata and tensors; checkpoint_finish sorts. A half-built checkpoint can be
 * closed.
 */
#ifndef IO_CHECKPOINT_BUILD_H
#define IO_CHECKPOINT_BUILD_H

#include "core/base/memory.h"
#include "core/io/checkpoint.h"
#include "core/io/file.h"

struct checkpoint_file {
    struct mapped_file map; /* owned */
    struct checkpoint_file *next;
};

struct checkpoint_block {
    void *bytes; /* owned */
    struct checkpoint_block *next;
};

struct checkpoint_note {
    const char *key, *value;
    struct checkpoint_note *next;
};

struct checkpoint {
    enum checkpoint_format format;
    struct arena arena;     /* names, metadata and the lists */
    struct tensor *tensors; /* owned */
    int count, capacity;
    struct checkpoint_file *files;
    struct checkpoint_block *blocks; /* tensor data that could not be used where it lies in a file */
    struct checkpoint_note *notes;
    uint64_t file_bytes;
    uint64_t block_bytes;
};

/* Maps a file for as long as the checkpoint lives. */
MUST_CHECK enum status checkpoint_map(struct checkpoint *c, const char *path, struct mapped_file *out,
                                      struct error *err);

/* Memory for data that has to be unpacked or gathered. All of it together may be BLOCK_FACTOR times the files: so much
 * do honest files never need, and a small hostile one cannot ask for more. */
enum { CHECKPOINT_BLOCK_FACTOR = 16, CHECKPOINT_BLOCK_FREE = 64 << 20 };
MUST_CHECK enum status checkpoint_block(struct checkpoint *c, size_t bytes, const char *file, void **out,
                                        struct error *err);

/* Name and shape are copied; `prefix` may be "". The data must outlive the checkpoint or belong to it. */
MUST_CHECK enum status checkpoint_add(struct checkpoint *c, const char *prefix, const struct tensor *tensor,
                                      struct error *err);
MUST_CHECK enum status checkpoint_note(struct checkpoint *c, const char *key, const char *value, size_t bytes,
                                       struct error *err);

/* Sorts by name and refuses two of one name. */
MUST_CHECK enum status checkpoint_finish(struct checkpoint *c, const char *path, struct error *err);

/* Reads one file that lies in memory; `name` is for sentences, `prefix` goes before each tensor's name. */
MUST_CHECK enum status checkpoint_read_memory(struct checkpoint *c, const unsigned char *bytes, size_t size,
                                              const char *name, const char *prefix, struct error *err);

/* As checkpoint_open for a file's bytes, which must outlive the checkpoint: for tests and fuzzers. */
MUST_CHECK enum status checkpoint_open_memory(struct checkpoint **out, const void *bytes, size_t size, const char *name,
                                              struct error *err);

/* Elements of a shape and their bytes; false if a dimension is negative, a product does not fit or the elements are not
 * whole blocks of the type. */
bool checkpoint_measure(int rank, const int64_t *dim, enum dtype dtype, int64_t *count, uint64_t *bytes);

#endif
