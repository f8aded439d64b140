/* SPDX-License-Identifier: MIT */
#include "pipeline/kind.h"

#include "clip/image_tower.h"
#include "clip/text_tower.h"
#include "diffusion/names.h"
#include "diffusion/unet.h"
#include "diffusion/vae.h"
#include "gan/detect.h"
#include "pipeline/pack.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define UNET "model.diffusion_model."
#define VAE  "first_stage_model."

static const struct {
    const char *name, *title;
    bool runs;
} kinds[] = {
#define X(id, name, title, runs) {name, title, runs},
    MODEL_KIND_MAP(X)
#undef X
};

const char *kind_name(enum model_kind kind)
{
    return kinds[kind].name;
}

const char *kind_title(enum model_kind kind)
{
    return kinds[kind].title;
}

bool kind_runs(enum model_kind kind)
{
    return kinds[kind].runs;
}

bool kind_inpaints(enum model_kind kind)
{
    return kind == MODEL_SD1_INPAINT || kind == MODEL_SD2_INPAINT;
}

/* ---- names ---- */

static bool rename_text(void *context, const char *old, char out[CHECKPOINT_NAME_BYTES])
{
    (void)context;
    return text_rename(old, out);
}

enum status kind_normalise(struct checkpoint *checkpoint, struct error *err)
{
    struct diffusers_names names;
    enum status status = checkpoint_rename(checkpoint, rename_text, NULL, err);
    if (status == STATUS_OK && diffusers_names_detect(&names, checkpoint))
        status = checkpoint_rename(checkpoint, diffusers_rename, &names, err);
    return status;
}

/* ---- kinds ---- */

/* Dimension `at` of a tensor, 0 if there is no such tensor or dimension. */
static int64_t dimension(const struct checkpoint *c, const char *name, int at)
{
    const struct tensor *t = checkpoint_find(c, name);
    return t && at < t->rank ? t->dim[at] : 0;
}

/* SD 2.x has linear projections around its transformers where SD 1.x has 1x1 convolutions, and OpenCLIP's tower. */
static bool looks_like_sd2(const struct checkpoint *c)
{
    if (checkpoint_find(c, "cond_stage_model.model.token_embedding.weight")) return true;
    const struct tensor *projection = checkpoint_find(c, UNET "input_blocks.1.1.proj_in.weight");
    return projection && projection->rank == 2;
}

static enum model_kind find_kind(const struct checkpoint *c)
{
    if (image_tower_present(c) && !unet_present(c)) return MODEL_CLIP;
    if (pack_present(c)) return MODEL_PACK;
    if (checkpoint_find(c, UNET "label_emb.0.0.weight")) return MODEL_SDXL;
    if (!unet_present(c)) return MODEL_UNKNOWN;
    const bool sd2 = looks_like_sd2(c);
    switch (dimension(c, UNET "input_blocks.0.0.weight", 1)) {
    case 4: return sd2 ? MODEL_SD2 : MODEL_SD1;
    case 9: return sd2 ? MODEL_SD2_INPAINT : MODEL_SD1_INPAINT;
    case 8: return MODEL_PIX2PIX;
    default: return MODEL_OTHER;
    }
}

/* ---- predictions ---- where files say what their U-Net predicts */

static void read_scheduler_config(struct recognition *r, const char *text)
{
    json_t *json = text ? json_loads(text, 0, NULL) : NULL;
    const char *name = json_string_value(json_object_get(json, "prediction_type"));
    if (name) r->prediction_said = prediction_find(name, &r->prediction);
    r->zero_snr = json_is_true(json_object_get(json, "rescale_betas_zero_snr"));
    json_decref(json);
}

static void find_prediction(struct recognition *r, const struct checkpoint *c)
{
    /* ModelSpec (Stability AI) in safetensors metadata; empty tensors as markers, from NovelAI's and later files. */
    static const char *const keys[] = {"modelspec.prediction_type", "modelspec.predict_key"};
    read_scheduler_config(r, checkpoint_metadata(c, "scheduler/scheduler_config.json"));
    for (int i = 0; i < 2 && !r->prediction_said; i++) {
        const char *value = checkpoint_metadata(c, keys[i]);
        if (value) r->prediction_said = prediction_find(value, &r->prediction);
    }
    if (!r->prediction_said && checkpoint_find(c, "v_pred")) {
        r->prediction_said = true;
        r->prediction = PREDICTION_V;
    }
    if (checkpoint_find(c, "ztsnr")) r->zero_snr = true;
}

/* A GAN's networks have no names that tell, only shapes: they are looked for where there is no U-Net. */
static void find_gan(struct recognition *r, const struct checkpoint *c)
{
    struct gan_config config;
    r->discriminator = gan_find(&config, GAN_DISCRIMINATOR, c);
    r->generator = gan_find(&config, GAN_GENERATOR, c);
    r->conditional = r->generator && config.text_width > 0;
    if (r->generator || r->discriminator) r->kind = MODEL_GAN;
    if (!r->generator && !r->text && !r->vae_encoder && !gan_fault(c, r->fault, sizeof r->fault)) r->fault[0] = '\0';
}

struct recognition kind_recognise(const struct checkpoint *checkpoint)
{
    struct recognition r = {
        .kind = find_kind(checkpoint),
        .text = text_present(checkpoint),
        .unet = unet_present(checkpoint),
        .vae_encoder = checkpoint_find(checkpoint, VAE "encoder.conv_in.weight") != NULL,
        .vae_decoder = vae_present(checkpoint),
    };
    if (pack_patch(checkpoint) > 0) r.vae_encoder = r.vae_decoder = true; /* pixels need none */
    if (r.unet) find_prediction(&r, checkpoint);
    if (!r.unet && !r.vae_decoder) find_gan(&r, checkpoint);
    return r;
}

/* ---- what is missing ---- */

static void list_parts(char *text, const bool wanted[3])
{
    static const char *const names[] = {"a text encoder", "a U-Net", "a VAE"};
    int left = wanted[0] + wanted[1] + wanted[2];
    bool first = true;
    for (int i = 0; i < 3; i++) {
        if (!wanted[i]) continue;
        left--;
        const char *joint = first ? "" : left > 0 ? ", " : " and ";
        snprintf(text + strlen(text), KIND_TEXT_BYTES - strlen(text), "%s%s", joint, names[i]);
        first = false;
    }
}

const char *kind_missing(const struct recognition *r, char text[KIND_TEXT_BYTES])
{
    const bool there[3] = {r->text, r->unet, r->vae_decoder};
    const bool missing[3] = {!r->text, !r->unet, !r->vae_decoder};
    const int count = there[0] + there[1] + there[2];
    if (count == 3) return NULL;
    text[0] = '\0';
    if (r->kind == MODEL_CLIP) {
        snprintf(text, KIND_TEXT_BYTES, "a CLIP model, which paints nothing; limn score reads it");
        return text;
    }
    if (r->kind == MODEL_GAN) {
        if (r->generator && (r->text || !r->conditional)) return NULL;
        snprintf(text, KIND_TEXT_BYTES, "a GAN's %s%s%s",
                 r->generator ? "generator that follows a text; needs a text encoder"
                              : "discriminator only; needs a generator",
                 r->fault[0] ? ", of which " : "", r->fault);
        return text;
    }
    if (count == 0) {
        snprintf(text, KIND_TEXT_BYTES,
                 "no part of a model that limn knows: no text encoder, no U-Net, no VAE, no GAN%s%s",
                 r->fault[0] ? "; a GAN's networks are there if they are whole, and " : "", r->fault);
        return text;
    }
    list_parts(text, there);
    snprintf(text + strlen(text), KIND_TEXT_BYTES - strlen(text), "%s; needs ", count == 1 ? " only" : "");
    list_parts(text, missing);
    return text;
}
