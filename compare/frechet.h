/* SPDX-License-Identifier: MIT
 *
 * Frechet distance of two sets of features taken as normal distributions (Heusel et al. 2017, arXiv 1706.08500; Dowson
 * & Landau 1982). With Inception-v3's pooled features it is the FID of the papers; with others it is on another scale.
 *
 *     |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))           S: covariance, divided by n - 1
 *
 * It needs 2 of each. It is biased: the fewer pictures, the larger (Chong & Forsyth 2020, arXiv 1911.07023), and with
 * no more pictures than features are wide a covariance is not of full rank. Heusel et al. advise 10,000 at least.
 */
#ifndef COMPARE_FRECHET_H
#define COMPARE_FRECHET_H

#include "compare/features.h"

enum { FRECHET_ADVISED = 10000 };

struct frechet {
    double distance;
    double reference_spread; /* tr(S2): the distance that the reference's mean picture, repeated for ever, would have */
};

MUST_CHECK enum status frechet_distance(struct frechet *out, const struct features *pictures,
                                        const struct features *reference, struct error *err);

#endif
