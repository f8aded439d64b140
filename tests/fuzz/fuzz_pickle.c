/* SPDX-License-Identifier: MIT
 *
 * A program for the pickle machine. Values may be circular, so they are followed to a small depth.
 */
#include "core/io/torch_object.h"
#include "tests/fuzz/touch.h"

#include <assert.h>

static void touch_value(const struct value *value, int depth)
{
    if (depth == 0) return;
    switch (value->kind) {
    case VALUE_STRING: touch_bytes(value->string.text, value->string.size); break;
    case VALUE_TUPLE:
    case VALUE_LIST:
    case VALUE_DICT:
        for (size_t i = 0; i < value->list.count && i < 64; i++) touch_value(value->list.items[i], depth - 1);
        break;
    case VALUE_TENSOR:
        assert(value->tensor->rank <= CHECKPOINT_MAX_RANK && value->tensor->storage->count >= 0);
        touch_bytes(value->tensor->storage->key, value->tensor->storage->key_size);
        break;
    default: break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct arena arena = {0};
    struct pickle pickle;
    if (pickle_parse(&pickle, &arena, data, size, "input", &err) == STATUS_OK) {
        assert(pickle.root && pickle.end <= size);
        touch_value(pickle.root, 4);
        (void)value_get(pickle.root, "state_dict");
    }
    arena_clear(&arena);
    return 0;
}
