/* SPDX-License-Identifier: MIT
 *
 * What the files of the training loop share and families do not see.
 *
 *     training.c             limn_train: opens everything, then steps until the end
 *     training_config.c      JSON by tables of keys
 *     training_settings.c    defaults, checkpoint, configuration, options: one table of keys
 *     training_draw.c        which picture, which caption, which random numbers
 *     training_memory.c      trainers and runs within --max-memory
 *     training_init.c        what is taken of other models
 *     training_state.c       checkpoints: written, found again, restored
 *     training_records.c     losses, progress, train.jsonl, sheets
 *     training_curve.c       the loss curve
 *     training_result.c      the model that comes out
 */
#ifndef PIPELINE_TRAINING_LOOP_H
#define PIPELINE_TRAINING_LOOP_H

#include "core/io/file_lock.h"
#include "core/io/quote.h"
#include "pipeline/training.h"

enum {
    TRAINING_TRAINERS = 8,
    TRAINING_STATES = 512,
    TRAINING_LOSSES = 12,
    TRAINING_NOTES = 16,
    TRAINING_PARTS = 4,
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

/* Tensors that are used as they are. */
struct training_kept_part {
    const char *what; /* "VAE" */
    uint64_t hash;    /* of names and values */
};

struct training_loop {
    const struct limn_train_options *options; /* borrowed for the call */
    struct arena memory;
    json_t *config;                  /* owned; NULL: none */
    struct file_lock lock;           /* of this result: nobody else trains it */
    struct checkpoint *saved;        /* owned; the checkpoint to resume from, while that is done */
    json_t *saved_json;              /* owned; what it says about the training */
    struct checkpoint *init;         /* owned */
    int init_taken;                  /* how many of its tensors have been asked for and found */
    int own_tensors, random_tensors; /* those that are trained; of them, those that it does not have */
    const char *merges;              /* table of the tokenizer, borrowed from the family; NULL: none was learnt */
    struct training_kept_trainer trainers[TRAINING_TRAINERS];
    int trainer_count;
    struct training_kept_state states[TRAINING_STATES];
    int state_count;
    struct training_kept_part parts[TRAINING_PARTS];
    int part_count;
    int64_t *pictures;     /* those that are learnt from; NULL: all */
    int64_t picture_count; /* how many they are */
    struct pool *pool;     /* owned; for reading pictures */
    uint64_t reserved;     /* bytes of memory that are spoken for */
    struct training_losses losses;
    bool replaces;                   /* --restart, and something is there */
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
/* Members of the configuration that are not the family's are refused. */
MUST_CHECK enum status training_check_config(const struct training *t, struct error *err);

/* What it says besides the settings; the caller's. NULL: no memory. */
json_t *training_shapes_json(const struct training *t);

/* ---- training_settings.c ---- */

/* Settles everything and checks it. */
MUST_CHECK enum status training_settle(struct training *t, struct error *err);
/* The settings as a JSON object; NULL: no memory. */
json_t *training_settings_json(const struct training *t);

/* ---- training_state.c ---- */

/* Finds the checkpoint to resume from, or refuses to overwrite it, or a model that has none. */
MUST_CHECK enum status training_find_state(struct training *t, struct error *err);
MUST_CHECK enum status training_restore_state(struct training *t, struct error *err);
MUST_CHECK enum status training_write_state(struct training *t, struct error *err);
/* Of names and shapes of all parameters, in their order. */
uint64_t training_hash_networks(const struct training *t);

/* ---- training_init.c ---- */

MUST_CHECK enum status training_open_init(struct training *t, struct error *err);
/* Of all that the model to begin with holds. */
uint64_t training_hash_init(const struct training *t);
/* Fills in what the model to begin with has of the trainer's values. */
MUST_CHECK enum status training_begin_trainer(struct training *t, struct trainer *trainer, struct error *err);

/* After open: says what the training has taken of the model to begin with, and refuses one of which that is nothing. */
MUST_CHECK enum status training_check_init(const struct training *t, struct error *err);

/* ---- training_records.c ---- */

/* Drops this result's records that this run makes again; lines of others stay as they are. */
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
