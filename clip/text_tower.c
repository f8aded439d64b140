/* SPDX-License-Identifier: MIT
 *
 * One builder for two layouts, which differ in names and in whether q, k and v are one tensor:
 *
 *     x = blocks(token[ids] + position), causal
 *     states = final norm(x)
 */
#include "clip/text_tower.h"

#include "clip/image_tower.h"

#include <stdio.h>
#include <string.h>

#define HF_PREFIX       "cond_stage_model.transformer.text_model."
#define OPENCLIP_PREFIX "cond_stage_model.model."

static const char what[] = "the text encoder";

/* The names of a layout. */
static const struct names {
    const char *token, *position, *blocks, *final, *projection;
} layout_names[] = {
    [TEXT_LAYOUT_HF] =
        {
            .token = HF_PREFIX "embeddings.token_embedding.weight",
            .position = HF_PREFIX "embeddings.position_embedding.weight",
            .blocks = HF_PREFIX "encoder.layers",
            .final = HF_PREFIX "final_layer_norm",
            .projection = "text_projection.weight",
        },
    [TEXT_LAYOUT_OPENCLIP] =
        {
            .token = OPENCLIP_PREFIX "token_embedding.weight",
            .position = OPENCLIP_PREFIX "positional_embedding",
            .blocks = OPENCLIP_PREFIX "transformer.resblocks",
            .final = OPENCLIP_PREFIX "ln_final",
            .projection = OPENCLIP_PREFIX "text_projection",
        },
};

enum status text_config_create(struct text_config *config, const struct text_shape *shape, struct error *err)
{
    if (shape->vocabulary < 2 || shape->vocabulary > TEXT_MAX_VOCABULARY || shape->length < 3 ||
        shape->length > TEXT_MAX_LENGTH)
        return fail(err, STATUS_ARGUMENT, "%s has %d tokens and takes %d; at most %d and 3 to %d are allowed", what,
                    shape->vocabulary, shape->length, TEXT_MAX_VOCABULARY, TEXT_MAX_LENGTH);
    *config = (struct text_config){
        .layout = TEXT_LAYOUT_HF,
        .vocabulary = shape->vocabulary,
        .length = shape->length,
        .width = shape->width,
        .projection = shape->projection,
        .blocks = {.prefix = layout_names[TEXT_LAYOUT_HF].blocks, .causal = true},
    };
    return blocks_create(&config->blocks, shape->width, shape->layers, shape->heads, what, err);
}

bool text_present(const struct checkpoint *checkpoint)
{
    return checkpoint_find(checkpoint, layout_names[TEXT_LAYOUT_HF].token) ||
           checkpoint_find(checkpoint, layout_names[TEXT_LAYOUT_OPENCLIP].token);
}

static enum status detect_sizes(struct text_config *config, const struct checkpoint *c, const struct names *names,
                                struct error *err)
{
    const struct tensor *token = blocks_find_matrix(c, names->token, TEXT_MAX_VOCABULARY, BLOCKS_MAX_WIDTH, what, err);
    const struct tensor *position =
        blocks_find_matrix(c, names->position, TEXT_MAX_LENGTH, BLOCKS_MAX_WIDTH, what, err);
    if (!token || !position) return err->status;
    config->vocabulary = (int)token->dim[0];
    config->width = (int)token->dim[1];
    config->length = (int)position->dim[0];
    config->blocks = (struct blocks){
        .prefix = names->blocks,
        .joined = config->layout == TEXT_LAYOUT_OPENCLIP,
        .causal = true,
    };
    const enum status status = blocks_detect(&config->blocks, c, what, err);
    if (status != STATUS_OK) return status;
    if (config->length < 3)
        return fail(err, STATUS_FORMAT, "%s takes %d tokens; 3 to %d are allowed", what, config->length,
                    TEXT_MAX_LENGTH);
    if (!checkpoint_find(c, names->projection)) return STATUS_OK;
    const struct tensor *projection =
        blocks_find_matrix(c, names->projection, BLOCKS_MAX_WIDTH, BLOCKS_MAX_WIDTH, what, err);
    if (projection) config->projection = (int)projection->dim[config->layout == TEXT_LAYOUT_HF ? 0 : 1];
    return err->status;
}

/* OpenAI's towers have quick-GELU, OpenCLIP's GELU. Where both have the same names, in a pair, OpenCLIP's are wider
 * than any of OpenAI's; in narrower pairs of OpenCLIP's only the configuration tells. */
static enum unary published_activation(const struct text_config *config, bool pair)
{
    const bool openclip = config->layout == TEXT_LAYOUT_OPENCLIP && !pair;
    return openclip || config->width >= 1024 ? UNARY_GELU : UNARY_QUICK_GELU;
}

enum status text_config_detect(struct text_config *config, const struct checkpoint *checkpoint, struct error *err)
{
    static const struct blocks_json sources[] = {
        {"text_encoder/config.json", NULL, "num_attention_heads", "hidden_act"},
        {"config.json", "text_config", "num_attention_heads", "hidden_act"},
        {"limn.pack", "text", "heads", "activation"},
    };
    *config = (struct text_config){0};
    if (!text_present(checkpoint))
        return fail(err, STATUS_FORMAT, "there is no text encoder here: neither '%s' nor '%s' is present",
                    layout_names[TEXT_LAYOUT_HF].token, layout_names[TEXT_LAYOUT_OPENCLIP].token);
    const bool openclip = !checkpoint_find(checkpoint, layout_names[TEXT_LAYOUT_HF].token);
    config->layout = openclip ? TEXT_LAYOUT_OPENCLIP : TEXT_LAYOUT_HF;
    enum status status = detect_sizes(config, checkpoint, &layout_names[config->layout], err);
    if (status != STATUS_OK) return status;
    const bool pair = image_tower_present(checkpoint);
    struct blocks *blocks = &config->blocks;
    blocks->activation = published_activation(config, pair);
    blocks->heads = config->width >= 64 ? config->width / 64 : 1;
    for (size_t i = 0; status == STATUS_OK && i < sizeof sources / sizeof *sources; i++)
        status = blocks_read_json(blocks, checkpoint, &sources[i], what, err);
    if (status == STATUS_OK) status = blocks_check_heads(blocks, config->width, what, err);
    /* SD 2.x uses 23 of ViT-H's 24 layers. Diffusers saves no more; stable-diffusion.cpp saves all by transformers'
     * names. */
    config->missing = !openclip && !pair && blocks->layers == 23;
    config->penultimate = openclip || (!pair && blocks->layers == 24 && config->width == 1024);
    config->pad_zero = openclip || blocks->activation == UNARY_GELU;
    return status;
}

int text_tower_layers(const struct text_config *config, int clip_skip)
{
    if (clip_skip == 0) clip_skip = config->penultimate || config->missing ? 2 : 1;
    const int layers = config->blocks.layers + config->missing - (clip_skip - 1);
    return clip_skip < 0 || layers < 1 || layers > config->blocks.layers ? 0 : layers;
}

struct node *text_tower_build(struct graph *g, const struct text_config *config, struct node *ids, int clip_skip)
{
    const struct names *names = &layout_names[config->layout];
    const int layers = text_tower_layers(config, clip_skip);
    const int64_t width = config->width;
    if (layers == 0)
        return graph_fail(g, STATUS_ARGUMENT, "clip skip is %d; this text encoder allows %d to %d", clip_skip,
                          1 + config->missing, config->blocks.layers + config->missing);
    struct node *table = graph_param(g, names->token, PARAM_PLAIN, SHAPE(config->vocabulary, width));
    struct node *position = graph_param(g, names->position, PARAM_PLAIN, SHAPE(config->length, width));
    struct node *x = graph_embedding(g, ids, table);
    x = graph_add(g, x, graph_reshape(g, position, SHAPE(1, config->length, width)));
    return blocks_norm(g, blocks_build(g, &config->blocks, x, layers), names->final);
}

struct node *text_tower_features(struct graph *g, const struct text_config *config, struct node *states,
                                 struct node *ends)
{
    const char *name = layout_names[config->layout].projection;
    const int64_t width = config->width, out = config->projection, batch = shape_dim(ends->shape, 0);
    if (out == 0) return graph_fail(g, STATUS_FORMAT, "%s has no projection: '%s' is missing", what, name);
    struct node *x = graph_reshape(g, states, SHAPE(batch * config->length, width));
    x = graph_reshape(g, graph_embedding(g, ends, x), SHAPE(batch, width));
    return blocks_project(g, &config->blocks, x, out, name);
}

bool text_rename(const char *old, char out[CHECKPOINT_NAME_BYTES])
{
    static const char *const folders[] = {"text_encoder/", "cond_stage_model.transformer.", ""};
    static const char *const parts[] = {"embeddings.", "encoder.", "final_layer_norm."};
    static const char model[] = "text_model.";
    size_t i = 0;
    while (strncmp(old, folders[i], strlen(folders[i])) != 0) i++;
    const char *name = old + strlen(folders[i]);
    const bool has_model = strncmp(name, model, sizeof model - 1) == 0;
    if (has_model)
        name += sizeof model - 1;
    else if (folders[i][0] == '\0')
        return false; /* "encoder." alone may be anybody's */
    for (size_t part = 0; part < sizeof parts / sizeof *parts; part++) {
        if (strncmp(name, parts[part], strlen(parts[part])) != 0) continue;
        const int length = snprintf(out, CHECKPOINT_NAME_BYTES, HF_PREFIX "%s", name);
        return length < CHECKPOINT_NAME_BYTES && strcmp(out, old) != 0;
    }
    return false;
}
