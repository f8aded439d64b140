/* SPDX-License-Identifier: MIT
 *
 * clip/merges.txt.gz as bytes in the program (cmake/embed.cmake makes the array), so that it needs no data path. The
 * table is OpenAI's, under the MIT licence: LICENSES/openai-clip-MIT.txt.
 */
#ifndef CLIP_PUBLISHED_H
#define CLIP_PUBLISHED_H

#include <stddef.h>

extern const unsigned char clip_published_merges[];
extern const size_t clip_published_merges_bytes;

#endif
