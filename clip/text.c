/* SPDX-License-Identifier: MIT */
#include "clip/text.h"

#include <utf8proc.h>

enum status text_check(const char *text, size_t bytes, const char *what, struct error *err)
{
    if (bytes > TEXT_MAX_BYTES)
        return fail(err, STATUS_ARGUMENT, "%s is %zu bytes long; at most %d are allowed", what, bytes, TEXT_MAX_BYTES);
    for (size_t at = 0; at < bytes;) {
        int32_t letter = 0;
        const utf8proc_ssize_t length =
            utf8proc_iterate((const uint8_t *)text + at, (utf8proc_ssize_t)(bytes - at), &letter);
        if (length <= 0)
            return fail(err, STATUS_ARGUMENT, "%s is not valid UTF-8: byte 0x%02x at offset %zu", what,
                        (unsigned)(unsigned char)text[at], at);
        at += (size_t)length;
    }
    return STATUS_OK;
}

bool text_is_space(int32_t letter)
{
    return (letter >= 0x09 && letter <= 0x0d) || letter == 0x20 || letter == 0x85 || letter == 0xa0 ||
           letter == 0x1680 || (letter >= 0x2000 && letter <= 0x200a) || letter == 0x2028 || letter == 0x2029 ||
           letter == 0x202f || letter == 0x205f || letter == 0x3000;
}
