/* SPDX-License-Identifier: MIT
 *
 * What a prompt's text must be before anything reads it: valid UTF-8 of a bounded length.
 */
#ifndef CLIP_TEXT_H
#define CLIP_TEXT_H

#include "core/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TEXT_MAX_BYTES = 16 * 1024 };

/* STATUS_ARGUMENT if the text is too long or not valid UTF-8; the sentence begins with `what` ("the prompt") and names
 * the offset of the first bad byte. */
MUST_CHECK enum status text_check(const char *text, size_t bytes, const char *what, struct error *err);

/* Unicode's property White_Space. */
bool text_is_space(int32_t letter);

#endif
