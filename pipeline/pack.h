/* SPDX-License-Identifier: MIT
 *
 * A pack is a small model that says about itself what a checkpoint's tensors cannot: in the metadata `limn.pack` (JSON)
 * and `limn.merges` (its tokenizer's table).
 *
 *     {"format": 1, "name": "emoji", "size": 64, "latent_scale": 1.0, "prediction": "v",
 *      "schedule": {"kind": "cosine", "steps": 1000, "zero_snr": false, "start": 0.0001, "end": 0.02},
 *      "unet": {"heads": 4, "head_channels": 32, "groups": 32}, "vae": {"groups": 8},      heads or head_channels
 *      "text": {"heads": 3, "activation": "quick_gelu"},
 *      "defaults": {"steps": 25, "cfg": 3.5, "sampler": "ddim", "schedule": "default"},
 *      "concepts": [{"en": ["apple"], "ko": ["사과"]}], "styles": [...], "colours": [...], "licence": "..."}
 *
 * The tokenizer's table and `text` are read by clip/text_encoder.h. Only `format` and `name` must be there. Names may
 * be a string, an array of strings, or {"en": ..., "ko": ...}.
 */
#ifndef PIPELINE_PACK_H
#define PIPELINE_PACK_H

#include "core/base/memory.h"
#include "core/io/checkpoint.h"
#include "diffusion/schedule.h"

struct pack_word {
    const char *const *en, *const *ko; /* names, the usual one first; each list ends with NULL */
};

struct pack_words {
    const struct pack_word *words;
    int count;
};

struct pack {
    struct arena memory; /* holds all of it */
    const char *name;
    const char *licence; /* NULL: not said */
    int size;            /* side of a picture in pixels */
    double latent_scale;
    struct schedule_options schedule;
    int unet_heads, unet_head_size, unet_groups, vae_groups; /* 0: as in Stable Diffusion */
    int steps;                                               /* of these defaults, 0 or NULL: not said */
    double cfg;
    const char *sampler, *sampler_schedule;
    struct pack_words concepts, styles, colours;
};

/* True if the checkpoint says that it is a pack. */
bool pack_present(const struct checkpoint *checkpoint);
/* Of a model that paints pixels: the side of the squares of them that its U-Net takes as one; in the metadata
 * `limn.patch`. 0: it paints the latents of a VAE. */
int pack_patch(const struct checkpoint *checkpoint);
MUST_CHECK enum status pack_read(struct pack *pack, const struct checkpoint *checkpoint, struct error *err);
/* The same of a text, before it is in any file. */
MUST_CHECK enum status pack_parse(struct pack *pack, const char *text, struct error *err);
void pack_clear(struct pack *pack);

/* Does the prompt name one of the pack's concepts, styles or colours? English names stand as words of their own (a
 * plural s is allowed), Korean ones anywhere, because particles follow them without a space. */
bool pack_knows(const struct pack *pack, const char *prompt);

/* Does the prompt say this name, as it says those of pack_knows? The longer name says more: "a blue apple" says "apple"
 * and "blue apple". */
bool pack_says(const char *prompt, const char *name);

/* "eps", "v", "x0" and other programs' names for them. */
bool prediction_find(const char *name, enum prediction *out);
const char *prediction_name(enum prediction prediction);

#endif
