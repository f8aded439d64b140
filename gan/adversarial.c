/* SPDX-License-Identifier: MIT */
#include "gan/adversarial.h"

#include "core/nn/losses.h"
#include "core/tensor/gradient.h"

#include <stdio.h>

static const char *const loss_names[] = {
#define X(id, name) name,
    ADVERSARIAL_LOSS_MAP(X)
#undef X
};

const char *adversarial_loss_name(int i)
{
    return i >= 0 && i < (int)(sizeof loss_names / sizeof *loss_names) ? loss_names[i] : NULL;
}

void adversarial_mean(char name[ADVERSARIAL_NAME_BYTES], const struct gan_layer *layer)
{
    snprintf(name, ADVERSARIAL_NAME_BYTES, "mean of %s", layer->norm);
}

void adversarial_variance(char name[ADVERSARIAL_NAME_BYTES], const struct gan_layer *layer)
{
    snprintf(name, ADVERSARIAL_NAME_BYTES, "variance of %s", layer->norm);
}

/* ---- inputs and outputs ---- */

static struct shape picture_shape(const struct adversarial *a)
{
    return SHAPE(a->batch, a->generator->side, a->generator->side, a->generator->channels);
}

static struct node *latents(struct graph *g, const struct adversarial *a)
{
    return graph_input(g, "z", DTYPE_F32, SHAPE(a->batch, 1, 1, a->generator->latent));
}

static struct node *texts(struct graph *g, const struct adversarial *a, const char *name)
{
    const int width = a->generator->text_width;
    return width ? graph_input(g, name, DTYPE_F32, SHAPE(a->batch, width)) : NULL;
}

static struct node *blur(struct graph *g, const struct adversarial *a, struct node *pictures, const char *name)
{
    return a->noise ? graph_add(g, pictures, graph_input(g, name, DTYPE_F32, picture_shape(a))) : pictures;
}

static void put_statistics(struct graph *g, const struct gan_config *config, const struct gan_statistics *statistics)
{
    char name[ADVERSARIAL_NAME_BYTES];
    for (int i = 0; i < config->count; i++) {
        if (!config->layers[i].norm[0]) continue;
        adversarial_mean(name, &config->layers[i]);
        graph_output(g, name, statistics->layers[i].mean);
        adversarial_variance(name, &config->layers[i]);
        graph_output(g, name, statistics->layers[i].variance);
    }
}

/* True if the two networks can play. */
static bool check(struct graph *g, const struct adversarial *a)
{
    const struct gan_config *G = a->generator, *D = a->discriminator;
    if (G->side != D->side || G->channels != D->channels)
        graph_fail(g, STATUS_ARGUMENT, "the generator makes pictures of %dx%dx%d, and the discriminator takes %dx%dx%d",
                   G->side, G->side, G->channels, D->side, D->side, D->channels);
    else if (G->text_width != D->text_width)
        graph_fail(g, STATUS_ARGUMENT, "the generator's texts have %d values, and the discriminator's %d",
                   G->text_width, D->text_width);
    for (int i = 0; a->loss == ADVERSARIAL_WGAN_GP && i < D->count; i++)
        if (D->layers[i].norm[0])
            graph_fail(g, STATUS_ARGUMENT,
                       "the loss wgan-gp needs a discriminator without batch norm, and '%s' is one: its penalty is of "
                       "each picture by itself",
                       D->layers[i].norm);
    return g->error.status == STATUS_OK;
}

/* ---- losses ---- */

/* What the discriminator loses by its scores of pictures that are `real` or are not. */
static struct node *judge(struct graph *g, const struct adversarial *a, struct node *scores, bool real)
{
    switch (a->loss) {
    case ADVERSARIAL_BCE: return nn_binary_cross_entropy(g, scores, !real ? 0 : a->real > 0 ? a->real : 1);
    case ADVERSARIAL_HINGE: return nn_hinge(g, scores, real);
    default: return graph_scale(g, nn_mean(g, scores), real ? -1 : 1, 0);
    }
}

/* Over real pictures: mean of |slope of the score|^2. */
static struct node *squared_slope(struct graph *g, struct node *scores, struct node *pictures)
{
    struct node *slope = NULL;
    const float batch = (float)shape_dim(pictures->shape, 0);
    graph_grad(g, graph_scale(g, nn_mean(g, scores), batch, 0), &pictures, 1, &slope);
    const float per_picture = (float)(shape_count(pictures->shape) / shape_dim(pictures->shape, 0));
    return graph_scale(g, nn_mean(g, graph_mul(g, slope, slope)), per_picture, 0);
}

/* At points between made and real pictures. */
static struct node *penalty(struct graph *g, const struct adversarial *a, struct node *made, struct node *pictures,
                            struct node *text)
{
    struct node *mix = graph_input(g, "mix", DTYPE_F32, SHAPE(a->batch, 1, 1, 1));
    struct node *apart = graph_binary(g, BINARY_SUB, pictures, made);
    struct node *between = graph_add(g, made, graph_mul(g, apart, mix));
    struct node *scores = gan_build(g, a->discriminator, between, text, NULL);
    return graph_scale(g, nn_gradient_penalty(g, scores, between), a->penalty, 0);
}

struct node *adversarial_discriminator(struct graph *g, const struct adversarial *a)
{
    struct gan_statistics made_statistics = {0}, real_statistics = {0}, ignored = {0};
    if (!check(g, a)) return &g->nil;
    struct node *z = latents(g, a), *text = texts(g, a, "text");
    struct node *pictures = blur(g, a, graph_input(g, "pictures", DTYPE_F32, picture_shape(a)), "noise");
    struct node *made = blur(g, a, gan_build(g, a->generator, z, text, &made_statistics), "made noise");
    struct node *real_scores = gan_build(g, a->discriminator, pictures, text, &real_statistics);
    struct node *made_loss = judge(g, a, gan_build(g, a->discriminator, made, text, &ignored), false);
    if (a->mismatch && text) {
        struct node *scores = gan_build(g, a->discriminator, pictures, texts(g, a, "wrong"), &ignored);
        made_loss = graph_scale(g, graph_add(g, made_loss, judge(g, a, scores, false)), 0.5f, 0);
    }
    struct node *loss = graph_add(g, judge(g, a, real_scores, true), made_loss);
    if (a->loss == ADVERSARIAL_WGAN_GP) loss = graph_add(g, loss, penalty(g, a, made, pictures, text));
    if (a->r1 > 0) loss = graph_add(g, loss, graph_scale(g, squared_slope(g, real_scores, pictures), a->r1 / 2, 0));
    put_statistics(g, a->discriminator, &real_statistics);
    graph_output(g, "loss", loss);
    return loss;
}

struct node *adversarial_generator(struct graph *g, const struct adversarial *a)
{
    struct gan_statistics statistics = {0}, ignored = {0};
    if (!check(g, a)) return &g->nil;
    struct node *z = latents(g, a), *text = texts(g, a, "text");
    struct node *made = blur(g, a, gan_build(g, a->generator, z, text, &statistics), "noise");
    struct node *scores = gan_build(g, a->discriminator, made, text, &ignored);
    struct node *loss =
        a->loss == ADVERSARIAL_BCE ? nn_binary_cross_entropy(g, scores, 1) : graph_scale(g, nn_mean(g, scores), -1, 0);
    put_statistics(g, a->generator, &statistics);
    graph_output(g, "loss", loss);
    return loss;
}
