/* SPDX-License-Identifier: MIT
 *
 * What editing and varying do to pictures before and after the model: bring them to a size, to RGB, to a mask, to
 * floats and back. Each makes a new picture, the caller's, and leaves the old one as it was.
 *
 *     image_to_rgb(&rgb, &photo, &err);
 *     image_resize(&small, &rgb, 512, 512, IMAGE_LANCZOS, &err);
 */
#ifndef IO_IMAGE_OPS_H
#define IO_IMAGE_OPS_H

#include "core/io/image.h"

enum image_filter { IMAGE_BILINEAR, IMAGE_BICUBIC, IMAGE_LANCZOS };

/* As PIL's Image.resize, to the bit: the filter widens when the picture shrinks. For 1 or 3 channels (image_to_rgb and
 * image_to_mask give them). */
MUST_CHECK enum status image_resize(struct image *out, const struct image *in, int width, int height,
                                    enum image_filter filter, struct error *err);

/* Three channels; what is transparent is laid on white. */
MUST_CHECK enum status image_to_rgb(struct image *out, const struct image *in, struct error *err);

/* One channel, 255 = repaint, 0 = leave alone: the pixel's grey level (ITU-R 601 luma) times its alpha. So white or
 * opaque grey is repainted, and what is black or transparent is left alone. */
MUST_CHECK enum status image_to_mask(struct image *out, const struct image *in, struct error *err);

/* Gaussian blur with this standard deviation in pixels (0 to 256); pixels outside repeat the edge. */
MUST_CHECK enum status image_blur(struct image *out, const struct image *in, float sigma, struct error *err);

/* `top` (RGB) over `base` where `mask` (one channel) says so, all of one size. Where the mask is 0, pixels are those of
 * `base` bit for bit. RGB, or RGBA if `base` has alpha. */
MUST_CHECK enum status image_composite(struct image *out, const struct image *base, const struct image *top,
                                       const struct image *mask, struct error *err);

/* Any picture to floats in [-1, 1], [height, width, channels]; and such floats of RGB back: rounded, what lies outside
 * is clamped. */
void image_to_floats(float *out, const struct image *in);
MUST_CHECK enum status image_from_floats(struct image *out, const float *in, int width, int height, struct error *err);

#endif
