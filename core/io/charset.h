/* SPDX-License-Identifier: MIT
 *
 * The character sets that picture metadata uses. Every returned string is a block of its own that the caller frees
 * with memory_free; NULL when there is no memory.
 */
#ifndef IO_CHARSET_H
#define IO_CHARSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One character of text[0..size), size > 0: its bytes (1 to 4), or 0 if it is not valid UTF-8. */
size_t utf8_decode(const char *text, size_t size, uint32_t *character);
bool utf8_valid(const char *text, size_t size);

char *utf8_from_latin1(const char *text, size_t size);
/* Unpaired surrogates become U+FFFD; an odd last byte is dropped; ends at the first U+0000. */
char *utf8_from_utf16(const uint8_t *bytes, size_t size, bool big_endian);
/* Valid UTF-8 as it is, anything else read as Latin-1. */
char *utf8_from_unknown(const char *text, size_t size);

/* True if all of the (valid) UTF-8 text is within Latin-1. */
bool utf8_is_latin1(const char *text);
char *utf8_to_latin1(const char *text);

#endif
