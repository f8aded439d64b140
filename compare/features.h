/* SPDX-License-Identifier: MIT
 *
 * Sets of features and of pictures as arrays, and what every measure asks of them before it starts.
 *
 *     struct features a = {.values = directions, .count = 64, .width = 512, .name = "the GAN's pictures"};
 *     features_check(&a, 2, &err);         "the GAN's pictures: 1 picture; at least 2 are needed"
 */
#ifndef COMPARE_FEATURES_H
#define COMPARE_FEATURES_H

#include "core/base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { FEATURES_MAX_COUNT = 1000000, FEATURES_MAX_WIDTH = 65536 };

/* A row for each picture (or text). */
struct features {
    const float *values; /* borrowed; [count, width] */
    int64_t count;       /* 0: there is no such set */
    int64_t width;
    const char *name; /* borrowed; for sentences; NULL: "the pictures" */
};

/* The pictures themselves, all of one size: 8-bit RGB, [count, height, width, 3]. */
struct pixels {
    const uint8_t *values; /* borrowed */
    int64_t count;         /* 0: there are none */
    int width, height;
    const char *name; /* as above */
};

/* Who watches a long measure. Any member may be NULL, and so may a pointer to it. */
struct measures_watch {
    void *context;
    bool (*cancelled)(void *context); /* true: stop with STATUS_CANCELLED */
    void (*progress)(void *context, const char *what, int64_t done, int64_t total); /* what: "features", "FID", ... */
};

/* At least so many rows, a sound shape, and every value finite. */
MUST_CHECK enum status features_check(const struct features *f, int64_t least, struct error *err);
/* Both as above, and equally wide. */
MUST_CHECK enum status features_check_pair(const struct features *a, const struct features *b, int64_t least,
                                           struct error *err);
const char *features_name(const struct features *f);

/* STATUS_CANCELLED if the watch asks to stop; it is told what is done so far. */
MUST_CHECK enum status measures_step(const struct measures_watch *watch, const char *what, int64_t done, int64_t total,
                                     struct error *err);

#endif
