/* SPDX-License-Identifier: MIT
 *
 * All distances from one set to another, a block of rows at a time, so that no table of n x n is ever held.
 *
 *     struct rows a = rows_of_features(&pictures), b = rows_of_features(&photos);
 *     rows_walk(&a, &b, &(struct rows_visit){.block = mine, .context = &sums}, &err);
 *
 * Inner products are OpenBLAS's in double, |a|^2 + |b|^2 - 2ab the distances; where that cancels (near-duplicates) they
 * are taken from the differences, so that equal rows are at exactly 0.
 */
#ifndef COMPARE_DISTANCES_H
#define COMPARE_DISTANCES_H

#include "compare/features.h"

/* Rows of floats or of bytes. */
struct rows {
    const float *values;
    const uint8_t *bytes;
    int64_t count, width;
};

struct rows rows_of_features(const struct features *features);
struct rows rows_of_pixels(const struct pixels *pixels);

/* Row `first + i` of a against all of b: table[i * columns + j], squared distances or inner products. */
struct rows_block {
    const double *table;
    int64_t first, count, columns;
};

struct rows_visit {
    void (*block)(void *context, const struct rows_block *block);
    void *context;
    bool products;                      /* inner products, not squared distances */
    const struct measures_watch *watch; /* asked after each block */
    const char *what;                   /* told to the watch */
};

/* a and b, equally wide, may be the same set. */
MUST_CHECK enum status rows_walk(const struct rows *a, const struct rows *b, const struct rows_visit *visit,
                                 struct error *err);

enum { NEAREST_MAX = 64 };

/* out[i]: squared distance from row i to the k-th nearest other row of the set, which has more than k rows;
 * k is 1 to NEAREST_MAX. */
MUST_CHECK enum status rows_radii(const struct rows *set, int k, const struct measures_watch *watch, double *out,
                                  struct error *err);

#endif
