/* SPDX-License-Identifier: MIT
 *
 * What is in a file, from names and shapes alone.
 */
#include "core/base/memory.h"
#include "core/io/checkpoint.h"
#include "pipeline/api.h"
#include "pipeline/kind.h"
#include "pipeline/model.h"

#include <string.h>

static const char *const no_words[] = {NULL};

static const char *const format_names[] = {
    [CHECKPOINT_SAFETENSORS] = "safetensors", [CHECKPOINT_PICKLE] = "pickle", [CHECKPOINT_FOLDER] = "diffusers folder"};

enum part { PART_TEXT, PART_UNET, PART_VAE_ENCODER, PART_VAE_DECODER };

static const char *const part_names[LIMN_PARTS] = {"text encoder", "U-Net", "VAE encoder", "VAE decoder"};

static bool begins(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* The part that a tensor belongs to, -1 for what is of no use here. */
static int part_of(const char *name)
{
    if (begins(name, "model.diffusion_model.")) return PART_UNET;
    if (begins(name, "cond_stage_model.")) return PART_TEXT;
    if (begins(name, "first_stage_model.encoder.") || begins(name, "first_stage_model.quant_conv."))
        return PART_VAE_ENCODER;
    return begins(name, "first_stage_model.") ? PART_VAE_DECODER : -1;
}

static void count_tensors(struct limn_info *info, const struct checkpoint *c)
{
    struct limn_dtype_count all[DTYPE_COUNT] = {0};
    for (int i = 0; i < checkpoint_count(c); i++) {
        const struct tensor *t = checkpoint_at(c, i);
        const uint64_t bytes = (uint64_t)t->count * dtype_bytes(t->dtype);
        info->tensors++;
        info->parameters += (uint64_t)t->count;
        all[t->dtype].tensors++;
        all[t->dtype].bytes += bytes;
        const int part = part_of(t->name);
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
    info->prediction = prediction_name(pack.schedule.prediction);
    info->width = info->height = pack.size;
    const bool whole = info->name && info->concepts && info->concepts_ko && info->styles && info->colours &&
                       info->colours_ko && (info->licence || !pack.licence);
    pack_clear(&pack);
    return whole ? STATUS_OK : fail_no_memory(err, "a pack's words", sizeof(struct pack));
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
    const bool present[LIMN_PARTS] = {r.text, r.unet, r.vae_encoder, r.vae_decoder};
    for (int i = 0; i < LIMN_PARTS; i++) {
        info->parts[i].name = part_names[i];
        info->parts[i].present = present[i];
    }
    count_tensors(info, c);
    if (missing && !(info->missing = arena_strdup(memory, missing)))
        return fail_no_memory(err, "a sentence", strlen(missing));
    if (r.unet) info->prediction = prediction_name(r.prediction);
    if (!missing && kind_runs(r.kind)) info->width = info->height = 512;
    if (!missing && r.kind == MODEL_SD2 && r.prediction == PREDICTION_V) info->width = info->height = 768;
    return r.kind == MODEL_PACK ? describe_pack(info, memory, c, err) : STATUS_OK;
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
