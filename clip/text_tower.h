/* SPDX-License-Identifier: MIT
 *
 * The text half of CLIP (Radford et al. 2021, arXiv 2103.00020), whose states condition a denoiser: OpenAI's ViT-L/14
 * as SD 1.x has it, OpenCLIP's ViT-H as SD 2.x has it, and towers of other sizes in either layout.
 *
 *     text_config_detect(&config, checkpoint, &err);
 *     struct node *states = text_tower_build(&graph, &config, ids, 0);
 *
 *     ids     I32 [B, config.length]
 *     states  [B, config.length, config.width]      after the final layer norm
 *
 * In a CLIP pair (clip/clip_pair.h) the states at a text's end become its features.
 */
#ifndef CLIP_TEXT_TOWER_H
#define CLIP_TEXT_TOWER_H

#include "clip/blocks.h"

enum { TEXT_MAX_LENGTH = 4096, TEXT_MAX_VOCABULARY = 1 << 20 };

/* Where a checkpoint keeps the tower: Hugging Face's names under cond_stage_model.transformer.text_model, or OpenCLIP's
 * under cond_stage_model.model, with q, k and v in one tensor. Diffusers folders have the first after clip_rename. */
enum text_layout { TEXT_LAYOUT_HF, TEXT_LAYOUT_OPENCLIP };

struct text_config {
    enum text_layout layout;
    int vocabulary, length, width;
    int projection; /* width of a pair's features; 0 if the checkpoint holds no projection */
    /* Heads and activation are in no tensor. They come from text_encoder/config.json, from text_config in a pair's
     * config.json or from the pack's own metadata, else they are heads of 64 and, as published, GELU for OpenCLIP's
     * towers and quick-GELU for others. A caller who knows better writes over them. */
    struct blocks blocks;
    bool penultimate; /* the last layer is there, but the model was trained on the states before it */
    int missing;      /* layers cut off at the end before it was saved: 1 in diffusers' folders of SD 2.x, else 0 */
    bool pad_zero;    /* SD 2.x: a prompt is padded with id 0; else with the end token */
};

/* A tower that is to be trained, in Hugging Face's layout: the numbers are the caller's; an MLP is four widths wide. */
struct text_shape {
    int vocabulary, length, width, layers, heads;
    int projection; /* 0: none */
};
MUST_CHECK enum status text_config_create(struct text_config *config, const struct text_shape *shape,
                                          struct error *err);

bool text_present(const struct checkpoint *checkpoint);
MUST_CHECK enum status text_config_detect(struct text_config *config, const struct checkpoint *checkpoint,
                                          struct error *err);

/* The layers that a clip skip leaves, counted in the tower as published: 1 is all of them, 2 leaves out the last one,
 * and so on; 0 is what the model was trained with, 1 for SD 1.x and 2 for SD 2.x. Returns 0 if there is no such layer
 * here. */
int text_tower_layers(const struct text_config *config, int clip_skip);

/* Only the layers that are needed are built. The final norm follows whichever is the last (as in the web UI, and in
 * diffusers). A clip skip without a layer sticks in the graph as STATUS_ARGUMENT. */
struct node *text_tower_build(struct graph *g, const struct text_config *config, struct node *ids, int clip_skip);

/* A pair's features: ends is I32 [B, 1], rows of the states taken as [B * length, width]; -> [B, projection]. */
struct node *text_tower_features(struct graph *g, const struct text_config *config, struct node *states,
                                 struct node *ends);

/* For checkpoint_rename: names of diffusers folders ("text_encoder/text_model.") and of files that leave "text_model."
 * or its prefix out, to SD 1.x's own. */
bool text_rename(const char *old, char out[CHECKPOINT_NAME_BYTES]);

#endif
