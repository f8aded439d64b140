/* SPDX-License-Identifier: MIT
 *
 * What a step draws is a function of the seed, the step, the purpose and the item, so it can be drawn again anywhere.
 */
#include "core/base/pool.h"
#include "core/io/dataset.h"
#include "core/nn/initialise.h"
#include "pipeline/training_loop.h"

#include <assert.h>

int64_t training_item(const struct training *t, int part, int k)
{
    return (int64_t)t->rank * t->settings.batch + (int64_t)part * t->part_size + k;
}

void training_random(const struct training *t, enum training_purpose purpose, int64_t item, struct rng *out)
{
    const uint64_t step = purpose == TRAINING_SAMPLE ? 0 : (uint64_t)t->step;
    const uint64_t stream = initialise_key((uint64_t)t->settings.seed, (uint64_t)purpose + 1, step);
    rng_init(out, RNG_PHILOX, initialise_key(stream, (uint64_t)item, 0));
}

double training_uniform(struct rng *rng)
{
    return rng_bits(rng) * 0x1p-32;
}

/* A permutation of 0..count-1 as a Feistel network of four rounds over the next even power of two (Black and Rogaway
 * 2002, "Ciphers with arbitrary finite domains"): what falls outside goes round again. */
int64_t training_shuffle(uint64_t key, int64_t count, int64_t i)
{
    int half = 1;
    while (half < 31 && INT64_C(1) << (2 * half) < count) half++;
    const uint64_t mask = (UINT64_C(1) << half) - 1;
    uint64_t value = (uint64_t)i;
    do {
        uint64_t left = value >> half, right = value & mask;
        for (uint64_t round = 0; round < 4; round++) {
            const uint64_t next = left ^ (initialise_key(key, round, right) & mask);
            left = right;
            right = next;
        }
        value = left << half | right;
    } while (value >= (uint64_t)count);
    return (int64_t)value;
}

int64_t training_picture(const struct training *t, int64_t item)
{
    const struct training_loop *loop = t->loop;
    const int64_t at = t->step * t->settings.batch * t->ranks + item;
    const uint64_t round = (uint64_t)(at / loop->picture_count);
    const uint64_t key = initialise_key((uint64_t)t->settings.seed, TRAINING_ORDER + 1, round);
    const int64_t i = training_shuffle(key, loop->picture_count, at % loop->picture_count);
    return loop->pictures ? loop->pictures[i] : i;
}

bool training_flipped(const struct training *t, int64_t item)
{
    if (!t->settings.flip) return false;
    struct rng rng;
    training_random(t, TRAINING_FLIP, item, &rng);
    return (rng_bits(&rng) & 1) != 0;
}

int training_alternative(const struct training *t, int64_t item)
{
    struct rng rng;
    training_random(t, TRAINING_CAPTION, item, &rng);
    const int captions = dataset_captions(t->data, training_picture(t, item));
    const bool dropped = training_uniform(&rng) < t->settings.caption_dropout;
    return dropped || captions == 0 ? -1 : (int)(training_uniform(&rng) * captions);
}

/* One part's pictures, read by all threads: those beyond the data set's cache are files to be decoded. */
struct reading {
    const struct training *t;
    int part;
    float *out;
    size_t values;                 /* of a picture */
    bool failed[POOL_MAX_THREADS]; /* by thread */
};

static enum status fetch(const struct reading *r, int k, struct error *err)
{
    const int64_t item = training_item(r->t, r->part, k);
    return dataset_fetch(r->t->data, training_picture(r->t, item), training_flipped(r->t, item),
                         r->out + (size_t)k * r->values, err);
}

static void read_picture(void *context, int64_t k, int worker)
{
    struct reading *r = context;
    struct error err = {0};
    if (fetch(r, (int)k, &err) != STATUS_OK) r->failed[worker] = true;
}

enum status training_pixels(struct training *t, int part, float *out, struct error *err)
{
    const struct training_settings *s = &t->settings;
    struct reading r = {.t = t, .part = part, .out = out};
    r.values = (size_t)s->size * (size_t)s->size * (size_t)s->channels;
    pool_run(t->loop->pool, read_picture, &r, t->part_size);
    bool failed = false;
    for (int i = 0; i < pool_threads(t->loop->pool); i++) failed = failed || r.failed[i];
    /* Once more in order, so that the sentence is about the first. */
    enum status status = STATUS_OK;
    for (int k = 0; failed && k < t->part_size && status == STATUS_OK; k++) status = fetch(&r, k, err);
    return status;
}

/* Which pictures are learnt from: all, or those that are not held out. */
enum status training_choose_pictures(struct training *t, struct error *err)
{
    struct training_loop *loop = t->loop;
    const double share = t->settings.held_out;
    const int64_t all = dataset_count(t->data);
    loop->picture_count = all;
    if (share <= 0) return STATUS_OK;
    loop->pictures = arena_alloc(&loop->memory, (size_t)all * sizeof *loop->pictures);
    if (!loop->pictures) return fail_no_memory(err, "a data set", (size_t)all * sizeof *loop->pictures);
    loop->picture_count = 0;
    for (int64_t i = 0; i < all; i++)
        if (!dataset_is_held_out(dataset_name(t->data, i), share)) loop->pictures[loop->picture_count++] = i;
    if (loop->picture_count > 0) return STATUS_OK;
    return fail(err, STATUS_ARGUMENT, "of %lld pictures none is left when a share of %g is held out", (long long)all,
                share);
}
