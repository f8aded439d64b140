/* SPDX-License-Identifier: MIT
 *
 * A CLIP pair from pictures and their captions (Radford et al. 2021, arXiv 2103.00020): both towers learn at once, so
 * that among all pictures and captions of a batch those that belong together are nearest.
 *
 *     pictures [B, S, S, 3] -> image tower -> directions [B, P] --+
 *                                                                 +-- cosines [B, B] * e^s -> loss
 *     captions -> ids [B, T] -> text tower -> directions [B, P] --+
 *
 * A picture's rivals are the others of its part of a batch: with --accumulate, or on several machines, each part is
 * compared within itself.
 */
#include "clip/contrastive.h"
#include "clip/image_tower.h"
#include "clip/text_tower.h"
#include "core/base/memory.h"
#include "core/io/dataset.h"
#include "pipeline/training_text.h"
#include "pipeline/warp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_SIZE = 64, MOST_MERGES = 49152 };

struct clip_training {
    struct image_tower_shape image_shape; /* as configured; not used with --init */
    struct text_shape text_shape;
    int merges; /* lines of the table that is learnt, at most */
    struct warp_range warp;
    struct image_tower_config image;
    struct text_config text;
    struct training_text captions;
    struct graph graph;
    struct exec *exec;       /* owned */
    struct trainer *trainer; /* the loop's */
    float *pixels;           /* owned; a part's pictures */
    float *flat;             /* one picture, before it is warped */
    int32_t *ids, *ends;     /* ids owned; a part's captions, as text_tower.h takes them */
};

static void clip_defaults(struct training_settings *s)
{
    s->steps = 4000;
    s->save_every = 200;
    if (s->size == 0) s->size = DEFAULT_SIZE;
    s->batch = 256;
    s->rate = (struct learning_rate){.kind = LEARNING_RATE_COSINE, .peak = 1e-3f, .warm_up = 100};
    s->rule = (struct optimiser_rule){
        .kind = OPTIMISER_ADAMW, .beta1 = 0.9f, .beta2 = 0.98f, .eps = 1e-6f, .decay = 0.1f, .clip = 1};
    s->dtype = DTYPE_F16;
}

/* ---- what is configured ---- */

static enum status read_config(struct training *t, struct clip_training *c, struct error *err)
{
    c->image_shape = (struct image_tower_shape){
        .size = t->settings.size, .patch = 16, .width = 192, .layers = 3, .heads = 3, .projection = 128};
    c->text_shape = (struct text_shape){.length = 32, .width = 192, .layers = 2, .heads = 3};
    c->merges = 4000;
    c->warp = (struct warp_range){.shift = 0.05, .scale = 0.1, .brightness = 0.1, .colour = 0.1};
    const struct training_key image[] = {
        {"patch", TRAINING_KEY_WHOLE, &c->image_shape.patch, 1, IMAGE_TOWER_MAX_PATCH, NULL},
        {"width", TRAINING_KEY_WHOLE, &c->image_shape.width, 1, BLOCKS_MAX_WIDTH, NULL},
        {"layers", TRAINING_KEY_WHOLE, &c->image_shape.layers, 1, BLOCKS_MAX_LAYERS, NULL},
        {"heads", TRAINING_KEY_WHOLE, &c->image_shape.heads, 1, BLOCKS_MAX_WIDTH, NULL},
        {"projection", TRAINING_KEY_WHOLE, &c->image_shape.projection, 1, BLOCKS_MAX_WIDTH, NULL},
        {"shift", TRAINING_KEY_REAL, &c->warp.shift, 0, 0.5, NULL},
        {"scale", TRAINING_KEY_REAL, &c->warp.scale, 0, 0.5, NULL},
        {"brightness", TRAINING_KEY_REAL, &c->warp.brightness, 0, 1, NULL},
        {"colour", TRAINING_KEY_REAL, &c->warp.colour, 0, 1, NULL},
    };
    const struct training_key text[] = {
        {"merges", TRAINING_KEY_WHOLE, &c->merges, 0, MOST_MERGES, NULL},
        {"length", TRAINING_KEY_WHOLE, &c->text_shape.length, 3, TEXT_MAX_LENGTH, NULL},
        {"width", TRAINING_KEY_WHOLE, &c->text_shape.width, 1, BLOCKS_MAX_WIDTH, NULL},
        {"layers", TRAINING_KEY_WHOLE, &c->text_shape.layers, 1, BLOCKS_MAX_LAYERS, NULL},
        {"heads", TRAINING_KEY_WHOLE, &c->text_shape.heads, 1, BLOCKS_MAX_WIDTH, NULL},
    };
    enum status status = training_read_config(t, "image", image, (int)(sizeof image / sizeof *image), err);
    if (status == STATUS_OK) status = training_read_config(t, "text", text, (int)(sizeof text / sizeof *text), err);
    c->text_shape.projection = c->image_shape.projection;
    return status;
}

/* ---- the towers ---- */

static enum status detect_towers(const struct training *t, struct clip_training *c, struct error *err)
{
    enum status status = image_tower_detect(&c->image, t->init, err);
    if (status == STATUS_OK) status = text_config_detect(&c->text, t->init, err);
    if (status != STATUS_OK) return status;
    if (c->image.projection != c->text.projection)
        return fail(err, STATUS_FORMAT, "features of pictures are %d wide and those of texts %d; they must be the same",
                    c->image.projection, c->text.projection);
    if (c->image.size == t->settings.size) return STATUS_OK;
    return fail(err, STATUS_ARGUMENT, "the model to begin with takes pictures of %d pixels, not of %d; use --size %d",
                c->image.size, t->settings.size, c->image.size);
}

/* Captions first become ids, because the tokenizer's table says how many rows the text tower has. */
static enum status make_towers(struct training *t, struct clip_training *c, struct error *err)
{
    enum status status = t->init ? detect_towers(t, c, err) : STATUS_OK;
    const int length = t->init ? c->text.length : c->text_shape.length;
    if (status == STATUS_OK) status = training_text_open(&c->captions, t, length, c->merges, err);
    if (status != STATUS_OK) return status;
    if (c->captions.captions == 0)
        return fail(err, STATUS_FORMAT, "the data are %s; a CLIP pair is learnt from pictures and captions",
                    dataset_layout(t->data));
    if (t->init && c->captions.vocabulary > c->text.vocabulary)
        return fail(err, STATUS_FORMAT, "the text encoder has states for %d tokens, but its tokenizer makes %d",
                    c->text.vocabulary, c->captions.vocabulary);
    if (t->init) return STATUS_OK;
    c->text_shape.vocabulary = c->captions.vocabulary;
    status = image_tower_create(&c->image, &c->image_shape, err);
    return status == STATUS_OK ? text_config_create(&c->text, &c->text_shape, err) : status;
}

static struct node *build(struct clip_training *c, int64_t B)
{
    enum { ALL_LAYERS = 1 };
    struct graph *g = &c->graph;
    struct node *pictures = graph_input(g, "pictures", DTYPE_F32, SHAPE(B, c->image.size, c->image.size, 3));
    struct node *ids = graph_input(g, "ids", DTYPE_I32, SHAPE(B, c->text.length));
    struct node *ends = graph_input(g, "ends", DTYPE_I32, SHAPE(B, 1));
    struct node *states = text_tower_build(g, &c->text, ids, ALL_LAYERS);
    struct node *texts = contrastive_direction(g, text_tower_features(g, &c->text, states, ends));
    pictures = contrastive_direction(g, image_tower_build(g, &c->image, pictures));
    struct node *loss = contrastive_loss(g, contrastive_logits(g, contrastive_cosines(g, pictures, texts)));
    graph_output(g, "loss", loss);
    return loss;
}

/* ---- open ---- */

static enum status allocate(struct training *t, struct clip_training *c, struct error *err)
{
    const size_t part = (size_t)t->part_size, length = (size_t)c->text.length;
    const size_t floats = (size_t)c->image.size * (size_t)c->image.size * 3;
    const size_t bytes = (part + 1) * floats * sizeof(float) + part * (length + 1) * sizeof(int32_t);
    enum status status = training_reserve(t, "pictures and captions of a batch", bytes, err);
    if (status != STATUS_OK) return status;
    c->pixels = memory_alloc_raw((part + 1) * floats * sizeof *c->pixels);
    c->ids = memory_alloc_raw(part * (length + 1) * sizeof *c->ids);
    if (!c->pixels || !c->ids) return fail_no_memory(err, "a batch", bytes);
    c->flat = c->pixels + part * floats;
    c->ends = c->ids + part * length;
    return STATUS_OK;
}

static enum status clip_open(struct training *t, struct error *err)
{
    struct clip_training *c = memory_alloc(sizeof *c);
    if (!c) return fail_no_memory(err, "a training", sizeof *c);
    t->family_state = c;
    if (t->part_size < 2)
        return fail(err, STATUS_ARGUMENT,
                    "a part of a batch has %d picture; a CLIP pair is learnt by comparing, so at "
                    "least 2 are needed",
                    t->part_size);
    enum status status = read_config(t, c, err);
    if (status == STATUS_OK) status = make_towers(t, c, err);
    if (status != STATUS_OK) return status;
    struct node *loss = build(c, t->part_size);
    status = training_add_trainer(t, &c->trainer, &(struct training_trainer){.name = "pair", .graph = &c->graph}, err);
    if (status != STATUS_OK) return status;
    trainer_differentiate(c->trainer, &c->graph, loss, t->settings.recompute);
    trainer_bind(c->trainer, &c->graph);
    status = allocate(t, c, err);
    return status == STATUS_OK ? training_open_run(t, &c->exec, &c->graph, err) : status;
}

static void clip_close(struct training *t)
{
    struct clip_training *c = t->family_state;
    if (!c) return;
    exec_destroy(c->exec);
    graph_clear(&c->graph);
    training_text_close(&c->captions);
    memory_free(c->pixels);
    memory_free(c->ids);
    memory_free(c);
    t->family_state = NULL;
}

/* ---- a step ---- */

static void write_captions(const struct training *t, struct clip_training *c, int part)
{
    const int length = c->text.length;
    for (int k = 0; k < t->part_size; k++) {
        const int64_t row = training_text_row(&c->captions, t, training_item(t, part, k));
        memcpy(c->ids + k * length, training_text_ids(&c->captions, row), (size_t)length * sizeof *c->ids);
        c->ends[k] = k * length + c->captions.ends[row];
    }
}

static void warp_pictures(const struct training *t, struct clip_training *c, int part)
{
    const size_t floats = (size_t)c->image.size * (size_t)c->image.size * 3;
    for (int k = 0; k < t->part_size; k++) {
        struct rng rng;
        training_random(t, TRAINING_WARP, training_item(t, part, k), &rng);
        memcpy(c->flat, c->pixels + (size_t)k * floats, floats * sizeof *c->flat);
        warp_picture(c->pixels + (size_t)k * floats, c->flat, c->image.size, &c->warp, &rng);
    }
}

static enum status run_part(struct training *t, struct clip_training *c, int part, double *loss, struct error *err)
{
    enum status status = training_pixels(t, part, c->pixels, err);
    if (status != STATUS_OK) return status;
    write_captions(t, c, part);
    warp_pictures(t, c, part);
    float value = 0;
    status = exec_write(c->exec, "pictures", c->pixels, err);
    if (status == STATUS_OK) status = exec_write(c->exec, "ids", c->ids, err);
    if (status == STATUS_OK) status = exec_write(c->exec, "ends", c->ends, err);
    if (status == STATUS_OK) status = exec_run(c->exec, err);
    if (status == STATUS_OK) status = exec_read(c->exec, "loss", &value, err);
    if (status == STATUS_OK) status = trainer_collect(c->trainer, c->exec, t->share, err);
    *loss = (double)value;
    return status;
}

/* The scale stays at most 100, as in the paper (section 2.5): beyond, training becomes unstable. */
static enum status limit_scale(struct clip_training *c, struct error *err)
{
    const float most = 4.6051702f; /* ln 100 */
    float *scale = trainer_find(c->trainer, "logit_scale");
    if (*scale <= most) return STATUS_OK;
    *scale = most;
    return trainer_publish(c->trainer, err);
}

static enum status clip_step(struct training *t, struct error *err)
{
    struct clip_training *c = t->family_state;
    enum status status = STATUS_OK;
    for (int part = 0; part < t->settings.accumulate && status == STATUS_OK; part++) {
        double loss = 0;
        status = run_part(t, c, part, &loss, err);
        if (status == STATUS_OK) training_loss(t, "loss", loss);
        if (status == STATUS_OK) training_loss(t, "scale", exp((double)*trainer_find(c->trainer, "logit_scale")));
    }
    if (status == STATUS_OK) status = training_update(t, c->trainer, 1, err);
    return status == STATUS_OK ? limit_scale(c, err) : status;
}

/* ---- save ---- */

static const char *activation_name(enum unary activation)
{
    return activation == UNARY_GELU ? "gelu" : "quick_gelu";
}

/* What a tensor cannot say, where pack.h, the towers and image_preprocess.h look for it. Pictures are trained in
 * -1..1, so their colours have mean and deviation of one half. */
static char *describe(const struct clip_training *c)
{
    json_t *json =
        json_pack("{s:i, s:s, s:{s:i, s:s}, s:{s:i, s:s, s:[f,f,f], s:[f,f,f]}}", "format", 1, "name", "clip", "text",
                  "heads", c->text.blocks.heads, "activation", activation_name(c->text.blocks.activation), "image",
                  "heads", c->image.blocks.heads, "activation", activation_name(c->image.blocks.activation),
                  "image_mean", 0.5, 0.5, 0.5, "image_std", 0.5, 0.5, 0.5);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

static enum status clip_save(struct training *t, const char *path, struct error *err)
{
    const struct clip_training *c = t->family_state;
    struct training_result *result = NULL;
    char *pack = describe(c);
    enum status status = pack ? training_result_create(&result, t, err) : fail_no_memory(err, "a result", sizeof *c);
    if (status == STATUS_OK) status = training_result_add_trainer(result, c->trainer, err);
    if (status == STATUS_OK) { /* as CLIPModel has it */
        training_result_strip(result, "cond_stage_model.transformer.");
        training_result_number(result, "logit_scale");
    }
    if (status == STATUS_OK) status = training_result_metadata(result, "limn.pack", pack, err);
    if (status == STATUS_OK && c->captions.merges)
        status = training_result_metadata(result, "limn.merges", c->captions.merges, err);
    if (status == STATUS_OK) status = training_result_write(result, path, err);
    training_result_destroy(result);
    free(pack); /* library: jansson's */
    return status;
}

const struct training_family clip_training = {
    .name = "clip",
    .defaults = clip_defaults,
    .open = clip_open,
    .step = clip_step,
    .save = clip_save,
    .close = clip_close,
};
