/* SPDX-License-Identifier: MIT
 *
 * Features of every picture by one CLIP model, and the measures taken of them.
 */
#include "pipeline/api.h"
#include "pipeline/compare.h"
#include "pipeline/devices.h"

#include <stdio.h>
#include <string.h>

enum { FEW_PICTURES = 50 };

struct observer {
    const struct limn_watch *watch; /* the request's; may be NULL */
    double start;
};

static bool on_cancelled(void *context)
{
    const struct limn_watch *watch = ((const struct observer *)context)->watch;
    return watch && watch->cancelled && watch->cancelled(watch->context);
}

static void on_progress(void *context, const char *what, int64_t done, int64_t total)
{
    const struct observer *o = context;
    if (strcmp(what, "features") == 0)
        watch_progress(o->watch, LIMN_STAGE_FEATURES, (int)done, (int)total, api_clock() - o->start);
}

/* What the measures are taken with. */
struct laboratory {
    struct comparison *c;
    struct backend *backend; /* owned, like the pair */
    struct clip_pair *pair;
    struct observer observer;
    struct measures_watch watch;
    char hash[MODEL_HASH_BYTES]; /* of the CLIP model; "" for a folder */
    float *prompts;              /* [prompt_count, width], in the comparison's arena */
};

static enum status open_network(struct laboratory *lab, struct error *err)
{
    struct comparison *c = lab->c;
    char path[MODEL_PATH_BYTES], hex[SHA256_HEX_BYTES], name[MODEL_PATH_BYTES];
    struct clip_pair_source source = {.path = c->request->clip, .limit = (size_t)c->request->max_memory};
    enum status status = STATUS_OK;
    if (!source.path) {
        status = model_shipped_path("clip.safetensors", path, err);
        source.path = path;
    }
    if (status == STATUS_OK)
        status = device_open(&lab->backend, c->request->device,
                             &(struct device_request){.threads = c->request->threads}, err);
    source.backend = lab->backend;
    if (status == STATUS_OK) status = clip_pair_open(&lab->pair, &source, err);
    if (status != STATUS_OK) return status;
    struct error why = {0};
    if (sha256_file(source.path, hex, &why) == STATUS_OK) /* A folder has no hash, and then nothing is cached. */
        memcpy(lab->hash, hex, MODEL_HASH_BYTES - 1);
    model_short_name(source.path, name, sizeof name);
    c->network =
        arena_printf(&c->memory, "%s%s%s%s", name, lab->hash[0] ? " (" : "", lab->hash, lab->hash[0] ? ")" : "");
    return c->network ? STATUS_OK : fail_no_memory(err, "a name", sizeof name);
}

static enum status embed(struct laboratory *lab, struct picture_set *set, const char *name, struct error *err)
{
    char *cache =
        lab->hash[0] ? arena_printf(&lab->c->memory, "%s/features/%s.safetensors", lab->c->output, name) : NULL;
    const struct picture_set_embedding how = {
        .pair = lab->pair, .model = lab->hash, .cache = cache, .watch = &lab->watch};
    lab->observer.start = api_clock();
    return picture_set_embed(set, &how, err);
}

/* Real pictures are brought to the side of the painted ones, as long as all of those have one and it is square. */
static enum status read_reference(struct laboratory *lab, struct error *err)
{
    struct comparison *c = lab->c;
    const struct entrant *first = &c->entrants[0];
    struct picture_set_options options = {.limit = LIMN_MAX_COMPARE_TOTAL, .watch = &lab->watch};
    if (!c->reference_path) return STATUS_OK;
    bool same = first->width == first->height && first->width <= PICTURE_SET_MAX_SIDE;
    for (int i = 1; i < c->count; i++)
        same = same && c->entrants[i].width == first->width && c->entrants[i].height == first->height;
    options.side = same ? first->width : 0;
    enum status status = compare_read_reference(c, &options, err);
    return status == STATUS_OK ? embed(lab, &c->reference, "reference", err) : status;
}

static enum status embed_prompts(struct laboratory *lab, struct error *err)
{
    struct comparison *c = lab->c;
    const size_t width = clip_pair_width(lab->pair), bytes = (size_t)c->prompt_count * width * sizeof(float);
    if (c->prompt_count == 0) return STATUS_OK;
    lab->prompts = arena_alloc(&c->memory, bytes);
    enum status status = lab->prompts ? STATUS_OK : fail_no_memory(err, "directions of prompts", bytes);
    for (int i = 0; i < c->prompt_count && status == STATUS_OK; i++) {
        size_t left_out = 0;
        status = clip_pair_embed_text(lab->pair, c->prompts[i], lab->prompts + (size_t)i * width, &left_out, err);
        if (status == STATUS_OK && left_out > 0)
            status = compare_warn(c, err, "prompt %d is too long for the CLIP model: its last %zu tokens are not read",
                                  i + 1, left_out);
    }
    return status;
}

/* What the measures cannot know: how the model and the network that measures it are related. */
static void add_cautions(struct entrant *entrant)
{
    static const enum measure of_prompts[] = {MEASURE_CLIP_SCORE, MEASURE_PROMPT_RANK1, MEASURE_DIVERSITY_WITHIN};
    for (size_t i = 0; i < sizeof of_prompts / sizeof *of_prompts; i++) {
        struct figure *f = &entrant->measures.figure[of_prompts[i]];
        if (!entrant->takes_prompts)
            snprintf(f->caution, sizeof f->caution, "this model takes no prompt");
        else if (entrant->knows_network && of_prompts[i] != MEASURE_DIVERSITY_WITHIN && !f->caution[0])
            snprintf(
                f->caution, sizeof f->caution,
                "the model was made with the text tower of the very network that gives this figure, which flatters "
                "it");
    }
}

static enum status take(struct laboratory *lab, struct entrant *entrant, struct error *err)
{
    struct comparison *c = lab->c;
    struct measures_input in = {.seed = c->request->seed, .watch = &lab->watch};
    in.pictures = picture_set_features(&entrant->set);
    in.pictures.name = entrant->name;
    in.pixels = picture_set_pixels(&entrant->set);
    in.pixels.name = entrant->name;
    if (c->reference.count > 0) {
        in.reference = in.training = picture_set_features(&c->reference);
        in.asked = c->wanted;
        in.training.name = c->reference_learnt ? NULL : "the reference"; /* Mostly nobody says who learnt from it. */
        const struct pixels real = picture_set_pixels(&c->reference);
        if (real.width == in.pixels.width && real.height == in.pixels.height) in.training_pixels = real;
    }
    int32_t *prompt_of = arena_alloc(&c->memory, (size_t)entrant->set.count * sizeof *prompt_of);
    if (!prompt_of) return fail_no_memory(err, "numbers of prompts", (size_t)entrant->set.count * sizeof *prompt_of);
    bool all = c->prompt_count > 0;
    for (int64_t i = 0; i < entrant->set.count; i++) {
        prompt_of[i] = entrant->shots[i].prompt_row;
        all = all && prompt_of[i] >= 0;
    }
    if (all) {
        const int64_t width = (int64_t)clip_pair_width(lab->pair);
        in.prompts = (struct features){lab->prompts, c->prompt_count, width, "the prompts"};
        in.prompt_of = entrant->takes_prompts ? prompt_of : NULL;
    }
    const enum status status = measures_take(&entrant->measures, &in, err);
    if (status != STATUS_OK) return status;
    add_cautions(entrant);
    compare_verdicts(&entrant->verdicts, &entrant->measures);
    return STATUS_OK;
}

/* Was a model conditioned on the text tower of the network that is to score it? Its file says so. */
static enum status find_relations(struct laboratory *lab, struct error *err)
{
    struct comparison *c = lab->c;
    enum status status = STATUS_OK;
    for (int i = 0; i < c->count && status == STATUS_OK; i++) {
        struct entrant *e = &c->entrants[i];
        struct checkpoint *checkpoint = NULL;
        if (!e->is_model || !e->takes_prompts) continue;
        status = checkpoint_open(&checkpoint, e->path, err);
        if (status == STATUS_OK) status = kind_normalise(checkpoint, err);
        if (status == STATUS_OK) status = clip_pair_shares_text(lab->pair, checkpoint, &e->knows_network, err);
        checkpoint_close(checkpoint);
    }
    return status;
}

static enum status warn_few(struct comparison *c, struct error *err)
{
    int64_t fewest = c->entrants[0].set.count;
    for (int i = 1; i < c->count; i++)
        if (c->entrants[i].set.count < fewest) fewest = c->entrants[i].set.count;
    if (fewest >= FEW_PICTURES) return STATUS_OK;
    return compare_warn(c, err,
                        "%lld pictures are few: what they show may be chance, and no figure here is fit to be "
                        "quoted",
                        (long long)fewest);
}

static enum status measure_all(struct laboratory *lab, struct error *err)
{
    struct comparison *c = lab->c;
    enum status status = open_network(lab, err);
    if (status == STATUS_OK) status = find_relations(lab, err);
    if (status == STATUS_OK) status = warn_few(c, err);
    for (int i = 0; i < c->count && status == STATUS_OK; i++)
        status = embed(lab, &c->entrants[i].set, c->entrants[i].name, err);
    if (status == STATUS_OK) status = read_reference(lab, err);
    if (status == STATUS_OK) status = embed_prompts(lab, err);
    for (int i = 0; i < c->count && status == STATUS_OK; i++) status = take(lab, &c->entrants[i], err);
    return status;
}

static void close_network(struct laboratory *lab)
{
    clip_pair_close(lab->pair);
    if (lab->backend) lab->backend->f->close(lab->backend);
}

enum status compare_check_measuring(struct comparison *c, struct error *err)
{
    struct laboratory lab = {.c = c};
    const enum status status = open_network(&lab, err);
    close_network(&lab);
    return status == STATUS_OK ? compare_check_reference(c, err) : status;
}

enum status compare_measure(struct comparison *c, struct error *err)
{
    struct laboratory lab = {.c = c, .observer = {.watch = c->watch}};
    lab.watch = (struct measures_watch){&lab.observer, on_cancelled, on_progress};
    const enum status status = measure_all(&lab, err);
    close_network(&lab);
    return status;
}
