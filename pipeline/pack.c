/* SPDX-License-Identifier: MIT */
#include "pipeline/pack.h"

#include "core/io/quote.h"
#include "diffusion/sampler.h"
#include "include/limn.h"

#include <ctype.h>
#include <jansson.h>
#include <string.h>

enum { MAX_WORDS = 20000, MAX_NAMES = 64 };

struct reading {
    struct pack *pack;
    struct error *err;
};

/* ---- predictions ---- */

static const char *const prediction_names[] = {
    [PREDICTION_EPSILON] = "eps", [PREDICTION_V] = "v", [PREDICTION_X0] = "x0"};

const char *prediction_name(enum prediction prediction)
{
    return prediction_names[prediction];
}

const char *limn_prediction_name(int i)
{
    return i >= 0 && i < (int)(sizeof prediction_names / sizeof *prediction_names) ? prediction_names[i] : NULL;
}

bool prediction_find(const char *name, enum prediction *out)
{
    static const struct {
        const char *name;
        enum prediction prediction;
    } names[] = {
        {"eps", PREDICTION_EPSILON},    {"epsilon", PREDICTION_EPSILON}, {"v", PREDICTION_V},
        {"v_prediction", PREDICTION_V}, {"x0", PREDICTION_X0},           {"sample", PREDICTION_X0},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i].name, name) != 0) continue;
        *out = names[i].prediction;
        return true;
    }
    return false;
}

/* ---- values ---- a missing one leaves the default; one of a wrong kind is an error */

static enum status refuse(struct reading *r, const char *key, const char *allowed)
{
    return fail(r->err, STATUS_FORMAT, "the pack's '%s' must be %s", key, allowed);
}

static enum status get_int(struct reading *r, json_t *object, const char *key, int low, int high, int *out)
{
    json_t *value = json_object_get(object, key);
    if (!value) return STATUS_OK;
    const json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < low || number > high)
        return fail(r->err, STATUS_FORMAT, "the pack's '%s' must be a whole number from %d to %d", key, low, high);
    *out = (int)number;
    return STATUS_OK;
}

static enum status get_real(struct reading *r, json_t *object, const char *key, double low, double high, double *out)
{
    json_t *value = json_object_get(object, key);
    if (!value) return STATUS_OK;
    const double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= low && number <= high))
        return fail(r->err, STATUS_FORMAT, "the pack's '%s' must be a number from %g to %g", key, low, high);
    *out = number;
    return STATUS_OK;
}

static enum status get_text(struct reading *r, json_t *object, const char *key, const char **out)
{
    json_t *value = json_object_get(object, key);
    if (!value) return STATUS_OK;
    if (!json_is_string(value)) return refuse(r, key, "a text");
    *out = arena_strdup(&r->pack->memory, json_string_value(value));
    return *out ? STATUS_OK : fail_no_memory(r->err, "a pack", json_string_length(value));
}

/* ---- words ---- */

/* A string or an array of strings. */
static enum status get_names(struct reading *r, json_t *value, const char *key, const char *const **out)
{
    const size_t count = json_is_array(value) ? json_array_size(value) : json_is_string(value);
    if (value && !json_is_array(value) && !json_is_string(value)) return refuse(r, key, "made of texts");
    if (count > MAX_NAMES) return refuse(r, key, "shorter: a thing has too many names");
    const char **names = arena_alloc(&r->pack->memory, (count + 1) * sizeof *names);
    if (!names) return fail_no_memory(r->err, "a pack", count);
    for (size_t i = 0; i < count; i++) {
        json_t *name = json_is_array(value) ? json_array_get(value, i) : value;
        if (!json_is_string(name)) return refuse(r, key, "made of texts");
        names[i] = arena_strdup(&r->pack->memory, json_string_value(name));
        if (!names[i]) return fail_no_memory(r->err, "a pack", json_string_length(name));
    }
    *out = names;
    return STATUS_OK;
}

static enum status get_words(struct reading *r, json_t *root, const char *key, struct pack_words *out)
{
    json_t *list = json_object_get(root, key);
    if (!list) return STATUS_OK;
    if (!json_is_array(list) || json_array_size(list) > MAX_WORDS) return refuse(r, key, "an array of names");
    const size_t count = json_array_size(list);
    struct pack_word *words = arena_alloc(&r->pack->memory, (count + 1) * sizeof *words);
    if (!words) return fail_no_memory(r->err, "a pack", count * sizeof *words);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        json_t *item = json_array_get(list, i);
        const bool both = json_is_object(item);
        status = get_names(r, both ? json_object_get(item, "en") : item, key, &words[i].en);
        if (status == STATUS_OK) status = get_names(r, both ? json_object_get(item, "ko") : NULL, key, &words[i].ko);
    }
    *out = (struct pack_words){words, (int)count};
    return status;
}

/* ---- the whole ---- */

static enum status get_schedule(struct reading *r, json_t *root)
{
    static const struct {
        const char *name;
        enum betas betas;
    } kinds[] = {{"linear", BETAS_LINEAR}, {"scaled_linear", BETAS_SCALED_LINEAR}, {"cosine", BETAS_COSINE}};
    struct schedule_options *schedule = &r->pack->schedule;
    json_t *object = json_object_get(root, "schedule");
    if (!object) return STATUS_OK;
    const char *kind = NULL;
    enum status status = get_text(r, object, "kind", &kind);
    bool known = kind == NULL;
    for (size_t i = 0; kind && i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kind, kinds[i].name) != 0) continue;
        schedule->betas = kinds[i].betas;
        known = true;
    }
    if (status == STATUS_OK && !known) status = refuse(r, "kind", "linear, scaled_linear or cosine");
    if (status == STATUS_OK) status = get_real(r, object, "start", 1e-8, 0.999, &schedule->beta_start);
    if (status == STATUS_OK) status = get_real(r, object, "end", 1e-8, 0.999, &schedule->beta_end);
    if (status == STATUS_OK) status = get_int(r, object, "steps", 2, SCHEDULE_MAX_TRAIN_STEPS, &schedule->train_steps);
    schedule->zero_snr = json_is_true(json_object_get(object, "zero_snr"));
    return status;
}

static enum status get_networks(struct reading *r, json_t *root)
{
    struct pack *pack = r->pack;
    json_t *unet = json_object_get(root, "unet"), *vae = json_object_get(root, "vae");
    enum status status = get_int(r, unet, "heads", 1, 1024, &pack->unet_heads);
    if (status == STATUS_OK) status = get_int(r, unet, "head_channels", 1, 4096, &pack->unet_head_size);
    if (status == STATUS_OK) status = get_int(r, unet, "groups", 1, 4096, &pack->unet_groups);
    if (status == STATUS_OK) status = get_int(r, vae, "groups", 1, 4096, &pack->vae_groups);
    if (status == STATUS_OK && pack->unet_heads && pack->unet_head_size)
        status = refuse(r, "unet", "given either heads or head_channels");
    return status;
}

static enum status get_defaults(struct reading *r, json_t *root)
{
    struct pack *pack = r->pack;
    json_t *defaults = json_object_get(root, "defaults");
    enum status status = get_int(r, defaults, "steps", 1, LIMN_MAX_STEPS, &pack->steps);
    if (status == STATUS_OK) status = get_real(r, defaults, "cfg", 1, LIMN_MAX_CFG, &pack->cfg);
    if (status == STATUS_OK) status = get_text(r, defaults, "sampler", &pack->sampler);
    if (status == STATUS_OK) status = get_text(r, defaults, "schedule", &pack->sampler_schedule);
    if (status == STATUS_OK && pack->sampler && !sampler_kind_find(pack->sampler))
        status = refuse(r, "sampler", "the name of a sampler that limn has");
    if (status == STATUS_OK && pack->sampler_schedule && !sampler_schedule_find(pack->sampler_schedule))
        status = refuse(r, "schedule", "the name of a schedule that limn has");
    return status;
}

static enum status get_all(struct reading *r, json_t *root)
{
    struct pack *pack = r->pack;
    if (json_integer_value(json_object_get(root, "format")) != 1)
        return fail(r->err, STATUS_UNSUPPORTED, "the pack's 'format' must be 1; a newer limn may read this one");
    const char *prediction = NULL;
    enum status status = get_text(r, root, "name", &pack->name);
    if (status == STATUS_OK && !pack->name) status = refuse(r, "name", "there");
    if (status == STATUS_OK) status = get_text(r, root, "licence", &pack->licence);
    if (status == STATUS_OK) status = get_int(r, root, "size", LIMN_MIN_SIDE, LIMN_MAX_SIDE, &pack->size);
    if (status == STATUS_OK && pack->size % 8) status = refuse(r, "size", "a multiple of 8");
    if (status == STATUS_OK) status = get_real(r, root, "latent_scale", 1e-6, 1e6, &pack->latent_scale);
    if (status == STATUS_OK) status = get_text(r, root, "prediction", &prediction);
    if (status == STATUS_OK && prediction && !prediction_find(prediction, &pack->schedule.prediction))
        status = refuse(r, "prediction", "eps, v or x0");
    if (status == STATUS_OK) status = get_schedule(r, root);
    if (status == STATUS_OK) status = get_networks(r, root);
    if (status == STATUS_OK) status = get_defaults(r, root);
    if (status == STATUS_OK) status = get_words(r, root, "concepts", &pack->concepts);
    if (status == STATUS_OK) status = get_words(r, root, "styles", &pack->styles);
    if (status == STATUS_OK) status = get_words(r, root, "colours", &pack->colours);
    return status;
}

bool pack_present(const struct checkpoint *checkpoint)
{
    return checkpoint_metadata(checkpoint, "limn.pack") != NULL;
}

int pack_patch(const struct checkpoint *checkpoint)
{
    static const char *const sides[] = {"1", "2", "4", "8"};
    const char *text = pack_present(checkpoint) ? checkpoint_metadata(checkpoint, "limn.patch") : NULL;
    for (int i = 0; text && i < 4; i++)
        if (strcmp(text, sides[i]) == 0) return 1 << i;
    return 0;
}

enum status pack_read(struct pack *pack, const struct checkpoint *checkpoint, struct error *err)
{
    return pack_parse(pack, checkpoint_metadata(checkpoint, "limn.pack"), err);
}

enum status pack_parse(struct pack *pack, const char *text, struct error *err)
{
    *pack = (struct pack){.size = 512, .latent_scale = 0.18215, .schedule = SCHEDULE_STABLE_DIFFUSION};
    struct reading r = {.pack = pack, .err = err};
    json_error_t why;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &why);
    const enum status status = json_is_object(root)
                                   ? get_all(&r, root)
                                   : fail(err, STATUS_FORMAT, "the metadata 'limn.pack' is no JSON object: %s",
                                          root ? "it is of another type" : quote(why.text).text);
    json_decref(root);
    if (status != STATUS_OK) pack_clear(pack);
    return status;
}

void pack_clear(struct pack *pack)
{
    arena_clear(&pack->memory);
    *pack = (struct pack){0};
}

/* ---- what a prompt names ---- */

static bool is_letter(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

/* The length of `name` if the text begins with it, whatever the case of ASCII letters; else 0. */
static size_t starts_with(const char *text, const char *name)
{
    size_t i = 0;
    while (name[i] && tolower((unsigned char)text[i]) == tolower((unsigned char)name[i])) i++;
    return name[i] ? 0 : i;
}

static bool names_word(const char *prompt, const char *name)
{
    for (const char *at = prompt; *at; at++) {
        if (at > prompt && is_letter(at[-1])) continue;
        const size_t length = starts_with(at, name);
        if (length == 0) continue;
        const char *after = at + length;
        if (after[0] == 'e' && after[1] == 's' && !is_letter(after[2])) return true;
        if (after[0] == 's') after++;
        if (!is_letter(*after)) return true;
    }
    return false;
}

static bool names_one_of(const char *prompt, const struct pack_words *words)
{
    for (int i = 0; i < words->count; i++) {
        const struct pack_word *word = &words->words[i];
        for (int k = 0; word->en[k]; k++)
            if (names_word(prompt, word->en[k])) return true;
        for (int k = 0; word->ko[k]; k++)
            if (word->ko[k][0] && strstr(prompt, word->ko[k])) return true;
    }
    return false;
}

bool pack_says(const char *prompt, const char *name)
{
    return (unsigned char)name[0] < 0x80 ? names_word(prompt, name) : strstr(prompt, name) != NULL;
}

bool pack_knows(const struct pack *pack, const char *prompt)
{
    return names_one_of(prompt, &pack->concepts) || names_one_of(prompt, &pack->styles) ||
           names_one_of(prompt, &pack->colours);
}
