/* SPDX-License-Identifier: MIT
 *
 * The autoencoder whose latents a diffusion model paints in (Kingma and Welling 2014, arXiv 1312.6114; Rombach et al.
 * 2022, arXiv 2112.10752), without an adversary:
 *
 *     z = mean + e^(log variance / 2) eps            d = decoder(z) - picture
 *     loss = mean |d| + 2 mean d^2 + 1/2 (edges of d, and of d at half the size) + weight of KL x KL(z | N(0, 1))
 *
 * where edges are mean differences of neighbouring pixels: without them small dark lines, such as mouths, are the last
 * thing to come.
 *
 * What is written is standard: each channel of the latents of the training pictures has mean 0 and deviation 1, by the
 * two 1x1 convolutions beside the latent. So the file's latent scale is 1.
 */
#include "core/io/dataset.h"
#include "core/io/quote.h"
#include "core/io/sheet.h"
#include "core/nn/losses.h"
#include "diffusion/vae.h"
#include "pipeline/api.h"
#include "pipeline/model.h"
#include "pipeline/pack.h"
#include "pipeline/training.h"

#include <math.h>
#include <string.h>

#define QUANT      "first_stage_model.quant_conv."
#define POST_QUANT "first_stage_model.post_quant_conv."

enum { LATENT_MOST = 64, SHEET_PAIRS = 24, MEASURED_PICTURES = 512 };

struct shapes {
    struct training_list multipliers; /* of channels, by level */
    int channels, blocks, latent, groups;
    double kl; /* its weight */
};

struct autoencoder {
    struct shapes shapes;
    struct vae_config config;
    struct graph graph, single;      /* a part of a batch; one picture there and back */
    struct exec *exec, *single_exec; /* owned */
    struct trainer *trainer;         /* the loop's */
    float *pixels, *noise;           /* owned, in one piece, pixels first; inputs of a part */
    int64_t latent_values;           /* of a picture */
};

static void defaults(struct training_settings *s)
{
    if (s->size == 0) s->size = 64;
    s->steps = 4000;
    s->batch = 16;
    s->rate = (struct learning_rate){.kind = LEARNING_RATE_COSINE, .peak = 1.5e-3F, .floor = 3e-5F, .warm_up = 100};
    s->rule = (struct optimiser_rule){.kind = OPTIMISER_ADAMW,
                                      .beta1 = 0.9F,
                                      .beta2 = 0.99F,
                                      .eps = 1e-8F,
                                      .decay = 1e-4F,
                                      .clip = 1,
                                      .average = 0.995F,
                                      .average_warms = true,
                                      .matrix_momentum = 0.95F,
                                      .matrix_rate = 20};
    s->flip = true;
    s->save_every = 500;
    s->sheet_every = 500;
    s->dtype = DTYPE_F16;
}

/* ---- networks ---- */

static enum status read_shapes(struct training *t, struct shapes *s, struct error *err)
{
    *s = (struct shapes){
        .multipliers = {3, {1, 2, 4}}, .channels = 16, .blocks = 1, .latent = 4, .groups = 8, .kl = 5e-4};
    const struct training_key keys[] = {
        {"channels", TRAINING_KEY_WHOLE, &s->channels, 4, 1024, NULL},
        {"multipliers", TRAINING_KEY_LIST, &s->multipliers, 1, 16, NULL},
        {"blocks", TRAINING_KEY_WHOLE, &s->blocks, 1, VAE_MAX_BLOCKS, NULL},
        {"latent", TRAINING_KEY_WHOLE, &s->latent, 1, LATENT_MOST, NULL},
        {"groups", TRAINING_KEY_WHOLE, &s->groups, 1, 512, NULL},
        {"kl", TRAINING_KEY_REAL, &s->kl, 0, 100, NULL},
    };
    return training_read_config(t, "vae", keys, sizeof keys / sizeof *keys, err);
}

/* By the configuration; with --init the networks have its shapes. */
static enum status make_config(struct training *t, struct autoencoder *a, struct error *err)
{
    const struct shapes *s = &a->shapes;
    struct vae_config *c = &a->config;
    enum status status = read_shapes(t, &a->shapes, err);
    if (status != STATUS_OK) return status;
    if (t->init && vae_present(t->init)) {
        struct pack pack = {0};
        status = vae_config_detect(c, t->init, err);
        if (status == STATUS_OK && pack_present(t->init)) status = pack_read(&pack, t->init, err);
        if (pack.vae_groups) c->groups = pack.vae_groups;
        pack_clear(&pack);
        if (status == STATUS_OK && (!c->encoder || !c->quant || !c->post_quant))
            status =
                fail(err, STATUS_UNSUPPORTED,
                     "a VAE without an encoder or without the 1x1 convolutions beside its latent cannot be trained");
        if (status == STATUS_OK && c->latent_channels > LATENT_MOST)
            status = fail(err, STATUS_ARGUMENT, "%s: the VAE's latents have %d channels; at most %d are allowed",
                          quote(t->settings.init).text, c->latent_channels, LATENT_MOST);
        return status;
    }
    *c = (struct vae_config){.latent_channels = s->latent,
                             .z_channels = s->latent,
                             .levels = s->multipliers.count,
                             .blocks = s->blocks,
                             .encoder = true,
                             .quant = true,
                             .post_quant = true,
                             .groups = s->groups};
    if (c->levels < 1 || c->levels > VAE_MAX_LEVELS)
        return fail(err, STATUS_ARGUMENT, "the VAE has %d levels; 1 to %d are allowed", c->levels, VAE_MAX_LEVELS);
    for (int i = 0; i < c->levels; i++) {
        c->width[i] = s->channels * s->multipliers.value[i];
        if (c->width[i] % c->groups != 0)
            return fail(err, STATUS_ARGUMENT, "a VAE level of %d channels cannot be cut into %d groups", c->width[i],
                        c->groups);
    }
    return STATUS_OK;
}

static struct node *mean_size(struct graph *g, struct node *x)
{
    return nn_mean(g,
                   graph_add(g, graph_unary(g, x, UNARY_RELU), graph_unary(g, graph_scale(g, x, -1, 0), UNARY_RELU)));
}

/* Mean difference of neighbours down and across. */
static struct node *edges(struct graph *g, struct node *x)
{
    struct node *sum = NULL;
    for (int axis = 1; axis <= 2; axis++) {
        const int64_t n = shape_dim(x->shape, axis) - 1;
        struct node *apart = graph_binary(g, BINARY_SUB, graph_slice(g, x, axis, 1, n), graph_slice(g, x, axis, 0, n));
        sum = sum ? graph_add(g, sum, mean_size(g, apart)) : mean_size(g, apart);
    }
    return sum;
}

/* x between low and high; its slope outside is 0. */
static struct node *limit(struct graph *g, struct node *x, float low, float high)
{
    struct node *above_low = graph_unary(g, graph_scale(g, x, 1, -low), UNARY_RELU);
    struct node *above_high = graph_unary(g, graph_scale(g, x, 1, -high), UNARY_RELU);
    return graph_scale(g, graph_binary(g, BINARY_SUB, above_low, above_high), 1, low);
}

static struct node *loss_of(struct graph *g, const struct autoencoder *a, struct node *picture, struct node *noise)
{
    const int latent = a->config.latent_channels;
    struct node *moments = vae_encode(g, &a->config, picture);
    struct node *mean = graph_slice(g, moments, 3, 0, latent);
    struct node *log_variance = limit(g, graph_slice(g, moments, 3, latent, latent), -12, 6);
    struct node *spread = graph_unary(g, graph_scale(g, log_variance, 0.5F, 0), UNARY_EXP);
    struct node *z = graph_add(g, mean, graph_mul(g, spread, noise));
    struct node *apart = graph_binary(g, BINARY_SUB, vae_decode(g, &a->config, z), picture);
    struct node *squared = nn_mean(g, graph_mul(g, apart, apart));
    struct node *kl = graph_add(g, graph_mul(g, mean, mean), graph_unary(g, log_variance, UNARY_EXP));
    kl = graph_scale(g, nn_mean(g, graph_binary(g, BINARY_SUB, kl, log_variance)), 0.5F, -0.5F);
    struct node *edge = graph_add(g, edges(g, apart), edges(g, graph_average_pool(g, apart, 2, 2)));
    struct node *loss = graph_add(g, mean_size(g, apart), graph_scale(g, squared, 2, 0));
    loss = graph_add(g, loss, graph_scale(g, edge, 0.5F, 0));
    graph_output(g, "squared error", squared);
    graph_output(g, "kl", kl);
    return graph_add(g, loss, graph_scale(g, kl, (float)a->shapes.kl, 0));
}

static enum status build(struct training *t, struct autoencoder *a, struct error *err)
{
    struct graph *g = &a->graph;
    const int64_t n = t->part_size, size = t->settings.size, side = size / vae_factor(&a->config);
    struct node *picture = graph_input(g, "picture", DTYPE_F32, SHAPE(n, size, size, 3));
    struct node *noise = graph_input(g, "noise", DTYPE_F32, SHAPE(n, side, side, a->config.latent_channels));
    struct node *loss = loss_of(g, a, picture, noise);
    graph_output(g, "loss", loss);
    /* By Muon's own rule, convolutions at either end are no matrices. */
    static const char *const no_matrices[] = {"conv_in.", "conv_out.", "quant_conv.", NULL};
    const struct training_trainer options = {.name = "vae", .graph = g, .no_matrices = no_matrices};
    enum status status = training_add_trainer(t, &a->trainer, &options, err);
    if (status != STATUS_OK) return status;
    trainer_differentiate(a->trainer, g, loss, t->settings.recompute);
    trainer_bind(a->trainer, g);
    status = training_open_run(t, &a->exec, g, err);
    if (status != STATUS_OK) return status;

    g = &a->single;
    picture = graph_input(g, "picture", DTYPE_F32, SHAPE(1, size, size, 3));
    struct node *mean = graph_slice(g, vae_encode(g, &a->config, picture), 3, 0, a->config.latent_channels);
    graph_output(g, "latent", mean);
    graph_output(g, "again", vae_decode(g, &a->config, mean));
    trainer_bind(a->trainer, g);
    return training_open_run(t, &a->single_exec, g, err);
}

static enum status open_family(struct training *t, struct error *err)
{
    struct autoencoder *a = t->family_state;
    enum status status = make_config(t, a, err);
    if (status != STATUS_OK) return status;
    const int size = t->settings.size, factor = vae_factor(&a->config);
    if (size % factor != 0 || size % 8 != 0)
        return fail(err, STATUS_ARGUMENT, "size %d: must be a multiple of %d", size, factor > 8 ? factor : 8);
    a->latent_values = (int64_t)(size / factor) * (size / factor) * a->config.latent_channels;
    status = build(t, a, err);
    if (status != STATUS_OK) return status;
    const size_t pixels = (size_t)t->part_size * (size_t)size * (size_t)size * 3;
    const size_t bytes = (pixels + (size_t)t->part_size * (size_t)a->latent_values) * sizeof(float);
    status = training_reserve(t, "a batch", bytes, err);
    if (status != STATUS_OK) return status;
    a->pixels = memory_alloc(bytes);
    a->noise = a->pixels + pixels;
    return a->pixels ? STATUS_OK : fail_no_memory(err, "a batch", bytes);
}

static void close_family(struct training *t)
{
    struct autoencoder *a = t->family_state;
    exec_destroy(a->exec);
    exec_destroy(a->single_exec);
    graph_clear(&a->graph);
    graph_clear(&a->single);
    memory_free(a->pixels);
}

/* ---- stepping ---- */

static enum status run_part(struct training *t, struct autoencoder *a, int part, struct error *err)
{
    static const char *const outputs[] = {"loss", "squared error", "kl"};
    for (int k = 0; k < t->part_size; k++) {
        struct rng rng;
        training_random(t, TRAINING_LATENT, training_item(t, part, k), &rng);
        rng_normal(&rng, a->noise + k * a->latent_values, (size_t)a->latent_values);
    }
    enum status status = training_pixels(t, part, a->pixels, err);
    if (status == STATUS_OK) status = exec_write(a->exec, "picture", a->pixels, err);
    if (status == STATUS_OK) status = exec_write(a->exec, "noise", a->noise, err);
    if (status == STATUS_OK) status = exec_run(a->exec, err);
    for (int i = 0; i < 3 && status == STATUS_OK; i++) {
        float value = 0;
        status = exec_read(a->exec, outputs[i], &value, err);
        if (status == STATUS_OK) training_loss(t, outputs[i], (double)value);
    }
    return status == STATUS_OK ? trainer_collect(a->trainer, a->exec, t->share, err) : status;
}

static enum status step(struct training *t, struct error *err)
{
    struct autoencoder *a = t->family_state;
    enum status status = STATUS_OK;
    for (int part = 0; part < t->settings.accumulate && status == STATUS_OK; part++) status = run_part(t, a, part, err);
    return status == STATUS_OK ? training_update(t, a->trainer, 1, err) : status;
}

/* ---- what it makes ---- */

static enum status publish_result(struct autoencoder *a, struct error *err)
{
    return a->trainer->optimiser->average ? trainer_publish_average(a->trainer, err) : trainer_publish(a->trainer, err);
}

/* A picture of the set through the single run; the values are the trainer's pixels, used as scratch. */
static enum status run_single(struct training *t, struct autoencoder *a, int64_t picture, struct error *err)
{
    enum status status = dataset_fetch(t->data, picture, false, a->pixels, err);
    if (status == STATUS_OK) status = exec_write(a->single_exec, "picture", a->pixels, err);
    return status == STATUS_OK ? exec_run(a->single_exec, err) : status;
}

static enum status to_image(struct image *image, const float *pixels, int size, struct error *err)
{
    const enum status status = image_create(image, size, size, 3, err);
    for (int i = 0; i < size * size * 3 && status == STATUS_OK; i++)
        image->pixels[i] = (uint8_t)fminf(fmaxf(pixels[i] * 127.5F + 128, 0), 255);
    return status;
}

/* Pictures from all over the set, each beside what is left of it. */
static enum status sample(struct training *t, struct image *sheet, struct error *err)
{
    struct autoencoder *a = t->family_state;
    struct image images[2 * SHEET_PAIRS] = {0};
    const int64_t all = dataset_count(t->data);
    const int pairs = all < SHEET_PAIRS ? (int)all : SHEET_PAIRS, size = t->settings.size;
    enum status status = publish_result(a, err);
    for (int i = 0; i < pairs && status == STATUS_OK; i++) {
        status = run_single(t, a, i * all / pairs, err);
        if (status == STATUS_OK) status = to_image(&images[2 * i], a->pixels, size, err);
        if (status == STATUS_OK) status = exec_read(a->single_exec, "again", a->pixels, err);
        if (status == STATUS_OK) status = to_image(&images[2 * i + 1], a->pixels, size, err);
    }
    if (status == STATUS_OK) status = sheet_draw(sheet, images, 2 * pairs, 8, err);
    for (int i = 0; i < 2 * SHEET_PAIRS; i++) image_clear(&images[i]);
    return status == STATUS_OK ? trainer_publish(a->trainer, err) : status;
}

struct standard {
    double mean[LATENT_MOST], deviation[LATENT_MOST];
};

/* Of the latents of pictures from all over the set, by channel. */
static enum status measure(struct training *t, struct autoencoder *a, struct standard *s, struct error *err)
{
    const int64_t all = dataset_count(t->data), count = all < MEASURED_PICTURES ? all : MEASURED_PICTURES;
    const int channels = a->config.latent_channels;
    double sum[LATENT_MOST] = {0}, squares[LATENT_MOST] = {0};
    enum status status = publish_result(a, err);
    for (int64_t i = 0; i < count && status == STATUS_OK; i++) {
        status = run_single(t, a, i * all / count, err);
        if (status == STATUS_OK) status = exec_read(a->single_exec, "latent", a->noise, err);
        for (int64_t k = 0; k < a->latent_values && status == STATUS_OK; k++) {
            sum[k % channels] += (double)a->noise[k];
            squares[k % channels] += (double)a->noise[k] * (double)a->noise[k];
        }
    }
    const double n = (double)(count * a->latent_values / channels);
    for (int c = 0; c < channels; c++) {
        s->mean[c] = sum[c] / n;
        s->deviation[c] = sqrt(fmax(squares[c] / n - s->mean[c] * s->mean[c], 1e-12));
    }
    return status == STATUS_OK ? trainer_publish(a->trainer, err) : status;
}

/* z becomes (z - mean) / deviation where it is made, and is turned back where it is read. Weights are [out, in]. */
static void standardise(const struct autoencoder *a, const struct standard *s, float *quant, float *quant_bias,
                        float *post, float *post_bias)
{
    const int n = a->config.latent_channels, in = 2 * a->config.z_channels, z = a->config.z_channels;
    for (int c = 0; c < n; c++) {
        const double deviation = s->deviation[c];
        for (int i = 0; i < in; i++) quant[c * in + i] = (float)((double)quant[c * in + i] / deviation);
        quant_bias[c] = (float)(((double)quant_bias[c] - s->mean[c]) / deviation);
        quant_bias[n + c] -= (float)(2 * log(deviation)); /* log variance */
    }
    for (int o = 0; o < z; o++)
        for (int c = 0; c < n; c++) {
            post_bias[o] += (float)((double)post[o * n + c] * s->mean[c]);
            post[o * n + c] = (float)((double)post[o * n + c] * s->deviation[c]);
        }
}

static json_t *describe(const struct training *t, const struct autoencoder *a)
{
    char name[128];
    model_short_name(t->out, name, sizeof name);
    return json_pack("{s:i, s:s, s:i, s:f, s:{s:i}, s:I}", "format", 1, "name", name, "size", t->settings.size,
                     "latent_scale", 1.0, "vae", "groups", a->config.groups, "training_steps", (json_int_t)t->step);
}

static enum status write_result(struct training *t, struct autoencoder *a, const char *path, struct error *err)
{
    struct training_result *result = NULL;
    enum status status = training_result_create(&result, t, err);
    if (status == STATUS_OK) status = training_result_add_trainer(result, a->trainer, err);
    if (status == STATUS_OK) status = training_result_pack(result, describe(t, a), err);
    if (status == STATUS_OK) status = training_result_write(result, path, err);
    training_result_destroy(result);
    return status;
}

/* The trainer's own numbers are made standard for as long as they are written, and then put back. */
static enum status save(struct training *t, const char *path, struct error *err)
{
    static const char *const names[] = {QUANT "weight", QUANT "bias", POST_QUANT "weight", POST_QUANT "bias"};
    struct autoencoder *a = t->family_state;
    const struct optimiser *o = a->trainer->optimiser;
    const size_t n = (size_t)a->config.latent_channels, z = (size_t)a->config.z_channels;
    const size_t counts[] = {4 * n * z, 2 * n, z * n, z};
    struct standard standard;
    float *now[4], *before[4];
    enum status status = measure(t, a, &standard, err);
    if (status != STATUS_OK) return status;
    float *kept = memory_alloc((counts[0] + counts[1] + counts[2] + counts[3]) * sizeof *kept);
    if (!kept) return fail_no_memory(err, "a result", counts[0] * sizeof *kept);
    float *at = kept;
    for (int i = 0; i < 4; at += counts[i++]) {
        now[i] = (o->average ? o->average : o->value) + (trainer_find(a->trainer, names[i]) - o->value);
        before[i] = memcpy(at, now[i], counts[i] * sizeof *kept);
    }
    standardise(a, &standard, now[0], now[1], now[2], now[3]);
    status = write_result(t, a, path, err);
    for (int i = 0; i < 4; i++) memcpy(now[i], before[i], counts[i] * sizeof *kept);
    memory_free(kept);
    return status;
}

static const char *const members[] = {"vae", NULL};

const struct training_family vae_training = {
    .name = "vae",
    .state_bytes = sizeof(struct autoencoder),
    .members = members,
    .defaults = defaults,
    .open = open_family,
    .step = step,
    .sample = sample,
    .save = save,
    .close = close_family,
};
