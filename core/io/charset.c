/* SPDX-License-Identifier: MIT */
#include "core/io/charset.h"

#include "core/base/memory.h"

#include <string.h>

size_t utf8_decode(const char *text, size_t size, uint32_t *character)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t *s = (const uint8_t *)text;
    const size_t length = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;
    if (length == 0 || length > size) return 0;
    uint32_t c = length == 1 ? s[0] : s[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    if (c < smallest[length] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return 0;
    *character = c;
    return length;
}

/* Bytes written to out: 1 to 4. The character must be one that UTF-8 has. */
static size_t utf8_encode(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    const size_t length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = length - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(lead[length] | c);
    return length;
}

bool utf8_valid(const char *text, size_t size)
{
    uint32_t c;
    for (size_t at = 0, length; at < size; at += length) {
        length = utf8_decode(text + at, size - at, &c);
        if (length == 0) return false;
    }
    return true;
}

char *utf8_from_latin1(const char *text, size_t size)
{
    char *out = memory_alloc(size * 2 + 1);
    if (!out) return NULL;
    size_t at = 0;
    for (size_t i = 0; i < size; i++) at += utf8_encode((uint8_t)text[i], out + at);
    return out;
}

char *utf8_from_unknown(const char *text, size_t size)
{
    if (!utf8_valid(text, size)) return utf8_from_latin1(text, size);
    char *out = memory_alloc(size + 1);
    if (out && size > 0) memcpy(out, text, size);
    return out;
}

char *utf8_from_utf16(const uint8_t *bytes, size_t size, bool big_endian)
{
    const int high = big_endian ? 0 : 1;
    char *out = memory_alloc(size / 2 * 3 + 1);
    if (!out) return NULL;
    size_t at = 0;
    for (size_t i = 0; i + 1 < size; i += 2) {
        uint32_t c = (uint32_t)bytes[i + (size_t)high] << 8 | bytes[i + 1 - (size_t)high];
        if (c == 0) break;
        if (c >= 0xd800 && c < 0xdc00 && i + 3 < size) {
            const uint32_t low = (uint32_t)bytes[i + 2 + (size_t)high] << 8 | bytes[i + 3 - (size_t)high];
            if (low >= 0xdc00 && low < 0xe000) {
                c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
                i += 2;
            }
        }
        if (c >= 0xd800 && c < 0xe000) c = 0xfffd;
        at += utf8_encode(c, out + at);
    }
    return out;
}

bool utf8_is_latin1(const char *text)
{
    /* U+0080 to U+00FF are the characters whose first byte is C2 or C3. */
    for (const uint8_t *s = (const uint8_t *)text; *s; s++)
        if (*s > 0xc3) return false;
    return true;
}

char *utf8_to_latin1(const char *text)
{
    const size_t size = strlen(text);
    char *out = memory_alloc(size + 1);
    if (!out) return NULL;
    char *to = out;
    uint32_t c;
    for (size_t at = 0, length; at < size; at += length) {
        length = utf8_decode(text + at, size - at, &c);
        if (length == 0) break;
        *to++ = (char)c;
    }
    return out;
}
