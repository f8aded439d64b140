/* SPDX-License-Identifier: MIT */
#include "pipeline/gan_paint.h"

#include "core/base/memory.h"
#include "core/io/image_ops.h"
#include "diffusion/noise.h"
#include "pipeline/api.h"
#include "pipeline/gan_find.h"
#include "pipeline/job.h"
#include "pipeline/source.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LEAST_TRUNCATION 0.01F /* one draw in 125 is within it */

/* ---- the request ---- */

/* "steps, sampler and cfg" */
static void list_unused(const struct limn_request *r, char *text, size_t size)
{
    const struct {
        const char *name;
        bool given;
    } settings[] = {{"negative prompt", r->negative && r->negative[0]},
                    {"steps", r->steps != 0},
                    {"cfg", r->cfg != 0},
                    {"sampler", r->sampler != NULL},
                    {"schedule", r->schedule != NULL},
                    {"eta", r->eta != 0},
                    {"clip skip", r->clip_skip != 0}};
    enum { SETTINGS = sizeof settings / sizeof *settings };
    int left = 0;
    for (int i = 0; i < SETTINGS; i++) left += settings[i].given;
    text[0] = '\0';
    for (int i = 0; i < SETTINGS; i++) {
        if (!settings[i].given) continue;
        const size_t at = strlen(text);
        left--;
        snprintf(text + at, size - at, "%s%s", settings[i].name, left > 1 ? ", " : left == 1 ? " and " : "");
    }
}

static void note_unused(const struct gan_job *job, const struct limn_request *request)
{
    char unused[128];
    list_unused(request, unused, sizeof unused);
    if (unused[0]) watch_note(request->watch, "a GAN paints in one pass and has no use for %s", unused);
    if (job->request.prompt[0] && !job->model->gan->generator.text_width)
        watch_note(request->watch, "this GAN takes no text: the prompt does not change the picture");
}

enum status gan_job_init(struct gan_job *job, struct limn_model *model, const struct limn_request *request,
                         struct error *err)
{
    *job = (struct gan_job){.model = model, .request = *request};
    struct limn_request *r = &job->request;
    const int side = model->gan->paints ? model->gan->generator.side : model->gan->discriminator.side;
    enum status status = job_check_request(r, &job->rng, err);
    if (status != STATUS_OK) return status;
    if (r->truncation > 0 && r->truncation < LEAST_TRUNCATION)
        return fail(err, STATUS_ARGUMENT, "truncation %g: must be %g to %d, or 0 for none", (double)r->truncation,
                    (double)LEAST_TRUNCATION, LIMN_MAX_TRUNCATION);
    if ((r->width != 0 || r->height != 0) && (r->width != side || r->height != side))
        return fail(err, STATUS_ARGUMENT, "size %dx%d: this GAN paints pictures of %dx%d and no others", r->width,
                    r->height, side, side);
    r->width = r->height = side;
    note_unused(job, request);
    r->negative = "";
    return STATUS_OK;
}

/* ---- latents and texts ---- */

static enum status truncate(const struct gan_job *job, struct rng *rng, float *z, struct error *err)
{
    const struct latent_shape shape = {1, 1, job->model->gan->generator.latent};
    const float most = job->request.truncation;
    float *other = memory_alloc_raw((size_t)shape.channels * sizeof *other);
    enum status status = other ? STATUS_OK : fail_no_memory(err, "a latent", (size_t)shape.channels * sizeof *other);
    for (bool beyond = true; beyond && status == STATUS_OK;) {
        beyond = false;
        for (int i = 0; i < shape.channels; i++) beyond = beyond || fabsf(z[i]) > most;
        if (!beyond) break;
        status = noise_draw(rng, shape, other, err);
        for (int i = 0; i < shape.channels && status == STATUS_OK; i++)
            if (fabsf(z[i]) > most) z[i] = other[i];
    }
    memory_free(other);
    return status;
}

enum status gan_draw(const struct gan_job *job, float *z, struct error *err)
{
    const struct limn_request *r = &job->request;
    const size_t latent = (size_t)job->model->gan->generator.latent, bytes = latent * sizeof(float);
    struct rng rng;
    float *other = r->subseed_strength > 0 ? memory_alloc_raw(bytes) : NULL;
    if (r->subseed_strength > 0 && !other) return fail_no_memory(err, "a latent vector", bytes);
    if (other) {
        rng_init(&rng, job->rng, r->subseed);
        rng_normal(&rng, other, latent);
    }
    rng_init(&rng, job->rng, r->seed);
    rng_normal(&rng, z, latent);
    if (other) limn_latent_between(z, z, other, (int)latent, (double)r->subseed_strength);
    memory_free(other);
    return r->truncation > 0 ? truncate(job, &rng, z, err) : STATUS_OK;
}

enum status gan_embed(const struct gan_job *job, float *text, struct error *err)
{
    const int width = job->model->gan->generator.text_width;
    const struct limn_watch *watch = job->request.watch;
    struct text_states states = {0};
    if (width == 0) return STATUS_OK;
    const double start = api_clock();
    watch_progress(watch, LIMN_STAGE_TEXT, 0, 1, 0);
    const enum status status =
        text_encoder_encode(job->model->text, job->request.prompt, &(struct text_request){0}, &states, err);
    if (status == STATUS_OK) memcpy(text, states.pooled, (size_t)width * sizeof *text);
    if (status == STATUS_OK) watch_progress(watch, LIMN_STAGE_TEXT, 1, 1, api_clock() - start);
    text_states_clear(&states);
    return status;
}

/* ---- the picture ---- */

enum status gan_paint_latent(const struct gan_job *job, const float *text, const float *z, struct image *out,
                             struct error *err)
{
    const struct gan_config *generator = &job->model->gan->generator;
    const struct limn_watch *watch = job->request.watch;
    const size_t values = (size_t)generator->side * (size_t)generator->side * 3;
    const double start = api_clock();
    struct stage stage = {0};
    float *picture = memory_alloc_raw(values * sizeof *picture);
    enum status status = picture ? watch_check(watch, err) : fail_no_memory(err, "a picture", values * sizeof *picture);
    if (status == STATUS_OK) watch_progress(watch, LIMN_STAGE_DECODE, 0, 1, 0);
    if (status == STATUS_OK) status = gan_stage_open(&stage, job->model, err);
    if (status == STATUS_OK) status = exec_write(stage.exec, "z", z, err);
    if (status == STATUS_OK && generator->text_width) status = exec_write(stage.exec, "text", text, err);
    if (status == STATUS_OK) status = exec_run(stage.exec, err);
    if (status == STATUS_OK) status = exec_read(stage.exec, "picture", picture, err);
    if (status == STATUS_OK) (void)model_check_picture(job->model, picture, values, watch, err);
    if (status == STATUS_OK) status = err->status;
    if (status == STATUS_OK) status = image_from_floats(out, picture, generator->side, generator->side, err);
    if (status == STATUS_OK) watch_progress(watch, LIMN_STAGE_DECODE, 1, 1, api_clock() - start);
    stage_close(&stage);
    memory_free(picture);
    return status;
}

/* ---- the request's picture ---- */

enum status gan_load_picture(const struct gan_job *job, int side, int channels, float *out, struct error *err)
{
    const struct image given = api_image(job->request.image);
    struct image rgb = {0}, small = {0};
    enum status status = image_to_rgb(&rgb, &given, err);
    if (status == STATUS_OK) status = image_resize(&small, &rgb, side, side, IMAGE_LANCZOS, err);
    if (status == STATUS_OK) image_to_floats(out, &small);
    for (size_t i = 0; status == STATUS_OK && channels == 1 && i < (size_t)side * (size_t)side; i++)
        out[i] = 0.299F * out[3 * i] + 0.587F * out[3 * i + 1] + 0.114F * out[3 * i + 2];
    image_clear(&small);
    image_clear(&rgb);
    return status;
}

/* What is kept: 1 where the mask is black. */
static enum status load_weight(const struct gan_job *job, const struct image *mask, float *out, struct error *err)
{
    const int side = job->model->gan->generator.side;
    const size_t pixels = (size_t)side * (size_t)side;
    struct image small = {0};
    for (size_t i = 0; i < pixels; i++) out[i] = 1;
    if (!mask->pixels) return STATUS_OK;
    const enum status status = image_resize(&small, mask, side, side, IMAGE_BILINEAR, err);
    for (size_t i = 0; i < pixels && status == STATUS_OK; i++) out[i] = 1 - (float)small.pixels[i] / 255;
    image_clear(&small);
    return status;
}

/* Picture, weight and text lie one after the other in a block that the caller frees with memory_free. */
static enum status load_target(const struct gan_job *job, const struct image *mask, const float *text,
                               struct gan_target *target, float **block, struct error *err)
{
    const struct gan_config *generator = &job->model->gan->generator;
    const size_t pixels = (size_t)generator->side * (size_t)generator->side, width = (size_t)generator->text_width;
    const size_t bytes = (pixels * 4 + width) * sizeof **block;
    float *picture = *block = memory_alloc_raw(bytes);
    if (!picture) return fail_no_memory(err, "a picture", bytes);
    float *weight = picture + pixels * 3, *words = weight + pixels;
    *target = (struct gan_target){.picture = picture, .weight = weight, .text = words, .floats = bytes / sizeof *words};
    if (width) memcpy(words, text, width * sizeof *words);
    const enum status status = gan_load_picture(job, generator->side, 3, picture, err);
    return status == STATUS_OK ? load_weight(job, mask, weight, err) : status;
}

/* Looks for the target's vector, unless it was the last that was looked for. */
static enum status find(const struct gan_job *job, const struct gan_target *target, float *z, float *rms,
                        struct error *err)
{
    struct gan_found *found = &job->model->gan->found;
    const size_t latent = (size_t)job->model->gan->generator.latent, floats = target->floats;
    if (!found->target || memcmp(found->target, target->picture, floats * sizeof *found->target) != 0) {
        struct gan_found now = {0};
        now.target = memory_alloc_raw((floats + latent) * sizeof *now.target);
        if (!now.target) return fail_no_memory(err, "a vector", (floats + latent) * sizeof *now.target);
        now.z = now.target + floats;
        memcpy(now.target, target->picture, floats * sizeof *now.target);
        const enum status status = gan_find_latent(job, target, now.z, &now.rms, err);
        memory_free(status == STATUS_OK ? found->target : now.target);
        if (status != STATUS_OK) return status;
        *found = now;
    }
    memcpy(z, found->z, latent * sizeof *z);
    if (rms) *rms = found->rms;
    return STATUS_OK;
}

enum status gan_find_picture(const struct gan_job *job, const struct image *mask, const float *text, float *z,
                             float *rms, struct error *err)
{
    struct gan_target target;
    float *block;
    enum status status = load_target(job, mask, text, &target, &block, err);
    if (status == STATUS_OK) status = find(job, &target, z, rms, err);
    memory_free(block);
    return status;
}

/* The picture's own vector, turned towards the seed's as far as strength says: both are as long as vectors are that the
 * generator knows, and so is what comes out. */
static enum status vary(const struct gan_job *job, const float *text, float *z, float *other, struct error *err)
{
    const double strength = (double)job->request.strength;
    const struct image no_mask = {0};
    enum status status = gan_find_picture(job, &no_mask, text, z, NULL, err);
    if (status == STATUS_OK) status = gan_draw(job, other, err);
    if (status == STATUS_OK) limn_latent_between(z, z, other, job->model->gan->generator.latent, strength);
    return status;
}

/* The same with half the strength, and then brought back to what the mask leaves of the picture. */
static enum status edit(const struct gan_job *job, const struct image *mask, const float *text, float *z, float *other,
                        struct error *err)
{
    const double strength = (double)job->request.strength / 2;
    struct gan_target target;
    float *block;
    enum status status = load_target(job, mask, text, &target, &block, err);
    if (status == STATUS_OK) status = find(job, &target, z, NULL, err);
    if (status == STATUS_OK) status = gan_draw(job, other, err);
    if (status == STATUS_OK) limn_latent_between(z, z, other, job->model->gan->generator.latent, strength);
    if (status == STATUS_OK) status = gan_fit_latent(job, &target, z, err);
    memory_free(block);
    return status;
}

enum status gan_need_generator(const struct gan_job *job, struct error *err)
{
    if (job->model->gan->paints) return STATUS_OK;
    return fail(err, STATUS_UNSUPPORTED, "%s: a GAN's discriminator only; needs a generator", job->model->path);
}

enum status gan_paint(const struct gan_job *job, struct image *out, struct error *err)
{
    if (gan_need_generator(job, err) != STATUS_OK) return err->status;
    const struct gan_config *generator = &job->model->gan->generator;
    const struct limn_request *r = &job->request;
    struct arena memory = {0};
    struct image mask = {0}, painted = {0};
    float *z = arena_alloc(&memory, (size_t)generator->latent * sizeof *z);
    float *other = arena_alloc(&memory, (size_t)generator->latent * sizeof *other);
    float *text = arena_alloc(&memory, (size_t)(generator->text_width + 1) * sizeof *text);
    enum status status = z && other && text ? STATUS_OK : fail_no_memory(err, "a latent", memory.used);
    if (status == STATUS_OK) status = gan_embed(job, text, err);
    if (status == STATUS_OK && r->mask) status = source_mask(&mask, r, err);
    if (status == STATUS_OK)
        status = r->mask    ? edit(job, &mask, text, z, other, err)
                 : r->image ? vary(job, text, z, other, err)
                            : gan_draw(job, z, err);
    if (status == STATUS_OK) status = gan_paint_latent(job, text, z, &painted, err);
    if (status == STATUS_OK && r->mask) {
        status = source_compose(r, &mask, &painted, out, err);
    } else if (status == STATUS_OK) {
        *out = painted;
        painted = (struct image){0};
    }
    image_clear(&painted);
    image_clear(&mask);
    arena_clear(&memory);
    return status;
}
