/* SPDX-License-Identifier: MIT
 *
 * The `parameters` text of a stranger's picture.
 */
#include "core/base/memory.h"
#include "pipeline/infotext.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct arena arena = {0};
    struct infotext_parts parts;
    const char *text = arena_strndup(&arena, (const char *)data, size);
    if (text && infotext_split(&parts, text, &arena, &err) == STATUS_OK) {
        assert(parts.prompt && strlen(parts.prompt) <= size);
        for (int i = 0; i < parts.field_count; i++)
            assert(infotext_find(&parts, parts.fields[i].name) && strlen(parts.fields[i].value) <= size);
    }
    arena_clear(&arena);
    return 0;
}
