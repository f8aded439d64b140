/* SPDX-License-Identifier: MIT */
#include "clip/text_encoder.h"

#include "clip/prompt.h"
#include "core/tensor/exec.h"

#include <assert.h>
#include <math.h>
#include <string.h>

struct text_encoder {
    struct text_source source;
    struct text_config config;
    struct tokenizer *tokenizer; /* owned */
    struct graph graph;          /* of one chunk, for `layers` layers */
    struct exec *exec;           /* owned; NULL until a prompt is encoded */
    int layers;
};

enum status text_encoder_create(struct text_encoder **out, const struct text_source *source, struct error *err)
{
    *out = NULL;
    struct text_encoder *e = memory_alloc(sizeof *e);
    if (!e) return fail_no_memory(err, "a text encoder", sizeof *e);
    e->source = *source;
    enum status status = text_config_detect(&e->config, source->checkpoint, err);
    const char *merges = checkpoint_metadata(source->checkpoint, "limn.merges");
    if (status == STATUS_OK) status = tokenizer_create(&e->tokenizer, merges, err);
    if (status == STATUS_OK && tokenizer_names(e->tokenizer).size > e->config.vocabulary)
        status = fail(err, STATUS_FORMAT, "the text encoder has states for %d tokens, but its tokenizer makes %d",
                      e->config.vocabulary, tokenizer_names(e->tokenizer).size);
    if (status == STATUS_OK)
        *out = e;
    else
        text_encoder_destroy(e);
    return status;
}

static void drop_exec(struct text_encoder *e)
{
    exec_destroy(e->exec);
    graph_clear(&e->graph);
    e->exec = NULL;
    e->graph = (struct graph){0};
}

void text_encoder_destroy(struct text_encoder *encoder)
{
    if (!encoder) return;
    drop_exec(encoder);
    tokenizer_destroy(encoder->tokenizer);
    memory_free(encoder);
}

size_t text_encoder_bytes(const struct text_encoder *encoder)
{
    return encoder->exec ? exec_bytes(encoder->exec) : 0;
}

const struct text_config *text_encoder_config(const struct text_encoder *encoder)
{
    return &encoder->config;
}

/* Makes the tower ready for this clip skip, if it is not. */
static enum status prepare(struct text_encoder *e, int clip_skip, struct error *err)
{
    const int layers = text_tower_layers(&e->config, clip_skip);
    if (e->exec && e->layers == layers) return STATUS_OK;
    drop_exec(e);
    struct node *ids = graph_input(&e->graph, "ids", DTYPE_I32, SHAPE(1, e->config.length));
    graph_output(&e->graph, "states", text_tower_build(&e->graph, &e->config, ids, clip_skip));
    enum status status = e->graph.error.status;
    if (status != STATUS_OK) status = fail(err, status, "%s", e->graph.error.text);
    if (status == STATUS_OK) status = params_load(e->source.params, &e->graph, e->source.checkpoint, err);
    if (status == STATUS_OK) status = exec_create(&e->exec, &e->graph, e->source.backend, e->source.limit, err);
    if (status != STATUS_OK) drop_exec(e);
    e->layers = layers;
    return status;
}

/* Emphasis "Original" (modules/sd_emphasis.py of the web UI): z = z w, then z = z (mean before / mean after). */
static void weigh(float *z, const float *weights, int length, int width)
{
    double before = 0, after = 0;
    bool all_one = true;
    for (int t = 0; t < length; t++) {
        double sum = 0;
        for (int d = 0; d < width; d++) sum += (double)z[(ptrdiff_t)t * width + d];
        before += sum;
        after += sum * (double)weights[t];
        all_one = all_one && weights[t] == 1.0f;
    }
    if (all_one) return;
    const double ratio = before / after;
    const double restore = fabs(ratio) <= PROMPT_MAX_WEIGHT ? ratio : 1; /* weights may cancel each other out */
    for (int t = 0; t < length; t++) {
        const float factor = (float)((double)weights[t] * restore);
        for (int d = 0; d < width; d++) z[(ptrdiff_t)t * width + d] *= factor;
    }
}

static enum status run_chunk(struct text_encoder *e, const int32_t *ids, float *states, struct error *err)
{
    enum status status = exec_write(e->exec, "ids", ids, err);
    if (status == STATUS_OK) status = exec_run(e->exec, err);
    if (status == STATUS_OK) status = exec_read(e->exec, "states", states, err);
    return status;
}

/* The end token has seen all tokens before it, so its state stands for the whole text (Radford et al. 2021). */
static void pool(const struct text_encoder *e, const int32_t *ids, struct text_states *out)
{
    const int32_t end = tokenizer_names(e->tokenizer).end;
    int t = 0;
    while (t + 1 < e->config.length && ids[t] != end) t++;
    memcpy(out->pooled, out->values + (ptrdiff_t)t * out->width, (size_t)out->width * sizeof *out->pooled);
}

/* States of the prompt's chunks, then of empty ones, which are run once and copied. */
static enum status run_chunks(struct text_encoder *e, const struct prompt_chunks *chunks,
                              const struct prompt_options *options, struct text_states *out, struct error *err)
{
    const ptrdiff_t length = e->config.length, stride = length * out->width;
    enum status status = STATUS_OK;
    for (int i = 0; status == STATUS_OK && i < chunks->count; i++) {
        status = run_chunk(e, chunks->ids + i * length, out->values + i * stride, err);
        if (status == STATUS_OK && i == 0) pool(e, chunks->ids, out);
        if (status == STATUS_OK) weigh(out->values + i * stride, chunks->weights + i * length, (int)length, out->width);
    }
    if (status != STATUS_OK || chunks->count == out->chunks) return status;
    struct prompt_chunks empty;
    status = prompt_cut(&empty, e->tokenizer, "", 0, options, err);
    float *const first = out->values + chunks->count * stride;
    if (status == STATUS_OK) status = run_chunk(e, empty.ids, first, err);
    for (int i = chunks->count + 1; status == STATUS_OK && i < out->chunks; i++)
        memcpy(out->values + i * stride, first, (size_t)stride * sizeof *first);
    prompt_chunks_clear(&empty);
    return status;
}

enum status text_encoder_encode(struct text_encoder *encoder, const char *prompt, const struct text_request *request,
                                struct text_states *out, struct error *err)
{
    assert(request->min_chunks <= PROMPT_MAX_CHUNKS);
    *out = (struct text_states){0};
    const struct text_config *config = &encoder->config;
    const struct prompt_options options = {
        .length = config->length,
        .pad = config->pad_zero ? 0 : tokenizer_names(encoder->tokenizer).end,
        .plain = request->emphasis == EMPHASIS_NONE,
    };
    struct prompt_chunks chunks = {0};
    enum status status = prompt_cut(&chunks, encoder->tokenizer, prompt, strlen(prompt), &options, err);
    if (status == STATUS_OK) status = prepare(encoder, request->clip_skip, err);
    if (status != STATUS_OK) goto done;
    out->chunks = chunks.count > request->min_chunks ? chunks.count : request->min_chunks;
    out->tokens = out->chunks * config->length;
    out->width = config->width;
    out->text_tokens = chunks.tokens;
    const size_t bytes = (size_t)out->tokens * (size_t)out->width * sizeof *out->values;
    out->values = memory_alloc_raw(bytes);
    out->pooled = memory_alloc_raw((size_t)out->width * sizeof *out->pooled);
    status = out->values && out->pooled ? run_chunks(encoder, &chunks, &options, out, err)
                                        : fail_no_memory(err, "the states of a prompt", bytes);
done:
    if (status != STATUS_OK) text_states_clear(out);
    prompt_chunks_clear(&chunks);
    return status;
}

void text_states_clear(struct text_states *states)
{
    memory_free(states->values);
    memory_free(states->pooled);
    *states = (struct text_states){0};
}
