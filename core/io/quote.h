/* SPDX-License-Identifier: MIT
 *
 * Names that come out of a file, made fit for a sentence: short, and without bytes that a terminal would obey.
 *
 *     fail(err, STATUS_FORMAT, "%s: tensor '%s' has no shape", path, quote(name).text);
 */
#ifndef IO_QUOTE_H
#define IO_QUOTE_H

#include <stddef.h>

enum { QUOTE_BYTES = 128 };

struct quoted {
    char text[QUOTE_BYTES];
};

struct quoted quote(const char *name);
struct quoted quote_bytes(const char *name, size_t size); /* need not end in NUL */

#endif
