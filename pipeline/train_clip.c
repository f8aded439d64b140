/* SPDX-License-Identifier: MIT
 *
 * A CLIP pair from pictures and their captions (Radford et al. 2021, arXiv 2103.00020): both towers learn at once, so
 * that among all pictures and captions of a batch those that belong together are nearest.
 *
 *     pictures [B, S, S, 3] -> image tower -> directions [B, P] --+
 *                                                                 +-- cosines [B, B] * e^s -> loss
 *     captions -> ids [B, T] -> text tower -> directions [B, P] --+
 *
 * A picture's rivals are all the others of the batch. Where that is computed in parts, or on several machines, each
 * part goes through the towers twice (Gao et al. 2021, arXiv 2101.06983): first for its directions, which everybody
 * gets to see; from all of them follow the loss and its slope at every direction; with those the parts go forwards and
 * backwards one after the other. So it makes no difference to the weights in how many parts a batch is computed.
 *
 *     parts -> directions -> [M, P] each -> loss -> slopes [M, P] each -> parts, backwards
 */
#include "clip/contrastive.h"
#include "clip/image_tower.h"
#include "clip/text_tower.h"
#include "core/base/memory.h"
#include "core/io/dataset.h"
#include "core/tensor/gradient.h"
#include "pipeline/training_text.h"
#include "pipeline/warp.h"

#include <math.h>
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
    struct graph graph;                         /* a part backwards: from its own loss, or from slopes */
    struct exec *exec;                          /* owned */
    bool in_parts;                              /* then the next are used */
    struct graph ahead, all;                    /* a part's directions; loss and slopes of all directions */
    struct exec *ahead_exec, *all_exec;         /* owned */
    float *pictures, *texts;                    /* pictures owned, texts behind it: all directions, M rows of each */
    float *picture_slopes, *text_slopes, scale; /* likewise; scale: the slope at logit_scale */
    struct trainer *trainer;                    /* the loop's */
    float *pixels;                              /* owned; a part's pictures */
    float *flat;                                /* one picture, before it is warped */
    int32_t *ids, *ends;                        /* ids owned; a part's captions, as text_tower.h takes them */
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

struct pair {
    struct node *pictures, *texts;
};

/* Both towers up to their directions. */
static struct pair build_towers(struct graph *g, const struct clip_training *c, int64_t B)
{
    enum { ALL_LAYERS = 1 };
    struct node *pictures = graph_input(g, "pictures", DTYPE_F32, SHAPE(B, c->image.size, c->image.size, 3));
    struct node *ids = graph_input(g, "ids", DTYPE_I32, SHAPE(B, c->text.length));
    struct node *ends = graph_input(g, "ends", DTYPE_I32, SHAPE(B, 1));
    struct node *states = text_tower_build(g, &c->text, ids, ALL_LAYERS);
    struct node *texts = contrastive_direction(g, text_tower_features(g, &c->text, states, ends));
    return (struct pair){contrastive_direction(g, image_tower_build(g, &c->image, pictures)), texts};
}

static struct node *compare(struct graph *g, struct pair pair)
{
    struct node *loss = contrastive_loss(g, contrastive_logits(g, contrastive_cosines(g, pair.pictures, pair.texts)));
    graph_output(g, "loss", loss);
    return loss;
}

/* Something whose slope at each direction, and at the scale, is the one that comes in. */
static struct node *follow_slopes(struct graph *g, struct pair pair)
{
    struct node *scale = graph_param(g, "logit_scale", PARAM_PLAIN, SHAPE(1));
    struct node *slopes[] = {graph_input(g, "picture slopes", DTYPE_F32, pair.pictures->shape),
                             graph_input(g, "text slopes", DTYPE_F32, pair.texts->shape),
                             graph_input(g, "scale slope", DTYPE_F32, SHAPE(1))};
    struct node *sum = graph_add(g, graph_mul(g, pair.pictures, slopes[0]), graph_mul(g, pair.texts, slopes[1]));
    sum = graph_reshape(g, graph_reduce(g, REDUCE_SUM, sum, 3u), SHAPE(1));
    return graph_add(g, sum, graph_mul(g, scale, slopes[2]));
}

/* The loss of M directions of each kind, and its slopes. */
static void build_all(struct graph *g, int64_t M, int64_t width)
{
    const struct pair pair = {graph_input(g, "pictures", DTYPE_F32, SHAPE(M, width)),
                              graph_input(g, "texts", DTYPE_F32, SHAPE(M, width))};
    struct node *slopes[3], *loss = compare(g, pair);
    struct node *const of[] = {pair.pictures, pair.texts, graph_param(g, "logit_scale", PARAM_PLAIN, SHAPE(1))};
    graph_grad(g, loss, of, 3, slopes);
    graph_output(g, "picture slopes", slopes[0]);
    graph_output(g, "text slopes", slopes[1]);
    graph_output(g, "scale slope", slopes[2]);
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

static int64_t all_items(const struct training *t)
{
    return (int64_t)t->settings.batch * t->ranks;
}

static enum status open_parts(struct training *t, struct clip_training *c, struct error *err)
{
    const int64_t M = all_items(t), width = c->image.projection;
    const size_t floats = 4 * (size_t)M * (size_t)width;
    enum status status = training_reserve(t, "directions of a batch", floats * sizeof(float), err);
    if (status != STATUS_OK) return status;
    c->pictures = memory_alloc(floats * sizeof(float));
    if (!c->pictures) return fail_no_memory(err, "directions of a batch", floats * sizeof(float));
    c->texts = c->pictures + M * width;
    c->picture_slopes = c->texts + M * width;
    c->text_slopes = c->picture_slopes + M * width;
    const struct pair pair = build_towers(&c->ahead, c, t->part_size);
    graph_output(&c->ahead, "picture directions", pair.pictures);
    graph_output(&c->ahead, "text directions", pair.texts);
    build_all(&c->all, M, width);
    trainer_bind(c->trainer, &c->ahead);
    trainer_bind(c->trainer, &c->all);
    status = training_open_run(t, &c->ahead_exec, &c->ahead, err);
    return status == STATUS_OK ? training_open_run(t, &c->all_exec, &c->all, err) : status;
}

static enum status clip_open(struct training *t, struct error *err)
{
    struct clip_training *c = t->family_state;
    c->in_parts = t->settings.accumulate * t->ranks > 1;
    if (all_items(t) < 2)
        return fail(err, STATUS_ARGUMENT,
                    "a batch has 1 picture; a CLIP pair is learnt by comparing, so at least 2 are needed");
    enum status status = read_config(t, c, err);
    if (status == STATUS_OK) status = make_towers(t, c, err);
    if (status != STATUS_OK) return status;
    const struct pair pair = build_towers(&c->graph, c, t->part_size);
    if (c->graph.error.status != STATUS_OK) return fail(err, c->graph.error.status, "%s", c->graph.error.text);
    struct node *loss = c->in_parts ? follow_slopes(&c->graph, pair) : compare(&c->graph, pair);
    status = training_add_trainer(t, &c->trainer, &(struct training_trainer){.name = "pair", .graph = &c->graph}, err);
    if (status != STATUS_OK) return status;
    trainer_differentiate(c->trainer, &c->graph, loss, t->settings.recompute);
    trainer_bind(c->trainer, &c->graph);
    status = allocate(t, c, err);
    if (status == STATUS_OK) status = training_open_run(t, &c->exec, &c->graph, err);
    return status == STATUS_OK && c->in_parts ? open_parts(t, c, err) : status;
}

static void clip_close(struct training *t)
{
    struct clip_training *c = t->family_state;
    exec_destroy(c->exec);
    exec_destroy(c->ahead_exec);
    exec_destroy(c->all_exec);
    graph_clear(&c->graph);
    graph_clear(&c->ahead);
    graph_clear(&c->all);
    memory_free(c->pictures);
    training_text_close(&c->captions);
    memory_free(c->pixels);
    memory_free(c->ids);
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

static enum status write_part(struct training *t, struct clip_training *c, int part, struct exec *exec,
                              struct error *err)
{
    enum status status = training_pixels(t, part, c->pixels, err);
    if (status != STATUS_OK) return status;
    write_captions(t, c, part);
    warp_pictures(t, c, part);
    status = exec_write(exec, "pictures", c->pixels, err);
    if (status == STATUS_OK) status = exec_write(exec, "ids", c->ids, err);
    return status == STATUS_OK ? exec_write(exec, "ends", c->ends, err) : status;
}

static enum status run_whole(struct training *t, struct clip_training *c, float *loss, struct error *err)
{
    enum status status = write_part(t, c, 0, c->exec, err);
    if (status == STATUS_OK) status = exec_run(c->exec, err);
    if (status == STATUS_OK) status = exec_read(c->exec, "loss", loss, err);
    return status == STATUS_OK ? trainer_collect(c->trainer, c->exec, 1, err) : status;
}

/* Where a part's directions are among all. */
static int64_t place_of(const struct training *t, const struct clip_training *c, int part)
{
    return training_item(t, part, 0) * c->image.projection;
}

/* All directions, of all machines: each fills in its own, and the sum is everybody's. */
static enum status gather(struct training *t, struct clip_training *c, struct error *err)
{
    const int64_t floats = 2 * all_items(t) * c->image.projection;
    enum status status = STATUS_OK;
    memset(c->pictures, 0, (size_t)floats * sizeof *c->pictures);
    for (int part = 0; part < t->settings.accumulate && status == STATUS_OK; part++) {
        const int64_t at = place_of(t, c, part);
        status = write_part(t, c, part, c->ahead_exec, err);
        if (status == STATUS_OK) status = exec_run(c->ahead_exec, err);
        if (status == STATUS_OK) status = exec_read(c->ahead_exec, "picture directions", c->pictures + at, err);
        if (status == STATUS_OK) status = exec_read(c->ahead_exec, "text directions", c->texts + at, err);
    }
    return status == STATUS_OK ? training_sum(t, c->pictures, floats, err) : status;
}

static enum status find_slopes(struct clip_training *c, float *loss, struct error *err)
{
    enum status status = exec_write(c->all_exec, "pictures", c->pictures, err);
    if (status == STATUS_OK) status = exec_write(c->all_exec, "texts", c->texts, err);
    if (status == STATUS_OK) status = exec_run(c->all_exec, err);
    if (status == STATUS_OK) status = exec_read(c->all_exec, "loss", loss, err);
    if (status == STATUS_OK) status = exec_read(c->all_exec, "picture slopes", c->picture_slopes, err);
    if (status == STATUS_OK) status = exec_read(c->all_exec, "text slopes", c->text_slopes, err);
    return status == STATUS_OK ? exec_read(c->all_exec, "scale slope", &c->scale, err) : status;
}

/* Gradients are sums over parts and machines here, not means: the slopes are those of the whole. */
static enum status run_parts(struct training *t, struct clip_training *c, float *loss, struct error *err)
{
    enum status status = gather(t, c, err);
    if (status == STATUS_OK) status = find_slopes(c, loss, err);
    for (int part = 0; part < t->settings.accumulate && status == STATUS_OK; part++) {
        const int64_t at = place_of(t, c, part);
        const float scale = part == 0 && t->rank == 0 ? c->scale : 0; /* it counts once */
        status = write_part(t, c, part, c->exec, err);
        if (status == STATUS_OK) status = exec_write(c->exec, "picture slopes", c->picture_slopes + at, err);
        if (status == STATUS_OK) status = exec_write(c->exec, "text slopes", c->text_slopes + at, err);
        if (status == STATUS_OK) status = exec_write(c->exec, "scale slope", &scale, err);
        if (status == STATUS_OK) status = exec_run(c->exec, err);
        if (status == STATUS_OK) status = trainer_collect(c->trainer, c->exec, 1, err);
    }
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
    float loss = 0;
    enum status status = c->in_parts ? run_parts(t, c, &loss, err) : run_whole(t, c, &loss, err);
    if (status != STATUS_OK) return status;
    training_loss(t, "loss", (double)loss);
    training_loss(t, "scale", exp((double)*trainer_find(c->trainer, "logit_scale")));
    status = training_update(t, c->trainer, 1, err);
    return status == STATUS_OK ? limit_scale(c, err) : status;
}

/* ---- save ---- */

static const char *activation_name(enum unary activation)
{
    return activation == UNARY_GELU ? "gelu" : "quick_gelu";
}

/* What a tensor cannot say, where pack.h, the towers and image_preprocess.h look for it. Pictures are trained in
 * -1..1, so their colours have mean and deviation of one half. */
static json_t *describe(const struct clip_training *c)
{
    return json_pack("{s:i, s:s, s:{s:i, s:s}, s:{s:i, s:s, s:[f,f,f], s:[f,f,f]}}", "format", 1, "name", "clip",
                     "text", "heads", c->text.blocks.heads, "activation", activation_name(c->text.blocks.activation),
                     "image", "heads", c->image.blocks.heads, "activation", activation_name(c->image.blocks.activation),
                     "image_mean", 0.5, 0.5, 0.5, "image_std", 0.5, 0.5, 0.5);
}

static enum status clip_save(struct training *t, const char *path, struct error *err)
{
    const struct clip_training *c = t->family_state;
    struct training_result *result = NULL;
    enum status status = training_result_create(&result, t, err);
    if (status == STATUS_OK) status = training_result_add_trainer(result, c->trainer, err);
    if (status == STATUS_OK) { /* as CLIPModel has it */
        training_result_strip(result, "cond_stage_model.transformer.");
        training_result_number(result, "logit_scale");
    }
    if (status == STATUS_OK) status = training_result_pack(result, describe(c), err);
    if (status == STATUS_OK && c->captions.merges)
        status = training_result_metadata(result, "limn.merges", c->captions.merges, err);
    if (status == STATUS_OK) status = training_result_write(result, path, err);
    training_result_destroy(result);
    return status;
}

static const char *const members[] = {"image", "text", NULL};

const struct training_family clip_training = {
    .name = "clip",
    .state_bytes = sizeof(struct clip_training),
    .members = members,
    .defaults = clip_defaults,
    .open = clip_open,
    .step = clip_step,
    .save = clip_save,
    .close = clip_close,
};
