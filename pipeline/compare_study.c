/* SPDX-License-Identifier: MIT
 *
 * What a model does for one picture: the arithmetic and memory it takes, the way from noise to picture, and a walk
 * through the latent space, from one picture's noise to another's along the arc between them.
 */
#include "core/tensor/flops.h"
#include "pipeline/api.h"
#include "pipeline/compare.h"
#include "pipeline/gan_paint.h"
#include "pipeline/job.h"

#include <math.h>

#include <string.h>

/* ---- counting ---- */

static void count_weight(struct compare_meter *meter, const struct weight *weight)
{
    for (int i = 0; i < meter->count; i++)
        if (meter->weights[i] == weight) return;
    if (meter->count == meter->capacity) {
        const int capacity = meter->capacity ? 2 * meter->capacity : 1024;
        const struct weight **grown = memory_resize(meter->weights, (size_t)capacity * sizeof *grown);
        if (!grown) {
            meter->failed = true;
            return;
        }
        meter->weights = grown;
        meter->capacity = capacity;
    }
    meter->weights[meter->count++] = weight;
    meter->parameters += (uint64_t)shape_count(weight->shape);
}

static void count_step(void *context, const struct backend_step *step)
{
    struct compare_meter *meter = context;
    const struct node *node = step->node;
    meter->flop += flops_of_node(node);
    for (int i = 0; i < node->inputs; i++)
        if (node->input[i] && node->input[i]->op == OP_PARAM) count_weight(meter, node->input[i]->as.param.weight);
}

void compare_meter_start(struct compare_meter *meter, struct limn_model *model)
{
    meter->probe = (struct backend_probe){.step = count_step, .context = meter};
    meter->backend = model->backend;
    meter->backend->probe = &meter->probe;
}

void compare_meter_stop(struct compare_meter *meter)
{
    meter->backend->probe = NULL;
    memory_free(meter->weights);
    meter->weights = NULL;
}

/* ---- the way from noise ---- */

struct way {
    const struct limn_watch *watch; /* of the comparison; may be NULL */
    struct entrant *entrant;
    const struct sampler *sampler; /* NULL: the model has no steps */
    struct error why;              /* of a frame that could not be kept */
};

static void keep_frame(struct way *way, const struct image *image, int step, double noise)
{
    struct entrant *e = way->entrant;
    if (e->way_count == COMPARE_FRAMES || way->why.status != STATUS_OK) return;
    struct compare_frame *frame = &e->way[e->way_count];
    if (image_create(&frame->image, image->width, image->height, image->channels, &way->why) != STATUS_OK) return;
    memcpy(frame->image.pixels, image->pixels, (size_t)image->width * (size_t)image->height * (size_t)image->channels);
    frame->step = step;
    frame->noise = noise;
    e->way_count++;
}

static void on_preview(void *context, const struct limn_image *shown, int step)
{
    struct way *way = context;
    const struct image image = api_image(shown);
    const double sigma = sampler_step_at(way->sampler, step)->sigma;
    if (step < sampler_count(way->sampler)) keep_frame(way, &image, step, sigma * sigma);
}

static int on_cancelled(void *context)
{
    const struct limn_watch *watch = ((struct way *)context)->watch;
    return watch && watch->cancelled && watch->cancelled(watch->context);
}

/* Frames at noise, evenly over the steps, and the picture itself: with n steps, 0, e, 2e, ... and n. */
static enum status follow(struct comparison *c, struct limn_model *model, struct way *way, struct error *err)
{
    const int steps = way->sampler ? sampler_count(way->sampler) : 1, before = COMPARE_FRAMES - 1;
    struct limn_watch watch = {.context = way, .cancelled = on_cancelled, .preview = on_preview, .preview_noisy = 1};
    watch.preview_every = way->sampler ? (steps + before - 1) / before : 0;
    const struct limn_request request = compare_request(c, 0, &watch);
    struct limn_error why = {0};
    struct limn_picture picture = {0};
    const enum limn_status painted = limn_paint(model, &request, &picture, &why);
    enum status status = painted == LIMN_OK ? STATUS_OK : fail(err, (enum status)painted, "%s", why.text);
    if (status == STATUS_OK) {
        const struct image image = api_image(&picture.image);
        keep_frame(way, &image, steps, 0);
        status = way->why.status == STATUS_OK ? STATUS_OK : fail(err, way->why.status, "%s", way->why.text);
    }
    limn_picture_clear(&picture);
    return status;
}

/* What a GAN begins with, as a picture: a grey cell for each of its random numbers. */
static enum status show_latent(struct comparison *c, struct limn_model *model, struct way *way, struct error *err)
{
    enum { CELL = 8, DEVIATION = 42 };
    const struct limn_request request = compare_request(c, 0, NULL);
    const int count = model->gan->generator.latent, side = (int)ceil(sqrt(count));
    struct gan_job job;
    struct image image = {0};
    float *z = memory_alloc((size_t)side * (size_t)side * sizeof *z);
    enum status status = z ? STATUS_OK : fail_no_memory(err, "a latent", (size_t)count * sizeof *z);
    if (status == STATUS_OK) status = gan_job_init(&job, model, &request, err);
    if (status == STATUS_OK) status = gan_need_generator(&job, err);
    if (status == STATUS_OK) status = gan_draw(&job, z, err);
    if (status == STATUS_OK) status = image_create(&image, side * CELL, side * CELL, 3, err);
    for (int y = 0; y < image.height; y++)
        for (int x = 0; x < image.width * 3; x++) {
            const float value = z[y / CELL * side + x / (3 * CELL)];
            const float level = 128 + DEVIATION * value;
            image.pixels[y * image.width * 3 + x] = (uint8_t)(level < 0 ? 0 : level > 255 ? 255 : level);
        }
    if (status == STATUS_OK) keep_frame(way, &image, 0, 1);
    image_clear(&image);
    memory_free(z);
    return status;
}

/* ---- the walk ---- */

static double distance_to_next(const struct picture_set *set, int64_t i)
{
    const int64_t bytes = (int64_t)set->kept_x * set->kept_y * 3;
    const uint8_t *a = set->values + i * bytes, *b = a + bytes;
    double sum = 0;
    for (int64_t k = 0; k < bytes; k++) sum += ((double)a[k] - b[k]) * ((double)a[k] - b[k]);
    return sum;
}

/* From the prompt's first picture to its second: of the prompt where these differ most with the first model. */
static void choose_walk(struct comparison *c, const struct picture_set *set)
{
    double most = -1;
    for (int p = 0; p < c->prompt_count && c->per_prompt > 1; p++) {
        const double distance = distance_to_next(set, (int64_t)p * c->per_prompt);
        if (distance <= most) continue;
        most = distance;
        c->walk_shot = p * c->per_prompt;
    }
}

static enum status walk(struct comparison *c, struct entrant *entrant, struct limn_model *model, struct error *err)
{
    struct way way = {.watch = c->watch};
    const struct limn_watch watch = {.context = &way, .cancelled = on_cancelled};
    enum status status = STATUS_OK;
    for (int i = 0; i < COMPARE_FRAMES && status == STATUS_OK; i++) {
        struct limn_request request = compare_request(c, c->walk_shot, &watch);
        struct limn_error why = {0};
        struct limn_picture picture = {0};
        request.subseed = request.seed + 1;
        request.subseed_strength = (float)i / (COMPARE_FRAMES - 1);
        if (strcmp(entrant->family, "diffusion") == 0) request.sampler = "ddim"; /* Others may add noise on the way. */
        status = watch_check(c->watch, err);
        if (status != STATUS_OK) break;
        const enum limn_status painted = limn_paint(model, &request, &picture, &why);
        if (painted != LIMN_OK) status = fail(err, (enum status)painted, "%s", why.text);
        if (status == STATUS_OK) {
            entrant->walk[i] = (struct compare_frame){.image = api_image(&picture.image), .step = i};
            entrant->walk_count++;
            picture.image = (struct limn_image){0};
        }
        limn_picture_clear(&picture);
    }
    return status;
}

enum status compare_study(struct comparison *c, struct entrant *entrant, struct limn_model *model, struct error *err)
{
    struct way way = {.watch = c->watch, .entrant = entrant};
    struct sampler *sampler = NULL;
    enum status status = watch_check(c->watch, err);
    entrant->cost.evaluations = 1;
    if (status == STATUS_OK && strcmp(entrant->family, "diffusion") == 0) {
        const struct limn_request request = compare_request(c, 0, NULL);
        struct job job;
        status = job_init(&job, model, &request, err);
        if (status == STATUS_OK) status = job_sampler(&job, false, &sampler, err);
        if (status == STATUS_OK) entrant->cost.evaluations = sampler_count(sampler) * (job.request.cfg > 1 ? 2 : 1);
        way.sampler = sampler;
    }
    if (status == STATUS_OK && model->gan) status = show_latent(c, model, &way, err);
    if (status == STATUS_OK) status = follow(c, model, &way, err);
    if (entrant == &c->entrants[0]) choose_walk(c, &entrant->set);
    if (status == STATUS_OK) status = walk(c, entrant, model, err);
    sampler_destroy(sampler);
    return status;
}
