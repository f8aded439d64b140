/* SPDX-License-Identifier: MIT */
#include "pipeline/report.h"

#include "core/io/charset.h"
#include "core/io/file.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- text that grows ---- */

static void put_bytes(struct page *page, const void *bytes, size_t count)
{
    page->failed = page->failed || !bytes_append(&page->text, bytes, count);
}

void page_put(struct page *page, const char *text)
{
    put_bytes(page, text, strlen(text));
}

void page_format(struct page *page, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    page_put(page, text);
}

void page_text(struct page *page, const char *text)
{
    for (const char *at = text, *end = text + strlen(text); at < end;) {
        uint32_t letter;
        const size_t used = utf8_decode(at, (size_t)(end - at), &letter);
        const bool control = used > 0 && (letter < 0x20 || (letter >= 0x7f && letter < 0xa0));
        if (used == 0 || (control && letter != '\n' && letter != '\t'))
            page_put(page, "\xef\xbf\xbd");
        else if (letter == '<' || letter == '>' || letter == '&' || letter == '"' || letter == '\'')
            page_format(page, "&#%u;", (unsigned)letter);
        else
            put_bytes(page, at, used);
        at += used > 0 ? used : 1;
    }
}

/* RFC 4648. */
static void put_base64(struct page *page, const uint8_t *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        const size_t left = size - i;
        const uint32_t three =
            (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) | (left > 2 ? bytes[i + 2] : 0);
        const char four[4] = {digits[three >> 18], digits[three >> 12 & 63], left > 1 ? digits[three >> 6 & 63] : '=',
                              left > 2 ? digits[three & 63] : '='};
        put_bytes(page, four, sizeof four);
    }
}

void page_picture(struct page *page, const struct image *image, int side, const char *alt)
{
    enum { LARGEST_PNG = 128 }; /* Above, JPEG is much smaller and nobody sees it. */
    const bool jpeg = image->width > LARGEST_PNG || image->height > LARGEST_PNG;
    const int longer = image->width > image->height ? image->width : image->height;
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct error err = {0};
    if (page->failed) return;
    if (image_encode(image, jpeg ? IMAGE_JPEG : IMAGE_PNG, NULL, &bytes, &size, &err) != STATUS_OK) {
        page->failed = true;
        return;
    }
    page_format(page, "<img width=\"%d\" height=\"%d\" alt=\"", image->width * side / longer,
                image->height * side / longer);
    page_text(page, alt);
    page_format(page, "\" src=\"data:image/%s;base64,", jpeg ? "jpeg" : "png");
    put_base64(page, bytes, size);
    page_put(page, "\">");
    memory_free(bytes);
}

/* ---- files ---- */

static enum status write_file(const struct comparison *c, const char *name, const void *bytes, size_t size,
                              struct error *err)
{
    char path[MODEL_PATH_BYTES + 32];
    snprintf(path, sizeof path, "%s/%s", c->output, name);
    return file_write(path, bytes, size, err);
}

static enum status write_grid(const struct comparison *c, struct error *err)
{
    char path[MODEL_PATH_BYTES + 32];
    struct image image = {0};
    snprintf(path, sizeof path, "%s/grid.png", c->output);
    enum status status = report_grid(c, &image, err);
    if (status == STATUS_OK) status = image_write(&image, path, NULL, err);
    image_clear(&image);
    return status;
}

static enum status write_json(const struct comparison *c, char **out, struct error *err)
{
    json_t *root = NULL;
    enum status status = report_json(c, &root, err);
    if (status != STATUS_OK) return status;
    char *dumped = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    *out = dumped ? memory_strdup(dumped) : NULL;
    free(dumped); /* library: jansson's own block */
    json_decref(root);
    if (!*out) return fail_no_memory(err, "a report", 1 << 16);
    return write_file(c, "report.json", *out, strlen(*out), err);
}

static enum status write_page(const struct comparison *c, struct error *err)
{
    struct page page = {0};
    report_page(&page, c);
    const enum status status = page.failed ? fail_no_memory(err, "report.html", page.text.capacity)
                                           : write_file(c, "report.html", page.text.data, page.text.size, err);
    bytes_clear(&page.text);
    return status;
}

enum status report_write(const struct comparison *c, char **json, struct error *err)
{
    enum status status = write_grid(c, err);
    if (status == STATUS_OK) status = write_json(c, json, err);
    return status == STATUS_OK ? write_page(c, err) : status;
}
