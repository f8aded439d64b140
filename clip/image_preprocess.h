/* SPDX-License-Identifier: MIT
 *
 * A picture as CLIP's image tower takes it, as Hugging Face's CLIPImageProcessor makes it: RGB, the shorter side
 * resized to the tower's (bicubic, as Pillow does it), the square in the middle, and the colours' usual mean and
 * deviation taken out.
 *
 *     struct image_preprocess how = image_preprocess_default(224);
 *     image_preprocess_read(&how, checkpoint, &err);
 *     image_preprocess(pixels, &photo, &how, &err);           pixels [224, 224, 3]
 *
 * Floats are the same to the bit. Transparency is dropped as it is there: who wants a picture on white lays it there
 * first (image_to_rgb).
 */
#ifndef CLIP_IMAGE_PREPROCESS_H
#define CLIP_IMAGE_PREPROCESS_H

#include "core/io/checkpoint.h"
#include "core/io/image.h"

struct image_preprocess {
    int size; /* pixels a side */
    float mean[3], deviation[3];
};

/* With the mean and deviation that OpenAI's models were trained with. */
struct image_preprocess image_preprocess_default(int size);

/* Takes mean and deviation from preprocessor_config.json or the pack's own metadata ("limn.pack", in its member
 * "image"), if they are there: image_mean and image_std, three numbers each. */
MUST_CHECK enum status image_preprocess_read(struct image_preprocess *how, const struct checkpoint *checkpoint,
                                             struct error *err);

/* out: size * size * 3 floats. STATUS_ARGUMENT for a picture so oblong that its longer side would be made longer than
 * IMAGE_MAX_SIDE. */
MUST_CHECK enum status image_preprocess(float *out, const struct image *picture, const struct image_preprocess *how,
                                        struct error *err);

#endif
