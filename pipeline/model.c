/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* readlink, strncasecmp */
#include "pipeline/model.h"

#include "core/io/charset.h"
#include "core/io/quote.h"
#include "core/tensor/exec.h"
#include "diffusion/folder_config.h"
#include "pipeline/api.h"
#include "pipeline/devices.h"
#include "pipeline/gan_model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- paths ---- */

static bool is_there(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

enum status model_shipped_path(const char *name, char path[MODEL_PATH_BYTES], struct error *err)
{
    static const char *const places[] = {
        "%s/../samples/emoji/%s",    /* built in build/ */
        "%s/../../samples/emoji/%s", /* a test's program, one folder deeper */
        "%s/../share/limn/%s",       /* installed */
    };
    char folder[MODEL_PATH_BYTES - 64];
    const ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
    folder[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash) *slash = '\0';
    for (size_t i = 0; slash && i < sizeof places / sizeof *places; i++) {
        snprintf(path, MODEL_PATH_BYTES, places[i], folder, name);
        if (is_there(path)) return STATUS_OK;
    }
    return fail(err, STATUS_IO, "samples/emoji/%s, which comes with limn, was not found near '%s'; name a model", name,
                folder);
}

enum status model_default_path(char path[MODEL_PATH_BYTES], struct error *err)
{
    return model_shipped_path("emoji.safetensors", path, err);
}

/* The part of the name before the ending of a model's file; a folder may have dots in its name. */
static size_t before_ending(const char *name, size_t length)
{
    static const char *const endings[] = {".safetensors", ".ckpt", ".gguf", ".pth", ".pt", ".bin"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t ending = strlen(endings[i]);
        if (length > ending && strncasecmp(name + length - ending, endings[i], ending) == 0) return length - ending;
    }
    return length;
}

void model_short_name(const char *path, char *name, size_t size)
{
    size_t length = strlen(path), start, used = 0, bytes;
    while (length > 1 && path[length - 1] == '/') length--;
    for (start = length; start > 0 && path[start - 1] != '/';) start--;
    const size_t end = start + before_ending(path + start, length - start);
    for (size_t at = start; at < end; at += bytes) {
        uint32_t character;
        bytes = utf8_decode(path + at, end - at, &character);
        const bool valid = bytes > 0;
        if (!valid) bytes = 1;
        if (used + bytes >= size) break;
        memcpy(name + used, valid ? path + at : "?", bytes);
        used += bytes;
    }
    name[used] = '\0';
}

enum status model_hash(struct limn_model *model, const char **hash, struct error *err)
{
    *hash = model->hash;
    if (model->hash[0] || checkpoint_format(model->checkpoint) == CHECKPOINT_FOLDER) return STATUS_OK;
    char hex[SHA256_HEX_BYTES];
    const enum status status = sha256_file(model->path, hex, err);
    if (status == STATUS_OK) snprintf(model->hash, sizeof model->hash, "%.10s", hex);
    return status;
}

/* ---- weights ---- */

static const struct {
    const char *name;
    enum dtype dtype;
} storages[] = {
    {"f32", DTYPE_F32}, {"f16", DTYPE_F16}, {"bf16", DTYPE_BF16}, {"q8_0", DTYPE_Q8_0}, {"q4_0", DTYPE_Q4_0}};

enum { STORAGES = sizeof storages / sizeof *storages };

const char *limn_weights_name(int i)
{
    return i >= 0 && i < STORAGES ? storages[i].name : NULL;
}

enum status model_storage(const char *weights, enum dtype *storage, struct error *err)
{
    *storage = DTYPE_COUNT;
    if (!weights) return STATUS_OK;
    for (int i = 0; i < STORAGES; i++) {
        if (strcmp(storages[i].name, weights) != 0) continue;
        *storage = storages[i].dtype;
        return STATUS_OK;
    }
    return fail(err, STATUS_ARGUMENT, "weights '%s': must be f32, f16, bf16, q8_0 or q4_0", quote(weights).text);
}

const char *model_storage_name(enum dtype storage)
{
    for (int i = 0; i < STORAGES; i++)
        if (storages[i].dtype == storage) return storages[i].name;
    return NULL;
}

const struct checkpoint *model_vae_checkpoint(const struct limn_model *model)
{
    return model->vae_checkpoint ? model->vae_checkpoint : model->checkpoint;
}

/* ---- stages ---- */

enum status stage_open(struct stage *stage, struct limn_model *model, const struct checkpoint *checkpoint,
                       struct error *err)
{
    const double mib = 1024.0 * 1024.0;
    struct error why = {0};
    enum status status = stage->graph.error.status;
    if (status != STATUS_OK) return fail(err, status, "%s", stage->graph.error.text);
    status = params_load(model->params, &stage->graph, checkpoint, err);
    if (status != STATUS_OK) return status;
    const uint64_t weights = params_bytes(model->params) + (model->text ? text_encoder_bytes(model->text) : 0);
    if (model->max_memory && weights >= model->max_memory)
        return fail(err, STATUS_LIMIT,
                    "the model's weights alone take %.1f MiB, and the memory limit is %.1f MiB; a higher one is needed",
                    (double)weights / mib, (double)model->max_memory / mib);
    const size_t limit = model->max_memory ? (size_t)(model->max_memory - weights) : 0;
    status = exec_create(&stage->exec, &stage->graph, model->backend, limit, &why);
    if (status == STATUS_LIMIT)
        return fail(err, status, "of the memory limit of %.1f MiB the model's weights take %.1f MiB; %s",
                    (double)model->max_memory / mib, (double)weights / mib, why.text);
    if (status != STATUS_OK) return fail(err, status, "%s", why.text);
    const uint64_t bytes = weights + exec_bytes(stage->exec);
    if (bytes > model->peak_bytes) model->peak_bytes = bytes;
    return STATUS_OK;
}

void stage_close(struct stage *stage)
{
    exec_destroy(stage->exec);
    graph_clear(&stage->graph);
    *stage = (struct stage){0};
}

size_t model_check_picture(const struct limn_model *model, const float *values, size_t count,
                           const struct limn_watch *watch, struct error *err)
{
    size_t bad = 0;
    for (size_t i = 0; i < count; i++) bad += isfinite(values[i]) ? 0 : 1;
    if (bad == 0) return 0;
    if (strcmp(model->backend->f->name, "cpu") == 0)
        watch_note(watch,
                   "%zu of the picture's %zu values are no numbers and black: the model or a setting is at fault", bad,
                   count);
    else
        (void)!fail(err, STATUS_DEVICE,
                    "%zu of the picture's %zu values, as the GPU computed them, are no numbers; limn devices --check "
                    "tells whether it computes rightly",
                    bad, count);
    return bad;
}

/* ---- opening ---- */

static enum status open_checkpoint(struct checkpoint **out, const char *path, struct error *err)
{
    const enum status status = checkpoint_open(out, path, err);
    return status == STATUS_OK ? kind_normalise(*out, err) : status;
}

/* A model for painting must be whole and of a kind that runs. */
static enum status check_kind(struct limn_model *model, struct error *err)
{
    struct recognition whole = model->recognised;
    char text[KIND_TEXT_BYTES];
    if (model->vae_checkpoint) whole.vae_decoder = whole.vae_encoder = true;
    const char *missing = kind_missing(&whole, text);
    if (model->recognised.unet && !kind_runs(model->recognised.kind))
        return fail(err, STATUS_UNSUPPORTED, "%s: %s is not a kind of model that limn runs", model->path,
                    kind_title(model->recognised.kind));
    /* A discriminator paints nothing, but it judges. */
    const bool judges = whole.kind == MODEL_GAN && whole.discriminator && !whole.generator;
    if (missing && !judges) return fail(err, STATUS_FORMAT, "%s: %s", model->path, missing);
    return STATUS_OK;
}

static enum status open_vae(struct limn_model *model, const char *path, struct error *err)
{
    snprintf(model->vae_path, sizeof model->vae_path, "%s", path);
    const enum status status = open_checkpoint(&model->vae_checkpoint, path, err);
    if (status == STATUS_OK && !vae_present(model->vae_checkpoint))
        return fail(err, STATUS_FORMAT, "%s: there is no VAE in this file", path);
    return status;
}

/* Sizes of the networks; a pack overrides what no tensor tells. */
static enum status detect_networks(struct limn_model *model, struct error *err)
{
    const struct pack *pack = &model->pack;
    enum status status = unet_config_detect(&model->unet, model->checkpoint, err);
    const int patch = model->vae_checkpoint ? 0 : pack_patch(model->checkpoint);
    if (patch > 0)
        model->vae = vae_of_pixels(patch);
    else if (status == STATUS_OK)
        status = vae_config_detect(&model->vae, model_vae_checkpoint(model), err);
    if (status != STATUS_OK) return status;
    if (pack->unet_heads || pack->unet_head_size) {
        model->unet.heads = pack->unet_heads;
        model->unet.head_size = pack->unet_head_size;
    }
    if (pack->unet_groups) model->unet.groups = pack->unet_groups;
    if (pack->vae_groups) model->vae.groups = pack->vae_groups;
    const int latent = model->vae.latent_channels;
    const int wanted = kind_inpaints(model->recognised.kind) ? 2 * latent + 1 : latent;
    if (model->unet.in_channels != wanted || model->unet.out_channels != latent)
        return fail(err, STATUS_FORMAT,
                    "%s: the U-Net takes %d channels and gives %d, which does not go with a VAE of %d", model->path,
                    model->unet.in_channels, model->unet.out_channels, latent);
    return STATUS_OK;
}

static enum status make_schedule(struct limn_model *model, const char *prediction, struct error *err)
{
    struct recognition *r = &model->recognised;
    struct schedule_options options = SCHEDULE_STABLE_DIFFUSION;
    model->latent_scale = model->vae.scale;
    if (r->kind == MODEL_PACK) {
        options = model->pack.schedule;
        model->latent_scale = model->pack.latent_scale;
    } else {
        const enum status status = folder_config_schedule(&options, model->checkpoint, err);
        if (status != STATUS_OK) return status;
        options.prediction = r->prediction;
        options.zero_snr = r->zero_snr;
    }
    if (prediction) {
        model->prediction_forced = true;
        if (!prediction_find(prediction, &options.prediction))
            return fail(err, STATUS_ARGUMENT, "prediction '%s': must be eps, v or x0", quote(prediction).text);
    }
    return schedule_init(&model->schedule, &options, err);
}

/* Uploads a network's weights, without making room for a run. */
static enum status load_network(struct limn_model *model, struct stage *stage, const struct checkpoint *checkpoint,
                                struct error *err)
{
    struct error why = {0};
    enum status status = stage->graph.error.status;
    if (status != STATUS_OK)
        why = stage->graph.error;
    else
        status = params_load(model->params, &stage->graph, checkpoint, &why);
    stage_close(stage);
    if (status == STATUS_OK) return STATUS_OK;
    /* A graph that cannot be built is an argument's fault elsewhere; here it is the file's. */
    return fail(err, status == STATUS_ARGUMENT ? STATUS_FORMAT : status, "%s: %s",
                checkpoint == model->checkpoint ? model->path : model->vae_path, why.text);
}

/* A missing or broken tensor is found now and not after a minute of painting. The encoder waits until it is needed. */
static enum status load_weights(struct limn_model *model, struct error *err)
{
    const struct unet_config *unet = &model->unet;
    struct stage stage = {0};
    struct node *x = graph_input(&stage.graph, "x", DTYPE_F32, SHAPE(1, 8, 8, unet->in_channels));
    struct node *embedding = graph_input(&stage.graph, "embedding", DTYPE_F32, SHAPE(1, unet->model_channels));
    struct node *context = graph_input(&stage.graph, "context", DTYPE_F32, SHAPE(1, 8, unet->context_width));
    struct node *pooled =
        unet->pooled_width > 0 ? graph_input(&stage.graph, "pooled", DTYPE_F32, SHAPE(1, unet->pooled_width)) : NULL;
    graph_output(&stage.graph, "y",
                 unet_build(&stage.graph, unet, &(struct unet_inputs){x, embedding, context, pooled}));
    enum status status = load_network(model, &stage, model->checkpoint, err);
    if (status != STATUS_OK) return status;
    x = graph_input(&stage.graph, "x", DTYPE_F32, SHAPE(1, 8, 8, model->vae.latent_channels));
    graph_output(&stage.graph, "y", vae_decode(&stage.graph, &model->vae, x));
    return load_network(model, &stage, model_vae_checkpoint(model), err);
}

/* ---- memory ---- */

/* What the tensors under a name take at the least. */
static uint64_t least_bytes(const struct limn_model *model, const struct checkpoint *checkpoint, const char *prefix)
{
    uint64_t least = 0;
    for (int i = 0; i < checkpoint_count(checkpoint); i++) {
        const struct tensor *t = checkpoint_at(checkpoint, i);
        const enum dtype dtype = model->storage != DTYPE_COUNT ? model->storage : t->dtype;
        const size_t count = (size_t)t->count / dtype_block(dtype) * dtype_block(dtype);
        const uint64_t bytes = dtype_bytes(dtype, count), floats = (uint64_t)t->count * sizeof(float);
        if (strncmp(t->name, prefix, strlen(prefix)) == 0) least += bytes < floats ? bytes : floats;
    }
    return least;
}

/* U-Net and VAE decoder; the text tower may leave some of its file out. */
static uint64_t least_of_painting(const struct limn_model *model)
{
    return least_bytes(model, model->checkpoint, "model.diffusion_model.") +
           least_bytes(model, model_vae_checkpoint(model), "first_stage_model.decoder.");
}

/* Better refused before gigabytes are read. */
static enum status check_memory(const struct limn_model *model, struct error *err)
{
    const double mib = 1024.0 * 1024.0;
    const uint64_t least = least_of_painting(model) + (model->params ? params_bytes(model->params) : 0);
    if (!model->max_memory || least < model->max_memory) return STATUS_OK;
    return fail(err, STATUS_LIMIT,
                "the model's weights alone take %.1f MiB, and the memory limit is %.1f MiB; a higher one is needed",
                (double)least / mib, (double)model->max_memory / mib);
}

static enum status open_text(struct limn_model *model, struct error *err)
{
    const struct text_source source = {
        .backend = model->backend,
        .params = model->params,
        .checkpoint = model->checkpoint,
        .limit = model->max_memory ? (size_t)(model->max_memory - least_of_painting(model)) : 0,
    };
    enum status status = text_encoder_create(&model->text, &source, err);
    if (status != STATUS_OK) return status;
    const int width = text_encoder_config(model->text)->width;
    struct text_states states = {0}; /* The empty prompt's: with them the weights come. */
    if (width == model->unet.context_width) {
        status = text_encoder_encode(model->text, "", &(struct text_request){0}, &states, err);
        text_states_clear(&states);
        return status;
    }
    return fail(err, STATUS_FORMAT, "%s: the text encoder's states have %d channels, and the U-Net wants %d",
                model->path, width, model->unet.context_width);
}

static enum status check_options(const struct limn_model_options *options, struct error *err)
{
    if (options->threads < 0 || options->threads > LIMN_MAX_THREADS)
        return fail(err, STATUS_ARGUMENT, "threads %d: must be 1 to %d, or 0 for all processors", options->threads,
                    LIMN_MAX_THREADS);
    if (options->path && strlen(options->path) >= MODEL_PATH_BYTES)
        return fail(err, STATUS_ARGUMENT, "the model's path has %zu bytes: at most %d are allowed",
                    strlen(options->path), MODEL_PATH_BYTES - 1);
    if (options->vae && strlen(options->vae) >= MODEL_PATH_BYTES)
        return fail(err, STATUS_ARGUMENT, "the VAE's path has %zu bytes: at most %d are allowed", strlen(options->vae),
                    MODEL_PATH_BYTES - 1);
    return STATUS_OK;
}

static enum status open_backend(struct limn_model *model, const struct limn_model_options *options, struct error *err)
{
    const struct device_request request = {
        .threads = options->threads,
        .compute = options->compute,
        .no_fallback = options->no_fallback != 0,
        .watch = options->watch,
    };
    model->threads = options->threads;
    model->no_fallback = options->no_fallback != 0;
    return device_open(&model->backend, options->device, &request, err);
}

/* All that lies in the backend's memory, and what belongs to it. */
static enum status load_on_backend(struct limn_model *model, const struct limn_watch *watch, struct error *err)
{
    enum status status = params_create(&model->params, model->backend, err);
    if (status != STATUS_OK) return status;
    params_store_as(model->params, model->storage);
    if (model->recognised.kind == MODEL_GAN) return gan_model_open(model, err);
    status = check_memory(model, err);
    if (status == STATUS_OK) status = open_text(model, err);
    if (status == STATUS_OK) status = check_memory(model, err);
    if (status == STATUS_OK) status = watch_check(watch, err);
    if (status == STATUS_OK) status = load_weights(model, err);
    return status == STATUS_OK ? model_ask_prediction(model, watch, err) : status;
}

static void close_backend(struct limn_model *model)
{
    text_encoder_destroy(model->text);
    gan_model_close(model->gan);
    params_destroy(model->params);
    if (model->backend) model->backend->f->close(model->backend);
    model->text = NULL;
    model->gan = NULL;
    model->params = NULL;
    model->backend = NULL;
}

bool model_try_again(struct limn_model *model, const struct limn_watch *watch, struct error *err)
{
    if (err->status == STATUS_OK || model->no_fallback || !device_may_fall_back(model->backend, err->status))
        return false;
    watch_note(watch, "%s; limn goes on with the CPU", err->text);
    error_clear(err);
    close_backend(model);
    enum status status = device_open(&model->backend, "cpu", &(struct device_request){.threads = model->threads}, err);
    if (status == STATUS_OK) status = load_on_backend(model, watch, err);
    return status == STATUS_OK;
}

static enum status load_parts(struct limn_model *model, const struct limn_watch *watch, struct error *err)
{
    if (load_on_backend(model, watch, err) != STATUS_OK && !model_try_again(model, watch, err)) return err->status;
    return STATUS_OK;
}

/* A GAN has none of a diffusion model's parts but, maybe, the text encoder. */
static enum status open_gan(struct limn_model *model, const struct limn_model_options *options, struct error *err)
{
    if (options->vae || options->prediction)
        return fail(err, STATUS_ARGUMENT, "%s: a GAN has no use for a %s", model->path,
                    options->vae ? "VAE" : "prediction");
    const enum status status =
        pack_present(model->checkpoint) ? pack_read(&model->pack, model->checkpoint, err) : STATUS_OK;
    return status == STATUS_OK ? load_parts(model, options->watch, err) : status;
}

static enum status open_model(struct limn_model *model, const struct limn_model_options *options, struct error *err)
{
    enum status status = check_options(options, err);
    if (status == STATUS_OK) status = model_storage(options->weights, &model->storage, err);
    if (status == STATUS_OK) status = open_backend(model, options, err);
    if (status != STATUS_OK) return status;
    model->max_memory = options->max_memory;
    if (options->path)
        snprintf(model->path, sizeof model->path, "%s", options->path);
    else
        status = options->gan ? model_shipped_path("gan.safetensors", model->path, err)
                              : model_default_path(model->path, err);
    if (status == STATUS_OK) status = open_checkpoint(&model->checkpoint, model->path, err);
    if (status == STATUS_OK && options->vae) status = open_vae(model, options->vae, err);
    if (status != STATUS_OK) return status;
    model->recognised = kind_recognise(model->checkpoint);
    status = check_kind(model, err);
    if (status == STATUS_OK && model->recognised.kind == MODEL_GAN) return open_gan(model, options, err);
    if (status == STATUS_OK && model->recognised.kind == MODEL_PACK)
        status = pack_read(&model->pack, model->checkpoint, err);
    if (status == STATUS_OK) status = detect_networks(model, err);
    if (status == STATUS_OK) status = make_schedule(model, options->prediction, err);
    return status == STATUS_OK ? load_parts(model, options->watch, err) : status;
}

enum limn_status limn_model_open(struct limn_model **model, const struct limn_model_options *options,
                                 struct limn_error *error)
{
    static const struct limn_model_options defaults = {0};
    if (!options) options = &defaults;
    struct error err = {0};
    const double start = api_clock();
    *model = memory_alloc(sizeof **model);
    if (!*model) {
        err.status = fail_no_memory(&err, "a model", sizeof **model);
        return api_result(error, &err);
    }
    watch_progress(options->watch, LIMN_STAGE_LOAD, 0, 1, 0);
    err.status = open_model(*model, options, &err);
    if (err.status == STATUS_OK) {
        watch_progress(options->watch, LIMN_STAGE_LOAD, 1, 1, api_clock() - start);
    } else {
        limn_model_close(*model);
        *model = NULL;
    }
    return api_result(error, &err);
}

void limn_model_close(struct limn_model *model)
{
    if (!model) return;
    close_backend(model);
    schedule_clear(&model->schedule);
    pack_clear(&model->pack);
    checkpoint_close(model->vae_checkpoint);
    checkpoint_close(model->checkpoint);
    memory_free(model);
}
