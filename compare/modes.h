/* SPDX-License-Identifier: MIT
 *
 * Pictures and the prompts (or classes) that they are of, by CLIP directions.
 *
 *     CLIP score    100 max(cos(picture, its prompt), 0), on average   Hessel et al. 2021, arXiv 2104.08718, who have
 *                   2.5 in place of 100 and write "A photo depicts" before the prompt
 *     best prompt   the one with the greatest cosine: CLIP's zero-shot class (Radford et al. 2021, arXiv 2103.00020)
 *     hits          how many pictures each prompt is the best one of: modes covered, their entropy, and the divergence
 *                   KL(hits || asked) (Metz et al. 2017, arXiv 1611.02163, count modes in this way)
 */
#ifndef COMPARE_MODES_H
#define COMPARE_MODES_H

#include "compare/features.h"
#include "core/base/memory.h"

struct modes {
    int32_t *best;          /* [pictures]; in the caller's arena, as the other arrays */
    int64_t *hits;          /* [prompts] */
    double *score;          /* [pictures]; NULL if nobody says what was asked */
    int64_t covered, asked; /* prompts with a hit; different prompts asked for (0: nobody says) */
    double entropy;         /* of the hits, in nats */
    double divergence; /* from what was asked, or from evenness; infinite if a prompt was hit that nobody asked for */
    double mean_score, score_error; /* NaN if not known; the error needs 2 pictures */
    double own_first;               /* share of the pictures whose best prompt is their own; NaN if not known */
};

/* At least 1 of each. prompt_of: [pictures] rows of `prompts`, or NULL. */
MUST_CHECK enum status modes_measure(struct modes *out, const struct features *pictures, const struct features *prompts,
                                     const int32_t *prompt_of, struct arena *memory, struct error *err);

#endif
