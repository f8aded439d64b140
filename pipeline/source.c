/* SPDX-License-Identifier: MIT
 *
 * Draws of the generator, each a tensor of the latent's shape, in the order of diffusers' pipelines:
 *
 *     text         noise
 *     vary         sample of the picture, noise
 *     edit         sample of the picture, noise, sample of the masked picture (drawn even if no one looks at it)
 *     edit, with an inpainting U-Net: the sample of the picture only if strength is below 1
 */
#include "pipeline/source.h"

#include "core/io/image_ops.h"
#include "pipeline/api.h"
#include "pipeline/latent.h"

#include <string.h>

static size_t pixels_of(const struct job *job)
{
    return (size_t)job->latent.height * (size_t)job->latent.width;
}

static size_t values_of(const struct job *job)
{
    return pixels_of(job) * (size_t)job->latent.channels;
}

static float *take(struct source *s, size_t count, struct error *err)
{
    float *array = arena_alloc(&s->memory, count * sizeof *array);
    if (!array) (void)fail_no_memory(err, "a picture's latents", count * sizeof *array);
    return array;
}

/* ---- the mask ---- */

/* Each takes the old picture's place. */
static enum status resize_in_place(struct image *image, int width, int height, enum image_filter filter,
                                   struct error *err)
{
    struct image resized = {0};
    if (image->width == width && image->height == height) return STATUS_OK;
    const enum status status = image_resize(&resized, image, width, height, filter, err);
    if (status != STATUS_OK) return status;
    image_clear(image);
    *image = resized;
    return STATUS_OK;
}

static enum status blur_in_place(struct image *image, float sigma, struct error *err)
{
    struct image blurred = {0};
    if (sigma <= 0) return STATUS_OK;
    const enum status status = image_blur(&blurred, image, sigma, err);
    if (status != STATUS_OK) return status;
    image_clear(image);
    *image = blurred;
    return STATUS_OK;
}

enum status source_mask(struct image *mask, const struct limn_request *r, struct error *err)
{
    const struct image given = api_image(r->mask);
    enum status status = image_to_mask(mask, &given, err);
    if (status == STATUS_OK) status = resize_in_place(mask, r->image->width, r->image->height, IMAGE_BILINEAR, err);
    if (status != STATUS_OK) return status;
    const size_t count = (size_t)mask->width * (size_t)mask->height;
    bool named = false; /* something before the blur, which may thin out a spot to nothing */
    for (size_t i = 0; i < count && r->invert_mask; i++) mask->pixels[i] = (uint8_t)(255 - mask->pixels[i]);
    for (size_t i = 0; i < count && !named; i++) named = mask->pixels[i];
    status = blur_in_place(mask, (float)r->mask_blur, err);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        if (mask->pixels[i]) return STATUS_OK;
    if (status != STATUS_OK) return status;
    if (named)
        return fail(err, STATUS_ARGUMENT,
                    "nothing is left of the mask's faint or small spots after a blur of %d pixels; "
                    "allow less blur (0 is none)",
                    r->mask_blur);
    return fail(err, STATUS_ARGUMENT, "the mask is %s everywhere, so there is nothing to repaint; white is repainted%s",
                r->invert_mask ? "white" : "black or transparent",
                r->invert_mask ? " unless the mask is inverted" : "");
}

/* The mask at the working size, and its value at each latent pixel's upper left corner, as diffusers samples it. A mask
 * too thin to meet any corner is taken by its largest value in each square. */
static enum status sample_mask(struct source *s, struct image *working, struct error *err)
{
    const struct job *job = s->job;
    const int factor = job->factor, width = job->latent.width, height = job->latent.height;
    struct image copy = {0};
    enum status status = image_resize(&copy, &s->mask, job->request.width, job->request.height, IMAGE_BILINEAR, err);
    if (status != STATUS_OK) return status;
    *working = copy;
    s->level = take(s, pixels_of(job), err);
    if (!s->level) return err->status;
    bool met = false;
    for (int pass = 0; pass < 2 && !met; pass++) {
        const int reach = pass == 0 ? 1 : factor;
        for (int y = 0; y < height * factor; y++) {
            for (int x = 0; x < width * factor; x++) {
                if (y % factor >= reach || x % factor >= reach) continue;
                float *level = &s->level[y / factor * width + x / factor];
                const float value = (float)copy.pixels[y * copy.width + x] / 255;
                if (value > *level) *level = value;
                met = met || value > 0;
            }
        }
    }
    return STATUS_OK;
}

/* ---- the picture ---- */

/* RGB at the working size, as floats in -1..1. */
static enum status load_picture(struct source *s, float **out, struct error *err)
{
    const struct limn_request *r = &s->job->request;
    const struct image given = api_image(r->image);
    struct image rgb = {0};
    enum status status = image_to_rgb(&rgb, &given, err);
    if (status == STATUS_OK) status = resize_in_place(&rgb, r->width, r->height, IMAGE_LANCZOS, err);
    if (status == STATUS_OK) {
        *out = take(s, (size_t)r->width * (size_t)r->height * 3, err);
        status = *out ? STATUS_OK : err->status;
    }
    if (status == STATUS_OK) image_to_floats(*out, &rgb);
    image_clear(&rgb);
    return status;
}

static enum status encode(struct source *s, const float *picture, float **moments, struct error *err)
{
    *moments = take(s, 2 * values_of(s->job), err);
    if (!*moments) return err->status;
    return latent_encode(s->job->model, s->job->latent, picture, *moments, err);
}

/* What the mask names becomes mid grey. */
static void blank(float *picture, const struct image *mask)
{
    const size_t count = (size_t)mask->width * (size_t)mask->height;
    for (size_t i = 0; i < count; i++)
        if (mask->pixels[i])
            for (int c = 0; c < 3; c++) picture[3 * i + (size_t)c] = 0;
}

static enum status encode_pictures(struct source *s, struct error *err)
{
    const struct job *job = s->job;
    const bool inpaints = kind_inpaints(job->model->recognised.kind);
    struct image working = {0};
    float *picture = NULL;
    enum status status = load_picture(s, &picture, err);
    if (status == STATUS_OK && job->request.mask) status = sample_mask(s, &working, err);
    if (status == STATUS_OK && !(inpaints && job->request.strength >= 1)) status = encode(s, picture, &s->moments, err);
    if (status == STATUS_OK && inpaints) {
        blank(picture, &working);
        status = encode(s, picture, &s->masked_moments, err);
    }
    image_clear(&working);
    return status;
}

/* An inpainting U-Net that paints from nothing: all is masked, and the masked picture is grey. */
static enum status encode_nothing(struct source *s, struct error *err)
{
    const struct limn_request *r = &s->job->request;
    float *grey = take(s, (size_t)r->width * (size_t)r->height * 3, err);
    s->level = take(s, pixels_of(s->job), err);
    if (!grey || !s->level) return err->status;
    for (size_t i = 0; i < pixels_of(s->job); i++) s->level[i] = 1;
    return encode(s, grey, &s->masked_moments, err);
}

enum status source_init(struct source *source, const struct job *job, struct error *err)
{
    *source = (struct source){.job = job};
    const bool inpaints = kind_inpaints(job->model->recognised.kind);
    if (!job->request.image && !inpaints) return STATUS_OK;
    watch_progress(job->request.watch, LIMN_STAGE_ENCODE, 0, 1, 0);
    enum status status = job->request.mask ? source_mask(&source->mask, &job->request, err) : STATUS_OK;
    const double start = api_clock();
    if (status == STATUS_OK) status = job->request.image ? encode_pictures(source, err) : encode_nothing(source, err);
    if (status == STATUS_OK) watch_progress(job->request.watch, LIMN_STAGE_ENCODE, 1, 1, api_clock() - start);
    return status;
}

/* ---- draws ---- */

/* A sample of the moments, scaled as the U-Net knows latents. */
static enum status draw_sample(struct source *s, struct rng *rng, const float *moments, float **out, struct error *err)
{
    const struct job *job = s->job;
    const size_t values = values_of(job);
    float *noise = take(s, values, err);
    *out = take(s, values, err);
    if (!noise || !*out) return err->status;
    const enum status status = noise_draw(rng, job->latent, noise, err);
    if (status != STATUS_OK || !moments) return status;
    vae_sample(moments, noise, (int64_t)pixels_of(job), job->latent.channels, *out);
    for (size_t i = 0; i < values; i++) (*out)[i] = (float)((double)(*out)[i] * job->model->latent_scale);
    return STATUS_OK;
}

/* [ mask | masked picture's latent ] for each latent pixel. */
static enum status make_extra(struct source *s, const float *masked, struct error *err)
{
    const size_t channels = (size_t)s->job->latent.channels;
    s->extra = take(s, pixels_of(s->job) * (channels + 1), err);
    if (!s->extra) return err->status;
    for (size_t p = 0; p < pixels_of(s->job); p++) {
        float *at = s->extra + p * (channels + 1);
        at[0] = s->level[p] > 0;
        memcpy(at + 1, masked + p * channels, channels * sizeof *at);
    }
    return STATUS_OK;
}

enum status source_draw(struct source *source, struct rng *rng, struct error *err)
{
    struct source *s = source;
    const struct job *job = s->job;
    const struct limn_request *r = &job->request;
    const struct noise_seed seed = {
        .kind = job->rng, .seed = r->seed, .subseed = r->subseed, .subseed_strength = (double)r->subseed_strength};
    float *sample = NULL, *masked = NULL;
    enum status status = STATUS_OK;
    rng_init(rng, seed.kind, seed.seed);
    if (s->moments) status = draw_sample(s, rng, s->moments, &sample, err);
    if (status == STATUS_OK) s->noise = take(s, values_of(job), err);
    if (status == STATUS_OK) status = s->noise ? noise_varied(rng, &seed, job->latent, s->noise, err) : err->status;
    if (status == STATUS_OK && s->level) status = draw_sample(s, rng, s->masked_moments, &masked, err);
    if (status != STATUS_OK) return status;

    if (kind_inpaints(job->model->recognised.kind)) {
        s->start = sample;
        return make_extra(s, masked, err);
    }
    if (r->mask) s->keep = sample;
    if (!r->mask || r->strength < 1) s->start = sample;
    return STATUS_OK;
}

/* ---- the end ---- */

enum status source_finish(const struct source *source, struct image *painted, struct image *out, struct error *err)
{
    const struct limn_request *r = &source->job->request;
    *out = (struct image){0};
    if (!r->mask) {
        *out = *painted;
        *painted = (struct image){0};
        return STATUS_OK;
    }
    return source_compose(r, &source->mask, painted, out, err);
}

enum status source_compose(const struct limn_request *request, const struct image *mask, struct image *painted,
                           struct image *out, struct error *err)
{
    const struct image base = api_image(request->image);
    const enum status status = resize_in_place(painted, base.width, base.height, IMAGE_LANCZOS, err);
    return status == STATUS_OK ? image_composite(out, &base, painted, mask, err) : status;
}

void source_clear(struct source *source)
{
    image_clear(&source->mask);
    arena_clear(&source->memory);
    *source = (struct source){0};
}
