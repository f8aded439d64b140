/* SPDX-License-Identifier: MIT
 *
 * Guidance (Ho & Salimans 2022, arXiv 2207.12598) runs the U-Net on a batch of two, without and with the prompt:
 *
 *     input    [ x | extra ]   [ x | extra ]          each [h, w, in channels]
 *     context  negative        prompt
 *     output   u               c                      result: u + cfg (c - u)
 *
 * Masks that are neither black nor white follow Levin & Fried 2023 (arXiv 2306.00950): the greyer, the later a place is
 * let go.
 */
#include "pipeline/denoise.h"

#include "core/io/image_ops.h"
#include "core/tensor/exec.h"
#include "pipeline/api.h"
#include "pipeline/latent.h"

#include <math.h>
#include <string.h>

struct loop {
    const struct denoising *d;
    struct sampler *sampler;  /* owned */
    struct stage stage;       /* owned */
    struct arena memory;      /* holds the arrays below */
    size_t pixels, values;    /* of the latent */
    int batch;                /* 2 with guidance, else 1 */
    float *scaled;            /* [h, w, c]: x as the model sees it */
    float *input, *output;    /* [batch, h, w, in or out channels] */
    float *embedding, *fresh; /* [batch, model channels]; [h, w, c]: noise of a step, or the kept latent noised */
};

static float *take(struct loop *l, size_t count)
{
    return arena_alloc(&l->memory, count * sizeof(float));
}

/* The negative prompt's values, if there is one, and the prompt's behind them: `count` each. */
static enum status write_both(struct loop *l, const char *input, const float *negative, const float *prompt,
                              size_t count, struct error *err)
{
    float *both = memory_alloc_raw(2 * count * sizeof *both);
    if (!both) return fail_no_memory(err, "text states", 2 * count * sizeof *both);
    if (negative) memcpy(both, negative, count * sizeof *both);
    memcpy(both + (negative ? count : 0), prompt, count * sizeof *both);
    const enum status status = exec_write(l->stage.exec, input, both, err);
    memory_free(both);
    return status;
}

/* Written once for all steps. */
static enum status write_context(struct loop *l, struct error *err)
{
    const struct text_states *prompt = l->d->prompt, *negative = l->d->negative;
    const size_t width = (size_t)prompt->width, count = (size_t)prompt->tokens * width;
    enum status status = write_both(l, "context", negative ? negative->values : NULL, prompt->values, count, err);
    if (status == STATUS_OK && l->d->job->model->unet.pooled_width > 0)
        status = write_both(l, "pooled", negative ? negative->pooled : NULL, prompt->pooled, width, err);
    return status;
}

static enum status prepare(struct loop *l, struct error *err)
{
    const struct job *job = l->d->job;
    const struct unet_config *unet = &job->model->unet;
    struct graph *g = &l->stage.graph;
    const struct latent_shape s = job->latent;
    struct node *x = graph_input(g, "x", DTYPE_F32, SHAPE(l->batch, s.height, s.width, unet->in_channels));
    struct node *embedding = graph_input(g, "embedding", DTYPE_F32, SHAPE(l->batch, unet->model_channels));
    struct node *context =
        graph_input(g, "context", DTYPE_F32, SHAPE(l->batch, l->d->prompt->tokens, l->d->prompt->width));
    struct node *pooled =
        unet->pooled_width > 0 ? graph_input(g, "pooled", DTYPE_F32, SHAPE(l->batch, unet->pooled_width)) : NULL;
    graph_output(g, "y", unet_build(g, unet, &(struct unet_inputs){x, embedding, context, pooled}));
    enum status status = stage_open(&l->stage, job->model, job->model->checkpoint, err);
    if (status != STATUS_OK) return status;

    l->scaled = take(l, l->values);
    l->fresh = take(l, l->values);
    l->input = take(l, (size_t)l->batch * l->pixels * (size_t)unet->in_channels);
    l->output = take(l, (size_t)l->batch * l->values);
    l->embedding = take(l, (size_t)l->batch * (size_t)unet->model_channels);
    if (!l->scaled || !l->fresh || !l->input || !l->output || !l->embedding)
        return fail_no_memory(err, "latents", l->values * sizeof(float));
    return write_context(l, err);
}

/* [ x | extra ], once for each of the batch. */
static void fill_input(struct loop *l)
{
    const size_t channels = (size_t)l->d->job->latent.channels;
    const size_t wide = (size_t)l->d->job->model->unet.in_channels, extra = wide - channels;
    for (size_t p = 0; p < l->pixels; p++) {
        memcpy(l->input + p * wide, l->scaled + p * channels, channels * sizeof(float));
        if (extra > 0) memcpy(l->input + p * wide + channels, l->d->extra + p * extra, extra * sizeof(float));
    }
    if (l->batch == 2) memcpy(l->input + l->pixels * wide, l->input, l->pixels * wide * sizeof(float));
}

/* The model's guided output for step i, in the first half of l->output. */
static enum status run_model(struct loop *l, int i, struct error *err)
{
    const int channels = l->d->job->model->unet.model_channels;
    for (int b = 0; b < l->batch; b++)
        unet_time_embedding(sampler_step_at(l->sampler, i)->time, channels, l->embedding + (ptrdiff_t)b * channels);
    fill_input(l);
    enum status status = exec_write(l->stage.exec, "x", l->input, err);
    if (status == STATUS_OK) status = exec_write(l->stage.exec, "embedding", l->embedding, err);
    if (status == STATUS_OK) status = exec_run(l->stage.exec, err);
    if (status == STATUS_OK) status = exec_read(l->stage.exec, "y", l->output, err);
    if (status != STATUS_OK || l->batch == 1) return status;
    const float cfg = l->d->job->request.cfg, *with = l->output + l->values;
    for (size_t k = 0; k < l->values; k++) l->output[k] += cfg * (with[k] - l->output[k]);
    return STATUS_OK;
}

/* After step i, what the mask has not let go yet is the kept latent again, noised as far as the next step wants it. */
static void bring_back(struct loop *l, int i, float *x)
{
    const struct denoising *d = l->d;
    const int count = sampler_count(l->sampler);
    const size_t channels = (size_t)d->job->latent.channels;
    sampler_add_noise(l->sampler, i + 1, d->keep, d->noise, l->fresh, l->values);
    for (size_t p = 0; p < l->pixels; p++) {
        const float mask = d->mask[p];
        if (mask > 0 && (float)(i + 1) >= (1 - mask) * (float)count) continue;
        memcpy(x + p * channels, l->fresh + p * channels, channels * sizeof(float));
    }
}

/* What is left after `done` steps, for those who want to look: x as the model would see it next, or the last step's
 * estimate of the clean picture. */
static enum status show_preview(struct loop *l, int done, const float *x, struct error *err)
{
    const struct job *job = l->d->job;
    const struct limn_watch *watch = job->request.watch;
    if (!watch || !watch->preview || watch->preview_every < 1 || done % watch->preview_every != 0) return STATUS_OK;
    if (watch->preview_noisy) {
        sampler_input(l->sampler, done, x, l->fresh, l->values);
    } else if (done > 0) {
        const struct denoise estimate = sampler_step_at(l->sampler, done - 1)->denoise;
        for (size_t k = 0; k < l->values; k++)
            l->fresh[k] = (float)(estimate.x * (double)l->scaled[k] + estimate.output * (double)l->output[k]);
    } else {
        return STATUS_OK;
    }
    struct image image = {0};
    const size_t factor = (size_t)job->factor, count = l->pixels * factor * factor * 3;
    float *floats = memory_alloc_raw(count * sizeof *floats);
    enum status status = floats ? latent_decode(job->model, job->latent, l->fresh, floats, err)
                                : fail_no_memory(err, "a preview", count * sizeof *floats);
    if (status == STATUS_OK) status = image_from_floats(&image, floats, job->request.width, job->request.height, err);
    memory_free(floats);
    if (status == STATUS_OK) {
        const struct limn_image shown = api_limn_image(&image);
        watch->preview(watch->context, &shown, done);
    }
    image_clear(&image);
    return status;
}

static enum status check_finite(const struct loop *l, const float *x, int i, struct error *err)
{
    for (size_t k = 0; k < l->values; k++)
        if (!isfinite(x[k]))
            return fail(err, STATUS_FORMAT,
                        "%s: step %d gave values that are no numbers; the weights are damaged, or the prediction is "
                        "not '%s'",
                        l->d->job->model->path, i + 1, prediction_name(l->d->job->model->schedule.options.prediction));
    return STATUS_OK;
}

static enum status run_step(struct loop *l, int i, float *x, struct error *err)
{
    sampler_input(l->sampler, i, x, l->scaled, l->values);
    enum status status = run_model(l, i, err);
    const bool noisy = sampler_needs_noise(l->sampler, i);
    if (status == STATUS_OK && noisy) status = noise_draw(l->d->rng, l->d->job->latent, l->fresh, err);
    if (status != STATUS_OK) return status;
    sampler_step(l->sampler, i, l->output, noisy ? l->fresh : NULL, x);
    if (l->d->keep) bring_back(l, i, x);
    status = check_finite(l, x, i, err);
    return status == STATUS_OK ? show_preview(l, i + 1, x, err) : status;
}

static enum status run_loop(struct loop *l, float *x, struct error *err)
{
    const struct limn_watch *watch = l->d->job->request.watch;
    const int count = sampler_count(l->sampler);
    const double start = api_clock();
    if (l->d->start)
        sampler_add_noise(l->sampler, 0, l->d->start, l->d->noise, x, l->values);
    else
        sampler_start(l->sampler, l->d->noise, x);
    watch_progress(watch, LIMN_STAGE_STEP, 0, count, 0);
    enum status status = show_preview(l, 0, x, err);
    for (int i = 0; i < count && status == STATUS_OK; i++) {
        status = watch_check(watch, err);
        if (status == STATUS_OK) status = run_step(l, i, x, err);
        if (status == STATUS_OK) watch_progress(watch, LIMN_STAGE_STEP, i + 1, count, api_clock() - start);
    }
    return status == STATUS_OK ? watch_check(watch, err) : status;
}

enum status denoise(const struct denoising *d, float *x, struct error *err)
{
    const struct job *job = d->job;
    struct loop l = {.d = d, .batch = d->negative ? 2 : 1};
    l.pixels = (size_t)job->latent.height * (size_t)job->latent.width;
    l.values = l.pixels * (size_t)job->latent.channels;
    enum status status = job_sampler(job, d->start != NULL, &l.sampler, err);
    if (status == STATUS_OK) status = prepare(&l, err);
    if (status == STATUS_OK) status = run_loop(&l, x, err);
    stage_close(&l.stage);
    sampler_destroy(l.sampler);
    arena_clear(&l.memory);
    return status;
}
