/* SPDX-License-Identifier: MIT
 *
 * Reads everything that a parser handed out, so that a sanitizer sees a pointer that leads outside.
 */
#ifndef FUZZ_TOUCH_H
#define FUZZ_TOUCH_H

#include <stddef.h>
#include <stdint.h>

/* Every entry point of libFuzzer has this prototype. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

void touch_bytes(const void *bytes, size_t size);
void touch_text(const char *text); /* NULL is fine; it must be UTF-8 */

/* Opens the bytes as a checkpoint and as nothing else, and touches all tensors. */
void touch_checkpoint(const uint8_t *data, size_t size);
/* Reads the bytes as a picture and touches pixels and text. */
void touch_image(const uint8_t *data, size_t size);

#endif
