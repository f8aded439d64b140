/* SPDX-License-Identifier: MIT
 *
 * EXIF data and the character sets of picture text.
 */
#include "core/base/memory.h"
#include "core/io/charset.h"
#include "core/io/exif.h"
#include "tests/fuzz/touch.h"

#include <assert.h>

static void touch_and_free(char *text)
{
    touch_text(text);
    memory_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct exif exif, again;
    struct bytes built = {0};
    if (!exif_parse(&exif, data, size)) return 0;
    assert(exif.orientation >= 1 && exif.orientation <= 8);
    if (exif.comment) {
        touch_text(exif.comment);
        if (exif_build(&built, exif.comment) && exif_parse(&again, built.data, built.size)) memory_free(again.comment);
    }
    bytes_clear(&built);
    memory_free(exif.comment);
    touch_and_free(utf8_from_latin1((const char *)data, size));
    touch_and_free(utf8_from_unknown((const char *)data, size));
    touch_and_free(utf8_from_utf16(data, size, true));
    touch_and_free(utf8_from_utf16(data, size, false));
    return 0;
}
