/* SPDX-License-Identifier: MIT */
#include "core/io/bytes.h"

#include "core/base/memory.h"

#include <string.h>

bool bytes_append(struct bytes *bytes, const void *data, size_t size)
{
    if (size > SIZE_MAX / 4 - bytes->size) return false;
    if (bytes->size + size > bytes->capacity) {
        size_t capacity = bytes->capacity ? bytes->capacity : 4096;
        while (capacity < bytes->size + size) capacity *= 2;
        uint8_t *grown = memory_resize(bytes->data, capacity);
        if (!grown) return false;
        bytes->data = grown;
        bytes->capacity = capacity;
    }
    if (size > 0) memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
    return true;
}

void bytes_clear(struct bytes *bytes)
{
    memory_free(bytes->data);
    *bytes = (struct bytes){0};
}
