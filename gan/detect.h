/* SPDX-License-Identifier: MIT
 *
 * GANs in files: the networks from names and shapes of tensors, under any names. PyTorch's DCGAN example and its many
 * copies are read as they are.
 *
 *     gan_config_detect(&generator, GAN_GENERATOR, checkpoint, "mnist.pth", &err);
 *
 * Shapes tell operations, channels, kernels and norms, but no strides, paddings and activations. They are known for the
 * usual layouts (gan/settings.c); others need them in a JSON file beside the checkpoint ("mnist.json" for "mnist.pth"),
 * a value for each layer in turn or one for all:
 *
 *     {"stride": [1, 2, 2], "padding": [0, 1, 1], "activation": "relu", "output": "tanh"}
 *
 * Keys: operation, stride, padding, output_padding, upsample, eps, activation, slope, output (the last layer's
 * activation), size (side of a discriminator's pictures). For both networks of a file, they stand in objects
 * "generator" and "discriminator". limn's own files hold the same in their metadata `limn.gan`, and then nothing is
 * looked for beside them. A JSON file without any of these keys is somebody else's.
 */
#ifndef GAN_DETECT_H
#define GAN_DETECT_H

#include "core/io/checkpoint.h"
#include "gan/gan_config.h"

/* Operations, names, channels, kernels and norms alone; what no shape tells is left at 0. False: the checkpoint holds
 * no such network. */
bool gan_find(struct gan_config *config, enum gan_role role, const struct checkpoint *checkpoint);

/* For a file in which gan_find finds nothing: what keeps it from being a GAN, if it looks like one otherwise, as in
 * "main.3.weight is missing". */
bool gan_fault(const struct checkpoint *checkpoint, char *text, size_t size);

/* path: of the checkpoint, for sentences and for the JSON file beside it. */
MUST_CHECK enum status gan_config_detect(struct gan_config *config, enum gan_role role,
                                         const struct checkpoint *checkpoint, const char *path, struct error *err);

/* What `limn.gan` holds, in a block that the caller frees with memory_free. discriminator: NULL if there is none. */
MUST_CHECK enum status gan_config_text(char **out, const struct gan_config *generator,
                                       const struct gan_config *discriminator, struct error *err);

#endif
