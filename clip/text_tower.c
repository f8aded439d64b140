/* SPDX-License-Identifier: MIT
 *
 * One builder for two layouts, which differ in names and in whether q, k and v are one tensor:
 *
 *     x = token[ids] + position
 *     for each layer:  x = x + out(attention(q(n), k(n), v(n))),  n = norm1(x),  causal
 *                      x = x + fc2(act(fc1(norm2(x))))
 *     states = final norm(x)
 */
#include "clip/text_tower.h"

#include "core/nn/layers.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define HF_PREFIX       "cond_stage_model.transformer.text_model."
#define OPENCLIP_PREFIX "cond_stage_model.model."

static const float norm_eps = 1e-5f;

/* The names of a layout; `layers` comes before a layer's number, the next five behind it. */
static const struct names {
    const char *token, *position, *layers, *norm1, *norm2, *out, *fc1, *fc2, *final;
} layout_names[] = {
    [TEXT_LAYOUT_HF] =
        {
            .token = HF_PREFIX "embeddings.token_embedding.weight",
            .position = HF_PREFIX "embeddings.position_embedding.weight",
            .layers = HF_PREFIX "encoder.layers",
            .norm1 = "layer_norm1",
            .norm2 = "layer_norm2",
            .out = "self_attn.out_proj",
            .fc1 = "mlp.fc1",
            .fc2 = "mlp.fc2",
            .final = HF_PREFIX "final_layer_norm",
        },
    [TEXT_LAYOUT_OPENCLIP] =
        {
            .token = OPENCLIP_PREFIX "token_embedding.weight",
            .position = OPENCLIP_PREFIX "positional_embedding",
            .layers = OPENCLIP_PREFIX "transformer.resblocks",
            .norm1 = "ln_1",
            .norm2 = "ln_2",
            .out = "attn.out_proj",
            .fc1 = "mlp.c_fc",
            .fc2 = "mlp.c_proj",
            .final = OPENCLIP_PREFIX "ln_final",
        },
};

enum { NAME_BYTES = 128 };

bool text_present(const struct checkpoint *checkpoint)
{
    return checkpoint_find(checkpoint, layout_names[TEXT_LAYOUT_HF].token) ||
           checkpoint_find(checkpoint, layout_names[TEXT_LAYOUT_OPENCLIP].token);
}

/* Finds a matrix whose dimensions lie within limits. */
static const struct tensor *find_matrix(const struct checkpoint *c, const char *name, int64_t most_rows,
                                        int64_t most_columns, struct error *err)
{
    const struct tensor *t = checkpoint_find(c, name);
    if (!t) {
        (void)fail(err, STATUS_FORMAT, "the text encoder is not whole: '%s' is missing", name);
        return NULL;
    }
    if (t->rank == 2 && t->dim[0] >= 1 && t->dim[0] <= most_rows && t->dim[1] >= 1 && t->dim[1] <= most_columns)
        return t;
    (void)fail(err, STATUS_FORMAT,
               "the text encoder's '%s' has rank %d and %lld elements; a matrix of at most %lld x "
               "%lld is allowed",
               name, t->rank, (long long)t->count, (long long)most_rows, (long long)most_columns);
    return NULL;
}

static int count_layers(const struct checkpoint *c, const struct names *names)
{
    char name[NAME_BYTES];
    for (int layer = 0;; layer++) {
        snprintf(name, sizeof name, "%s.%d.%s.weight", names->layers, layer, names->norm1);
        if (layer > TEXT_MAX_LAYERS || !checkpoint_find(c, name)) return layer;
    }
}

static enum status detect_sizes(struct text_config *config, const struct checkpoint *c, const struct names *names,
                                struct error *err)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s.0.%s.weight", names->layers, names->fc1);
    const struct tensor *token = find_matrix(c, names->token, TEXT_MAX_VOCABULARY, TEXT_MAX_WIDTH, err);
    const struct tensor *position = find_matrix(c, names->position, TEXT_MAX_LENGTH, TEXT_MAX_WIDTH, err);
    const struct tensor *mlp = find_matrix(c, name, 4 * TEXT_MAX_WIDTH, TEXT_MAX_WIDTH, err);
    if (!token || !position || !mlp) return err->status;
    config->vocabulary = (int)token->dim[0];
    config->width = (int)token->dim[1];
    config->length = (int)position->dim[0];
    config->mlp_width = (int)mlp->dim[0];
    config->layers = count_layers(c, names);
    if (config->layers < 1 || config->layers > TEXT_MAX_LAYERS)
        return fail(err, STATUS_FORMAT, "the text encoder has %d layers ('%s.N'); 1 to %d are allowed", config->layers,
                    names->layers, TEXT_MAX_LAYERS);
    if (config->length < 3)
        return fail(err, STATUS_FORMAT, "the text encoder takes %d tokens; 3 to %d are allowed", config->length,
                    TEXT_MAX_LENGTH);
    return STATUS_OK;
}

/* Reads heads and activation from a JSON object in the metadata, if they are there. */
static enum status read_json(struct text_config *config, const struct checkpoint *c, const char *key,
                             const char *member, const char *heads_key, const char *activation_key, struct error *err)
{
    const char *text = checkpoint_metadata(c, key);
    json_t *json = text ? json_loads(text, 0, NULL) : NULL;
    const json_t *object = member ? json_object_get(json, member) : json;
    const json_t *heads = json_object_get(object, heads_key), *activation = json_object_get(object, activation_key);
    enum status status = STATUS_OK;
    if (json_is_integer(heads)) {
        const json_int_t n = json_integer_value(heads);
        config->heads = n < 0 ? 0 : n > TEXT_MAX_WIDTH ? TEXT_MAX_WIDTH : (int)n;
    }
    if (json_is_string(activation)) {
        const char *name = json_string_value(activation);
        if (strcmp(name, "quick_gelu") == 0)
            config->activation = UNARY_QUICK_GELU;
        else if (strcmp(name, "gelu") == 0)
            config->activation = UNARY_GELU;
        else
            status = fail(err, STATUS_UNSUPPORTED,
                          "%s: the text encoder's activation is '%.40s'; quick_gelu and gelu "
                          "are supported",
                          key, name);
    }
    json_decref(json);
    return status;
}

enum status text_config_detect(struct text_config *config, const struct checkpoint *checkpoint, struct error *err)
{
    *config = (struct text_config){0};
    if (!text_present(checkpoint))
        return fail(err, STATUS_FORMAT, "there is no text encoder here: neither '%s' nor '%s' is present",
                    layout_names[TEXT_LAYOUT_HF].token, layout_names[TEXT_LAYOUT_OPENCLIP].token);
    const bool openclip = !checkpoint_find(checkpoint, layout_names[TEXT_LAYOUT_HF].token);
    config->layout = openclip ? TEXT_LAYOUT_OPENCLIP : TEXT_LAYOUT_HF;
    if (detect_sizes(config, checkpoint, &layout_names[config->layout], err) != STATUS_OK) return err->status;
    /* ViT-H is 1024 wide and has 24 layers; SD 2.x uses 23 of them, and diffusers saves no more. */
    const bool vit_h = openclip || config->width == 1024;
    config->activation = vit_h ? UNARY_GELU : UNARY_QUICK_GELU;
    config->heads = config->width >= 64 ? config->width / 64 : 1;
    if (read_json(config, checkpoint, "text_encoder/config.json", NULL, "num_attention_heads", "hidden_act", err) ||
        read_json(config, checkpoint, "limn.pack", "text", "heads", "activation", err))
        return err->status;
    if (config->heads < 1 || config->width % config->heads != 0)
        return fail(err, STATUS_FORMAT, "the text encoder is %d wide; %d heads do not divide that", config->width,
                    config->heads);
    config->missing = !openclip && config->layers == 23;
    config->pad_zero = openclip || config->activation == UNARY_GELU;
    return STATUS_OK;
}

int text_tower_layers(const struct text_config *config, int clip_skip)
{
    if (clip_skip == 0) clip_skip = config->layout == TEXT_LAYOUT_OPENCLIP || config->missing ? 2 : 1;
    const int layers = config->layers + config->missing - (clip_skip - 1);
    return clip_skip < 0 || layers < 1 || layers > config->layers ? 0 : layers;
}

/* One of q, k and v; `part` is 0, 1 or 2. */
static struct node *project(struct graph *g, const struct text_config *config, struct node *x, const char *layer,
                            int part)
{
    const int64_t width = config->width;
    if (config->layout == TEXT_LAYOUT_HF) return nn_linear(g, x, width, "%s.self_attn.%c_proj", layer, "qkv"[part]);
    char weight[NAME_BYTES], bias[NAME_BYTES];
    snprintf(weight, sizeof weight, "%s.attn.in_proj_weight", layer);
    snprintf(bias, sizeof bias, "%s.attn.in_proj_bias", layer);
    struct node *w = graph_param_rows(g, weight, SHAPE(width, width), part * width, 3 * width);
    struct node *b = graph_param_rows(g, bias, SHAPE(width), part * width, 3 * width);
    return graph_linear(g, x, w, b);
}

static struct node *build_layer(struct graph *g, const struct text_config *config, struct node *x, int number)
{
    const struct names *names = &layout_names[config->layout];
    char layer[NAME_BYTES];
    snprintf(layer, sizeof layer, "%s.%d", names->layers, number);
    struct node *n = nn_layer_norm(g, x, norm_eps, "%s.%s", layer, names->norm1);
    struct node *q = project(g, config, n, layer, 0);
    struct node *k = project(g, config, n, layer, 1);
    struct node *v = project(g, config, n, layer, 2);
    struct node *a = graph_attention(g, q, k, v, (struct attention){.heads = config->heads, .causal = true});
    x = graph_add(g, x, nn_linear(g, a, config->width, "%s.%s", layer, names->out));
    n = nn_layer_norm(g, x, norm_eps, "%s.%s", layer, names->norm2);
    n = graph_unary(g, nn_linear(g, n, config->mlp_width, "%s.%s", layer, names->fc1), config->activation);
    return graph_add(g, x, nn_linear(g, n, config->width, "%s.%s", layer, names->fc2));
}

struct node *text_tower_build(struct graph *g, const struct text_config *config, struct node *ids, int clip_skip)
{
    const struct names *names = &layout_names[config->layout];
    const int layers = text_tower_layers(config, clip_skip);
    if (layers == 0)
        return graph_fail(g, STATUS_ARGUMENT, "clip skip is %d; this text encoder allows %d to %d", clip_skip,
                          1 + config->missing, config->layers + config->missing);
    struct node *table = graph_param(g, names->token, PARAM_PLAIN, SHAPE(config->vocabulary, config->width));
    struct node *position = graph_param(g, names->position, PARAM_PLAIN, SHAPE(config->length, config->width));
    struct node *x = graph_embedding(g, ids, table);
    x = graph_add(g, x, graph_reshape(g, position, SHAPE(1, config->length, config->width)));
    for (int i = 0; i < layers; i++) x = build_layer(g, config, x, i);
    return nn_layer_norm(g, x, norm_eps, "%s", names->final);
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
