/* SPDX-License-Identifier: MIT
 *
 * Blocks are numbered as in the checkpoint, whose names come from CompVis' openaimodel.py. With two residual blocks a
 * level and three levels:
 *
 *     input_blocks   0: conv   1 2: level 0   3: down   4 5: level 1   6: down   7 8: level 2
 *     middle_block   0: residual   1: transformer   2: residual
 *     output_blocks  0 1 2: level 2, up in 2   3 4 5: level 1, up in 5   6 7 8: level 0
 *
 * Each output block also reads the result of one input block, the last made first.
 */
#include "diffusion/unet.h"

#include "core/nn/layers.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

#define UNET "model.diffusion_model."

enum { NAME_BYTES = 96, MOST_SKIPS = UNET_MAX_LEVELS * (UNET_MAX_BLOCKS + 1) };

static const float residual_eps = 1e-5f, transformer_eps = 1e-6f, layer_eps = 1e-5f;

struct builder {
    struct graph *g;
    const struct unet_config *config;
    struct node *embedding; /* SiLU of the time embedding, read by every residual block */
    struct node *context;
    struct node *skips[MOST_SKIPS];
    int skip_count;
};

static struct norm norm_of(const struct builder *b, float eps)
{
    return (struct norm){.groups = b->config->groups, .eps = eps};
}

/* conv(silu(norm(x))), the half of a residual block. */
static struct node *half_block(const struct builder *b, struct node *x, int width, const char *name, const char *norm,
                               const char *conv)
{
    struct node *h = nn_group_norm(b->g, x, norm_of(b, residual_eps), "%s.%s", name, norm);
    h = graph_unary(b->g, h, UNARY_SILU);
    return nn_conv2d(b->g, h, width, 3, (struct conv){.stride = 1, .pad = PAD(1)}, "%s.%s", name, conv);
}

static struct node *residual_block(const struct builder *b, struct node *x, int width, const char *name)
{
    struct graph *g = b->g;
    struct node *time = nn_linear(g, b->embedding, width, "%s.emb_layers.1", name);
    time = graph_reshape(g, time, SHAPE(time->shape.dim[0], 1, 1, width));
    struct node *h = graph_add(g, half_block(b, x, width, name, "in_layers.0", "in_layers.2"), time);
    h = half_block(b, h, width, name, "out_layers.0", "out_layers.3");
    if (x->shape.dim[3] != width) x = nn_conv2d(g, x, width, 1, (struct conv){.stride = 1}, "%s.skip_connection", name);
    return graph_add(g, h, x);
}

/* Queries from x, keys and values from `source`, which is x itself or the text. */
static struct node *attention(const struct builder *b, struct node *x, struct node *source, const char *block,
                              const char *name)
{
    struct graph *g = b->g;
    const int64_t width = x->shape.dim[2];
    const int size = b->config->head_size;
    struct node *q = nn_linear_no_bias(g, x, width, "%s.%s.to_q", block, name);
    struct node *k = nn_linear_no_bias(g, source, width, "%s.%s.to_k", block, name);
    struct node *v = nn_linear_no_bias(g, source, width, "%s.%s.to_v", block, name);
    const int heads = size > 0 ? (int)(width / size) : b->config->heads;
    x = graph_attention(g, q, k, v, (struct attention){.heads = heads});
    return nn_linear(g, x, width, "%s.%s.to_out.0", block, name);
}

static struct node *transformer_block(const struct builder *b, struct node *x, const char *name)
{
    struct graph *g = b->g;
    const int64_t width = x->shape.dim[2];
    struct node *h = nn_layer_norm(g, x, layer_eps, "%s.norm1", name);
    x = graph_add(g, attention(b, h, h, name, "attn1"), x);
    h = nn_layer_norm(g, x, layer_eps, "%s.norm2", name);
    x = graph_add(g, attention(b, h, b->context, name, "attn2"), x);
    h = nn_layer_norm(g, x, layer_eps, "%s.norm3", name);
    h = graph_geglu(g, nn_linear(g, h, 8 * width, "%s.ff.net.0.proj", name));
    return graph_add(g, nn_linear(g, h, width, "%s.ff.net.2", name), x);
}

/* Pixels become tokens. A 1x1 convolution is a linear layer on them, so proj_in is one thing here, whichever of the
 * two shapes a checkpoint has. */
static struct node *transformer(const struct builder *b, struct node *x, int depth, const char *name)
{
    struct graph *g = b->g;
    const struct shape s = x->shape;
    struct node *pixels = graph_reshape(g, x, SHAPE(s.dim[0], s.dim[1] * s.dim[2], s.dim[3]));
    struct node *h = nn_group_norm(g, pixels, norm_of(b, transformer_eps), "%s.norm", name);
    h = nn_linear(g, h, s.dim[3], "%s.proj_in", name);
    for (int i = 0; i < depth; i++) {
        char part[NAME_BYTES + 32];
        snprintf(part, sizeof part, "%s.transformer_blocks.%d", name, i);
        h = transformer_block(b, h, part);
    }
    h = graph_add(g, nn_linear(g, h, s.dim[3], "%s.proj_out", name), pixels);
    return graph_reshape(g, h, s);
}

static struct node *push(struct builder *b, struct node *x)
{
    assert(b->skip_count < MOST_SKIPS);
    return b->skips[b->skip_count++] = x;
}

static struct node *down(struct builder *b, struct node *x)
{
    const struct unet_config *c = b->config;
    char name[NAME_BYTES];
    int n = 0;
    x = push(b, nn_conv2d(b->g, x, c->model_channels, 3, (struct conv){.stride = 1, .pad = PAD(1)},
                          UNET "input_blocks.%d.0", n++));
    for (int level = 0; level < c->levels; level++) {
        for (int i = 0; i < c->blocks; i++, n++) {
            snprintf(name, sizeof name, UNET "input_blocks.%d.0", n);
            x = residual_block(b, x, c->width[level], name);
            snprintf(name, sizeof name, UNET "input_blocks.%d.1", n);
            if (c->depth[level] > 0) x = transformer(b, x, c->depth[level], name);
            push(b, x);
        }
        if (level + 1 == c->levels) break;
        x = push(b, nn_conv2d(b->g, x, c->width[level], 3, (struct conv){.stride = 2, .pad = PAD(1)},
                              UNET "input_blocks.%d.0.op", n++));
    }
    return x;
}

static struct node *middle(const struct builder *b, struct node *x)
{
    const struct unet_config *c = b->config;
    const int width = c->width[c->levels - 1];
    x = residual_block(b, x, width, UNET "middle_block.0");
    if (c->middle_depth > 0) x = transformer(b, x, c->middle_depth, UNET "middle_block.1");
    return residual_block(b, x, width, UNET "middle_block.2");
}

/* Twice the size, or one less where halving on the way down had rounded up: then the last row or column of the
 * doubled picture is dropped, which is what nearest-neighbour interpolation to the odd size gives. */
static struct node *double_size(const struct builder *b, struct node *x, int width, int block, int part)
{
    struct graph *g = b->g;
    const struct shape want = b->skips[b->skip_count - 1]->shape;
    x = graph_upsample(g, x, 2);
    for (int axis = 1; axis <= 2; axis++)
        if (x->shape.dim[axis] > want.dim[axis]) x = graph_slice(g, x, axis, 0, want.dim[axis]);
    return nn_conv2d(g, x, width, 3, (struct conv){.stride = 1, .pad = PAD(1)}, UNET "output_blocks.%d.%d.conv", block,
                     part);
}

static struct node *up(struct builder *b, struct node *x)
{
    const struct unet_config *c = b->config;
    char name[NAME_BYTES];
    int n = 0;
    for (int level = c->levels - 1; level >= 0; level--) {
        for (int i = 0; i <= c->blocks; i++, n++) {
            int part = 0;
            snprintf(name, sizeof name, UNET "output_blocks.%d.%d", n, part++);
            x = graph_concat(b->g, x, b->skips[--b->skip_count], 3);
            x = residual_block(b, x, c->width[level], name);
            snprintf(name, sizeof name, UNET "output_blocks.%d.%d", n, part);
            if (c->depth[level] > 0) {
                x = transformer(b, x, c->depth[level], name);
                part++;
            }
            if (i == c->blocks && level > 0) x = double_size(b, x, c->width[level], n, part);
        }
    }
    assert(b->skip_count == 0);
    return x;
}

/* Time and, where the model knows it, the text as one vector (label_emb, as in SDXL: Podell et al. 2023, arXiv
 * 2307.01952), summed. */
static struct node *embed(struct graph *g, const struct unet_config *c, const struct unet_inputs *inputs)
{
    struct node *time = nn_linear(g, inputs->embedding, c->time_width, UNET "time_embed.0");
    time = nn_linear(g, graph_unary(g, time, UNARY_SILU), c->time_width, UNET "time_embed.2");
    if (c->pooled_width == 0) return time;
    struct node *text = nn_linear(g, inputs->pooled, c->time_width, UNET "label_emb.0.0");
    text = nn_linear(g, graph_unary(g, text, UNARY_SILU), c->time_width, UNET "label_emb.0.2");
    return graph_add(g, time, text);
}

struct node *unet_build(struct graph *g, const struct unet_config *config, const struct unet_inputs *inputs)
{
    assert((config->pooled_width > 0) == (inputs->pooled != NULL));
    struct builder b = {.g = g, .config = config, .context = inputs->context};
    if (config->heads <= 0 && config->head_size <= 0)
        return graph_fail(g, STATUS_ARGUMENT, "the U-Net has neither a number of heads nor a head size");
    for (int i = 0; i < config->levels; i++)
        if (config->head_size > 0 && config->depth[i] > 0 && config->width[i] % config->head_size != 0)
            return graph_fail(g, STATUS_ARGUMENT, "a U-Net level of %d channels cannot be cut into heads of %d",
                              config->width[i], config->head_size);
    b.embedding = graph_unary(g, embed(g, config, inputs), UNARY_SILU);
    struct node *x = up(&b, middle(&b, down(&b, inputs->x)));
    x = graph_unary(g, nn_group_norm(g, x, norm_of(&b, residual_eps), UNET "out.0"), UNARY_SILU);
    return nn_conv2d(g, x, config->out_channels, 3, (struct conv){.stride = 1, .pad = PAD(1)}, UNET "out.2");
}

void unet_time_embedding(double time, int channels, float *out)
{
    const int half = channels / 2;
    for (int i = 0; i < half; i++) {
        const double angle = time * exp(-log(10000) * i / half);
        out[i] = (float)cos(angle);
        out[half + i] = (float)sin(angle);
    }
    if (channels % 2 != 0) out[channels - 1] = 0;
}
