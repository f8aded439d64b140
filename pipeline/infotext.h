/* SPDX-License-Identifier: MIT
 *
 * The text that tells how a picture was made, in the layout of the AUTOMATIC1111 web UI (its create_infotext), which
 * galleries and other programs read:
 *
 *     a red apple
 *     Negative prompt: blurry
 *     Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 7, Size: 512x512, ...
 *
 * recipe.c reads it back.
 */
#ifndef PIPELINE_INFOTEXT_H
#define PIPELINE_INFOTEXT_H

#include "core/base/status.h"
#include "include/limn.h"

struct infotext {
    const struct limn_request *request; /* with every default filled in */
    const char *sampler, *schedule;     /* as the web UI writes them; NULL: a GAN, which has no steps either */
    const char *model, *model_hash;     /* NULL: left out */
    const char *vae;                    /* NULL: the model's own */
    const char *prediction;             /* NULL: as the file says */
    const char *weights;                /* what they were converted to; NULL: as in the file */
    const char *compute;                /* NULL: f32 */
};

/* The text in a block that the caller frees with memory_free. */
MUST_CHECK enum status infotext_create(char **out, const struct infotext *infotext, struct error *err);

/* What the text of a picture says, split as the web UI's reader splits it. All strings are NUL-terminated pieces of
 * `memory`, which the caller clears. Fields keep their order; quoted values are unquoted. */
struct infotext_field {
    const char *name, *value;
};

struct arena;

struct infotext_parts {
    const char *prompt, *negative;
    struct infotext_field *fields;
    int field_count;
};

MUST_CHECK enum status infotext_split(struct infotext_parts *parts, const char *text, struct arena *memory,
                                      struct error *err);
const char *infotext_find(const struct infotext_parts *parts, const char *name); /* the last of that name, or NULL */

#endif
