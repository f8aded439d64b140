/* SPDX-License-Identifier: MIT
 *
 * Shapes: up to four dimensions, the last one contiguous. Pictures are [B, H, W, C] (NHWC), tokens are [B, T, D].
 *
 *     struct shape s = SHAPE(batch, height, width, channels);
 */
#ifndef TENSOR_SHAPE_H
#define TENSOR_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

enum { SHAPE_MAX_RANK = 4 };

struct shape {
    int rank; /* 0 for a nil node, 1..4 otherwise */
    int64_t dim[SHAPE_MAX_RANK];
};

#define SHAPE(...) shape_make((int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__})

static inline struct shape shape_make(int rank, const int64_t *dim)
{
    struct shape shape = {.rank = rank};
    for (int i = 0; i < rank && i < SHAPE_MAX_RANK; i++) shape.dim[i] = dim[i];
    return shape;
}

static inline int64_t shape_count(struct shape shape)
{
    int64_t count = shape.rank > 0;
    for (int i = 0; i < shape.rank; i++) count *= shape.dim[i];
    return count;
}

/* Dimension i; negative i counts from the end: shape_dim(s, -1) is the channels. 0 where there is none, so that a
 * builder may ask a nil node. */
static inline int64_t shape_dim(struct shape shape, int i)
{
    if (i < 0) i += shape.rank;
    return i < 0 || i >= shape.rank ? 0 : shape.dim[i];
}

/* How many rows of the last dimension there are. */
static inline int64_t shape_rows(struct shape shape)
{
    const int64_t channels = shape_dim(shape, -1);
    return channels ? shape_count(shape) / channels : 0;
}

static inline bool shape_equal(struct shape a, struct shape b)
{
    if (a.rank != b.rank) return false;
    for (int i = 0; i < a.rank; i++)
        if (a.dim[i] != b.dim[i]) return false;
    return true;
}

/* Rank 1..4, every dimension at least 1, at most 2^40 elements: so bytes and offsets never overflow. */
bool shape_valid(struct shape shape);

enum { SHAPE_TEXT_BYTES = 96 };

/* "[2, 64, 64, 320]" in the caller's buffer, which is returned. */
const char *shape_text(struct shape shape, char text[SHAPE_TEXT_BYTES]);

#endif
