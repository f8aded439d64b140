/* SPDX-License-Identifier: MIT */
#include "pipeline/api.h"
#include "pipeline/compare.h"

#include <string.h>

/* Prompt and seed, if the picture carries them. Metadata that cannot be read is no metadata. */
static enum status read_settings(struct compare_shot *shot, const char *parameters, struct arena *memory,
                                 struct error *err)
{
    struct limn_recipe *recipe = NULL;
    const enum limn_status read = limn_recipe_parse(&recipe, parameters, NULL, NULL);
    if (read == LIMN_NO_MEMORY) return fail_no_memory(err, "a picture's settings", strlen(parameters));
    if (read != LIMN_OK) return STATUS_OK;
    enum status status = STATUS_OK;
    const struct limn_request *request = limn_recipe_request(recipe);
    if (request->prompt && request->prompt[0]) {
        shot->seed = request->seed;
        shot->prompt = arena_strdup(memory, request->prompt);
        if (!shot->prompt) status = fail_no_memory(err, "a prompt", strlen(request->prompt));
    }
    limn_recipe_close(recipe);
    return status;
}

static enum status read_shot(struct comparison *c, struct compare_shot *shot, struct error *err)
{
    struct image image = {0};
    struct image_text text = {0};
    enum status status = image_read(&image, shot->path, &text, err);
    if (status == STATUS_OK && text.parameters) status = read_settings(shot, text.parameters, &c->memory, err);
    image_text_clear(&text);
    image_clear(&image);
    return status;
}

static bool watch_stops(void *context)
{
    const struct limn_watch *watch = context;
    return watch && watch->cancelled && watch->cancelled(watch->context);
}

/* All pictures that are compared as they are must be of one size: what is resized looks softer to every measure. */
static enum status check_size(const struct comparison *c, const struct entrant *entrant, struct error *err)
{
    const struct entrant *first = &c->entrants[0];
    if (entrant->width == first->width && entrant->height == first->height) return STATUS_OK;
    return fail(err, STATUS_FORMAT,
                "the pictures of %s are %d x %d pixels and those of %s %d x %d: what is compared must be of one size",
                entrant->path, entrant->width, entrant->height, first->path, first->width, first->height);
}

enum status compare_read_folder(struct comparison *c, struct entrant *entrant, struct error *err)
{
    struct picture_set *set = &entrant->set;
    const struct measures_watch watch = {.context = (void *)c->watch, .cancelled = watch_stops};
    const struct picture_set_options options = {.limit = LIMN_MAX_COMPARE_TOTAL, .watch = &watch};
    enum status status = compare_read_pictures(c, set, entrant->path, &options, err);
    entrant->width = set->side_x;
    entrant->height = set->side_y;
    if (status == STATUS_OK) status = check_size(c, entrant, err);
    if (status != STATUS_OK) return status;
    const size_t bytes = (size_t)set->count * sizeof *entrant->shots;
    entrant->shots = arena_alloc(&c->memory, bytes);
    if (!entrant->shots) return fail_no_memory(err, "a list of pictures", bytes);
    for (int64_t i = 0; i < set->count && status == STATUS_OK; i++) {
        entrant->shots[i] = (struct compare_shot){.path = set->paths[i], .prompt_row = -1};
        status = watch_check(c->watch, err);
        if (status == STATUS_OK) status = read_shot(c, &entrant->shots[i], err);
    }
    return status;
}
