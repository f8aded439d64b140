/* SPDX-License-Identifier: MIT
 *
 * What a set of pictures is worth: every figure that limn compares models by, taken in one call. Definitions and
 * sources are in docs/MEASURES.md and in the headers of the single measures (frechet.h, kernel_distance.h, manifold.h,
 * diversity.h, modes.h, copying.h), which also work alone.
 *
 *     struct measures m = {0};
 *     measures_take(&m, &(struct measures_input){.pictures = mine, .reference = photos, .seed = 7}, &err);
 *     for (int i = 0; i < MEASURE_COUNT; i++)
 *         if (m.figure[i].known) printf("%s %g %s\n", measure_info(i)->title, m.figure[i].value, m.figure[i].caution);
 *     struct verdicts v = {0};
 *     compare_verdicts(&v, &m);
 *     measures_clear(&m);
 *
 * What the input has no means for (a reference, prompts, pixels, training pictures) is not known afterwards, and its
 * caution says why. The same input gives the same figures, bit for bit.
 */
#ifndef COMPARE_MEASURES_H
#define COMPARE_MEASURES_H

#include "compare/features.h"
#include "core/base/memory.h"

enum measure_better { BETTER_LOWER, BETTER_HIGHER, BETTER_NEITHER };

/* X(ID, "name in files", "title", better, "unit", "source", "what it says") */
#define MEASURE_MAP(X)                                                                                                 \
    X(FID, "fid", "FID", LOWER, "", "Heusel et al. 2017",                                                              \
      "how far the features' mean and covariance are from the reference's")                                            \
    X(KID, "kid", "KID", LOWER, "", "Binkowski et al. 2018",                                                           \
      "distance of the two sets of features by a cubic kernel, without bias; 0 and below: cannot be told apart")       \
    X(CMMD, "cmmd", "CMMD", LOWER, "", "Jayasumana et al. 2024",                                                       \
      "distance of the two sets of features by a Gaussian kernel, times 1000")                                         \
    X(PRECISION, "precision", "precision", HIGHER, "", "Kynkaanniemi et al. 2019",                                     \
      "share of the pictures that lie among the reference's")                                                          \
    X(RECALL, "recall", "recall", HIGHER, "", "Kynkaanniemi et al. 2019",                                              \
      "share of the reference's pictures that lie among these")                                                        \
    X(DENSITY, "density", "density", HIGHER, "", "Naeem et al. 2020",                                                  \
      "how deep among the reference's the pictures lie; 1 for the reference itself")                                   \
    X(COVERAGE, "coverage", "coverage", HIGHER, "", "Naeem et al. 2020",                                               \
      "share of the reference's pictures that have one of these nearby")                                               \
    X(CLIP_SCORE, "clip_score", "CLIP score", HIGHER, "", "Hessel et al. 2021",                                        \
      "100 times the cosine of a picture and its prompt, on average")                                                  \
    X(PROMPT_RANK1, "prompt_rank1", "own prompt first", HIGHER, "", "Radford et al. 2021",                             \
      "share of the pictures that are nearer to their own prompt than to any other")                                   \
    X(DIVERSITY, "diversity", "mean distance", HIGHER, "", "docs/MEASURES.md",                                         \
      "distance between the features of two pictures, on average over all pairs")                                      \
    X(DIVERSITY_WITHIN, "diversity_within", "mean distance within a prompt", HIGHER, "", "docs/MEASURES.md",           \
      "the same over pairs that were painted from one prompt")                                                         \
    X(MS_SSIM, "ms_ssim", "MS-SSIM", LOWER, "", "Wang et al. 2003; Odena et al. 2017",                                 \
      "likeness of two pictures' pixels, on average over pairs; 1: all the same")                                      \
    X(MODES, "modes", "prompts hit", HIGHER, "", "Metz et al. 2017",                                                   \
      "prompts that are the nearest one to at least one picture")                                                      \
    X(MODE_ENTROPY, "mode_entropy", "entropy of prompts", HIGHER, "nats", "Shannon 1948",                              \
      "how evenly the pictures spread over the prompts; at most the logarithm of their number")                        \
    X(MODE_KL, "mode_kl", "KL from what was asked", LOWER, "nats", "Metz et al. 2017",                                 \
      "how far the pictures' spread over the prompts is from the one that was asked for")                              \
    X(DISTINCT, "distinct", "distinct pictures", HIGHER, "", "docs/MEASURES.md",                                       \
      "pictures that are left when near-duplicates count once")                                                        \
    X(SUPPORT, "support", "support", HIGHER, "pictures", "Arora & Zhang 2017",                                         \
      "how many different pictures the model can paint, from how often two are the same")                              \
    X(COPIES, "copies", "copies", LOWER, "", "docs/MEASURES.md",                                                       \
      "share of the pictures whose features are nearer to one of the training set than 99% of those to each other")    \
    X(COPIES_PIXELS, "copies_pixels", "copies, by pixels", LOWER, "", "docs/MEASURES.md", "the same by pixels")        \
    X(NEAREST, "nearest", "nearest distance", NEITHER, "", "docs/MEASURES.md",                                         \
      "distance from a picture's features to the nearest ones of the training set; the median")                        \
    X(NEAREST_PIXELS, "nearest_pixels", "nearest distance, by pixels", NEITHER, "levels", "docs/MEASURES.md",          \
      "root mean square difference of pixels (0 to 255) to the nearest of the training set; the median")               \
    X(COPYING_Z, "copying_z", "copying test", NEITHER, "deviations", "Meehan et al. 2020",                             \
      "are pictures nearer to the training set than its own pictures to each other? far below 0: yes")

enum measure {
#define X(id, name, title, better, unit, source, says) MEASURE_##id,
    MEASURE_MAP(X)
#undef X
        MEASURE_COUNT
};

struct measure_info {
    const char *name, *title; /* for files; for tables */
    enum measure_better better;
    const char *unit, *source, *says;
};
const struct measure_info *measure_info(enum measure measure);

enum { CAUTION_BYTES = 320, VERDICT_BYTES = 320, VERDICT_MAX = 16 };

struct figure {
    bool known; /* false: value means nothing, and `caution` says why */
    double value;
    double error;                /* standard error; NaN: none */
    double ideal;                /* what a perfect model is expected to get with as many pictures; NaN: not known */
    bool bound;                  /* the true value is at least this (MEASURE_SUPPORT without a duplicate) */
    char caution[CAUTION_BYTES]; /* "", or a sentence on why the value means little (too few pictures, say) */
};

struct measures_input {
    struct features pictures;  /* CLIP directions (length 1); at least one */
    struct features reference; /* of real pictures */
    /* borrowed; [reference.count]: which of it shows what the prompts ask for. Of these alone are FID, KID, CMMD and
     * the ideal mean distance, and recall and coverage are shares of them; where real pictures lie, all say. NULL: all.
     */
    const bool *asked;
    struct features prompts;  /* of the texts: classes or prompts, each once */
    const int32_t *prompt_of; /* borrowed; [pictures.count] row of `prompts` that each was painted from; NULL: none */
    /* Of the pictures that the model has learnt from, or that copies are looked for in. Its name stands in sentences
     * ("copies NAME"); NULL: "its training set". */
    struct features training;
    struct pixels pixels;               /* the same pictures in the same order */
    struct pixels training_pixels;      /* of the pixels' size */
    uint64_t seed;                      /* of the subsets and pairs that are drawn */
    int max_pairs;                      /* for MS-SSIM; 0: 1000 */
    const struct measures_watch *watch; /* borrowed for the call; NULL: nobody */
};

struct measures {
    struct arena memory; /* holds the arrays below */
    const char *training_name;
    struct figure figure[MEASURE_COUNT];
    int64_t count, training_count, prompt_count, width;
    int64_t reference_count; /* of what is asked for */
    bool reference_is_asked; /* it shows what the prompts ask for, and no more */
    int64_t prompts_asked;   /* different prompts among prompt_of; 0: nobody says */
    double reference_spread; /* the FID that the reference's mean picture, repeated, would have; NaN: not known */

    double kid_picture_error; /* KID's error if the reference is given; NaN: not known */

    /* KID as torch-fidelity prints it: mean and deviation over subsets. The figure itself is of the whole sets. */
    int kid_subsets; /* 0: not known */
    int64_t kid_subset_size;
    double kid_subset_mean, kid_subset_deviation;

    /* Near-duplicates among the pictures: pairs at most `duplicate_distance` apart, and the groups they make. */
    double duplicate_distance;
    bool duplicate_calibrated; /* by the reference's or training set's own distances; else a fixed one */
    int64_t duplicate_pairs, largest_group;
    int64_t *group; /* [count]: 0 to distinct - 1, in order of first appearance */

    /* Of each picture; NULL where not known. */
    double *clip_score;        /* [count] */
    int32_t *best_prompt;      /* [count]: nearest row of `prompts` */
    int64_t *prompt_hits;      /* [prompt_count]: pictures whose best prompt it is */
    int64_t *nearest_training; /* [count]: row of `training` nearest by features */
    double *nearest_distance;  /* [count] */
    int64_t *nearest_pixels;   /* [count]: row of `training_pixels` */
    double *nearest_pixels_distance;
    double copy_distance, copy_pixels_distance; /* thresholds of a copy; NaN: not known */
    int64_t copies, copies_pixels;              /* pictures below them */
};

/* STATUS_ARGUMENT with one sentence for arrays that no measure could use: empty, NaN, of unlike widths. */
MUST_CHECK enum status measures_take(struct measures *out, const struct measures_input *in, struct error *err);
void measures_clear(struct measures *measures);

/* What the figures mean, in plain sentences, the gravest first. */
enum verdict_kind { VERDICT_FAULT, VERDICT_DOUBT, VERDICT_GOOD, VERDICT_NOTE };
struct verdict {
    enum verdict_kind kind;
    enum measure measure;     /* the one that says so */
    char text[VERDICT_BYTES]; /* "paints one picture over and over: 3 distinct of 64" */
};
struct verdicts {
    int count;
    struct verdict verdict[VERDICT_MAX];
};
void compare_verdicts(struct verdicts *out, const struct measures *measures);

#endif
