/* SPDX-License-Identifier: MIT
 *
 * PyTorch checkpoints (.ckpt, .pth, .pt, .bin), the two ways torch.save has written them:
 *
 *   since 1.6   a zip file: NAME/data.pkl (a pickle that describes the tensors) and NAME/data/KEY (their bytes)
 *   before      pickles one after the other (magic, version, system, the data, the list of keys), and then for each key
 *               a count of elements (i64) and their bytes
 *
 * The tensors are those of the state dict: the entries of the pickled dict, or of its entry 'state_dict'. If none
 * of them has a dot in its name, those of the dicts in it are there too, each with its key before their names:
 * "generator.main.0.weight".
 */
#ifndef IO_TORCH_FILE_H
#define IO_TORCH_FILE_H

#include "core/io/checkpoint_build.h"

bool torch_zip_recognise(const unsigned char *bytes, size_t size);
bool torch_legacy_recognise(const unsigned char *bytes, size_t size);

MUST_CHECK enum status torch_zip_read(struct checkpoint *c, const unsigned char *bytes, size_t size, const char *name,
                                      const char *prefix, struct error *err);
MUST_CHECK enum status torch_legacy_read(struct checkpoint *c, const unsigned char *bytes, size_t size,
                                         const char *name, const char *prefix, struct error *err);

#endif
