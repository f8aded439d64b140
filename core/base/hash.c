/* SPDX-License-Identifier: MIT */
#include "core/base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++) hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t hash_text(uint64_t hash, const char *text)
{
    return hash_bytes(hash, text, strlen(text));
}

void hash_write(char text[HASH_TEXT_BYTES], uint64_t hash)
{
    snprintf(text, HASH_TEXT_BYTES, "%016" PRIx64, hash);
}
