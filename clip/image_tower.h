/* SPDX-License-Identifier: MIT
 *
 * The image half of CLIP (Radford et al. 2021, arXiv 2103.00020): a vision transformer (Dosovitskiy et al. 2020, arXiv
 * 2010.11929) as OpenAI's ViT-B/32 and ViT-L/14 have it, OpenCLIP's larger ones, and others of that build.
 *
 *     image_tower_detect(&config, checkpoint, &err);
 *     struct node *features = image_tower_build(&graph, &config, pictures);
 *
 *     pictures  [B, config.size, config.size, 3]     normalised (clip/image_preprocess.h)
 *     features  [B, config.projection]               where texts have theirs; of any length (clip/contrastive.h)
 */
#ifndef CLIP_IMAGE_TOWER_H
#define CLIP_IMAGE_TOWER_H

#include "clip/blocks.h"

enum { IMAGE_TOWER_MAX_PATCH = 256, IMAGE_TOWER_MAX_SIZE = 2048 };

/* Hugging Face's names, vision_model.… and visual_projection; or OpenAI's and OpenCLIP's, visual.…. */
enum image_tower_layout { IMAGE_TOWER_HF, IMAGE_TOWER_OPENAI };

struct image_tower_config {
    enum image_tower_layout layout;
    int size;  /* pixels of a picture's side */
    int patch; /* of a patch's: size is a multiple */
    int width, projection;
    /* Heads and activation are in no tensor. They come from vision_config in config.json or from the pack's own
     * metadata ("limn.pack", in its member "image": heads, activation), else they are as published: heads of 64, but 16
     * heads in OpenCLIP's ViT-H, g and G; quick-GELU where features are narrower than 1024. A caller who knows better
     * writes over them. */
    struct blocks blocks;
};

/* A tower that is to be trained, in Hugging Face's layout: the numbers are the caller's; an MLP is four widths wide. */
struct image_tower_shape {
    int size, patch, width, layers, heads, projection;
};
MUST_CHECK enum status image_tower_create(struct image_tower_config *config, const struct image_tower_shape *shape,
                                          struct error *err);

bool image_tower_present(const struct checkpoint *checkpoint);
MUST_CHECK enum status image_tower_detect(struct image_tower_config *config, const struct checkpoint *checkpoint,
                                          struct error *err);
struct node *image_tower_build(struct graph *g, const struct image_tower_config *config, struct node *pictures);

#endif
