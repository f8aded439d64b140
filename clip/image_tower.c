/* SPDX-License-Identifier: MIT
 *
 *     tokens = [class; patches of the picture] + position
 *     features = projection(norm(blocks(norm(tokens)) at the class))
 */
#include "clip/image_tower.h"

#include "core/nn/layers.h"

#include <string.h>

static const char what[] = "the image tower";

/* The names of a layout. */
static const struct names {
    const char *patch, *class_token, *position, *before, *blocks, *after, *projection;
} layout_names[] = {
    [IMAGE_TOWER_HF] =
        {
            .patch = "vision_model.embeddings.patch_embedding.weight",
            .class_token = "vision_model.embeddings.class_embedding",
            .position = "vision_model.embeddings.position_embedding.weight",
            .before = "vision_model.pre_layrnorm", /* so it is spelt there */
            .blocks = "vision_model.encoder.layers",
            .after = "vision_model.post_layernorm",
            .projection = "visual_projection.weight",
        },
    [IMAGE_TOWER_OPENAI] =
        {
            .patch = "visual.conv1.weight",
            .class_token = "visual.class_embedding",
            .position = "visual.positional_embedding",
            .before = "visual.ln_pre",
            .blocks = "visual.transformer.resblocks",
            .after = "visual.ln_post",
            .projection = "visual.proj",
        },
};

enum status image_tower_create(struct image_tower_config *config, const struct image_tower_shape *shape,
                               struct error *err)
{
    if (shape->patch < 1 || shape->patch > IMAGE_TOWER_MAX_PATCH || shape->size > IMAGE_TOWER_MAX_SIZE ||
        shape->size < shape->patch || shape->size % shape->patch)
        return fail(err, STATUS_ARGUMENT,
                    "patches of %d pixels do not divide pictures of %d; at most %d and %d are "
                    "allowed",
                    shape->patch, shape->size, IMAGE_TOWER_MAX_PATCH, IMAGE_TOWER_MAX_SIZE);
    *config = (struct image_tower_config){
        .layout = IMAGE_TOWER_HF,
        .size = shape->size,
        .patch = shape->patch,
        .width = shape->width,
        .projection = shape->projection,
        .blocks = {.prefix = layout_names[IMAGE_TOWER_HF].blocks},
    };
    return blocks_create(&config->blocks, shape->width, shape->layers, shape->heads, what, err);
}

bool image_tower_present(const struct checkpoint *checkpoint)
{
    return checkpoint_find(checkpoint, layout_names[IMAGE_TOWER_HF].patch) ||
           checkpoint_find(checkpoint, layout_names[IMAGE_TOWER_OPENAI].patch);
}

/* Width and patch are in the convolution that cuts the picture up; the picture's size follows from the number of
 * positions: one for each patch, and one for the class. */
static enum status detect_sizes(struct image_tower_config *config, const struct checkpoint *c,
                                const struct names *names, struct error *err)
{
    const struct tensor *patch = checkpoint_find(c, names->patch);
    if (patch->rank != 4 || patch->dim[0] < 1 || patch->dim[0] > BLOCKS_MAX_WIDTH || patch->dim[1] != 3 ||
        patch->dim[2] < 1 || patch->dim[2] > IMAGE_TOWER_MAX_PATCH || patch->dim[3] != patch->dim[2])
        return fail(err, STATUS_FORMAT,
                    "%s's '%s' has rank %d and %lld elements; [width, 3, patch, patch] with a width of at most %d and "
                    "a patch of at most %d is allowed",
                    what, names->patch, patch->rank, (long long)patch->count, BLOCKS_MAX_WIDTH, IMAGE_TOWER_MAX_PATCH);
    const int64_t most = (int64_t)IMAGE_TOWER_MAX_SIZE * IMAGE_TOWER_MAX_SIZE + 1;
    const struct tensor *position = blocks_find_matrix(c, names->position, most, BLOCKS_MAX_WIDTH, what, err);
    const struct tensor *projection =
        blocks_find_matrix(c, names->projection, BLOCKS_MAX_WIDTH, BLOCKS_MAX_WIDTH, what, err);
    if (!position || !projection) return err->status;
    config->width = (int)patch->dim[0];
    config->patch = (int)patch->dim[2];
    config->projection = (int)projection->dim[config->layout == IMAGE_TOWER_HF ? 0 : 1];
    int64_t grid = 1;
    while (grid * grid + 1 < position->dim[0]) grid++;
    if (grid * grid + 1 != position->dim[0] || grid * config->patch > IMAGE_TOWER_MAX_SIZE)
        return fail(err, STATUS_FORMAT,
                    "%s has %lld positions for patches of %d pixels; one for the class and n x n for a picture of at "
                    "most %d pixels a side are allowed",
                    what, (long long)position->dim[0], config->patch, IMAGE_TOWER_MAX_SIZE);
    config->size = (int)grid * config->patch;
    config->blocks = (struct blocks){.prefix = names->blocks, .joined = config->layout == IMAGE_TOWER_OPENAI};
    return blocks_detect(&config->blocks, c, what, err);
}

static int published_heads(int width)
{
    const bool openclip = width == 1280 || width == 1408 || width == 1664; /* ViT-H, g and G */
    return openclip ? 16 : width >= 64 ? width / 64 : 1;
}

enum status image_tower_detect(struct image_tower_config *config, const struct checkpoint *checkpoint,
                               struct error *err)
{
    static const struct blocks_json sources[] = {
        {"config.json", "vision_config", "num_attention_heads", "hidden_act"},
        {"limn.pack", "image", "heads", "activation"},
    };
    *config = (struct image_tower_config){0};
    if (checkpoint_find(checkpoint, "visual.layer1.0.conv1.weight"))
        return fail(err, STATUS_UNSUPPORTED, "%s is a ResNet; vision transformers are supported", what);
    if (!image_tower_present(checkpoint))
        return fail(err, STATUS_FORMAT, "there is no image tower here: neither '%s' nor '%s' is present",
                    layout_names[IMAGE_TOWER_HF].patch, layout_names[IMAGE_TOWER_OPENAI].patch);
    const bool hf = checkpoint_find(checkpoint, layout_names[IMAGE_TOWER_HF].patch);
    config->layout = hf ? IMAGE_TOWER_HF : IMAGE_TOWER_OPENAI;
    enum status status = detect_sizes(config, checkpoint, &layout_names[config->layout], err);
    config->blocks.heads = published_heads(config->width);
    config->blocks.activation = config->projection >= 1024 ? UNARY_GELU : UNARY_QUICK_GELU;
    for (size_t i = 0; status == STATUS_OK && i < sizeof sources / sizeof *sources; i++)
        status = blocks_read_json(&config->blocks, checkpoint, &sources[i], what, err);
    return status == STATUS_OK ? blocks_check_heads(&config->blocks, config->width, what, err) : status;
}

/* [B, 1 + grid * grid, width] */
static struct node *embed(struct graph *g, const struct image_tower_config *config, struct node *pictures)
{
    const struct names *names = &layout_names[config->layout];
    const int64_t width = config->width, patch = config->patch, grid = config->size / patch;
    const int64_t batch = shape_dim(pictures->shape, 0), count = grid * grid;
    struct node *w = graph_param(g, names->patch, PARAM_CONV, SHAPE(width, patch, patch, 3));
    struct node *x = graph_conv2d(g, pictures, w, NULL, (struct conv){.stride = config->patch});
    struct node *first = graph_param(g, names->class_token, PARAM_PLAIN, SHAPE(width));
    first = graph_broadcast(g, graph_reshape(g, first, SHAPE(1, 1, width)), SHAPE(batch, 1, width));
    x = graph_concat(g, first, graph_reshape(g, x, SHAPE(batch, count, width)), 1);
    struct node *position = graph_param(g, names->position, PARAM_PLAIN, SHAPE(count + 1, width));
    return graph_add(g, x, graph_reshape(g, position, SHAPE(1, count + 1, width)));
}

struct node *image_tower_build(struct graph *g, const struct image_tower_config *config, struct node *pictures)
{
    const struct names *names = &layout_names[config->layout];
    struct node *x = blocks_norm(g, embed(g, config, pictures), names->before);
    x = graph_slice(g, blocks_build(g, &config->blocks, x, config->blocks.layers), 1, 0, 1);
    x = graph_reshape(g, blocks_norm(g, x, names->after), SHAPE(shape_dim(pictures->shape, 0), config->width));
    return blocks_project(g, &config->blocks, x, config->projection, names->projection);
}
