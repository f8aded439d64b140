/* SPDX-License-Identifier: MIT */
#include "core/io/idx.h"

#include "core/base/memory.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <zlib.h>

enum {
    TYPE_BYTES = 0x08,
    MAX_BYTES = 1 << 30, /* unpacked: 1.3 million pictures of MNIST's size */
    GZIP_OR_ZLIB = 32,   /* zlib: recognise the header */
};

static uint32_t read_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* The claims of the header are held against the bytes that are there. */
static enum status parse(struct idx *idx, const uint8_t *bytes, size_t size, const char *name, struct error *err)
{
    if (size < 4 || bytes[0] != 0 || bytes[1] != 0)
        return fail(err, STATUS_FORMAT, "%s: is %s", name, size ? "no IDX file" : "empty");
    if (bytes[2] != TYPE_BYTES)
        return fail(err, STATUS_UNSUPPORTED, "%s: holds numbers of type 0x%02x; bytes (0x08) can be read", name,
                    bytes[2]);
    const int rank = bytes[3];
    if (rank < 1 || rank > IDX_MAX_RANK)
        return fail(err, STATUS_UNSUPPORTED, "%s: has %d dimensions; 1 to %d can be read", name, rank, IDX_MAX_RANK);
    const size_t header = 4 + 4 * (size_t)rank;
    if (size < header)
        return fail(err, STATUS_FORMAT, "%s: ends at byte %zu, within its header of %zu", name, size, header);
    uint64_t claimed = 1;
    for (int i = 0; i < rank; i++) {
        idx->dim[i] = read_u32(bytes + 4 + 4 * i);
        if (idx->dim[i] > 0 && claimed > INT64_MAX / (uint64_t)idx->dim[i])
            return fail(err, STATUS_FORMAT, "%s: claims more numbers than memory can hold", name);
        claimed *= (uint64_t)idx->dim[i];
    }
    if (claimed != size - header)
        return fail(err, STATUS_FORMAT, "%s: its header claims %" PRIu64 " bytes of data; there are %zu", name, claimed,
                    size - header);
    idx->rank = rank;
    idx->data = bytes + header;
    return STATUS_OK;
}

/* Unpacks into a block that grows, so that a small file that claims much gets little. */
static enum status inflate_all(z_stream *stream, uint8_t **out, size_t *out_size, const char *name, struct error *err)
{
    size_t capacity = 0, size = 0;
    for (int result = Z_OK; result != Z_STREAM_END;) {
        if (size == capacity) {
            if (capacity >= MAX_BYTES)
                return fail(err, STATUS_LIMIT, "%s: unpacks to more than %d bytes, which is the most allowed", name,
                            MAX_BYTES);
            capacity = capacity ? capacity * 2 : 1 << 16;
            uint8_t *grown = memory_resize(*out, capacity);
            if (!grown) return fail_no_memory(err, name, capacity);
            *out = grown;
        }
        stream->next_out = *out + size;
        stream->avail_out = (uInt)(capacity - size);
        result = inflate(stream, Z_NO_FLUSH);
        size = capacity - stream->avail_out;
        if (result == Z_MEM_ERROR) return fail_no_memory(err, name, capacity);
        if (result == Z_BUF_ERROR || (result == Z_OK && stream->avail_in == 0 && stream->avail_out > 0))
            return fail(err, STATUS_FORMAT, "%s: its compressed data end too early; the file is truncated", name);
        if (result != Z_OK && result != Z_STREAM_END)
            return fail(err, STATUS_FORMAT, "%s: its compressed data are damaged", name);
    }
    if (stream->avail_in > 0) return fail(err, STATUS_FORMAT, "%s: goes on after the end of its compressed data", name);
    *out_size = size;
    return STATUS_OK;
}

static enum status unpack(struct idx *idx, const uint8_t *bytes, size_t size, const char *name, struct error *err)
{
    if (size > MAX_BYTES)
        return fail(err, STATUS_LIMIT, "%s: has %zu bytes; at most %d are allowed", name, size, MAX_BYTES);
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)bytes, .avail_in = (uInt)size};
    if (inflateInit2(&stream, MAX_WBITS + GZIP_OR_ZLIB) != Z_OK) return fail_no_memory(err, name, size);
    size_t unpacked_size = 0;
    enum status status = inflate_all(&stream, &idx->unpacked, &unpacked_size, name, err);
    inflateEnd(&stream);
    return status == STATUS_OK ? parse(idx, idx->unpacked, unpacked_size, name, err) : status;
}

enum status idx_open_memory(struct idx *idx, const void *bytes, size_t size, const char *name, struct error *err)
{
    static const uint8_t gzip[] = {0x1f, 0x8b};
    *idx = (struct idx){0};
    const bool packed = size >= sizeof gzip && memcmp(bytes, gzip, sizeof gzip) == 0;
    const enum status status = (packed ? unpack : parse)(idx, bytes, size, name, err);
    if (status != STATUS_OK) idx_close(idx);
    return status;
}

enum status idx_open(struct idx *idx, const char *path, struct error *err)
{
    struct mapped_file map;
    *idx = (struct idx){0};
    enum status status = file_map(&map, path, err);
    if (status != STATUS_OK) return status;
    status = idx_open_memory(idx, map.bytes, map.size, path, err);
    if (status == STATUS_OK && !idx->unpacked)
        idx->map = map;
    else
        file_unmap(&map);
    return status;
}

void idx_close(struct idx *idx)
{
    file_unmap(&idx->map);
    memory_free(idx->unpacked);
    *idx = (struct idx){0};
}
