/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a model's own table of merges: refused with a sentence, or a tokenizer whose ids lie in its vocabulary.
 */
#include "clip/merges.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct merges *merges = NULL;
    if (merges_create(&merges, (const char *)data, size, &err) != STATUS_OK) {
        assert(err.text[0] && !merges);
        return 0;
    }
    /* The table's own text is the text that its merges are most likely to meet. */
    struct tokens tokens = {0};
    const size_t bytes = size < 4096 ? size : 4096;
    if (bytes && merges_apply(merges, data, bytes, &tokens, &err) == STATUS_OK) {
        assert(tokens.count >= 1 && tokens.count <= bytes);
        for (size_t i = 0; i < tokens.count; i++) assert(tokens.ids[i] >= 0 && tokens.ids[i] < merges_size(merges));
    }
    tokens_clear(&tokens);
    merges_destroy(merges);
    return 0;
}
