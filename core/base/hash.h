/* SPDX-License-Identifier: MIT
 *
 * FNV-1a (Fowler, Noll and Vo): a number for bytes, to find them again and to see whether they have changed. It guards
 * against accidents, not against malice.
 *
 *     uint64_t hash = hash_text(HASH_START, name);
 *     hash = hash_bytes(hash, pixels, size);             goes on from what it was
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_START UINT64_C(0xcbf29ce484222325)

enum { HASH_TEXT_BYTES = 17 };

uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size);
uint64_t hash_text(uint64_t hash, const char *text);        /* without its NUL */
void hash_write(char text[HASH_TEXT_BYTES], uint64_t hash); /* sixteen hexadecimal digits */

#endif
