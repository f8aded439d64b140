/* SPDX-License-Identifier: MIT
 *
 * An opened model: its weights in a backend's memory, and what is known about it. Stages of painting build their
 * graphs anew for each picture (that takes milliseconds), so that only one stage's activations exist at a time:
 *
 *     struct stage stage = {0};
 *     graph_output(&stage.graph, "y", unet_build(&stage.graph, ...));
 *     stage_open(&stage, model, model->checkpoint, &err);
 *     exec_write(stage.exec, ...); exec_run(stage.exec, &err); exec_read(stage.exec, ...);
 *     stage_close(&stage);
 */
#ifndef PIPELINE_MODEL_H
#define PIPELINE_MODEL_H

#include "clip/text_encoder.h"
#include "diffusion/unet.h"
#include "diffusion/vae.h"
#include "include/limn.h"
#include "pipeline/kind.h"
#include "pipeline/pack.h"
#include "pipeline/sha256.h"

enum { MODEL_PATH_BYTES = 4096, MODEL_HASH_BYTES = 11 };

struct gan_model;

struct limn_model {
    struct backend *backend;           /* owned */
    struct params *params;             /* owned; weights of all parts */
    struct checkpoint *checkpoint;     /* owned; open as long as the model: some weights are read when first needed */
    struct checkpoint *vae_checkpoint; /* owned; NULL: the VAE is in the other one */
    struct text_encoder *text;         /* owned; NULL: a GAN that takes no text */
    struct gan_model *gan;             /* owned; NULL: it is a diffusion model */
    struct recognition recognised;
    struct pack pack; /* of a pack; else zeroed */
    struct unet_config unet;
    struct vae_config vae;
    struct schedule schedule;
    double latent_scale;
    int threads;         /* of the CPU, should it have to go on */
    bool no_fallback;    /* the CPU does not go on with what the device failed at */
    uint64_t max_memory; /* 0: no limit */
    uint64_t peak_bytes; /* most that weights and a stage's run have taken together so far */
    bool prediction_forced;
    enum dtype storage;                                      /* of weights, as params_store_as takes it */
    char path[MODEL_PATH_BYTES], vae_path[MODEL_PATH_BYTES]; /* vae_path: "" if none was given */
    char hash[MODEL_HASH_BYTES];                             /* of the file; "" until it is asked for */
};

/* What is used when the caller names no model: the pack beside the program, or where it is installed. */
MUST_CHECK enum status model_default_path(char path[MODEL_PATH_BYTES], struct error *err);
/* A file of the pack by its name: "gan.safetensors". */
MUST_CHECK enum status model_shipped_path(const char *name, char path[MODEL_PATH_BYTES], struct error *err);

/* The file's name without folder and ending, for metadata: valid UTF-8, with ? for what is not. */
void model_short_name(const char *path, char *name, size_t size);
/* What weights are stored as (params_store_as), by one of limn_weights_name; NULL is DTYPE_COUNT. And the way back. */
MUST_CHECK enum status model_storage(const char *weights, enum dtype *storage, struct error *err);
const char *model_storage_name(enum dtype storage);
/* First ten digits of the file's SHA-256, read once; "" for a folder. */
MUST_CHECK enum status model_hash(struct limn_model *model, const char **hash, struct error *err);

/* After a failure: true if it was the device's, and the model is now on the CPU, which may do the same from the
 * beginning; `err` is empty then, and a note has said why. False: `err` holds what there is to say.
 *
 *     do status = paint(model, ..., err); while (model_try_again(model, watch, err)); */
bool model_try_again(struct limn_model *model, const struct limn_watch *watch, struct error *err);

/* How many values of a picture are not finite. On a device that is a failure, STATUS_DEVICE; on the CPU there is a
 * note, for such values are painted black. */
size_t model_check_picture(const struct limn_model *model, const float *values, size_t count,
                           const struct limn_watch *watch, struct error *err);

/* The checkpoint that holds the VAE. */
const struct checkpoint *model_vae_checkpoint(const struct limn_model *model);

/* Of a model of SD 2.x whose file does not say it: finds out what the U-Net predicts, and says so to the watch. */
MUST_CHECK enum status model_ask_prediction(struct limn_model *model, const struct limn_watch *watch,
                                            struct error *err);

/* A graph with its run. Zero-initialised, then built, then opened. */
struct stage {
    struct graph graph;
    struct exec *exec;
};

/* Loads the weights that the graph needs and are not there yet, and plans it within what the memory limit leaves.
 * STATUS_LIMIT if that is too little. */
MUST_CHECK enum status stage_open(struct stage *stage, struct limn_model *model, const struct checkpoint *checkpoint,
                                  struct error *err);
void stage_close(struct stage *stage);

#endif
