/* SPDX-License-Identifier: MIT */
#include "core/io/charset.h"
#include "core/io/dataset_build.h"

#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Is the text fit, and what of it is the text itself? */
static const char *look_at(struct captions *captions, const char **text, size_t *size)
{
    static const char mark[] = "\xef\xbb\xbf"; /* what some editors begin UTF-8 files with */
    _Static_assert(DATASET_CAPTION_BYTES == 65536 && DATASET_ALTERNATIVES == 1024, "the sentences say so");
    if (*size > DATASET_CAPTION_BYTES - captions->seen) return "is longer than the 65536 bytes that are allowed";
    captions->seen += *size;
    if (memchr(*text, '\0', *size) || !utf8_valid(*text, *size)) return "is not valid UTF-8 text";
    const size_t skipped = *size >= 3 && memcmp(*text, mark, 3) == 0 ? 3 : 0;
    *text += skipped;
    *size -= skipped;
    return NULL;
}

/* One alternative, without the blanks around it. */
static const char *add(struct captions *captions, const char *text, size_t size, struct error *err)
{
    size_t first = 0, last = size;
    while (first < last && is_space(text[first])) first++;
    while (last > first && is_space(text[last - 1])) last--;
    if (last == first) return NULL;
    if (captions->count == DATASET_ALTERNATIVES) return "has more than the 1024 lines that are allowed";
    if (!bytes_append(&captions->text, text + first, last - first) || !bytes_append(&captions->text, "", 1)) {
        (void)fail_no_memory(err, "a caption", size);
        return NULL;
    }
    captions->count++;
    return NULL;
}

const char *captions_add_lines(struct captions *captions, const char *text, size_t size, struct error *err)
{
    const char *fault = look_at(captions, &text, &size);
    for (size_t at = 0; at < size && !fault && err->status == STATUS_OK;) {
        const char *end = memchr(text + at, '\n', size - at);
        const size_t length = (end ? (size_t)(end - text) : size) - at;
        fault = add(captions, text + at, length, err);
        at += length + 1;
    }
    return fault;
}

const char *captions_add(struct captions *captions, const char *text, size_t size, struct error *err)
{
    const size_t before = captions->text.size;
    const char *fault = look_at(captions, &text, &size);
    if (!fault) fault = add(captions, text, size, err);
    for (size_t i = before; i < captions->text.size; i++)
        if (captions->text.data[i] == '\n' || captions->text.data[i] == '\r') captions->text.data[i] = ' ';
    return fault;
}

enum status captions_keep(const struct captions *captions, struct dataset *set, struct dataset_item *item,
                          struct error *err)
{
    if (captions->count == 0) return STATUS_OK;
    char *copy = arena_alloc(&set->arena, captions->text.size);
    if (!copy) return fail_no_memory(err, "captions", captions->text.size);
    memcpy(copy, captions->text.data, captions->text.size);
    item->captions = copy;
    item->caption_count = captions->count;
    return STATUS_OK;
}

void captions_clear(struct captions *captions)
{
    bytes_clear(&captions->text);
    *captions = (struct captions){0};
}
