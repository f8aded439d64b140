/* SPDX-License-Identifier: MIT */
#include "core/io/quote.h"
#include "pipeline/training_loop.h"

#include <string.h>

enum { MOST_KEYS = 40 };

static const char *const schedule_names[] = {"constant", "cosine", NULL};
static const char *const optimiser_names[] = {"adamw", "adam", "sgd", "muon", NULL};
static const char *const dtype_names[] = {"f32", "f16", "bf16", NULL};
static const char *const prediction_names[] = {"eps", "v", "x0", NULL};

const char *limn_train_schedule_name(int i)
{
    return i >= 0 && i < 2 ? schedule_names[i] : NULL;
}

/* The one table of settings: what the configuration's member "training" may hold, and what a checkpoint remembers. */
static int setting_keys(struct training_settings *s, struct training_key keys[MOST_KEYS])
{
    const double much = 1e9, seeds = 9.2e18;
    const struct training_key table[] = {
        {"steps", TRAINING_KEY_LONG, &s->steps, 1, much, NULL},
        {"size", TRAINING_KEY_WHOLE, &s->size, 8, 1024, NULL},
        {"channels", TRAINING_KEY_WHOLE, &s->channels, 1, 3, NULL},
        {"batch", TRAINING_KEY_WHOLE, &s->batch, 1, 65536, NULL},
        {"accumulate", TRAINING_KEY_WHOLE, &s->accumulate, 1, 65536, NULL},
        {"recompute", TRAINING_KEY_WHOLE, &s->recompute, 1, 1024, NULL},
        {"learning_rate", TRAINING_KEY_FLOAT, &s->rate.peak, 1e-13, 100, NULL},
        {"floor", TRAINING_KEY_FLOAT, &s->rate.floor, 0, 100, NULL},
        {"schedule", TRAINING_KEY_NAME, &s->rate.kind, 0, 0, schedule_names},
        {"warm_up", TRAINING_KEY_LONG, &s->rate.warm_up, 0, much, NULL},
        {"optimiser", TRAINING_KEY_NAME, &s->rule.kind, 0, 0, optimiser_names},
        {"beta1", TRAINING_KEY_FLOAT, &s->rule.beta1, 0, 0.9999999, NULL},
        {"beta2", TRAINING_KEY_FLOAT, &s->rule.beta2, 0, 0.9999999, NULL},
        {"eps", TRAINING_KEY_FLOAT, &s->rule.eps, 1e-20, 1, NULL},
        {"decay", TRAINING_KEY_FLOAT, &s->rule.decay, 0, 100, NULL},
        {"clip", TRAINING_KEY_FLOAT, &s->rule.clip, 0, 1e9, NULL},
        {"ema", TRAINING_KEY_FLOAT, &s->rule.average, 0, 0.9999999, NULL},
        {"matrix_momentum", TRAINING_KEY_FLOAT, &s->rule.matrix_momentum, 0, 0.9999999, NULL},
        {"matrix_rate", TRAINING_KEY_FLOAT, &s->rule.matrix_rate, 0, 1e6, NULL},
        {"flip", TRAINING_KEY_FLAG, &s->flip, 0, 0, NULL},
        {"caption_dropout", TRAINING_KEY_REAL, &s->caption_dropout, 0, 1, NULL},
        {"held_out", TRAINING_KEY_REAL, &s->held_out, 0, 0.9, NULL},
        {"min_snr", TRAINING_KEY_REAL, &s->min_snr, 0, 1e6, NULL},
        {"prediction", TRAINING_KEY_NAME, &s->prediction, 0, 0, prediction_names},
        {"save_every", TRAINING_KEY_LONG, &s->save_every, 1, much, NULL},
        {"sheet_every", TRAINING_KEY_LONG, &s->sheet_every, 0, much, NULL},
        {"log_every", TRAINING_KEY_LONG, &s->log_every, 1, much, NULL},
        {"seed", TRAINING_KEY_LONG, &s->seed, 0, seeds, NULL},
        {"dtype", TRAINING_KEY_NAME, &s->dtype, 0, 0, dtype_names},
        {"init", TRAINING_KEY_TEXT, &s->init, 0, 0, NULL},
        {"vae", TRAINING_KEY_TEXT, &s->vae, 0, 0, NULL},
    };
    memcpy(keys, table, sizeof table);
    return (int)(sizeof table / sizeof *table);
}

/* Settings that not all kinds have. */
static const struct {
    const char *key;
    const char *kinds[4];
} particular[] = {
    {"channels", {"gan"}},      {"caption_dropout", {"diffusion", "gan", "clip"}},
    {"min_snr", {"diffusion"}}, {"prediction", {"diffusion"}},
    {"vae", {"diffusion"}},
};

/* Is the setting, or the option, one that this kind has? */
static enum status check_kind(const struct training *t, const char *key, struct error *err)
{
    for (size_t i = 0; i < sizeof particular / sizeof *particular; i++) {
        const char *const *kinds = particular[i].kinds;
        char whose[64] = "";
        bool known = strcmp(particular[i].key, key) != 0;
        for (int k = 0; k < 4 && kinds[k]; k++) {
            const size_t at = strlen(whose);
            snprintf(whose + at, sizeof whose - at, "%s%s", k ? ", " : "", kinds[k]);
            known = known || strcmp(kinds[k], t->family->name) == 0;
        }
        if (!known)
            return fail(err, STATUS_ARGUMENT, "'%s' does not belong to the training of %s, but to: %s", key,
                        t->family->name, whose);
    }
    return STATUS_OK;
}

static enum status check_kinds(const struct training *t, struct error *err)
{
    const struct limn_train_options *o = t->loop->options;
    const struct {
        const char *key;
        bool given;
    } options[] = {{"caption_dropout", o->caption_dropout != 0},
                   {"min_snr", o->min_snr != 0},
                   {"prediction", o->prediction != NULL},
                   {"vae", o->vae != NULL}};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < sizeof options / sizeof *options && status == STATUS_OK; i++)
        if (options[i].given) status = check_kind(t, options[i].key, err);
    const char *key;
    json_t *value;
    json_object_foreach (json_object_get(t->loop->config, "training"), key, value) {
        if (status == STATUS_OK) status = check_kind(t, key, err);
    }
    return status;
}

json_t *training_settings_json(const struct training *t)
{
    struct training_settings settings = t->settings;
    struct training_key keys[MOST_KEYS];
    const int count = setting_keys(&settings, keys);
    return training_write_object(keys, count);
}

/* ---- options ---- 0 is "not given", and below it is none */

static void take(float *setting, double option)
{
    if (option != 0) *setting = option < 0 ? 0 : (float)option;
}

static void take_long(int64_t *setting, int64_t option)
{
    if (option != 0) *setting = option < 0 ? 0 : option;
}

static void take_int(int *setting, int option)
{
    if (option != 0) *setting = option;
}

static enum status take_name(int *setting, const char *option, const char *const *names, const char *what,
                             struct error *err)
{
    if (!option) return STATUS_OK;
    for (int i = 0; names[i]; i++) {
        if (strcmp(option, names[i]) != 0) continue;
        *setting = i;
        return STATUS_OK;
    }
    return fail(err, STATUS_ARGUMENT, "%s '%s' is not known", what, quote(option).text);
}

static enum status take_options(struct training_settings *s, const struct limn_train_options *o, struct error *err)
{
    take_long(&s->steps, o->steps);
    take_int(&s->batch, o->batch);
    take_int(&s->size, o->size);
    take_int(&s->accumulate, o->accumulate);
    take_int(&s->recompute, o->recompute);
    take(&s->rate.peak, o->learning_rate);
    take_long(&s->rate.warm_up, o->warm_up);
    take(&s->rule.decay, o->decay);
    take(&s->rule.clip, o->clip);
    take(&s->rule.average, o->ema);
    if (o->flip != 0) s->flip = o->flip > 0;
    if (o->caption_dropout != 0) s->caption_dropout = o->caption_dropout < 0 ? 0 : o->caption_dropout;
    if (o->min_snr != 0) s->min_snr = o->min_snr < 0 ? 0 : o->min_snr;
    take_long(&s->save_every, o->save_every);
    take_long(&s->sheet_every, o->sheet_every);
    take_long(&s->log_every, o->log_every);
    if (o->seed || o->has_seed) s->seed = (int64_t)o->seed;
    if (o->init) s->init = o->init;
    if (o->vae) s->vae = o->vae;
    int schedule = (int)s->rate.kind, dtype = (int)s->dtype, prediction = (int)s->prediction;
    enum status status = take_name(&schedule, o->schedule, schedule_names, "schedule", err);
    if (status == STATUS_OK) status = take_name(&dtype, o->dtype, dtype_names, "dtype", err);
    if (status == STATUS_OK) status = take_name(&prediction, o->prediction, prediction_names, "prediction", err);
    s->rate.kind = (enum learning_rate_kind)schedule;
    s->dtype = (enum dtype)dtype;
    s->prediction = (enum prediction)prediction;
    return status;
}

/* ---- all together ---- */

static enum status read_layers(struct training *t, json_t *saved, struct error *err)
{
    struct training_key keys[MOST_KEYS];
    const int count = setting_keys(&t->settings, keys);
    enum status status = STATUS_OK;
    if (saved) status = training_read_object(t, saved, "training", keys, count, err);
    /* A configuration that the checkpoint remembers has had its turn: the settings it remembers came of it. */
    if (status == STATUS_OK && (t->loop->options->config || !saved))
        status = training_read_config(t, "training", keys, count, err);
    return status == STATUS_OK ? take_options(&t->settings, t->loop->options, err) : status;
}

/* Options come from the caller as they are: they are checked as a configuration would be. */
static enum status check(struct training *t, struct error *err)
{
    struct training_settings *s = &t->settings;
    struct training_key keys[MOST_KEYS];
    const int count = setting_keys(s, keys);
    for (int i = 0; i < count; i++) {
        const struct training_key *key = &keys[i];
        double number = key->low;
        if (key->kind == TRAINING_KEY_WHOLE) number = *(const int *)key->to;
        if (key->kind == TRAINING_KEY_LONG) number = (double)*(const int64_t *)key->to;
        if (key->kind == TRAINING_KEY_REAL) number = *(const double *)key->to;
        if (key->kind == TRAINING_KEY_FLOAT) number = (double)*(const float *)key->to;
        if (!(number >= key->low && number <= key->high))
            return fail(err, STATUS_ARGUMENT, "%s %.10g: must be from %.10g to %.10g", key->name, number, key->low,
                        key->high);
    }
    if (s->batch % s->accumulate != 0)
        return fail(err, STATUS_ARGUMENT, "a batch of %d cannot be cut into %d equal parts", s->batch, s->accumulate);
    if (s->channels == 2) return fail(err, STATUS_ARGUMENT, "channels 2: must be 1 or 3");
    return STATUS_OK;
}

enum status training_settle(struct training *t, struct error *err)
{
    json_t *saved = json_object_get(t->loop->saved_json, "settings");
    if (!t->loop->config) t->loop->config = json_incref(json_object_get(t->loop->saved_json, "config"));
    /* Twice: the family's defaults follow the size, which may stand in any layer. */
    t->settings = (struct training_settings){0};
    enum status status = check_kinds(t, err);
    if (status == STATUS_OK) status = read_layers(t, saved, err);
    if (status == STATUS_OK) {
        t->settings = (struct training_settings){
            .size = t->settings.size, .channels = 3, .accumulate = 1, .recompute = 1, .log_every = 10};
        t->family->defaults(&t->settings);
        const int64_t warm_up = t->settings.rate.warm_up;
        status = read_layers(t, saved, err);
        /* A short trial is no reason to complain about a warm-up that nobody asked for. */
        struct learning_rate *rate = &t->settings.rate;
        if (rate->warm_up == warm_up && warm_up > t->settings.steps) rate->warm_up = t->settings.steps / 10;
    }
    if (status == STATUS_OK) status = check(t, err);
    t->settings.rate.steps = t->settings.steps;
    t->part_size = status == STATUS_OK ? t->settings.batch / t->settings.accumulate : 0;
    t->share = status == STATUS_OK ? 1.0F / (float)(t->settings.accumulate * t->ranks) : 0;
    return status;
}
