/* SPDX-License-Identifier: MIT
 *
 * GGUF files put together piece by piece (core/io/gguf.h shows them), so that each piece can be wrong.
 *
 *     struct bytes b = {0};
 *     gguf_begin(&b, 3, 1, 0);
 *     gguf_describe(&b, "w", 2, (uint64_t[]){32, 5}, GGUF_Q8_0, 0);       the innermost dimension first
 *     gguf_pad(&b, 32), gguf_put(&b, blocks, 5 * 34);
 */
#ifndef SUPPORT_GGUF_H
#define SUPPORT_GGUF_H

#include "core/io/bytes.h"

enum { GGUF_KIND_U32 = 4, GGUF_KIND_TEXT = 8, GGUF_KIND_MANY = 9 };
enum { GGUF_F32 = 0, GGUF_F16 = 1, GGUF_Q4_0 = 2, GGUF_Q8_0 = 8, GGUF_Q6_K = 14 };

void gguf_put(struct bytes *b, const void *data, size_t size);
void gguf_put_u32(struct bytes *b, uint32_t value);
void gguf_put_u64(struct bytes *b, uint64_t value);
void gguf_put_text(struct bytes *b, const char *text);
void gguf_begin(struct bytes *b, uint32_t version, uint64_t tensors, uint64_t pairs);
void gguf_describe(struct bytes *b, const char *name, uint32_t rank, const uint64_t *dim, uint32_t type,
                   uint64_t offset);
void gguf_pad(struct bytes *b, size_t alignment);

#endif
