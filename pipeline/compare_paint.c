/* SPDX-License-Identifier: MIT
 *
 * A model's pictures, each a file with its settings in it. What a file says about itself decides whether it is painted
 * again, so nothing else has to be remembered between runs:
 *
 *     output/pictures/MODEL/a-red-apple-3fa2c1-7.png        prompt, a hash of the whole prompt, seed
 */
#include "diffusion/sampler.h"
#include "pipeline/api.h"
#include "pipeline/compare.h"
#include "pipeline/infotext.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SLUG_BYTES = 48 };

/* What the pictures of one model have in common while they are painted. */
struct painter {
    struct comparison *c;
    struct entrant *entrant;
    struct limn_model *model;
    struct limn_watch watch; /* the request's, without progress */
    char *settings;          /* owned; the first picture's parameters: all others must agree but for prompt and seed */
    double *seconds;         /* in the arena; of the pictures painted */
    double start;
    int total;
};

/* ---- names ---- */

/* The prompt as part of a file name: letters and digits of any script, other characters as one dash. */
static void put_slug(char slug[SLUG_BYTES], const char *prompt)
{
    size_t length = 0;
    for (const unsigned char *at = (const unsigned char *)prompt; *at;) {
        size_t bytes = 1;
        while ((at[bytes] & 0xc0) == 0x80) bytes++;
        const bool letter =
            bytes > 1 || (*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z');
        if (length + bytes + 1 > SLUG_BYTES) break;
        if (letter)
            memcpy(slug + length, at, bytes);
        else if (length > 0 && slug[length - 1] != '-')
            slug[length] = '-';
        else
            bytes = 0;
        length += letter ? bytes : bytes > 0;
        at += bytes ? bytes : 1;
    }
    while (length > 0 && slug[length - 1] == '-') length--;
    slug[length] = '\0';
}

static char *shot_path(struct comparison *c, const struct entrant *entrant, const struct limn_request *request)
{
    char slug[SLUG_BYTES], hash[SHA256_HEX_BYTES];
    put_slug(slug, request->prompt);
    sha256_hex(request->prompt, strlen(request->prompt), false, hash);
    return arena_printf(&c->memory, "%s/pictures/%s/%s%s%.6s-%llu.png", c->output, entrant->name, slug,
                        *slug ? "-" : "", hash, (unsigned long long)request->seed);
}

/* ---- finding ---- */

static bool same_field(const struct infotext_field *a, const struct infotext_field *b)
{
    return strcmp(a->name, b->name) == 0 &&
           (strcmp(a->value, b->value) == 0 || strcmp(a->name, "Seed") == 0 || strcmp(a->name, "Exact prompt") == 0);
}

/* Everything but prompt and seed. A prompt may be there twice (infotext.h). */
static bool same_settings(const struct infotext_parts *a, const struct infotext_parts *b)
{
    const int extra_a = infotext_find(a, "Exact prompt") != NULL, extra_b = infotext_find(b, "Exact prompt") != NULL;
    if (a->field_count - extra_a != b->field_count - extra_b) return false;
    for (int i = 0; i < a->field_count; i++) {
        const char *name = a->fields[i].name, *value = infotext_find(b, name);
        const struct infotext_field other = {name, value ? value : a->fields[i].value};
        if (!value && strcmp(name, "Exact prompt") != 0) return false;
        if (!same_field(&a->fields[i], &other)) return false;
    }
    return true;
}

/* Is the picture with these parameters the one that the request would paint? */
static enum status agrees(const struct painter *p, const char *parameters, const struct limn_request *request,
                          bool *same, struct error *err)
{
    struct arena memory = {0};
    struct infotext_parts mine = {0}, its = {0};
    struct limn_recipe *recipe = NULL;
    *same = false;
    enum status status = infotext_split(&mine, p->settings, &memory, err);
    if (status == STATUS_OK) status = infotext_split(&its, parameters, &memory, err);
    if (status == STATUS_OK && same_settings(&mine, &its)) {
        const enum limn_status read = limn_recipe_parse(&recipe, parameters, NULL, NULL);
        if (read == LIMN_NO_MEMORY) status = fail_no_memory(err, "a picture's settings", strlen(parameters));
        if (read == LIMN_OK)
            *same = strcmp(limn_recipe_request(recipe)->prompt, request->prompt) == 0 &&
                    limn_recipe_request(recipe)->seed == request->seed;
        limn_recipe_close(recipe);
    }
    arena_clear(&memory);
    return status;
}

/* A file that is there, whole, and of the right settings is added to the set. */
static enum status find_shot(struct painter *p, const char *path, const struct limn_request *request, bool *found,
                             struct error *err)
{
    struct error why = {0};
    struct image image = {0};
    struct image_text text = {0};
    *found = false;
    if (access(path, F_OK) != 0) return STATUS_OK;
    enum status status = image_read(&image, path, &text, &why);
    if (status == STATUS_OK && text.parameters) status = agrees(p, text.parameters, request, found, &why);
    if (status == STATUS_OK && *found) status = picture_set_add(&p->entrant->set, &image, 0, path, &why);
    image_text_clear(&text);
    image_clear(&image);
    if (status == STATUS_NO_MEMORY) return fail(err, status, "%s", why.text);
    if (status != STATUS_OK) *found = false; /* A damaged file is painted again. */
    return STATUS_OK;
}

/* ---- painting ---- */

static enum status paint_shot(struct painter *p, const char *path, const struct limn_request *request,
                              struct error *err)
{
    struct limn_error why = {0};
    struct limn_picture picture = {0};
    enum limn_status painted = limn_paint(p->model, request, &picture, &why);
    if (painted == LIMN_OK) painted = limn_picture_write(&picture, path, &why);
    enum status status = painted == LIMN_OK ? STATUS_OK : fail(err, (enum status)painted, "%s", why.text);
    if (status == STATUS_OK && !p->settings) {
        p->settings = memory_strdup(picture.parameters);
        if (!p->settings) status = fail_no_memory(err, "a picture's settings", strlen(picture.parameters));
    }
    const struct image image = api_image(&picture.image);
    if (status == STATUS_OK) status = picture_set_add(&p->entrant->set, &image, 0, path, err);
    if (status == STATUS_OK) {
        p->entrant->width = image.width;
        p->entrant->height = image.height;
        p->seconds[p->entrant->cost.timed++] = picture.seconds;
    }
    limn_picture_clear(&picture);
    return status;
}

struct limn_request compare_request(const struct comparison *c, int shot, const struct limn_watch *watch)
{
    const int prompt = shot / c->per_prompt, k = shot % c->per_prompt;
    return (struct limn_request){.prompt = c->prompts[prompt],
                                 .seed = c->request->seed + (uint64_t)prompt * COMPARE_SEED_STRIDE + (uint64_t)k,
                                 .watch = watch};
}

/* Paints the first picture, and counts what that takes. */
static enum status paint_metered(struct painter *p, const char *path, const struct limn_request *request,
                                 struct error *err)
{
    struct compare_meter meter = {0};
    compare_meter_start(&meter, p->model);
    enum status status = paint_shot(p, path, request, err);
    compare_meter_stop(&meter);
    if (status == STATUS_OK && meter.failed) status = fail_no_memory(err, "a list of weights", sizeof meter);
    p->entrant->cost.parameters = meter.parameters;
    p->entrant->cost.gflop = meter.flop * 1e-9;
    p->entrant->cost.memory_bytes = p->model->peak_bytes;
    return status;
}

/* The first is painted in any case: it says what the settings are, and what a picture takes. */
static enum status make_shot(struct painter *p, int i, struct error *err)
{
    const struct limn_request request = compare_request(p->c, i, &p->watch);
    bool found = false;
    char *path = shot_path(p->c, p->entrant, &request);
    if (!path) return fail_no_memory(err, "a path", SLUG_BYTES);
    p->entrant->shots[i] = (struct compare_shot){
        .path = path, .prompt = request.prompt, .prompt_row = i / p->c->per_prompt, .seed = request.seed};
    enum status status = watch_check(p->c->watch, err);
    if (status == STATUS_OK && i > 0) status = find_shot(p, path, &request, &found, err);
    if (status != STATUS_OK || found) return status;
    return i > 0 ? paint_shot(p, path, &request, err) : paint_metered(p, path, &request, err);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* "25 steps, DDIM, guidance 3.5", from the parameters' own words. */
static enum status say_settings(struct painter *p, struct error *err)
{
    struct arena memory = {0};
    struct infotext_parts parts = {0};
    enum status status = infotext_split(&parts, p->settings, &memory, err);
    const char *steps = infotext_find(&parts, "Steps"), *sampler = infotext_find(&parts, "Sampler");
    const char *cfg = infotext_find(&parts, "CFG scale"), *schedule = infotext_find(&parts, "Schedule type");
    const struct sampler_schedule *known = schedule ? sampler_schedule_find(schedule) : NULL;
    const bool said = schedule && (!known || strcmp(known->name, "default") != 0);
    if (status == STATUS_OK) {
        p->entrant->settings = steps && sampler && cfg
                                   ? arena_printf(&p->c->memory, "%s steps, %s%s%s, guidance %s", steps, sampler,
                                                  said ? " " : "", said ? schedule : "", cfg)
                                   : "";
        if (!p->entrant->settings) status = fail_no_memory(err, "settings", strlen(p->settings));
    }
    arena_clear(&memory);
    return status;
}

static enum status paint_all(struct painter *p, int *done, struct error *err)
{
    enum status status = STATUS_OK;
    const int count = p->c->prompt_count * p->c->per_prompt;
    for (int i = 0; i < count && status == STATUS_OK; i++) {
        status = make_shot(p, i, err);
        if (status != STATUS_OK) break;
        ++*done;
        watch_progress(p->c->watch, LIMN_STAGE_PICTURES, *done, p->total, api_clock() - p->start);
    }
    if (status != STATUS_OK) return status;
    struct compare_cost *cost = &p->entrant->cost;
    qsort(p->seconds, (size_t)cost->timed, sizeof *p->seconds, by_value);
    cost->seconds = p->seconds[cost->timed / 2];
    return say_settings(p, err);
}

enum status compare_paint(struct comparison *c, struct entrant *entrant, struct limn_model *model, int *done,
                          struct error *err)
{
    const size_t count = (size_t)c->prompt_count * (size_t)c->per_prompt;
    struct painter p = {
        .c = c, .entrant = entrant, .model = model, .start = c->started, .total = c->count * (int)count};
    if (c->watch) p.watch = *c->watch;
    p.watch.progress = NULL;
    p.watch.preview = NULL;
    entrant->shots = arena_alloc(&c->memory, count * sizeof *entrant->shots);
    p.seconds = arena_alloc(&c->memory, count * sizeof *p.seconds);
    if (!entrant->shots || !p.seconds) return fail_no_memory(err, "a list of pictures", count * sizeof *entrant->shots);
    entrant->set.expected = (int64_t)count;
    enum status status = paint_all(&p, done, err);
    memory_free(p.settings);
    return status == STATUS_OK ? compare_note_size(c, entrant, err) : status;
}
