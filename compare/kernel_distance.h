/* SPDX-License-Identifier: MIT
 *
 * Maximum mean discrepancy (Gretton et al. 2012, JMLR 13): how unlike two sets are, seen through a kernel k.
 *
 *     KID    k(x, y) = (g x.y + 1)^3, without bias, g = 1 / d   Binkowski et al. 2018, arXiv 1801.01401
 *     CMMD   k(x, y) = exp(-|x - y|^2 / (2 10^2)), times 1000, of CLIP directions, with bias (the mean over all pairs,
 *            a picture with itself too)                      Jayasumana et al. 2024, arXiv 2401.09603
 *
 * Standard errors are jackknives over the pictures of both sets (Efron & Stein 1981).
 */
#ifndef COMPARE_KERNEL_DISTANCE_H
#define COMPARE_KERNEL_DISTANCE_H

#include "compare/features.h"

struct kernel_distance {
    double unbiased, biased;
    double error;         /* of the unbiased one; NaN with fewer than 3 of either */
    double picture_error; /* the same for pictures that are drawn anew while the reference stays; NaN too */
};

/* 1 / d is made for features of order 1 each, such as Inception's. The inner products of directions (length 1) are d
 * times smaller: with it their kernel is a straight line, which sees the means of two sets and nothing else. */
#define KID_GAMMA_OF_DIRECTIONS 1.0

/* At least 2 of each. gamma: KID's g; 0: 1 / d. The unbiased ones may be below 0, when the sets cannot be told apart.
 * cmmd is times 1000, and for directions (length 1). Either may be NULL; what is not wanted costs nothing. */
MUST_CHECK enum status kernel_distances(struct kernel_distance *kid, struct kernel_distance *cmmd,
                                        const struct features *pictures, const struct features *reference, double gamma,
                                        const struct measures_watch *watch, struct error *err);

/* KID as torch-fidelity draws it: unbiased over subsets, the same ones for the same seed. */
struct kid_subsets {
    int subsets;         /* 100 there */
    int64_t subset_size; /* 1000 there */
    uint64_t seed;       /* 32 bits of it count; 2020 there */
    double gamma;        /* as above; 1 / d there */
    const struct measures_watch *watch;
};
enum { KID_SUBSETS = 100, KID_SUBSET_SIZE = 1000 };
MUST_CHECK enum status kid_over_subsets(double *mean, double *deviation, const struct features *pictures,
                                        const struct features *reference, const struct kid_subsets *how,
                                        struct error *err);

#endif
