/* SPDX-License-Identifier: MIT
 *
 * Bytes that grow at the end: what an encoder writes into.
 *
 *     struct bytes out = {0};
 *     if (!bytes_append(&out, "PK", 2)) ...             false when there is no memory; `out` stays as it was
 *     bytes_clear(&out);
 */
#ifndef IO_BYTES_H
#define IO_BYTES_H

#include "core/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
    uint8_t *data; /* owned */
    size_t size, capacity;
};

MUST_CHECK bool bytes_append(struct bytes *bytes, const void *data, size_t size);
void bytes_clear(struct bytes *bytes);

#endif
