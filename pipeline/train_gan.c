/* SPDX-License-Identifier: MIT
 *
 * A GAN (gan/adversarial.h): in each step the discriminator moves, then the generator, on the same latents, as in
 * PyTorch's DCGAN example.
 *
 *     z, text -> generator -> made --+
 *                                    +-> discriminator -> loss of the discriminator, then of the generator
 *                  data set ---------+
 *
 * With --init that holds a text tower, say a CLIP pair or a diffusion pack, both networks follow the captions' pooled
 * embeddings by that tower, which stays as it is and goes into the result.
 *
 * What is saved is the generator's running average (Yazici et al. 2019, arXiv 1806.04498). Its batch norms are given
 * standing statistics: those of many batches that the averaged weights make (Brock et al. 2019, arXiv 1809.11096).
 */
#include "clip/text_tower.h"
#include "core/base/memory.h"
#include "core/io/dataset.h"
#include "core/io/image_ops.h"
#include "core/io/sheet.h"
#include "core/nn/params.h"
#include "core/nn/whiten.h"
#include "gan/adversarial.h"
#include "gan/detect.h"
#include "pipeline/api.h"
#include "pipeline/kind.h"
#include "pipeline/model.h"
#include "pipeline/training_text.h"

#include <math.h>
#include <string.h>

enum { SHEET = 64, STANDING_RUNS = 16 };

static const char generator_prefix[] = "generator.", discriminator_prefix[] = "discriminator.";

/* What the configuration may say. */
struct game {
    int latent, width, discriminator_width, loss;
    int every;                                /* the generator moves in every so many steps */
    double noise;                             /* instance noise at the first step; it sinks to 0 at half of all steps */
    float generator_rate, discriminator_rate; /* factors of the learning rate (Heusel et al. 2017, arXiv 1706.08500) */
    bool mismatch;
};

struct gan_training {
    struct game game;
    struct gan_config generator, discriminator;
    struct adversarial adversarial;
    struct graph d_graph, g_graph, sheet_graph;
    struct exec *d_exec, *g_exec, *sheet_exec;                     /* owned */
    struct trainer *d, *g;                                         /* the loop's */
    struct arena memory;                                           /* of the arrays */
    float *z, *pictures, *text, *wrong, *mix, *noise, *made_noise; /* a part's; NULL where there are none */
    float *sheet;                                                  /* pictures of a sheet */
    float *running, *standing; /* discriminator's and generator's means and variances, norm after norm */
    float *received;           /* as many numbers as the widest norm has */
    struct text_config tower;  /* of --init, which captions are read by */
    struct training_text captions;
    json_t *pack;      /* the configuration's, over what is known without; NULL: none */
    float *embeddings; /* owned; [captions + 1, text width] */
};

static void defaults(struct training_settings *s)
{
    if (s->size == 0) s->size = 64;
    s->steps = 10000;
    s->batch = 128;
    s->rate = (struct learning_rate){.kind = LEARNING_RATE_CONSTANT, .peak = 2e-4F};
    s->rule = (struct optimiser_rule){
        .kind = OPTIMISER_ADAM, .beta1 = 0.5F, .beta2 = 0.999F, .eps = 1e-8F, .average = 0.998F};
    s->save_every = 500;
    s->sheet_every = 500;
    s->dtype = DTYPE_F32;
}

/* ---- networks ---- */

static enum status read_game(struct training *t, struct gan_training *n, struct error *err)
{
    static const char *const losses[] = {
#define X(id, name) name,
        ADVERSARIAL_LOSS_MAP(X)
#undef X
            NULL};
    struct game *game = &n->game;
    struct adversarial *a = &n->adversarial;
    *game = (struct game){
        .latent = 100, .width = 64, .every = 1, .generator_rate = 1, .discriminator_rate = 1, .mismatch = true};
    *a = (struct adversarial){.penalty = 10, .real = 1};
    const struct training_key keys[] = {
        {"latent", TRAINING_KEY_WHOLE, &game->latent, 1, 4096, NULL},
        {"width", TRAINING_KEY_WHOLE, &game->width, 1, 1024, NULL},
        {"discriminator_width", TRAINING_KEY_WHOLE, &game->discriminator_width, 0, 1024, NULL},
        {"loss", TRAINING_KEY_NAME, &game->loss, 0, 0, losses},
        {"penalty", TRAINING_KEY_FLOAT, &a->penalty, 0, 1e6, NULL},
        {"r1", TRAINING_KEY_FLOAT, &a->r1, 0, 1e6, NULL},
        {"real", TRAINING_KEY_FLOAT, &a->real, 0.5, 1, NULL},
        {"every", TRAINING_KEY_WHOLE, &game->every, 1, 100, NULL},
        {"noise", TRAINING_KEY_REAL, &game->noise, 0, 10, NULL},
        {"generator_rate", TRAINING_KEY_FLOAT, &game->generator_rate, 0, 1000, NULL},
        {"discriminator_rate", TRAINING_KEY_FLOAT, &game->discriminator_rate, 0, 1000, NULL},
        {"mismatch", TRAINING_KEY_FLAG, &game->mismatch, 0, 0, NULL},
    };
    const enum status status = training_read_config(t, "gan", keys, (int)(sizeof keys / sizeof *keys), err);
    a->loss = (enum adversarial_loss)game->loss;
    a->noise = game->noise > 0;
    return status == STATUS_OK ? training_config_member(t, "pack", &n->pack, err) : status;
}

/* A network to go on from must have the names that limn gives. text_width: of the training's texts; 0: none. */
static enum status take_network(struct gan_config *config, enum gan_role role, int text_width, const struct training *t,
                                struct error *err)
{
    const char *prefix = role == GAN_GENERATOR ? generator_prefix : discriminator_prefix;
    const enum status status = gan_config_detect(config, role, t->init, t->settings.init, err);
    if (status != STATUS_OK) return status;
    if (strncmp(config->layers[0].name, prefix, strlen(prefix)) != 0)
        return fail(err, STATUS_UNSUPPORTED,
                    "%s: the layer '%s' has another program's name; training goes on only from limn's own, that begin "
                    "with '%s'",
                    t->settings.init, config->layers[0].name, prefix);
    if (config->side != t->settings.size || config->channels != t->settings.channels)
        return fail(err, STATUS_ARGUMENT, "%s: its pictures are %dx%d of %d channels, and the training's %dx%d of %d",
                    t->settings.init, config->side, config->side, config->channels, t->settings.size, t->settings.size,
                    t->settings.channels);
    if (config->text_width != text_width)
        return fail(err, STATUS_ARGUMENT,
                    "%s: its %s reads texts of %d values, and those of the training have %d (0 is without a text "
                    "encoder)",
                    t->settings.init, role == GAN_GENERATOR ? "generator" : "discriminator", config->text_width,
                    text_width);
    return STATUS_OK;
}

/* Pictures of a step, on all machines together. */
static int64_t whole_batch(const struct training *t)
{
    return (int64_t)t->settings.batch * t->ranks;
}

static enum status make_networks(struct training *t, struct gan_training *n, int text_width, struct error *err)
{
    struct gan_plan plan = {.role = GAN_GENERATOR,
                            .side = t->settings.size,
                            .channels = t->settings.channels,
                            .latent = n->game.latent,
                            .width = n->game.width,
                            .text_width = text_width};
    const struct recognition found = t->init ? kind_recognise(t->init) : (struct recognition){0};
    enum status status = found.generator ? take_network(&n->generator, GAN_GENERATOR, text_width, t, err)
                                         : gan_config_init(&n->generator, &plan, err);
    plan.role = GAN_DISCRIMINATOR;
    if (n->game.discriminator_width > 0) plan.width = n->game.discriminator_width;
    if (status != STATUS_OK) return status;
    status = found.discriminator ? take_network(&n->discriminator, GAN_DISCRIMINATOR, text_width, t, err)
                                 : gan_config_init(&n->discriminator, &plan, err);
    /* Batch norm would make each picture's slope depend on the others (Gulrajani et al. 2017, section 4). */
    for (int i = 0; n->adversarial.loss == ADVERSARIAL_WGAN_GP && i < n->discriminator.count; i++) {
        struct gan_layer *layer = &n->discriminator.layers[i];
        layer->bias = layer->bias || layer->norm_width > 0;
        layer->norm[0] = '\0';
        layer->norm_width = 0;
    }
    n->adversarial.generator = &n->generator;
    n->adversarial.discriminator = &n->discriminator;
    n->adversarial.batch = t->part_size;
    /* A picture alone has no other's caption. */
    n->adversarial.mismatch = n->game.mismatch && n->generator.text_width > 0 && whole_batch(t) > 1;
    return status;
}

static enum status build_sheet(struct training *t, struct gan_training *n, struct error *err)
{
    struct graph *g = &n->sheet_graph;
    struct gan_statistics statistics = {0};
    char name[ADVERSARIAL_NAME_BYTES];
    const int width = n->generator.text_width;
    struct node *z = graph_input(g, "z", DTYPE_F32, SHAPE(SHEET, 1, 1, n->generator.latent));
    struct node *text = width ? graph_input(g, "text", DTYPE_F32, SHAPE(SHEET, width)) : NULL;
    graph_output(g, "pictures", gan_build(g, &n->generator, z, text, &statistics));
    for (int i = 0; i < n->generator.count; i++) {
        if (!n->generator.layers[i].norm[0]) continue;
        adversarial_mean(name, &n->generator.layers[i]);
        graph_output(g, name, statistics.layers[i].mean);
        adversarial_variance(name, &n->generator.layers[i]);
        graph_output(g, name, statistics.layers[i].variance);
    }
    trainer_bind(n->g, g);
    return training_open_run(t, &n->sheet_exec, g, err);
}

/* The layers that read the text begin so that each of the captions' differences counts: a CLIP pair's embeddings
 * differ far more in some than in others, and what differs little the networks would be long in learning to follow. */
static enum status whiten_text(struct training *t, struct gan_training *n, struct error *err)
{
    struct trainer *const trainers[2] = {n->g, n->d};
    const struct gan_config *const configs[2] = {&n->generator, &n->discriminator};
    char name[GAN_NAME_BYTES + 16];
    enum status status = STATUS_OK;
    for (int i = 0; i < 2 && n->embeddings && status == STATUS_OK; i++) {
        const struct gan_config *config = configs[i];
        snprintf(name, sizeof name, "%s.weight", config->text);
        float *weight = checkpoint_find(t->init, name) ? NULL : trainer_find(trainers[i], name);
        if (!weight) continue;
        status = whiten(weight, config->text_features, config->text_width, n->embeddings, n->captions.captions, err);
        optimiser_start_average(trainers[i]->optimiser);
        if (status == STATUS_OK) status = trainer_publish(trainers[i], err);
    }
    return status;
}

static enum status build(struct training *t, struct gan_training *n, struct error *err)
{
    struct node *d_loss = adversarial_discriminator(&n->d_graph, &n->adversarial);
    struct node *g_loss = adversarial_generator(&n->g_graph, &n->adversarial);
    struct optimiser_rule without_average = t->settings.rule;
    without_average.average = 0;
    const struct training_trainer d = {.name = "discriminator",
                                       .graph = &n->d_graph,
                                       .prefix = discriminator_prefix,
                                       .rule = &without_average,
                                       .initialise = INITIALISE_DCGAN};
    const struct training_trainer g = {
        .name = "generator", .graph = &n->g_graph, .prefix = generator_prefix, .initialise = INITIALISE_DCGAN};
    enum status status = training_add_trainer(t, &n->d, &d, err);
    if (status == STATUS_OK) status = training_add_trainer(t, &n->g, &g, err);
    if (status == STATUS_OK) status = whiten_text(t, n, err);
    if (status != STATUS_OK) return status;
    trainer_differentiate(n->d, &n->d_graph, d_loss, t->settings.recompute);
    trainer_differentiate(n->g, &n->g_graph, g_loss, t->settings.recompute);
    struct graph *const graphs[2] = {&n->d_graph, &n->g_graph};
    struct exec **const execs[2] = {&n->d_exec, &n->g_exec};
    for (int i = 0; i < 2 && status == STATUS_OK; i++) {
        trainer_bind(n->d, graphs[i]);
        trainer_bind(n->g, graphs[i]);
        status = training_open_run(t, execs[i], graphs[i], err);
    }
    return status == STATUS_OK ? build_sheet(t, n, err) : status;
}

/* ---- running statistics ---- */

static int64_t norm_values(const struct gan_config *config)
{
    int64_t count = 0;
    for (int i = 0; i < config->count; i++) count += 2 * config->layers[i].norm_width;
    return count;
}

/* values = (1 - share) values + share * what the last run's batch was like; of new statistics the share is 1. */
static enum status move_statistics(const struct gan_config *config, struct exec *exec, float *received, float *values,
                                   float share, struct error *err)
{
    char name[ADVERSARIAL_NAME_BYTES];
    for (int i = 0; i < config->count; i++) {
        const struct gan_layer *layer = &config->layers[i];
        for (int k = 0; k < 2 && layer->norm[0]; k++) {
            (k == 0 ? adversarial_mean : adversarial_variance)(name, layer);
            const enum status status = exec_read(exec, name, received, err);
            if (status != STATUS_OK) return status;
            for (int64_t c = 0; c < layer->norm_width; c++, values++) *values += share * (received[c] - *values);
        }
    }
    return STATUS_OK;
}

static enum status add_statistics(struct training_result *result, const struct gan_config *config, const float *values,
                                  struct error *err)
{
    char name[GAN_NAME_BYTES + 16];
    enum status status = STATUS_OK;
    for (int i = 0; i < config->count; i++) {
        const struct gan_layer *layer = &config->layers[i];
        for (int k = 0; k < 2 && layer->norm[0] && status == STATUS_OK; k++) {
            snprintf(name, sizeof name, "%s.%s", layer->norm, k == 0 ? "running_mean" : "running_var");
            status = training_result_add(result, name, 1, &layer->norm_width, values, err);
            values += layer->norm_width;
        }
    }
    return status;
}

/* Statistics to begin with: as PyTorch's, or those of --init. */
static void start_statistics(struct training *t, const struct gan_config *config, float *values)
{
    char name[GAN_NAME_BYTES + 16];
    for (int i = 0; i < config->count; i++) {
        const struct gan_layer *layer = &config->layers[i];
        for (int k = 0; k < 2 && layer->norm[0]; k++, values += layer->norm_width) {
            snprintf(name, sizeof name, "%s.%s", layer->norm, k == 0 ? "running_mean" : "running_var");
            const struct tensor *found = training_init_tensor(t, name);
            for (int64_t c = 0; c < layer->norm_width; c++) values[c] = (float)k;
            if (found && found->count == layer->norm_width)
                dtype_to_f32(values, found->data, found->dtype, 0, (size_t)found->count);
        }
    }
}

/* ---- captions ---- */

/* The tower's state at each caption's end: what painting calls the pooled embedding. */
static enum status embed_captions(struct training *t, struct gan_training *n, struct error *err)
{
    const struct text_config *tower = &n->tower;
    const int64_t rows = n->captions.captions + 1, width = tower->width, length = tower->length;
    struct graph g = {0};
    struct params *params = NULL;
    struct exec *exec = NULL;
    const size_t bytes = (size_t)(rows + length) * (size_t)width * sizeof(float);
    enum status status = training_reserve(t, "the captions' embeddings", bytes, err);
    if (status != STATUS_OK) return status;
    n->embeddings = memory_alloc_raw(bytes);
    float *states = n->embeddings + rows * width;
    if (!n->embeddings) return fail_no_memory(err, "the captions' embeddings", bytes);
    graph_output(&g, "states", text_tower_build(&g, tower, graph_input(&g, "ids", DTYPE_I32, SHAPE(1, length)), 0));
    status = training_load_passing(t, "the text encoder", &params, &g, t->init, err);
    if (status == STATUS_OK) status = training_open_passing_run(t, "the text encoder", &exec, &g, params, err);
    const double start = api_clock();
    for (int64_t row = 0; row < rows && status == STATUS_OK; row++) {
        status = exec_write(exec, "ids", training_text_ids(&n->captions, row), err);
        if (status == STATUS_OK) status = exec_run(exec, err);
        if (status == STATUS_OK) status = exec_read(exec, "states", states, err);
        if (status != STATUS_OK) break;
        memcpy(n->embeddings + row * width, states + n->captions.ends[row] * width, (size_t)width * sizeof *states);
        watch_progress(t->watch, LIMN_STAGE_TEXT, (int)(row + 1), (int)rows, api_clock() - start);
        status = watch_check(t->watch, err);
    }
    exec_destroy(exec);
    params_destroy(params);
    graph_clear(&g);
    return status;
}

/* *width: of the texts that the networks are to follow; 0: none. */
static enum status open_captions(struct training *t, struct gan_training *n, int *width, struct error *err)
{
    *width = 0;
    if (!t->init || !text_present(t->init)) {
        if (dataset_captions(t->data, 0) > 0)
            watch_note(t->watch, "the pictures' captions are not used: for a GAN that follows them, --init names a "
                                 "model with a text encoder");
        return STATUS_OK;
    }
    enum status status = text_config_detect(&n->tower, t->init, err);
    if (status == STATUS_OK) status = training_use_part(t, "text encoder", t->init, "cond_stage_model.", err);
    if (status == STATUS_OK) status = training_text_open(&n->captions, t, n->tower.length, 0, err);
    if (status == STATUS_OK && n->captions.vocabulary > n->tower.vocabulary)
        status = fail(err, STATUS_FORMAT, "the text encoder has states for %d tokens, but its tokenizer makes %d",
                      n->tower.vocabulary, n->captions.vocabulary);
    if (status == STATUS_OK) status = embed_captions(t, n, err);
    *width = n->tower.width;
    return status;
}

/* What no tensor tells. */
static json_t *describe(const struct training *t, const struct gan_training *n)
{
    char name[128];
    model_short_name(t->out, name, sizeof name);
    json_t *pack =
        json_pack("{s:i, s:s, s:{s:i, s:s}, s:o, s:I}", "format", 1, "name", name, "text", "heads",
                  n->tower.blocks.heads, "activation", n->tower.blocks.activation == UNARY_GELU ? "gelu" : "quick_gelu",
                  "concepts", training_text_concepts(t), "training_steps", (json_int_t)t->step);
    json_object_update(pack, n->pack);
    return pack;
}

/* ---- opening ---- */

static enum status allocate(struct training *t, struct gan_training *n, struct error *err)
{
    const size_t part = (size_t)t->part_size, side = (size_t)t->settings.size;
    const size_t picture = side * side * (size_t)t->settings.channels, text = (size_t)n->generator.text_width;
    const size_t latent = (size_t)n->generator.latent, batch = part > SHEET ? part : SHEET;
    const size_t d_norms = (size_t)norm_values(&n->discriminator), g_norms = (size_t)norm_values(&n->generator);
    const struct {
        float **to;
        size_t count;
    } arrays[] = {
        {&n->z, batch * latent},
        {&n->pictures, part * picture},
        {&n->text, batch * text},
        {&n->wrong, n->adversarial.mismatch ? part * text : 0},
        {&n->mix, n->adversarial.loss == ADVERSARIAL_WGAN_GP ? part : 0},
        {&n->noise, n->adversarial.noise ? part * picture : 0},
        {&n->made_noise, n->adversarial.noise ? part * picture : 0},
        {&n->sheet, SHEET * picture},
        {&n->running, d_norms},
        {&n->standing, g_norms},
        {&n->received, d_norms > g_norms ? d_norms : g_norms},
    };
    enum { ARRAYS = sizeof arrays / sizeof *arrays };
    size_t bytes = 0;
    for (int i = 0; i < ARRAYS; i++) bytes += arrays[i].count * sizeof(float);
    const enum status status = training_reserve(t, "a batch", bytes, err);
    if (status != STATUS_OK) return status;
    for (int i = 0; i < ARRAYS; i++) {
        if (arrays[i].count == 0) continue;
        *arrays[i].to = arena_alloc(&n->memory, arrays[i].count * sizeof(float));
        if (!*arrays[i].to) return fail_no_memory(err, "a batch", arrays[i].count * sizeof(float));
    }
    start_statistics(t, &n->discriminator, n->running);
    return d_norms ? training_add_state(t, "running statistics of the discriminator", n->running, (int64_t)d_norms, err)
                   : STATUS_OK;
}

static enum status open_family(struct training *t, struct error *err)
{
    struct gan_training *n = t->family_state;
    int text_width;
    enum status status = read_game(t, n, err);
    if (status == STATUS_OK) status = open_captions(t, n, &text_width, err);
    if (status == STATUS_OK && text_width) status = training_check_pack(describe(t, n), err);
    if (status == STATUS_OK && !text_width && n->pack)
        watch_note(t->watch, "the configuration's 'pack' is not used: a GAN that takes no text is no pack");
    if (status == STATUS_OK) status = make_networks(t, n, text_width, err);
    if (status == STATUS_OK) status = allocate(t, n, err);
    return status == STATUS_OK ? build(t, n, err) : status;
}

static void close_family(struct training *t)
{
    struct gan_training *n = t->family_state;
    exec_destroy(n->d_exec);
    exec_destroy(n->g_exec);
    exec_destroy(n->sheet_exec);
    graph_clear(&n->d_graph);
    graph_clear(&n->g_graph);
    graph_clear(&n->sheet_graph);
    training_text_close(&n->captions);
    memory_free(n->embeddings);
    arena_clear(&n->memory);
}

/* ---- stepping ---- */

static void draw_noise(struct rng *rng, double size, float *out, size_t count)
{
    rng_normal(rng, out, count);
    for (size_t i = 0; i < count; i++) out[i] *= (float)size;
}

/* Latents, texts and noise of a part; the pictures come from training_pixels. */
static void draw(const struct training *t, struct gan_training *n, int part)
{
    const size_t latent = (size_t)n->generator.latent, width = (size_t)n->generator.text_width;
    const size_t picture = (size_t)t->settings.size * (size_t)t->settings.size * (size_t)t->settings.channels;
    const double left = 1 - 2 * (double)t->step / (double)t->settings.steps;
    const double noise = left > 0 ? n->game.noise * left : 0;
    struct rng rng;
    for (int k = 0; k < t->part_size; k++) {
        const int64_t item = training_item(t, part, k);
        /* Any other item's caption: the next one's of the whole batch, wrong as often as chance will have it. */
        const int64_t other = (item + 1) % whole_batch(t);
        training_random(t, TRAINING_NOISE, item, &rng);
        rng_normal(&rng, n->z + (size_t)k * latent, latent);
        if (n->noise) draw_noise(&rng, noise, n->noise + (size_t)k * picture, picture);
        if (n->made_noise) draw_noise(&rng, noise, n->made_noise + (size_t)k * picture, picture);
        if (n->mix) {
            training_random(t, TRAINING_MIX, item, &rng);
            n->mix[k] = (float)training_uniform(&rng);
        }
        for (int which = 0; which < (n->wrong ? 2 : 1) && width; which++) {
            const int64_t row = training_text_row(&n->captions, t, which == 0 ? item : other);
            memcpy((which == 0 ? n->text : n->wrong) + (size_t)k * width, n->embeddings + (size_t)row * width,
                   width * sizeof(float));
        }
    }
}

static enum status write_inputs(const struct gan_training *n, struct exec *exec, bool discriminator, struct error *err)
{
    const struct {
        const char *name;
        const float *values;
        bool wanted;
    } inputs[] = {{"z", n->z, true},
                  {"pictures", n->pictures, discriminator},
                  {"text", n->text, n->generator.text_width > 0},
                  {"wrong", n->wrong, discriminator && n->wrong},
                  {"mix", n->mix, discriminator && n->mix},
                  {"noise", n->noise, n->noise != NULL},
                  {"made noise", n->made_noise, discriminator && n->made_noise}};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs && status == STATUS_OK; i++)
        if (inputs[i].wanted) status = exec_write(exec, inputs[i].name, inputs[i].values, err);
    return status;
}

static enum status run_part(struct training *t, struct gan_training *n, int part, bool discriminator, struct error *err)
{
    struct exec *exec = discriminator ? n->d_exec : n->g_exec;
    float loss;
    draw(t, n, part);
    enum status status = discriminator ? training_pixels(t, part, n->pictures, err) : STATUS_OK;
    if (status == STATUS_OK) status = write_inputs(n, exec, discriminator, err);
    if (status == STATUS_OK) status = exec_run(exec, err);
    if (status == STATUS_OK) status = exec_read(exec, "loss", &loss, err);
    if (status == STATUS_OK) status = trainer_collect(discriminator ? n->d : n->g, exec, t->share, err);
    if (status == STATUS_OK && discriminator)
        status = move_statistics(&n->discriminator, exec, n->received, n->running, 0.1F, err);
    if (status == STATUS_OK) training_loss(t, discriminator ? "discriminator" : "generator", (double)loss);
    return status;
}

static enum status step(struct training *t, struct error *err)
{
    struct gan_training *n = t->family_state;
    const int parts = t->settings.accumulate;
    enum status status = STATUS_OK;
    for (int part = 0; part < parts && status == STATUS_OK; part++) status = run_part(t, n, part, true, err);
    if (status == STATUS_OK) status = training_update(t, n->d, n->game.discriminator_rate, err);
    if (t->step % n->game.every != n->game.every - 1) return status;
    for (int part = 0; part < parts && status == STATUS_OK; part++) status = run_part(t, n, part, false, err);
    return status == STATUS_OK ? training_update(t, n->g, n->game.generator_rate, err) : status;
}

/* ---- sheets and results ---- */

/* Batch number `run` of the latents that sheets and standing statistics are made of, whatever the step. */
static void draw_sheet(struct training *t, struct gan_training *n, int run)
{
    const size_t latent = (size_t)n->generator.latent, width = (size_t)n->generator.text_width;
    struct rng rng;
    for (int k = 0; k < SHEET; k++) {
        training_random(t, TRAINING_SAMPLE, (int64_t)run * SHEET + k, &rng);
        rng_normal(&rng, n->z + (size_t)k * latent, latent);
        if (!width) continue;
        const int64_t row = (int64_t)(training_uniform(&rng) * (double)n->captions.captions);
        memcpy(n->text + (size_t)k * width, n->embeddings + (size_t)row * width, width * sizeof(float));
    }
}

static enum status run_sheet(struct training *t, struct gan_training *n, int run, struct error *err)
{
    draw_sheet(t, n, run);
    enum status status = exec_write(n->sheet_exec, "z", n->z, err);
    if (status == STATUS_OK && n->generator.text_width) status = exec_write(n->sheet_exec, "text", n->text, err);
    return status == STATUS_OK ? exec_run(n->sheet_exec, err) : status;
}

static enum status publish(const struct training *t, struct gan_training *n, struct error *err)
{
    return t->settings.rule.average > 0 ? trainer_publish_average(n->g, err) : STATUS_OK;
}

static enum status to_images(const struct training *t, const float *pictures, struct image images[SHEET],
                             struct error *err)
{
    const int side = t->settings.size, channels = t->settings.channels;
    const size_t pixels = (size_t)side * (size_t)side;
    float *rgb = memory_alloc_raw(pixels * 3 * sizeof *rgb);
    enum status status = rgb ? STATUS_OK : fail_no_memory(err, "a sheet", pixels * 3 * sizeof *rgb);
    for (size_t k = 0; k < SHEET && status == STATUS_OK; k++) {
        const float *from = pictures + k * pixels * (size_t)channels;
        for (size_t i = 0; i < pixels; i++)
            for (size_t c = 0; c < 3; c++) rgb[3 * i + c] = from[i * (size_t)channels + (channels == 3 ? c : 0)];
        status = image_from_floats(&images[k], rgb, side, side, err);
    }
    memory_free(rgb);
    return status;
}

static enum status sample(struct training *t, struct image *sheet, struct error *err)
{
    struct gan_training *n = t->family_state;
    struct image images[SHEET] = {{0}};
    enum status status = publish(t, n, err);
    if (status == STATUS_OK) status = run_sheet(t, n, 0, err);
    if (status == STATUS_OK) status = exec_read(n->sheet_exec, "pictures", n->sheet, err);
    if (status == STATUS_OK) status = to_images(t, n->sheet, images, err);
    if (status == STATUS_OK) status = sheet_draw(sheet, images, SHEET, 8, err);
    for (int k = 0; k < SHEET; k++) image_clear(&images[k]);
    const enum status back = trainer_publish(n->g, err);
    return status == STATUS_OK ? back : status;
}

static enum status find_standing(struct training *t, struct gan_training *n, struct error *err)
{
    enum status status = publish(t, n, err);
    for (int run = 0; run < STANDING_RUNS && status == STATUS_OK; run++) {
        status = run_sheet(t, n, run, err);
        if (status == STATUS_OK)
            status = move_statistics(&n->generator, n->sheet_exec, n->received, n->standing, 1 / (float)(run + 1), err);
    }
    const enum status back = trainer_publish(n->g, err);
    return status == STATUS_OK ? back : status;
}

/* A conditional GAN is a pack, with the text tower of --init. */
static enum status add_text(struct training_result *result, const struct training *t, const struct gan_training *n,
                            struct error *err)
{
    const char *merges = checkpoint_metadata(t->init, "limn.merges");
    enum status status = training_result_copy(result, t->init, "cond_stage_model.", err);
    if (status == STATUS_OK) status = training_result_pack(result, describe(t, n), err);
    if (status == STATUS_OK && merges) status = training_result_metadata(result, "limn.merges", merges, err);
    return status;
}

static enum status save(struct training *t, const char *path, struct error *err)
{
    struct gan_training *n = t->family_state;
    struct training_result *result = NULL;
    char *text = NULL;
    enum status status = find_standing(t, n, err);
    if (status == STATUS_OK) status = gan_config_text(&text, &n->generator, &n->discriminator, err);
    if (status == STATUS_OK) status = training_result_create(&result, t, err);
    if (status == STATUS_OK) status = training_result_add_trainer(result, n->g, err);
    if (status == STATUS_OK) status = training_result_add_trainer(result, n->d, err);
    if (status == STATUS_OK) status = add_statistics(result, &n->generator, n->standing, err);
    if (status == STATUS_OK) status = add_statistics(result, &n->discriminator, n->running, err);
    if (status == STATUS_OK) status = training_result_metadata(result, "limn.gan", text, err);
    if (status == STATUS_OK && n->generator.text_width) status = add_text(result, t, n, err);
    if (status == STATUS_OK) status = training_result_write(result, path, err);
    training_result_destroy(result);
    memory_free(text);
    return status;
}

static const char *const members[] = {"gan", "pack", NULL};

const struct training_family gan_training = {
    .name = "gan",
    .state_bytes = sizeof(struct gan_training),
    .members = members,
    .defaults = defaults,
    .open = open_family,
    .step = step,
    .sample = sample,
    .save = save,
    .close = close_family,
};
