/* SPDX-License-Identifier: MIT */
#include "clip/clip_pair.h"

#include "clip/contrastive.h"
#include "clip/image_preprocess.h"
#include "clip/tokenizer.h"
#include "core/nn/params.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* A graph and what runs it. */
struct stage {
    struct graph graph;
    struct exec *exec; /* owned; NULL until it is needed */
};

struct clip_pair {
    struct backend *backend; /* borrowed */
    size_t limit;
    struct checkpoint *checkpoint; /* owned, like all below */
    struct params *params;
    struct tokenizer *tokenizer;
    struct text_config text;
    struct image_tower_config image;
    struct image_preprocess preprocess;
    float *pixels; /* [size, size, 3] */
    int32_t *ids;  /* [length] */
    float *batch;  /* pixels of a batch, then its directions; NULL until it is needed */
    struct stage image_stage, batch_stage, text_stage;
};

enum { BATCH_TOKENS = 2048 }; /* a batch has no more: there, products are fast already */

/* ---- names ---- */

bool clip_pair_rename(void *context, const char *old, char out[CHECKPOINT_NAME_BYTES])
{
    static const char module[] = "module.", openclip[] = "cond_stage_model.model.";
    static const char *const parts[] = {"token_embedding.weight", "positional_embedding", "transformer.resblocks.",
                                        "ln_final.", "text_projection"};
    (void)context;
    const bool wrapped = strncmp(old, module, sizeof module - 1) == 0;
    const char *name = wrapped ? old + sizeof module - 1 : old;
    if (text_rename(name, out)) return true;
    const char *prefix = "";
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const size_t length = strlen(parts[i]);
        const bool whole = parts[i][length - 1] != '.';
        if (strncmp(name, parts[i], length) == 0 && (!whole || name[length] == '\0')) prefix = openclip;
    }
    const int length = snprintf(out, CHECKPOINT_NAME_BYTES, "%s%s", prefix, name);
    return length < CHECKPOINT_NAME_BYTES && (wrapped || *prefix);
}

/* ---- opening ---- */

static enum status set_activation(struct clip_pair *pair, const char *name, struct error *err)
{
    enum unary activation;
    if (!name) return STATUS_OK;
    if (!blocks_activation(name, &activation))
        return fail(err, STATUS_ARGUMENT, "'%.40s' is not an activation of a CLIP model; quick_gelu and gelu are",
                    name);
    pair->text.blocks.activation = pair->image.blocks.activation = activation;
    return STATUS_OK;
}

static enum status detect(struct clip_pair *pair, struct error *err)
{
    enum status status = image_tower_detect(&pair->image, pair->checkpoint, err);
    if (status == STATUS_OK) status = text_config_detect(&pair->text, pair->checkpoint, err);
    if (status != STATUS_OK) return status;
    if (pair->text.projection != pair->image.projection)
        return fail(err, STATUS_FORMAT, "features of pictures are %d wide and those of texts %d; they must be the same",
                    pair->image.projection, pair->text.projection);
    pair->preprocess = image_preprocess_default(pair->image.size);
    status = image_preprocess_read(&pair->preprocess, pair->checkpoint, err);
    if (status == STATUS_OK)
        status = tokenizer_create(&pair->tokenizer, checkpoint_metadata(pair->checkpoint, "limn.merges"), err);
    if (status == STATUS_OK && tokenizer_names(pair->tokenizer).size > pair->text.vocabulary)
        status = fail(err, STATUS_FORMAT, "the text encoder has states for %d tokens, but its tokenizer makes %d",
                      pair->text.vocabulary, tokenizer_names(pair->tokenizer).size);
    return status;
}

static enum status allocate(struct clip_pair *pair, struct error *err)
{
    const size_t pixels = (size_t)pair->image.size * (size_t)pair->image.size * 3 * sizeof *pair->pixels;
    pair->pixels = memory_alloc_raw(pixels);
    pair->ids = memory_alloc_raw((size_t)pair->text.length * sizeof *pair->ids);
    return pair->pixels && pair->ids ? STATUS_OK : fail_no_memory(err, "a picture for CLIP", pixels);
}

enum status clip_pair_open(struct clip_pair **out, const struct clip_pair_source *source, struct error *err)
{
    *out = NULL;
    struct clip_pair *pair = memory_alloc(sizeof *pair);
    if (!pair) return fail_no_memory(err, "a CLIP pair", sizeof *pair);
    pair->backend = source->backend;
    pair->limit = source->limit;
    struct error why = {0};
    enum status status = checkpoint_open(&pair->checkpoint, source->path, err);
    if (status == STATUS_OK) {
        status = checkpoint_rename(pair->checkpoint, clip_pair_rename, NULL, &why);
        if (status == STATUS_OK) status = detect(pair, &why);
        if (status != STATUS_OK) status = fail(err, status, "%s: %s", source->path, why.text);
    }
    if (status == STATUS_OK) status = set_activation(pair, source->activation, err);
    if (status == STATUS_OK) status = allocate(pair, err);
    if (status == STATUS_OK) status = params_create(&pair->params, pair->backend, err);
    if (status == STATUS_OK)
        *out = pair;
    else
        clip_pair_close(pair);
    return status;
}

static void stage_clear(struct stage *stage)
{
    exec_destroy(stage->exec);
    graph_clear(&stage->graph);
    *stage = (struct stage){0};
}

void clip_pair_close(struct clip_pair *pair)
{
    if (!pair) return;
    stage_clear(&pair->image_stage);
    stage_clear(&pair->batch_stage);
    stage_clear(&pair->text_stage);
    params_destroy(pair->params);
    tokenizer_destroy(pair->tokenizer);
    memory_free(pair->pixels);
    memory_free(pair->batch);
    memory_free(pair->ids);
    checkpoint_close(pair->checkpoint);
    memory_free(pair);
}

size_t clip_pair_width(const struct clip_pair *pair)
{
    return (size_t)pair->image.projection;
}

int clip_pair_side(const struct clip_pair *pair)
{
    return pair->image.size;
}

/* ---- embedding ---- */

static size_t stage_bytes(const struct stage *stage)
{
    return stage->exec ? exec_bytes(stage->exec) : 0;
}

/* What a new run may take besides all that is there already. */
static enum status find_room(const struct clip_pair *pair, size_t *room, struct error *err)
{
    const double mib = 1024.0 * 1024.0;
    const size_t used = params_bytes(pair->params) + stage_bytes(&pair->image_stage) + stage_bytes(&pair->batch_stage) +
                        stage_bytes(&pair->text_stage);
    *room = pair->limit - used;
    if (pair->limit > used || pair->limit == 0) return STATUS_OK;
    return fail(err, STATUS_LIMIT, "the CLIP model takes %.1f MiB, and the memory limit is %.1f MiB",
                (double)used / mib, (double)pair->limit / mib);
}

/* Makes ready to run what was built; on failure there is nothing left of it. */
static enum status stage_prepare(struct stage *stage, struct clip_pair *pair, struct error *err)
{
    size_t room;
    enum status status = params_load(pair->params, &stage->graph, pair->checkpoint, err);
    if (status == STATUS_OK) status = find_room(pair, &room, err);
    if (status == STATUS_OK)
        status = exec_create(&stage->exec, &stage->graph, pair->backend, pair->limit ? room : 0, err);
    if (status != STATUS_OK) stage_clear(stage);
    return status;
}

/* Pixels of `count` pictures to their directions; the stage is always run with as many. */
static enum status run_pictures(struct stage *stage, struct clip_pair *pair, int count, const float *pixels, float *out,
                                struct error *err)
{
    const int64_t size = pair->image.size;
    enum status status = STATUS_OK;
    if (!stage->exec) {
        struct graph *g = &stage->graph;
        struct node *x = graph_input(g, "pictures", DTYPE_F32, SHAPE(count, size, size, 3));
        graph_output(g, "direction", contrastive_direction(g, image_tower_build(g, &pair->image, x)));
        status = stage_prepare(stage, pair, err);
    }
    if (status == STATUS_OK) status = exec_write(stage->exec, "pictures", pixels, err);
    if (status == STATUS_OK) status = exec_run(stage->exec, err);
    return status == STATUS_OK ? exec_read(stage->exec, "direction", out, err) : status;
}

enum status clip_pair_embed_image(struct clip_pair *pair, const struct image *picture, float *out, struct error *err)
{
    const enum status status = image_preprocess(pair->pixels, picture, &pair->preprocess, err);
    return status == STATUS_OK ? run_pictures(&pair->image_stage, pair, 1, pair->pixels, out, err) : status;
}

int clip_pair_batch(const struct clip_pair *pair)
{
    const int grid = pair->image.size / pair->image.patch, most = BATCH_TOKENS / (grid * grid + 1);
    return pair->limit || most < 1 ? 1 : most < CLIP_PAIR_MOST_BATCH ? most : CLIP_PAIR_MOST_BATCH;
}

enum status clip_pair_embed_batch(struct clip_pair *pair, const struct image pictures[], float *const out[],
                                  struct error *err)
{
    const int count = clip_pair_batch(pair);
    const size_t pixels = (size_t)pair->image.size * (size_t)pair->image.size * 3, width = clip_pair_width(pair);
    const size_t bytes = (size_t)count * (pixels + width) * sizeof(float);
    if (!pair->batch) pair->batch = memory_alloc_raw(bytes);
    if (!pair->batch) return fail_no_memory(err, "pictures for CLIP", bytes);
    float *directions = pair->batch + (size_t)count * pixels;
    enum status status = STATUS_OK;
    for (int i = 0; i < count && status == STATUS_OK; i++)
        status = image_preprocess(pair->batch + (size_t)i * pixels, &pictures[i], &pair->preprocess, err);
    if (status == STATUS_OK) status = run_pictures(&pair->batch_stage, pair, count, pair->batch, directions, err);
    for (int i = 0; i < count && status == STATUS_OK; i++)
        memcpy(out[i], directions + (size_t)i * width, width * sizeof(float));
    return status;
}

enum status clip_pair_embed_text(struct clip_pair *pair, const char *text, float *out, size_t *left_out,
                                 struct error *err)
{
    enum { ALL_LAYERS = 1 };
    struct stage *stage = &pair->text_stage;
    int32_t end = 0;
    enum status status = tokenizer_fill(pair->tokenizer, text, pair->ids, pair->text.length, &end, left_out, err);
    if (status == STATUS_OK && !stage->exec) {
        struct graph *g = &stage->graph;
        struct node *ids = graph_input(g, "ids", DTYPE_I32, SHAPE(1, pair->text.length));
        struct node *ends = graph_input(g, "ends", DTYPE_I32, SHAPE(1, 1));
        struct node *x = text_tower_build(g, &pair->text, ids, ALL_LAYERS);
        graph_output(g, "direction", contrastive_direction(g, text_tower_features(g, &pair->text, x, ends)));
        status = stage_prepare(stage, pair, err);
    }
    if (status == STATUS_OK) status = exec_write(stage->exec, "ids", pair->ids, err);
    if (status == STATUS_OK) status = exec_write(stage->exec, "ends", &end, err);
    if (status == STATUS_OK) status = exec_run(stage->exec, err);
    return status == STATUS_OK ? exec_read(stage->exec, "direction", out, err) : status;
}

/* ---- another model's text tower ---- */

/* Are they the same numbers, but for rounding? Four bits come within a tenth of their root mean square. */
static enum status same_numbers(const struct tensor *a, const struct tensor *b, bool *same, struct error *err)
{
    enum { BLOCK = 4096 };
    const size_t bytes = 2 * BLOCK * sizeof(float), count = (size_t)a->count;
    float *values = memory_alloc_raw(bytes);
    double square = 0, difference = 0;
    if (!values) return fail_no_memory(err, "two tensors", bytes);
    for (size_t i = 0; i < count; i += BLOCK) {
        const size_t n = count - i < BLOCK ? count - i : BLOCK;
        dtype_to_f32(values, a->data, a->dtype, i, n);
        dtype_to_f32(values + BLOCK, b->data, b->dtype, i, n);
        for (size_t k = 0; k < n; k++) {
            const double x = (double)values[k], d = x - (double)values[BLOCK + k];
            square += x * x;
            difference += d * d;
        }
    }
    *same = difference <= square / (8.0 * 8.0);
    memory_free(values);
    return STATUS_OK;
}

enum status clip_pair_shares_text(const struct clip_pair *pair, const struct checkpoint *model, bool *shares,
                                  struct error *err)
{
    static const char prefix[] = "cond_stage_model.", tokens[] = "token_embedding.weight";
    bool same = true, any = false;
    enum status status = STATUS_OK;
    for (int i = 0; i < checkpoint_count(model) && same && status == STATUS_OK; i++) {
        const struct tensor *theirs = checkpoint_at(model, i);
        if (strncmp(theirs->name, prefix, sizeof prefix - 1) != 0) continue;
        const struct tensor *ours = checkpoint_find(pair->checkpoint, theirs->name);
        const bool is_tokens = strstr(theirs->name, tokens) != NULL;
        if (!ours) continue;
        same = ours->count == theirs->count;
        if (same) status = same_numbers(ours, theirs, &same, err);
        any = any || is_tokens;
    }
    *shares = any && same;
    return status;
}

/* ---- comparing ---- */

static enum status run_scores(struct clip_pair *pair, const struct clip_set *pictures, const struct clip_set *texts,
                              const struct clip_scores *out, struct error *err)
{
    struct stage stage = {0};
    struct graph *g = &stage.graph;
    const int64_t width = pair->image.projection;
    struct node *a = graph_input(g, "pictures", DTYPE_F32, SHAPE(pictures->count, width));
    struct node *b = graph_input(g, "texts", DTYPE_F32, SHAPE(texts->count, width));
    struct node *cosines = contrastive_cosines(g, a, b), *logits = contrastive_logits(g, cosines);
    graph_output(g, "cosines", cosines);
    graph_output(g, "logits", logits);
    graph_output(g, "probabilities", graph_softmax(g, logits, 1));
    enum status status = stage_prepare(&stage, pair, err);
    if (status == STATUS_OK) status = exec_write(stage.exec, "pictures", pictures->values, err);
    if (status == STATUS_OK) status = exec_write(stage.exec, "texts", texts->values, err);
    if (status == STATUS_OK) status = exec_run(stage.exec, err);
    if (status == STATUS_OK) status = exec_read(stage.exec, "cosines", out->cosines, err);
    if (status == STATUS_OK) status = exec_read(stage.exec, "logits", out->logits, err);
    if (status == STATUS_OK) status = exec_read(stage.exec, "probabilities", out->probabilities, err);
    stage_clear(&stage);
    return status;
}

enum status clip_pair_compare(struct clip_pair *pair, struct clip_set pictures, struct clip_set texts,
                              struct clip_scores *out, struct error *err)
{
    assert(pictures.count >= 1 && texts.count >= 1);
    const size_t count = (size_t)pictures.count * (size_t)texts.count, bytes = 3 * count * sizeof(float);
    *out = (struct clip_scores){.cosines = memory_alloc_raw(bytes)};
    if (!out->cosines) return fail_no_memory(err, "a table of scores", bytes);
    out->logits = out->cosines + count;
    out->probabilities = out->logits + count;
    const enum status status = run_scores(pair, &pictures, &texts, out, err);
    if (status != STATUS_OK) clip_scores_clear(out);
    return status;
}

void clip_scores_clear(struct clip_scores *scores)
{
    memory_free(scores->cosines);
    *scores = (struct clip_scores){0};
}
