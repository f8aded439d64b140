/* SPDX-License-Identifier: MIT */
#include "pipeline/gan_model.h"

#include "core/base/memory.h"
#include "gan/detect.h"
#include "gan/network.h"

struct node *gan_picture(struct graph *g, const struct gan_config *generator, struct node *z, struct node *text)
{
    const struct gan_layer *last = &generator->layers[generator->count - 1];
    struct node *picture = gan_build(g, generator, z, text, NULL);
    if (last->activation == UNARY_SIGMOID) picture = graph_scale(g, picture, 2, -1);
    if (generator->channels != 1) return picture;
    return graph_broadcast(g, picture, SHAPE(shape_dim(picture->shape, 0), generator->side, generator->side, 3));
}

enum status gan_stage_open(struct stage *stage, struct limn_model *model, struct error *err)
{
    const struct gan_config *generator = &model->gan->generator;
    struct graph *g = &stage->graph;
    struct node *z = graph_input(g, "z", DTYPE_F32, SHAPE(1, 1, 1, generator->latent)), *text = NULL;
    if (generator->text_width) text = graph_input(g, "text", DTYPE_F32, SHAPE(1, generator->text_width));
    graph_output(g, "picture", gan_picture(g, generator, z, text));
    return stage_open(stage, model, model->checkpoint, err);
}

/* The empty prompt's states are asked for: with them the tower's weights come. */
static enum status open_text(struct limn_model *model, struct error *err)
{
    const struct text_source source = {
        .backend = model->backend, .params = model->params, .checkpoint = model->checkpoint};
    struct text_states states = {0};
    enum status status = text_encoder_create(&model->text, &source, err);
    if (status != STATUS_OK) return status;
    const int width = text_encoder_config(model->text)->width;
    if (width != model->gan->generator.text_width)
        return fail(err, STATUS_FORMAT, "%s: the text encoder's states have %d channels, and the generator wants %d",
                    model->path, width, model->gan->generator.text_width);
    status = text_encoder_encode(model->text, "", &(struct text_request){0}, &states, err);
    text_states_clear(&states);
    return status;
}

void gan_model_close(struct gan_model *gan)
{
    if (gan) memory_free(gan->found.target);
    memory_free(gan);
}

enum status gan_model_open(struct limn_model *model, struct error *err)
{
    struct gan_model *gan = model->gan = memory_alloc(sizeof *gan);
    struct stage stage = {0};
    if (!gan) return fail_no_memory(err, "a GAN", sizeof *gan);
    gan->paints = model->recognised.generator;
    if (model->recognised.discriminator) {
        struct error *why = gan->paints ? &gan->unclear : err; /* who only paints need not describe it */
        const enum status found =
            gan_config_detect(&gan->discriminator, GAN_DISCRIMINATOR, model->checkpoint, model->path, why);
        gan->judges = found == STATUS_OK;
        if (!gan->paints) return found;
        if (found == STATUS_NO_MEMORY) return fail(err, found, "%s", why->text);
    }
    enum status status = gan_config_detect(&gan->generator, GAN_GENERATOR, model->checkpoint, model->path, err);
    if (status == STATUS_OK && gan->generator.text_width) status = open_text(model, err);
    if (status == STATUS_OK) status = gan_stage_open(&stage, model, err);
    stage_close(&stage);
    return status;
}
