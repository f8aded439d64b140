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

/* Row `first + i` of a against row j of b, for j from `from` on: table[i * columns + j]. */
struct rows_block {
    const double *table; /* squared distances or inner products */
    int64_t first, count, from, columns;
    const double *a_squares, *b_squares; /* squared lengths of all rows of a and of b; not with inner products */
};

struct rows_visit {
    void (*block)(void *context, const struct rows_block *block);
    void *context;
    bool products;                      /* inner products, not squared distances */
    bool upper;                         /* a and b are one set: nothing before column `first` is wanted */
    const struct measures_watch *watch; /* asked after each block */
    const char *what;                   /* told to the watch */
};

/* a and b, equally wide, may be the same set. */
MUST_CHECK enum status rows_walk(const struct rows *a, const struct rows *b, const struct rows_visit *visit,
                                 struct error *err);

enum { NEAREST_MAX = 64 };

/* out[i]: squared distance from row i to the k-th nearest other row of the set, which has more than k rows; k is 1 to
 * NEAREST_MAX. other[i]: the same for other_k, from the same walk; NULL: not wanted. */
struct rows_radii {
    int k, other_k;
    double *out, *other;
    const struct measures_watch *watch;
};
MUST_CHECK enum status rows_find_radii(const struct rows *set, const struct rows_radii *radii, struct error *err);

#endif
