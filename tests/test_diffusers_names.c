/* SPDX-License-Identifier: MIT
 *
 * One name for every rule. (All 686 and 248 names of the goldens' SD 1 models were compared once, by value, with what
 * diffusers' own converter makes of them.)
 */
#include "diffusion/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/io/safetensors_write.h"

#include <cmocka.h>

#define MODEL BUILD_DIR "/test_diffusers_names.safetensors"
#define UNET  "model.diffusion_model."
#define VAE   "first_stage_model."

struct pair {
    const char *old, *renamed; /* NULL: kept */
};

static const struct pair folder[] = {
    {"unet/time_embedding.linear_1.weight", UNET "time_embed.0.weight"},
    {"unet/time_embedding.linear_2.bias", UNET "time_embed.2.bias"},
    {"unet/conv_in.weight", UNET "input_blocks.0.0.weight"},
    {"unet/conv_norm_out.bias", UNET "out.0.bias"},
    {"unet/conv_out.weight", UNET "out.2.weight"},
    {"unet/down_blocks.0.resnets.0.norm1.weight", UNET "input_blocks.1.0.in_layers.0.weight"},
    {"unet/down_blocks.0.resnets.1.conv1.bias", UNET "input_blocks.2.0.in_layers.2.bias"},
    {"unet/down_blocks.0.downsamplers.0.conv.weight", UNET "input_blocks.3.0.op.weight"},
    {"unet/down_blocks.1.resnets.0.conv_shortcut.weight", UNET "input_blocks.4.0.skip_connection.weight"},
    {"unet/down_blocks.2.attentions.1.transformer_blocks.0.attn2.to_out.0.bias",
     UNET "input_blocks.8.1.transformer_blocks.0.attn2.to_out.0.bias"},
    {"unet/down_blocks.3.resnets.1.time_emb_proj.weight", UNET "input_blocks.11.0.emb_layers.1.weight"},
    {"unet/mid_block.resnets.0.norm2.weight", UNET "middle_block.0.out_layers.0.weight"},
    {"unet/mid_block.attentions.0.proj_in.weight", UNET "middle_block.1.proj_in.weight"},
    {"unet/mid_block.resnets.1.conv2.weight", UNET "middle_block.2.out_layers.3.weight"},
    {"unet/up_blocks.0.upsamplers.0.conv.weight", UNET "output_blocks.2.1.conv.weight"},
    {"unet/up_blocks.1.attentions.0.norm.bias", UNET "output_blocks.3.1.norm.bias"},
    {"unet/up_blocks.1.upsamplers.0.conv.bias", UNET "output_blocks.5.2.conv.bias"},
    {"unet/up_blocks.3.resnets.2.conv1.weight", UNET "output_blocks.11.0.in_layers.2.weight"},
    {"vae/quant_conv.weight", VAE "quant_conv.weight"},
    {"vae/post_quant_conv.bias", VAE "post_quant_conv.bias"},
    {"vae/encoder.conv_in.weight", VAE "encoder.conv_in.weight"},
    {"vae/encoder.conv_norm_out.weight", VAE "encoder.norm_out.weight"},
    {"vae/encoder.down_blocks.1.resnets.0.conv_shortcut.bias", VAE "encoder.down.1.block.0.nin_shortcut.bias"},
    {"vae/encoder.down_blocks.2.downsamplers.0.conv.bias", VAE "encoder.down.2.downsample.conv.bias"},
    {"vae/encoder.mid_block.resnets.1.norm2.bias", VAE "encoder.mid.block_2.norm2.bias"},
    {"vae/encoder.mid_block.attentions.0.group_norm.weight", VAE "encoder.mid.attn_1.norm.weight"},
    {"vae/encoder.mid_block.attentions.0.to_q.weight", VAE "encoder.mid.attn_1.q.weight"},
    {"vae/encoder.mid_block.attentions.0.to_k.weight", VAE "encoder.mid.attn_1.k.weight"},
    {"vae/encoder.mid_block.attentions.0.to_v.weight", VAE "encoder.mid.attn_1.v.weight"},
    {"vae/encoder.mid_block.attentions.0.to_out.0.weight", VAE "encoder.mid.attn_1.proj_out.weight"},
    {"vae/decoder.mid_block.attentions.0.query.weight", VAE "decoder.mid.attn_1.q.weight"},
    {"vae/decoder.mid_block.attentions.0.key.weight", VAE "decoder.mid.attn_1.k.weight"},
    {"vae/decoder.mid_block.attentions.0.value.weight", VAE "decoder.mid.attn_1.v.weight"},
    {"vae/decoder.mid_block.attentions.0.proj_attn.bias", VAE "decoder.mid.attn_1.proj_out.bias"},
    {"vae/decoder.up_blocks.0.resnets.2.conv2.weight", VAE "decoder.up.3.block.2.conv2.weight"},
    {"vae/decoder.up_blocks.2.upsamplers.0.conv.weight", VAE "decoder.up.1.upsample.conv.weight"},
    {"vae/decoder.up_blocks.3.resnets.0.norm1.weight", VAE "decoder.up.0.block.0.norm1.weight"},
    {"vae/decoder.conv_out.weight", VAE "decoder.conv_out.weight"},
    /* Not theirs, or nonsense. */
    {"text_encoder/text_model.final_layer_norm.weight", NULL},
    {"unet/down_blocks.0.resnets.x.conv1.weight", NULL},
    {"unet/down_blocks.999.resnets.0.conv1.weight", NULL},
    {"unet/up_blocks.99.upsamplers.0.conv.weight", NULL},
    {"unet/add_embedding.linear_1.weight", NULL},
    {"unet/mid_block.", NULL},
    {"vae/encoder.up_blocks.9.resnets.0.conv1.weight", NULL},
    {"decoder.conv_in.weight", NULL},
};

static const struct pair lone_vae[] = {
    {"decoder.up_blocks.0.resnets.0.conv1.weight", VAE "decoder.up.1.block.0.conv1.weight"},
    {"decoder.up_blocks.1.resnets.0.conv1.weight", VAE "decoder.up.0.block.0.conv1.weight"},
    {"encoder.conv_in.bias", VAE "encoder.conv_in.bias"},
};

static const struct pair lone_original_vae[] = {
    {"decoder.up.0.block.0.conv1.weight", VAE "decoder.up.0.block.0.conv1.weight"},
    {"encoder.mid.attn_1.q.bias", VAE "encoder.mid.attn_1.q.bias"},
    {"quant_conv.bias", VAE "quant_conv.bias"},
    {"loss.logvar", NULL},
};

static const struct pair lone_unet[] = {
    {"down_blocks.0.resnets.0.conv1.weight", UNET "input_blocks.1.0.in_layers.2.weight"},
    {"down_blocks.1.resnets.0.conv1.weight", UNET "input_blocks.3.0.in_layers.2.weight"},
    {"up_blocks.0.upsamplers.0.conv.weight", UNET "output_blocks.1.2.conv.weight"},
    {"up_blocks.0.attentions.0.norm.weight", UNET "output_blocks.0.1.norm.weight"},
};

static const struct pair original[] = {{UNET "input_blocks.0.0.weight", NULL}};

/* Writes a checkpoint of these names, opens it and renames it; `any`: whether something needs another name. */
static void check(const struct pair *pairs, int count, bool any)
{
    struct tensor tensors[64];
    const float zero = 0;
    struct error err = {0};
    struct checkpoint *c = NULL;
    assert_true(count <= 64);
    for (int i = 0; i < count; i++)
        tensors[i] = (struct tensor){.name = pairs[i].old, .rank = 1, .dim = {1}, .count = 1, .data = &zero};
    assert_int_equal(safetensors_write(MODEL, &(struct safetensors_file){.tensors = tensors, .count = count}, &err), 0);
    if (checkpoint_open(&c, MODEL, &err) != STATUS_OK) fail_msg("%s", err.text);
    struct diffusers_names names;
    assert_int_equal(diffusers_names_detect(&names, c), any);
    for (int i = 0; i < count; i++) {
        char renamed[CHECKPOINT_NAME_BYTES];
        const bool changed = diffusers_rename(&names, pairs[i].old, renamed);
        if (changed != (pairs[i].renamed != NULL)) fail_msg("%s: %s", pairs[i].old, changed ? renamed : "kept");
        if (changed) assert_string_equal(renamed, pairs[i].renamed);
    }
    if (any && checkpoint_rename(c, diffusers_rename, &names, &err) != STATUS_OK) fail_msg("%s", err.text);
    for (int i = 0; i < count; i++)
        assert_non_null(checkpoint_find(c, pairs[i].renamed != NULL ? pairs[i].renamed : pairs[i].old));
    checkpoint_close(c);
    remove(MODEL);
}

#define CHECK(pairs, any) check(pairs, (int)(sizeof pairs / sizeof *pairs), any)

static void names_become_the_originals(void **state)
{
    (void)state;
    CHECK(folder, true);
    CHECK(lone_vae, true);
    CHECK(lone_original_vae, true);
    CHECK(lone_unet, true);
    CHECK(original, false);
}

/* A name that would not fit stays as it is, whole. */
static void long_names_are_kept(void **state)
{
    (void)state;
    const struct diffusers_names names = {.unet_blocks = 2, .vae_levels = 4};
    char old[2 * CHECKPOINT_NAME_BYTES], out[CHECKPOINT_NAME_BYTES];
    for (size_t length = 200; length < sizeof old; length++) {
        const int head = snprintf(old, sizeof old, "unet/mid_block.attentions.0.");
        memset(old + head, 'x', length - (size_t)head);
        old[length] = 0;
        const size_t longer = strlen(UNET "middle_block.1.") + length - (size_t)head;
        assert_int_equal(diffusers_rename((void *)&names, old, out), longer < sizeof out);
        if (longer < sizeof out) assert_int_equal(strlen(out), longer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_become_the_originals),
        cmocka_unit_test(long_names_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
