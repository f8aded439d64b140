/* SPDX-License-Identifier: MIT */
#include "core/nn/optimiser.h"

#include "core/base/memory.h"
#include "core/base/pool.h"

#include <math.h>

enum { CHUNK = 1 << 14 }; /* elements of a task, and of a partial sum */

struct optimiser_workers {
    struct pool *pool;   /* owned */
    double *partial_sum; /* owned; by chunk: squares of the gradients, then those of matrices among them */
};

/* One step's numbers, as torch.optim computes them: scalars in double, elements in float. */
struct step {
    struct optimiser *o;
    float rate, scale;                   /* scale: of the gradient, by clipping */
    float shrink;                        /* 1 - rate * decay */
    float keep;                          /* of the average */
    float step_size, root_of_correction; /* rate / (1 - beta1^t), sqrt(1 - beta2^t) */
};

static int64_t chunks_of(int64_t count)
{
    return (count + CHUNK - 1) / CHUNK;
}

void optimiser_destroy(struct optimiser *o)
{
    if (!o) return;
    if (o->workers) {
        pool_destroy(o->workers->pool);
        memory_free(o->workers->partial_sum);
    }
    memory_free(o->workers);
    memory_free(o->value);
    memory_free(o->gradient);
    memory_free(o->first);
    memory_free(o->second);
    memory_free(o->average);
    memory_free(o->decays);
    memory_free(o->matrices);
    memory_free(o);
}

static bool is_fraction(float x)
{
    return x >= 0 && x < 1;
}

static enum status check_rule(const struct optimiser_rule *rule, struct error *err)
{
    if (!is_fraction(rule->beta1) || !is_fraction(rule->beta2))
        return fail(err, STATUS_ARGUMENT, "betas of %g and %g are not allowed; each may be from 0 up to below 1",
                    (double)rule->beta1, (double)rule->beta2);
    if (rule->kind != OPTIMISER_SGD && !(rule->eps > 0 && isfinite(rule->eps)))
        return fail(err, STATUS_ARGUMENT, "an optimiser's epsilon is %g and must be above 0", (double)rule->eps);
    if (!(rule->decay >= 0) || !(rule->clip >= 0) || !isfinite(rule->decay) || !isfinite(rule->clip))
        return fail(err, STATUS_ARGUMENT, "a weight decay of %g and a largest norm of %g must both be 0 or above",
                    (double)rule->decay, (double)rule->clip);
    if (rule->kind == OPTIMISER_MUON &&
        (!is_fraction(rule->matrix_momentum) || !(rule->matrix_rate > 0) || !isfinite(rule->matrix_rate)))
        return fail(
            err, STATUS_ARGUMENT,
            "for matrices a momentum of %g must be from 0 up to below 1, and a rate of %g times the others' above "
            "0",
            (double)rule->matrix_momentum, (double)rule->matrix_rate);
    if (!is_fraction(rule->average))
        return fail(err, STATUS_ARGUMENT, "a running average's factor is %g and may be from 0 up to below 1",
                    (double)rule->average);
    return STATUS_OK;
}

static enum status allocate(struct optimiser *o, int threads, struct error *err)
{
    const size_t bytes = (size_t)o->count * sizeof(float);
    const bool adam = o->rule.kind != OPTIMISER_SGD, momentum = !adam && o->rule.beta1 > 0;
    const size_t blocks = (size_t)o->count / OPTIMISER_BLOCK + 1;
    o->value = memory_alloc(bytes);
    o->gradient = memory_alloc(bytes);
    if (adam || momentum) o->first = memory_alloc(bytes);
    if (adam) o->second = memory_alloc(bytes);
    if (o->rule.average > 0) o->average = memory_alloc(bytes);
    o->decays = memory_alloc(blocks);
    if (o->rule.kind == OPTIMISER_MUON) o->matrices = memory_alloc(blocks);
    o->workers = memory_alloc(sizeof *o->workers);
    if (o->workers) o->workers->partial_sum = memory_alloc(2 * (size_t)chunks_of(o->count) * sizeof(double));
    if (!o->value || !o->gradient || ((adam || momentum) && !o->first) || (adam && !o->second) ||
        (o->rule.average > 0 && !o->average) || !o->decays || (o->rule.kind == OPTIMISER_MUON && !o->matrices) ||
        !o->workers || !o->workers->partial_sum)
        return fail_no_memory(err, "an optimiser", bytes);
    for (size_t i = 0; i < blocks; i++) o->decays[i] = 1;
    return pool_create(&o->workers->pool, threads, err);
}

enum status optimiser_create(struct optimiser **out, const struct optimiser_rule *rule, int64_t count, int threads,
                             struct error *err)
{
    *out = NULL;
    const int64_t most = INT64_C(1) << 40;
    enum status status = check_rule(rule, err);
    if (status != STATUS_OK) return status;
    if (count < 1 || count > most)
        return fail(err, STATUS_ARGUMENT, "an optimiser for %lld numbers; 1 to 2^40 are allowed", (long long)count);
    struct optimiser *o = memory_alloc(sizeof *o);
    if (!o) return fail_no_memory(err, "an optimiser", sizeof *o);
    *o = (struct optimiser){.rule = *rule, .count = count};
    status = allocate(o, threads, err);
    if (status == STATUS_OK) {
        *out = o;
    } else {
        optimiser_destroy(o);
    }
    return status;
}

static int64_t chunk_end(const struct optimiser *o, int64_t chunk)
{
    return (chunk + 1) * CHUNK < o->count ? (chunk + 1) * CHUNK : o->count;
}

void optimiser_start_average(struct optimiser *o)
{
    for (int64_t i = 0; i < o->count && o->average; i++) o->average[i] = o->value[i];
}

static bool is_matrix(const struct optimiser *o, int64_t element)
{
    return o->matrices && o->matrices[element / OPTIMISER_BLOCK];
}

/* The end of the run from `from` in which all elements are of one kind. */
static int64_t run_end(const struct optimiser *o, int64_t from, int64_t end)
{
    const unsigned char decays = o->decays[from / OPTIMISER_BLOCK];
    const bool matrix = is_matrix(o, from);
    int64_t to = from;
    while (to < end && o->decays[to / OPTIMISER_BLOCK] == decays && is_matrix(o, to) == matrix) to += OPTIMISER_BLOCK;
    return to < end ? to : end;
}

static void sum_squares(void *context, int64_t chunk, int worker)
{
    (void)worker;
    struct optimiser *o = context;
    double sum[2] = {0, 0};
    for (int64_t from = chunk * CHUNK, to; from < chunk_end(o, chunk); from = to) {
        to = run_end(o, from, chunk_end(o, chunk));
        double squares = 0;
        for (int64_t i = from; i < to; i++) squares += (double)o->gradient[i] * (double)o->gradient[i];
        sum[is_matrix(o, from)] += squares;
    }
    o->workers->partial_sum[chunk] = sum[0] + sum[1];
    o->workers->partial_sum[chunks_of(o->count) + chunk] = sum[1];
}

/* m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  w -= rate / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + eps). */
static void adam_block(const struct step *s, int64_t from, int64_t to, bool decays)
{
    struct optimiser *o = s->o;
    const float b1 = o->rule.beta1, b2 = o->rule.beta2, rest1 = 1 - b1, rest2 = 1 - b2;
    const float shrink = decays && o->rule.kind != OPTIMISER_ADAM ? s->shrink : 1;
    const float decay = decays && o->rule.kind == OPTIMISER_ADAM ? o->rule.decay : 0;
    for (int64_t i = from; i < to; i++) {
        const float g = o->gradient[i] * s->scale + decay * o->value[i];
        o->first[i] = b1 * o->first[i] + rest1 * g;
        o->second[i] = b2 * o->second[i] + rest2 * g * g;
        const float size = sqrtf(o->second[i]) / s->root_of_correction + o->rule.eps;
        o->value[i] = o->value[i] * shrink - s->step_size * (o->first[i] / size);
    }
}

/* m = momentum m + g;  w -= rate m. */
static void sgd_block(const struct step *s, int64_t from, int64_t to, bool decays)
{
    struct optimiser *o = s->o;
    const float decay = decays ? o->rule.decay : 0;
    for (int64_t i = from; i < to; i++) {
        float g = o->gradient[i] * s->scale + decay * o->value[i];
        if (o->first) g = o->first[i] = o->rule.beta1 * o->first[i] + g;
        o->value[i] -= s->rate * g;
    }
}

/* m = momentum m + (1 - momentum) g; the gradient becomes momentum m + (1 - momentum) g, the look ahead. */
static void momentum_block(struct optimiser *o, int64_t from, int64_t to)
{
    const float keep = o->rule.matrix_momentum, rest = 1 - keep;
    for (int64_t i = from; i < to; i++) {
        o->first[i] = keep * o->first[i] + rest * o->gradient[i];
        o->gradient[i] = keep * o->first[i] + rest * o->gradient[i];
    }
}

/* The gradient is the direction by now. */
static void matrix_block(const struct step *s, int64_t from, int64_t to, bool decays)
{
    struct optimiser *o = s->o;
    const float rate = s->rate * o->rule.matrix_rate, shrink = decays ? 1 - rate * o->rule.decay : 1;
    for (int64_t i = from; i < to; i++) o->value[i] = o->value[i] * shrink - rate * o->gradient[i];
}

static void momentum_chunk(void *context, int64_t chunk, int worker)
{
    (void)worker;
    struct optimiser *o = context;
    for (int64_t from = chunk * CHUNK, to; from < chunk_end(o, chunk); from = to) {
        to = run_end(o, from, chunk_end(o, chunk));
        if (is_matrix(o, from)) momentum_block(o, from, to);
    }
}

static void update_chunk(void *context, int64_t chunk, int worker)
{
    (void)worker;
    const struct step *s = context;
    struct optimiser *o = s->o;
    const int64_t end = chunk_end(o, chunk);
    for (int64_t from = chunk * CHUNK, to; from < end; from = to) {
        to = run_end(o, from, end);
        const bool decays = o->decays[from / OPTIMISER_BLOCK] != 0;
        if (is_matrix(o, from))
            matrix_block(s, from, to, decays);
        else if (o->rule.kind == OPTIMISER_SGD)
            sgd_block(s, from, to, decays);
        else
            adam_block(s, from, to, decays);
    }
    const float keep = s->keep, rest = 1 - keep;
    for (int64_t i = chunk * CHUNK; i < end && o->average; i++)
        o->average[i] = keep * o->average[i] + rest * o->value[i];
    for (int64_t i = chunk * CHUNK; i < end; i++) o->gradient[i] = 0;
}

/* The norm of all gradients, and that of those which clipping counts. */
static float norm_of(struct optimiser *o, float *clipped)
{
    pool_run(o->workers->pool, sum_squares, o, chunks_of(o->count));
    double sum = 0, matrices = 0;
    for (int64_t i = 0; i < chunks_of(o->count); i++) {
        sum += o->workers->partial_sum[i];
        matrices += o->workers->partial_sum[chunks_of(o->count) + i];
    }
    *clipped = (float)sqrt(fmax(sum - matrices, 0));
    return (float)sqrt(sum);
}

enum status optimiser_step(struct optimiser *o, float rate, float *norm, struct error *err)
{
    float clipped;
    const float size = norm_of(o, &clipped);
    if (norm) *norm = size;
    if (!isfinite(size))
        return fail(err, STATUS_ARGUMENT,
                    "the gradients of step %lld are not finite; a smaller learning rate or clipping may help",
                    (long long)o->steps + 1);
    if (o->directions.turn) {
        pool_run(o->workers->pool, momentum_chunk, o, chunks_of(o->count));
        const enum status status = o->directions.turn(o->directions.context, o->gradient, err);
        if (status != STATUS_OK) return status;
    }
    o->steps++;
    const double correction1 = 1 - pow((double)o->rule.beta1, (double)o->steps);
    const double correction2 = 1 - pow((double)o->rule.beta2, (double)o->steps);
    struct step s = {.o = o, .rate = rate, .scale = 1};
    /* torch.nn.utils.clip_grad_norm_ */
    if (o->rule.clip > 0) s.scale = fminf(o->rule.clip / (clipped + 1e-6f), 1);
    s.keep = o->rule.average;
    if (o->rule.average_warms) s.keep = fminf(s.keep, (float)(o->steps + 1) / (float)(o->steps + 10));
    s.shrink = (float)(1 - (double)rate * (double)o->rule.decay);
    s.step_size = (float)((double)rate / correction1);
    s.root_of_correction = (float)sqrt(correction2);
    pool_run(o->workers->pool, update_chunk, &s, chunks_of(o->count));
    return STATUS_OK;
}

float learning_rate_at(const struct learning_rate *rate, int64_t step)
{
    const double pi = 3.14159265358979323846;
    if (step < rate->warm_up) return (float)((double)rate->peak * (double)(step + 1) / (double)rate->warm_up);
    if (rate->kind == LEARNING_RATE_CONSTANT) return rate->peak;
    if (step >= rate->steps) return rate->floor;
    const double way = (double)(step - rate->warm_up) / (double)(rate->steps - rate->warm_up);
    return (float)((double)rate->floor + ((double)rate->peak - (double)rate->floor) * 0.5 * (1 + cos(pi * way)));
}
