/* SPDX-License-Identifier: MIT
 *
 * How unlike each other the pictures of one set are.
 *
 *     mean distance    Euclidean, between features, over all pairs; its error by leaving each picture out in turn
 *     MS-SSIM          likeness of pixels at five scales (Wang, Simoncelli & Bovik 2003), over pairs, as Odena et al.
 *                      2017 (arXiv 1610.09585) measure collapse by: 1 for a picture and itself
 */
#ifndef COMPARE_DIVERSITY_H
#define COMPARE_DIVERSITY_H

#include "compare/features.h"

struct mean_distance {
    double value, error; /* error: NaN with fewer than 3 pictures */
    double within;       /* over pairs of one group; NaN if there is none */
    int64_t within_pairs;
};

/* At least 2. group: [count], or NULL. */
MUST_CHECK enum status diversity_distance(struct mean_distance *out, const struct features *pictures,
                                          const int32_t *group, const struct measures_watch *watch, struct error *err);

/* Of two pictures of one size, 8-bit RGB, at least 16 pixels each way; as pytorch-msssim has it: Gaussian windows of 11
 * pixels, sigma 1.5, weights 0.0448, 0.2856, 0.3001, 0.2363, 0.1333, contrasts below 0 count as 0, the mean of three
 * channels. Where a scale is smaller than the window, the window is the scale's smaller side and sigma shrinks with it,
 * as in the program of Odena et al.; pytorch-msssim would refuse a picture of less than 161 pixels. */
enum { MS_SSIM_LEVELS = 5, MS_SSIM_LEAST_SIDE = 16, MS_SSIM_PAIRS = 1000 };

struct ms_ssim {
    double value, error; /* mean over pairs; error by leaving each picture out in turn, NaN if one is in all pairs */
    int64_t pairs;
};

/* Over all pairs, or over so many drawn from the seed if there are more. At least 2 pictures. */
struct ms_ssim_options {
    int64_t pairs;
    uint64_t seed;
    const struct measures_watch *watch;
};
MUST_CHECK enum status diversity_ms_ssim(struct ms_ssim *out, const struct pixels *pixels,
                                         const struct ms_ssim_options *options, struct error *err);

#endif
