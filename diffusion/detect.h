/* SPDX-License-Identifier: MIT
 *
 * Reading a network's plan off a checkpoint: is a tensor there, and how wide is it? Names are printf formats.
 */
#ifndef DIFFUSION_DETECT_H
#define DIFFUSION_DETECT_H

#include "core/io/checkpoint.h"

enum { DETECT_MAX_WIDTH = 16384 };

/* NULL if there is none. */
const struct tensor *detect_find(const struct checkpoint *checkpoint, const char *format, ...) PRINTF_LIKE(2, 3);

/* A dimension of a tensor that must be there, 1 to DETECT_MAX_WIDTH. */
struct dimension {
    const char *part; /* whose tensor it is, for the sentence: "the U-Net" */
    int rank, at;
    int *out;
};
MUST_CHECK enum status detect_dimension(const struct checkpoint *checkpoint, struct dimension wanted, struct error *err,
                                        const char *format, ...) PRINTF_LIKE(4, 5);

#endif
