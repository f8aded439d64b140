/* SPDX-License-Identifier: MIT
 *
 * What a DCGAN's two networks look like (Radford et al. 2015, arXiv 1511.06434): a list of layers, each a product, a
 * batch norm or none, and an activation. One description serves published checkpoints, whose layers have any names, and
 * networks that limn makes itself.
 *
 *     gan_config_init(&generator, &(struct gan_plan){.role = GAN_GENERATOR, .side = 28, .channels = 1, .latent = 100,
 *                                                    .width = 64}, &err);
 *     gan_config_detect(&generator, GAN_GENERATOR, checkpoint, "mnist.pth", &err);          gan/detect.h
 *
 * A conditional generator follows Reed et al. 2016 (arXiv 1605.05396): the text's embedding is brought to a few
 * features by a linear layer with a leaky ReLU, and joins the latent vector behind its last value. A conditional
 * discriminator follows Miyato and Koyama 2018 (arXiv 1802.05637): to the score of the picture is added the inner
 * product of the text, brought to the last features' width by a linear layer, with those features, here averaged over
 * the picture and divided by the root of the text's width.
 */
#ifndef GAN_CONFIG_H
#define GAN_CONFIG_H

#include "core/base/status.h"
#include "core/tensor/graph.h"

enum {
    GAN_MAX_LAYERS = 24,
    GAN_NAME_BYTES = 128,
    GAN_MAX_SIDE = 1024,
    GAN_MAX_LATENT = 65536,
    GAN_TEXT_FEATURES = 128
};

enum gan_role { GAN_GENERATOR, GAN_DISCRIMINATOR };
enum gan_operation { GAN_CONV_TRANSPOSE, GAN_CONV, GAN_LINEAR };

struct gan_layer {
    enum gan_operation operation;
    char name[GAN_NAME_BYTES]; /* of its tensors, without ".weight" */
    char norm[GAN_NAME_BYTES]; /* of the batch norm behind it; "": none */
    bool bias;
    int64_t in, out;     /* channels; of a linear layer all features, a picture's being ordered [C, H, W] */
    int64_t norm_width;  /* of the batch norm; 0: none. Behind a linear layer: `out` of them, or one a channel */
    int side;            /* linear: what it makes is a picture of this side; 0: a vector */
    int kernel;          /* of a linear layer 1 */
    int stride, padding; /* of a linear layer 1 and 0 */
    int output_padding;  /* of a transposed convolution; below the stride */
    int upsample;        /* before the layer, nearest neighbour; 1: not at all */
    float eps;           /* of the batch norm */
    enum unary activation;
    float slope; /* of a leaky ReLU */
};

struct gan_config {
    enum gan_role role;
    struct gan_layer layers[GAN_MAX_LAYERS];
    int count;
    int side, channels;        /* of the pictures */
    int latent;                /* generator: length of z */
    int text_width;            /* of the text's embedding; 0: unconditional */
    int text_features;         /* what it is brought to: generator, beside z; discriminator, the last features' width */
    char text[GAN_NAME_BYTES]; /* of that linear layer's tensors */
};

/* A network of limn's own. */
struct gan_plan {
    enum gan_role role;
    int side;       /* 4 or 7 times a power of two from 8 to 256, such as 28, 32, 64, 128 */
    int channels;   /* 1 or 3 */
    int latent;     /* length of z; generator only */
    int width;      /* channels of the layer nearest to the pictures; each layer away from them has twice as many */
    int text_width; /* 0: unconditional */
};

/* The paper's networks: 4x4 kernels, strides of 2, batch norm but next to the pictures and at the score, no biases
 * where a norm follows or at either end. Tensors are named as torch.nn.Sequential would in a module `generator` or
 * `discriminator`. */
MUST_CHECK enum status gan_config_init(struct gan_config *config, const struct gan_plan *plan, struct error *err);

/* Follows the sides of the pictures through the layers: sets `side` of a generator, and checks that of a discriminator.
 * The sentence begins with `name`. */
MUST_CHECK enum status gan_config_measure(struct gan_config *config, const char *name, struct error *err);

/* Side behind a layer, 0 if nothing is left. */
int64_t gan_layer_side(const struct gan_layer *layer, int64_t side);

#endif
