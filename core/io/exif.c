/* SPDX-License-Identifier: MIT */
#include "core/io/exif.h"

#include "core/base/memory.h"
#include "core/io/charset.h"

#include <string.h>

enum {
    TAG_ORIENTATION = 0x0112,
    TAG_EXIF_FOLDER = 0x8769,
    TAG_USER_COMMENT = 0x9286,
    TYPE_SHORT = 3,
    TYPE_LONG = 4,
    TYPE_UNDEFINED = 7,
    ENTRY_BYTES = 12,
    CODE_BYTES = 8, /* the comment's first bytes name its character set */
};

struct tiff {
    const uint8_t *bytes;
    size_t size;
    bool big_endian;
};

struct entry {
    uint32_t type, count, value;
    size_t at; /* of the value field */
};

static uint32_t number(const struct tiff *t, size_t at, int bytes)
{
    uint32_t value = 0;
    for (int i = 0; i < bytes; i++) value = value << 8 | t->bytes[at + (size_t)(t->big_endian ? i : bytes - 1 - i)];
    return value;
}

/* Finds a tag in the folder at `at`; a folder that does not fit in the file has no entries. */
static bool find_tag(const struct tiff *t, size_t at, uint32_t tag, struct entry *out)
{
    if (at > t->size || t->size - at < 2) return false;
    const size_t count = number(t, at, 2);
    if ((t->size - at - 2) / ENTRY_BYTES < count) return false;
    for (size_t i = 0; i < count; i++) {
        const size_t entry = at + 2 + i * ENTRY_BYTES;
        if (number(t, entry, 2) != tag) continue;
        *out = (struct entry){number(t, entry + 2, 2), number(t, entry + 4, 4), number(t, entry + 8, 4), entry + 8};
        return true;
    }
    return false;
}

static bool is_ascii(uint8_t byte)
{
    return (byte >= ' ' && byte < 0x7f) || byte == '\n';
}

/* The standard leaves the byte order of UNICODE comments open, and writers disagree. There is always ASCII in the text
 * ("Steps: 20, ..."), so the order in which more of it is ASCII is the right one. (To count zeros is not enough:
 * U+AC00, the first Hangul syllable, has one too, on the other side.) */
static bool utf16_is_big_endian(const uint8_t *text, size_t size, bool otherwise)
{
    size_t even = 0, odd = 0;
    for (size_t i = 0; i + 1 < size; i += 2) {
        even += text[i] == 0 && is_ascii(text[i + 1]);
        odd += text[i + 1] == 0 && is_ascii(text[i]);
    }
    return even == odd ? otherwise : even > odd;
}

static char *decode_comment(const struct tiff *t, const uint8_t *comment, size_t size)
{
    const uint8_t *text = comment + CODE_BYTES;
    size_t length = size - CODE_BYTES;
    if (memcmp(comment, "UNICODE", CODE_BYTES) == 0) {
        bool big_endian = utf16_is_big_endian(text, length, t->big_endian);
        if (length >= 2 && (memcmp(text, "\xfe\xff", 2) == 0 || memcmp(text, "\xff\xfe", 2) == 0)) {
            big_endian = text[0] == 0xfe;
            text += 2;
            length -= 2;
        }
        return utf8_from_utf16(text, length, big_endian);
    }
    const uint8_t *end = memchr(text, 0, length);
    return utf8_from_unknown((const char *)text, end ? (size_t)(end - text) : length);
}

bool exif_parse(struct exif *out, const uint8_t *bytes, size_t size)
{
    *out = (struct exif){.orientation = EXIF_UPRIGHT};
    if (size < 8 || (memcmp(bytes, "MM\0*", 4) != 0 && memcmp(bytes, "II*\0", 4) != 0)) return true;
    const struct tiff tiff = {bytes, size, bytes[0] == 'M'};
    const size_t first = number(&tiff, 4, 4);
    struct entry entry;
    if (find_tag(&tiff, first, TAG_ORIENTATION, &entry) && entry.type == TYPE_SHORT && entry.count == 1) {
        const uint32_t orientation = number(&tiff, entry.at, 2);
        if (orientation >= 1 && orientation <= 8) out->orientation = (int)orientation;
    }
    if (!find_tag(&tiff, first, TAG_EXIF_FOLDER, &entry) || entry.type != TYPE_LONG) return true;
    if (!find_tag(&tiff, entry.value, TAG_USER_COMMENT, &entry) || entry.type != TYPE_UNDEFINED) return true;
    if (entry.count <= CODE_BYTES || entry.value > size || entry.count > size - entry.value) return true;
    out->comment = decode_comment(&tiff, bytes + entry.value, entry.count);
    return out->comment != NULL;
}

static bool append_number(struct bytes *out, uint32_t value, int bytes)
{
    uint8_t digits[4];
    for (int i = 0; i < bytes; i++) digits[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
    return bytes_append(out, digits, (size_t)bytes);
}

/* A folder of one entry, and no folder after it. */
static bool append_folder(struct bytes *out, uint32_t tag, uint32_t type, uint32_t count, uint32_t value)
{
    return append_number(out, 1, 2) && append_number(out, tag, 2) && append_number(out, type, 2) &&
           append_number(out, count, 4) && append_number(out, value, 4) && append_number(out, 0, 4);
}

static bool append_utf16(struct bytes *out, const char *text)
{
    const size_t size = strlen(text);
    uint32_t c;
    for (size_t at = 0, length; at < size; at += length) {
        length = utf8_decode(text + at, size - at, &c);
        if (length == 0) return true;
        if (c >= 0x10000) {
            if (!append_number(out, 0xd800 + ((c - 0x10000) >> 10), 2)) return false;
            c = 0xdc00 + ((c - 0x10000) & 0x3ff);
        }
        if (!append_number(out, c, 2)) return false;
    }
    return true;
}

/*   0  MM * 8         header
 *   8  folder 0       one entry: where the EXIF folder is
 *  26  EXIF folder    one entry: the comment
 *  44  UNICODE\0 ...  */
bool exif_build(struct bytes *out, const char *comment)
{
    const uint32_t folder = 26, data = 44;
    struct bytes text = {0};
    bool good = bytes_append(&text, "UNICODE", CODE_BYTES) && append_utf16(&text, comment) &&
                bytes_append(out, "MM\0*\0\0\0\x08", 8) && append_folder(out, TAG_EXIF_FOLDER, TYPE_LONG, 1, folder) &&
                append_folder(out, TAG_USER_COMMENT, TYPE_UNDEFINED, (uint32_t)text.size, data) &&
                bytes_append(out, text.data, text.size);
    bytes_clear(&text);
    return good;
}
