/* SPDX-License-Identifier: MIT */
#include "clip/image_preprocess.h"

#include "core/io/image_ops.h"

#include <jansson.h>
#include <string.h>

struct image_preprocess image_preprocess_default(int size)
{
    return (struct image_preprocess){
        .size = size,
        .mean = {0.48145466f, 0.4578275f, 0.40821073f},
        .deviation = {0.26862954f, 0.26130258f, 0.27577711f},
    };
}

/* ---- mean and deviation ---- */

/* Three numbers from `least` to 16: colours are between 0 and 1, so honest ones are too. */
static enum status read_three(float out[3], const json_t *object, const char *key, double least, const char *file,
                              struct error *err)
{
    const json_t *list = json_object_get(object, key);
    if (!list) return STATUS_OK;
    bool fits = json_array_size(list) == 3;
    for (size_t i = 0; i < 3 && fits; i++) {
        const double value = json_is_number(json_array_get(list, i)) ? json_number_value(json_array_get(list, i)) : -1;
        fits = value >= least && value <= 16;
        out[i] = (float)value;
    }
    if (fits) return STATUS_OK;
    return fail(err, STATUS_FORMAT, "%s: '%s' must be three numbers from %g to 16", file, key, least);
}

enum status image_preprocess_read(struct image_preprocess *how, const struct checkpoint *checkpoint, struct error *err)
{
    static const struct {
        const char *key, *member;
    } sources[] = {{"preprocessor_config.json", NULL}, {"limn.pack", "image"}};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < sizeof sources / sizeof *sources && status == STATUS_OK; i++) {
        const char *key = sources[i].key, *text = checkpoint_metadata(checkpoint, key);
        json_t *root = text ? json_loads(text, 0, NULL) : NULL;
        const json_t *object = sources[i].member ? json_object_get(root, sources[i].member) : root;
        status = read_three(how->mean, object, "image_mean", 0, key, err);
        if (status == STATUS_OK) status = read_three(how->deviation, object, "image_std", 1e-3, key, err);
        json_decref(root);
    }
    return status;
}

/* ---- pictures ---- */

/* Without alpha; grey three times over. */
static enum status drop_alpha(struct image *out, const struct image *in, struct error *err)
{
    const enum status status = image_create(out, in->width, in->height, 3, err);
    if (status != STATUS_OK) return status;
    const size_t count = (size_t)in->width * (size_t)in->height, channels = (size_t)in->channels;
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < 3; c++) out->pixels[i * 3 + c] = in->pixels[i * channels + (channels < 3 ? 0 : c)];
    return STATUS_OK;
}

/* The shorter side becomes `size`, the longer keeps the proportion, rounded down. */
static enum status resize(struct image *out, const struct image *in, int size, struct error *err)
{
    const int64_t width = in->width, height = in->height, shorter = width < height ? width : height;
    const int64_t new_width = size * width / shorter, new_height = size * height / shorter;
    *out = (struct image){0};
    if (new_width > IMAGE_MAX_SIDE || new_height > IMAGE_MAX_SIDE)
        return fail(err, STATUS_ARGUMENT,
                    "the picture is %d x %d; with its shorter side made %d pixels its longer one would be more than %d",
                    in->width, in->height, size, IMAGE_MAX_SIDE);
    return image_resize(out, in, (int)new_width, (int)new_height, IMAGE_BICUBIC, err);
}

/* The square in the middle, its corner rounded down as Hugging Face rounds it; OpenAI's own code takes the even one of
 * two corners that are as near. The colours are scaled in double and centred in float, as there. */
static void crop(float *out, const struct image *in, const struct image_preprocess *how)
{
    const int left = (in->width - how->size) / 2, top = (in->height - how->size) / 2;
    for (int y = 0; y < how->size; y++) {
        const uint8_t *from = in->pixels + ((size_t)(top + y) * (size_t)in->width + (size_t)left) * 3;
        for (int i = 0; i < how->size * 3; i++)
            *out++ = ((float)(from[i] * (1 / 255.0)) - how->mean[i % 3]) / how->deviation[i % 3];
    }
}

enum status image_preprocess(float *out, const struct image *picture, const struct image_preprocess *how,
                             struct error *err)
{
    struct image rgb, resized = {0};
    enum status status = drop_alpha(&rgb, picture, err);
    if (status == STATUS_OK) status = resize(&resized, &rgb, how->size, err);
    if (status == STATUS_OK) crop(out, &resized, how);
    image_clear(&resized);
    image_clear(&rgb);
    return status;
}
