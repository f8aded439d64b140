/* SPDX-License-Identifier: MIT */
#include "core/io/folder.h"

#include "core/io/quote.h"

#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_TEXT_BYTES = 16 << 20 };

static const struct part {
    const char *folder;
    const char *weights;       /* name of the safetensors file, without its ending */
    const char *torch_weights; /* and of the PyTorch file */
} parts[] = {
    {"unet", "diffusion_pytorch_model", "diffusion_pytorch_model"},
    {"vae", "diffusion_pytorch_model", "diffusion_pytorch_model"},
    {"text_encoder", "model", "pytorch_model"},
};

/* A model as transformers saves it has one part, which lies in the folder itself. */
static const struct part whole = {"", "model", "pytorch_model"};

static const char index_file[] = "model_index.json", config_file[] = "config.json";

/* Kept as metadata, if they are there. */
static const char *const texts[] = {
    index_file,
    "unet/config.json",
    "vae/config.json",
    "text_encoder/config.json",
    "scheduler/scheduler_config.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/special_tokens_map.json",
    "tokenizer/merges.txt",
    config_file,
    "preprocessor_config.json",
};

/* The first that is there is taken: full precision before half, safetensors before pickles. */
static const struct candidate {
    const char *ending;
    bool is_torch, is_index;
} candidates[] = {
    {".safetensors", false, false},
    {".safetensors.index.json", false, true},
    {".fp16.safetensors", false, false},
    {".safetensors.index.fp16.json", false, true},
    {".bin", true, false},
    {".bin.index.json", true, true},
    {".fp16.bin", true, false},
};

static bool exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

static const char *join(struct checkpoint *c, const char *folder, const char *name, struct error *err)
{
    const char *path = arena_printf(&c->arena, "%s/%s", folder, name);
    if (!path) (void)fail_no_memory(err, name, strlen(folder) + strlen(name));
    return path;
}

static enum status read_text(struct checkpoint *c, const char *folder, const char *name, struct error *err)
{
    const char *path = join(c, folder, name, err);
    if (!path) return err->status;
    if (!exists(path)) return STATUS_OK;
    struct mapped_file file;
    enum status status = file_map(&file, path, err);
    if (status != STATUS_OK) return status;
    if (file.size > MOST_TEXT_BYTES)
        status =
            fail(err, STATUS_FORMAT, "%s: has %zu bytes; at most %d are allowed", path, file.size, MOST_TEXT_BYTES);
    else
        status = checkpoint_note(c, name, (const char *)file.bytes, file.size, err);
    file_unmap(&file);
    return status;
}

static enum status read_weights(struct checkpoint *c, const char *path, const char *prefix, struct error *err)
{
    struct mapped_file file;
    const enum status status = checkpoint_map(c, path, &file, err);
    return status != STATUS_OK ? status : checkpoint_read_memory(c, file.bytes, file.size, path, prefix, err);
}

/* A shard is a file of the same folder and nothing else: an index must not lead out of the model. */
static bool is_plain_name(const char *name)
{
    return name[0] != '\0' && name[0] != '.' && !strchr(name, '/') && strlen(name) < 256;
}

static enum status read_shards(struct checkpoint *c, const char *folder, const char *index_path, const json_t *map,
                               const char *prefix, struct error *err)
{
    const char *tensor;
    json_t *shard;
    enum status status = STATUS_OK;
    json_t *seen = json_object();
    if (!seen) return fail_no_memory(err, index_path, 0);
    json_object_foreach ((json_t *)map, tensor, shard) {
        const char *name = json_string_value(shard);
        if (!name || !is_plain_name(name)) {
            status = fail(err, STATUS_FORMAT,
                          "%s: tensor '%s' is said to be in '%s'; the name of a file beside it is allowed", index_path,
                          quote(tensor).text, quote(name ? name : "(no text)").text);
            break;
        }
        if (json_object_get(seen, name)) continue;
        const char *path = join(c, folder, name, err);
        status = !path                                               ? err->status
                 : json_object_set_new(seen, name, json_true()) != 0 ? fail_no_memory(err, index_path, 0)
                                                                     : read_weights(c, path, prefix, err);
        if (status != STATUS_OK) break;
    }
    json_decref(seen);
    return status;
}

/* { "weight_map": { "tensor": "file", ... } } */
static enum status read_index(struct checkpoint *c, const char *folder, const char *path, const char *prefix,
                              struct error *err)
{
    struct mapped_file file;
    enum status status = file_map(&file, path, err);
    if (status != STATUS_OK) return status;
    if (file.size > MOST_TEXT_BYTES) {
        status =
            fail(err, STATUS_FORMAT, "%s: has %zu bytes; at most %d are allowed", path, file.size, MOST_TEXT_BYTES);
        file_unmap(&file);
        return status;
    }
    json_error_t fault;
    json_t *index = json_loadb((const char *)file.bytes, file.size, JSON_REJECT_DUPLICATES, &fault);
    file_unmap(&file);
    const json_t *map = json_object_get(index, "weight_map");
    if (!json_is_object(map))
        status = fail(err, STATUS_FORMAT, "%s: is no index of shards: %s", path,
                      index ? "it has no weight_map" : quote(fault.text).text);
    else
        status = read_shards(c, folder, path, map, prefix, err);
    json_decref(index);
    return status;
}

static enum status read_part(struct checkpoint *c, const char *path, const struct part *part, struct error *err)
{
    const bool is_whole = part->folder[0] == '\0';
    const char *folder = is_whole ? path : join(c, path, part->folder, err);
    if (!folder) return err->status;
    char prefix[32], name[96];
    snprintf(prefix, sizeof prefix, "%s%s", part->folder, is_whole ? "" : "/");
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
        const struct candidate *candidate = &candidates[i];
        snprintf(name, sizeof name, "%s%s", candidate->is_torch ? part->torch_weights : part->weights,
                 candidate->ending);
        const char *file = join(c, folder, name, err);
        if (!file) return err->status;
        if (!exists(file)) continue;
        return candidate->is_index ? read_index(c, folder, file, prefix, err) : read_weights(c, file, prefix, err);
    }
    return STATUS_OK;
}

enum status folder_read(struct checkpoint *c, const char *path, struct error *err)
{
    const char *index = join(c, path, index_file, err), *config = join(c, path, config_file, err);
    if (!index || !config) return err->status;
    const bool is_diffusers = exists(index);
    if (!is_diffusers && !exists(config))
        return fail(err, STATUS_FORMAT, "%s: is a folder without %s, so no diffusers model", path, index_file);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const enum status status = read_text(c, path, texts[i], err);
        if (status != STATUS_OK) return status;
    }
    const struct part *list = is_diffusers ? parts : &whole;
    const size_t count = is_diffusers ? sizeof parts / sizeof *parts : 1;
    for (size_t i = 0; i < count; i++) {
        const enum status status = read_part(c, path, &list[i], err);
        if (status != STATUS_OK) return status;
    }
    c->format = CHECKPOINT_FOLDER;
    if (c->count > 0) return STATUS_OK;
    if (is_diffusers) return fail(err, STATUS_FORMAT, "%s: has no weights in unet/, vae/ or text_encoder/", path);
    return fail(err, STATUS_FORMAT, "%s: has no weights in model.safetensors or pytorch_model.bin", path);
}
