/* SPDX-License-Identifier: MIT */
#include "core/base/status.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

/* What was cut off at the end of the room must not leave half a UTF-8 character behind. */
static void drop_half_character(char *text, size_t length)
{
    size_t begin = length;
    while (begin > 0 && ((unsigned char)text[begin - 1] & 0xc0) == 0x80) begin--;
    if (begin > 0 && ((unsigned char)text[begin - 1] & 0xc0) == 0xc0) text[begin - 1] = '\0';
}

enum status fail(struct error *err, enum status status, const char *format, ...)
{
    assert(err && status != STATUS_OK);
    if (err->status != STATUS_OK) return err->status;
    err->status = status;
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (length >= (int)sizeof err->text) drop_half_character(err->text, sizeof err->text - 1);
    return status;
}

enum status fail_no_memory(struct error *err, const char *what, unsigned long long bytes)
{
    return fail(err, STATUS_NO_MEMORY, "no memory for %s (%llu bytes)", what, bytes);
}

void error_clear(struct error *err)
{
    err->status = STATUS_OK;
    err->text[0] = '\0';
}

const char *status_name(enum status status)
{
    static const char *const names[] = {
#define X(name, text) #name,
        STATUS_MAP(X)
#undef X
    };
    return names[status];
}
