/* SPDX-License-Identifier: MIT
 *
 * Training is one loop and a table of families: diffusion, vae, gan, clip. This is the contract between the two.
 *
 * The loop owns what all have in common: options and configuration, the data set, the backend, the order of pictures,
 * the random stream, the learning rate, checkpoints and resuming, the exchange between machines, records, sheets. A
 * family owns its networks: what is built, what a step does, what a sample looks like, what the result file holds.
 *
 *     family->defaults(&settings)            before anything is opened
 *     family->open(t, err)                   training_read_config, graphs, training_add_trainer, training_open_run
 *     for each step: family->step(t, err)    training_pixels, exec_run, trainer_collect, training_update, training_loss
 *     now and then:  family->sample, family->save
 *     family->close(t)                       always, even if open failed
 *
 * Nothing that a step draws depends on anything but the seed, the step, a purpose and the item's number in the whole
 * batch. So there is no generator to store, and it makes no difference to a picture which machine works on it or how
 * many parts the batch is cut into.
 *
 *     one step's items    0 ........ B-1 | B ....... 2B-1 | ...        B = settings.batch, one row for each machine
 *     machine 1's parts                    part 0 | part 1             settings.accumulate parts of `part_size` items
 */
#ifndef PIPELINE_TRAINING_H
#define PIPELINE_TRAINING_H

#include "core/base/random.h"
#include "core/io/checkpoint.h"
#include "core/io/image.h"
#include "core/nn/initialise.h"
#include "core/nn/trainer.h"
#include "diffusion/schedule.h"
#include "include/limn.h"

#include <jansson.h>

struct training;
struct dataset;
struct params;
struct exchange;

/* What is set for all families. A family's own defaults come first; then what a checkpoint that is resumed was made
 * with, the member "training" of a configuration that is given, and options, each over those before. */
struct training_settings {
    int64_t steps;
    int size;                                   /* side of a picture in pixels; 0 in defaults(): nobody has named one */
    int channels;                               /* of a picture: 3, or 1 */
    int batch;                                  /* pictures of a step, on each machine */
    int accumulate;                             /* in so many parts, one after the other; divides the batch */
    int recompute;                              /* pieces of graph_grad_in_pieces; 1: everything is kept */
    struct learning_rate rate;                  /* .steps is filled in by the loop */
    struct optimiser_rule rule;                 /* as trainers are made with */
    bool flip;                                  /* every other picture is mirrored, by chance */
    double caption_dropout;                     /* share of captions that are left empty */
    double held_out;                            /* share of the pictures that is left out, by dataset_is_held_out */
    int64_t save_every, sheet_every, log_every; /* steps; sheet_every 0: no sheets */
    int64_t seed;
    enum dtype dtype;           /* of the result's weights: F32, F16 or BF16 */
    enum prediction prediction; /* diffusion */
    double min_snr;             /* diffusion: gamma; 0: every time counts the same */
    const char *init, *vae;     /* paths; NULL: none */
};

struct training_family {
    const char *name;           /* "diffusion" */
    size_t state_bytes;         /* of the family's own struct: t->family_state, zeroed before open */
    const char *const *members; /* that a configuration may have beside "training"; ends with NULL */
    void (*defaults)(struct training_settings *settings);
    /* Builds everything and fills in the trainers' values: from t->init if it is there, else by core/nn/initialise.h.
     * What is kept from step to step must be a trainer's or told to training_add_state. */
    enum status (*open)(struct training *t, struct error *err);
    /* Step t->step: all parts, and the trainers' updates. Nothing is allocated. */
    enum status (*step)(struct training *t, struct error *err);
    /* Draws a sheet with the averaged weights and leaves everything as it was. May be NULL. */
    enum status (*sample)(struct training *t, struct image *sheet, struct error *err);
    /* Writes what the training has made so far, in the layout that limn opens. */
    enum status (*save)(struct training *t, const char *path, struct error *err);
    void (*close)(struct training *t);
};

/* X(name): struct training_family NAME_training, in pipeline/train_NAME.c. */
#define TRAINING_FAMILY_MAP(X) X(diffusion) X(clip) X(vae) X(gan)

#define X(name) extern const struct training_family name##_training;
TRAINING_FAMILY_MAP(X)
#undef X

/* What random numbers are for: one stream each. */
#define TRAINING_PURPOSE_MAP(X)                                                                                        \
    X(ORDER)   /* which picture comes when */                                                                          \
    X(CAPTION) /* which of a picture's captions, and whether it is left out */                                         \
    X(FLIP)                                                                                                            \
    X(TIME)   /* the noise level, in diffusion */                                                                      \
    X(NOISE)  /* what is added, or what a generator begins with */                                                     \
    X(LATENT) /* of an encoder's distribution */                                                                       \
    X(MIX)    /* between made and real pictures, in a gradient penalty */                                              \
    X(WARP)   /* pipeline/warp.h */                                                                                    \
    X(SAMPLE) /* of sample sheets: they are drawn for step 0, so that sheets can be compared */

enum training_purpose {
#define X(name) TRAINING_##name,
    TRAINING_PURPOSE_MAP(X)
#undef X
};

/* Families read it; what they may write is marked. */
struct training {
    const struct training_family *family;
    struct training_settings settings;
    struct backend *backend;
    int threads; /* for trainer_options */
    struct dataset *data;
    const struct checkpoint *init; /* --init, with names as kind_normalise makes them; NULL: none */
    const struct limn_watch *watch;
    struct exchange *exchange; /* with the other machines; NULL: there are none */
    int rank, ranks;           /* of 1 */
    int64_t step;              /* the one that is done now; 0 is the first */
    int part_size;             /* batch / accumulate */
    float share;               /* of one part in the gradient of the whole batch, for trainer_collect */
    const char *out;           /* path of the result */
    void *family_state;        /* the family's struct; owned by the loop */
    struct training_loop *loop;
};

/* ---- for open ---- */

/* A configuration is a JSON object of objects: {"training": {"steps": 1000}, "unet": {"channels": 64}, ...}. */
enum training_key_kind {
    TRAINING_KEY_WHOLE, /* int, from low to high */
    TRAINING_KEY_LONG,  /* int64_t */
    TRAINING_KEY_REAL,  /* double */
    TRAINING_KEY_FLOAT, /* float */
    TRAINING_KEY_FLAG,  /* bool */
    TRAINING_KEY_NAME,  /* int: the place in `names`, a list that ends with NULL */
    TRAINING_KEY_TEXT,  /* const char *, in the training's memory */
    TRAINING_KEY_LIST,  /* struct training_list of ints, from low to high each */
    TRAINING_KEY_TEXTS  /* struct training_texts, in the training's memory */
};

enum { TRAINING_LIST_MOST = 16, TRAINING_TEXTS_MOST = 256 };

struct training_list {
    int count, value[TRAINING_LIST_MOST];
};

struct training_texts {
    int count;
    const char *value[TRAINING_TEXTS_MOST];
};

struct training_key {
    const char *name;
    enum training_key_kind kind;
    void *to; /* what is there already is the default */
    double low, high;
    const char *const *names;
};

/* Reads the member `object` of the configuration, if there is one. Keys that are not in the table are refused by name.
 */
MUST_CHECK enum status training_read_config(struct training *t, const char *object, const struct training_key *keys,
                                            int count, struct error *err);

/* A member of the configuration as it stands, an object, for what goes into the result unread; borrowed. NULL: there is
 * none. */
MUST_CHECK enum status training_config_member(struct training *t, const char *member, json_t **out, struct error *err);

/* A number that the family has settled on becomes one of the configuration, so that the training keeps it when it is
 * resumed. */
MUST_CHECK enum status training_keep_number(struct training *t, const char *object, const char *key, int64_t number,
                                            struct error *err);

struct training_trainer {
    const char *name;                  /* "generator"; in checkpoints */
    const struct graph *graph;         /* whose parameters are trained, ... */
    const char *prefix;                /* ... if their names begin so; NULL: all */
    const struct optimiser_rule *rule; /* NULL: settings.rule */
    const char *const *no_matrices;    /* as in trainer_options */
    enum initialise_kind initialise;   /* of what t->init does not have */
};

/* Makes the trainer, fills its values in (from t->init where that has tensors of these names and shapes, else by
 * core/nn/initialise.h), starts its average and publishes. The loop stores and restores it, and destroys it after
 * close. Refused before anything is allocated if it does not fit --max-memory. */
MUST_CHECK enum status training_add_trainer(struct training *t, struct trainer **out,
                                            const struct training_trainer *options, struct error *err);

/* exec_create within what --max-memory leaves; the sentence of a refusal names the remedies. The family destroys it. */
MUST_CHECK enum status training_open_run(struct training *t, struct exec **out, struct graph *graph, struct error *err);

/* The same for what goes again before the first step: not counted, and refused if there is no room for it now. First
 * weights of the graph, as `from` has them, then the run. The family destroys both, also where one was refused. */
MUST_CHECK enum status training_load_passing(struct training *t, const char *what, struct params **out,
                                             struct graph *graph, const struct checkpoint *from, struct error *err);
MUST_CHECK enum status training_open_passing_run(struct training *t, const char *what, struct exec **out,
                                                 struct graph *graph, const struct params *params, struct error *err);

/* What --max-memory leaves: 0 if there is no limit, 1 if it leaves nothing. */
size_t training_memory_left(const struct training *t);

/* Memory that the family allocates besides: counted, and refused if it is too much. */
MUST_CHECK enum status training_reserve(struct training *t, const char *what, size_t bytes, struct error *err);

/* The training makes use of the tensors of `from` whose names begin so, as they are: the latents of a VAE, the states
 * of a text encoder. What was learnt with others is worth nothing, so a training is not resumed with others. */
MUST_CHECK enum status training_use_part(struct training *t, const char *what, const struct checkpoint *from,
                                         const char *prefix, struct error *err);

/* A tensor of the model to begin with; NULL: there is none. */
const struct tensor *training_init_tensor(struct training *t, const char *name);

/* The tokenizer's table: that of the training that is resumed (NULL: none is, or it has none), and the one that is
 * used, borrowed until close. */
const char *training_saved_merges(const struct training *t);
void training_keep_merges(struct training *t, const char *merges);

/* Numbers that a checkpoint must hold besides the trainers', such as running statistics. Borrowed until close. */
MUST_CHECK enum status training_add_state(struct training *t, const char *name, float *values, int64_t count,
                                          struct error *err);

/* ---- for step ---- */

/* Item k of a part, by its number in the whole batch of all machines. */
int64_t training_item(const struct training *t, int part, int k);

/* A generator for one item of this step and one purpose. */
void training_random(const struct training *t, enum training_purpose purpose, int64_t item, struct rng *out);
double training_uniform(struct rng *rng); /* in [0, 1), 32 bits */

/* The picture of an item, as the data set numbers them: each comes once before any comes again. */
int64_t training_picture(const struct training *t, int64_t item);
bool training_flipped(const struct training *t, int64_t item);
/* Which of its captions, or -1 where it is left out or there is none. */
int training_alternative(const struct training *t, int64_t item);
/* The pictures of a part, mirrored where they should be: [part_size, size, size, channels] in -1..1. */
MUST_CHECK enum status training_pixels(struct training *t, int part, float *out, struct error *err);

/* Replaces the values by their sums over all machines. Steps exchange numbers by this alone: the loop has to know
 * whether all machines have failed together. */
MUST_CHECK enum status training_sum(struct training *t, float *values, int64_t count, struct error *err);

/* Sums the gradients of all machines, then the optimiser's step with this step's learning rate times `factor`. */
MUST_CHECK enum status training_update(struct training *t, struct trainer *trainer, float factor, struct error *err);

/* A part's loss by name, for the records: its mean over the parts and machines. The first name of a step is "loss", by
 * which progress is shown. A loss that is not finite ends the training after the step. */
void training_loss(struct training *t, const char *name, double value);

/* ---- for save ---- */

struct training_result; /* a checkpoint in the making */

MUST_CHECK enum status training_result_create(struct training_result **out, struct training *t, struct error *err);
void training_result_destroy(struct training_result *result);
/* All of a trainer's parameters, averaged where there is an average, in checkpoint layout and settings.dtype. */
MUST_CHECK enum status training_result_add_trainer(struct training_result *result, const struct trainer *trainer,
                                                   struct error *err);
/* Of what has been added so far: takes a prefix off all names that have it; makes [1] a number without dimensions. */
void training_result_strip(struct training_result *result, const char *prefix);
void training_result_number(struct training_result *result, const char *name);
/* A tensor as it stands, copied; dims as in a checkpoint. */
MUST_CHECK enum status training_result_add(struct training_result *result, const char *name, int rank,
                                           const int64_t *dims, const float *values, struct error *err);
/* Tensors of another checkpoint whose names begin so, as they are, unless the result has them already: a VAE that goes
 * into a pack, layers of a model to begin with that were not trained. Those in blocks become settings.dtype. */
MUST_CHECK enum status training_result_copy(struct training_result *result, const struct checkpoint *from,
                                            const char *prefix, struct error *err);
MUST_CHECK enum status training_result_metadata(struct training_result *result, const char *key, const char *text,
                                                struct error *err);
/* What no tensor tells, as the metadata `limn.pack`. Takes the object; NULL: there was no memory for it. */
MUST_CHECK enum status training_result_pack(struct training_result *result, json_t *pack, struct error *err);
/* Before the first step: would a result with this be opened again? Takes the object, too. */
MUST_CHECK enum status training_check_pack(json_t *pack, struct error *err);
MUST_CHECK enum status training_result_write(struct training_result *result, const char *path, struct error *err);

#endif
