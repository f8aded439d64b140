/* SPDX-License-Identifier: MIT
 *
 * What a checkpoint is, from the names and shapes of its tensors, never from the name of its file.
 *
 *     kind_normalise(checkpoint, &err);              published names become those that limn's builders use
 *     struct recognition r = kind_recognise(checkpoint);
 *     kind_missing(&r, text)                         "a U-Net only; needs a text encoder and a VAE"
 */
#ifndef PIPELINE_KIND_H
#define PIPELINE_KIND_H

#include "core/io/checkpoint.h"
#include "diffusion/schedule.h"

/* X(NAME, "name", "title", runs) */
#define MODEL_KIND_MAP(X)                                                                                              \
    X(UNKNOWN, "unknown", "not a Stable Diffusion checkpoint", false)                                                  \
    X(SD1, "sd1", "Stable Diffusion 1.x", true)                                                                        \
    X(SD1_INPAINT, "sd1-inpaint", "Stable Diffusion 1.x inpainting", true)                                             \
    X(SD2, "sd2", "Stable Diffusion 2.x", true)                                                                        \
    X(SD2_INPAINT, "sd2-inpaint", "Stable Diffusion 2.x inpainting", true)                                             \
    X(PIX2PIX, "pix2pix", "InstructPix2Pix", false)                                                                    \
    X(SDXL, "sdxl", "Stable Diffusion XL", false)                                                                      \
    X(OTHER, "other", "a U-Net of a layout that limn does not run", false)                                             \
    X(PACK, "pack", "limn pack", true)                                                                                 \
    X(GAN, "gan", "GAN", true)                                                                                         \
    X(CLIP, "clip", "CLIP model", false)

enum model_kind {
#define X(id, name, title, runs) MODEL_##id,
    MODEL_KIND_MAP(X)
#undef X
};

enum { KIND_TEXT_BYTES = 480, KIND_FAULT_BYTES = 320 };

struct recognition {
    enum model_kind kind;
    bool text, unet, vae_encoder, vae_decoder; /* parts that are there */
    bool generator, discriminator;             /* of a GAN */
    bool conditional;                          /* its generator is; then it needs a text encoder */
    enum prediction prediction;
    bool prediction_said;         /* by the file; else it is what most files of the kind have */
    bool zero_snr;                /* the file says that its last time is pure noise */
    char fault[KIND_FAULT_BYTES]; /* of what would be a GAN's generator otherwise; "": none is known */
};

const char *kind_name(enum model_kind kind);
const char *kind_title(enum model_kind kind);
bool kind_runs(enum model_kind kind);
bool kind_inpaints(enum model_kind kind); /* its U-Net is shown the mask and the masked picture */

MUST_CHECK enum status kind_normalise(struct checkpoint *checkpoint, struct error *err);
struct recognition kind_recognise(const struct checkpoint *checkpoint);

/* Which parts are there and which are missing, in `text`; NULL if the checkpoint is whole. */
const char *kind_missing(const struct recognition *r, char text[KIND_TEXT_BYTES]);

#endif
