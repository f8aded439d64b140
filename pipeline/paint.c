/* SPDX-License-Identifier: MIT
 *
 * One picture, from request to pixels. Each stage frees its activations before the next one begins:
 *
 *     text -> states      picture, mask -> latents      noise -> U-Net, step by step -> latent      latent -> pixels
 */
#include "core/io/image_ops.h"
#include "core/io/quote.h"
#include "pipeline/api.h"
#include "pipeline/denoise.h"
#include "pipeline/devices.h"
#include "pipeline/gan_paint.h"
#include "pipeline/infotext.h"
#include "pipeline/latent.h"
#include "pipeline/source.h"

#include <string.h>

struct states {
    struct text_states prompt, negative;
};

/* States of the prompt and, if there is guidance, of the negative prompt: as long as each other, the shorter filled up
 * with empty chunks. As in diffusers, clip skip is the prompt's alone. */
static enum status encode_text(const struct job *job, struct states *states, struct error *err)
{
    struct text_encoder *text = job->model->text;
    const struct limn_request *r = &job->request;
    struct text_request prompt = {.clip_skip = r->clip_skip}, negative = {0};
    const double start = api_clock();
    watch_progress(r->watch, LIMN_STAGE_TEXT, 0, 1, 0);
    enum status status = text_encoder_encode(text, r->prompt, &prompt, &states->prompt, err);
    if (status == STATUS_OK && r->cfg > 1) {
        negative.min_chunks = states->prompt.chunks;
        status = text_encoder_encode(text, r->negative, &negative, &states->negative, err);
    }
    if (status == STATUS_OK && states->negative.chunks > states->prompt.chunks) {
        prompt.min_chunks = states->negative.chunks;
        text_states_clear(&states->prompt);
        status = text_encoder_encode(text, r->prompt, &prompt, &states->prompt, err);
    }
    if (status == STATUS_OK) watch_progress(r->watch, LIMN_STAGE_TEXT, 1, 1, api_clock() - start);
    return status;
}

static enum status make_latent(const struct job *job, const struct states *states, const struct source *source,
                               struct rng *rng, float *latent, struct error *err)
{
    const struct denoising d = {
        .job = job,
        .prompt = &states->prompt,
        .negative = job->request.cfg > 1 ? &states->negative : NULL,
        .rng = rng,
        .noise = source->noise,
        .start = source->start,
        .keep = source->keep,
        .mask = source->level,
        .extra = source->extra,
    };
    return denoise(&d, latent, err);
}

/* Values that are no numbers come of sums that left the range of halves. The plain kernels have none of these, so they
 * get a second chance before the CPU does. */
static enum status decode_floats(const struct job *job, const float *latent, float *floats, size_t count,
                                 struct error *err)
{
    struct backend *backend = job->model->backend;
    const struct limn_watch *watch = job->request.watch;
    struct error why = {0};
    enum status status = latent_decode(job->model, job->latent, latent, floats, err);
    if (status != STATUS_OK || model_check_picture(job->model, floats, count, watch, &why) == 0) return status;
    if (why.status == STATUS_OK) return STATUS_OK; /* The CPU's last word. */
    watch_note(watch, "%s; the picture is decoded again by the plain kernels", why.text);
    backend->plain = true;
    status = latent_decode(job->model, job->latent, latent, floats, err);
    backend->plain = false;
    if (status == STATUS_OK) (void)model_check_picture(job->model, floats, count, watch, err);
    return err->status;
}

static enum status decode_image(const struct job *job, const float *latent, struct image *out, struct error *err)
{
    const struct limn_request *r = &job->request;
    const size_t count = (size_t)r->width * (size_t)r->height * 3;
    const double start = api_clock();
    float *floats = memory_alloc_raw(count * sizeof *floats);
    if (!floats) return fail_no_memory(err, "a picture", count * sizeof *floats);
    watch_progress(r->watch, LIMN_STAGE_DECODE, 0, 1, 0);
    enum status status = decode_floats(job, latent, floats, count, err);
    if (status == STATUS_OK) status = image_from_floats(out, floats, r->width, r->height, err);
    if (status == STATUS_OK) watch_progress(r->watch, LIMN_STAGE_DECODE, 1, 1, api_clock() - start);
    memory_free(floats);
    return status;
}

/* Said once nothing is left that would refuse the request. */
static void note_unknown_prompt(const struct limn_model *model, const struct limn_request *request)
{
    if (!request->prompt[0] || !model->pack.name || !model->text || pack_knows(&model->pack, request->prompt)) return;
    watch_note(request->watch, "the %s pack does not know \"%s\"; limn info lists what it knows", model->pack.name,
               quote(request->prompt).text);
}

static enum status paint_image(const struct job *job, struct image *out, struct error *err)
{
    const size_t values = (size_t)job->latent.height * (size_t)job->latent.width * (size_t)job->latent.channels;
    struct states states = {0};
    struct source source = {0};
    struct image painted = {0};
    struct rng rng;
    float *latent = memory_alloc_raw(values * sizeof *latent);
    enum status status = latent ? STATUS_OK : fail_no_memory(err, "a latent", values * sizeof *latent);
    if (status == STATUS_OK) status = encode_text(job, &states, err);
    if (status == STATUS_OK) status = watch_check(job->request.watch, err);
    if (status == STATUS_OK) status = source_init(&source, job, err);
    if (status == STATUS_OK) note_unknown_prompt(job->model, &job->request);
    if (status == STATUS_OK) status = source_draw(&source, &rng, err);
    if (status == STATUS_OK) status = make_latent(job, &states, &source, &rng, latent, err);
    if (status == STATUS_OK) status = decode_image(job, latent, &painted, err);
    if (status == STATUS_OK) status = source_finish(&source, &painted, out, err);
    image_clear(&painted);
    source_clear(&source);
    text_states_clear(&states.prompt);
    text_states_clear(&states.negative);
    memory_free(latent);
    return status;
}

/* sampler and schedule: their names, NULL for a GAN. */
static enum status describe(struct limn_model *model, const struct limn_request *request, const char *sampler,
                            const char *schedule, char **parameters, struct error *err)
{
    char name[MODEL_PATH_BYTES], vae[MODEL_PATH_BYTES];
    const char *hash = NULL;
    const enum status status = model_hash(model, &hash, err);
    if (status != STATUS_OK) return status;
    model_short_name(model->path, name, sizeof name);
    model_short_name(model->vae_path, vae, sizeof vae);
    const struct infotext infotext = {
        .request = request,
        .sampler = sampler,
        .schedule = schedule,
        .model = name,
        .model_hash = hash,
        .vae = vae,
        .prediction = model->prediction_forced ? prediction_name(model->schedule.options.prediction) : NULL,
        .weights = model_storage_name(model->storage),
        .compute = device_compute(model->backend),
    };
    return infotext_create(parameters, &infotext, err);
}

static enum status paint_by_diffusion(struct limn_model *model, const struct limn_request *request,
                                      struct limn_picture *picture, struct image *image, struct error *err)
{
    const double start = api_clock();
    struct job job;
    enum status status = job_init(&job, model, request, err);
    if (status != STATUS_OK) return status;
    status = paint_image(&job, image, err);
    picture->seconds = api_clock() - start;
    if (status != STATUS_OK) return status;
    const bool other = job.sampler->automatic && strcmp(job.schedule->name, "default") == 0;
    const char *schedule = other ? "Uniform" : job.schedule->display;
    return describe(model, &job.request, job.sampler->display, schedule, &picture->parameters, err);
}

static enum status paint_by_gan(struct limn_model *model, const struct limn_request *request,
                                struct limn_picture *picture, struct image *image, struct error *err)
{
    const double start = api_clock();
    struct gan_job job;
    enum status status = gan_job_init(&job, model, request, err);
    if (status != STATUS_OK) return status;
    note_unknown_prompt(model, &job.request);
    status = gan_paint(&job, image, err);
    picture->seconds = api_clock() - start;
    return status == STATUS_OK ? describe(model, &job.request, NULL, NULL, &picture->parameters, err) : status;
}

static enum status paint(struct limn_model *model, const struct limn_request *request, struct limn_picture *picture,
                         struct error *err)
{
    struct image image = {0};
    enum status status;
    do {
        status = (model->gan ? paint_by_gan : paint_by_diffusion)(model, request, picture, &image, err);
    } while (model_try_again(model, request->watch, err));
    if (status == STATUS_OK) {
        picture->image = api_limn_image(&image);
        picture->seed = request->seed;
    } else {
        image_clear(&image);
    }
    return status;
}

enum limn_status limn_paint(struct limn_model *model, const struct limn_request *request, struct limn_picture *picture,
                            struct limn_error *error)
{
    struct error err = {0};
    *picture = (struct limn_picture){0};
    err.status = paint(model, request, picture, &err);
    if (err.status != STATUS_OK) limn_picture_clear(picture);
    return api_result(error, &err);
}
