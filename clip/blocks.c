/* SPDX-License-Identifier: MIT
 *
 * One block (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", the pre-norm transformer):
 *
 *     x = x + out(attention(q(n), k(n), v(n))),  n = norm1(x)
 *     x = x + fc2(act(fc1(norm2(x))))
 */
#include "clip/blocks.h"

#include "core/nn/layers.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 128 };

static const float norm_eps = 1e-5f;

/* What follows a block's number. */
static const struct names {
    const char *norm1, *norm2, *out, *fc1, *fc2;
} hf_names = {"layer_norm1", "layer_norm2", "self_attn.out_proj", "mlp.fc1", "mlp.fc2"},
  joined_names = {"ln_1", "ln_2", "attn.out_proj", "mlp.c_fc", "mlp.c_proj"};

static const struct names *names_of(const struct blocks *blocks)
{
    return blocks->joined ? &joined_names : &hf_names;
}

/* ---- finding ---- */

const struct tensor *blocks_find_matrix(const struct checkpoint *checkpoint, const char *name, int64_t most_rows,
                                        int64_t most_columns, const char *what, struct error *err)
{
    const struct tensor *t = checkpoint_find(checkpoint, name);
    if (!t) {
        (void)fail(err, STATUS_FORMAT, "%s is not whole: '%s' is missing", what, name);
        return NULL;
    }
    if (t->rank == 2 && t->dim[0] >= 1 && t->dim[0] <= most_rows && t->dim[1] >= 1 && t->dim[1] <= most_columns)
        return t;
    (void)fail(err, STATUS_FORMAT,
               "%s's '%s' has rank %d and %lld elements; a matrix of at most %lld x %lld is allowed", what, name,
               t->rank, (long long)t->count, (long long)most_rows, (long long)most_columns);
    return NULL;
}

static int count_layers(const struct blocks *blocks, const struct checkpoint *c)
{
    char name[NAME_BYTES];
    for (int layer = 0;; layer++) {
        snprintf(name, sizeof name, "%s.%d.%s.weight", blocks->prefix, layer, names_of(blocks)->norm1);
        if (layer > BLOCKS_MAX_LAYERS || !checkpoint_find(c, name)) return layer;
    }
}

enum status blocks_detect(struct blocks *blocks, const struct checkpoint *checkpoint, const char *what,
                          struct error *err)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s.0.%s.weight", blocks->prefix, names_of(blocks)->fc1);
    const struct tensor *mlp = blocks_find_matrix(checkpoint, name, 4 * BLOCKS_MAX_WIDTH, BLOCKS_MAX_WIDTH, what, err);
    if (!mlp) return err->status;
    blocks->mlp_width = (int)mlp->dim[0];
    blocks->layers = count_layers(blocks, checkpoint);
    if (blocks->layers < 1 || blocks->layers > BLOCKS_MAX_LAYERS)
        return fail(err, STATUS_FORMAT, "%s has %d layers ('%s.N'); 1 to %d are allowed", what, blocks->layers,
                    blocks->prefix, BLOCKS_MAX_LAYERS);
    return STATUS_OK;
}

bool blocks_activation(const char *name, enum unary *activation)
{
    if (strcmp(name, "quick_gelu") == 0)
        *activation = UNARY_QUICK_GELU;
    else if (strcmp(name, "gelu") == 0)
        *activation = UNARY_GELU;
    else
        return false;
    return true;
}

enum status blocks_read_json(struct blocks *blocks, const struct checkpoint *checkpoint, const struct blocks_json *json,
                             const char *what, struct error *err)
{
    const char *text = checkpoint_metadata(checkpoint, json->key);
    json_t *root = text ? json_loads(text, 0, NULL) : NULL;
    const json_t *object = json->member ? json_object_get(root, json->member) : root;
    const json_t *heads = json_object_get(object, json->heads);
    const char *name = json_string_value(json_object_get(object, json->activation));
    enum status status = STATUS_OK;
    if (json_is_integer(heads)) {
        const json_int_t n = json_integer_value(heads);
        blocks->heads = n < 0 ? 0 : n > BLOCKS_MAX_WIDTH ? BLOCKS_MAX_WIDTH : (int)n;
    }
    if (name && !blocks_activation(name, &blocks->activation))
        status = fail(err, STATUS_UNSUPPORTED, "%s: %s's activation is '%.40s'; quick_gelu and gelu are supported",
                      json->key, what, name);
    json_decref(root);
    return status;
}

enum status blocks_check_heads(const struct blocks *blocks, int width, const char *what, struct error *err)
{
    if (blocks->heads >= 1 && width % blocks->heads == 0) return STATUS_OK;
    return fail(err, STATUS_FORMAT, "%s is %d wide; %d heads do not divide that", what, width, blocks->heads);
}

enum status blocks_create(struct blocks *blocks, int width, int layers, int heads, const char *what, struct error *err)
{
    if (width < 1 || width > BLOCKS_MAX_WIDTH || layers < 1 || layers > BLOCKS_MAX_LAYERS)
        return fail(err, STATUS_ARGUMENT, "%s has %d layers, %d wide; 1 to %d and 1 to %d are allowed", what, layers,
                    width, BLOCKS_MAX_LAYERS, BLOCKS_MAX_WIDTH);
    blocks->layers = layers;
    blocks->mlp_width = 4 * width;
    blocks->heads = heads;
    blocks->activation = UNARY_QUICK_GELU;
    return blocks_check_heads(blocks, width, what, err);
}

/* ---- building ---- */

/* One of q, k and v; `part` is 0, 1 or 2. */
static struct node *project(struct graph *g, const struct blocks *blocks, struct node *x, const char *layer, int part)
{
    const int64_t width = shape_dim(x->shape, -1);
    if (!blocks->joined) return nn_linear(g, x, width, "%s.self_attn.%c_proj", layer, "qkv"[part]);
    char weight[NAME_BYTES], bias[NAME_BYTES];
    snprintf(weight, sizeof weight, "%s.attn.in_proj_weight", layer);
    snprintf(bias, sizeof bias, "%s.attn.in_proj_bias", layer);
    struct node *w = graph_param_rows(g, weight, SHAPE(width, width), part * width, 3 * width);
    struct node *b = graph_param_rows(g, bias, SHAPE(width), part * width, 3 * width);
    return graph_linear(g, x, w, b);
}

static struct node *build_block(struct graph *g, const struct blocks *blocks, struct node *x, int number)
{
    const struct names *names = names_of(blocks);
    const struct attention attention = {.heads = blocks->heads, .causal = blocks->causal};
    const int64_t width = shape_dim(x->shape, -1);
    char layer[NAME_BYTES];
    snprintf(layer, sizeof layer, "%s.%d", blocks->prefix, number);
    struct node *n = nn_layer_norm(g, x, norm_eps, "%s.%s", layer, names->norm1);
    struct node *q = project(g, blocks, n, layer, 0);
    struct node *k = project(g, blocks, n, layer, 1);
    struct node *v = project(g, blocks, n, layer, 2);
    struct node *a = graph_attention(g, q, k, v, attention);
    x = graph_add(g, x, nn_linear(g, a, width, "%s.%s", layer, names->out));
    n = nn_layer_norm(g, x, norm_eps, "%s.%s", layer, names->norm2);
    n = graph_unary(g, nn_linear(g, n, blocks->mlp_width, "%s.%s", layer, names->fc1), blocks->activation);
    return graph_add(g, x, nn_linear(g, n, width, "%s.%s", layer, names->fc2));
}

struct node *blocks_build(struct graph *g, const struct blocks *blocks, struct node *x, int layers)
{
    for (int i = 0; i < layers; i++) x = build_block(g, blocks, x, i);
    return x;
}

struct node *blocks_norm(struct graph *g, struct node *x, const char *name)
{
    return nn_layer_norm(g, x, norm_eps, "%s", name);
}

struct node *blocks_project(struct graph *g, const struct blocks *blocks, struct node *x, int64_t out, const char *name)
{
    const int64_t batch = shape_dim(x->shape, 0), width = shape_dim(x->shape, -1);
    if (!blocks->joined) return graph_linear(g, x, graph_param(g, name, PARAM_PLAIN, SHAPE(out, width)), NULL);
    /* A weight [in, out] is that of a transposed convolution of single pixels, which keeps pictures apart; the rows of
     * a matrix product would share their last bits. */
    struct node *w = graph_param(g, name, PARAM_CONV_TRANSPOSE, SHAPE(width, 1, 1, out));
    x = graph_conv2d_transpose(g, graph_reshape(g, x, SHAPE(batch, 1, 1, width)), w, NULL, (struct conv){.stride = 1});
    return graph_reshape(g, x, SHAPE(batch, out));
}
