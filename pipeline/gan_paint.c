/* SPDX-License-Identifier: MIT */
#include "pipeline/gan_paint.h"

#include "core/base/memory.h"
#include "core/io/image_ops.h"
#include "diffusion/noise.h"
#include "pipeline/api.h"
#include "pipeline/job.h"

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
    const int side = model->gan->generator.side;
    enum status status = job_check_request(r, &job->rng, err);
    if (status != STATUS_OK) return status;
    if (r->truncation > 0 && r->truncation < LEAST_TRUNCATION)
        return fail(err, STATUS_ARGUMENT, "truncation %g: must be %g to %d, or 0 for none", (double)r->truncation,
                    (double)LEAST_TRUNCATION, LIMN_MAX_TRUNCATION);
    if (r->image) return fail(err, STATUS_UNSUPPORTED, "%s: a GAN paints from seeds and prompts alone", model->path);
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
    const struct latent_shape shape = {1, 1, job->model->gan->generator.latent};
    const struct noise_seed seed = {
        .kind = job->rng, .seed = r->seed, .subseed = r->subseed, .subseed_strength = (double)r->subseed_strength};
    struct rng rng;
    rng_init(&rng, seed.kind, seed.seed);
    const enum status status = noise_varied(&rng, &seed, shape, z, err);
    return status == STATUS_OK && r->truncation > 0 ? truncate(job, &rng, z, err) : status;
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

enum status gan_paint(const struct gan_job *job, struct image *out, struct error *err)
{
    const struct gan_config *generator = &job->model->gan->generator;
    const struct limn_watch *watch = job->request.watch;
    struct arena memory = {0};
    struct stage stage = {0};
    float *z = arena_alloc(&memory, (size_t)generator->latent * sizeof *z);
    float *text = arena_alloc(&memory, (size_t)(generator->text_width + 1) * sizeof *text);
    float *picture = arena_alloc(&memory, (size_t)generator->side * (size_t)generator->side * 3 * sizeof *picture);
    enum status status = z && text && picture ? STATUS_OK : fail_no_memory(err, "a picture", memory.used);
    if (status == STATUS_OK) status = gan_draw(job, z, err);
    if (status == STATUS_OK) status = gan_embed(job, text, err);
    if (status == STATUS_OK) status = watch_check(watch, err);
    const double start = api_clock();
    if (status == STATUS_OK) watch_progress(watch, LIMN_STAGE_DECODE, 0, 1, 0);
    if (status == STATUS_OK) status = gan_stage_open(&stage, job->model, err);
    if (status == STATUS_OK) status = exec_write(stage.exec, "z", z, err);
    if (status == STATUS_OK && generator->text_width) status = exec_write(stage.exec, "text", text, err);
    if (status == STATUS_OK) status = exec_run(stage.exec, err);
    if (status == STATUS_OK) status = exec_read(stage.exec, "picture", picture, err);
    if (status == STATUS_OK) status = image_from_floats(out, picture, generator->side, generator->side, err);
    if (status == STATUS_OK) watch_progress(watch, LIMN_STAGE_DECODE, 1, 1, api_clock() - start);
    stage_close(&stage);
    arena_clear(&memory);
    return status;
}
