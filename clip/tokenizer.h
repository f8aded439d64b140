/* SPDX-License-Identifier: MIT
 *
 * CLIP's tokenizer: text to ids, the same as Hugging Face's CLIPTokenizerFast gives. Unicode NFC, white space to
 * spaces, lower case letter by letter, words by CLIP's pattern, byte pairs by the table of merges.
 *
 *     tokenizer_create(&t, NULL, &err);
 *     tokenizer_encode(t, "a red apple", 11, &tokens, &err);          tokens.ids = {320, 736, 3055}
 *     tokens_clear(&tokens); tokenizer_destroy(t);
 *
 * OpenAI's own program first repairs text with ftfy and decodes HTML entities; this one, like Hugging Face's, takes
 * "&amp;" as it is written. A tokenizer does not change once made: threads may share it.
 */
#ifndef CLIP_TOKENIZER_H
#define CLIP_TOKENIZER_H

#include "clip/merges.h"

struct tokenizer;

/* merges: NULL for CLIP's published table, or the text of a model's own (see clip/merges.h), read once. */
MUST_CHECK enum status tokenizer_create(struct tokenizer **out, const char *merges, struct error *err);
void tokenizer_destroy(struct tokenizer *tokenizer);

/* Ids that a prompt needs besides its text's. */
struct token_names {
    int32_t start, end; /* <|startoftext|>, <|endoftext|> */
    int32_t comma;      /* a comma that stands alone */
    int32_t size;       /* of the vocabulary: every id is below it */
};
struct token_names tokenizer_names(const struct tokenizer *tokenizer);

/* Appends the text's ids, without start and end. Fails as text_check does (clip/text.h). */
MUST_CHECK enum status tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t bytes,
                                        struct tokens *out, struct error *err);

/* One text as a text tower takes it: `length` ids, which are start, as much of the text as fits, and end to the last.
 * *end is the first end's place: a text may hold the word "<|endoftext|>", and CLIP reads no further. *left_out, if not
 * NULL, is the number of tokens that did not fit. */
MUST_CHECK enum status tokenizer_fill(const struct tokenizer *tokenizer, const char *text, int32_t *ids, int length,
                                      int32_t *end, size_t *left_out, struct error *err);

#endif
