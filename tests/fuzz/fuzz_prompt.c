/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a prompt: read, tokenized and cut, or refused with a sentence. Ids and counts must hold what is
 * promised.
 */
#include "clip/prompt.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tokenizer *tokenizer; /* made once: unpacking the table takes longer than most inputs */
    struct error err = {0};
    if (!tokenizer && tokenizer_create(&tokenizer, NULL, &err) != STATUS_OK) return 0;
    const struct token_names names = tokenizer_names(tokenizer);
    const char *text = (const char *)data;
    for (int plain = 0; plain <= 1; plain++) {
        struct prompt_chunks chunks;
        const struct prompt_options options = {.length = plain ? 5 : 77, .pad = plain ? 0 : names.end, .plain = plain};
        error_clear(&err);
        if (prompt_cut(&chunks, tokenizer, text, size, &options, &err) != STATUS_OK) {
            assert(err.status == STATUS_ARGUMENT && err.text[0] && !chunks.ids);
            continue;
        }
        assert(chunks.count >= 1 && chunks.count <= PROMPT_MAX_CHUNKS);
        for (int i = 0; i < chunks.count * chunks.length; i++) {
            assert(chunks.ids[i] >= 0 && chunks.ids[i] < names.size);
            assert(chunks.weights[i] >= -PROMPT_MAX_WEIGHT && chunks.weights[i] <= PROMPT_MAX_WEIGHT);
            if (i % chunks.length == 0) assert(chunks.ids[i] == names.start);
        }
        prompt_chunks_clear(&chunks);
    }
    return 0;
}
