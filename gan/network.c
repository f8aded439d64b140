/* SPDX-License-Identifier: MIT */
#include "gan/network.h"

#include "core/nn/layers.h"

#include <math.h>
#include <stdio.h>

static struct node *layer_param(struct graph *g, const struct gan_layer *layer, const char *what,
                                enum param_layout layout, struct shape shape)
{
    char name[GAN_NAME_BYTES + 16];
    snprintf(name, sizeof name, "%s.%s", layer->name, what);
    return graph_param(g, name, layout, shape);
}

/* Checkpoints flatten pictures as [C, H, W]; here channels come last. */
static struct node *flatten(struct graph *g, struct node *x)
{
    const int64_t B = shape_dim(x->shape, 0), C = shape_dim(x->shape, -1), pixels = shape_rows(x->shape) / (B ? B : 1);
    struct node *planes = graph_permute(g, graph_reshape(g, x, SHAPE(B, pixels, C)), (const int[]){0, 2, 1});
    return graph_reshape(g, planes, SHAPE(B, 1, 1, C * pixels));
}

static struct node *unflatten(struct graph *g, struct node *x, int64_t side)
{
    const int64_t B = shape_dim(x->shape, 0), C = shape_dim(x->shape, -1) / (side * side);
    struct node *planes = graph_reshape(g, x, SHAPE(B, C, side * side));
    return graph_reshape(g, graph_permute(g, planes, (const int[]){0, 2, 1}), SHAPE(B, side, side, C));
}

static struct node *multiply(struct graph *g, const struct gan_layer *layer, struct node *x)
{
    const int64_t k = layer->kernel, in = layer->in, out = layer->out;
    const int end = layer->padding - layer->output_padding;
    struct node *bias = layer->bias ? layer_param(g, layer, "bias", PARAM_PLAIN, SHAPE(out)) : NULL;
    if (layer->upsample > 1 && layer->operation != GAN_LINEAR) x = graph_upsample(g, x, layer->upsample);
    switch (layer->operation) {
    case GAN_LINEAR:
        if (shape_dim(x->shape, 1) > 1) x = flatten(g, x);
        return graph_linear(g, x, layer_param(g, layer, "weight", PARAM_PLAIN, SHAPE(out, in)), bias);
    case GAN_CONV:
        return graph_conv2d(g, x, layer_param(g, layer, "weight", PARAM_CONV, SHAPE(out, k, k, in)), bias,
                            (struct conv){.stride = layer->stride, .pad = PAD(layer->padding)});
    default:
        return graph_conv2d_transpose(
            g, x, layer_param(g, layer, "weight", PARAM_CONV_TRANSPOSE, SHAPE(in, k, k, out)), bias,
            (struct conv){.stride = layer->stride, .pad = {layer->padding, layer->padding, end, end}});
    }
}

static struct node *normalise(struct graph *g, const struct gan_layer *layer, struct node *x,
                              struct batch_statistics *statistics)
{
    if (!layer->norm[0]) return x;
    if (statistics) return nn_batch_norm_training(g, x, layer->eps, statistics, "%s", layer->norm);
    return nn_batch_norm(g, x, layer->eps, "%s", layer->norm);
}

static struct node *build_layer(struct graph *g, const struct gan_layer *layer, struct node *x,
                                struct batch_statistics *statistics)
{
    x = multiply(g, layer, x);
    const bool flat_norm = layer->side && layer->norm_width == layer->out;
    if (flat_norm) x = normalise(g, layer, x, statistics);
    if (layer->side) x = unflatten(g, x, layer->side);
    if (!flat_norm) x = normalise(g, layer, x, statistics);
    if (layer->activation == UNARY_LEAKY_RELU) return graph_leaky_relu(g, x, layer->slope);
    return layer->activation == UNARY_NONE ? x : graph_unary(g, x, layer->activation);
}

/* z and the text's features side by side. */
static struct node *join_text(struct graph *g, const struct gan_config *config, struct node *z, struct node *text)
{
    struct node *features = nn_linear(g, text, config->text_features, "%s", config->text);
    features = graph_reshape(g, graph_leaky_relu(g, features, 0.2f),
                             SHAPE(shape_dim(z->shape, 0), 1, 1, config->text_features));
    return graph_concat(g, z, features, 3);
}

/* How well the features, averaged over the picture, go with the text: divided as attention's products are, or it would
 * drown the picture's own score before anything is learnt. */
static struct node *project_text(struct graph *g, const struct gan_config *config, struct node *features,
                                 struct node *text)
{
    const int64_t B = shape_dim(features->shape, 0), C = shape_dim(features->shape, -1);
    struct node *mean = graph_reshape(g, graph_reduce(g, REDUCE_MEAN, features, 1u << 1 | 1u << 2), SHAPE(B, C));
    struct node *direction = nn_linear_no_bias(g, text, C, "%s", config->text);
    struct node *product = graph_reduce(g, REDUCE_SUM, graph_mul(g, mean, direction), 1u << 1);
    return graph_scale(g, product, 1 / sqrtf((float)config->text_width), 0);
}

struct node *gan_build(struct graph *g, const struct gan_config *config, struct node *x, struct node *text,
                       struct gan_statistics *statistics)
{
    const int64_t B = shape_dim(x->shape, 0);
    struct node *features = x;
    if (config->role == GAN_GENERATOR && config->text_width) x = join_text(g, config, x, text);
    for (int i = 0; i < config->count; i++) {
        features = x;
        x = build_layer(g, &config->layers[i], x, statistics ? &statistics->layers[i] : NULL);
    }
    if (config->role == GAN_GENERATOR) return x;
    /* A score for each place, of a discriminator that ends in more than one, is averaged. */
    x = graph_reshape(g, graph_reduce(g, REDUCE_MEAN, x, 1u << 1 | 1u << 2 | 1u << 3), SHAPE(B, 1));
    return config->text_width ? graph_add(g, x, project_text(g, config, features, text)) : x;
}
