/* SPDX-License-Identifier: MIT
 *
 * The safetensors format: a length, a JSON header, and the tensors' bytes.
 *
 *     +-----------+--------------------------------------------------+--------------------- - - -
 *     | u64 N, LE | N bytes of JSON                                  | data
 *     +-----------+--------------------------------------------------+--------------------- - - -
 *       { "name": {"dtype": "F16", "shape": [320, 4, 3, 3], "data_offsets": [begin, end]}, ...,
 *         "__metadata__": {"key": "text", ...} }                          offsets count from the data's start
 *
 * https://huggingface.co/docs/safetensors: the data are covered without holes, which is held to here as well.
 */
#ifndef IO_SAFETENSORS_H
#define IO_SAFETENSORS_H

#include "core/io/checkpoint_build.h"

enum { SAFETENSORS_MAX_HEADER = 100000000 };

bool safetensors_recognise(const unsigned char *bytes, size_t size);
MUST_CHECK enum status safetensors_read(struct checkpoint *c, const unsigned char *bytes, size_t size, const char *name,
                                        const char *prefix, struct error *err);

#endif
