/* SPDX-License-Identifier: MIT
 *
 * A byte-pair table of a model's own, learnt from the texts that it is trained with (Sennrich et al. 2016, arXiv
 * 1508.07909): the commonest pair of neighbouring symbols becomes a symbol, then the commonest pair of what there is
 * now, and so on.
 *
 *     struct merges_learner *learner;
 *     merges_learner_create(&learner, &err);
 *     for each text: merges_learner_add(learner, text, &err);
 *     char *table = merges_learner_finish(learner, 4000, &err);          for tokenizer_create; freed by memory_free
 *     merges_learner_destroy(learner);
 *
 * Why not the published table: most of its 49,408 symbols never occur in a small set of captions, and each has a row in
 * the text tower.
 */
#ifndef CLIP_LEARN_MERGES_H
#define CLIP_LEARN_MERGES_H

#include "core/base/status.h"

struct merges_learner;

MUST_CHECK enum status merges_learner_create(struct merges_learner **out, struct error *err);
void merges_learner_destroy(struct merges_learner *learner);

/* Counts the words of a text. STATUS_ARGUMENT for text that a tokenizer refuses. */
MUST_CHECK enum status merges_learner_add(struct merges_learner *learner, const char *text, struct error *err);

/* At most `most` lines (fewer where no pair is left that occurs twice), each ending in a line feed. NULL: a sentence is
 * in err. The same texts in any order give the same table. */
char *merges_learner_finish(struct merges_learner *learner, int most, struct error *err);

#endif
