/* SPDX-License-Identifier: MIT */
#include "pipeline/api.h"

#include "core/base/clock.h"
#include "core/base/memory.h"
#include "diffusion/sampler.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define X(name, text) static_assert((int)LIMN_##name == (int)STATUS_##name, "limn.h mirrors core/base/status.h");
STATUS_MAP(X)
#undef X
static_assert((int)LIMN_ERROR_BYTES == (int)ERROR_TEXT_BYTES, "a sentence fits on both sides");

const char *limn_version(void)
{
    return LIMN_VERSION;
}

const char *limn_status_name(enum limn_status status)
{
    return (unsigned)status <= LIMN_DEVICE ? status_name((enum status)status) : NULL;
}

enum limn_status api_result(struct limn_error *error, const struct error *err)
{
    if (error) {
        error->status = (enum limn_status)err->status;
        memcpy(error->text, err->text, sizeof error->text);
    }
    return (enum limn_status)err->status;
}

double api_clock(void)
{
    return clock_seconds();
}

/* ---- watching ---- */

void watch_note(const struct limn_watch *watch, const char *format, ...)
{
    if (!watch || !watch->note) return;
    char sentence[ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    watch->note(watch->context, sentence);
}

void watch_progress(const struct limn_watch *watch, enum limn_stage stage, int done, int total, double seconds)
{
    const struct limn_progress progress = {.stage = stage, .done = done, .total = total, .seconds = seconds};
    if (watch && watch->progress) watch->progress(watch->context, &progress);
}

enum status watch_check(const struct limn_watch *watch, struct error *err)
{
    if (!watch || !watch->cancelled || !watch->cancelled(watch->context)) return STATUS_OK;
    return fail(err, STATUS_CANCELLED, "stopped because the caller asked for it");
}

/* ---- pictures ---- */

struct image api_image(const struct limn_image *image)
{
    return (struct image){image->width, image->height, image->channels, image->pixels, image->file_bits};
}

struct limn_image api_limn_image(const struct image *image)
{
    return (struct limn_image){image->width, image->height, image->channels, image->pixels, image->file_bits};
}

enum limn_status limn_image_read(struct limn_image *image, const char *path, struct limn_error *error)
{
    struct error err = {0};
    struct image read = {0};
    if (image_read(&read, path, NULL, &err) != STATUS_OK) image_clear(&read);
    *image = api_limn_image(&read);
    return api_result(error, &err);
}

enum limn_status limn_image_read_memory(struct limn_image *image, const void *bytes, size_t size,
                                        struct limn_error *error)
{
    struct error err = {0};
    struct image read = {0};
    if (image_read_memory(&read, bytes, size, "the picture", NULL, &err) != STATUS_OK) image_clear(&read);
    *image = api_limn_image(&read);
    return api_result(error, &err);
}

enum status api_check_image(const struct limn_image *image, const char *what, struct error *err)
{
    const bool sound = image->pixels && image->width >= 1 && image->width <= IMAGE_MAX_SIDE && image->height >= 1 &&
                       image->height <= IMAGE_MAX_SIDE && image->channels >= 1 && image->channels <= 4;
    if (sound) return STATUS_OK;
    return fail(err, STATUS_ARGUMENT, "%s of %d x %d pixels with %d channels%s: sides must be 1 to %d, channels 1 to 4",
                what, image->width, image->height, image->channels, image->pixels ? "" : " and no pixels",
                IMAGE_MAX_SIDE);
}

static enum status write_image(const struct limn_image *image, const char *path, const struct image_text *text,
                               struct error *err)
{
    const struct image written = api_image(image);
    const enum status status = api_check_image(image, "a picture", err);
    return status == STATUS_OK ? image_write(&written, path, text, err) : status;
}

enum limn_status limn_image_write(const struct limn_image *image, const char *path, struct limn_error *error)
{
    struct error err = {0};
    err.status = write_image(image, path, NULL, &err);
    return api_result(error, &err);
}

void limn_image_clear(struct limn_image *image)
{
    if (!image) return;
    struct image cleared = api_image(image);
    image_clear(&cleared);
    *image = (struct limn_image){0};
}

/* IPTC's machine-readable mark that a picture is made by a trained model:
 * http://cv.iptc.org/newscodes/digitalsourcetype/ and Adobe's XMP specification, part 1, for the packet. */
static const char xmp_packet[] = "<?xpacket begin=\"\xEF\xBB\xBF\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>"
                                 "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\">"
                                 "<rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">"
                                 "<rdf:Description rdf:about=\"\""
                                 " xmlns:Iptc4xmpExt=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\""
                                 " xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\">"
                                 "<Iptc4xmpExt:DigitalSourceType>"
                                 "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
                                 "</Iptc4xmpExt:DigitalSourceType>"
                                 "<xmp:CreatorTool>limn " LIMN_VERSION "</xmp:CreatorTool>"
                                 "</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end=\"w\"?>";

enum status api_mark(struct image_text *text, struct error *err)
{
    text->xmp = memory_strdup(xmp_packet);
    return text->xmp ? STATUS_OK : fail_no_memory(err, "the picture's mark", sizeof xmp_packet);
}

enum limn_status limn_picture_write(const struct limn_picture *picture, const char *path, struct limn_error *error)
{
    struct error err = {0};
    struct image_text text = {.parameters = picture->parameters};
    err.status = api_mark(&text, &err);
    if (err.status == STATUS_OK) err.status = write_image(&picture->image, path, &text, &err);
    memory_free(text.xmp);
    return api_result(error, &err);
}

void limn_picture_clear(struct limn_picture *picture)
{
    if (!picture) return;
    limn_image_clear(&picture->image);
    memory_free(picture->parameters);
    *picture = (struct limn_picture){0};
}

/* ---- names ---- */

const char *limn_sampler_name(int i)
{
    const struct sampler_kind *kind = sampler_kind_at(i);
    return kind ? kind->name : NULL;
}

const char *limn_schedule_name(int i)
{
    const struct sampler_schedule *schedule = sampler_schedule_at(i);
    return schedule ? schedule->name : NULL;
}
