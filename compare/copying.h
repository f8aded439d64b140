/* SPDX-License-Identifier: MIT
 *
 * Pictures that are too near: to each other (one picture over and over) and to the training set (copies).
 *
 * How near is too near is calibrated by real pictures: the distance below which 1% of them find their nearest other
 * one, so that a model which paints as many different pictures as there really are is found fault with once in a
 * hundred pictures. It is kept between two limits, because a small set's pictures are far apart and a set with doubles
 * in it has neighbours at 0.
 *
 *     copying_threshold(&t, &rows, COPYING_FEATURES, NULL, &err);
 *     copying_duplicates(&d, &rows, t.distance, &arena, NULL, &err);       d.distinct of rows.count
 */
#ifndef COMPARE_COPYING_H
#define COMPARE_COPYING_H

#include "compare/distances.h"
#include "core/base/memory.h"

/* Distances of directions (length 1), and root mean square differences of pixels in levels of 255. */
enum copying_kind { COPYING_FEATURES, COPYING_PIXELS };

enum { COPYING_ADVISED = 100, COPYING_QUERIES = 2000 };
#define COPYING_SHARE 0.01

struct copying_threshold {
    double distance;
    bool calibrated; /* false: no real pictures, a fixed distance */
    double median;   /* of the distances to the nearest other one; NaN if not calibrated */
    double *nearest; /* in the caller's arena, [queries]: those distances, rising; of at most COPYING_QUERIES */
    int64_t queries; /* pictures, spread evenly over the set */
};

/* real: at least 2 rows, or NULL. */
MUST_CHECK enum status copying_threshold(struct copying_threshold *out, const struct rows *real, enum copying_kind kind,
                                         struct arena *memory, const struct measures_watch *watch, struct error *err);

/* Near-duplicates. Groups are what they join (two pictures, each near a third, are of one group).
 *
 * Support (Arora & Zhang 2017, arXiv 1706.08224; they look at pairs by eye): of N pictures that are equally likely, n
 * draws have n (n - 1) / (2 N) pairs of the same on average; with c pairs N is n (n - 1) / (2 c). If some are likelier
 * than others it is 1 / sum p^2, the number of equally likely ones that would repeat as often. Without a pair, N is at
 * least n (n - 1) / (2 ln 20): a smaller one would have shown a pair 19 times in 20. */
struct duplicates {
    int64_t pairs, distinct, largest; /* largest: pictures of the largest group */
    int64_t *group;                   /* [n], in the caller's arena: 0 to distinct - 1, in order of first appearance */
    double support;
    bool support_is_bound;
};
MUST_CHECK enum status copying_duplicates(struct duplicates *out, const struct rows *pictures, double distance,
                                          enum copying_kind kind, struct arena *memory,
                                          const struct measures_watch *watch, struct error *err);

/* Each picture's nearest in the training set.
 *
 * z: do pictures lie nearer to the training set than its own to each other? Mann & Whitney's statistic of both lists of
 * nearest distances, in standard deviations (Meehan, Chaudhuri & Dasgupta 2020, arXiv 2004.05675, with the training
 * set's own leave-one-out distances where they have held-out pictures). Below -3: it copies. */
struct copies {
    int64_t *nearest; /* [n], in the caller's arena */
    double *distance; /* [n] */
    int64_t copies;   /* pictures at most the threshold away */
    double median, z; /* z: NaN if not calibrated */
};
MUST_CHECK enum status copying_copies(struct copies *out, const struct rows *pictures, const struct rows *training,
                                      const struct copying_threshold *threshold, enum copying_kind kind,
                                      struct arena *memory, const struct measures_watch *watch, struct error *err);

#endif
