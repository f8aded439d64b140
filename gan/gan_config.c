/* SPDX-License-Identifier: MIT */
#include "gan/gan_config.h"

#include <stdio.h>

enum { MOST_WIDTH = 1024, DOUBLED_TO = 8 };

int64_t gan_layer_side(const struct gan_layer *layer, int64_t side)
{
    if (layer->operation != GAN_LINEAR) side *= layer->upsample;
    switch (layer->operation) {
    case GAN_LINEAR: return layer->side ? layer->side : 1;
    case GAN_CONV_TRANSPOSE:
        side = (side - 1) * layer->stride - 2 * layer->padding + layer->kernel + layer->output_padding;
        break;
    case GAN_CONV:
        side += 2 * layer->padding - layer->kernel;
        side = side < 0 ? 0 : side / layer->stride + 1;
        break;
    }
    return side < 0 ? 0 : side;
}

enum status gan_config_measure(struct gan_config *config, const char *name, struct error *err)
{
    const bool generator = config->role == GAN_GENERATOR;
    int64_t side = generator ? 1 : config->side, channels = generator ? config->layers[0].in : config->channels;
    for (int i = 0; i < config->count; i++) {
        const struct gan_layer *layer = &config->layers[i];
        const bool linear = layer->operation == GAN_LINEAR;
        if (layer->in != (linear ? channels * side * side : channels))
            return fail(err, STATUS_FORMAT,
                        "%s: layer '%s' takes %lld values, and what comes to it is %lld x %lld x %lld", name,
                        layer->name, (long long)layer->in, (long long)side, (long long)side, (long long)channels);
        side = gan_layer_side(layer, side);
        channels = linear && layer->side ? layer->out / (side * side) : layer->out;
        if (side < 1 || side > GAN_MAX_SIDE)
            return fail(err, STATUS_FORMAT,
                        "%s: behind layer '%s' the pictures have a side of %lld; it must be 1 to %d (are its stride "
                        "and padding right?)",
                        name, layer->name, (long long)side, GAN_MAX_SIDE);
    }
    if (config->role == GAN_GENERATOR) config->side = (int)side;
    return STATUS_OK;
}

/* ---- the paper's networks ---- */

/* 28 is 7 doubled twice. False if there is no such side. */
static bool split_side(int side, int *start, int *doublings)
{
    for (*doublings = 0; side % 2 == 0 && side > 7; side /= 2) ++*doublings;
    *start = side;
    return (side == 4 || side == 7) && *doublings >= 1 && *doublings <= DOUBLED_TO;
}

static struct gan_layer *add(struct gan_config *config, const char *module, int *index)
{
    struct gan_layer *layer = &config->layers[config->count++];
    *layer = (struct gan_layer){.stride = 1, .upsample = 1, .eps = 1e-5f, .slope = 0.2f};
    snprintf(layer->name, sizeof layer->name, "%s.%d", module, (*index)++);
    return layer;
}

static void add_norm(struct gan_layer *layer, const char *module, int *index)
{
    snprintf(layer->norm, sizeof layer->norm, "%s.%d", module, (*index)++);
    layer->norm_width = layer->out;
}

/* Channels of a picture that has been halved so often. */
static int64_t width_at(const struct gan_plan *plan, int halvings)
{
    const int64_t width = (int64_t)plan->width << (halvings - 1);
    return width > MOST_WIDTH && width > plan->width ? MOST_WIDTH : width;
}

static void init_generator(struct gan_config *config, const struct gan_plan *plan, int start, int doublings)
{
    int index = 0;
    int64_t in = plan->latent + config->text_features;
    for (int i = 0; i <= doublings; i++) {
        struct gan_layer *layer = add(config, "generator", &index);
        const bool last = i == doublings;
        layer->operation = GAN_CONV_TRANSPOSE;
        layer->in = in;
        layer->out = in = last ? plan->channels : width_at(plan, doublings - i);
        layer->kernel = i == 0 ? start : 4;
        layer->stride = i == 0 ? 1 : 2;
        layer->padding = i == 0 ? 0 : 1;
        if (!last) add_norm(layer, "generator", &index);
        layer->activation = last ? UNARY_TANH : UNARY_RELU;
        index++;
    }
}

static void init_discriminator(struct gan_config *config, const struct gan_plan *plan, int start, int doublings)
{
    int index = 0;
    int64_t in = plan->channels;
    for (int i = 0; i <= doublings; i++) {
        struct gan_layer *layer = add(config, "discriminator", &index);
        const bool last = i == doublings;
        layer->operation = GAN_CONV;
        layer->in = in;
        layer->out = in = last ? 1 : width_at(plan, i + 1);
        layer->kernel = last ? start : 4;
        layer->stride = last ? 1 : 2;
        layer->padding = last ? 0 : 1;
        if (i > 0 && !last) add_norm(layer, "discriminator", &index);
        layer->activation = last ? UNARY_NONE : UNARY_LEAKY_RELU;
        if (last) config->text_features = config->text_width ? (int)layer->in : 0;
        index++;
    }
}

enum status gan_config_init(struct gan_config *config, const struct gan_plan *plan, struct error *err)
{
    int start, doublings;
    const bool generator = plan->role == GAN_GENERATOR;
    if (plan->side < 8 || plan->side > 256 || !split_side(plan->side, &start, &doublings))
        return fail(err, STATUS_ARGUMENT,
                    "a GAN's pictures of side %d: must be 4 or 7 times a power of two, from 8 to 256, such as 28, 32, "
                    "64 or 128",
                    plan->side);
    if (plan->channels != 1 && plan->channels != 3)
        return fail(err, STATUS_ARGUMENT, "a GAN's pictures of %d channels: must be 1 or 3", plan->channels);
    if (plan->width < 1 || plan->width > MOST_WIDTH)
        return fail(err, STATUS_ARGUMENT, "a GAN's width of %d channels: must be 1 to %d", plan->width, MOST_WIDTH);
    if (generator && (plan->latent < 1 || plan->latent > GAN_MAX_LATENT))
        return fail(err, STATUS_ARGUMENT, "a latent vector of %d numbers: must be 1 to %d", plan->latent,
                    GAN_MAX_LATENT);
    *config = (struct gan_config){
        .role = plan->role, .channels = plan->channels, .side = plan->side, .text_width = plan->text_width};
    if (generator) config->latent = plan->latent;
    if (generator && plan->text_width) config->text_features = GAN_TEXT_FEATURES;
    if (plan->text_width)
        snprintf(config->text, sizeof config->text, "%s.text", generator ? "generator" : "discriminator");
    (generator ? init_generator : init_discriminator)(config, plan, start, doublings);
    return gan_config_measure(config, "a GAN", err);
}
