/* SPDX-License-Identifier: MIT
 *
 * A file as it is, and the same bytes behind a beginning that is right: else most changes would be lost on the magic.
 */
#include "core/base/memory.h"
#include "core/io/gguf.h"
#include "tests/fuzz/touch.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t begin[8] = {'G', 'G', 'U', 'F', 3};
    if (gguf_recognise(data, size)) touch_checkpoint(data, size);
    uint8_t *file = memory_alloc(size + sizeof begin);
    if (!file) return 0;
    memcpy(file, begin, sizeof begin);
    if (size > 0) memcpy(file + sizeof begin, data, size);
    touch_checkpoint(file, size + sizeof begin);
    memory_free(file);
    return 0;
}
