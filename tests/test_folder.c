/* SPDX-License-Identifier: MIT
 *
 * A model as diffusers saves it, folder and names and all, is the model of the single file: the same bytes painted. The
 * names are made here from the single file's, the other way round than the library reads them.
 */
#include "core/base/memory.h"
#include "core/io/checkpoint.h"
#include "core/io/safetensors_write.h"
#include "include/limn.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { NAME = 200 };

struct swap {
    const char *from, *to;
};

static const struct swap residual[] = {{"in_layers.0", "norm1"},          {"in_layers.2", "conv1"},
                                       {"emb_layers.1", "time_emb_proj"}, {"out_layers.0", "norm2"},
                                       {"out_layers.3", "conv2"},         {"skip_connection", "conv_shortcut"},
                                       {"nin_shortcut", "conv_shortcut"}, {NULL, NULL}};
static const struct swap attention[] = {{"norm.", "group_norm."},   {"q.", "to_q."}, {"k.", "to_k."}, {"v.", "to_v."},
                                        {"proj_out.", "to_out.0."}, {NULL, NULL}};
static const struct swap ends[] = {{"time_embed.0", "time_embedding.linear_1"},
                                   {"time_embed.2", "time_embedding.linear_2"},
                                   {"input_blocks.0.0", "conv_in"},
                                   {"out.0", "conv_norm_out"},
                                   {"out.2", "conv_out"},
                                   {"encoder.norm_out", "encoder.conv_norm_out"},
                                   {"decoder.norm_out", "decoder.conv_norm_out"},
                                   {NULL, NULL}};

/* `place` and what follows, its beginning swapped if the table has it. */
static void join(char *out, const char *place, const char *rest, const struct swap *table)
{
    for (; table && table->from; table++) {
        const size_t length = strlen(table->from);
        if (strncmp(rest, table->from, length) != 0) continue;
        snprintf(out, NAME, "%s%s%s", place, table->to, rest + length);
        return;
    }
    snprintf(out, NAME, "%s%s", place, rest);
}

/* SD 1's U-Net: three input blocks a level (two residual ones, one downsampler), three output blocks a level. */
static void unet_name(char *out, const char *name)
{
    char place[NAME];
    int n, part, used = 0;
    if (sscanf(name, "input_blocks.%d.%d.%n", &n, &part, &used) == 2 && n > 0) {
        const int level = (n - 1) / 3, block = (n - 1) % 3;
        const char *const kind = block == 2 ? "downsamplers" : part == 0 ? "resnets" : "attentions";
        snprintf(place, sizeof place, "down_blocks.%d.%s.%d.", level, kind, block == 2 ? 0 : block);
        join(out, place, block == 2 ? "conv" : name + used, part == 0 && block < 2 ? residual : NULL);
        if (block == 2) strcat(out, strrchr(name, '.'));
    } else if (sscanf(name, "output_blocks.%d.%d.%n", &n, &part, &used) == 2) {
        const bool upsampler = strncmp(name + used, "conv.", 5) == 0;
        const char *const kind = upsampler ? "upsamplers" : part == 0 ? "resnets" : "attentions";
        snprintf(place, sizeof place, "up_blocks.%d.%s.%d.", n / 3, kind, upsampler ? 0 : n % 3);
        join(out, place, name + used, part == 0 ? residual : NULL);
    } else if (sscanf(name, "middle_block.%d.%n", &part, &used) == 1) {
        snprintf(place, sizeof place, "mid_block.%s.%d.", part == 1 ? "attentions" : "resnets", part / 2);
        join(out, place, name + used, part == 1 ? NULL : residual);
    } else {
        join(out, "", name, ends);
    }
}

static void vae_name(char *out, const char *name)
{
    char side[16] = "", place[NAME];
    int level, block, used = 0;
    if (sscanf(name, "%7[a-z].mid.block_%d.%n", side, &block, &used) == 2) {
        snprintf(place, sizeof place, "%s.mid_block.resnets.%d.", side, block - 1);
        join(out, place, name + used, residual);
    } else if (strstr(name, ".mid.attn_1.")) {
        snprintf(place, sizeof place, "%.7s.mid_block.attentions.0.", name);
        join(out, place, strstr(name, "attn_1.") + 7, attention);
    } else if (sscanf(name, "%7[a-z].%*[a-z].%d.block.%d.%n", side, &level, &block, &used) == 3) {
        const bool up = strcmp(side, "decoder") == 0;
        snprintf(place, sizeof place, "%s.%s_blocks.%d.resnets.%d.", side, up ? "up" : "down", up ? 3 - level : level,
                 block);
        join(out, place, name + used, residual);
    } else if (sscanf(name, "%7[a-z].%*[a-z].%d.%*[a-z].conv.%n", side, &level, &used) == 2 && used > 0) {
        const bool up = strcmp(side, "decoder") == 0;
        snprintf(out, NAME, "%s.%s_blocks.%d.%ssamplers.0.conv.%s", side, up ? "up" : "down", up ? 3 - level : level,
                 up ? "up" : "down", name + used);
    } else {
        join(out, "", name, ends);
    }
}

static void text_name(char *out, const char *name)
{
    snprintf(out, NAME, "%s", name);
}

/* Attention in the VAE is linear there: [c, c] for [c, c, 1, 1]. */
static void write_part(const struct checkpoint *c, const char *prefix, const char *path,
                       void (*rename_one)(char *out, const char *name))
{
    struct tensor tensors[1024];
    struct arena names = {0};
    struct error err = {0};
    int count = 0;
    for (int i = 0; i < checkpoint_count(c); i++) {
        const struct tensor *t = checkpoint_at(c, i);
        char name[NAME];
        if (strncmp(t->name, prefix, strlen(prefix)) != 0) continue;
        assert_true(count < 1024);
        rename_one(name, t->name + strlen(prefix));
        tensors[count] = *t;
        tensors[count].name = arena_strdup(&names, name);
        if (strstr(t->name, ".attn_1.") && t->rank == 4) tensors[count].rank = 2;
        count++;
    }
    assert_true(count > 0);
    const struct safetensors_file file = {.tensors = tensors, .count = count};
    if (safetensors_write(path, &file, &err) != STATUS_OK) fail_msg("%s", err.text);
    arena_clear(&names);
}

static const char *const files[] = {"model_index.json", "scheduler/scheduler_config.json",
                                    "unet/diffusion_pytorch_model.safetensors",
                                    "vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"};
static const char *const folders[] = {"scheduler", "unet", "vae", "text_encoder", "."};

static const char *path_of(const char *root, const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static struct limn_picture paint(const char *path)
{
    struct limn_error error = {0};
    struct limn_model *model = NULL;
    struct limn_picture picture = {0};
    const struct limn_request request = {.prompt = "apple", .width = 64, .height = 64, .steps = 2};
    if (limn_model_open(&model, &(struct limn_model_options){.path = path}, &error) != LIMN_OK ||
        limn_paint(model, &request, &picture, &error) != LIMN_OK)
        fail_msg("%s", error.text);
    limn_model_close(model);
    return picture;
}

static void test_folder(void **state)
{
    (void)state;
    char single[TINY_PATH_BYTES], root[64];
    struct error err = {0};
    struct checkpoint *c = NULL;
    tiny_write(single, TINY_SD1);
    snprintf(root, sizeof root, "folder-%d", (int)getpid());
    assert_int_equal(mkdir(root, 0777), 0);
    for (int i = 0; i < 4; i++) assert_int_equal(mkdir(path_of(root, folders[i]), 0777), 0);
    assert_int_equal(checkpoint_open(&c, single, &err), STATUS_OK);
    write_text(path_of(root, files[0]), "{\"_class_name\": \"StableDiffusionPipeline\"}");
    write_text(path_of(root, files[1]), "{\"prediction_type\": \"epsilon\"}");
    write_part(c, "model.diffusion_model.", path_of(root, files[2]), unet_name);
    write_part(c, "first_stage_model.", path_of(root, files[3]), vae_name);
    write_part(c, "cond_stage_model.transformer.", path_of(root, files[4]), text_name);
    checkpoint_close(c);

    struct limn_info info;
    assert_int_equal(limn_info_read(&info, root, NULL), LIMN_OK);
    assert_string_equal(info.kind, "sd1");
    assert_string_equal(info.format, "diffusers folder");
    assert_null(info.missing);
    limn_info_clear(&info);
    struct limn_picture a = paint(single), b = paint(root);
    assert_memory_equal(a.image.pixels, b.image.pixels, 64 * 64 * 3);
    limn_picture_clear(&a);
    limn_picture_clear(&b);

    for (int i = 0; i < 5; i++) assert_int_equal(unlink(path_of(root, files[i])), 0);
    for (int i = 0; i < 5; i++) assert_int_equal(rmdir(i < 4 ? path_of(root, folders[i]) : root), 0);
    tiny_remove(single);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_folder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
