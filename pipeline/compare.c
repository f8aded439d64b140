/* SPDX-License-Identifier: MIT
 *
 * limn_compare: the request checked, the entrants named, and the stages one after the other. One model is open at a
 * time.
 */
#define _POSIX_C_SOURCE 200809L /* mkdir */
#include "pipeline/compare.h"

#include "clip/text.h"
#include "core/io/quote.h"
#include "pipeline/api.h"
#include "pipeline/report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { FEWEST_COMPARED = 2, DEFAULT_PROMPTS = 16, DEFAULT_COUNT = 16, DEFAULT_COUNT_OF_ONE = 64, NAME_BYTES = 64 };

static const char default_output[] = "limn-compare";
static const char *const default_models[] = {"emoji.safetensors", "gan.safetensors"};
static const char default_reference[] = "reference"; /* what both have learnt from */

enum status compare_warn(struct comparison *c, struct error *err, const char *format, ...)
{
    char sentence[ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    for (int i = 0; i < c->warning_count; i++)
        if (strcmp(c->warnings[i], sentence) == 0) return STATUS_OK;
    if (c->warning_count == COMPARE_WARNINGS) return STATUS_OK;
    c->warnings[c->warning_count] = arena_strdup(&c->memory, sentence);
    if (!c->warnings[c->warning_count]) return fail_no_memory(err, "a warning", strlen(sentence) + 1);
    c->warning_count++;
    watch_note(c->watch, "%s", sentence);
    return STATUS_OK;
}

/* ---- the request ---- */

static enum status check_count(const char *what, int count, int low, int high, struct error *err)
{
    if (count >= low && count <= high) return STATUS_OK;
    return fail(err, STATUS_ARGUMENT, "%d %s: %d to %d can be compared", count, what, low, high);
}

static enum status check_texts(const char *const *texts, int count, const char *what, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < count && status == STATUS_OK; i++)
        status = texts[i] ? text_check(texts[i], strlen(texts[i]), what, err)
                          : fail(err, STATUS_ARGUMENT, "%s %d of %d is NULL", what, i + 1, count);
    return status;
}

static enum status check_paths(const char *const *paths, int count, const char *what, struct error *err)
{
    for (int i = 0; i < count; i++) {
        if (!paths[i] || !paths[i][0]) return fail(err, STATUS_ARGUMENT, "%s %d of %d has no name", what, i + 1, count);
        if (strlen(paths[i]) >= MODEL_PATH_BYTES)
            return fail(err, STATUS_ARGUMENT, "the path of %s %d has %zu bytes: at most %d are allowed", what, i + 1,
                        strlen(paths[i]), MODEL_PATH_BYTES - 1);
    }
    return STATUS_OK;
}

static enum status check_seed(const struct limn_compare_request *r, struct error *err)
{
    const uint64_t most = (uint64_t)INT64_MAX - (uint64_t)LIMN_MAX_PROMPTS * COMPARE_SEED_STRIDE;
    if (r->seed <= most) return STATUS_OK;
    return fail(err, STATUS_ARGUMENT, "seed %llu: must be 0 to %llu, so that every picture has one",
                (unsigned long long)r->seed, (unsigned long long)most);
}

static enum status check_request(const struct limn_compare_request *r, struct error *err)
{
    enum status status = STATUS_OK;
    if (r->models && r->folders)
        return fail(err, STATUS_ARGUMENT, "models and folders of pictures are not compared with each other");
    if (r->folders && r->prompts)
        return fail(err, STATUS_ARGUMENT, "finished pictures say themselves which prompts they were painted from");
    if (r->models) status = check_count("models", r->model_count, FEWEST_COMPARED, LIMN_MAX_COMPARED, err);
    if (status == STATUS_OK && r->folders)
        status = check_count("folders", r->folder_count, FEWEST_COMPARED, LIMN_MAX_COMPARED, err);
    if (status == STATUS_OK && r->prompts) status = check_count("prompts", r->prompt_count, 1, LIMN_MAX_PROMPTS, err);
    if (status == STATUS_OK) status = check_paths(r->models, r->models ? r->model_count : 0, "model", err);
    if (status == STATUS_OK) status = check_paths(r->folders, r->folders ? r->folder_count : 0, "folder", err);
    if (status == STATUS_OK) status = check_texts(r->prompts, r->prompts ? r->prompt_count : 0, "prompt", err);
    if (status == STATUS_OK && (r->count < 0 || r->count > LIMN_MAX_COMPARE_COUNT))
        status =
            fail(err, STATUS_ARGUMENT, "%d pictures of each prompt: must be 1 to %d", r->count, LIMN_MAX_COMPARE_COUNT);
    if (status == STATUS_OK && (r->threads < 0 || r->threads > LIMN_MAX_THREADS))
        status = fail(err, STATUS_ARGUMENT, "threads %d: must be 1 to %d, or 0 for all processors", r->threads,
                      LIMN_MAX_THREADS);
    return status == STATUS_OK ? check_seed(r, err) : status;
}

/* How many pictures that makes: enough for a mean, and not more than memory is meant for. */
static enum status settle_count(struct comparison *c, struct error *err)
{
    c->per_prompt = c->request->count ? c->request->count : c->prompt_count == 1 ? DEFAULT_COUNT_OF_ONE : DEFAULT_COUNT;
    const int64_t total = (int64_t)c->prompt_count * c->per_prompt;
    if (total >= 2 && total <= LIMN_MAX_COMPARE_TOTAL) return STATUS_OK;
    return fail(err, STATUS_ARGUMENT, "%d pictures of %d prompt%s make %lld of each model: must be 2 to %d",
                c->per_prompt, c->prompt_count, c->prompt_count == 1 ? "" : "s", (long long)total,
                LIMN_MAX_COMPARE_TOTAL);
}

/* ---- names ---- */

static bool name_taken(const struct comparison *c, const char *name)
{
    if (strcmp(name, "reference") == 0) return true;
    for (int i = 0; i < c->count; i++)
        if (strcmp(c->entrants[i].name, name) == 0) return true;
    return false;
}

/* The last part of the path without its ending, each byte that a shell or file system minds a dash; a number behind it
 * if another has that name. */
static enum status add_entrant(struct comparison *c, const char *path, bool is_model, struct error *err)
{
    char trimmed[MODEL_PATH_BYTES], name[MODEL_PATH_BYTES], numbered[NAME_BYTES + 16];
    snprintf(trimmed, sizeof trimmed, "%s", path);
    for (size_t length = strlen(trimmed); length > 1 && trimmed[length - 1] == '/';) trimmed[--length] = '\0';
    if (is_model)
        model_short_name(trimmed, name, sizeof name);
    else
        snprintf(name, sizeof name, "%s", strrchr(trimmed, '/') ? strrchr(trimmed, '/') + 1 : trimmed);
    name[NAME_BYTES - 1] = '\0';
    for (char *at = name; *at; at++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-", *at)) *at = '-';
    if (!name[0] || name[0] == '.' || name[0] == '-') name[0] = '_';
    snprintf(numbered, sizeof numbered, "%s", name);
    for (int i = 2; name_taken(c, numbered); i++) snprintf(numbered, sizeof numbered, "%s-%d", name, i);
    struct entrant *e = &c->entrants[c->count++];
    *e =
        (struct entrant){.family = "pictures", .hash = "", .settings = "", .is_model = is_model, .takes_prompts = true};
    e->name = arena_strdup(&c->memory, numbered);
    e->path = arena_strdup(&c->memory, path);
    return e->name && e->path ? STATUS_OK : fail_no_memory(err, "a name", strlen(path));
}

static enum status add_entrants(struct comparison *c, struct error *err)
{
    const struct limn_compare_request *r = c->request;
    enum status status = STATUS_OK;
    char path[MODEL_PATH_BYTES];
    for (int i = 0; r->models && i < r->model_count && status == STATUS_OK; i++)
        status = add_entrant(c, r->models[i], true, err);
    for (int i = 0; r->folders && i < r->folder_count && status == STATUS_OK; i++)
        status = add_entrant(c, r->folders[i], false, err);
    for (int i = 0; !r->models && !r->folders && i < FEWEST_COMPARED && status == STATUS_OK; i++) {
        status = model_shipped_path(default_models[i], path, err);
        if (status == STATUS_OK) status = add_entrant(c, path, true, err);
    }
    return status;
}

/* The pack's models come with what they have learnt from. Of others nobody knows. */
static enum status settle_reference(struct comparison *c, struct error *err)
{
    const struct limn_compare_request *r = c->request;
    char path[MODEL_PATH_BYTES];
    c->reference_path = r->reference;
    c->reference_learnt = !r->reference && !r->models && !r->folders;
    if (!c->reference_learnt) return STATUS_OK;
    enum status status = model_shipped_path(default_reference, path, err);
    if (status != STATUS_OK) return status;
    c->reference_path = arena_strdup(&c->memory, path);
    return c->reference_path ? STATUS_OK : fail_no_memory(err, "a path", strlen(path));
}

/* Better to know that the last model is none before the first one has painted. */
static enum status check_models(const struct comparison *c, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < c->count && status == STATUS_OK; i++) {
        struct limn_error why = {0};
        struct limn_info info = {0};
        if (!c->entrants[i].is_model) continue;
        const enum limn_status read = limn_info_read(&info, c->entrants[i].path, &why);
        if (read != LIMN_OK) status = fail(err, (enum status)read, "%s", why.text);
        if (status == STATUS_OK && info.missing)
            status = fail(err, STATUS_FORMAT, "%s: %s", c->entrants[i].path, info.missing);
        limn_info_clear(&info);
    }
    return status;
}

/* ---- folders ---- */

static enum status make_folder(const char *path, struct error *err)
{
    struct stat info;
    if (mkdir(path, 0777) == 0) return STATUS_OK;
    const int cause = errno;
    if (cause == EEXIST && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return STATUS_OK;
    if (cause == EEXIST) return fail(err, STATUS_IO, "%s: is there already and is no folder", path);
    return fail(err, STATUS_IO, "%s: could not be made as a folder: %s", path, strerror(cause));
}

static enum status make_folders(struct comparison *c, struct error *err)
{
    static const char *const within[] = {"", "/features", "/pictures"};
    char path[2 * MODEL_PATH_BYTES];
    enum status status = STATUS_OK;
    if (strlen(c->output) >= MODEL_PATH_BYTES || !c->output[0])
        return fail(err, STATUS_ARGUMENT, "the output folder's path has %zu bytes: 1 to %d are allowed",
                    strlen(c->output), MODEL_PATH_BYTES - 1);
    const int folders = c->request->folders ? 2 : 3;
    for (int i = 0; i < folders && status == STATUS_OK; i++) {
        snprintf(path, sizeof path, "%s%s", c->output, within[i]);
        status = make_folder(path, err);
    }
    for (int i = 0; i < c->count && status == STATUS_OK; i++) {
        if (!c->entrants[i].is_model) continue;
        snprintf(path, sizeof path, "%s/pictures/%s", c->output, c->entrants[i].name);
        status = make_folder(path, err);
    }
    return status;
}

/* ---- prompts ---- */

/* Sixteen of the pack's concepts, spread over its list, every fourth in Korean. */
static enum status choose_prompts(struct comparison *c, const struct limn_model *model, struct error *err)
{
    const struct pack_words *words = &model->pack.concepts;
    const int count = words->count < DEFAULT_PROMPTS ? words->count : DEFAULT_PROMPTS;
    if (count == 0)
        return fail(err, STATUS_ARGUMENT, "%s: the model does not say what it can paint; give prompts to compare by",
                    c->entrants[0].path);
    const char **prompts = arena_alloc(&c->memory, (size_t)count * sizeof *prompts);
    if (!prompts) return fail_no_memory(err, "prompts", (size_t)count * sizeof *prompts);
    for (int i = 0; i < count; i++) {
        const struct pack_word *word = &words->words[(int64_t)i * words->count / count];
        const char *name = i % 4 == 3 && word->ko[0] ? word->ko[0] : word->en[0];
        prompts[i] = arena_strdup(&c->memory, name ? name : "");
        if (!prompts[i]) return fail_no_memory(err, "prompts", (size_t)count * sizeof *prompts);
    }
    c->prompts = prompts;
    c->prompt_count = count;
    return settle_count(c, err);
}

/* What a pack's Korean names are in English, for readers and machines that have no Korean letters. */
static enum status gloss_prompts(struct comparison *c, const struct pack_words *words, struct error *err)
{
    const size_t bytes = (size_t)c->prompt_count * sizeof *c->glosses;
    if (!c->glosses) {
        c->glosses = arena_alloc(&c->memory, bytes);
        if (!c->glosses) return fail_no_memory(err, "prompts in English", bytes);
        for (int p = 0; p < c->prompt_count; p++) c->glosses[p] = NULL;
    }
    for (int p = 0; p < c->prompt_count; p++)
        for (int i = 0; i < words->count && !c->glosses[p]; i++) {
            const struct pack_word *word = &words->words[i];
            bool same = false;
            for (int k = 0; word->ko[k] && word->en[0]; k++) same = same || strcmp(word->ko[k], c->prompts[p]) == 0;
            if (!same) continue;
            c->glosses[p] = arena_strdup(&c->memory, word->en[0]);
            if (!c->glosses[p]) return fail_no_memory(err, "a prompt in English", strlen(word->en[0]) + 1);
        }
    return STATUS_OK;
}

/* Of folders: the prompts that the pictures name, in the order in which they come. */
static enum status gather_prompts(struct comparison *c, struct error *err)
{
    const char **prompts = arena_alloc(&c->memory, LIMN_MAX_PROMPTS * sizeof *prompts);
    if (!prompts) return fail_no_memory(err, "prompts", LIMN_MAX_PROMPTS * sizeof *prompts);
    c->prompts = prompts;
    for (int e = 0; e < c->count; e++) {
        for (int64_t i = 0; i < c->entrants[e].set.count; i++) {
            struct compare_shot *shot = &c->entrants[e].shots[i];
            int row = 0;
            if (!shot->prompt) continue;
            while (row < c->prompt_count && strcmp(prompts[row], shot->prompt) != 0) row++;
            if (row == LIMN_MAX_PROMPTS) continue;
            if (row == c->prompt_count) prompts[c->prompt_count++] = shot->prompt;
            shot->prompt_row = row;
        }
    }
    return STATUS_OK;
}

/* ---- the stages ---- */

/* A folder has no hash of its own: that of its tensors' names and bytes takes its place, so that its pictures can be
 * told from another model's. */
static enum status find_hash(struct limn_model *model, const char **hash, struct error *err)
{
    const enum status status = model_hash(model, hash, err);
    if (status != STATUS_OK || (*hash)[0]) return status;
    char all[2 * SHA256_HEX_BYTES] = "", hex[SHA256_HEX_BYTES];
    for (int i = 0; i < checkpoint_count(model->checkpoint); i++) {
        const struct tensor *t = checkpoint_at(model->checkpoint, i);
        sha256_hex(t->name, strlen(t->name), false, all + strlen(all));
        sha256_hex(all, strlen(all), false, hex);
        sha256_hex(t->data, dtype_bytes(t->dtype, (size_t)t->count), false, all);
        snprintf(all + strlen(all), SHA256_HEX_BYTES, "%s", hex);
        sha256_hex(all, strlen(all), false, hex);
        snprintf(all, sizeof all, "%s", hex);
    }
    snprintf(model->hash, sizeof model->hash, "%.10s", all);
    return STATUS_OK;
}

static enum status run_model(struct comparison *c, struct entrant *entrant, int *done, struct error *err)
{
    const struct limn_watch silent = {.context = c->watch ? c->watch->context : NULL,
                                      .cancelled = c->watch ? c->watch->cancelled : NULL,
                                      .note = c->watch ? c->watch->note : NULL};
    const struct limn_model_options options = {
        .path = entrant->path,
        .device = c->request->device,
        .compute = c->request->compute,
        .threads = c->request->threads,
        .max_memory = c->request->max_memory,
        .watch = &silent,
    };
    struct limn_error why = {0};
    struct limn_model *model = NULL;
    const char *hash = "";
    const enum limn_status opened = limn_model_open(&model, &options, &why);
    if (opened != LIMN_OK) return fail(err, (enum status)opened, "%s", why.text);
    enum status status = c->prompts ? STATUS_OK : choose_prompts(c, model, err);
    if (status == STATUS_OK) status = gloss_prompts(c, &model->pack.concepts, err);
    if (status == STATUS_OK) status = find_hash(model, &hash, err);
    entrant->hash = arena_strdup(&c->memory, hash);
    entrant->family = strcmp(kind_name(model->recognised.kind), "gan") == 0 ? "gan" : "diffusion";
    entrant->takes_prompts = model->text != NULL;
    if (status == STATUS_OK && !entrant->hash) status = fail_no_memory(err, "a hash", sizeof model->hash);
    if (status == STATUS_OK) status = compare_paint(c, entrant, model, done, err);
    if (status == STATUS_OK) status = compare_study(c, entrant, model, err);
    limn_model_close(model);
    return status;
}

static enum status warn_sizes(struct comparison *c, struct error *err)
{
    const struct entrant *a = &c->entrants[0];
    for (int i = 1; i < c->count; i++) {
        const struct entrant *b = &c->entrants[i];
        if (b->width != a->width || b->height != a->height)
            return compare_warn(c, err,
                                "%s paints %d x %d pixels and %s %d x %d: features see both at the CLIP model's size, "
                                "but what measures pixels is not to be compared between them",
                                a->name, a->width, a->height, b->name, b->width, b->height);
    }
    return STATUS_OK;
}

static enum status get_pictures(struct comparison *c, struct error *err)
{
    enum status status = STATUS_OK;
    int done = 0;
    if (c->request->folders) {
        for (int i = 0; i < c->count && status == STATUS_OK; i++) status = compare_read_folder(c, &c->entrants[i], err);
        return status == STATUS_OK ? gather_prompts(c, err) : status;
    }
    for (int i = 0; i < c->count && status == STATUS_OK; i++) status = run_model(c, &c->entrants[i], &done, err);
    if (status == STATUS_CANCELLED && c->prompts) {
        error_clear(err);
        return fail(err, status, "stopped; %d of %d pictures are finished, and the same command goes on from there",
                    done, c->count * c->prompt_count * c->per_prompt);
    }
    return status == STATUS_OK ? warn_sizes(c, err) : status;
}

static enum status run(struct comparison *c, struct error *err)
{
    const struct limn_compare_request *r = c->request;
    enum status status = check_request(r, err);
    c->output = r->output ? r->output : default_output;
    c->prompts = r->prompts;
    c->prompt_count = r->prompts ? r->prompt_count : 0;
    if (status == STATUS_OK && r->prompts) status = settle_count(c, err);
    if (status == STATUS_OK) status = add_entrants(c, err);
    if (status == STATUS_OK) status = settle_reference(c, err);
    if (status == STATUS_OK) status = check_models(c, err);
    if (status == STATUS_OK) status = compare_check_measuring(c, err);
    if (status == STATUS_OK) status = make_folders(c, err);
    c->started = api_clock();
    if (status == STATUS_OK) status = get_pictures(c, err);
    c->painting = api_clock() - c->started;
    if (status == STATUS_OK) status = compare_measure(c, err);
    c->measuring = api_clock() - c->started - c->painting;
    if (status == STATUS_OK) status = compare_judge(c, err);
    return status;
}

static enum status join_verdict(const struct comparison *c, char **out, struct error *err)
{
    size_t bytes = 1, used = 0;
    for (int i = 0; i < c->verdict_count; i++) bytes += strlen(c->verdict[i]) + 1;
    *out = memory_alloc(bytes);
    if (!*out) return fail_no_memory(err, "a verdict", bytes);
    for (int i = 0; i < c->verdict_count; i++)
        used += (size_t)snprintf(*out + used, bytes - used, "%s%s", i > 0 ? " " : "", c->verdict[i]);
    return STATUS_OK;
}

static void clear(struct comparison *c)
{
    for (int i = 0; i < c->count; i++) {
        struct entrant *e = &c->entrants[i];
        for (int k = 0; k < COMPARE_FRAMES; k++) {
            image_clear(&e->way[k].image);
            image_clear(&e->walk[k].image);
        }
        measures_clear(&e->measures);
        picture_set_clear(&e->set);
    }
    picture_set_clear(&c->reference);
    arena_clear(&c->memory);
}

enum limn_status limn_compare(const struct limn_compare_request *request, struct limn_comparison *comparison,
                              struct limn_error *error)
{
    struct error err = {0};
    *comparison = (struct limn_comparison){0};
    struct comparison *c = memory_alloc(sizeof *c);
    if (!c) {
        err.status = fail_no_memory(&err, "a comparison", sizeof *c);
        return api_result(error, &err);
    }
    c->request = request;
    c->watch = request->watch;
    err.status = run(c, &err);
    if (err.status == STATUS_OK) err.status = report_write(c, &comparison->report, &err);
    if (err.status == STATUS_OK) err.status = join_verdict(c, &comparison->verdict, &err);
    clear(c);
    memory_free(c);
    if (err.status != STATUS_OK) limn_comparison_clear(comparison);
    return api_result(error, &err);
}

void limn_comparison_clear(struct limn_comparison *comparison)
{
    if (!comparison) return;
    memory_free(comparison->verdict);
    memory_free(comparison->report);
    *comparison = (struct limn_comparison){0};
}
