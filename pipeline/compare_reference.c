/* SPDX-License-Identifier: MIT
 *
 * The pictures that the painted ones should be like. A folder whose metadata.jsonl says what each picture shows
 * (core/io/dataset.h) is narrowed to what the prompts ask for: of each prompt, the pictures with the longest caption
 * that the prompt says. A set of all things is a poor standard for a few prompts: what is mush lies nearer to the mean
 * of everything than sixteen things that are drawn well. Copies are looked for in all of the pictures.
 */
#define _POSIX_C_SOURCE 200809L
#include "core/io/dataset.h"
#include "pipeline/api.h"
#include "pipeline/compare.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { FEWEST = 2 };

/* ---- a folder of pictures, for the entrants too ---- */

struct teller {
    struct comparison *c;
    char first[ERROR_TEXT_BYTES];
};

static void tell(void *context, const char *sentence)
{
    struct teller *teller = context;
    if (!teller->first[0]) snprintf(teller->first, sizeof teller->first, "%s", sentence);
    watch_note(teller->c->watch, "%s", sentence);
}

/* How large pictures are kept when there are too many for memory. */
static enum status warn_reduced(struct comparison *c, const struct picture_set *set, const char *name,
                                struct error *err)
{
    if (set->kept_x == set->side_x && set->kept_y == set->side_y) return STATUS_OK;
    return compare_warn(c, err,
                        "%s: %lld pictures of %d x %d pixels are more than memory is meant for: what measures pixels "
                        "sees them at %d x %d, and is to be compared with nothing else",
                        name, (long long)set->count, set->side_x, set->side_y, set->kept_x, set->kept_y);
}

enum status compare_note_size(struct comparison *c, const struct entrant *entrant, struct error *err)
{
    return warn_reduced(c, &entrant->set, entrant->name, err);
}

enum status compare_read_pictures(struct comparison *c, struct picture_set *set, const char *folder,
                                  const struct picture_set_options *how, struct error *err)
{
    struct teller teller = {.c = c};
    struct picture_set_options options = *how;
    struct error why = {0};
    options.skipped = tell;
    options.context = &teller;
    enum status status = picture_set_read(set, folder, &options, &why);
    if (status != STATUS_OK) return fail(err, status == STATUS_ARGUMENT ? STATUS_FORMAT : status, "%s", why.text);
    if (set->count < FEWEST)
        return fail(err, STATUS_FORMAT, "%s: there is only one picture in this folder%s, and at least %d are needed",
                    folder, set->skipped > 0 ? " that can be read" : "", FEWEST);
    if (set->skipped > 0)
        status = compare_warn(c, err, "%s: %lld of %lld pictures cannot be read and are left out (%s)", folder,
                              (long long)set->skipped, (long long)(set->count + set->skipped), teller.first);
    return status == STATUS_OK ? warn_reduced(c, set, folder, err) : status;
}

/* ---- what lies in the reference ---- */

struct listing {
    struct dataset *captions; /* NULL: nobody says what the pictures show */
    const char **names;       /* owned; of the pictures, if there are captions */
};

static void listing_clear(struct listing *listing)
{
    dataset_close(listing->captions);
    memory_free((void *)listing->names);
}

/* options: who is told about lines that cannot be used. */
static enum status list(struct listing *listing, const char *folder, struct dataset_options options, struct error *err)
{
    char path[MODEL_PATH_BYTES + 32];
    struct stat info;
    *listing = (struct listing){0};
    snprintf(path, sizeof path, "%s/metadata.jsonl", folder);
    if (stat(path, &info) != 0) return STATUS_OK;
    options.unread = true;
    enum status status = dataset_open(&listing->captions, folder, &options, err);
    if (status != STATUS_OK) return status;
    const size_t count = (size_t)dataset_count(listing->captions);
    listing->names = memory_alloc(count * sizeof *listing->names);
    if (!listing->names) return fail_no_memory(err, "names of pictures", count * sizeof *listing->names);
    for (size_t i = 0; i < count; i++) listing->names[i] = dataset_name(listing->captions, (int64_t)i);
    return STATUS_OK;
}

static void apply(struct picture_set_options *options, const struct listing *listing)
{
    options->names = listing->names;
    options->name_count = listing->captions ? dataset_count(listing->captions) : 0;
}

enum status compare_check_reference(const struct comparison *c, struct error *err)
{
    enum { TRIAL_SIDE = 64 };
    struct picture_set trial = {0};
    struct listing listing = {0};
    if (!c->reference_path) return STATUS_OK;
    enum status status = list(&listing, c->reference_path, (struct dataset_options){0}, err);
    struct picture_set_options options = {.side = TRIAL_SIDE, .enough = FEWEST};
    apply(&options, &listing);
    if (status == STATUS_OK) status = picture_set_read(&trial, c->reference_path, &options, err);
    if (status == STATUS_OK && trial.count < FEWEST)
        status = fail(err, STATUS_FORMAT, "%s: there is only one picture in this folder, and at least %d are needed",
                      c->reference_path, FEWEST);
    picture_set_clear(&trial);
    listing_clear(&listing);
    return status;
}

/* ---- which of it the prompts ask for ---- */

/* The longest caption that the prompt says, in bytes; 0: it says none. */
static size_t said(const struct dataset *captions, int64_t item, const char *prompt)
{
    size_t longest = 0;
    for (int k = 0; k < dataset_captions(captions, item); k++) {
        const char *caption = dataset_caption(captions, item, k);
        if (strlen(caption) > longest && pack_says(prompt, caption)) longest = strlen(caption);
    }
    return longest;
}

/* The set's pictures as items of the listing, which are in the same order; some may be left out. */
static void find_items(const struct picture_set *set, const struct listing *listing, int64_t *items)
{
    const size_t folder = strlen(set->name) + 1;
    int64_t item = 0;
    for (int64_t i = 0; i < set->count; i++) {
        while (strcmp(set->paths[i] + folder, listing->names[item]) != 0) item++;
        items[i] = item++;
    }
}

/* Marks what shows the prompt; false if nothing does. */
static bool mark(const struct picture_set *set, const struct dataset *captions, const int64_t *items,
                 const char *prompt, size_t *lengths, bool *wanted)
{
    size_t longest = 0;
    for (int64_t i = 0; i < set->count; i++) {
        lengths[i] = said(captions, items[i], prompt);
        if (lengths[i] > longest) longest = lengths[i];
    }
    for (int64_t i = 0; i < set->count && longest > 0; i++) wanted[i] = wanted[i] || lengths[i] == longest;
    return longest > 0;
}

static enum status choose(struct comparison *c, const struct listing *listing, struct error *err)
{
    const size_t count = (size_t)c->reference.count;
    int64_t *items = arena_alloc(&c->memory, count * sizeof *items);
    size_t *lengths = arena_alloc(&c->memory, count * sizeof *lengths);
    bool *wanted = arena_alloc(&c->memory, count);
    if (!items || !lengths || !wanted) return fail_no_memory(err, "a list of pictures", count * sizeof *items);
    memset(wanted, 0, count);
    find_items(&c->reference, listing, items);
    for (int p = 0; p < c->prompt_count; p++)
        if (!mark(&c->reference, listing->captions, items, c->prompts[p], lengths, wanted))
            return compare_warn(c, err,
                                "no picture of the reference shows what prompt %d asks for: all of them are compared "
                                "with, whatever the prompts are",
                                p + 1);
    int64_t chosen = 0;
    for (size_t i = 0; i < count; i++) chosen += wanted[i];
    if (chosen < FEWEST) return STATUS_OK;
    c->wanted = wanted;
    c->wanted_count = chosen;
    return STATUS_OK;
}

enum status compare_read_reference(struct comparison *c, const struct picture_set_options *how, struct error *err)
{
    struct picture_set_options options = *how;
    struct listing listing;
    struct teller teller = {.c = c};
    const struct dataset_options told = {.skipped = tell, .context = &teller};
    enum status status = list(&listing, c->reference_path, told, err);
    apply(&options, &listing);
    if (status == STATUS_OK && teller.first[0])
        status = compare_warn(c, err, "some of what the reference is said to show is left out (%s)", teller.first);
    if (status == STATUS_OK) status = compare_read_pictures(c, &c->reference, c->reference_path, &options, err);
    c->wanted_count = c->reference.count;
    if (status == STATUS_OK && listing.captions && c->prompt_count > 0) status = choose(c, &listing, err);
    listing_clear(&listing);
    return status;
}
