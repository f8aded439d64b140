/* SPDX-License-Identifier: MIT
 *
 * metadata.jsonl, as Hugging Face's imagefolder has it (https://huggingface.co/docs/datasets/image_dataset): every line
 * is a JSON object with the picture's name relative to the file, and columns of whatever its author liked. A line that
 * cannot be used is told and left out.
 */
#include "core/io/dataset_build.h"
#include "core/io/quote.h"

#include <jansson.h>
#include <string.h>

enum { LINE_BYTES = 1 << 20, NAME_BYTES = 4096 };

struct line {
    struct dataset *set;
    const char *file; /* for sentences, as is the number */
    long long number; /* 1 is the first */
    struct error *err;
};

static void skip_line(const struct line *line, const char *why)
{
    dataset_skip(line->set, "%s, line %lld: %s", line->file, line->number, why);
}

/* A file that comes from elsewhere must not name files outside its folder. */
static bool leads_outside(const char *name)
{
    if (name[0] == '/') return true;
    for (const char *part = name; part; part = strchr(part, '/')) {
        while (*part == '/') part++;
        if (part[0] == '.' && part[1] == '.' && (part[2] == '/' || part[2] == '\0')) return true;
    }
    return false;
}

/* The picture's name, or NULL if there is none that may be used. */
static const char *file_name(const struct line *line, const json_t *object)
{
    const json_t *value = json_object_get(object, "file_name");
    const char *name = json_string_value(value);
    if (!name || name[0] == '\0') {
        skip_line(line, value ? "file_name is not the name of a file" : "there is no file_name");
        return NULL;
    }
    if (json_string_length(value) > NAME_BYTES || leads_outside(name)) {
        dataset_skip(line->set, "%s, line %lld: file_name '%s' %s", line->file, line->number, quote(name).text,
                     leads_outside(name) ? "leads out of the folder" : "is longer than 4096 bytes");
        return NULL;
    }
    while (name[0] == '.' && name[1] == '/') name += 2;
    return name;
}

/* The first of the usual columns that has something in it. */
static const json_t *caption_column(const json_t *object)
{
    static const char *const names[] = {"text", "caption", "prompt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *value = json_object_get(object, names[i]);
        if (value && !json_is_null(value)) return value;
    }
    return NULL;
}

static const char *add_text(struct captions *captions, const json_t *text, struct error *err)
{
    if (!json_is_string(text)) return "is neither text nor a list of texts";
    return captions_add(captions, json_string_value(text), json_string_length(text), err);
}

/* One text or a list of alternatives. Returns as captions_add. */
static const char *gather(struct captions *captions, const json_t *column, struct error *err)
{
    if (!column) return NULL;
    if (!json_is_array(column)) return add_text(captions, column, err);
    const char *fault = NULL;
    for (size_t i = 0; i < json_array_size(column) && !fault && err->status == STATUS_OK; i++)
        fault = add_text(captions, json_array_get(column, i), err);
    return fault;
}

static enum status add_object(const struct line *line, const json_t *object)
{
    const char *name = file_name(line, object);
    if (!name) return STATUS_OK;
    struct captions captions = {0};
    const char *fault = gather(&captions, caption_column(object), line->err);
    struct dataset_item *item = NULL;
    enum status status = line->err->status;
    if (fault)
        dataset_skip(line->set, "%s, line %lld: the text of '%s' %s", line->file, line->number, quote(name).text,
                     fault);
    else if (status == STATUS_OK) {
        item = dataset_add(line->set, name, line->err);
        status = item ? captions_keep(&captions, line->set, item, line->err) : line->err->status;
    }
    if (item) item->place = line->number;
    captions_clear(&captions);
    return status;
}

static enum status add_line(const struct line *line, const char *text, size_t size)
{
    json_error_t fault;
    if (size > LINE_BYTES) {
        dataset_skip(line->set, "%s, line %lld: has %zu bytes; at most %d are allowed", line->file, line->number, size,
                     LINE_BYTES);
        return STATUS_OK;
    }
    json_t *object = json_loadb(text, size, 0, &fault);
    if (!object && json_error_code(&fault) == json_error_out_of_memory)
        return fail_no_memory(line->err, line->file, size);
    enum status status = STATUS_OK;
    if (json_is_object(object))
        status = add_object(line, object);
    else
        dataset_skip(line->set, "%s, line %lld: is not a JSON object%s%s", line->file, line->number, object ? "" : ": ",
                     object ? "" : quote(fault.text).text);
    json_decref(object);
    return status;
}

static bool is_blank(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!strchr(" \t\r", text[i]) || text[i] == '\0') return false;
    return true;
}

enum status dataset_read_metadata(struct dataset *set, const char *bytes, size_t size, const char *name,
                                  struct error *err)
{
    struct line line = {set, name, 0, err};
    size_t at = size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (at < size) {
        const char *end = memchr(bytes + at, '\n', size - at);
        const size_t length = end ? (size_t)(end - bytes) - at : size - at;
        line.number++;
        const enum status status = is_blank(bytes + at, length) ? STATUS_OK : add_line(&line, bytes + at, length);
        if (status != STATUS_OK) return status;
        at += length + 1;
    }
    return STATUS_OK;
}
