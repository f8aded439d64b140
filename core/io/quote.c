/* SPDX-License-Identifier: MIT */
#include "core/io/quote.h"

#include <string.h>

struct quoted quote_bytes(const char *name, size_t size)
{
    static const char more[] = "...";
    struct quoted quoted = {0};
    const size_t room = QUOTE_BYTES - sizeof more;
    size_t length = size < room ? size : room;
    /* A cut must not leave half a UTF-8 character behind. */
    if (length < size)
        while (length > 0 && ((unsigned char)name[length] & 0xc0) == 0x80) length--;
    for (size_t i = 0; i < length; i++) {
        const unsigned char c = (unsigned char)name[i];
        quoted.text[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
        /* U+0080 to U+009F are control characters too; in UTF-8 they are C2 80 to C2 9F. */
        if (i > 0 && (unsigned char)name[i - 1] == 0xc2 && c >= 0x80 && c < 0xa0)
            quoted.text[i - 1] = quoted.text[i] = '?';
    }
    if (length < size) memcpy(quoted.text + length, more, sizeof more);
    return quoted;
}

struct quoted quote(const char *name)
{
    return quote_bytes(name, strlen(name));
}
