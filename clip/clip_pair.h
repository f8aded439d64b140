/* SPDX-License-Identifier: MIT
 *
 * A CLIP model whole: pictures and texts become directions in one space, where what belongs together is near.
 *
 *     struct clip_pair *pair = NULL;
 *     clip_pair_open(&pair, &(struct clip_pair_source){.backend = backend, .path = "clip-vit-base-patch32"}, &err);
 *     float *picture = memory_alloc(clip_pair_width(pair) * sizeof *picture), *texts = ...;
 *     clip_pair_embed_image(pair, &photo, picture, &err);
 *     clip_pair_embed_text(pair, "a photo of a cat", texts, NULL, &err);
 *     clip_pair_compare(pair, (struct clip_set){picture, 1}, (struct clip_set){texts, 1}, &scores, &err);
 *
 * Files of OpenAI's and OpenCLIP's names and of Hugging Face's CLIPModel open as they are, and so do Hugging Face's
 * folders (config.json, model.safetensors, preprocessor_config.json). OpenAI's own downloads are TorchScript programs,
 * whose weights have to be saved once: torch.save(torch.jit.load("ViT-B-32.pt").state_dict(), "ViT-B-32.pth").
 */
#ifndef CLIP_CLIP_PAIR_H
#define CLIP_CLIP_PAIR_H

#include "clip/image_tower.h"
#include "clip/text_tower.h"
#include "core/io/image.h"
#include "core/tensor/backend.h"

struct clip_pair;

struct clip_pair_source {
    struct backend *backend; /* borrowed; must outlive the pair */
    const char *path;        /* borrowed for the call */
    size_t limit;            /* most bytes that weights and runs may take together; 0: no limit */
    /* "gelu" or "quick_gelu" for both towers, where a file does not say and is not as published: OpenCLIP's ViT-B and
     * ViT-L look like OpenAI's but have GELU. NULL: as text_tower.h and image_tower.h have it. */
    const char *activation;
};

MUST_CHECK enum status clip_pair_open(struct clip_pair **out, const struct clip_pair_source *source, struct error *err);
void clip_pair_close(struct clip_pair *pair);
size_t clip_pair_width(const struct clip_pair *pair); /* floats of a picture's or text's direction */
int clip_pair_side(const struct clip_pair *pair);     /* of a picture as the tower sees it, in pixels */

/* Directions: vectors of length 1. Weights are loaded when the first picture or text comes. Not for two threads at
 * once. */
MUST_CHECK enum status clip_pair_embed_image(struct clip_pair *pair, const struct image *picture, float *out,
                                             struct error *err);
/* The same for as many pictures as clip_pair_batch says, in less time: on the CPU the bytes are those of one by one.
 * out[i] is where picture i's direction goes. The batch is 1 where there is a limit, which a text may need. */
enum { CLIP_PAIR_MOST_BATCH = 16 };
int clip_pair_batch(const struct clip_pair *pair);
MUST_CHECK enum status clip_pair_embed_batch(struct clip_pair *pair, const struct image pictures[], float *const out[],
                                             struct error *err);
/* A text of more tokens than the tower takes is cut; *left_out, if not NULL, says how many tokens were. Brackets and
 * weights have no meaning here. */
MUST_CHECK enum status clip_pair_embed_text(struct clip_pair *pair, const char *text, float *out, size_t *left_out,
                                            struct error *err);

/* Directions of the pair, one behind the other; at least one. */
struct clip_set {
    const float *values; /* borrowed */
    int64_t count;
};

/* Three tables with a row for each picture and a column for each text. */
struct clip_scores {
    float *cosines;       /* owned, and with it the next two: -1 to 1 */
    float *logits;        /* cosines times the learned scale */
    float *probabilities; /* a row's softmax: which of these texts the picture is likest to */
};

MUST_CHECK enum status clip_pair_compare(struct clip_pair *pair, struct clip_set pictures, struct clip_set texts,
                                         struct clip_scores *out, struct error *err);
void clip_scores_clear(struct clip_scores *scores);

/* Does a model have this pair's own text tower? `model` has the names that clip_pair_rename gives. The tensors that
 * both have, those of the tokens among them, must be the same numbers but for rounding, be it to four bits. */
MUST_CHECK enum status clip_pair_shares_text(const struct clip_pair *pair, const struct checkpoint *model, bool *shares,
                                             struct error *err);

/* For checkpoint_rename, which clip_pair_open does: OpenAI's names of the text tower to OpenCLIP's as SD 2.x has them,
 * Hugging Face's to SD 1.x's own (text_rename); "module." in front of any name goes away. */
bool clip_pair_rename(void *context, const char *old, char out[CHECKPOINT_NAME_BYTES]);

#endif
