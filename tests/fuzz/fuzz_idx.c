/* SPDX-License-Identifier: MIT
 *
 * An IDX file as it is, and with sizes put into its header that fit: or nearly all would be refused for those.
 */
#include "core/base/memory.h"
#include "core/io/idx.h"
#include "tests/fuzz/touch.h"

#include <string.h>

static void open_and_touch(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct idx idx;
    if (idx_open_memory(&idx, data, size, "fuzz", &err) == STATUS_OK) {
        int64_t count = 1;
        for (int i = 0; i < idx.rank; i++) count *= idx.dim[i];
        touch_bytes(idx.data, (size_t)count);
    } else {
        touch_text(err.text);
    }
    idx_close(&idx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    open_and_touch(data, size);
    if (size < 16) return 0;
    uint8_t *file = memory_alloc(size);
    if (!file) return 0;
    memcpy(file, data, size);
    memcpy(file, "\0\0\x08\x03\0\0\0\1\0\0\0\1", 12);
    for (int i = 0; i < 4; i++) file[12 + i] = (uint8_t)((size - 16) >> (24 - 8 * i));
    open_and_touch(file, size);
    memory_free(file);
    return 0;
}
