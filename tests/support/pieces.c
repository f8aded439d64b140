/* SPDX-License-Identifier: MIT */
#define _XOPEN_SOURCE 700 /* symlink, mkfifo */
#include "tests/support/pieces.h"

#include "core/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

static void save_long(const char *path, const struct piece *piece)
{
    char *bytes = memory_alloc((size_t)piece->size + 1);
    const size_t length = strlen(piece->text);
    assert_non_null(bytes);
    for (long i = 0; i < piece->size; i++) bytes[i] = piece->text[(size_t)i % length];
    file_save(path, bytes, (size_t)piece->size);
    memory_free(bytes);
}

static void save_gzip(const char *path, const struct piece *piece)
{
    gzFile file = gzopen(path, "wb9");
    assert_non_null(file);
    if (piece->size > 0) assert_int_equal(gzwrite(file, piece->text, (unsigned)piece->size), piece->size);
    assert_int_equal(gzclose(file), Z_OK);
}

static void save_golden(const char *path, const struct piece *piece)
{
    char golden[512];
    size_t size;
    snprintf(golden, sizeof golden, "%s/%s", GOLDEN, piece->text);
    uint8_t *bytes = file_load(golden, &size);
    file_save(path, bytes, piece->size > 0 ? (size_t)piece->size : size - (size_t)-piece->size);
    memory_free(bytes);
}

static void put_u32(uint8_t *to, uint32_t value)
{
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void write_chunk(FILE *file, const char *type, const uint8_t *data, size_t size)
{
    uint8_t word[4];
    put_u32(word, (uint32_t)size);
    fwrite(word, 1, 4, file);
    fwrite(type, 1, 4, file);
    fwrite(data, 1, size, file);
    put_u32(word, (uint32_t)crc32(crc32(0, (const uint8_t *)type, 4), data, (uInt)size));
    fwrite(word, 1, 4, file);
}

/* By hand, because limn refuses to write some of what tests need. Without a colour, pixels are grey and become lighter
 * to the right. */
static void save_png(const char *path, const struct piece *piece)
{
    const size_t channels = piece->text ? 3 : 1, row = 1 + (size_t)piece->width * channels;
    const size_t size = row * (size_t)piece->height;
    const unsigned long colour = piece->text ? strtoul(piece->text + 1, NULL, 16) : 0;
    uLongf packed_size = compressBound((uLong)size);
    uint8_t header[13] = {[8] = 8, [9] = piece->text ? 2 : 0}, *bytes = memory_alloc(size + 1);
    uint8_t *packed = memory_alloc(packed_size);
    assert_true(bytes && packed);
    for (size_t i = 0; i < size; i++) {
        const size_t x = i % row;
        if (x == 0) continue;
        const size_t value = piece->text ? colour >> (16 - 8 * ((x - 1) % 3)) : (x - 1) * 255 / (size_t)piece->width;
        bytes[i] = (uint8_t)value;
    }
    assert_int_equal(compress(packed, &packed_size, bytes, (uLong)size), Z_OK);
    put_u32(header, (uint32_t)piece->width);
    put_u32(header + 4, (uint32_t)piece->height);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fwrite("\x89PNG\r\n\x1a\n", 1, 8, file);
    write_chunk(file, "IHDR", header, sizeof header);
    write_chunk(file, "IDAT", packed, packed_size);
    write_chunk(file, "IEND", packed, 0);
    assert_int_equal(fclose(file), 0);
    memory_free(bytes);
    memory_free(packed);
}

static void lay(const char *path, const struct piece *piece)
{
    switch (piece->kind) {
    case PIECE_TEXT: file_save(path, piece->text, piece->size ? (size_t)piece->size : strlen(piece->text)); break;
    case PIECE_LONG: save_long(path, piece); break;
    case PIECE_GZIP: save_gzip(path, piece); break;
    case PIECE_GOLDEN: save_golden(path, piece); break;
    case PIECE_PNG: save_png(path, piece); break;
    case PIECE_FOLDER: assert_int_equal(mkdir(path, 0777), 0); break;
    case PIECE_LINK: assert_int_equal(symlink(piece->text, path), 0); break;
    case PIECE_PIPE: assert_int_equal(mkfifo(path, 0666), 0); break;
    case PIECE_CLOSED: assert_int_equal(chmod(path, 0), 0); break;
    }
}

const char *pieces_lay(struct scratch *scratch, const char *folder, const struct piece *pieces)
{
    char name[512];
    snprintf(name, sizeof name, "%s/.", folder);
    (void)scratch_path(scratch, name); /* makes the folder */
    for (; pieces->name; pieces++) {
        snprintf(name, sizeof name, "%s/%s", folder, pieces->name);
        lay(scratch_path(scratch, name), pieces);
    }
    return scratch_path(scratch, folder);
}
