/* SPDX-License-Identifier: MIT
 *
 * From a prompt to the states that condition a denoiser: tokenizer, prompt grammar and text tower in one.
 *
 *     text_encoder_create(&encoder, &(struct text_source){backend, params, checkpoint, .limit = 0}, &err);
 *     text_encoder_encode(encoder, "a (red:1.3) apple", &(struct text_request){0}, &states, &err);
 *     ... states.values is [states.tokens, states.width] ...
 *     text_states_clear(&states);
 *     text_encoder_destroy(encoder);
 *
 * A prompt and its negative prompt that share a batch need states of one length. Encode the one, then the other with
 * min_chunks set to the first's chunks, and if that came out longer, the first again: the shorter is filled up with the
 * states of empty chunks. (The web UI does so with its option "pad prompt/negative prompt to be same length"; without
 * it, it runs the two apart, each at its own length.)
 */
#ifndef CLIP_TEXT_ENCODER_H
#define CLIP_TEXT_ENCODER_H

#include "clip/text_tower.h"
#include "core/nn/params.h"

#include <stdbool.h>
#include <stddef.h>

struct text_encoder;

/* All borrowed; they must outlive the encoder. */
struct text_source {
    struct backend *backend;
    struct params *params; /* where the tower's weights go, when the first prompt is encoded */
    const struct checkpoint
        *checkpoint; /* with names as text_rename makes them; `limn.merges` in its metadata is used */
    size_t limit;    /* most bytes a run may take besides the weights; 0: no limit */
};

MUST_CHECK enum status text_encoder_create(struct text_encoder **out, const struct text_source *source,
                                           struct error *err);
void text_encoder_destroy(struct text_encoder *encoder);
const struct text_config *text_encoder_config(const struct text_encoder *encoder); /* borrowed */

/* What its run takes besides the weights; 0 before the first prompt. */
size_t text_encoder_bytes(const struct text_encoder *encoder);

/* What a weight does to a token's states, as the web UI names it. */
enum emphasis {
    EMPHASIS_ORIGINAL, /* multiplies them, then scales the chunk back to the mean it had */
    EMPHASIS_NONE,     /* there are no weights: brackets and BREAK are text */
};

struct text_request {
    int clip_skip; /* see text_tower_layers; 0: as the model was trained */
    enum emphasis emphasis;
    int min_chunks; /* at most PROMPT_MAX_CHUNKS */
};

struct text_states {
    float *values; /* owned; [tokens, width] */
    float *pooled; /* owned; [width]: the first chunk's state at its first end token, before any emphasis */
    int tokens;    /* chunks * config.length */
    int width;
    int chunks;
    size_t text_tokens; /* of the prompt itself, without start, end and padding */
};

/* Each chunk runs through the tower by itself, so its states do not depend on what stands beside it. Sentences for a
 * prompt or clip skip that is not allowed have STATUS_ARGUMENT. Not for two threads at once. */
MUST_CHECK enum status text_encoder_encode(struct text_encoder *encoder, const char *prompt,
                                           const struct text_request *request, struct text_states *out,
                                           struct error *err);
void text_states_clear(struct text_states *states);

#endif
