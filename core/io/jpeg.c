/* SPDX-License-Identifier: MIT
 *
 * JPEG through libjpeg. As in png.c, errors come by longjmp, so what matters after the jump lies in a caller's struct.
 *
 * libjpeg fills what is missing from a damaged file with grey and says so in a warning. A picture that is partly made
 * up must not be edited as if it were whole, so these warnings are errors here.
 */
#include "core/io/image_codec.h"

#include "core/base/memory.h"
#include "core/io/exif.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>
#include <setjmp.h>

enum {
    QUALITY = 95,
    MOST_SCANS = 100,          /* a progressive file has about ten; each one passes over the whole picture */
    PIXELS_IN_A_BYTE = 8 * 64, /* Huffman codes spend at least one bit on a block of 8 x 8 pixels */
    MARKER_TEXT = JPEG_APP0 + 1,
    MOST_MARKER_BYTES = 65533,
    BUFFER_BYTES = 16384,
};

/* The first bytes of an APP1 marker say what it holds. Both names count their NUL. */
static const char exif_name[] = "Exif\0", xmp_name[] = "http://ns.adobe.com/xap/1.0/";

struct reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    const struct image_source *source;
    struct image *image;
    struct image_found *found;
    uint8_t *row; /* owned; a row of CMYK */
    struct error *err;
};

struct writer {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_destination_mgr destination;
    jmp_buf jump;
    const struct image *image;
    struct bytes exif, xmp; /* owned; contents of the markers */
    struct bytes *out;
    uint8_t buffer[BUFFER_BYTES];
    struct error *err;
};

_Noreturn static void on_read_error(j_common_ptr jpeg)
{
    struct reader *r = jpeg->client_data;
    char message[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, message);
    if (jpeg->err->msg_code == JERR_OUT_OF_MEMORY)
        (void)fail_no_memory(r->err, r->source->name, 0);
    else
        (void)fail(r->err, STATUS_FORMAT, "%s: is a damaged JPEG file: %s", r->source->name, message);
    longjmp(r->jump, 1);
}

static void on_read_message(j_common_ptr jpeg, int level)
{
    if (level >= 0) return; /* a trace, not a warning */
    switch (jpeg->err->msg_code) {
    case JWRN_ADOBE_XFORM:
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_JFIF_MAJOR:
    case JWRN_NOT_SEQUENTIAL:
    case JWRN_TOO_MUCH_DATA: return; /* odd, but no pixel is missing */
    default: on_read_error(jpeg);
    }
}

static void on_progress(j_common_ptr jpeg)
{
    struct reader *r = jpeg->client_data;
    if (r->jpeg.input_scan_number <= MOST_SCANS) return;
    (void)fail(r->err, STATUS_FORMAT, "%s: is a damaged JPEG file: it has more than %d scans", r->source->name,
               MOST_SCANS);
    longjmp(r->jump, 1);
}

static void take_exif(struct reader *r, const uint8_t *bytes, size_t size)
{
    struct exif exif;
    if (!exif_parse(&exif, bytes, size)) (void)fail_no_memory(r->err, "EXIF data", size);
    r->found->orientation = exif.orientation;
    memory_free(r->found->text.parameters);
    r->found->text.parameters = exif.comment;
}

static void take_xmp(struct reader *r, const uint8_t *bytes, size_t size)
{
    char *xmp = memory_alloc(size + 1);
    if (!xmp) (void)fail_no_memory(r->err, "XMP data", size);
    if (xmp) memcpy(xmp, bytes, size);
    memory_free(r->found->text.xmp);
    r->found->text.xmp = xmp;
}

static void take_markers(struct reader *r)
{
    for (const struct jpeg_marker_struct *m = r->jpeg.marker_list; m; m = m->next) {
        if (m->data_length > sizeof exif_name && memcmp(m->data, exif_name, sizeof exif_name) == 0)
            take_exif(r, m->data + sizeof exif_name, m->data_length - sizeof exif_name);
        if (m->data_length > sizeof xmp_name && memcmp(m->data, xmp_name, sizeof xmp_name) == 0)
            take_xmp(r, m->data + sizeof xmp_name, m->data_length - sizeof xmp_name);
    }
}

/* Nothing is allocated for a picture that cannot be in so few bytes. */
static enum status check_header(const struct reader *r)
{
    const struct jpeg_decompress_struct *jpeg = &r->jpeg;
    const enum status status =
        image_check_size(jpeg->image_width, jpeg->image_height, r->source->name, STATUS_FORMAT, r->err);
    if (status != STATUS_OK) return status;
    if ((uint64_t)jpeg->image_width * jpeg->image_height / PIXELS_IN_A_BYTE > r->source->size)
        return fail(r->err, STATUS_FORMAT, "%s: is a damaged JPEG file: %zu bytes cannot hold %u x %u pixels",
                    r->source->name, r->source->size, jpeg->image_width, jpeg->image_height);
    if (jpeg->num_components != 1 && jpeg->num_components != 3 && jpeg->num_components != 4)
        return fail(r->err, STATUS_UNSUPPORTED, "%s: has %d colour channels; 1, 3 and 4 can be read", r->source->name,
                    jpeg->num_components);
    return STATUS_OK;
}

/* CMYK in JPEG files is stored inverted, as Adobe does it: 255 is no ink. */
static void rgb_from_cmyk(uint8_t *rgb, const uint8_t *cmyk, int width)
{
    for (int x = 0; x < width; x++, rgb += 3, cmyk += 4)
        for (int i = 0; i < 3; i++) rgb[i] = (uint8_t)((cmyk[i] * cmyk[3] + 127) / 255);
}

static void read_rows(struct reader *r)
{
    const size_t row_bytes = (size_t)r->image->width * (size_t)r->image->channels;
    while (r->jpeg.output_scanline < r->jpeg.output_height) {
        uint8_t *pixels = r->image->pixels + r->jpeg.output_scanline * row_bytes;
        JSAMPROW row = r->row ? r->row : pixels;
        (void)jpeg_read_scanlines(&r->jpeg, &row, 1);
        if (r->row) rgb_from_cmyk(pixels, r->row, r->image->width);
    }
}

static void read_picture(struct reader *r)
{
    if (setjmp(r->jump)) return;
    jpeg_create_decompress(&r->jpeg);
    r->jpeg.progress = &r->progress;
    jpeg_mem_src(&r->jpeg, r->source->bytes, r->source->size);
    jpeg_save_markers(&r->jpeg, MARKER_TEXT, 0xffff);
    (void)jpeg_read_header(&r->jpeg, TRUE);
    if (check_header(r) != STATUS_OK) return;
    take_markers(r);
    const int components = r->jpeg.num_components;
    r->jpeg.out_color_space = components == 1 ? JCS_GRAYSCALE : components == 3 ? JCS_RGB : JCS_CMYK;
    const int width = (int)r->jpeg.image_width, height = (int)r->jpeg.image_height;
    if (image_create(r->image, width, height, components == 1 ? 1 : 3, r->err) != STATUS_OK) return;
    if (components == 4) {
        r->row = memory_alloc((size_t)width * 4);
        if (!r->row) {
            (void)fail_no_memory(r->err, r->source->name, (size_t)width * 4);
            return;
        }
    }
    (void)jpeg_start_decompress(&r->jpeg);
    read_rows(r);
    (void)jpeg_finish_decompress(&r->jpeg);
}

enum status jpeg_decode(struct image *image, struct image_found *found, const struct image_source *source,
                        struct error *err)
{
    struct reader *r = memory_alloc(sizeof *r);
    if (!r) return fail_no_memory(err, source->name, sizeof *r);
    r->source = source;
    r->image = image;
    r->found = found;
    r->err = err;
    r->jpeg.err = jpeg_std_error(&r->errors);
    r->jpeg.client_data = r;
    r->errors.error_exit = on_read_error;
    r->errors.emit_message = on_read_message;
    r->progress.progress_monitor = on_progress;
    read_picture(r);
    jpeg_destroy_decompress(&r->jpeg);
    memory_free(r->row);
    memory_free(r);
    return err->status;
}

_Noreturn static void on_write_error(j_common_ptr jpeg)
{
    struct writer *w = jpeg->client_data;
    char message[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, message);
    (void)fail(w->err, STATUS_IO, "a JPEG file could not be made: %s", message);
    longjmp(w->jump, 1);
}

static void on_write_message(j_common_ptr jpeg, int level)
{
    (void)jpeg;
    (void)level;
}

static void start_buffer(j_compress_ptr jpeg)
{
    struct writer *w = jpeg->client_data;
    w->destination.next_output_byte = w->buffer;
    w->destination.free_in_buffer = BUFFER_BYTES;
}

static void take_buffer(struct writer *w, size_t size)
{
    if (bytes_append(w->out, w->buffer, size)) return;
    (void)fail_no_memory(w->err, "a JPEG file", w->out->size + size);
    longjmp(w->jump, 1);
}

static boolean empty_buffer(j_compress_ptr jpeg)
{
    take_buffer(jpeg->client_data, BUFFER_BYTES);
    start_buffer(jpeg);
    return TRUE;
}

static void end_buffer(j_compress_ptr jpeg)
{
    struct writer *w = jpeg->client_data;
    take_buffer(w, BUFFER_BYTES - w->destination.free_in_buffer);
}

/* Colour at full resolution (4:4:4): drawings have edges that halved colour smears. */
static void set_colours(struct writer *w)
{
    const bool grey = w->image->channels == 1;
    w->jpeg.image_width = (JDIMENSION)w->image->width;
    w->jpeg.image_height = (JDIMENSION)w->image->height;
    w->jpeg.input_components = grey ? 1 : 3;
    w->jpeg.in_color_space = grey ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&w->jpeg);
    jpeg_set_quality(&w->jpeg, QUALITY, TRUE);
    w->jpeg.comp_info[0].h_samp_factor = 1;
    w->jpeg.comp_info[0].v_samp_factor = 1;
}

static void write_picture(struct writer *w)
{
    const struct image *image = w->image;
    if (setjmp(w->jump)) return;
    jpeg_create_compress(&w->jpeg);
    w->jpeg.dest = &w->destination;
    set_colours(w);
    jpeg_start_compress(&w->jpeg, TRUE);
    if (w->exif.size > 0) jpeg_write_marker(&w->jpeg, MARKER_TEXT, w->exif.data, (unsigned)w->exif.size);
    if (w->xmp.size > 0) jpeg_write_marker(&w->jpeg, MARKER_TEXT, w->xmp.data, (unsigned)w->xmp.size);
    for (int y = 0; y < image->height; y++) {
        JSAMPROW row = image->pixels + (size_t)y * (size_t)image->width * (size_t)image->channels;
        (void)jpeg_write_scanlines(&w->jpeg, &row, 1);
    }
    jpeg_finish_compress(&w->jpeg);
}

static enum status check_marker(const struct bytes *marker, const char *what, struct error *err)
{
    if (marker->size <= MOST_MARKER_BYTES) return STATUS_OK;
    return fail(err, STATUS_ARGUMENT, "%s: takes %zu bytes, but a JPEG file has room for %d; write a .png", what,
                marker->size, MOST_MARKER_BYTES);
}

static enum status make_markers(struct writer *w, const struct image_text *text)
{
    if (text && text->parameters &&
        !(bytes_append(&w->exif, exif_name, sizeof exif_name) && exif_build(&w->exif, text->parameters)))
        return fail_no_memory(w->err, "EXIF data", strlen(text->parameters));
    if (text && text->xmp &&
        !(bytes_append(&w->xmp, xmp_name, sizeof xmp_name) && bytes_append(&w->xmp, text->xmp, strlen(text->xmp))))
        return fail_no_memory(w->err, "XMP data", strlen(text->xmp));
    if (check_marker(&w->exif, "parameters", w->err) != STATUS_OK) return w->err->status;
    return check_marker(&w->xmp, "XMP", w->err);
}

/* The picture has no alpha: image.c lays it on white. */
enum status jpeg_encode(struct bytes *out, const struct image *image, const struct image_text *text, struct error *err)
{
    struct writer *w = memory_alloc(sizeof *w);
    if (!w) return fail_no_memory(err, "a JPEG file", sizeof *w);
    w->image = image;
    w->out = out;
    w->err = err;
    w->jpeg.err = jpeg_std_error(&w->errors);
    w->jpeg.client_data = w;
    w->errors.error_exit = on_write_error;
    w->errors.emit_message = on_write_message;
    w->destination = (struct jpeg_destination_mgr){
        .init_destination = start_buffer, .empty_output_buffer = empty_buffer, .term_destination = end_buffer};
    if (make_markers(w, text) == STATUS_OK) write_picture(w);
    jpeg_destroy_compress(&w->jpeg);
    bytes_clear(&w->exif);
    bytes_clear(&w->xmp);
    memory_free(w);
    return err->status;
}
