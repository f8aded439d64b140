/* SPDX-License-Identifier: MIT
 *
 * Do the pictures lie among the reference's, and do they reach all of them? A set's place is the union of balls about
 * its points, each reaching to the point's k-th nearest neighbour in the set.
 *
 *     precision   share of the pictures within a ball of the reference     Kynkaanniemi et al. 2019, arXiv 1904.06991
 *     recall      share of the reference within a ball of the pictures     (k = 3, balls closed)
 *     density     balls of the reference about a picture, on average, / k  Naeem et al. 2020, arXiv 2002.09797
 *     coverage    share of the reference's balls that hold a picture       (k = 5, balls open)
 *
 * Each set needs more than k. Both papers use 10,000 and more; with few pictures balls are wide, so that precision and
 * recall come out high.
 */
#ifndef COMPARE_MANIFOLD_H
#define COMPARE_MANIFOLD_H

#include "compare/features.h"

enum { MANIFOLD_K = 3, DENSITY_K = 5, MANIFOLD_ADVISED = 10000 };

struct manifold {
    double precision, recall, density, coverage;
    /* Expected if the pictures came from where the reference does: a ball is missed if all of its k points are the
     * first k of n + m in random order. 1 - prod_(i<k) (n - 1 - i) / (n + m - 1 - i), n references asked for, m
     * pictures. */
    double coverage_ideal;
};

struct manifold_options {
    int k, density_k; /* of the first two and of the last two; usually the numbers above */
    /* [reference->count]: which of the reference the pictures are meant to reach; NULL: all. Recall and coverage are
     * shares of these; where real pictures lie, all of the reference says. */
    const bool *asked;
    const struct measures_watch *watch;
};

MUST_CHECK enum status manifold_compare(struct manifold *out, const struct features *pictures,
                                        const struct features *reference, const struct manifold_options *options,
                                        struct error *err);

#endif
