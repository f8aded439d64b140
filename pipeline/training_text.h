/* SPDX-License-Identifier: MIT
 *
 * The captions of a training's data set as ids for a text tower, each made once.
 *
 *     training_text_open(&text, t, 77, 2000, &err);       learns the byte-pair table, unless t->init has one
 *     memcpy(ids, training_text_ids(&text, t, item), ...)  int32_t [length], of the caption drawn for the item
 *     training_text_close(&text);
 */
#ifndef PIPELINE_TRAINING_TEXT_H
#define PIPELINE_TRAINING_TEXT_H

#include "clip/tokenizer.h"
#include "pipeline/training.h"

struct training_text {
    struct tokenizer *tokenizer; /* owned */
    char *merges;                /* owned; for the result's metadata `limn.merges`; NULL: CLIP's published table */
    int length, vocabulary;
    int64_t captions; /* of all pictures */
    int32_t *ids;     /* owned; [captions + 1, length]; the last row is the empty text's */
    int32_t *ends;    /* owned; [captions + 1]: where a text's first end token stands */
    int64_t *first;   /* owned; [pictures]: the row of a picture's first caption */
};

MUST_CHECK enum status training_text_open(struct training_text *text, struct training *t, int length, int most_merges,
                                          struct error *err);
void training_text_close(struct training_text *text);

/* The row of the caption that training_alternative chooses. */
int64_t training_text_row(const struct training_text *text, const struct training *t, int64_t item);
const int32_t *training_text_ids(const struct training_text *text, int64_t row);

/* What a pack says that it knows, a JSON array of texts: the data set's classes, or its shorter captions. The caller's;
 * NULL for want of memory. */
json_t *training_text_concepts(const struct training *t);

#endif
