/* SPDX-License-Identifier: MIT
 *
 * A name is read from left to right by `take` and `number`; the rest that remains when its place is known, such as
 * "norm1.weight", is translated by a small table and put after the new place's name.
 */
#include "diffusion/names.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define UNET "model.diffusion_model."
#define VAE  "first_stage_model."

struct swap {
    const char *from, *to;
};

static const struct swap unet_residual[] = {
    {"norm1.", "in_layers.0."},
    {"conv1.", "in_layers.2."},
    {"time_emb_proj.", "emb_layers.1."},
    {"norm2.", "out_layers.0."},
    {"conv2.", "out_layers.3."},
    {"conv_shortcut.", "skip_connection."},
    {NULL, NULL},
};
static const struct swap unet_ends[] = {
    {"time_embedding.linear_1.", "time_embed.0."},
    {"time_embedding.linear_2.", "time_embed.2."},
    {"conv_in.", "input_blocks.0.0."},
    {"conv_norm_out.", "out.0."},
    {"conv_out.", "out.2."},
    {NULL, NULL},
};
static const struct swap vae_residual[] = {{"conv_shortcut.", "nin_shortcut."}, {"", ""}, {NULL, NULL}};
/* Files older than diffusers 0.14 have the names on the right half. */
static const struct swap vae_attention[] = {
    {"group_norm.", "norm."},
    {"to_out.0.", "proj_out."},
    {"proj_attn.", "proj_out."},
    {"to_q.", "q."},
    {"query.", "q."},
    {"to_k.", "k."},
    {"key.", "k."},
    {"to_v.", "v."},
    {"value.", "v."},
    {NULL, NULL},
};
static const struct swap vae_ends[] = {
    {"conv_norm_out.", "norm_out."}, {"conv_in.", "conv_in."}, {"conv_out.", "conv_out."}, {NULL, NULL}};
static const struct swap same[] = {{"", ""}, {NULL, NULL}};

/* ---- reading ---- */

static bool take(const char **at, const char *text)
{
    const size_t length = strlen(text);
    if (strncmp(*at, text, length) != 0) return false;
    *at += length;
    return true;
}

/* A number of at most two digits and the dot after it. */
static bool number(const char **at, int *out)
{
    const char *p = *at;
    int value = 0;
    for (; *p >= '0' && *p <= '9'; p++)
        if ((value = 10 * value + (*p - '0')) > 99) return false;
    if (p == *at || *p != '.') return false;
    *at = p + 1;
    *out = value;
    return true;
}

/* "<name>.<number>." */
static bool part(const char **at, const char *name, int *out)
{
    const char *p = *at;
    if (!take(&p, name) || !take(&p, ".") || !number(&p, out)) return false;
    *at = p;
    return true;
}

/* ---- writing ---- */

static bool write(char out[CHECKPOINT_NAME_BYTES], const struct swap *swaps, const char *rest, const char *format, ...)
    PRINTF_LIKE(4, 5);

/* The new place's name, then the translated rest. False if no row fits, or if the name would be too long. */
static bool write(char out[CHECKPOINT_NAME_BYTES], const struct swap *swaps, const char *rest, const char *format, ...)
{
    while (swaps->from != NULL && !take(&rest, swaps->from)) swaps++;
    if (swaps->from == NULL) return false;
    va_list list;
    va_start(list, format);
    const int length = vsnprintf(out, CHECKPOINT_NAME_BYTES, format, list);
    va_end(list);
    if (length < 0 || length >= CHECKPOINT_NAME_BYTES) return false;
    const size_t room = CHECKPOINT_NAME_BYTES - (size_t)length;
    return (size_t)snprintf(out + length, room, "%s%s", swaps->to, rest) < room;
}

static bool rename_unet_down(const struct diffusers_names *names, const char *rest, int level, char *out)
{
    const int blocks = names->unet_blocks, first = 1 + level * (blocks + 1);
    int i = 0;
    if (part(&rest, "resnets", &i)) return write(out, unet_residual, rest, UNET "input_blocks.%d.0.", first + i);
    if (part(&rest, "attentions", &i)) return write(out, same, rest, UNET "input_blocks.%d.1.", first + i);
    if (take(&rest, "downsamplers.0.conv."))
        return write(out, same, rest, UNET "input_blocks.%d.0.op.", first + blocks);
    return false;
}

static bool rename_unet_up(const struct diffusers_names *names, const char *rest, int block, char *out)
{
    const int blocks = names->unet_blocks, first = block * (blocks + 1);
    int i = 0;
    if (part(&rest, "resnets", &i)) return write(out, unet_residual, rest, UNET "output_blocks.%d.0.", first + i);
    if (part(&rest, "attentions", &i)) return write(out, same, rest, UNET "output_blocks.%d.1.", first + i);
    if (take(&rest, "upsamplers.0.conv.") && block < NAMES_MAX_LEVELS)
        return write(out, same, rest, UNET "output_blocks.%d.%d.conv.", first + blocks,
                     names->up_attention[block] ? 2 : 1);
    return false;
}

static bool rename_unet(const struct diffusers_names *names, const char *rest, char *out)
{
    int i = 0;
    if (part(&rest, "down_blocks", &i)) return rename_unet_down(names, rest, i, out);
    if (part(&rest, "up_blocks", &i)) return rename_unet_up(names, rest, i, out);
    if (take(&rest, "mid_block.")) {
        if (part(&rest, "resnets", &i)) return write(out, unet_residual, rest, UNET "middle_block.%d.", 2 * i);
        if (part(&rest, "attentions", &i)) return write(out, same, rest, UNET "middle_block.%d.", 2 * i + 1);
        return false;
    }
    return write(out, unet_ends, rest, UNET);
}

/* rest follows "encoder." or "decoder.", which is `side`. */
static bool rename_vae_side(const struct diffusers_names *names, const char *side, const char *rest, char *out)
{
    int level = 0, i = 0;
    const bool down = part(&rest, "down_blocks", &level), up = !down && part(&rest, "up_blocks", &level);
    if (down || up) {
        if (up) level = names->vae_levels - 1 - level;
        if (level < 0) return false;
        const char *name = down ? "down" : "up";
        if (part(&rest, "resnets", &i))
            return write(out, vae_residual, rest, VAE "%s.%s.%d.block.%d.", side, name, level, i);
        if (take(&rest, down ? "downsamplers.0." : "upsamplers.0."))
            return write(out, same, rest, VAE "%s.%s.%d.%ssample.", side, name, level, name);
        return false;
    }
    if (take(&rest, "mid_block.")) {
        if (part(&rest, "resnets", &i)) return write(out, vae_residual, rest, VAE "%s.mid.block_%d.", side, i + 1);
        if (part(&rest, "attentions", &i)) return write(out, vae_attention, rest, VAE "%s.mid.attn_%d.", side, i + 1);
        return false;
    }
    return write(out, vae_ends, rest, VAE "%s.", side);
}

static bool rename_vae(const struct diffusers_names *names, const char *rest, char *out)
{
    if (take(&rest, "encoder.")) return rename_vae_side(names, "encoder", rest, out);
    if (take(&rest, "decoder.")) return rename_vae_side(names, "decoder", rest, out);
    if (strncmp(rest, "quant_conv.", 11) == 0 || strncmp(rest, "post_quant_conv.", 16) == 0)
        return write(out, same, rest, VAE);
    return false;
}

static bool is_vae_name(const char *name)
{
    return take(&name, "encoder.") || take(&name, "decoder.") || take(&name, "quant_conv.") ||
           take(&name, "post_quant_conv.");
}

bool diffusers_rename(void *context, const char *old, char out[CHECKPOINT_NAME_BYTES])
{
    const struct diffusers_names *names = context;
    const char *rest = old;
    if (names->bare_first_stage && is_vae_name(old)) return write(out, same, old, VAE);
    if (names->unet_blocks > 0 && (names->bare_unet || take(&rest, "unet/")) && rename_unet(names, rest, out))
        return true;
    rest = old;
    return names->vae_levels > 0 && (names->bare_vae || take(&rest, "vae/")) && rename_vae(names, rest, out);
}

/* ---- finding out ---- */

static void note_unet(struct diffusers_names *names, const char *rest)
{
    int block = 0, i = 0;
    if (part(&rest, "down_blocks", &block)) {
        if (part(&rest, "resnets", &i) && i + 1 > names->unet_blocks) names->unet_blocks = i + 1;
    } else if (part(&rest, "up_blocks", &block)) {
        if (block < NAMES_MAX_LEVELS && part(&rest, "attentions", &i)) names->up_attention[block] = true;
    }
}

static void note_vae(struct diffusers_names *names, const char *rest)
{
    int level = 0;
    if (take(&rest, "decoder.") && part(&rest, "up_blocks", &level) && level + 1 > names->vae_levels)
        names->vae_levels = level + 1;
}

bool diffusers_names_detect(struct diffusers_names *names, const struct checkpoint *checkpoint)
{
    *names = (struct diffusers_names){0};
    names->bare_unet = checkpoint_find(checkpoint, "down_blocks.0.resnets.0.conv1.weight") != NULL;
    names->bare_vae = checkpoint_find(checkpoint, "decoder.up_blocks.0.resnets.0.conv1.weight") != NULL;
    names->bare_first_stage = checkpoint_find(checkpoint, "decoder.up.0.block.0.conv1.weight") != NULL;
    for (int i = 0; i < checkpoint_count(checkpoint); i++) {
        const char *name = checkpoint_at(checkpoint, i)->name, *rest = name;
        if (names->bare_unet || take(&rest, "unet/")) note_unet(names, rest);
        rest = name;
        if (names->bare_vae || take(&rest, "vae/")) note_vae(names, rest);
    }
    return names->unet_blocks > 0 || names->vae_levels > 0 || names->bare_first_stage;
}
