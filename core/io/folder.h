/* SPDX-License-Identifier: MIT
 *
 * A model as diffusers saves it:
 *
 *     model_index.json
 *     unet/config.json           unet/diffusion_pytorch_model.safetensors
 *     vae/config.json            vae/diffusion_pytorch_model.safetensors
 *     text_encoder/config.json   text_encoder/model.safetensors
 *     scheduler/scheduler_config.json, tokenizer/merges.txt, ...
 *
 * Weights may also be in half precision (.fp16.), PyTorch files (.bin), or shards with an index. A part that is not
 * there is left out; other parts (a safety checker, say) are not read.
 *
 * A model as transformers saves it, CLIP for one, is a folder with config.json and model.safetensors and no
 * model_index.json; its tensors keep their names.
 */
#ifndef IO_FOLDER_H
#define IO_FOLDER_H

#include "core/io/checkpoint_build.h"

MUST_CHECK enum status folder_read(struct checkpoint *c, const char *path, struct error *err);

#endif
