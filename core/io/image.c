/* SPDX-License-Identifier: MIT */
#include "core/io/image.h"

#include "core/base/memory.h"
#include "core/io/charset.h"
#include "core/io/file.h"
#include "core/io/image_codec.h"
#include "core/io/image_ops.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

enum status image_check_size(long width, long height, const char *name, enum status status, struct error *err)
{
    if (width >= 1 && height >= 1 && width <= IMAGE_MAX_SIDE && height <= IMAGE_MAX_SIDE) return STATUS_OK;
    return fail(err, status, "%s: is %ld x %ld pixels; 1 to %d a side are allowed", name, width, height,
                IMAGE_MAX_SIDE);
}

enum status image_create(struct image *image, int width, int height, int channels, struct error *err)
{
    assert(channels >= 1 && channels <= 4);
    *image = (struct image){0};
    const enum status status = image_check_size(width, height, "the picture", STATUS_ARGUMENT, err);
    if (status != STATUS_OK) return status;
    const size_t bytes = (size_t)width * (size_t)height * (size_t)channels;
    uint8_t *pixels = memory_alloc(bytes);
    if (!pixels) return fail_no_memory(err, "a picture", bytes);
    *image = (struct image){.width = width, .height = height, .channels = channels, .pixels = pixels};
    return STATUS_OK;
}

void image_clear(struct image *image)
{
    memory_free(image->pixels);
    *image = (struct image){0};
}

void image_text_clear(struct image_text *text)
{
    memory_free(text->parameters);
    memory_free(text->xmp);
    *text = (struct image_text){0};
}

/* EXIF's eight orientations, undone as PIL's ImageOps.exif_transpose does. In the upright picture 5 to 8 have rows and
 * columns exchanged, and both fours go: as it is, flipped along x, along x and y, along y. */
static enum status turn_upright(struct image *image, int orientation, struct error *err)
{
    if (orientation <= 1) return STATUS_OK;
    const bool transposed = orientation >= 5;
    const int turn = (orientation - 1) % 4;
    const bool flip_x = turn == 1 || turn == 2, flip_y = turn >= 2;
    struct image upright;
    const int width = transposed ? image->height : image->width, height = transposed ? image->width : image->height;
    const enum status status = image_create(&upright, width, height, image->channels, err);
    if (status != STATUS_OK) return status;
    const size_t pixel = (size_t)image->channels;
    uint8_t *to = upright.pixels;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++, to += pixel) {
            const int u = flip_x ? width - 1 - x : x, v = flip_y ? height - 1 - y : y;
            const int from_x = transposed ? v : u, from_y = transposed ? u : v;
            memcpy(to, image->pixels + ((size_t)from_y * (size_t)image->width + (size_t)from_x) * pixel, pixel);
        }
    image_clear(image);
    *image = upright;
    return STATUS_OK;
}

static enum status decode(struct image *image, struct image_found *found, const struct image_source *source,
                          struct error *err)
{
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'}, jpeg[3] = {0xff, 0xd8, 0xff};
    if (source->size >= sizeof png && memcmp(source->bytes, png, sizeof png) == 0)
        return png_decode(image, found, source, err);
    if (source->size >= sizeof jpeg && memcmp(source->bytes, jpeg, sizeof jpeg) == 0)
        return jpeg_decode(image, found, source, err);
    return fail(err, STATUS_FORMAT, "%s: is %s; PNG and JPEG files can be read", source->name,
                source->size == 0 ? "empty" : "not a picture that limn knows");
}

enum status image_read_memory(struct image *image, const void *bytes, size_t size, const char *name,
                              struct image_text *text, struct error *err)
{
    *image = (struct image){0};
    if (text) *text = (struct image_text){0};
    const struct image_source source = {bytes, size, name};
    struct image_found found = {0};
    enum status status = decode(image, &found, &source, err);
    if (status == STATUS_OK) status = turn_upright(image, found.orientation, err);
    if (status != STATUS_OK) image_clear(image);
    if (status == STATUS_OK && text)
        *text = found.text;
    else
        image_text_clear(&found.text);
    return status;
}

enum status image_read(struct image *image, const char *path, struct image_text *text, struct error *err)
{
    *image = (struct image){0};
    if (text) *text = (struct image_text){0};
    struct mapped_file file;
    enum status status = file_map(&file, path, err);
    if (status != STATUS_OK) return status;
    status = image_read_memory(image, file.bytes, file.size, path, text, err);
    file_unmap(&file);
    return status;
}

static enum status check_text(const char *text, const char *what, struct error *err)
{
    if (!text || utf8_valid(text, strlen(text))) return STATUS_OK;
    return fail(err, STATUS_ARGUMENT, "%s: the text for a picture is not valid UTF-8", what);
}

static enum status encode(struct bytes *out, const struct image *image, enum image_format format,
                          const struct image_text *text, struct error *err)
{
    assert(image->pixels && image->channels >= 1 && image->channels <= 4);
    struct image flat = {0};
    enum status status = text ? check_text(text->parameters, "parameters", err) : STATUS_OK;
    if (status == STATUS_OK && text) status = check_text(text->xmp, "XMP", err);
    if (status == STATUS_OK && format == IMAGE_JPEG && image->channels % 2 == 0) {
        status = image_to_rgb(&flat, image, err);
        image = &flat;
    }
    if (status == STATUS_OK) status = (format == IMAGE_PNG ? png_encode : jpeg_encode)(out, image, text, err);
    image_clear(&flat);
    if (status != STATUS_OK) bytes_clear(out);
    return status;
}

enum status image_encode(const struct image *image, enum image_format format, const struct image_text *text,
                         uint8_t **bytes, size_t *size, struct error *err)
{
    struct bytes out = {0};
    const enum status status = encode(&out, image, format, text, err);
    *bytes = out.data;
    *size = out.size;
    return status;
}

enum status image_write(const struct image *image, const char *path, const struct image_text *text, struct error *err)
{
    const char *ending = strrchr(path, '.');
    const bool png = ending && strcasecmp(ending, ".png") == 0;
    const bool jpeg = ending && (strcasecmp(ending, ".jpg") == 0 || strcasecmp(ending, ".jpeg") == 0);
    if (!png && !jpeg) return fail(err, STATUS_ARGUMENT, "%s: pictures are written as .png, .jpg or .jpeg", path);
    struct bytes out = {0};
    enum status status = encode(&out, image, png ? IMAGE_PNG : IMAGE_JPEG, text, err);
    if (status == STATUS_OK) status = file_write(path, out.data, out.size, err);
    bytes_clear(&out);
    return status;
}
