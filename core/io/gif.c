/* SPDX-License-Identifier: MIT */
#include "core/io/gif.h"

#include "core/base/memory.h"
#include "core/io/bytes.h"

#include <stdbool.h>
#include <string.h>

enum {
    COLOURS = 256,
    BITS = 8, /* of a colour's number */
    CLEAR = COLOURS,
    END = COLOURS + 1, /* codes that are no colours */
    FIRST = COLOURS + 2,
    CODES = 4096, /* codes that stand for runs; 12 bits are the most */
    RED_LEVELS = 6,
    GREEN_LEVELS = 7,
    BLUE_LEVELS = 6
};

struct palette {
    uint32_t colours[COLOURS]; /* 0xRRGGBB, sorted if they are exact */
    int count;
    bool exact;
};

/* ---- colours ---- */

static uint32_t colour_at(const struct image *image, size_t i)
{
    const uint8_t *p = image->pixels + 3 * i;
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

/* The place where a colour is, or would be. */
static int find_colour(const struct palette *palette, uint32_t colour)
{
    int low = 0, high = palette->count;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (palette->colours[middle] < colour)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool add_colours(struct palette *palette, const struct image *frame)
{
    const size_t count = (size_t)frame->width * (size_t)frame->height;
    for (size_t i = 0; i < count; i++) {
        const uint32_t colour = colour_at(frame, i);
        const int at = find_colour(palette, colour);
        if (at < palette->count && palette->colours[at] == colour) continue;
        if (palette->count == COLOURS) return false;
        memmove(palette->colours + at + 1, palette->colours + at,
                (size_t)(palette->count - at) * sizeof *palette->colours);
        palette->colours[at] = colour;
        palette->count++;
    }
    return true;
}

/* The level of 0..levels-1 that is nearest to a value of 0..255. */
static uint32_t level_of(uint32_t value, uint32_t levels)
{
    return (value * (levels - 1) + 127) / 255;
}

static struct palette choose_colours(const struct image *frames, int count)
{
    struct palette p = {.exact = true};
    for (int i = 0; i < count && p.exact; i++) p.exact = add_colours(&p, &frames[i]);
    if (p.exact) return p;
    p.count = 0;
    for (uint32_t r = 0; r < RED_LEVELS; r++)
        for (uint32_t g = 0; g < GREEN_LEVELS; g++)
            for (uint32_t b = 0; b < BLUE_LEVELS; b++)
                p.colours[p.count++] = (r * 255 / (RED_LEVELS - 1)) << 16 | (g * 255 / (GREEN_LEVELS - 1)) << 8 |
                                       b * 255 / (BLUE_LEVELS - 1);
    return p;
}

static uint8_t number_of(const struct palette *p, uint32_t colour)
{
    if (p->exact) return (uint8_t)find_colour(p, colour);
    const uint32_t r = level_of(colour >> 16, RED_LEVELS), g = level_of(colour >> 8 & 255, GREEN_LEVELS);
    return (uint8_t)((r * GREEN_LEVELS + g) * BLUE_LEVELS + level_of(colour & 255, BLUE_LEVELS));
}

/* ---- Lempel, Ziv and Welch (Welch 1984) ---- codes of growing width, lowest bits first, in blocks of 255 bytes */

struct coder {
    struct bytes *out;
    uint8_t block[256]; /* its length, then so many bytes */
    uint32_t pending;   /* bits that are no whole byte yet */
    int bits;
    bool failed;               /* no memory */
    uint16_t (*next)[COLOURS]; /* of a run and a colour: the run with it, 0 if there is none */
};

static void flush_block(struct coder *c)
{
    if (c->block[0] && !bytes_append(c->out, c->block, (size_t)c->block[0] + 1)) c->failed = true;
    c->block[0] = 0;
}

static void put_code(struct coder *c, uint32_t code, int width)
{
    c->pending |= code << c->bits;
    c->bits += width;
    for (; c->bits >= 8; c->bits -= 8, c->pending >>= 8) {
        c->block[++c->block[0]] = (uint8_t)c->pending;
        if (c->block[0] == 255) flush_block(c);
    }
}

static bool compress(struct coder *c, const struct palette *palette, const struct image *frame)
{
    const size_t count = (size_t)frame->width * (size_t)frame->height;
    int codes = FIRST, width = BITS + 1;
    uint32_t run = number_of(palette, colour_at(frame, 0));
    memset(c->next, 0, CODES * sizeof *c->next);
    put_code(c, CLEAR, width);
    for (size_t i = 1; i < count; i++) {
        const uint8_t colour = number_of(palette, colour_at(frame, i));
        if (c->next[run][colour]) {
            run = c->next[run][colour];
            continue;
        }
        put_code(c, run, width);
        if (codes == CODES) { /* all are taken: both sides begin anew */
            put_code(c, CLEAR, width);
            memset(c->next, 0, CODES * sizeof *c->next);
            codes = FIRST;
            width = BITS + 1;
        } else {
            if (codes == 1 << width) width++;
            c->next[run][colour] = (uint16_t)codes++;
        }
        run = colour;
    }
    put_code(c, run, width);
    put_code(c, END, width);
    put_code(c, 0, 7); /* the last bits */
    flush_block(c);
    return !c->failed;
}

/* ---- the file ---- */

static void put_u16(uint8_t *to, int value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
}

static enum status put_head(struct file_writer *file, const struct palette *palette, const struct image *frame,
                            const char *comment, struct error *err)
{
    uint8_t head[13 + 3 * COLOURS] = "GIF89a";
    static const uint8_t loop[] = "\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00"; /* for ever; its own 0 ends it */
    put_u16(head + 6, frame->width);
    put_u16(head + 8, frame->height);
    head[10] = 0xf7; /* a table of 256 colours of 8 bits for all frames */
    for (int i = 0; i < palette->count; i++)
        for (int k = 0; k < 3; k++) head[13 + 3 * i + k] = (uint8_t)(palette->colours[i] >> (16 - 8 * k));
    enum status status = file_append(file, head, sizeof head, err);
    if (status == STATUS_OK) status = file_append(file, loop, sizeof loop, err);
    const size_t length = comment ? strlen(comment) : 0;
    if (status != STATUS_OK || length == 0 || length > 255) return status;
    const uint8_t introduction[] = {0x21, 0xfe, (uint8_t)length};
    status = file_append(file, introduction, sizeof introduction, err);
    return status == STATUS_OK ? file_append(file, comment, length + 1, err) : status;
}

static enum status put_frame(struct file_writer *file, struct coder *coder, const struct palette *palette,
                             const struct image *frame, int hundredths, struct error *err)
{
    struct bytes data = {0};
    uint8_t head[8 + 10 + 1] = {0x21, 0xf9, 4, 4, 0, 0, 0, 0, 0x2c};
    put_u16(head + 4, hundredths);
    put_u16(head + 13, frame->width);
    put_u16(head + 15, frame->height);
    head[18] = BITS;
    coder->out = &data;
    coder->pending = 0;
    coder->bits = 0;
    enum status status = compress(coder, palette, frame) ? STATUS_OK : fail_no_memory(err, "a GIF", data.size);
    if (status == STATUS_OK) status = file_append(file, head, sizeof head, err);
    if (status == STATUS_OK) status = file_append(file, data.data, data.size, err);
    if (status == STATUS_OK) status = file_append(file, "", 1, err);
    bytes_clear(&data);
    return status;
}

enum status gif_append(struct file_writer *file, const struct image *frames, int count, int milliseconds,
                       const char *comment, struct error *err)
{
    const struct palette palette = choose_colours(frames, count);
    const int hundredths = milliseconds < 20 ? 2 : (milliseconds + 5) / 10; /* viewers slow down what is faster */
    struct coder coder = {.next = memory_alloc_raw(CODES * sizeof *coder.next)};
    if (!coder.next) return fail_no_memory(err, "a GIF", CODES * sizeof *coder.next);
    enum status status = put_head(file, &palette, &frames[0], comment, err);
    for (int i = 0; i < count && status == STATUS_OK; i++)
        status = put_frame(file, &coder, &palette, &frames[i], hundredths, err);
    memory_free(coder.next);
    return status == STATUS_OK ? file_append(file, ";", 1, err) : status;
}
