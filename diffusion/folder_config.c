/* SPDX-License-Identifier: MIT
 *
 * Keys and their meanings are those of diffusers' UNet2DConditionModel, AutoencoderKL and schedulers. A U-Net's
 * `attention_head_dim` is the number of heads, one for all levels or one a level: an old mistake that is kept there.
 */
#include "diffusion/folder_config.h"

#include "core/io/quote.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { MOST_HEADS = 1024, MOST_GROUPS = 4096 };

/* ---- reading ---- */

struct reading {
    const char *file;
    json_t *root; /* NULL: there is no such file */
    struct error *err;
};

static enum status open_json(struct reading *r, const struct checkpoint *checkpoint, const char *file,
                             struct error *err)
{
    json_error_t why;
    const char *text = checkpoint_metadata(checkpoint, file);
    *r = (struct reading){.file = file, .root = text ? json_loads(text, 0, &why) : NULL, .err = err};
    if (!text || json_is_object(r->root)) return STATUS_OK;
    const enum status status = fail(err, STATUS_FORMAT, "%s: is no JSON object: %s", file,
                                    r->root ? "it is of another type" : quote(why.text).text);
    json_decref(r->root);
    r->root = NULL;
    return status;
}

static enum status refuse(const struct reading *r, const char *key, const char *allowed)
{
    char value[QUOTE_BYTES];
    const size_t size = json_dumpb(json_object_get(r->root, key), value, sizeof value, JSON_ENCODE_ANY | JSON_COMPACT);
    return fail(r->err, STATUS_UNSUPPORTED, "%s: '%s' is %s; supported: %s", r->file, key,
                quote_bytes(value, size < sizeof value ? size : sizeof value).text, allowed);
}

/* A key that is not there, or null, leaves `out` as it is. */
static const json_t *get(const struct reading *r, const char *key)
{
    const json_t *value = json_object_get(r->root, key);
    return json_is_null(value) ? NULL : value;
}

static enum status get_int(const struct reading *r, const char *key, int low, int high, int *out)
{
    const json_t *value = get(r, key);
    if (!value) return STATUS_OK;
    const json_int_t number = json_integer_value(value);
    if (json_is_integer(value) && number >= low && number <= high) {
        *out = (int)number;
        return STATUS_OK;
    }
    char allowed[64];
    snprintf(allowed, sizeof allowed, "whole numbers from %d to %d", low, high);
    return refuse(r, key, allowed);
}

static enum status get_real(const struct reading *r, const char *key, double low, double high, double *out)
{
    const json_t *value = get(r, key);
    if (!value) return STATUS_OK;
    const double number = json_number_value(value);
    if (json_is_number(value) && number >= low && number <= high) {
        *out = number;
        return STATUS_OK;
    }
    char allowed[64];
    snprintf(allowed, sizeof allowed, "numbers from %g to %g", low, high);
    return refuse(r, key, allowed);
}

/* ---- what is always built the same way here ---- */

/* The one value of a key that is supported: a text, a number, or, if both are left out, false. */
struct fixed {
    const char *key, *text;
    double number;
};

static const struct fixed unet_fixed[] = {
    {"act_fn", "silu", 0},
    {"norm_eps", NULL, 1e-5},
    {"freq_shift", NULL, 0},
    {"downsample_padding", NULL, 1},
    {"mid_block_scale_factor", NULL, 1},
    {"resnet_out_scale_factor", NULL, 1},
    {"conv_in_kernel", NULL, 3},
    {"conv_out_kernel", NULL, 3},
    {"mid_block_type", "UNetMidBlock2DCrossAttn", 0},
    {"resnet_time_scale_shift", "default", 0},
    {"time_embedding_type", "positional", 0},
    {"attention_type", "default", 0},
    {"center_input_sample", NULL, 0},
    {"dual_cross_attention", NULL, 0},
    {"only_cross_attention", NULL, 0},
    {"resnet_skip_time_act", NULL, 0},
    {"class_embed_type", "null", 0},
    {"addition_embed_type", "null", 0},
    {"encoder_hid_dim", "null", 0},
    {"time_cond_proj_dim", "null", 0},
    {"time_embedding_act_fn", "null", 0},
    {"timestep_post_act", "null", 0},
    {"cross_attention_norm", "null", 0},
    {"num_attention_heads", "null", 0},
};

static const struct fixed vae_fixed[] = {
    {"act_fn", "silu", 0}, {"shift_factor", "null", 0}, {"latents_mean", "null", 0}, {"latents_std", "null", 0}};

static const struct fixed schedule_fixed[] = {{"trained_betas", "null", 0}, {"thresholding", NULL, 0}};

/* Zero is false in Python, and so is 0.0. */
static bool is_fixed(const json_t *value, const struct fixed *fixed)
{
    if (fixed->text) return json_is_string(value) && strcmp(json_string_value(value), fixed->text) == 0;
    return json_is_number(value) ? json_number_value(value) == fixed->number
                                 : json_is_false(value) && fixed->number == 0;
}

static enum status check_fixed(const struct reading *r, const struct fixed *fixed, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const json_t *value = get(r, fixed[i].key);
        char number[32];
        if (!value || is_fixed(value, &fixed[i])) continue;
        snprintf(number, sizeof number, "%g", fixed[i].number);
        return refuse(r, fixed[i].key, fixed[i].text ? fixed[i].text : number);
    }
    return STATUS_OK;
}

/* ---- the U-Net ---- */

/* Heads of every level, as one number of heads or as one width of a head. */
static enum status set_heads(const struct reading *r, struct unet_config *c, const int heads[UNET_MAX_LEVELS])
{
    bool same_count = true, same_size = true, first = true;
    int count = 0, size = 0;
    for (int i = 0; i < c->levels; i++) {
        if (c->depth[i] == 0 && i < c->levels - 1) continue; /* no attention; the last one's is the middle's too */
        if (c->width[i] % heads[i] != 0)
            return fail(r->err, STATUS_FORMAT, "%s: level %d is %d wide; %d heads do not divide that", r->file, i,
                        c->width[i], heads[i]);
        same_count = same_count && (first || heads[i] == count);
        same_size = same_size && (first || c->width[i] / heads[i] == size);
        count = heads[i];
        size = c->width[i] / heads[i];
        first = false;
    }
    if (!same_count && !same_size)
        return refuse(r, "attention_head_dim", "as many heads, or heads as wide, at every level");
    c->heads = same_count ? count : 0;
    c->head_size = same_count ? 0 : size;
    return STATUS_OK;
}

static enum status read_heads(const struct reading *r, struct unet_config *c)
{
    const json_t *value = get(r, "attention_head_dim");
    int heads[UNET_MAX_LEVELS], one = 0;
    if (!value) return STATUS_OK;
    const bool list = json_is_array(value) && json_array_size(value) == (size_t)c->levels;
    const enum status status = list ? STATUS_OK : get_int(r, "attention_head_dim", 1, MOST_HEADS, &one);
    if (status != STATUS_OK) return status;
    for (int i = 0; i < c->levels; i++) {
        const json_int_t n = list ? json_integer_value(json_array_get(value, (size_t)i)) : one;
        if (n < 1 || n > MOST_HEADS) return refuse(r, "attention_head_dim", "whole numbers from 1 to 1024");
        heads[i] = (int)n;
    }
    return set_heads(r, c, heads);
}

enum status folder_config_unet(struct unet_config *config, const struct checkpoint *checkpoint, struct error *err)
{
    struct reading r;
    enum status status = open_json(&r, checkpoint, "unet/config.json", err);
    if (status != STATUS_OK) return status;
    status = check_fixed(&r, unet_fixed, sizeof unet_fixed / sizeof *unet_fixed);
    if (status == STATUS_OK) status = get_int(&r, "norm_num_groups", 1, MOST_GROUPS, &config->groups);
    if (status == STATUS_OK) status = read_heads(&r, config);
    json_decref(r.root);
    return status;
}

/* ---- the VAE and the noise ---- */

enum status folder_config_vae(struct vae_config *config, const struct checkpoint *checkpoint, struct error *err)
{
    struct reading r;
    enum status status = open_json(&r, checkpoint, "vae/config.json", err);
    if (status != STATUS_OK) return status;
    status = check_fixed(&r, vae_fixed, sizeof vae_fixed / sizeof *vae_fixed);
    if (status == STATUS_OK) status = get_int(&r, "norm_num_groups", 1, MOST_GROUPS, &config->groups);
    if (status == STATUS_OK) status = get_real(&r, "scaling_factor", 1e-6, 1e6, &config->scale);
    json_decref(r.root);
    return status;
}

static enum status check_prediction(const struct reading *r)
{
    static const char *const names[] = {"epsilon", "v_prediction", "sample"};
    const json_t *value = get(r, "prediction_type");
    for (size_t i = 0; json_is_string(value) && i < sizeof names / sizeof *names; i++)
        if (strcmp(json_string_value(value), names[i]) == 0) return STATUS_OK;
    return value ? refuse(r, "prediction_type", "epsilon, v_prediction and sample") : STATUS_OK;
}

static enum status read_betas(const struct reading *r, enum betas *betas)
{
    static const struct {
        const char *name;
        enum betas betas;
    } kinds[] = {{"linear", BETAS_LINEAR}, {"scaled_linear", BETAS_SCALED_LINEAR}, {"squaredcos_cap_v2", BETAS_COSINE}};
    const json_t *value = get(r, "beta_schedule");
    if (!value) return STATUS_OK;
    for (size_t i = 0; json_is_string(value) && i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(json_string_value(value), kinds[i].name) != 0) continue;
        *betas = kinds[i].betas;
        return STATUS_OK;
    }
    return refuse(r, "beta_schedule", "linear, scaled_linear and squaredcos_cap_v2");
}

static enum status read_spacing(const struct reading *r, enum spacing *spacing)
{
    static const char *const names[] = {
        [SPACING_LEADING] = "leading", [SPACING_LINSPACE] = "linspace", [SPACING_TRAILING] = "trailing"};
    const json_t *value = get(r, "timestep_spacing");
    if (!value) return STATUS_OK;
    for (int i = SPACING_LEADING; json_is_string(value) && i <= SPACING_TRAILING; i++) {
        if (strcmp(json_string_value(value), names[i]) != 0) continue;
        *spacing = (enum spacing)i;
        return STATUS_OK;
    }
    return refuse(r, "timestep_spacing", "leading, linspace and trailing");
}

enum status folder_config_schedule(struct schedule_options *options, const struct checkpoint *checkpoint,
                                   struct error *err)
{
    struct reading r;
    enum status status = open_json(&r, checkpoint, "scheduler/scheduler_config.json", err);
    if (status != STATUS_OK) return status;
    status = check_fixed(&r, schedule_fixed, sizeof schedule_fixed / sizeof *schedule_fixed);
    if (status == STATUS_OK) status = check_prediction(&r);
    if (status == STATUS_OK) status = read_betas(&r, &options->betas);
    if (status == STATUS_OK) status = read_spacing(&r, &options->spacing);
    if (status == STATUS_OK) status = get_real(&r, "beta_start", 1e-8, 0.999, &options->beta_start);
    if (status == STATUS_OK) status = get_real(&r, "beta_end", 1e-8, 0.999, &options->beta_end);
    if (status == STATUS_OK)
        status = get_int(&r, "num_train_timesteps", 2, SCHEDULE_MAX_TRAIN_STEPS, &options->train_steps);
    if (json_is_boolean(get(&r, "set_alpha_to_one")))
        options->final_alpha_one = json_is_true(get(&r, "set_alpha_to_one"));
    json_decref(r.root);
    return status;
}
