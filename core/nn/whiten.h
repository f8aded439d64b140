/* SPDX-License-Identifier: MIT
 *
 * Where a linear layer begins that reads what another network makes, and whose directions differ much in how far the
 * values go along them: as if its operand had been whitened (Kessy et al. 2018, arXiv 1512.00809, section 2).
 *
 *     float *weight = trainer_find(trainer, "generator.text.weight");       random, as `initialise` made it
 *     whiten(weight, 128, width, embeddings, captions, &err);
 */
#ifndef NN_WHITEN_H
#define NN_WHITEN_H

#include "core/base/status.h"

#include <stdint.h>

/* Changes the rows of weight [rows, width] so that a row's products with the samples [count, width] have a mean of 0
 * and a variance of 1, and rows at right angles are nearly uncorrelated. Directions whose variance is below a fiftieth
 * of the mean are not made as large as others. At most WHITEN_SAMPLES of the samples are looked at, evenly spread.
 * Fewer than 2, or samples that do not differ: the rows stay as they are. */
enum { WHITEN_SAMPLES = 8192 };
MUST_CHECK enum status whiten(float *weight, int64_t rows, int64_t width, const float *samples, int64_t count,
                              struct error *err);

#endif
