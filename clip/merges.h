/* SPDX-License-Identifier: MIT
 *
 * The byte-pair table of a CLIP tokenizer: which two neighbouring symbols become one, and in which order.
 *
 *     merges_create(&m, NULL, 0, &err);                       the published table, which is part of the program
 *     merges_apply(m, (const unsigned char *)"cat", 3, &tokens, &err);       tokens.ids = {2368}
 *     merges_destroy(m);
 *
 * A table is text with one pair a line, best first, in the letters that GPT-2 gives to bytes ("i n", "Ġ" for a space,
 * "</w>" behind the last symbol of a word). The vocabulary is: 256 bytes, the same 256 at a word's end, the lines.
 */
#ifndef CLIP_MERGES_H
#define CLIP_MERGES_H

#include "core/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MERGES_MAX_COUNT = 1 << 17, MERGES_MAX_BYTES = 4 << 20 };

/* A list of token ids that grows. Zero-initialised it is empty; its user clears it. */
struct tokens {
    int32_t *ids; /* owned */
    size_t count, capacity;
};

/* Makes room for `more` ids behind those that are there. */
MUST_CHECK enum status tokens_reserve(struct tokens *tokens, size_t more, struct error *err);
void tokens_clear(struct tokens *tokens);

struct merges;

/* text: NULL for CLIP's published table (48,894 lines); else a table of up to MERGES_MAX_COUNT lines, which may open
 * with "#version". A line whose symbols no earlier line makes, or whose result is there already, is refused. */
MUST_CHECK enum status merges_create(struct merges **out, const char *text, size_t bytes, struct error *err);
void merges_destroy(struct merges *merges);

int32_t merges_size(const struct merges *merges);   /* entries of the vocabulary */
int32_t merges_byte(unsigned char byte, bool last); /* the id of one byte, inside a word or as its last */

/* How a table writes the symbol of one byte, an id below 512, NUL-terminated. */
enum { MERGES_LETTER_BYTES = 8 };
void merges_spell_byte(int32_t id, char out[MERGES_LETTER_BYTES]);

/* Appends the ids of one word (at least one byte): its bytes, merged in the order of the table (Sennrich et al. 2016,
 * arXiv 1508.07909). Takes time n log n. */
MUST_CHECK enum status merges_apply(const struct merges *merges, const unsigned char *word, size_t bytes,
                                    struct tokens *out, struct error *err);

#endif
