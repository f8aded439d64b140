/* SPDX-License-Identifier: MIT
 *
 * IDX files, in which MNIST and its followers come (http://yann.lecun.com/exdb/mnist/): numbers of one type in an array
 * of any rank. Those of bytes are read, as they are or compressed by gzip.
 *
 *     +---+---+------+------+-------------+---- - - ----+-------------- - - -
 *     | 0 | 0 | type | rank | u32 size, BE | ... rank of them | data
 *     +---+---+------+------+-------------+---- - - ----+-------------- - - -
 */
#ifndef IO_IDX_H
#define IO_IDX_H

#include "core/io/file.h"

#include <stdint.h>

enum { IDX_MAX_RANK = 4 };

struct idx {
    int rank; /* 1 to IDX_MAX_RANK */
    int64_t dim[IDX_MAX_RANK];
    const uint8_t *data;    /* dim[0] * dim[1] * ... bytes */
    struct mapped_file map; /* the file, if the data lie in it as they are */
    uint8_t *unpacked;      /* owned; if they were compressed */
};

MUST_CHECK enum status idx_open(struct idx *idx, const char *path, struct error *err);
/* As idx_open for a file's bytes, which must outlive the idx; `name` is for sentences. */
MUST_CHECK enum status idx_open_memory(struct idx *idx, const void *bytes, size_t size, const char *name,
                                       struct error *err);
void idx_close(struct idx *idx);

#endif
