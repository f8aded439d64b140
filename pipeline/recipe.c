/* SPDX-License-Identifier: MIT
 *
 * A request read back from the text of a picture. Settings that limn does not know are kept as fields and otherwise
 * passed over; a setting that it knows with a value that it cannot read is an error, because the picture would come
 * out differently.
 */
#include "core/base/memory.h"
#include "diffusion/sampler.h"
#include "pipeline/api.h"
#include "pipeline/infotext.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_STRENGTH 0.01F /* stands for 0, which in a request means the default */

struct limn_recipe {
    struct arena memory; /* holds every string */
    const char *text;
    struct infotext_parts parts;
    struct limn_request request; /* its strings are the recipe's */
    const char *const *except;   /* fields that are not read; borrowed while it is parsed, then NULL */
};

/* A field's value, or NULL if it is not there or not to be read. */
static const char *find(const struct limn_recipe *recipe, const char *name)
{
    for (const char *const *e = recipe->except; e && *e; e++)
        if (strcmp(*e, name) == 0) return NULL;
    return infotext_find(&recipe->parts, name);
}

static enum status read_whole(const struct limn_recipe *recipe, const char *name, uint64_t low, uint64_t high,
                              uint64_t *out, struct error *err)
{
    const char *text = find(recipe, name);
    if (!text) return STATUS_OK;
    char *end = NULL;
    errno = 0;
    const unsigned long long value = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
    if (!end || *end || errno == ERANGE || value < low || value > high)
        return fail(err, STATUS_FORMAT, "the picture's parameters say '%s: %.40s', but it must be %llu to %llu", name,
                    text, (unsigned long long)low, (unsigned long long)high);
    *out = value;
    return STATUS_OK;
}

static enum status read_int(const struct limn_recipe *recipe, const char *name, int low, int high, int *out,
                            struct error *err)
{
    uint64_t value = (uint64_t)*out;
    const enum status status = read_whole(recipe, name, (uint64_t)low, (uint64_t)high, &value, err);
    *out = (int)value;
    return status;
}

static enum status read_real(const struct limn_recipe *recipe, const char *name, float low, float high, float *out,
                             struct error *err)
{
    const char *text = find(recipe, name);
    if (!text) return STATUS_OK;
    char *end = NULL;
    const float value = strspn(text, "0123456789.eE+-") == strlen(text) ? strtof(text, &end) : -1;
    if (!end || end == text || *end || !(value >= low && value <= high))
        return fail(err, STATUS_FORMAT, "the picture's parameters say '%s: %.40s', but it must be %g to %g", name, text,
                    (double)low, (double)high);
    *out = value;
    return STATUS_OK;
}

static enum status read_size(struct limn_recipe *recipe, struct error *err)
{
    const char *text = find(recipe, "Size");
    if (!text) return STATUS_OK;
    int width = 0, height = 0, used = 0;
    const bool plain = strspn(text, "0123456789x") == strlen(text) && strlen(text) < 16;
    if (!plain || sscanf(text, "%5dx%5d%n", &width, &height, &used) != 2 || text[used] || width < 1 || height < 1)
        return fail(err, STATUS_FORMAT,
                    "the picture's parameters say 'Size: %.40s', but it must be WIDTHxHEIGHT, both above 0", text);
    recipe->request.width = width;
    recipe->request.height = height;
    return STATUS_OK;
}

/* Another program's "Automatic" is its own default, which is Karras with DPM++ 2M. */
static void read_automatic(struct limn_recipe *recipe)
{
    struct limn_request *request = &recipe->request;
    const char *version = find(recipe, "Version");
    const struct sampler_kind *kind = request->sampler ? sampler_kind_find(request->sampler) : NULL;
    if (!kind || !kind->automatic || !request->schedule || strcmp(request->schedule, "Automatic") != 0) return;
    if (!version || strncmp(version, "limn ", 5) != 0) request->schedule = kind->automatic;
}

/* "DPM++ 2M Karras" was one name before the web UI had schedule types (version 1.9). */
static enum status read_sampler(struct limn_recipe *recipe, struct error *err)
{
    static const char karras[] = " Karras";
    struct limn_request *request = &recipe->request;
    request->schedule = find(recipe, "Schedule type");
    request->sampler = find(recipe, "Sampler");
    const size_t bytes = request->sampler ? strlen(request->sampler) : 0;
    if (bytes <= sizeof karras || strcmp(request->sampler + bytes - sizeof karras + 1, karras) != 0) return STATUS_OK;
    request->sampler = arena_strndup(&recipe->memory, request->sampler, bytes - sizeof karras + 1);
    if (!request->sampler) return fail_no_memory(err, "a sampler's name", bytes);
    if (!request->schedule) request->schedule = "karras";
    return STATUS_OK;
}

static enum status read_settings(struct limn_recipe *recipe, struct error *err)
{
    struct limn_request *r = &recipe->request;
    r->prompt = recipe->parts.prompt;
    r->negative = recipe->parts.negative;
    const char *rng = find(recipe, "RNG"), *mode = find(recipe, "Mask mode");
    r->rng = rng && strcmp(rng, "CPU") == 0 ? "mt19937" : "philox";
    r->invert_mask = mode && strcmp(mode, "Inpaint not masked") == 0;
    const uint64_t most_seed = INT64_MAX;
    enum status status = read_sampler(recipe, err);
    if (status == STATUS_OK) read_automatic(recipe);
    if (status == STATUS_OK) status = read_size(recipe, err);
    if (status == STATUS_OK) status = read_int(recipe, "Steps", 1, LIMN_MAX_STEPS, &r->steps, err);
    if (status == STATUS_OK) status = read_real(recipe, "CFG scale", 1, LIMN_MAX_CFG, &r->cfg, err);
    if (status == STATUS_OK) status = read_real(recipe, "Truncation", 0, LIMN_MAX_TRUNCATION, &r->truncation, err);
    if (status == STATUS_OK) status = read_real(recipe, "Eta DDIM", 0, 1, &r->eta, err);
    if (status == STATUS_OK) status = read_whole(recipe, "Seed", 0, most_seed, &r->seed, err);
    if (status == STATUS_OK) status = read_whole(recipe, "Variation seed", 0, most_seed, &r->subseed, err);
    if (status == STATUS_OK) status = read_real(recipe, "Variation seed strength", 0, 1, &r->subseed_strength, err);
    if (status == STATUS_OK) status = read_real(recipe, "Denoising strength", 0, 1, &r->strength, err);
    if (find(recipe, "Denoising strength") && r->strength == 0) r->strength = LEAST_STRENGTH;
    if (status == STATUS_OK) status = read_int(recipe, "Clip skip", 1, LIMN_MAX_CLIP_SKIP, &r->clip_skip, err);
    if (status == STATUS_OK) status = read_int(recipe, "Mask blur", 0, LIMN_MAX_MASK_BLUR, &r->mask_blur, err);
    return status;
}

static enum status parse(struct limn_recipe **out, const char *text, const char *const *except, struct error *err)
{
    struct limn_recipe *recipe = memory_alloc(sizeof *recipe);
    if (!recipe) return fail_no_memory(err, "a recipe", sizeof *recipe);
    recipe->except = except;
    recipe->text = arena_strdup(&recipe->memory, text);
    enum status status = STATUS_OK;
    if (!recipe->text) status = fail_no_memory(err, "a recipe", strlen(text));
    if (status == STATUS_OK) status = infotext_split(&recipe->parts, recipe->text, &recipe->memory, err);
    if (status == STATUS_OK) status = read_settings(recipe, err);
    recipe->except = NULL;
    if (status == STATUS_OK)
        *out = recipe;
    else
        limn_recipe_close(recipe);
    return status;
}

enum limn_status limn_recipe_parse(struct limn_recipe **recipe, const char *parameters, const char *const *except,
                                   struct limn_error *error)
{
    struct error err = {0};
    *recipe = NULL;
    err.status = parse(recipe, parameters, except, &err);
    return api_result(error, &err);
}

enum limn_status limn_recipe_read(struct limn_recipe **recipe, const char *path, const char *const *except,
                                  struct limn_error *error)
{
    struct error err = {0};
    struct image image = {0};
    struct image_text text = {0};
    *recipe = NULL;
    enum status status = image_read(&image, path, &text, &err);
    if (status == STATUS_OK && !text.parameters)
        status = fail(&err, STATUS_FORMAT, "%s: the picture does not say how it was made (it has no 'parameters' text)",
                      path);
    if (status == STATUS_OK) status = parse(recipe, text.parameters, except, &err);
    image_text_clear(&text);
    image_clear(&image);
    err.status = status;
    return api_result(error, &err);
}

void limn_recipe_close(struct limn_recipe *recipe)
{
    if (!recipe) return;
    arena_clear(&recipe->memory);
    memory_free(recipe);
}

const struct limn_request *limn_recipe_request(const struct limn_recipe *recipe)
{
    return &recipe->request;
}

const char *limn_recipe_text(const struct limn_recipe *recipe)
{
    return recipe->text;
}

const char *limn_recipe_field(const struct limn_recipe *recipe, const char *name)
{
    return infotext_find(&recipe->parts, name);
}

const char *limn_recipe_unfollowed(const struct limn_recipe *recipe, int i)
{
    /* How the names of such fields begin, in A1111 and its common extensions. */
    static const char *const starts[] = {"Hires",      "ENSD",
                                         "Lora",       "TI ",
                                         "Hypernet",   "Refiner",
                                         "ControlNet", "ADetailer",
                                         "Face rest",  "Token merging",
                                         "Tiling",     "Sigma",
                                         "Sgm",        "NGMS",
                                         "FreeU",      "Skip Early CFG",
                                         "Rescale",    "Conditional mask",
                                         "Emphasis",   "Masked content"};
    for (int k = 0; k < recipe->parts.field_count; k++) {
        const char *const name = recipe->parts.fields[k].name;
        for (size_t s = 0; s < sizeof starts / sizeof *starts; s++)
            if (strncmp(name, starts[s], strlen(starts[s])) == 0 && i-- == 0) return name;
    }
    return NULL;
}
