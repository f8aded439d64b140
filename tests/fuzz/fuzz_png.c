/* SPDX-License-Identifier: MIT
 *
 * Chunks with a wrong checksum are refused at once, so the mutator makes the checksums right again most of the time.
 */
#include "core/io/image.h"
#include "tests/fuzz/touch.h"

#include <string.h>
#include <zlib.h>

enum {
    SIGNATURE = 8,
    FRAME = 12, /* length, kind and checksum of a chunk */
    MOST_PIXELS = 1 << 14,
};

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);

static void mend_checksums(uint8_t *data, size_t size)
{
    for (size_t at = SIGNATURE; size - at >= FRAME && at < size;) {
        uint8_t *chunk = data + at;
        const size_t length = (size_t)chunk[0] << 24 | (size_t)chunk[1] << 16 | (size_t)chunk[2] << 8 | chunk[3];
        if (length > size - at - FRAME) return;
        const uLong sum = crc32(0, chunk + 4, (uInt)length + 4);
        for (int i = 0; i < 4; i++) chunk[8 + length + (size_t)i] = (uint8_t)(sum >> 8 * (3 - i));
        at += FRAME + length;
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    size = LLVMFuzzerMutate(data, size, most);
    if (size > SIGNATURE && seed % 8 != 0) mend_checksums(data, size);
    return size;
}

/* Pictures that are large but allowed take long to clear and show nothing that small ones do not. */
static int is_slow(const uint8_t *data, size_t size)
{
    if (size < SIGNATURE + FRAME + 8) return 0;
    const uint8_t *d = data + SIGNATURE + 8; /* width and height, big-endian */
    const uint32_t width = (uint32_t)d[0] << 24 | (uint32_t)d[1] << 16 | (uint32_t)d[2] << 8 | d[3];
    const uint32_t height = (uint32_t)d[4] << 24 | (uint32_t)d[5] << 16 | (uint32_t)d[6] << 8 | d[7];
    return width <= IMAGE_MAX_SIDE && height <= IMAGE_MAX_SIDE && width * height > MOST_PIXELS;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t signature[SIGNATURE] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    if (size < SIGNATURE || memcmp(data, signature, SIGNATURE) != 0 || is_slow(data, size)) return 0;
    touch_image(data, size);
    return 0;
}
