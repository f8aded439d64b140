/* SPDX-License-Identifier: MIT */
#include "tests/support/gguf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

void gguf_put(struct bytes *b, const void *data, size_t size)
{
    assert_true(bytes_append(b, data, size));
}

void gguf_put_u32(struct bytes *b, uint32_t value)
{
    gguf_put(b, &value, sizeof value);
}

void gguf_put_u64(struct bytes *b, uint64_t value)
{
    gguf_put(b, &value, sizeof value);
}

void gguf_put_text(struct bytes *b, const char *text)
{
    gguf_put_u64(b, strlen(text));
    gguf_put(b, text, strlen(text));
}

void gguf_begin(struct bytes *b, uint32_t version, uint64_t tensors, uint64_t pairs)
{
    gguf_put(b, "GGUF", 4);
    gguf_put_u32(b, version);
    gguf_put_u64(b, tensors);
    gguf_put_u64(b, pairs);
}

void gguf_describe(struct bytes *b, const char *name, uint32_t rank, const uint64_t *dim, uint32_t type,
                   uint64_t offset)
{
    gguf_put_text(b, name);
    gguf_put_u32(b, rank);
    for (uint32_t i = 0; i < rank; i++) gguf_put_u64(b, dim[i]);
    gguf_put_u32(b, type);
    gguf_put_u64(b, offset);
}

void gguf_pad(struct bytes *b, size_t alignment)
{
    while (b->size % alignment) gguf_put(b, "", 1);
}
