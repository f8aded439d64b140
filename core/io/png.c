/* SPDX-License-Identifier: MIT
 *
 * PNG through libpng. libpng reports errors by longjmp, so each function that it may jump out of holds its state in a
 * struct of its caller and has no locals that matter after the jump.
 */
#include "core/io/image_codec.h"

#include "core/base/memory.h"
#include "core/io/charset.h"
#include "core/io/exif.h"

#include <assert.h>
#include <png.h>
#include <setjmp.h>
#include <string.h>

enum {
    SIGNATURE_BYTES = 8,
    CHUNK_FRAME = 12,
    HEADER_BYTES = 26,           /* up to IHDR's colour type */
    MOST_DEFLATE_GROWTH = 1100,  /* deflate packs at most 1032 bytes into one */
    MOST_CHUNK_MEMORY = 2 << 20, /* unpacked text; what is longer is left out */
    MOST_CHUNKS = 64,
    COMPRESSION_LEVEL = 6,
};

static const char text_keyword[] = "parameters", xmp_keyword[] = "XML:com.adobe.xmp";

struct reader {
    png_structp png;
    png_infop info;
    const struct image_source *source;
    size_t at;
    struct image *image;
    struct image_found *found;
    struct error *err;
};

struct writer {
    png_structp png;
    png_infop info;
    const struct image *image;
    struct bytes *out;
    png_text texts[2];
    int text_count;
    struct error *err;
};

static png_voidp allocate(png_structp png, png_alloc_size_t bytes)
{
    void *block = memory_alloc_raw(bytes);
    if (!block) (void)fail_no_memory(png_get_mem_ptr(png), "a PNG file", bytes);
    return block;
}

static void release(png_structp png, png_voidp block)
{
    (void)png;
    memory_free(block);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

_Noreturn static void on_read_error(png_structp png, png_const_charp message)
{
    const struct reader *r = png_get_error_ptr(png);
    (void)fail(r->err, STATUS_FORMAT, "%s: is a damaged PNG file: %s", r->source->name, message);
    png_longjmp(png, 1);
}

static void read_bytes(png_structp png, png_bytep to, size_t size)
{
    struct reader *r = png_get_io_ptr(png);
    if (size > r->source->size - r->at) png_error(png, "it is truncated");
    memcpy(to, r->source->bytes + r->at, size);
    r->at += size;
}

/* Looks at IHDR by hand: the sentences are better than libpng's, and nothing is allocated for a picture that cannot be
 * in so few bytes. */
static enum status check_header(const struct image_source *source, struct error *err)
{
    const uint8_t *b = source->bytes;
    if (source->size < HEADER_BYTES || memcmp(b + 12, "IHDR", 4) != 0)
        return fail(err, STATUS_FORMAT, "%s: is a damaged PNG file: it has no header", source->name);
    const long width = png_get_uint_32(b + 16), height = png_get_uint_32(b + 20);
    const enum status status = image_check_size(width, height, source->name, STATUS_FORMAT, err);
    if (status != STATUS_OK) return status;
    const int depth = b[24];
    if ((uint64_t)width * (uint64_t)height * (uint64_t)(depth < 8 ? depth : 8) / 8 / MOST_DEFLATE_GROWTH > source->size)
        return fail(err, STATUS_FORMAT, "%s: is a damaged PNG file: %zu bytes cannot hold %ld x %ld pixels",
                    source->name, source->size, width, height);
    return STATUS_OK;
}

/* libpng takes memory for as many bytes as a chunk claims to have before it looks for them, so the lengths of all
 * chunks are held against the file beforehand:   length (4), kind (4), data, checksum (4) */
static enum status check_chunks(const struct image_source *source, struct error *err)
{
    for (size_t at = SIGNATURE_BYTES; source->size - at >= CHUNK_FRAME;) {
        const uint8_t *chunk = source->bytes + at;
        const size_t length = png_get_uint_32(chunk);
        if (length > source->size - at - CHUNK_FRAME) break;
        if (memcmp(chunk + 4, "IEND", 4) == 0) return STATUS_OK;
        at += CHUNK_FRAME + length;
    }
    return fail(err, STATUS_FORMAT, "%s: is a damaged PNG file: it is truncated", source->name);
}

static void take_texts(struct reader *r)
{
    png_textp texts;
    const int count = png_get_text(r->png, r->info, &texts, NULL);
    for (int i = 0; i < count; i++) {
        const png_text *t = &texts[i];
        char **slot = strcmp(t->key, text_keyword) == 0  ? &r->found->text.parameters
                      : strcmp(t->key, xmp_keyword) == 0 ? &r->found->text.xmp
                                                         : NULL;
        if (!slot || *slot || !t->text) continue;
        const bool is_itxt = t->compression >= PNG_ITXT_COMPRESSION_NONE;
        const size_t size = is_itxt ? t->itxt_length : t->text_length;
        *slot = is_itxt ? utf8_from_unknown(t->text, size) : utf8_from_latin1(t->text, size);
        if (!*slot) (void)fail_no_memory(r->err, "a picture's text", size);
    }
}

static void take_exif(struct reader *r)
{
    png_bytep bytes;
    png_uint_32 size;
    struct exif exif;
    if (!png_get_eXIf_1(r->png, r->info, &size, &bytes)) return;
    if (!exif_parse(&exif, bytes, size)) (void)fail_no_memory(r->err, "EXIF data", size);
    r->found->orientation = exif.orientation;
    if (!r->found->text.parameters)
        r->found->text.parameters = exif.comment;
    else
        memory_free(exif.comment);
}

/* Whatever the file holds becomes 1 to 4 channels of 8 bits. */
static void ask_for_8_bits(struct reader *r)
{
    const int type = png_get_color_type(r->png, r->info);
    png_set_scale_16(r->png);
    if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(r->png);
    if (type == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(r->png);
    if (png_get_valid(r->png, r->info, PNG_INFO_tRNS)) png_set_tRNS_to_alpha(r->png);
}

static void read_rows(struct reader *r)
{
    struct image *image = r->image;
    const size_t row = (size_t)image->width * (size_t)image->channels;
    assert(png_get_rowbytes(r->png, r->info) == row);
    const int passes = png_get_interlace_type(r->png, r->info) == PNG_INTERLACE_NONE ? 1 : PNG_INTERLACE_ADAM7_PASSES;
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < image->height; y++) png_read_row(r->png, image->pixels + (size_t)y * row, NULL);
}

static void read_picture(struct reader *r)
{
    if (setjmp(png_jmpbuf(r->png))) return;
    png_set_read_fn(r->png, r, read_bytes);
    png_set_user_limits(r->png, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
    png_set_chunk_malloc_max(r->png, MOST_CHUNK_MEMORY);
    png_set_chunk_cache_max(r->png, MOST_CHUNKS);
    png_set_crc_action(r->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_read_info(r->png, r->info);
    const int bits = png_get_bit_depth(r->png, r->info);
    ask_for_8_bits(r);
    (void)png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    if (image_create(r->image, (int)png_get_image_width(r->png, r->info), (int)png_get_image_height(r->png, r->info),
                     png_get_channels(r->png, r->info), r->err) != STATUS_OK)
        return;
    r->image->file_bits = bits;
    read_rows(r);
    png_read_end(r->png, r->info);
    take_texts(r);
    take_exif(r);
}

enum status png_decode(struct image *image, struct image_found *found, const struct image_source *source,
                       struct error *err)
{
    enum status status = check_header(source, err);
    if (status == STATUS_OK) status = check_chunks(source, err);
    if (status != STATUS_OK) return status;
    struct reader r = {.source = source, .image = image, .found = found, .err = err};
    r.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &r, on_read_error, on_warning, err, allocate, release);
    if (r.png) r.info = png_create_info_struct(r.png);
    if (r.info)
        read_picture(&r);
    else
        (void)fail_no_memory(err, source->name, 0);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    return err->status;
}

_Noreturn static void on_write_error(png_structp png, png_const_charp message)
{
    const struct writer *w = png_get_error_ptr(png);
    (void)fail(w->err, STATUS_IO, "a PNG file could not be made: %s", message);
    png_longjmp(png, 1);
}

static void write_bytes(png_structp png, png_bytep from, size_t size)
{
    struct writer *w = png_get_io_ptr(png);
    if (bytes_append(w->out, from, size)) return;
    (void)fail_no_memory(w->err, "a PNG file", w->out->size + size);
    png_error(png, "no memory");
}

static void flush_nothing(png_structp png)
{
    (void)png;
}

static void write_picture(struct writer *w)
{
    static const int types[] = {0, PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB,
                                PNG_COLOR_TYPE_RGB_ALPHA};
    const struct image *image = w->image;
    if (setjmp(png_jmpbuf(w->png))) return;
    png_set_write_fn(w->png, w, write_bytes, flush_nothing);
    png_set_compression_level(w->png, COMPRESSION_LEVEL);
    png_set_IHDR(w->png, w->info, (png_uint_32)image->width, (png_uint_32)image->height, 8, types[image->channels],
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (w->text_count > 0) png_set_text(w->png, w->info, w->texts, w->text_count);
    png_write_info(w->png, w->info);
    for (int y = 0; y < image->height; y++)
        png_write_row(w->png, image->pixels + (size_t)y * (size_t)image->width * (size_t)image->channels);
    png_write_end(w->png, w->info);
}

/* As PIL's PngInfo.add_text: tEXt if Latin-1 can say it, else iTXt. `latin1` receives the converted text. */
static enum status add_text(struct writer *w, const char *keyword, char *text, char **latin1)
{
    if (!text) return STATUS_OK;
    png_text *t = &w->texts[w->text_count++];
    *t = (png_text){.key = (png_charp)keyword, .text = text, .compression = PNG_ITXT_COMPRESSION_NONE};
    if (!latin1 || !utf8_is_latin1(text)) {
        t->itxt_length = strlen(text);
        return STATUS_OK;
    }
    *latin1 = utf8_to_latin1(text);
    if (!*latin1) return fail_no_memory(w->err, "a picture's text", strlen(text));
    t->compression = PNG_TEXT_COMPRESSION_NONE;
    t->text = *latin1;
    t->text_length = strlen(*latin1);
    return STATUS_OK;
}

enum status png_encode(struct bytes *out, const struct image *image, const struct image_text *text, struct error *err)
{
    char *latin1 = NULL;
    struct writer w = {.image = image, .out = out, .err = err};
    if (text && add_text(&w, text_keyword, text->parameters, &latin1) != STATUS_OK) return err->status;
    if (text) (void)add_text(&w, xmp_keyword, text->xmp, NULL);
    w.png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, &w, on_write_error, on_warning, err, allocate, release);
    if (w.png) w.info = png_create_info_struct(w.png);
    if (w.info)
        write_picture(&w);
    else
        (void)fail_no_memory(err, "a PNG file", 0);
    png_destroy_write_struct(&w.png, &w.info);
    memory_free(latin1);
    return err->status;
}
