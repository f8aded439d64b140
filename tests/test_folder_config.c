/* SPDX-License-Identifier: MIT
 *
 * What a diffusers folder's JSON says is done or refused, never passed over. Values are as diffusers writes them.
 */
#include "diffusion/folder_config.h"

#include "core/base/memory.h"
#include "core/io/checkpoint_build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

static const char unet_json[] = "unet/config.json", vae_json[] = "vae/config.json",
                  noise_json[] = "scheduler/scheduler_config.json";

/* A checkpoint without tensors that has this text beside it. */
static struct checkpoint *beside(const char *file, const char *text)
{
    uint8_t bytes[4096] = {0};
    struct error err = {0};
    struct checkpoint *c = NULL;
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", file, text);
    const size_t size = json_dumpb(header, (char *)bytes + 8, sizeof bytes - 8, JSON_COMPACT);
    json_decref(header);
    assert_true(size > 0 && size < sizeof bytes - 8);
    bytes[0] = (uint8_t)size;
    bytes[1] = (uint8_t)(size >> 8);
    if (checkpoint_open_memory(&c, bytes, size + 8, "beside", &err) != STATUS_OK) fail_msg("%s", err.text);
    return c;
}

/* SD 2.1's shape: attention on all levels but the last, where the middle has it. */
static const struct unet_config shape = {
    .levels = 4, .width = {320, 640, 1280, 1280}, .depth = {1, 1, 1, 0}, .heads = 8, .groups = 32};

static enum status read_unet(struct unet_config *config, const char *text, struct error *err)
{
    struct checkpoint *c = beside(unet_json, text);
    *config = shape;
    const enum status status = folder_config_unet(config, c, err);
    checkpoint_close(c);
    return status;
}

static void networks_are_as_the_folder_says(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int heads, head_size, groups;
    } cases[] = {
        {"{}", 8, 0, 32},
        {"{\"attention_head_dim\": 4, \"norm_num_groups\": 16}", 4, 0, 16},
        {"{\"attention_head_dim\": [5, 10, 20, 20], \"num_attention_heads\": null}", 0, 64, 32},
        {"{\"attention_head_dim\": [8, 8, 8, 8]}", 8, 0, 32},
        {"{\"attention_head_dim\": [10, 10, 10, 20], \"norm_num_groups\": null}", -1, 0, 0},
        {"{\"act_fn\": \"silu\", \"freq_shift\": 0, \"norm_eps\": 1e-05, \"mid_block_scale_factor\": 1.0,"
         " \"center_input_sample\": false, \"downsample_padding\": 1, \"class_embed_type\": null}",
         8, 0, 32},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct unet_config config;
        struct error err = {0};
        const enum status status = read_unet(&config, cases[i].text, &err);
        if (cases[i].heads < 0) {
            assert_int_equal(status, STATUS_UNSUPPORTED);
            continue;
        }
        if (status != STATUS_OK) fail_msg("%s: %s", cases[i].text, err.text);
        assert_int_equal(config.heads, cases[i].heads);
        assert_int_equal(config.head_size, cases[i].head_size);
        assert_int_equal(config.groups, cases[i].groups);
    }
    struct vae_config vae = {.groups = 32, .scale = 0.18215};
    struct error err = {0};
    struct checkpoint *c =
        beside(vae_json, "{\"norm_num_groups\": 8, \"scaling_factor\": 0.3, \"shift_factor\": null}");
    assert_int_equal(folder_config_vae(&vae, c, &err), STATUS_OK);
    checkpoint_close(c);
    assert_int_equal(vae.groups, 8);
    assert_float_equal(vae.scale, 0.3, 0);
}

static void noise_is_as_the_folder_says(void **state)
{
    (void)state;
    struct schedule_options options = SCHEDULE_STABLE_DIFFUSION;
    struct error err = {0};
    struct checkpoint *c = beside(noise_json, "{\"_class_name\": \"DDIMScheduler\", \"beta_schedule\": \"linear\","
                                              " \"beta_start\": 0.0001, \"beta_end\": 0.02,"
                                              " \"num_train_timesteps\": 500, \"set_alpha_to_one\": true,"
                                              " \"trained_betas\": null, \"thresholding\": false}");
    assert_int_equal(folder_config_schedule(&options, c, &err), STATUS_OK);
    checkpoint_close(c);
    assert_int_equal(options.betas, BETAS_LINEAR);
    assert_float_equal(options.beta_start, 0.0001, 0);
    assert_float_equal(options.beta_end, 0.02, 0);
    assert_int_equal(options.train_steps, 500);
    assert_true(options.final_alpha_one);
    assert_int_equal(options.steps_offset, 1); /* diffusers' pipelines insist on it */
    c = beside(noise_json, "{\"beta_schedule\": \"squaredcos_cap_v2\"}");
    assert_int_equal(folder_config_schedule(&options, c, &err), STATUS_OK);
    checkpoint_close(c);
    assert_int_equal(options.betas, BETAS_COSINE);
}

static void what_is_not_built_here_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *file, *text, *says;
    } cases[] = {
        {unet_json, "{\"attention_head_dim\": 0}",
         "'attention_head_dim' is 0; supported: whole numbers from 1 to 1024"},
        {unet_json, "{\"attention_head_dim\": [5, 10, 20, -20]}", "'attention_head_dim' is [5,10,20,-20]"},
        {unet_json, "{\"attention_head_dim\": [5, 10, 20]}", "'attention_head_dim' is [5,10,20]"},
        {unet_json, "{\"attention_head_dim\": [7, 10, 20, 20]}", "level 0 is 320 wide; 7 heads do not divide that"},
        {unet_json, "{\"attention_head_dim\": \"8\"}", "'attention_head_dim' is \"8\""},
        {unet_json, "{\"norm_num_groups\": 3.5}", "'norm_num_groups' is 3.5"},
        {unet_json, "{\"act_fn\": \"gelu\"}", "'act_fn' is \"gelu\"; supported: silu"},
        {unet_json, "{\"time_cond_proj_dim\": 256}", "'time_cond_proj_dim' is 256; supported: null"},
        {unet_json, "{\"center_input_sample\": true}", "'center_input_sample' is true; supported: 0"},
        {unet_json, "{\"norm_eps\": 1e-6}", "'norm_eps' is "},
        {unet_json, "[]", "unet/config.json: is no JSON object: it is of another type"},
        {unet_json, "{", "unet/config.json: is no JSON object: "},
        {vae_json, "{\"scaling_factor\": \"0.18215\"}", "'scaling_factor' is \"0.18215\""},
        {vae_json, "{\"scaling_factor\": 0}", "'scaling_factor' is 0; supported: numbers from 1e-06 to 1e+06"},
        {vae_json, "{\"shift_factor\": 0.1}", "vae/config.json: 'shift_factor' is "},
        {noise_json, "{\"beta_schedule\": \"sigmoid\"}", "'beta_schedule' is \"sigmoid\"; supported: linear, "},
        {noise_json, "{\"prediction_type\": \"flow_prediction\"}", "'prediction_type' is \"flow_prediction\""},
        {noise_json, "{\"trained_betas\": [0.1, 0.2]}", "'trained_betas' is "},
        {noise_json, "{\"num_train_timesteps\": 1}", "'num_train_timesteps' is 1"},
        {noise_json, "{\"beta_start\": -1}", "'beta_start' is -1"},
        {noise_json, "{\"thresholding\": true}", "'thresholding' is true"},
        {noise_json, "{\"timestep_spacing\": \"even\"}", "'timestep_spacing' is \"even\"; supported: leading, "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct unet_config unet = shape;
        struct vae_config vae = {.groups = 32};
        struct schedule_options noise = SCHEDULE_STABLE_DIFFUSION;
        struct error err = {0};
        struct checkpoint *c = beside(cases[i].file, cases[i].text);
        const enum status status = cases[i].file == unet_json  ? folder_config_unet(&unet, c, &err)
                                   : cases[i].file == vae_json ? folder_config_vae(&vae, c, &err)
                                                               : folder_config_schedule(&noise, c, &err);
        checkpoint_close(c);
        if (status == STATUS_OK || !strstr(err.text, cases[i].says))
            fail_msg("%s: must say \"%s\": %s", cases[i].text, cases[i].says, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_are_as_the_folder_says),
        cmocka_unit_test(noise_is_as_the_folder_says),
        cmocka_unit_test(what_is_not_built_here_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
