/* SPDX-License-Identifier: MIT
 *
 * All starts are one batch: the loss is the sum of theirs, so each vector's gradient is its own, and Adam, which works
 * number by number, moves each as if it were alone. A little is paid for long vectors, because the generator has learnt
 * nothing about those that are never drawn.
 */
#include "pipeline/gan_find.h"

#include "core/base/memory.h"
#include "core/nn/optimiser.h"
#include "core/tensor/gradient.h"
#include "diffusion/noise.h"
#include "pipeline/api.h"

#include <math.h>
#include <string.h>

enum { STARTS = 8, STEPS = 300, FIT_STEPS = 75 };

#define PRIOR 1e-3F /* weight of the mean square of a vector's numbers */

static const struct learning_rate find_rate = {
    .kind = LEARNING_RATE_COSINE, .peak = 0.1F, .floor = 0.005F, .warm_up = 5, .steps = STEPS};
static const struct learning_rate fit_rate = {
    .kind = LEARNING_RATE_COSINE, .peak = 0.05F, .floor = 0.005F, .warm_up = 5, .steps = FIT_STEPS};

struct search {
    const struct gan_job *job;
    const struct gan_target *target;
    const struct learning_rate *rate;
    int starts;
    struct stage stage;
    struct optimiser *optimiser; /* owned; value: [starts, latent] */
    struct arena memory;
    float losses[STARTS];
    struct error *err;
};

/* [B, ...] summed to [B, 1, 1, 1] */
static struct node *sum_each(struct graph *g, struct node *x)
{
    return graph_reduce(g, REDUCE_SUM, x, 1u << 1 | 1u << 2 | 1u << 3);
}

static void build(struct search *s)
{
    struct graph *g = &s->stage.graph;
    const struct gan_config *generator = &s->job->model->gan->generator;
    const int64_t side = generator->side;
    struct node *z = graph_input(g, "z", DTYPE_F32, SHAPE(s->starts, 1, 1, generator->latent)), *text = NULL, *slope;
    if (generator->text_width) text = graph_input(g, "text", DTYPE_F32, SHAPE(s->starts, generator->text_width));
    struct node *target = graph_input(g, "target", DTYPE_F32, SHAPE(1, side, side, 3));
    struct node *weight = graph_input(g, "weight", DTYPE_F32, SHAPE(1, side, side, 1)); /* of sum 1/3 */
    struct node *apart = graph_binary(g, BINARY_SUB, gan_picture(g, generator, z, text), target);
    struct node *losses = sum_each(g, graph_mul(g, graph_mul(g, apart, apart), weight));
    struct node *length = graph_scale(g, sum_each(g, graph_mul(g, z, z)), PRIOR / (float)generator->latent, 0);
    struct node *sum = graph_reduce(g, REDUCE_SUM, graph_add(g, losses, length), 1u << 0);
    graph_grad(g, graph_reshape(g, sum, SHAPE(1)), &z, 1, &slope);
    graph_output(g, "losses", losses);
    graph_output(g, "slope", slope);
}

/* What does not change from step to step. */
static enum status prepare(struct search *s)
{
    const struct gan_config *generator = &s->job->model->gan->generator;
    const struct gan_target *target = s->target;
    const size_t pixels = (size_t)generator->side * (size_t)generator->side, width = (size_t)generator->text_width;
    const size_t starts = (size_t)s->starts;
    double total = 0;
    float *weights = arena_alloc(&s->memory, pixels * sizeof *weights);
    float *texts = arena_alloc(&s->memory, (starts * width + 1) * sizeof *texts);
    if (!weights || !texts) return fail_no_memory(s->err, "a search", s->memory.used);
    for (size_t i = 0; i < pixels; i++) total += (double)target->weight[i];
    if (!(total > 0))
        return fail(s->err, STATUS_ARGUMENT, "the mask is white everywhere: a GAN finds what to paint by what is kept");
    for (size_t i = 0; i < pixels; i++) weights[i] = (float)((double)target->weight[i] / (3 * total));
    for (size_t i = 0; i < starts && width; i++) memcpy(texts + i * width, target->text, width * sizeof *texts);
    enum status status = exec_write(s->stage.exec, "target", target->picture, s->err);
    if (status == STATUS_OK) status = exec_write(s->stage.exec, "weight", weights, s->err);
    if (status == STATUS_OK && width) status = exec_write(s->stage.exec, "text", texts, s->err);
    return status;
}

static enum status descend(struct search *s)
{
    const struct limn_watch *watch = s->job->request.watch;
    const int steps = (int)s->rate->steps;
    const double start = api_clock();
    enum status status = STATUS_OK;
    for (int step = 0; step <= steps && status == STATUS_OK; step++) {
        watch_progress(watch, LIMN_STAGE_STEP, step, steps, api_clock() - start);
        status = watch_check(watch, s->err);
        if (status == STATUS_OK) status = exec_write(s->stage.exec, "z", s->optimiser->value, s->err);
        if (status == STATUS_OK) status = exec_run(s->stage.exec, s->err);
        if (status == STATUS_OK) status = exec_read(s->stage.exec, "losses", s->losses, s->err);
        if (status != STATUS_OK || step == steps) break;
        status = exec_read(s->stage.exec, "slope", s->optimiser->gradient, s->err);
        if (status == STATUS_OK) status = optimiser_step(s->optimiser, learning_rate_at(s->rate, step), NULL, s->err);
    }
    return status;
}

/* z: the vectors to start from, and then the best of what came of them. */
static enum status search(struct search *s, float *z, float *rms)
{
    const size_t latent = (size_t)s->job->model->gan->generator.latent;
    const struct optimiser_rule rule = {OPTIMISER_ADAM, .beta1 = 0.9F, .beta2 = 0.999F, .eps = 1e-8F};
    const size_t values = (size_t)s->starts * latent;
    build(s);
    enum status status = stage_open(&s->stage, s->job->model, s->job->model->checkpoint, s->err);
    if (status == STATUS_OK) status = optimiser_create(&s->optimiser, &rule, (int64_t)values, 1, s->err);
    if (status == STATUS_OK) memcpy(s->optimiser->value, z, values * sizeof *z);
    if (status == STATUS_OK) status = prepare(s);
    if (status == STATUS_OK) status = descend(s);
    if (status == STATUS_OK) {
        size_t best = 0;
        for (size_t i = 1; i < (size_t)s->starts; i++)
            if (s->losses[i] < s->losses[best]) best = i;
        memcpy(z, s->optimiser->value + best * latent, latent * sizeof *z);
        *rms = sqrtf(s->losses[best]) / 2;
    }
    optimiser_destroy(s->optimiser);
    stage_close(&s->stage);
    arena_clear(&s->memory);
    return status;
}

/* The starts depend on nothing that is asked for: so what is found once is found for every seed. */
enum status gan_find_latent(const struct gan_job *job, const struct gan_target *target, float *z, float *rms,
                            struct error *err)
{
    const struct latent_shape shape = {1, 1, job->model->gan->generator.latent};
    struct search s = {.job = job, .target = target, .rate = &find_rate, .starts = STARTS, .err = err};
    struct rng rng;
    const size_t bytes = STARTS * (size_t)shape.channels * sizeof *z;
    float *starts = memory_alloc_raw(bytes);
    enum status status = starts ? STATUS_OK : fail_no_memory(err, "a search", bytes);
    rng_init(&rng, RNG_PHILOX, 0);
    for (int i = 0; i < STARTS && status == STATUS_OK; i++)
        status = noise_draw(&rng, shape, starts + (ptrdiff_t)i * shape.channels, err);
    if (status == STATUS_OK) status = search(&s, starts, rms);
    if (status == STATUS_OK) memcpy(z, starts, (size_t)shape.channels * sizeof *z);
    memory_free(starts);
    return status;
}

enum status gan_fit_latent(const struct gan_job *job, const struct gan_target *target, float *z, struct error *err)
{
    struct search s = {.job = job, .target = target, .rate = &fit_rate, .starts = 1, .err = err};
    float rms;
    return search(&s, z, &rms);
}
