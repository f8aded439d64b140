/* SPDX-License-Identifier: MIT
 *
 * A file as it is, and the same bytes as header and data behind a length that fits: or most changes would be lost on a
 * wrong length.
 */
#include "core/base/memory.h"
#include "core/io/safetensors.h"
#include "tests/fuzz/touch.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (safetensors_recognise(data, size)) touch_checkpoint(data, size);
    /* Without a length of its own: the header ends at the last brace. */
    size_t end = size;
    while (end > 0 && data[end - 1] != '}') end--;
    uint8_t *file = memory_alloc(size + 8);
    if (!file) return 0;
    for (int i = 0; i < 8; i++) file[i] = (uint8_t)(end >> 8 * i);
    if (size > 0) memcpy(file + 8, data, size);
    if (safetensors_recognise(file, size + 8)) touch_checkpoint(file, size + 8);
    memory_free(file);
    return 0;
}
