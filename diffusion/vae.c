/* SPDX-License-Identifier: MIT
 *
 * Names come from CompVis' model.py (ldm/modules/diffusionmodules). Levels are numbered from the picture's own size
 * down, in the decoder too, which therefore runs them backwards:
 *
 *     encoder: conv_in, down.0 .. down.3 (each but the last halves), mid, norm_out, conv_out
 *     decoder: conv_in, mid, up.3 .. up.0 (each but up.0 doubles), norm_out, conv_out
 */
#include "diffusion/vae.h"

#include "core/nn/layers.h"
#include "diffusion/detect.h"
#include "diffusion/folder_config.h"

#include <math.h>
#include <stdio.h>

#define VAE "first_stage_model."

enum { NAME_BYTES = 96, PICTURE_CHANNELS = 3 };

static const struct conv same_size = {.stride = 1, .pad = {1, 1, 1, 1}}, point = {.stride = 1};

/* ---- what a checkpoint holds ---- */

static enum status read_level(struct vae_config *c, const struct checkpoint *checkpoint, struct error *err)
{
    const int level = c->levels;
    int blocks = 0;
    while (blocks <= VAE_MAX_BLOCKS &&
           detect_find(checkpoint, VAE "decoder.up.%d.block.%d.conv1.weight", level, blocks + 1) != NULL)
        blocks++;
    if (blocks < 1 || blocks > VAE_MAX_BLOCKS || (level > 0 && blocks != c->blocks))
        return fail(err, STATUS_UNSUPPORTED,
                    "the VAE's decoder has %d residual blocks at level %d; 2 to %d are "
                    "supported, as many at every level",
                    blocks + 1, level, VAE_MAX_BLOCKS + 1);
    c->blocks = blocks;
    c->levels++;
    return detect_dimension(checkpoint, (struct dimension){"the VAE", 4, 0, &c->width[level]}, err,
                            VAE "decoder.up.%d.block.0.conv1.weight", level);
}

bool vae_present(const struct checkpoint *checkpoint)
{
    return detect_find(checkpoint, VAE "decoder.conv_in.weight") != NULL;
}

enum status vae_config_detect(struct vae_config *config, const struct checkpoint *checkpoint, struct error *err)
{
    struct vae_config c = {.groups = 32, .scale = 0.18215};
    *config = c;
    c.encoder = detect_find(checkpoint, VAE "encoder.conv_in.weight") != NULL;
    c.quant = detect_find(checkpoint, VAE "quant_conv.weight") != NULL;
    c.post_quant = detect_find(checkpoint, VAE "post_quant_conv.weight") != NULL;
    int picture = 0;
    enum status status = detect_dimension(checkpoint, (struct dimension){"the VAE", 4, 1, &c.z_channels}, err,
                                          VAE "decoder.conv_in.weight");
    if (status == STATUS_OK)
        status = detect_dimension(checkpoint, (struct dimension){"the VAE", 4, 0, &picture}, err,
                                  VAE "decoder.conv_out.weight");
    if (status == STATUS_OK && picture != PICTURE_CHANNELS)
        return fail(err, STATUS_UNSUPPORTED, "the VAE makes pictures of %d channels; 3 are supported", picture);
    c.latent_channels = c.z_channels;
    if (status == STATUS_OK && c.post_quant)
        status = detect_dimension(checkpoint, (struct dimension){"the VAE", 4, 1, &c.latent_channels}, err,
                                  VAE "post_quant_conv.weight");
    do {
        if (status == STATUS_OK) status = read_level(&c, checkpoint, err);
    } while (status == STATUS_OK && c.levels < VAE_MAX_LEVELS &&
             detect_find(checkpoint, VAE "decoder.up.%d.block.0.conv1.weight", c.levels) != NULL);
    if (status == STATUS_OK) status = folder_config_vae(&c, checkpoint, err);
    if (status == STATUS_OK) *config = c;
    return status;
}

struct vae_config vae_of_pixels(int patch)
{
    const int channels = PICTURE_CHANNELS * patch * patch;
    return (struct vae_config){
        .latent_channels = channels, .z_channels = channels, .encoder = true, .groups = 1, .scale = 1, .patch = patch};
}

int vae_factor(const struct vae_config *config)
{
    return config->patch > 0 ? config->patch : 1 << (config->levels - 1);
}

/* ---- graphs ---- */

static struct norm norm_of(const struct vae_config *c)
{
    return (struct norm){.groups = c->groups, .eps = 1e-6f};
}

/* conv(silu(norm(x))). */
static struct node *activated(struct graph *g, const struct vae_config *c, struct node *x, int width, const char *name,
                              const char *norm, const char *conv)
{
    x = graph_unary(g, nn_group_norm(g, x, norm_of(c), "%s.%s", name, norm), UNARY_SILU);
    return nn_conv2d(g, x, width, 3, same_size, "%s.%s", name, conv);
}

static struct node *residual_block(struct graph *g, const struct vae_config *c, struct node *x, int width,
                                   const char *name)
{
    struct node *h = activated(g, c, x, width, name, "norm1", "conv1");
    h = activated(g, c, h, width, name, "norm2", "conv2");
    if (x->shape.dim[3] != width) x = nn_conv2d(g, x, width, 1, point, "%s.nin_shortcut", name);
    return graph_add(g, h, x);
}

/* One head as wide as the level; its 1x1 convolutions are linear layers on the pixels. */
static struct node *attention(struct graph *g, const struct vae_config *c, struct node *x, const char *name)
{
    const struct shape s = x->shape;
    struct node *pixels = graph_reshape(g, x, SHAPE(s.dim[0], s.dim[1] * s.dim[2], s.dim[3]));
    struct node *h = nn_group_norm(g, pixels, norm_of(c), "%s.attn_1.norm", name);
    struct node *q = nn_linear(g, h, s.dim[3], "%s.attn_1.q", name);
    struct node *k = nn_linear(g, h, s.dim[3], "%s.attn_1.k", name);
    struct node *v = nn_linear(g, h, s.dim[3], "%s.attn_1.v", name);
    h = graph_attention(g, q, k, v, (struct attention){.heads = 1});
    h = graph_add(g, nn_linear(g, h, s.dim[3], "%s.attn_1.proj_out", name), pixels);
    return graph_reshape(g, h, s);
}

static struct node *middle(struct graph *g, const struct vae_config *c, struct node *x, const char *name)
{
    const int width = c->width[c->levels - 1];
    char block[NAME_BYTES];
    snprintf(block, sizeof block, "%s.block_1", name);
    x = attention(g, c, residual_block(g, c, x, width, block), name);
    snprintf(block, sizeof block, "%s.block_2", name);
    return residual_block(g, c, x, width, block);
}

/* `blocks` residual blocks of a level; side is "encoder.down" or "decoder.up". */
static struct node *level_blocks(struct graph *g, const struct vae_config *c, struct node *x, int level, int blocks,
                                 const char *side)
{
    char name[NAME_BYTES];
    for (int i = 0; i < blocks; i++) {
        snprintf(name, sizeof name, VAE "%s.%d.block.%d", side, level, i);
        x = residual_block(g, c, x, c->width[level], name);
    }
    return x;
}

/* Squares of pixels become channels, row by row, and back. */
static struct node *to_patches(struct graph *g, struct node *x, int side)
{
    const struct shape s = x->shape;
    x = graph_reshape(g, x, SHAPE(s.dim[0] * s.dim[1] / side, side, s.dim[2] / side, side * s.dim[3]));
    x = graph_permute(g, x, (const int[]){0, 2, 1, 3});
    return graph_reshape(g, x, SHAPE(s.dim[0], s.dim[1] / side, s.dim[2] / side, side * side * s.dim[3]));
}

static struct node *from_patches(struct graph *g, struct node *x, int side)
{
    const struct shape s = x->shape;
    const int64_t channels = s.dim[3] / (side * side);
    x = graph_reshape(g, x, SHAPE(s.dim[0] * s.dim[1], s.dim[2], side, side * channels));
    x = graph_permute(g, x, (const int[]){0, 2, 1, 3});
    return graph_reshape(g, x, SHAPE(s.dim[0], s.dim[1] * side, s.dim[2] * side, channels));
}

struct node *vae_encode(struct graph *g, const struct vae_config *config, struct node *image)
{
    const float certain = -30; /* log variance, as small as other programs let it become */
    const int factor = vae_factor(config), last = config->levels - 1;
    const struct shape s = image->shape;
    if (!config->encoder) return graph_fail(g, STATUS_FORMAT, "the VAE has a decoder only; it cannot read pictures");
    if (s.dim[1] % factor != 0 || s.dim[2] % factor != 0)
        return graph_fail(g, STATUS_ARGUMENT, "a picture of %lldx%lld: the VAE wants multiples of %d",
                          (long long)s.dim[2], (long long)s.dim[1], factor);
    if (config->patch > 0) {
        struct node *mean = to_patches(g, image, config->patch);
        return graph_concat(g, mean, graph_scale(g, mean, 0, certain), 3);
    }
    struct node *x = nn_conv2d(g, image, config->width[0], 3, same_size, VAE "encoder.conv_in");
    for (int level = 0; level <= last; level++) {
        x = level_blocks(g, config, x, level, config->blocks, "encoder.down");
        /* Padded below and to the right only, as the original does. */
        const struct conv halve = {.stride = 2, .pad = {.bottom = 1, .right = 1}};
        if (level < last)
            x = nn_conv2d(g, x, config->width[level], 3, halve, VAE "encoder.down.%d.downsample.conv", level);
    }
    x = middle(g, config, x, VAE "encoder.mid");
    x = activated(g, config, x, 2 * config->z_channels, VAE "encoder", "norm_out", "conv_out");
    return config->quant ? nn_conv2d(g, x, 2 * config->latent_channels, 1, point, VAE "quant_conv") : x;
}

struct node *vae_decode(struct graph *g, const struct vae_config *config, struct node *latent)
{
    const int last = config->levels - 1;
    struct node *x = latent;
    if (config->patch > 0) return from_patches(g, latent, config->patch);
    if (config->post_quant) x = nn_conv2d(g, x, config->z_channels, 1, point, VAE "post_quant_conv");
    x = nn_conv2d(g, x, config->width[last], 3, same_size, VAE "decoder.conv_in");
    x = middle(g, config, x, VAE "decoder.mid");
    for (int level = last; level >= 0; level--) {
        x = level_blocks(g, config, x, level, config->blocks + 1, "decoder.up");
        if (level > 0)
            x = nn_conv2d(g, graph_upsample(g, x, 2), config->width[level], 3, same_size,
                          VAE "decoder.up.%d.upsample.conv", level);
    }
    return activated(g, config, x, PICTURE_CHANNELS, VAE "decoder", "norm_out", "conv_out");
}

void vae_sample(const float *moments, const float *noise, int64_t pixels, int latent_channels, float *latent)
{
    for (int64_t i = 0; i < pixels; i++)
        for (int64_t c = 0; c < latent_channels; c++) {
            const float *mean = moments + i * 2 * latent_channels, *log_variance = mean + latent_channels;
            double value = (double)mean[c];
            /* The limits are the original's; they keep the exponential in range whatever the encoder says. */
            const double spread = exp(0.5 * fmin(fmax((double)log_variance[c], -30), 20));
            if (noise != NULL) value += spread * (double)noise[i * latent_channels + c];
            latent[i * latent_channels + c] = (float)value;
        }
}
