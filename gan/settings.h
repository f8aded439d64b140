/* SPDX-License-Identifier: MIT
 *
 * What no shape tells of a network: strides, paddings, activations. For gan/detect.c.
 */
#ifndef GAN_SETTINGS_H
#define GAN_SETTINGS_H

#include "core/io/checkpoint.h"
#include "gan/gan_config.h"

/* Fills in what gan_find left open: from the usual layouts, the checkpoint's metadata and the JSON file beside it, the
 * later over the earlier. */
MUST_CHECK enum status gan_settings_read(struct gan_config *config, const struct checkpoint *checkpoint,
                                         const char *path, struct error *err);

/* True if the layers, of what gan_find found, stand as one of the usual layouts. */
bool gan_settings_usual(const struct gan_config *config);

#endif
