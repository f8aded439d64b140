/* SPDX-License-Identifier: MIT
 *
 * The golden files (tests/golden/README.md) in a test. Anything missing or of another size fails the test by its name.
 * Values are copies, the test's to free with memory_free.
 *
 *     struct checkpoint *g = golden_open("unet-sd1.safetensors");
 *     float *x = golden_nhwc(g, "%s.x", "a");
 *     golden_near(y, want, n, 1e-4, "unet-sd1 %s", "a");
 */
#ifndef SUPPORT_GOLDEN_H
#define SUPPORT_GOLDEN_H

#include "core/io/checkpoint.h"

#include <stddef.h>

struct checkpoint *golden_open(const char *file);
const struct tensor *golden_tensor(const struct checkpoint *g, const char *format, ...) PRINTF_LIKE(2, 3);
float *golden_values(const struct checkpoint *g, const char *format, ...) PRINTF_LIKE(2, 3);
/* The same for pictures [B, C, H, W], turned to [B, H, W, C]. */
float *golden_nhwc(const struct checkpoint *g, const char *format, ...) PRINTF_LIKE(2, 3);

/* Largest difference over the largest wanted value; infinite if anything is not finite. */
double golden_error(const float *got, const float *want, size_t n);
/* Fails the test, saying what and by how much, if the error is above the limit. */
void golden_near(const float *got, const float *want, size_t n, double limit, const char *format, ...)
    PRINTF_LIKE(5, 6);

#endif
