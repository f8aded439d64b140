/* SPDX-License-Identifier: MIT
 *
 * Reading a U-Net's plan off its tensors. The numbers come from a file, so each is bounded before it is used; whether
 * the tensors really fit together is found when they are bound to the graph.
 */
#include "diffusion/detect.h"
#include "diffusion/folder_config.h"

#include <stdio.h>

#define UNET "model.diffusion_model."

/* Transformer blocks in a row after `prefix`. */
static int count_depth(const struct checkpoint *checkpoint, const char *prefix)
{
    int depth = 0;
    while (depth <= UNET_MAX_DEPTH &&
           detect_find(checkpoint, "%s.transformer_blocks.%d.norm1.weight", prefix, depth) != NULL)
        depth++;
    return depth;
}

/* Residual blocks at input_blocks.*n and after, all of one level. */
static enum status read_level(struct unet_config *c, const struct checkpoint *checkpoint, int *n, struct error *err)
{
    const int level = c->levels;
    int blocks = 0;
    char name[128];
    for (; detect_find(checkpoint, UNET "input_blocks.%d.0.in_layers.2.weight", *n) != NULL; (*n)++, blocks++) {
        int width = 0;
        const enum status status = detect_dimension(checkpoint, (struct dimension){"the U-Net", 4, 0, &width}, err,
                                                    UNET "input_blocks.%d.0.in_layers.2.weight", *n);
        if (status != STATUS_OK) return status;
        snprintf(name, sizeof name, UNET "input_blocks.%d.1", *n);
        const int depth = count_depth(checkpoint, name);
        if (blocks > 0 && (width != c->width[level] || depth != c->depth[level]))
            return fail(err, STATUS_UNSUPPORTED,
                        "the U-Net's level %d has blocks of different kinds: %d channels with %d transformer blocks, "
                        "then %d with %d",
                        level, c->width[level], c->depth[level], width, depth);
        if (blocks == UNET_MAX_BLOCKS || depth > UNET_MAX_DEPTH)
            return fail(err, STATUS_UNSUPPORTED,
                        "the U-Net's level %d has more than %d residual or %d transformer blocks", level,
                        UNET_MAX_BLOCKS, UNET_MAX_DEPTH);
        c->width[level] = width;
        c->depth[level] = depth;
    }
    if (blocks == 0 || (level > 0 && blocks != c->blocks))
        return fail(err, STATUS_UNSUPPORTED, "the U-Net's level %d has %d residual blocks and the levels before it %d",
                    level, blocks, c->blocks);
    c->blocks = blocks;
    c->levels++;
    return STATUS_OK;
}

static enum status read_levels(struct unet_config *c, const struct checkpoint *checkpoint, struct error *err)
{
    for (int n = 1;; n++) {
        const enum status status = read_level(c, checkpoint, &n, err);
        if (status != STATUS_OK) return status;
        if (detect_find(checkpoint, UNET "input_blocks.%d.0.op.weight", n) == NULL) return STATUS_OK;
        if (c->levels == UNET_MAX_LEVELS)
            return fail(err, STATUS_UNSUPPORTED, "the U-Net has more than %d levels", UNET_MAX_LEVELS);
    }
}

/* Width of the text: that of any key projection of a cross-attention. */
static enum status read_context(struct unet_config *c, const struct checkpoint *checkpoint, struct error *err)
{
    c->middle_depth = count_depth(checkpoint, UNET "middle_block.1");
    if (c->middle_depth < 1 || c->middle_depth > UNET_MAX_DEPTH)
        return fail(err, STATUS_UNSUPPORTED, "the U-Net has %d transformer blocks in its middle; 1 to %d are allowed",
                    c->middle_depth, UNET_MAX_DEPTH);
    return detect_dimension(checkpoint, (struct dimension){"the U-Net", 2, 1, &c->context_width}, err,
                            UNET "middle_block.1.transformer_blocks.0.attn2.to_k.weight");
}

/* A label that is as wide as the text states is the text's own pooled state. Other labels carry what limn does not
 * make: sizes and a second tower's state in SDXL, a picture in unCLIP, a noise level in upscalers. */
static enum status read_pooled(struct unet_config *c, const struct checkpoint *checkpoint, struct error *err)
{
    const bool wide = detect_find(checkpoint, UNET "label_emb.0.0.weight") != NULL;
    enum status status = STATUS_OK;
    if (wide)
        status = detect_dimension(checkpoint, (struct dimension){"the U-Net", 2, 1, &c->pooled_width}, err,
                                  UNET "label_emb.0.0.weight");
    if (status != STATUS_OK) return status;
    if (detect_find(checkpoint, UNET "label_emb.weight") != NULL || (wide && c->pooled_width != c->context_width))
        return fail(err, STATUS_UNSUPPORTED,
                    "this U-Net is conditioned on more than text and time (SDXL, unCLIP, upscalers); SD 1.x and 2.x "
                    "are supported");
    return STATUS_OK;
}

bool unet_present(const struct checkpoint *checkpoint)
{
    return detect_find(checkpoint, UNET "input_blocks.0.0.weight") != NULL;
}

enum status unet_config_detect(struct unet_config *config, const struct checkpoint *checkpoint, struct error *err)
{
    struct unet_config c = {.groups = 32};
    *config = c;
    const struct {
        const char *name;
        struct dimension wanted;
    } plain[] = {
        {"input_blocks.0.0.weight", {"the U-Net", 4, 0, &c.model_channels}},
        {"input_blocks.0.0.weight", {"the U-Net", 4, 1, &c.in_channels}},
        {"time_embed.0.weight", {"the U-Net", 2, 0, &c.time_width}},
        {"out.2.weight", {"the U-Net", 4, 0, &c.out_channels}},
    };
    enum status status = STATUS_OK;
    for (size_t i = 0; i < sizeof plain / sizeof *plain && status == STATUS_OK; i++)
        status = detect_dimension(checkpoint, plain[i].wanted, err, UNET "%s", plain[i].name);
    if (status == STATUS_OK) status = read_levels(&c, checkpoint, err);
    if (status == STATUS_OK) status = read_context(&c, checkpoint, err);
    if (status == STATUS_OK) status = read_pooled(&c, checkpoint, err);
    if (status != STATUS_OK) return status;
    const struct tensor *projection = detect_find(checkpoint, UNET "middle_block.1.proj_in.weight");
    if (projection != NULL && projection->rank == 2)
        c.head_size = 64;
    else
        c.heads = 8;
    status = folder_config_unet(&c, checkpoint, err);
    if (status == STATUS_OK) *config = c;
    return status;
}
