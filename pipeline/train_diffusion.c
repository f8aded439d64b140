/* SPDX-License-Identifier: MIT
 *
 * Diffusion with its text tower, trained together (Ho et al. 2020, arXiv 2006.11239), of a VAE's latents or of pixels.
 * Latents are made once, by a VAE that stays as it is (Rombach et al. 2022, arXiv 2112.10752). Pixels are taken in
 * squares, each of which is one to the U-Net, so that its work is that of a picture of fewer pixels.
 *
 *     x = sqrt(a) z + sqrt(1 - a) eps         target eps, or v = sqrt(a) eps - sqrt(1 - a) z
 *     loss = mean of w(t) (U-Net(x, t, text) - target)^2
 *
 * A small U-Net beside an untrained text tower passes the text over for thousands of steps. So the first steps are a
 * warm-up of the tower alone: the last sixteen states of a caption must give, through one linear layer, the sixteen
 * patches of its picture's latent.
 *
 *     caption  [ start a red apple end end ... end | s16 .. s31 ]  ->  latent, cut 4 x 4
 *
 * The result is a pack: text tower, U-Net and VAE under the names of a single-file Stable Diffusion checkpoint.
 */
#include "clip/text_tower.h"
#include "core/io/dataset.h"
#include "core/io/quote.h"
#include "core/io/sheet.h"
#include "core/nn/layers.h"
#include "core/nn/losses.h"
#include "core/nn/params.h"
#include "diffusion/unet.h"
#include "diffusion/vae.h"
#include "pipeline/api.h"
#include "pipeline/kind.h"
#include "pipeline/model.h"
#include "pipeline/pack.h"
#include "pipeline/training_text.h"

#include <math.h>
#include <string.h>

enum { TRAIN_STEPS = 1000, WARM_UP_STEPS = 800, PATCHES_A_SIDE = 4, PATCHES = 16, SHEET_PROMPTS = 16 };

/* What the configuration may say. */
struct shapes {
    struct training_list multipliers, attention; /* of channels, by level; levels with attention */
    int channels, blocks, head_channels, groups;
    int text_width, text_layers, text_heads, text_length, merges;
    int64_t warm_up; /* steps of the text tower alone; -1: nobody has said how many */
};

/* Times are TRAIN_STEPS u^power for u even in 0..1. The late times, where only the text helps, decide what a picture
 * shows, so a power below 1 is for models that have little time to learn it. */
struct times {
    double first, last; /* the power until 0.3 of the training, and from 0.7 on; in between it goes evenly */
};

struct sheet {
    struct training_texts prompts; /* none: captions of the set */
    int columns;
};

struct diffusion {
    struct shapes shapes;
    struct times times;
    struct sheet sheet;
    json_t *pack; /* the configuration's; NULL: none */
    struct training_text text;
    struct text_config tower;
    struct unet_config unet;
    struct schedule schedule;
    struct checkpoint *vae_file;       /* owned; NULL: the VAE is t->init's */
    const struct checkpoint *vae_from; /* NULL: there is no VAE, pixels are painted */
    struct vae_config vae;
    struct pack vae_pack;
    double latent_scale;
    int side;       /* of a latent */
    float *latents; /* owned; [pictures, 1 or 2, side, side, channels]: as it is, and mirrored */
    struct graph graph, warm_up_graph;
    struct exec *exec, *warm_up_exec;                           /* owned; the latter NULL without a warm-up */
    struct trainer *text_trainer, *unet_trainer, *head_trainer; /* the loop's; the last is the warm-up's linear layer */
    float *x, *target, *weight, *embedding;                     /* owned, in one piece, x first; inputs of a part */
    int32_t *ids;                                               /* owned */
};

static void defaults(struct training_settings *s)
{
    if (s->size == 0) s->size = 64;
    s->steps = 20000;
    s->batch = 32;
    s->rate = (struct learning_rate){.kind = LEARNING_RATE_COSINE, .peak = 1e-3F, .floor = 2e-5F, .warm_up = 100};
    s->rule = (struct optimiser_rule){.kind = OPTIMISER_MUON,
                                      .beta1 = 0.9F,
                                      .beta2 = 0.99F,
                                      .eps = 1e-8F,
                                      .decay = 0.01F,
                                      .clip = 1,
                                      .average = 0.999F,
                                      .average_warms = true,
                                      .matrix_momentum = 0.95F,
                                      .matrix_rate = 20};
    s->caption_dropout = 0.1;
    s->save_every = 500;
    s->sheet_every = 1000;
    s->prediction = PREDICTION_V;
    s->dtype = DTYPE_F16;
}

/* ---- networks ---- */

static int64_t latent_values(const struct diffusion *d)
{
    return (int64_t)d->side * d->side * d->vae.latent_channels;
}

static enum status read_shapes(struct training *t, struct shapes *s, struct error *err)
{
    *s = (struct shapes){.multipliers = {3, {1, 2, 4}},
                         .attention = {2, {1, 2}},
                         .channels = 48,
                         .blocks = 1,
                         .head_channels = 32,
                         .groups = 8,
                         .text_width = 128,
                         .text_layers = 2,
                         .text_heads = 2,
                         .text_length = 32,
                         .merges = 1000,
                         .warm_up = -1};
    const struct training_key unet[] = {
        {"channels", TRAINING_KEY_WHOLE, &s->channels, 8, 2048, NULL},
        {"multipliers", TRAINING_KEY_LIST, &s->multipliers, 1, 16, NULL},
        {"attention", TRAINING_KEY_LIST, &s->attention, 0, UNET_MAX_LEVELS - 1, NULL},
        {"blocks", TRAINING_KEY_WHOLE, &s->blocks, 1, UNET_MAX_BLOCKS, NULL},
        {"head_channels", TRAINING_KEY_WHOLE, &s->head_channels, 4, 512, NULL},
        {"groups", TRAINING_KEY_WHOLE, &s->groups, 1, 512, NULL},
    };
    const struct training_key text[] = {
        {"width", TRAINING_KEY_WHOLE, &s->text_width, 8, 4096, NULL},
        {"layers", TRAINING_KEY_WHOLE, &s->text_layers, 1, 64, NULL},
        {"heads", TRAINING_KEY_WHOLE, &s->text_heads, 1, 256, NULL},
        {"length", TRAINING_KEY_WHOLE, &s->text_length, 3, 1024, NULL},
        {"merges", TRAINING_KEY_WHOLE, &s->merges, 0, 48894, NULL},
        {"warm_up", TRAINING_KEY_LONG, &s->warm_up, 0, 1e9, NULL},
    };
    enum status status = training_read_config(t, "unet", unet, sizeof unet / sizeof *unet, err);
    if (status == STATUS_OK) status = training_read_config(t, "text", text, sizeof text / sizeof *text, err);
    if (status == STATUS_OK && s->multipliers.count > UNET_MAX_LEVELS)
        status = fail(err, STATUS_ARGUMENT, "the U-Net has %d levels; at most %d are allowed", s->multipliers.count,
                      UNET_MAX_LEVELS);
    return status;
}

/* How many pictures a sheet shows: those that the configuration asks for, or some of the set. */
static int sheet_count(const struct training *t, const struct diffusion *d)
{
    const int64_t all = dataset_count(t->data);
    if (d->sheet.prompts.count > 0) return d->sheet.prompts.count;
    return all < SHEET_PROMPTS ? (int)all : SHEET_PROMPTS;
}

static enum status read_manner(struct training *t, struct diffusion *d, struct error *err)
{
    d->times = (struct times){1, 1};
    d->sheet.columns = 0;
    const struct training_key times[] = {
        {"first", TRAINING_KEY_REAL, &d->times.first, 0.05, 20, NULL},
        {"last", TRAINING_KEY_REAL, &d->times.last, 0.05, 20, NULL},
    };
    const struct training_key sheet[] = {
        {"prompts", TRAINING_KEY_TEXTS, &d->sheet.prompts, 0, 0, NULL},
        {"columns", TRAINING_KEY_WHOLE, &d->sheet.columns, 0, 64, NULL},
    };
    enum status status = training_read_config(t, "times", times, sizeof times / sizeof *times, err);
    if (status == STATUS_OK) status = training_read_config(t, "sheet", sheet, sizeof sheet / sizeof *sheet, err);
    if (status == STATUS_OK && t->settings.sheet_every > 0)
        status = sheet_check(t->settings.size, t->settings.size, sheet_count(t, d), d->sheet.columns, err);
    return status == STATUS_OK ? training_config_member(t, "pack", &d->pack, err) : status;
}

static enum status make_unet(struct diffusion *d, struct error *err)
{
    const struct shapes *s = &d->shapes;
    const int latent = d->vae.latent_channels;
    d->unet = (struct unet_config){.in_channels = latent,
                                   .out_channels = latent,
                                   .model_channels = s->channels,
                                   .time_width = 4 * s->channels,
                                   .context_width = d->tower.width,
                                   .levels = s->multipliers.count,
                                   .blocks = s->blocks,
                                   .middle_depth = 1,
                                   .head_size = s->head_channels,
                                   .groups = s->groups};
    for (int i = 0; i < s->multipliers.count; i++) {
        d->unet.width[i] = s->channels * s->multipliers.value[i];
        if (d->unet.width[i] % s->groups != 0)
            return fail(err, STATUS_ARGUMENT, "a U-Net level of %d channels cannot be cut into %d groups",
                        d->unet.width[i], s->groups);
    }
    for (int i = 0; i < s->attention.count; i++) d->unet.depth[s->attention.value[i]] = 1;
    return STATUS_OK;
}

/* The U-Net of another model may be one of inpainting, or of latents of other channels than there are. */
static enum status check_unet(const struct training *t, const struct diffusion *d, struct error *err)
{
    const int channels = d->vae.latent_channels;
    if (d->unet.in_channels == channels && d->unet.out_channels == channels) return STATUS_OK;
    return fail(err, STATUS_ARGUMENT,
                "%s: its U-Net takes %d channels and gives %d, and is to be trained on %d, those of %s",
                quote(t->settings.init).text, d->unet.in_channels, d->unet.out_channels, channels,
                d->vae_from ? "the VAE's latents" : "squares of pixels");
}

/* With --init, networks have its shapes, and the configuration's are not looked at. */
static enum status make_networks(struct training *t, struct diffusion *d, struct error *err)
{
    enum status status = read_shapes(t, &d->shapes, err);
    if (status == STATUS_OK) status = read_manner(t, d, err);
    if (status != STATUS_OK) return status;
    struct pack pack = {0};
    const struct shapes *s = &d->shapes;
    if (t->init && pack_present(t->init)) status = pack_read(&pack, t->init, err);
    if (status == STATUS_OK && t->init && text_present(t->init)) {
        status = text_config_detect(&d->tower, t->init, err);
        if (status == STATUS_OK) status = training_text_open(&d->text, t, d->tower.length, s->merges, err);
    } else if (status == STATUS_OK) {
        status = training_text_open(&d->text, t, s->text_length, s->merges, err);
        const struct text_shape shape = {.vocabulary = d->text.vocabulary,
                                         .length = s->text_length,
                                         .width = s->text_width,
                                         .layers = s->text_layers,
                                         .heads = s->text_heads};
        if (status == STATUS_OK) status = text_config_create(&d->tower, &shape, err);
    }
    if (status == STATUS_OK && t->init && unet_present(t->init)) {
        status = unet_config_detect(&d->unet, t->init, err);
        if (pack.unet_heads || pack.unet_head_size) {
            d->unet.heads = pack.unet_heads;
            d->unet.head_size = pack.unet_head_size;
        }
        if (pack.unet_groups) d->unet.groups = pack.unet_groups;
        if (status == STATUS_OK) status = check_unet(t, d, err);
    } else if (status == STATUS_OK) {
        status = make_unet(d, err);
    }
    pack_clear(&pack);
    return status;
}

/* Tables, and the U-Net's first and last convolution, are no matrices for Muon. */
static const char *const no_matrices[] = {"_embedding.", "input_blocks.0.", "diffusion_model.out.", NULL};

static void differentiate(struct training *t, struct graph *g, struct trainer *text, struct trainer *other,
                          struct node *loss)
{
    struct trainer *const trainers[] = {text, other};
    graph_output(g, "loss", loss);
    trainer_differentiate_all(trainers, 2, g, loss, t->settings.recompute);
    for (int i = 0; i < 2; i++) trainer_bind(trainers[i], g);
}

static enum status build(struct training *t, struct diffusion *d, struct error *err)
{
    struct graph *g = &d->graph;
    const int64_t n = t->part_size, channels = d->unet.in_channels;
    struct node *x = graph_input(g, "x", DTYPE_F32, SHAPE(n, d->side, d->side, channels));
    struct node *target = graph_input(g, "target", DTYPE_F32, SHAPE(n, d->side, d->side, channels));
    struct node *weight = graph_input(g, "weight", DTYPE_F32, SHAPE(n, 1, 1, 1));
    struct node *embedding = graph_input(g, "embedding", DTYPE_F32, SHAPE(n, d->unet.model_channels));
    struct node *ids = graph_input(g, "ids", DTYPE_I32, SHAPE(n, d->text.length));
    struct node *context = text_tower_build(g, &d->tower, ids, 0);
    struct node *out = unet_build(g, &d->unet, &(struct unet_inputs){x, embedding, context, NULL});
    struct node *loss = nn_squared_error(g, out, target, weight);
    struct training_trainer options = {.name = "text", .graph = g, .prefix = "cond_stage_model."};
    options.no_matrices = no_matrices;
    enum status status = training_add_trainer(t, &d->text_trainer, &options, err);
    options.name = "unet";
    options.prefix = "model.diffusion_model.";
    if (status == STATUS_OK) status = training_add_trainer(t, &d->unet_trainer, &options, err);
    if (status != STATUS_OK) return status;
    differentiate(t, g, d->text_trainer, d->unet_trainer, loss);
    return training_open_run(t, &d->exec, g, err);
}

/* The U-Net must have steps of its own. A short trial is no reason to complain about a warm-up that nobody asked for;
 * when it is made longer, what was shortened stays so. */
static enum status settle_warm_up(struct training *t, struct diffusion *d, struct error *err)
{
    int64_t *warm_up = &d->shapes.warm_up;
    const int64_t steps = t->settings.steps;
    const bool given = *warm_up >= 0;
    if (!given) *warm_up = t->init && text_present(t->init) ? 0 : WARM_UP_STEPS;
    if (given && *warm_up >= steps && *warm_up > 0)
        return fail(err, STATUS_ARGUMENT,
                    "the configuration's 'warm_up' in 'text' is %lld and the training has %lld steps: it must be less, "
                    "for in a warm-up the U-Net is not trained",
                    (long long)*warm_up, (long long)steps);
    if (*warm_up > 0 && (d->side % PATCHES_A_SIDE != 0 || d->text.length < 2 * PATCHES)) {
        watch_note(t->watch,
                   "no warm-up of the text tower: it needs texts of %d tokens and latents of a multiple of %d",
                   2 * PATCHES, PATCHES_A_SIDE);
        *warm_up = 0;
    }
    if (given || *warm_up <= steps / 2) return STATUS_OK;
    *warm_up = steps / 10;
    watch_note(t->watch, "the text tower's warm-up is shortened to %lld of the %lld steps", (long long)*warm_up,
               (long long)steps);
    return training_keep_number(t, "text", "warm_up", *warm_up, err);
}

/* The warm-up's target is the latent too, its patches one after the other. */
static enum status build_warm_up(struct training *t, struct diffusion *d, struct error *err)
{
    struct graph *g = &d->warm_up_graph;
    const int64_t n = t->part_size, patch = latent_values(d) / PATCHES;
    if (d->shapes.warm_up == 0) return STATUS_OK;
    struct node *ids = graph_input(g, "ids", DTYPE_I32, SHAPE(n, d->text.length));
    struct node *target = graph_input(g, "target", DTYPE_F32, SHAPE(n, PATCHES, patch));
    struct node *states = text_tower_build(g, &d->tower, ids, 0);
    states = graph_slice(g, states, 1, d->text.length - PATCHES, PATCHES);
    struct node *loss = nn_squared_error(g, nn_linear(g, states, patch, "warm_up"), target, NULL);
    const struct training_trainer options = {.name = "warm-up", .graph = g, .prefix = "warm_up."};
    enum status status = training_add_trainer(t, &d->head_trainer, &options, err);
    if (status != STATUS_OK) return status;
    differentiate(t, g, d->text_trainer, d->head_trainer, loss);
    return training_open_run(t, &d->warm_up_exec, g, err);
}

/* ---- latents ---- */

/* Pixels: as many to a square as leave the U-Net a grid of about sixteen. */
static enum status use_pixels(struct training *t, struct diffusion *d, struct error *err)
{
    int patch = t->init ? pack_patch(t->init) : 0;
    const bool given = patch > 0;
    if (!given) patch = t->settings.size >= 128 ? 8 : t->settings.size >= 64 ? 4 : t->settings.size >= 32 ? 2 : 1;
    const int found = patch;
    const struct training_key keys[] = {{"patch", TRAINING_KEY_WHOLE, &patch, 1, 8, NULL}};
    const enum status status = training_read_config(t, "pixels", keys, 1, err);
    if (status != STATUS_OK) return status;
    if ((patch & (patch - 1)) != 0) return fail(err, STATUS_ARGUMENT, "patch %d: must be 1, 2, 4 or 8", patch);
    if (given && patch != found)
        return fail(err, STATUS_ARGUMENT, "the model to begin with has a patch of %d, not of %d", found, patch);
    d->vae = vae_of_pixels(patch);
    d->vae_from = NULL;
    d->latent_scale = 1;
    return STATUS_OK;
}

static enum status use_vae(struct training *t, struct diffusion *d, struct error *err)
{
    enum status status = STATUS_OK;
    d->vae_from = t->init;
    if (t->settings.vae) {
        status = checkpoint_open(&d->vae_file, t->settings.vae, err);
        if (status == STATUS_OK) status = kind_normalise(d->vae_file, err);
        d->vae_from = d->vae_file;
    }
    if (status == STATUS_OK) status = vae_config_detect(&d->vae, d->vae_from, err);
    d->latent_scale = d->vae.scale;
    if (status == STATUS_OK) status = training_use_part(t, "VAE", d->vae_from, "first_stage_model.", err);
    if (status != STATUS_OK || !pack_present(d->vae_from)) return status;
    status = pack_read(&d->vae_pack, d->vae_from, err);
    if (d->vae_pack.vae_groups) d->vae.groups = d->vae_pack.vae_groups;
    d->latent_scale = d->vae_pack.latent_scale;
    return status;
}

static enum status open_vae(struct training *t, struct diffusion *d, struct error *err)
{
    const bool latents = t->settings.vae || (t->init && vae_present(t->init));
    json_t *pixels = NULL;
    enum status status = training_config_member(t, "pixels", &pixels, err);
    if (status == STATUS_OK && latents && pixels)
        status =
            fail(err, STATUS_ARGUMENT, "the configuration's 'pixels' is for pictures without a VAE, and there is one");
    if (status == STATUS_OK) status = latents ? use_vae(t, d, err) : use_pixels(t, d, err);
    if (status != STATUS_OK) return status;
    const int factor = vae_factor(&d->vae);
    d->side = t->settings.size / factor;
    if (!d->vae.encoder) return fail(err, STATUS_FORMAT, "the VAE has no encoder, which training needs");
    if (t->settings.size % factor != 0 || t->settings.size % 8 != 0)
        return fail(err, STATUS_ARGUMENT, "size %d: must be a multiple of %d", t->settings.size,
                    factor > 8 ? factor : 8);
    return STATUS_OK;
}

static enum status encode_all(struct training *t, struct diffusion *d, struct exec *exec, float *pixels, float *moments,
                              struct error *err)
{
    const int64_t pictures = dataset_count(t->data), values = latent_values(d);
    const int copies = t->settings.flip ? 2 : 1;
    const double start = api_clock();
    enum status status = STATUS_OK;
    for (int64_t i = 0; i < pictures * copies && status == STATUS_OK; i++) {
        status = dataset_fetch(t->data, i / copies, i % copies == 1, pixels, err);
        if (status == STATUS_OK) status = exec_write(exec, "image", pixels, err);
        if (status == STATUS_OK) status = exec_run(exec, err);
        if (status == STATUS_OK) status = exec_read(exec, "moments", moments, err);
        if (status != STATUS_OK) break;
        float *latent = d->latents + i * values;
        vae_sample(moments, NULL, (int64_t)d->side * d->side, d->vae.latent_channels, latent);
        for (int64_t k = 0; k < values; k++) latent[k] *= (float)d->latent_scale;
        watch_progress(t->watch, LIMN_STAGE_ENCODE, (int)(i / copies + 1), (int)pictures, api_clock() - start);
        status = watch_check(t->watch, err);
    }
    return status;
}

static enum status make_latents(struct training *t, struct diffusion *d, struct error *err)
{
    const size_t values = (size_t)latent_values(d), size = (size_t)t->settings.size;
    const size_t bytes = (size_t)dataset_count(t->data) * (t->settings.flip ? 2 : 1) * values * sizeof(float);
    struct graph g = {0};
    struct params *params = NULL;
    struct exec *exec = NULL;
    float *pixels = NULL;
    enum status status = training_reserve(t, "the pictures' latents", bytes, err);
    if (status != STATUS_OK) return status;
    struct node *image = graph_input(&g, "image", DTYPE_F32, SHAPE(1, (int64_t)size, (int64_t)size, 3));
    graph_output(&g, "moments", vae_encode(&g, &d->vae, image));
    d->latents = memory_alloc_raw(bytes);
    pixels = memory_alloc_raw((size * size * 3 + 2 * values) * sizeof *pixels);
    if (!d->latents || !pixels) status = fail_no_memory(err, "the pictures' latents", bytes);
    if (status == STATUS_OK) status = training_load_passing(t, "the VAE's encoder", &params, &g, d->vae_from, err);
    if (status == STATUS_OK) status = training_open_passing_run(t, "the VAE's encoder", &exec, &g, params, err);
    if (status == STATUS_OK) status = encode_all(t, d, exec, pixels, pixels + size * size * 3, err);
    exec_destroy(exec);
    params_destroy(params);
    graph_clear(&g);
    memory_free(pixels);
    return status;
}

static json_t *describe(const struct training *t, const struct diffusion *d)
{
    char name[128];
    model_short_name(t->out, name, sizeof name);
    json_t *unet = json_pack("{s:i}", "groups", d->unet.groups);
    if (d->unet.head_size > 0)
        json_object_set_new(unet, "head_channels", json_integer(d->unet.head_size));
    else
        json_object_set_new(unet, "heads", json_integer(d->unet.heads));
    json_t *root = json_pack(
        "{s:i, s:s, s:i, s:f, s:s, s:{s:s, s:i, s:b}, s:o, s:{s:i}, s:{s:i, s:s}, s:{s:i, s:f, s:s}, s:o, s:I}",
        "format", 1, "name", name, "size", t->settings.size, "latent_scale", d->latent_scale, "prediction",
        prediction_name(t->settings.prediction), "schedule", "kind", "cosine", "steps", TRAIN_STEPS, "zero_snr", 0,
        "unet", unet, "vae", "groups", d->vae.groups, "text", "heads", d->tower.blocks.heads, "activation",
        d->tower.blocks.activation == UNARY_GELU ? "gelu" : "quick_gelu", "defaults", "steps", 25, "cfg", 3.5,
        "sampler", "ddim", "concepts", training_text_concepts(t), "training_steps", (json_int_t)t->step);
    json_object_update(root, d->pack);
    return root;
}

/* ---- opening ---- */

static enum status allocate(struct training *t, struct diffusion *d, struct error *err)
{
    const size_t n = (size_t)t->part_size, values = (size_t)latent_values(d);
    const size_t floats = n * (2 * values + 1 + (size_t)d->unet.model_channels);
    const size_t bytes = floats * sizeof(float) + n * (size_t)d->text.length * sizeof *d->ids;
    enum status status = training_reserve(t, "a batch", bytes, err);
    if (status != STATUS_OK) return status;
    d->x = memory_alloc(floats * sizeof(float));
    d->ids = memory_alloc(n * (size_t)d->text.length * sizeof *d->ids);
    if (!d->x || !d->ids) return fail_no_memory(err, "a batch", bytes);
    d->target = d->x + n * values;
    d->weight = d->target + n * values;
    d->embedding = d->weight + n;
    return STATUS_OK;
}

static enum status open_family(struct training *t, struct error *err)
{
    struct diffusion *d = t->family_state;
    const struct schedule_options schedule = {
        .betas = BETAS_COSINE, .train_steps = TRAIN_STEPS, .prediction = t->settings.prediction};
    enum status status = schedule_init(&d->schedule, &schedule, err);
    if (status == STATUS_OK) status = open_vae(t, d, err);
    if (status == STATUS_OK) status = make_networks(t, d, err);
    if (status == STATUS_OK) status = settle_warm_up(t, d, err);
    if (status == STATUS_OK) status = allocate(t, d, err);
    if (status == STATUS_OK) status = build(t, d, err);
    if (status == STATUS_OK) status = build_warm_up(t, d, err);
    if (status == STATUS_OK) status = training_check_pack(describe(t, d), err);
    return status == STATUS_OK ? make_latents(t, d, err) : status;
}

static void close_family(struct training *t)
{
    struct diffusion *d = t->family_state;
    exec_destroy(d->exec);
    exec_destroy(d->warm_up_exec);
    graph_clear(&d->graph);
    graph_clear(&d->warm_up_graph);
    training_text_close(&d->text);
    schedule_clear(&d->schedule);
    pack_clear(&d->vae_pack);
    checkpoint_close(d->vae_file);
    memory_free(d->latents);
    memory_free(d->x);
    memory_free(d->ids);
}

/* ---- stepping ---- */

/* min(snr, gamma) / snr for eps, / (snr + 1) for v, times nothing for x0 (Hang et al. 2023, arXiv 2303.09556). */
static double loss_weight(const struct training_settings *s, double a)
{
    if (s->min_snr <= 0) return 1;
    const double snr = a / fmax(1 - a, 1e-12), least = fmin(snr, s->min_snr);
    if (s->prediction == PREDICTION_X0) return least;
    return least / (s->prediction == PREDICTION_V ? snr + 1 : fmax(snr, 1e-12));
}

/* How far the part after the warm-up is, 0 to 1. */
static double progress(const struct training *t, const struct diffusion *d)
{
    const double all = (double)(t->settings.steps - d->shapes.warm_up);
    return all > 0 ? fmax((double)(t->step - d->shapes.warm_up) / all, 0) : 1;
}

/* Each item of a batch has its own share of the times, lest some batches be all early and some all late. */
static int draw_time(const struct training *t, const struct diffusion *d, int64_t item)
{
    const double way = fmin(fmax((progress(t, d) - 0.3) / 0.4, 0), 1);
    const double power = d->times.first + way * (d->times.last - d->times.first);
    struct rng rng;
    training_random(t, TRAINING_TIME, item, &rng);
    const double u = ((double)item + training_uniform(&rng)) / ((double)t->settings.batch * t->ranks);
    const int time = (int)(pow(u, power) * TRAIN_STEPS);
    return time < TRAIN_STEPS ? time : TRAIN_STEPS - 1;
}

static const float *latent_of(const struct training *t, const struct diffusion *d, int64_t item)
{
    const int copies = t->settings.flip ? 2 : 1;
    return d->latents + (training_picture(t, item) * copies + training_flipped(t, item)) * latent_values(d);
}

static void draw_ids(const struct training *t, struct diffusion *d, int64_t item, int k)
{
    memcpy(d->ids + (ptrdiff_t)k * d->text.length, training_text_ids(&d->text, training_text_row(&d->text, t, item)),
           (size_t)d->text.length * sizeof *d->ids);
}

static void draw(struct training *t, struct diffusion *d, int part, int k)
{
    const int64_t item = training_item(t, part, k), values = latent_values(d);
    const float *z = latent_of(t, d, item);
    const int time = draw_time(t, d, item);
    const double a = d->schedule.alphas_cumprod[time];
    const float signal = (float)sqrt(a), sigma = (float)sqrt(1 - a);
    float *x = d->x + k * values, *target = d->target + k * values;
    struct rng rng;
    training_random(t, TRAINING_NOISE, item, &rng);
    rng_normal(&rng, x, (size_t)values);
    for (int64_t i = 0; i < values; i++) {
        const float noise = x[i];
        x[i] = signal * z[i] + sigma * noise;
        target[i] = t->settings.prediction == PREDICTION_V         ? signal * noise - sigma * z[i]
                    : t->settings.prediction == PREDICTION_EPSILON ? noise
                                                                   : z[i];
    }
    d->weight[k] = (float)loss_weight(&t->settings, a);
    unet_time_embedding(time, d->unet.model_channels, d->embedding + (ptrdiff_t)k * d->unet.model_channels);
    draw_ids(t, d, item, k);
}

static enum status run_part(struct training *t, struct diffusion *d, int part, struct error *err)
{
    float loss;
    for (int k = 0; k < t->part_size; k++) draw(t, d, part, k);
    enum status status = exec_write(d->exec, "x", d->x, err);
    if (status == STATUS_OK) status = exec_write(d->exec, "target", d->target, err);
    if (status == STATUS_OK) status = exec_write(d->exec, "weight", d->weight, err);
    if (status == STATUS_OK) status = exec_write(d->exec, "embedding", d->embedding, err);
    if (status == STATUS_OK) status = exec_write(d->exec, "ids", d->ids, err);
    if (status == STATUS_OK) status = exec_run(d->exec, err);
    if (status == STATUS_OK) status = exec_read(d->exec, "loss", &loss, err);
    if (status == STATUS_OK) status = trainer_collect(d->text_trainer, d->exec, t->share, err);
    if (status == STATUS_OK) status = trainer_collect(d->unet_trainer, d->exec, t->share, err);
    if (status == STATUS_OK) training_loss(t, "loss", (double)loss);
    return status;
}

/* The latent of an item, cut into patches. */
static void draw_patches(const struct training *t, struct diffusion *d, int64_t item, float *out)
{
    const float *z = latent_of(t, d, item);
    const int side = d->side / PATCHES_A_SIDE, channels = d->vae.latent_channels;
    for (int patch = 0; patch < PATCHES; patch++)
        for (int y = 0; y < side; y++, out += side * channels) {
            const int row = patch / PATCHES_A_SIDE * side + y, column = patch % PATCHES_A_SIDE * side;
            memcpy(out, z + (ptrdiff_t)(row * d->side + column) * channels, (size_t)(side * channels) * sizeof *out);
        }
}

static enum status run_warm_up(struct training *t, struct diffusion *d, int part, struct error *err)
{
    float loss;
    for (int k = 0; k < t->part_size; k++) {
        const int64_t item = training_item(t, part, k);
        draw_patches(t, d, item, d->target + k * latent_values(d));
        draw_ids(t, d, item, k);
    }
    enum status status = exec_write(d->warm_up_exec, "target", d->target, err);
    if (status == STATUS_OK) status = exec_write(d->warm_up_exec, "ids", d->ids, err);
    if (status == STATUS_OK) status = exec_run(d->warm_up_exec, err);
    if (status == STATUS_OK) status = exec_read(d->warm_up_exec, "loss", &loss, err);
    if (status == STATUS_OK) status = trainer_collect(d->text_trainer, d->warm_up_exec, t->share, err);
    if (status == STATUS_OK) status = trainer_collect(d->head_trainer, d->warm_up_exec, t->share, err);
    if (status == STATUS_OK) training_loss(t, "loss", (double)loss);
    return status;
}

/* The warm-up falls to a small rate by its end, and the U-Net then begins with a short rise of its own. */
static enum status step(struct training *t, struct error *err)
{
    struct diffusion *d = t->family_state;
    const bool warm_up = t->step < d->shapes.warm_up;
    enum status status = STATUS_OK;
    for (int part = 0; part < t->settings.accumulate && status == STATUS_OK; part++)
        status = warm_up ? run_warm_up(t, d, part, err) : run_part(t, d, part, err);
    const double left = 1 - (double)t->step / fmax((double)d->shapes.warm_up, 1);
    const double rise = (double)(t->step - d->shapes.warm_up + 1) / fmax((double)t->settings.rate.warm_up, 1);
    const float factor = (float)(warm_up ? 0.1 + 0.9 * left : d->shapes.warm_up > 0 ? fmin(rise, 1) : 1);
    if (status == STATUS_OK) status = training_update(t, d->text_trainer, factor, err);
    if (status == STATUS_OK && warm_up) status = training_update(t, d->head_trainer, factor, err);
    if (status == STATUS_OK && !warm_up) status = training_update(t, d->unet_trainer, factor, err);
    return status;
}

/* ---- the result ---- */

static enum status add_patch(struct training_result *result, int patch, struct error *err)
{
    const char text[] = {(char)('0' + patch), '\0'};
    return training_result_metadata(result, "limn.patch", text, err);
}

static enum status save(struct training *t, const char *path, struct error *err)
{
    const struct diffusion *d = t->family_state;
    struct training_result *result = NULL;
    enum status status = training_result_create(&result, t, err);
    if (status == STATUS_OK) status = training_result_add_trainer(result, d->text_trainer, err);
    if (status == STATUS_OK) status = training_result_add_trainer(result, d->unet_trainer, err);
    if (status == STATUS_OK && d->vae_from)
        status = training_result_copy(result, d->vae_from, "first_stage_model.", err);
    if (status == STATUS_OK && !d->vae_from) status = add_patch(result, d->vae.patch, err);
    if (status == STATUS_OK && t->init) status = training_result_copy(result, t->init, "cond_stage_model.", err);
    if (status == STATUS_OK) status = training_result_pack(result, describe(t, d), err);
    if (status == STATUS_OK && d->text.merges)
        status = training_result_metadata(result, "limn.merges", d->text.merges, err);
    if (status == STATUS_OK) status = training_result_write(result, path, err);
    training_result_destroy(result);
    return status;
}

/* ---- sheets ---- */

/* The first words of the set, or what the configuration asks for. */
static int sheet_prompts(const struct training *t, const struct diffusion *d, const char *prompts[TRAINING_TEXTS_MOST])
{
    const int64_t all = dataset_count(t->data);
    const int count = sheet_count(t, d);
    if (d->sheet.prompts.count > 0) {
        memcpy(prompts, d->sheet.prompts.value, (size_t)count * sizeof *prompts);
        return count;
    }
    for (int i = 0; i < count; i++) {
        const int64_t picture = i * all / count;
        prompts[i] = dataset_captions(t->data, picture) > 0 ? dataset_caption(t->data, picture, 0) : "";
    }
    return count;
}

/* Paints as anybody would: prompt i with seed i + 1. */
static enum status paint_sheet(struct training *t, struct limn_model *model, const char *const *prompts, int count,
                               struct limn_picture *pictures, struct error *err)
{
    struct limn_error why = {0};
    for (int i = 0; i < count; i++) {
        const struct limn_request request = {.prompt = prompts[i], .seed = (uint64_t)i + 1};
        if (limn_paint(model, &request, &pictures[i], &why) != LIMN_OK)
            return fail(err, (enum status)why.status, "%s", why.text);
        const enum status status = watch_check(t->watch, err);
        if (status != STATUS_OK) return status;
    }
    return STATUS_OK;
}

/* The result is written beside the real one, painted from with all that limn paints with, and removed. */
static enum status sample(struct training *t, struct image *sheet, struct error *err)
{
    struct diffusion *d = t->family_state;
    const char *prompts[TRAINING_TEXTS_MOST];
    struct limn_picture *pictures = memory_alloc(TRAINING_TEXTS_MOST * sizeof *pictures);
    struct image *images = memory_alloc(TRAINING_TEXTS_MOST * sizeof *images);
    struct limn_model *model = NULL;
    struct limn_error why = {0};
    char path[MODEL_PATH_BYTES];
    const int count = sheet_prompts(t, d, prompts);
    snprintf(path, sizeof path, "%s.sheet.safetensors", t->out);
    enum status status = pictures && images ? STATUS_OK : fail_no_memory(err, "a sheet", sizeof *pictures);
    if (status == STATUS_OK) status = save(t, path, err);
    if (status == STATUS_OK) {
        const struct limn_model_options options = {
            .path = path, .threads = t->threads, .max_memory = training_memory_left(t)};
        if (limn_model_open(&model, &options, &why) != LIMN_OK)
            status = fail(err, (enum status)why.status, "%s", why.text);
    }
    if (status == STATUS_OK) status = paint_sheet(t, model, prompts, count, pictures, err);
    for (int i = 0; i < count && status == STATUS_OK; i++) images[i] = api_image(&pictures[i].image);
    if (status == STATUS_OK) status = sheet_draw(sheet, images, count, d->sheet.columns, err);
    for (int i = 0; i < count && pictures; i++) limn_picture_clear(&pictures[i]);
    limn_model_close(model);
    remove(path);
    memory_free(pictures);
    memory_free(images);
    return status;
}

static const char *const members[] = {"unet", "text", "pixels", "times", "sheet", "pack", NULL};

const struct training_family diffusion_training = {
    .name = "diffusion",
    .state_bytes = sizeof(struct diffusion),
    .members = members,
    .defaults = defaults,
    .open = open_family,
    .step = step,
    .sample = sample,
    .save = save,
    .close = close_family,
};
