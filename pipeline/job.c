/* SPDX-License-Identifier: MIT */
#include "pipeline/job.h"

#include "clip/text.h"
#include "core/io/quote.h"
#include "pipeline/api.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SIDE_STEP = 8, DEFAULT_STEPS = 20, NAMES_BYTES = 256 };

static const char *const rng_names[] = {[RNG_PHILOX] = "philox", [RNG_MT19937] = "mt19937"};

const char *limn_rng_name(int i)
{
    return i >= 0 && i < (int)(sizeof rng_names / sizeof *rng_names) ? rng_names[i] : NULL;
}

/* "a, b, c" */
static const char *list_names(const char *(*names)(int i), char text[NAMES_BYTES])
{
    text[0] = '\0';
    for (int i = 0; names(i); i++)
        snprintf(text + strlen(text), NAMES_BYTES - strlen(text), "%s%s", i ? ", " : "", names(i));
    return text;
}

static enum status check_text(const char **text, const char *what, struct error *err)
{
    if (!*text) *text = "";
    return text_check(*text, strlen(*text), what, err);
}

/* ---- sizes ---- */

/* Side of the pictures that the model was trained on. */
static int native_side(const struct limn_model *model)
{
    if (model->recognised.kind == MODEL_PACK) return model->pack.size;
    const bool sd2 = model->recognised.kind == MODEL_SD2;
    return sd2 && model->schedule.options.prediction == PREDICTION_V ? 768 : 512;
}

static int least_side(int step)
{
    return LIMN_MIN_SIDE > step ? LIMN_MIN_SIDE : step;
}

static int to_step(double side, int step)
{
    const double most = LIMN_MAX_SIDE - LIMN_MAX_SIDE % step;
    return (int)fmin(fmax(floor(side / step + 0.5) * step, least_side(step)), most);
}

/* A picture that is near the model's own size is worked on as it is; others are brought to the model's number of
 * pixels, their shape kept as well as the step allows. */
static void fit_image(struct limn_request *r, int native, int step)
{
    const double width = r->image->width, height = r->image->height, area = (double)native * native;
    double scale = sqrt(area / (width * height));
    if (scale > 0.7 && scale < 1.5) scale = 1;
    r->width = to_step(width * scale, step);
    r->height = to_step(height * scale, step);
}

static enum status check_size(struct job *job, struct error *err)
{
    struct limn_request *r = &job->request;
    const int step = job->factor > SIDE_STEP ? job->factor : SIDE_STEP;
    const int native = native_side(job->model);
    if (r->width == 0 && r->height == 0) {
        r->width = r->height = native;
        if (r->image) fit_image(r, native, step);
    }
    const int least = least_side(step);
    const int side[2] = {r->width, r->height};
    for (int i = 0; i < 2; i++)
        if (side[i] < least || side[i] > LIMN_MAX_SIDE || side[i] % step)
            return fail(err, STATUS_ARGUMENT, "size %dx%d: sides must be multiples of %d from %d to %d", r->width,
                        r->height, step, least, LIMN_MAX_SIDE);
    job->latent =
        (struct latent_shape){r->height / job->factor, r->width / job->factor, job->model->vae.latent_channels};
    return STATUS_OK;
}

/* ---- names ---- */

static enum status find_names(struct job *job, struct error *err)
{
    struct limn_request *r = &job->request;
    const struct pack *pack = &job->model->pack;
    char names[NAMES_BYTES];
    if (!r->schedule && !r->sampler) r->schedule = pack->sampler_schedule;
    if (!r->schedule) r->schedule = "default";
    if (!r->sampler) r->sampler = pack->sampler ? pack->sampler : "dpm++2m";
    job->sampler = sampler_kind_find(r->sampler);
    if (!job->sampler)
        return fail(err, STATUS_ARGUMENT, "sampler '%s': must be one of %s", quote(r->sampler).text,
                    list_names(limn_sampler_name, names));
    job->schedule = sampler_schedule_find(r->schedule);
    if (!job->schedule)
        return fail(err, STATUS_ARGUMENT, "schedule '%s': must be one of %s", quote(r->schedule).text,
                    list_names(limn_schedule_name, names));
    return STATUS_OK;
}

static enum status find_rng(struct limn_request *r, enum rng_kind *rng, struct error *err)
{
    char names[NAMES_BYTES];
    if (!r->rng) r->rng = rng_names[RNG_PHILOX];
    for (int i = 0; limn_rng_name(i); i++) {
        if (strcmp(limn_rng_name(i), r->rng) != 0) continue;
        *rng = (enum rng_kind)i;
        return STATUS_OK;
    }
    return fail(err, STATUS_ARGUMENT, "rng '%s': must be one of %s", quote(r->rng).text,
                list_names(limn_rng_name, names));
}

/* ---- numbers ---- */

static enum status check_int(const char *name, int value, int low, int high, struct error *err)
{
    if (value >= low && value <= high) return STATUS_OK;
    return fail(err, STATUS_ARGUMENT, "%s %d: must be %d to %d", name, value, low, high);
}

static enum status check_real(const char *name, float value, double low, double high, struct error *err)
{
    if ((double)value >= low && (double)value <= high) return STATUS_OK;
    return fail(err, STATUS_ARGUMENT, "%s %g: must be %g to %g", name, (double)value, low, high);
}

static enum status check_seed(const char *name, uint64_t seed, struct error *err)
{
    if (seed <= INT64_MAX) return STATUS_OK;
    return fail(err, STATUS_ARGUMENT, "%s %llu: must be 0 to %lld", name, (unsigned long long)seed,
                (long long)INT64_MAX);
}

static enum status check_numbers(struct job *job, struct error *err)
{
    struct limn_request *r = &job->request;
    const struct pack *pack = &job->model->pack;
    if (r->steps == 0) r->steps = pack->steps ? pack->steps : DEFAULT_STEPS;
    if (r->cfg == 0) r->cfg = pack->cfg > 0 ? (float)pack->cfg : 7.5F;
    if (r->truncation > 0)
        return fail(err, STATUS_ARGUMENT, "truncation %g: only a GAN has a latent vector to truncate, and %s is none",
                    (double)r->truncation, job->model->path);
    enum status status = check_int("steps", r->steps, 1, LIMN_MAX_STEPS, err);
    if (status == STATUS_OK) status = check_real("cfg", r->cfg, 1, LIMN_MAX_CFG, err);
    if (status == STATUS_OK) status = check_real("eta", r->eta, 0, 1, err);
    if (status == STATUS_OK) status = check_int("clip skip", r->clip_skip, 0, LIMN_MAX_CLIP_SKIP, err);
    return status;
}

static enum status check_pictures(const struct job *job, struct error *err)
{
    const struct limn_request *r = &job->request;
    if (kind_inpaints(job->model->recognised.kind) && r->image && !r->mask)
        return fail(err, STATUS_ARGUMENT,
                    "%s is an inpainting model: it changes a picture only where a mask says so, and there is no mask",
                    job->model->path);
    return STATUS_OK;
}

enum status job_check_request(struct limn_request *r, enum rng_kind *rng, struct error *err)
{
    if (r->strength == 0) r->strength = r->mask ? 1 : 0.75F;
    r->invert_mask = r->invert_mask != 0;
    enum status status = check_text(&r->prompt, "the prompt", err);
    if (status == STATUS_OK) status = check_text(&r->negative, "the negative prompt", err);
    if (status == STATUS_OK) status = check_real("strength", r->strength, 0, 1, err);
    if (status == STATUS_OK) status = check_real("subseed strength", r->subseed_strength, 0, 1, err);
    if (status == STATUS_OK) status = check_real("truncation", r->truncation, 0, LIMN_MAX_TRUNCATION, err);
    if (status == STATUS_OK) status = check_int("mask blur", r->mask_blur, 0, LIMN_MAX_MASK_BLUR, err);
    if (status == STATUS_OK) status = check_seed("seed", r->seed, err);
    if (status == STATUS_OK) status = check_seed("subseed", r->subseed, err);
    if (status == STATUS_OK) status = find_rng(r, rng, err);
    if (status != STATUS_OK) return status;
    if (r->mask && !r->image) return fail(err, STATUS_ARGUMENT, "there is a mask, but no picture that it belongs to");
    if (r->image) status = api_check_image(r->image, "a picture", err);
    return status == STATUS_OK && r->mask ? api_check_image(r->mask, "a mask", err) : status;
}

enum status job_sampler(const struct job *job, bool from_picture, struct sampler **out, struct error *err)
{
    const struct limn_request *r = &job->request;
    const struct sampler_options options = {
        .name = job->sampler->name,
        .schedule = job->schedule->name,
        .steps = r->steps,
        .eta = (double)r->eta,
        /* 0.7F is a little less than 0.7, and int(10 * 0.7) must be 7. */
        .strength = from_picture ? fmax(round((double)r->strength * 1e6), 1) / 1e6 : 1, /* 0 would mean all */
        .values = (size_t)job->latent.height * (size_t)job->latent.width * (size_t)job->latent.channels,
    };
    return sampler_create(out, &job->model->schedule, &options, err);
}

enum status job_init(struct job *job, struct limn_model *model, const struct limn_request *request, struct error *err)
{
    *job = (struct job){.model = model, .request = *request, .factor = vae_factor(&model->vae)};
    enum status status = job_check_request(&job->request, &job->rng, err);
    if (status == STATUS_OK) status = check_numbers(job, err);
    if (status == STATUS_OK) status = find_names(job, err);
    if (status == STATUS_OK) status = check_pictures(job, err);
    if (status == STATUS_OK) status = check_size(job, err);
    struct sampler *trial = NULL; /* What the sampler would refuse is refused before anything runs. */
    if (status == STATUS_OK) status = job_sampler(job, request->image != NULL, &trial, err);
    sampler_destroy(trial);
    return status;
}
