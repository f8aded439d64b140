/* SPDX-License-Identifier: MIT
 *
 * What is in a file, from names and shapes alone.
 */
#include "core/base/memory.h"
#include "core/io/checkpoint.h"
#include "gan/detect.h"
#include "pipeline/api.h"
#include "pipeline/kind.h"
#include "pipeline/model.h"

#include <string.h>

static const char *const no_words[] = {NULL};

static const char *const format_names[] = {[CHECKPOINT_SAFETENSORS] = "safetensors",
                                           [CHECKPOINT_GGUF] = "GGUF",
                                           [CHECKPOINT_PICKLE] = "pickle",
                                           [CHECKPOINT_FOLDER] = "diffusers folder"};

enum part { PART_TEXT, PART_UNET, PART_VAE_ENCODER, PART_VAE_DECODER };

static const char *const part_names[LIMN_PARTS] = {"text encoder", "U-Net", "VAE encoder", "VAE decoder"};

static bool begins(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static const char *const gan_part_names[LIMN_PARTS] = {"text encoder", "generator", "discriminator"};

/* The same for a GAN, whose networks' names are whatever their layers say: a module's own name is the layer's, and its
 * tensors add one word to it. */
static bool belongs(const char *name, const struct gan_config *config)
{
    const char *dot = strrchr(name, '.');
    const size_t stem = dot ? (size_t)(dot - name) : strlen(name);
    for (int i = 0; i <= config->count; i++) {
        const char *const modules[2] = {i < config->count ? config->layers[i].name : config->text,
                                        i < config->count ? config->layers[i].norm : ""};
        for (int k = 0; k < 2; k++)
            if (modules[k][0] && strlen(modules[k]) == stem && strncmp(modules[k], name, stem) == 0) return true;
    }
    return false;
}

/* What the parts of a file are called, and the networks by which a GAN's are told apart. */
struct parting {
    bool gan;
    struct gan_config generator, discriminator;
};

/* The part that a tensor belongs to, -1 for what is of no use here. */
static int part_of(const struct parting *parting, const char *name)
{
    if (parting->gan && belongs(name, &parting->generator)) return 1;
    if (parting->gan && belongs(name, &parting->discriminator)) return 2;
    if (parting->gan) return begins(name, "cond_stage_model.") ? PART_TEXT : -1;
    if (begins(name, "model.diffusion_model.")) return PART_UNET;
    if (begins(name, "cond_stage_model.")) return PART_TEXT;
    if (begins(name, "first_stage_model.encoder.") || begins(name, "first_stage_model.quant_conv."))
        return PART_VAE_ENCODER;
    return begins(name, "first_stage_model.") ? PART_VAE_DECODER : -1;
}

static void count_tensors(struct limn_info *info, const struct checkpoint *c, const struct parting *parting)
{
    struct limn_dtype_count all[DTYPE_COUNT] = {0};
    for (int i = 0; i < checkpoint_count(c); i++) {
        const struct tensor *t = checkpoint_at(c, i);
        const uint64_t bytes = dtype_bytes(t->dtype, (size_t)t->count);
        info->tensors++;
        info->parameters += (uint64_t)t->count;
        all[t->dtype].tensors++;
        all[t->dtype].bytes += bytes;
        const int part = part_of(parting, t->name);
        if (part < 0) continue;
        info->parts[part].tensors++;
        info->parts[part].parameters += (uint64_t)t->count;
        info->parts[part].bytes += bytes;
    }
    int used = 0;
    for (int d = 0; d < DTYPE_COUNT && used < LIMN_DTYPES - 1; d++) {
        if (all[d].tensors == 0) continue;
        all[d].name = dtype_name((enum dtype)d);
        info->dtypes[used++] = all[d];
    }
}

/* The first name of each word in one language. */
static const char *const *first_names(struct arena *memory, const struct pack_words *words, bool korean)
{
    const char **list = arena_alloc(memory, ((size_t)words->count + 1) * sizeof *list);
    for (int i = 0; list && i < words->count; i++) {
        const char *const *names = korean ? words->words[i].ko : words->words[i].en;
        list[i] = arena_strdup(memory, names[0] ? names[0] : "");
        if (!list[i]) return NULL;
    }
    return list;
}

static enum status describe_pack(struct limn_info *info, struct arena *memory, const struct checkpoint *c,
                                 struct error *err)
{
    struct pack pack;
    const enum status status = pack_read(&pack, c, err);
    if (status != STATUS_OK) return status;
    info->name = arena_strdup(memory, pack.name);
    info->licence = pack.licence ? arena_strdup(memory, pack.licence) : NULL;
    info->concepts = first_names(memory, &pack.concepts, false);
    info->concepts_ko = first_names(memory, &pack.concepts, true);
    info->styles = first_names(memory, &pack.styles, false);
    info->colours = first_names(memory, &pack.colours, false);
    info->colours_ko = first_names(memory, &pack.colours, true);
    if (info->prediction) info->prediction = prediction_name(pack.schedule.prediction);
    if (info->prediction) info->width = info->height = pack.size;
    const bool whole = info->name && info->concepts && info->concepts_ko && info->styles && info->colours &&
                       info->colours_ko && (info->licence || !pack.licence);
    pack_clear(&pack);
    return whole ? STATUS_OK : fail_no_memory(err, "a pack's words", sizeof(struct pack));
}

/* The sides of a GAN's pictures, or what has to be written down for it to paint. */
static enum status describe_gan(struct limn_info *info, struct arena *memory, const struct checkpoint *c,
                                struct parting *parting, struct error *err)
{
    struct error why = {0};
    parting->gan = true;
    if (!gan_find(&parting->generator, GAN_GENERATOR, c)) parting->generator.count = 0;
    if (!gan_find(&parting->discriminator, GAN_DISCRIMINATOR, c)) parting->discriminator.count = 0;
    if (info->missing) return STATUS_OK;
    struct gan_config config;
    if (gan_config_detect(&config, GAN_GENERATOR, c, info->path, &why) == STATUS_OK) {
        info->width = info->height = config.side;
        return STATUS_OK;
    }
    info->missing = arena_strdup(memory, why.text);
    return info->missing ? STATUS_OK : fail_no_memory(err, "a sentence", strlen(why.text));
}

static enum status describe(struct limn_info *info, struct arena *memory, const struct checkpoint *c, struct error *err)
{
    const struct recognition r = kind_recognise(c);
    char text[KIND_TEXT_BYTES];
    const char *missing = kind_missing(&r, text);
    if (!missing && !kind_runs(r.kind)) missing = "whole, but of a kind that limn does not run";
    info->format = format_names[checkpoint_format(c)];
    info->kind = kind_name(r.kind);
    info->title = kind_title(r.kind);
    info->bytes = checkpoint_file_bytes(c);
    if (missing && !(info->missing = arena_strdup(memory, missing)))
        return fail_no_memory(err, "a sentence", strlen(missing));
    struct parting parting = {0};
    enum status status = r.kind == MODEL_GAN ? describe_gan(info, memory, c, &parting, err) : STATUS_OK;
    const bool present[2][LIMN_PARTS] = {{r.text, r.unet, r.vae_encoder, r.vae_decoder},
                                         {r.text, r.generator, r.discriminator}};
    for (int i = 0; i < LIMN_PARTS; i++) {
        info->parts[i].name = (parting.gan ? gan_part_names : part_names)[i];
        info->parts[i].present = present[parting.gan][i];
    }
    count_tensors(info, c, &parting);
    if (r.unet) info->prediction = prediction_name(r.prediction);
    if (!missing && kind_runs(r.kind) && !parting.gan) info->width = info->height = 512;
    if (!missing && r.kind == MODEL_SD2 && r.prediction == PREDICTION_V) info->width = info->height = 768;
    return status == STATUS_OK && pack_present(c) ? describe_pack(info, memory, c, err) : status;
}

static enum status read_info(struct limn_info *info, const char *path, struct error *err)
{
    char default_path[MODEL_PATH_BYTES];
    struct checkpoint *c = NULL;
    struct arena *memory = memory_alloc(sizeof *memory);
    info->memory = memory;
    if (!memory) return fail_no_memory(err, "an info", sizeof *memory);
    enum status status = path ? STATUS_OK : model_default_path(default_path, err);
    if (status != STATUS_OK) return status;
    info->path = arena_strdup(memory, path ? path : default_path);
    if (!info->path) return fail_no_memory(err, "an info", sizeof default_path);
    info->concepts = info->concepts_ko = info->styles = info->colours = info->colours_ko = no_words;
    status = checkpoint_open(&c, info->path, err);
    if (status == STATUS_OK) status = kind_normalise(c, err);
    if (status == STATUS_OK) status = describe(info, memory, c, err);
    checkpoint_close(c);
    return status;
}

enum limn_status limn_info_read(struct limn_info *info, const char *path, struct limn_error *error)
{
    struct error err = {0};
    *info = (struct limn_info){0};
    err.status = read_info(info, path, &err);
    if (err.status != STATUS_OK) limn_info_clear(info);
    return api_result(error, &err);
}

void limn_info_clear(struct limn_info *info)
{
    if (!info) return;
    struct arena *memory = info->memory;
    if (memory) arena_clear(memory);
    memory_free(memory);
    *info = (struct limn_info){0};
}
