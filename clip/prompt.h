/* SPDX-License-Identifier: MIT
 *
 * A prompt as the AUTOMATIC1111 web UI reads it: words with weights, cut into chunks that a text tower can take.
 *
 *     (x)       x counts 1.1 times; ((x)) 1.21 times        [x]       1.1 times less
 *     (x:1.3)   x counts 1.3 times                          \( \) \[ \] \\   the sign itself
 *     BREAK     begins a new chunk; not inside brackets, where weights make it a plain word
 *
 * Nothing is malformed: a bracket that is never closed lasts to the end, one that closes nothing is text, and so is a
 * weight that is not a number, `(cat:.)`, where the web UI itself stops with an error.
 *
 *     prompt_cut(&chunks, tokenizer, "a (red:1.3) apple", 17, &(struct prompt_options){.length = 77, .pad = end},
 * &err); prompt_chunks_clear(&chunks);
 */
#ifndef CLIP_PROMPT_H
#define CLIP_PROMPT_H

#include "clip/tokenizer.h"
#include "core/base/memory.h"

enum { PROMPT_MAX_CHUNKS = 256, PROMPT_MAX_WEIGHT = 1000000, PROMPT_BACKTRACK = 20 };

struct prompt_part {
    const char *text; /* not terminated */
    size_t bytes;
    double weight; /* -1 and the text BREAK: here a chunk ends */
};

struct prompt_parts {
    struct arena arena; /* owns the parts and their texts */
    struct prompt_part *parts;
    size_t count; /* at least 1 */
};

/* The prompt's parts; neighbours differ in weight. Fails for text that is not UTF-8 or too long (clip/text.h) and for
 * weights beyond PROMPT_MAX_WEIGHT. */
MUST_CHECK enum status prompt_parse(struct prompt_parts *out, const char *text, size_t bytes, struct error *err);
void prompt_parts_clear(struct prompt_parts *parts);

struct prompt_options {
    int length;  /* tokens the tower takes at once, start and end included: 77; at least 3 */
    int32_t pad; /* id behind the first end token: the end token itself for SD 1.x, 0 for SD 2.x */
    bool plain;  /* brackets and BREAK are text like any other */
};

/* Each chunk is `length` ids: start, at most length - 2 of the text, end, padding. */
struct prompt_chunks {
    int count; /* at least 1: an empty prompt has one chunk without text */
    int length;
    int32_t *ids;   /* owned; [count][length] */
    float *weights; /* owned; [count][length], 1 for start, end and padding */
    int capacity;   /* chunks there is room for */
    size_t tokens;  /* of the text, in all chunks */
};

/* A part is tokenized by itself. When a chunk is full and a comma is among its last PROMPT_BACKTRACK tokens, what
 * follows the comma moves to the next chunk. */
MUST_CHECK enum status prompt_cut(struct prompt_chunks *out, const struct tokenizer *tokenizer, const char *text,
                                  size_t bytes, const struct prompt_options *options, struct error *err);
void prompt_chunks_clear(struct prompt_chunks *chunks);

#endif
