/* SPDX-License-Identifier: MIT
 *
 * The lines of a metadata.jsonl, and the same bytes as a text of captions.
 */
#include "core/io/dataset_build.h"
#include "tests/fuzz/touch.h"

#include <string.h>

static void touch_sentence(void *context, const char *sentence)
{
    (void)context;
    touch_bytes(sentence, strlen(sentence));
}

static void touch_items(const struct dataset *set)
{
    for (int64_t i = 0; i < set->count; i++) {
        touch_text(set->items[i].name);
        const char *caption = set->items[i].captions;
        for (int k = 0; k < set->items[i].caption_count; k++, caption += strlen(caption) + 1) touch_text(caption);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct dataset set = {.folder = "fuzz", .options.skipped = touch_sentence};
    struct captions captions = {0};
    const char *text = (const char *)data;
    if (dataset_read_metadata(&set, text, size, "fuzz", &err) != STATUS_OK) touch_text(err.text);
    struct dataset_item *item = dataset_add(&set, "a.png", &err);
    if (item && !captions_add_lines(&captions, text, size, &err) && !captions_add(&captions, text, size, &err) &&
        captions_keep(&captions, &set, item, &err) == STATUS_OK)
        touch_items(&set);
    captions_clear(&captions);
    memory_free(set.items);
    arena_clear(&set.arena);
    return 0;
}
