/* SPDX-License-Identifier: MIT */
#include "core/nn/optimiser.h"

#include "core/base/memory.h"
#include "core/base/pool.h"

#include <math.h>

enum { CHUNK = 1 << 14 }; /* elements of a task, and of a partial sum */

struct optimiser_workers {
    struct pool *pool;   /* owned */
    double *partial_sum; /* owned; by chunk */
};

/* One step's numbers, as torch.optim computes them: scalars in double, elements in float. */
struct step {
    struct optimiser *o;
    float rate, scale;                   /* scale: of the gradient, by clipping */
    float shrink;                        /* 1 - rate * decay */
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
    o->workers = memory_alloc(sizeof *o->workers);
    if (o->workers) o->workers->partial_sum = memory_alloc((size_t)chunks_of(o->count) * sizeof(double));
    if (!o->value || !o->gradient || ((adam || momentum) && !o->first) || (adam && !o->second) ||
        (o->rule.average > 0 && !o->average) || !o->decays || !o->workers || !o->workers->partial_sum)
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

static void sum_squares(void *context, int64_t chunk, int worker)
{
    (void)worker;
    struct optimiser *o = context;
    double sum = 0;
    for (int64_t i = chunk * CHUNK; i < chunk_end(o, chunk); i++)
        sum += (double)o->gradient[i] * (double)o->gradient[i];
    o->workers->partial_sum[chunk] = sum;
}

/* m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  w -= rate / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + eps). */
static void adam_block(const struct step *s, int64_t from, int64_t to, bool decays)
{
    struct optimiser *o = s->o;
    const float b1 = o->rule.beta1, b2 = o->rule.beta2, rest1 = 1 - b1, rest2 = 1 - b2;
    const float shrink = decays && o->rule.kind == OPTIMISER_ADAMW ? s->shrink : 1;
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

static void update_chunk(void *context, int64_t chunk, int worker)
{
    (void)worker;
    const struct step *s = context;
    struct optimiser *o = s->o;
    const int64_t end = chunk_end(o, chunk);
    for (int64_t from = chunk * CHUNK; from < end;) {
        const unsigned char decays = o->decays[from / OPTIMISER_BLOCK];
        int64_t to = from;
        while (to < end && o->decays[to / OPTIMISER_BLOCK] == decays) to += OPTIMISER_BLOCK;
        if (to > end) to = end;
        (o->rule.kind == OPTIMISER_SGD ? sgd_block : adam_block)(s, from, to, decays != 0);
        from = to;
    }
    const float keep = o->rule.average, rest = 1 - keep;
    for (int64_t i = chunk * CHUNK; i < end && o->average; i++)
        o->average[i] = keep * o->average[i] + rest * o->value[i];
    for (int64_t i = chunk * CHUNK; i < end; i++) o->gradient[i] = 0;
}

enum status optimiser_step(struct optimiser *o, float rate, float *norm, struct error *err)
{
    pool_run(o->workers->pool, sum_squares, o, chunks_of(o->count));
    double sum = 0;
    for (int64_t i = 0; i < chunks_of(o->count); i++) sum += o->workers->partial_sum[i];
    const float size = (float)sqrt(sum);
    if (norm) *norm = size;
    if (!isfinite(size))
        return fail(err, STATUS_ARGUMENT,
                    "the gradients of step %lld are not finite; a smaller learning rate or clipping may help",
                    (long long)o->steps + 1);
    o->steps++;
    const double correction1 = 1 - pow((double)o->rule.beta1, (double)o->steps);
    const double correction2 = 1 - pow((double)o->rule.beta2, (double)o->steps);
    struct step s = {.o = o, .rate = rate, .scale = 1};
    /* torch.nn.utils.clip_grad_norm_ */
    if (o->rule.clip > 0) s.scale = fminf(o->rule.clip / (size + 1e-6f), 1);
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
