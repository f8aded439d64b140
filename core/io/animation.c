/* SPDX-License-Identifier: MIT
 *
 * Each frame is encoded as a PNG file of its own by libpng, and its chunks are put into the one file: libpng itself
 * does not know animations.
 */
#define _POSIX_C_SOURCE 200809L /* strcasecmp */
#include "core/io/animation.h"

#include "core/base/memory.h"
#include "core/io/file.h"
#include "core/io/gif.h"
#include "core/io/image_codec.h"
#include "core/io/image_ops.h"

#include <string.h>
#include <strings.h>
#include <zlib.h>

enum { SIGNATURE = 8, CHUNK_AROUND = 12, NO_DISPOSAL = 0, SOURCE_BLEND = 0 };

struct animation {
    struct file_writer file;
    const struct image *frames;
    int count, milliseconds;
    uint32_t sequence; /* of the next fcTL or fdAT */
    struct error *err;
};

static void put_u32(uint8_t *to, uint32_t value)
{
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(value >> (24 - 8 * i));
}

static uint32_t get_u32(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

/* A chunk of two pieces: length, type, data, CRC of type and data. */
static enum status put_chunk(struct animation *a, const char *type, const uint8_t *first, size_t first_size,
                             const uint8_t *second, size_t second_size)
{
    uint8_t head[8], tail[4];
    put_u32(head, (uint32_t)(first_size + second_size));
    memcpy(head + 4, type, 4);
    uLong crc = crc32(0, head + 4, 4);
    if (first_size) crc = crc32(crc, first, (uInt)first_size);
    if (second_size) crc = crc32(crc, second, (uInt)second_size);
    put_u32(tail, (uint32_t)crc);
    enum status status = file_append(&a->file, head, sizeof head, a->err);
    if (status == STATUS_OK && first_size) status = file_append(&a->file, first, first_size, a->err);
    if (status == STATUS_OK && second_size) status = file_append(&a->file, second, second_size, a->err);
    return status == STATUS_OK ? file_append(&a->file, tail, sizeof tail, a->err) : status;
}

static enum status put_frame_control(struct animation *a)
{
    uint8_t data[26] = {0};
    put_u32(data, a->sequence++);
    put_u32(data + 4, (uint32_t)a->frames[0].width);
    put_u32(data + 8, (uint32_t)a->frames[0].height);
    /* 12 to 19: no offset. Shown for milliseconds / 1000 of a second. */
    data[20] = (uint8_t)(a->milliseconds >> 8);
    data[21] = (uint8_t)a->milliseconds;
    data[22] = 1000 >> 8;
    data[23] = 1000 & 255;
    data[24] = NO_DISPOSAL;
    data[25] = SOURCE_BLEND;
    return put_chunk(a, "fcTL", data, sizeof data, NULL, 0);
}

/* Chunks of one frame's own file: the first frame's as they are, with the animation's before its data; of the others
 * only the data. */
static enum status put_frame(struct animation *a, int frame, const struct bytes *png)
{
    enum status status = frame == 0 ? file_append(&a->file, png->data, SIGNATURE, a->err) : put_frame_control(a);
    bool controlled = frame > 0;
    for (size_t at = SIGNATURE; at < png->size && status == STATUS_OK;) {
        const uint8_t *chunk = png->data + at;
        const size_t size = get_u32(chunk);
        const bool data = memcmp(chunk + 4, "IDAT", 4) == 0, end = memcmp(chunk + 4, "IEND", 4) == 0;
        at += size + CHUNK_AROUND;
        if (data && !controlled) {
            uint8_t control[8] = {0}; /* frames, and plays: 0 is for ever */
            put_u32(control, (uint32_t)a->count);
            status = put_chunk(a, "acTL", control, sizeof control, NULL, 0);
            if (status == STATUS_OK) status = put_frame_control(a);
            controlled = true;
        }
        if (status != STATUS_OK) break;
        if (frame == 0 && !end) {
            status = file_append(&a->file, chunk, size + CHUNK_AROUND, a->err);
        } else if (data) {
            uint8_t sequence[4];
            put_u32(sequence, a->sequence++);
            status = put_chunk(a, "fdAT", sequence, sizeof sequence, chunk + 8, size);
        }
    }
    return status;
}

static enum status check(const struct image *frames, int count, int milliseconds, struct error *err)
{
    if (count < 1 || count > ANIMATION_MAX_FRAMES)
        return fail(err, STATUS_ARGUMENT, "an animation of %d frames: must be 1 to %d", count, ANIMATION_MAX_FRAMES);
    if (milliseconds < 1 || milliseconds > ANIMATION_MAX_MILLISECONDS)
        return fail(err, STATUS_ARGUMENT, "frames of %d milliseconds: must be 1 to %d", milliseconds,
                    ANIMATION_MAX_MILLISECONDS);
    for (int i = 1; i < count; i++)
        if (frames[i].width != frames[0].width || frames[i].height != frames[0].height ||
            frames[i].channels != frames[0].channels)
            return fail(err, STATUS_ARGUMENT, "frame %d is %dx%d and the first is %dx%d: they must be alike", i + 1,
                        frames[i].width, frames[i].height, frames[0].width, frames[0].height);
    return STATUS_OK;
}

static enum status write_gif(struct animation *a)
{
    struct image *rgb = memory_alloc((size_t)a->count * sizeof *rgb);
    enum status status = rgb ? STATUS_OK : fail_no_memory(a->err, "an animation", (size_t)a->count * sizeof *rgb);
    for (int i = 0; i < a->count && status == STATUS_OK; i++) status = image_to_rgb(&rgb[i], &a->frames[i], a->err);
    if (status == STATUS_OK)
        status = gif_append(&a->file, rgb, a->count, a->milliseconds, "made by a trained model, with limn", a->err);
    for (int i = 0; rgb && i < a->count; i++) image_clear(&rgb[i]);
    memory_free(rgb);
    return status;
}

static enum status write_png(struct animation *a, const struct image_text *text)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < a->count && status == STATUS_OK; i++) {
        struct bytes png = {0};
        status = png_encode(&png, &a->frames[i], i == 0 ? text : NULL, a->err);
        if (status == STATUS_OK) status = put_frame(a, i, &png);
        bytes_clear(&png);
    }
    return status == STATUS_OK ? put_chunk(a, "IEND", NULL, 0, NULL, 0) : status;
}

enum status animation_write(const struct image *frames, int count, int milliseconds, const char *path,
                            const struct image_text *text, struct error *err)
{
    enum status status = check(frames, count, milliseconds, err);
    if (status != STATUS_OK) return status;
    struct animation a = {.frames = frames, .count = count, .milliseconds = milliseconds, .err = err};
    status = file_begin(&a.file, path, err);
    const char *ending = strrchr(path, '.');
    if (status == STATUS_OK) status = ending && strcasecmp(ending, ".gif") == 0 ? write_gif(&a) : write_png(&a, text);
    return file_finish(&a.file, status, err);
}
