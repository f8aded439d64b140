/* SPDX-License-Identifier: MIT
 *
 * A GAN's latent space, as limn.h shows it.
 */
#include "core/base/memory.h"
#include "core/io/animation.h"
#include "core/io/sheet.h"
#include "gan/network.h"
#include "pipeline/api.h"
#include "pipeline/gan_paint.h"
#include "pipeline/source.h"

#include <math.h>
#include <string.h>

enum { MOST_PICTURES = 4096 };

int limn_latent_size(const struct limn_model *model)
{
    return model->gan ? model->gan->generator.latent : 0;
}

/* As the web UI's and everybody's slerp, of the whole vector: where a and b point the same way, straight. */
void limn_latent_between(float *out, const float *a, const float *b, int size, double t)
{
    double aa = 0, bb = 0, ab = 0;
    for (int i = 0; i < size; i++) {
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
        ab += (double)a[i] * (double)b[i];
    }
    const double cosine = aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 1, angle = acos(fmin(fmax(cosine, -1), 1));
    const bool straight = sin(angle) < 1e-6;
    const double from = straight ? 1 - t : sin((1 - t) * angle) / sin(angle);
    const double to = straight ? t : sin(t * angle) / sin(angle);
    for (int i = 0; i < size; i++) out[i] = (float)(from * (double)a[i] + to * (double)b[i]);
}

/* ---- what all have in common ---- */

static enum status begin(struct gan_job *job, struct limn_model *model, const struct limn_request *request,
                         bool judging, float **text, struct error *err)
{
    *text = NULL;
    if (!model->gan) return fail(err, STATUS_UNSUPPORTED, "%s: is no GAN and has no latent vectors", model->path);
    const enum status status = gan_job_init(job, model, request, err);
    if (status != STATUS_OK) return status;
    if (!judging && gan_need_generator(job, err) != STATUS_OK) return err->status;
    const size_t bytes = (size_t)(model->gan->generator.text_width + 1) * sizeof **text;
    *text = memory_alloc(bytes);
    return *text ? gan_embed(job, *text, err) : fail_no_memory(err, "a text's embedding", bytes);
}

static enum status need_picture(const struct limn_request *request, struct error *err)
{
    return request->image ? STATUS_OK : fail(err, STATUS_ARGUMENT, "there is no picture in the request");
}

/* ---- vectors ---- */

enum limn_status limn_latent_draw(struct limn_model *model, const struct limn_request *request, float *latent,
                                  struct limn_error *error)
{
    struct error err = {0};
    struct gan_job job;
    float *text;
    err.status = begin(&job, model, request, false, &text, &err);
    if (err.status == STATUS_OK) err.status = gan_draw(&job, latent, &err);
    memory_free(text);
    return api_result(error, &err);
}

enum limn_status limn_latent_paint(struct limn_model *model, const struct limn_request *request, const float *latent,
                                   struct limn_picture *picture, struct limn_error *error)
{
    struct error err = {0};
    struct gan_job job;
    struct image image = {0};
    float *text;
    const double start = api_clock();
    *picture = (struct limn_picture){0};
    do {
        err.status = begin(&job, model, request, false, &text, &err);
        if (err.status == STATUS_OK) err.status = gan_paint_latent(&job, text, latent, &image, &err);
        memory_free(text);
    } while (model_try_again(model, request->watch, &err));
    if (err.status == STATUS_OK)
        *picture = (struct limn_picture){.image = api_limn_image(&image), .seed = request->seed};
    picture->seconds = api_clock() - start;
    return api_result(error, &err);
}

enum limn_status limn_latent_find(struct limn_model *model, const struct limn_request *request, float *latent,
                                  float *rms, struct limn_error *error)
{
    struct error err = {0};
    struct gan_job job;
    struct image mask = {0};
    float *text = NULL;
    do {
        err.status = need_picture(request, &err);
        if (err.status == STATUS_OK) err.status = begin(&job, model, request, false, &text, &err);
        if (err.status == STATUS_OK && request->mask) err.status = source_mask(&mask, &job.request, &err);
        if (err.status == STATUS_OK) err.status = gan_find_picture(&job, &mask, text, latent, rms, &err);
        image_clear(&mask);
        memory_free(text);
        text = NULL;
    } while (model_try_again(model, request->watch, &err));
    return api_result(error, &err);
}

/* ---- the discriminator ---- */

static enum status judge(const struct gan_job *job, const float *text, float *score, struct error *err)
{
    const struct gan_config *d = &job->model->gan->discriminator;
    const int side = d->side;
    struct stage stage = {0};
    struct graph *g = &stage.graph;
    const struct gan_model *gan = job->model->gan;
    if (gan->unclear.status != STATUS_OK) return fail(err, gan->unclear.status, "%s", gan->unclear.text);
    if (!gan->judges) return fail(err, STATUS_UNSUPPORTED, "%s: holds no discriminator", job->model->path);
    if (d->text_width && d->text_width != gan->generator.text_width)
        return fail(err, STATUS_UNSUPPORTED, "%s: the discriminator takes a text; needs a generator and a text encoder",
                    job->model->path);
    if (gan->paints && side != gan->generator.side)
        return fail(err, STATUS_FORMAT,
                    "%s: the discriminator takes pictures of side %d, and the generator's are of %d", job->model->path,
                    side, job->model->gan->generator.side);
    float *picture = memory_alloc_raw((size_t)side * (size_t)side * 3 * sizeof *picture);
    if (!picture) return fail_no_memory(err, "a picture", (size_t)side * (size_t)side * 3 * sizeof *picture);
    struct node *x = graph_input(g, "picture", DTYPE_F32, SHAPE(1, side, side, d->channels));
    struct node *t = d->text_width ? graph_input(g, "text", DTYPE_F32, SHAPE(1, d->text_width)) : NULL;
    graph_output(g, "score", gan_build(g, d, x, t, NULL));
    enum status status = gan_load_picture(job, side, d->channels, picture, err);
    if (status == STATUS_OK) status = stage_open(&stage, job->model, job->model->checkpoint, err);
    if (status == STATUS_OK) status = exec_write(stage.exec, "picture", picture, err);
    if (status == STATUS_OK && t) status = exec_write(stage.exec, "text", text, err);
    if (status == STATUS_OK) status = exec_run(stage.exec, err);
    if (status == STATUS_OK) status = exec_read(stage.exec, "score", score, err);
    stage_close(&stage);
    memory_free(picture);
    return status;
}

enum limn_status limn_latent_judge(struct limn_model *model, const struct limn_request *request, float *score,
                                   struct limn_error *error)
{
    struct error err = {0};
    struct gan_job job;
    float *text = NULL;
    do {
        err.status = need_picture(request, &err);
        if (err.status == STATUS_OK) err.status = begin(&job, model, request, true, &text, &err);
        if (err.status == STATUS_OK) err.status = judge(&job, text, score, &err);
        memory_free(text);
        text = NULL;
    } while (model_try_again(model, request->watch, &err));
    return api_result(error, &err);
}

/* ---- pictures together ---- */

/* The same pictures in the other struct, which the caller frees with memory_free; their pixels stay where they are. */
static enum status take_images(struct image **out, const struct limn_picture *pictures, int count, struct error *err)
{
    if (count < 1 || count > MOST_PICTURES)
        return fail(err, STATUS_ARGUMENT, "%d pictures: must be 1 to %d", count, MOST_PICTURES);
    *out = memory_alloc((size_t)count * sizeof **out);
    if (!*out) return fail_no_memory(err, "a list of pictures", (size_t)count * sizeof **out);
    for (int i = 0; i < count; i++) {
        const enum status status = api_check_image(&pictures[i].image, "a picture", err);
        if (status != STATUS_OK) return status;
        (*out)[i] = api_image(&pictures[i].image);
    }
    return STATUS_OK;
}

enum limn_status limn_picture_sheet(struct limn_picture *sheet, const struct limn_picture *pictures, int count,
                                    int columns, struct limn_error *error)
{
    struct error err = {0};
    struct image *images = NULL, drawn = {0};
    *sheet = (struct limn_picture){0};
    err.status = take_images(&images, pictures, count, &err);
    if (err.status == STATUS_OK && (columns < 0 || columns > MOST_PICTURES))
        err.status = fail(&err, STATUS_ARGUMENT, "%d columns: must be 0 to %d", columns, MOST_PICTURES);
    if (err.status == STATUS_OK) err.status = sheet_draw(&drawn, images, count, columns, &err);
    if (err.status == STATUS_OK) sheet->image = api_limn_image(&drawn);
    memory_free(images);
    return api_result(error, &err);
}

enum limn_status limn_animation_write(const struct limn_picture *pictures, int count, int milliseconds,
                                      const char *path, struct limn_error *error)
{
    struct error err = {0};
    struct image *images = NULL;
    struct image_text text = {0};
    err.status = take_images(&images, pictures, count, &err);
    if (err.status == STATUS_OK) err.status = api_mark(&text, &err);
    if (err.status == STATUS_OK) err.status = animation_write(images, count, milliseconds, path, &text, &err);
    memory_free(text.xmp);
    memory_free(images);
    return api_result(error, &err);
}
