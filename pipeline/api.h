/* SPDX-License-Identifier: MIT
 *
 * The border between include/limn.h and the rooms behind it: inside, `struct error`; outside, `struct limn_error`.
 *
 *     enum limn_status limn_thing(..., struct limn_error *error)
 *     {
 *         struct error err = {0};
 *         if (thing(..., &err) != STATUS_OK) ... release ...
 *         return api_result(error, &err);
 *     }
 */
#ifndef PIPELINE_API_H
#define PIPELINE_API_H

#include "core/base/status.h"
#include "core/io/image.h"
#include "include/limn.h"

/* Copies `err` out (`error` may be NULL) and returns its status. */
enum limn_status api_result(struct limn_error *error, const struct error *err);

/* The same picture in the other struct; the pixels keep their one owner. */
struct image api_image(const struct limn_image *image);
struct limn_image api_limn_image(const struct image *image);
/* What the caller made by hand may be anything. what: "a picture", "a mask". */
MUST_CHECK enum status api_check_image(const struct limn_image *image, const char *what, struct error *err);

/* Puts the mark that a picture is made by a trained model into text->xmp, which the caller frees with memory_free. */
MUST_CHECK enum status api_mark(struct image_text *text, struct error *err);

/* Calls that do nothing where the watch or its function is NULL. */
void watch_note(const struct limn_watch *watch, const char *format, ...) PRINTF_LIKE(2, 3);
void watch_progress(const struct limn_watch *watch, enum limn_stage stage, int done, int total, double seconds);
/* STATUS_CANCELLED once the watch asks for it. */
MUST_CHECK enum status watch_check(const struct limn_watch *watch, struct error *err);

/* Seconds of a clock that only goes forward. */
double api_clock(void);

#endif
