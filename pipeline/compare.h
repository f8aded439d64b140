/* SPDX-License-Identifier: MIT
 *
 * A comparison in the making: who is compared, which pictures they have, what was measured. limn_compare (compare.c)
 * calls the others in this order, and each fills in its part:
 *
 *     compare_read_folder   the pictures of a folder                        compare_folder.c
 *     compare_paint         the pictures of a model, painted or found       compare_paint.c
 *     compare_study         a model's cost, its way from noise, its walk    compare_study.c
 *     compare_measure       features of all pictures, and the measures      compare_measure.c, compare_reference.c
 *     compare_judge         the verdict                                     compare_judge.c
 *     report_...            grid.png, report.json, report.html              report.h
 */
#ifndef PIPELINE_COMPARE_H
#define PIPELINE_COMPARE_H

#include "compare/measures.h"
#include "compare/picture_set.h"
#include "pipeline/model.h"

enum {
    COMPARE_FRAMES = 8,
    COMPARE_WARNINGS = 32,
    COMPARE_SENTENCES = 16,
    COMPARE_SEED_STRIDE = LIMN_MAX_COMPARE_COUNT
};

/* One picture. */
struct compare_shot {
    const char *path;
    const char *prompt; /* NULL: not known */
    int prompt_row;     /* of the comparison's prompts; -1: not known */
    uint64_t seed;      /* if the prompt is known */
};

/* What painting one picture takes. */
struct compare_cost {
    int evaluations; /* of the network that paints; guidance needs two for each step */
    uint64_t parameters, memory_bytes;
    double gflop;
    double seconds; /* median of the pictures that this run painted */
    int timed;      /* so many of them */
};

/* A picture on the way from noise, or a station of a walk through the latent space. */
struct compare_frame {
    struct image image; /* owned */
    int step;           /* steps done when it was taken */
    double noise;       /* its share of noise, 0 to 1: sigma^2, with alpha^2 + sigma^2 = 1 */
};

/* One of the compared: a model or a folder. Texts are the comparison's, in its arena. */
struct entrant {
    const char *name;     /* no other has it; fit for a file name */
    const char *path;     /* as it was given, or of the pack */
    const char *family;   /* "diffusion", "gan", "pictures" */
    const char *hash;     /* of the file; "" if there is none */
    const char *settings; /* "25 steps, DDIM, guidance 3.5"; "" if none are known */
    bool is_model;
    bool takes_prompts;         /* false for a model that paints whatever the prompt is */
    bool knows_network;         /* it is conditioned on the text tower of the very network that measures it */
    int width, height;          /* of its pictures */
    struct compare_shot *shots; /* [set.count] */
    struct picture_set set;     /* the same pictures in the same order */
    struct measures measures;
    struct verdicts verdicts;
    struct compare_cost cost; /* of a model, like the rest */
    struct compare_frame way[COMPARE_FRAMES], walk[COMPARE_FRAMES];
    int way_count, walk_count;
};

struct comparison {
    struct arena memory; /* holds texts, shots and features */
    const struct limn_compare_request *request;
    const struct limn_watch *watch; /* the request's; may be NULL */
    const char *output;             /* the folder that is filled */
    const char *const *prompts;     /* NULL if the folders' pictures tell none */
    const char **glosses;           /* what a prompt is in English, NULL: not known; NULL: of none */
    int prompt_count, per_prompt;   /* per_prompt: 0 for folders */
    struct entrant entrants[LIMN_MAX_COMPARED];
    int count;
    int walk_shot;                /* where the walks begin; they end at the next seed's picture */
    const char *network;          /* the CLIP model's name */
    const char *reference_path;   /* NULL: there is none */
    bool reference_learnt;        /* all entrants have learnt from the reference */
    struct picture_set reference; /* may be empty */
    bool *wanted;                 /* [reference.count]: what the prompts ask for; NULL: all of it */
    int64_t wanted_count;         /* of these */
    const char *warnings[COMPARE_WARNINGS];
    int warning_count;
    const char *verdict[COMPARE_SENTENCES]; /* sentences; the first is the headline */
    int verdict_count;
    double started;             /* by api_clock */
    double painting, measuring; /* seconds */
};

/* A sentence for the report, said to the watch too; the same one only once. */
MUST_CHECK enum status compare_warn(struct comparison *c, struct error *err, const char *format, ...) PRINTF_LIKE(3, 4);

/* Reads the pictures of a folder. Those that cannot be read are told and left out; fewer than two are an error. */
MUST_CHECK enum status compare_read_pictures(struct comparison *c, struct picture_set *set, const char *folder,
                                             const struct picture_set_options *how, struct error *err);
/* Warns if the entrant's pictures had to be made smaller for memory. */
MUST_CHECK enum status compare_note_size(struct comparison *c, const struct entrant *entrant, struct error *err);

/* The entrant's path is that of a folder. */
MUST_CHECK enum status compare_read_folder(struct comparison *c, struct entrant *entrant, struct error *err);

/* Paints what is not there yet. *done counts the pictures of all models that are finished. */
MUST_CHECK enum status compare_paint(struct comparison *c, struct entrant *entrant, struct limn_model *model, int *done,
                                     struct error *err);
/* The request for picture k of prompt p, in the order of shots: p * per_prompt + k. */
struct limn_request compare_request(const struct comparison *c, int shot, const struct limn_watch *watch);

/* Counts what runs on the model's backend from start to stop: operations, and parameters that they use. */
struct compare_meter {
    struct backend_probe probe;
    struct backend *backend;       /* borrowed */
    const struct weight **weights; /* owned; each once */
    int count, capacity;
    uint64_t parameters;
    double flop;
    bool failed; /* for want of memory */
};
void compare_meter_start(struct compare_meter *meter, struct limn_model *model);
void compare_meter_stop(struct compare_meter *meter);

/* Paints a few pictures more, which are kept in memory only. */
MUST_CHECK enum status compare_study(struct comparison *c, struct entrant *entrant, struct limn_model *model,
                                     struct error *err);

/* The reference's pictures, and which of them the prompts ask for. */
MUST_CHECK enum status compare_read_reference(struct comparison *c, const struct picture_set_options *how,
                                              struct error *err);
MUST_CHECK enum status compare_check_reference(const struct comparison *c, struct error *err);

/* Refuses a CLIP model or reference folder that compare_measure could not use, before anything is painted. */
MUST_CHECK enum status compare_check_measuring(struct comparison *c, struct error *err);
MUST_CHECK enum status compare_measure(struct comparison *c, struct error *err);
/* True where a measure of picture and prompt is taken of a model that was made with the network that takes it, and of
 * one that was not. */
bool compare_is_biased(const struct comparison *c, enum measure measure);
MUST_CHECK enum status compare_judge(struct comparison *c, struct error *err);

#endif
