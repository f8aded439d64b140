/* SPDX-License-Identifier: MIT
 *
 * What the files of the training loop share and families do not see.
 *
 *     training.c             limn_train: opens everything, then steps until the end
 *     training_config.c      JSON by tables of keys
 *     training_settings.c    defaults, checkpoint, configuration, options: one table of keys
 *     training_draw.c        which picture, which caption, which random numbers
 *     training_memory.c      trainers and runs within --max-memory
 *     training_state.c       checkpoints: written, found again, restored
 *     training_records.c     losses, progress, train.jsonl, sheets
 *     training_curve.c       the loss curve
 *     training_result.c      the model that comes out
 */
#ifndef PIPELINE_TRAINING_LOOP_H
#define PIPELINE_TRAINING_LOOP_H

#include "core/io/quote.h"
#include "pipeline/training.h"

enum {
    TRAINING_TRAINERS = 8,
    TRAINING_STATES = 512,
    TRAINING_LOSSES = 12,
    TRAINING_MEMBERS = 16,
    TRAINING_PATH_BYTES = 4096,
};

struct training_kept_trainer {
    const char *name;
    struct trainer *trainer; /* owned */
};

struct training_kept_state {
    const char *name;
    float *values; /* borrowed */
    int64_t count;
};

/* Losses by name: of this step, and summed up since the last record. */
struct training_losses {
    const char *names[TRAINING_LOSSES];
    double sum[TRAINING_LOSSES];
    int64_t times[TRAINING_LOSSES];
    int count;
};

struct training_loop {
    const struct limn_train_options *options; /* borrowed for the call */
    struct arena memory;
    json_t *config;                        /* owned; NULL: none */
    const char *members[TRAINING_MEMBERS]; /* of the configuration, that have been read */
    int member_count;
    struct checkpoint *saved; /* owned; the checkpoint to resume from, while that is done */
    struct checkpoint *init;  /* owned */
    struct training_kept_trainer trainers[TRAINING_TRAINERS];
    int trainer_count;
    struct training_kept_state states[TRAINING_STATES];
    int state_count;
    int64_t *pictures;     /* those that are learnt from; NULL: all */
    int64_t picture_count; /* how many they are */
    struct pool *pool;     /* owned; for reading pictures */
    uint64_t reserved;     /* bytes of memory that are spoken for */
    struct training_losses losses;
    bool all_failed;                 /* an exchange has failed, on all machines alike */
    double started, stepping;        /* when the run began; seconds of steps since the last record */
    int64_t first_step, recorded;    /* of this run; of the last record */
    char stem[TRAINING_PATH_BYTES];  /* of all files: the result's path without its ending */
    char state[TRAINING_PATH_BYTES]; /* the checkpoint's path */
};

/* ---- training_config.c ---- */

/* Reads an object by its table; `name` is for sentences. */
MUST_CHECK enum status training_read_object(struct training *t, json_t *object, const char *name,
                                            const struct training_key *keys, int count, struct error *err);
json_t *training_write_object(const struct training_key *keys, int count); /* NULL: no memory */

/* Reads the configuration: the file, or what the checkpoint was made with. */
MUST_CHECK enum status training_open_config(struct training *t, struct error *err);
/* After open: the configuration's members that nobody has read are refused. */
MUST_CHECK enum status training_check_config(struct training *t, struct error *err);

/* ---- training_settings.c ---- */

/* Settles everything and checks it. natural: the side of the data set's pictures if all have the same; 0: they differ.
 */
MUST_CHECK enum status training_settle(struct training *t, int natural, struct error *err);
/* The settings as a JSON object; NULL: no memory. */
json_t *training_settings_json(const struct training *t);

/* ---- training_state.c ---- */

/* Finds the checkpoint to resume from, or refuses to overwrite it. */
MUST_CHECK enum status training_find_state(struct training *t, struct error *err);
/* The JSON object in the found checkpoint; NULL and a sentence if it is not sound. */
json_t *training_state_json(const struct training *t, struct error *err);
MUST_CHECK enum status training_restore_state(struct training *t, struct error *err);
MUST_CHECK enum status training_write_state(struct training *t, struct error *err);

/* ---- training_records.c ---- */

/* Drops records of the past that this run makes again. */
MUST_CHECK enum status training_open_records(struct training *t, struct error *err);
/* After a step that took so many seconds. */
MUST_CHECK enum status training_record(struct training *t, double seconds, struct error *err);
/* Does the caller of any machine want to stop? */
MUST_CHECK enum status training_ask_stop(struct training *t, bool *stopped, struct error *err);
/* A sheet of samples and the curves of the losses. */
MUST_CHECK enum status training_write_sheet(struct training *t, struct error *err);

struct quoted training_out_name(const struct training *t); /* of the result, as records have it */
void training_log_path(const struct training *t, char path[TRAINING_PATH_BYTES]);

/* ---- training_curve.c ---- */

MUST_CHECK enum status training_write_curve(const struct training *t, struct error *err);

/* ---- training_draw.c ---- */

/* Leaves the pictures out that are held out of the training. */
MUST_CHECK enum status training_choose_pictures(struct training *t, struct error *err);
/* A permutation of 0..count-1. */
int64_t training_shuffle(uint64_t key, int64_t count, int64_t i);

#endif
