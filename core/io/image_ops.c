/* SPDX-License-Identifier: MIT */
#include "core/io/image_ops.h"

#include <assert.h>
#include <stdbool.h>

/* The nearest of 0 to 255; NaN is 0. */
static uint8_t level_of(float value)
{
    return value > 0 ? value < 255 ? (uint8_t)(value + 0.5f) : 255 : 0;
}

/* x * y / 255, rounded. */
static uint8_t product(int x, int y)
{
    return (uint8_t)((x * y + 127) / 255);
}

enum status image_to_rgb(struct image *out, const struct image *in, struct error *err)
{
    const enum status status = image_create(out, in->width, in->height, 3, err);
    if (status != STATUS_OK) return status;
    const int channels = in->channels;
    const bool grey = channels <= 2, has_alpha = channels % 2 == 0;
    const size_t count = (size_t)in->width * (size_t)in->height;
    const uint8_t *from = in->pixels;
    uint8_t *to = out->pixels;
    for (size_t i = 0; i < count; i++, from += channels, to += 3) {
        const int alpha = has_alpha ? from[channels - 1] : 255;
        for (int c = 0; c < 3; c++) to[c] = (uint8_t)(product(from[grey ? 0 : c], alpha) + 255 - alpha);
    }
    return STATUS_OK;
}

enum status image_to_mask(struct image *out, const struct image *in, struct error *err)
{
    const enum status status = image_create(out, in->width, in->height, 1, err);
    if (status != STATUS_OK) return status;
    const int channels = in->channels;
    const bool grey = channels <= 2, has_alpha = channels % 2 == 0;
    const size_t count = (size_t)in->width * (size_t)in->height;
    const uint8_t *p = in->pixels;
    for (size_t i = 0; i < count; i++, p += channels) {
        /* 0.299 R + 0.587 G + 0.114 B in 16 bits after the point, as PIL's convert('L') has it. */
        const int luma = grey ? p[0] : (p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + 0x8000) >> 16;
        out->pixels[i] = has_alpha ? product(luma, p[channels - 1]) : (uint8_t)luma;
    }
    return STATUS_OK;
}

/* Porter and Duff's "over", with colours that are not multiplied by their alpha. */
static void blend(uint8_t *to, int colours_alpha, const uint8_t *top, int mask)
{
    const int keep = colours_alpha * (255 - mask), put = 255 * mask, all = keep + put;
    for (int c = 0; c < 3; c++) to[c] = (uint8_t)((to[c] * keep + top[c] * put + all / 2) / all);
}

enum status image_composite(struct image *out, const struct image *base, const struct image *top,
                            const struct image *mask, struct error *err)
{
    assert(top->channels == 3 && mask->channels == 1);
    assert(base->width == top->width && base->height == top->height);
    assert(base->width == mask->width && base->height == mask->height);
    const int channels = base->channels;
    const bool grey = channels <= 2, has_alpha = channels % 2 == 0;
    const enum status status = image_create(out, base->width, base->height, has_alpha ? 4 : 3, err);
    if (status != STATUS_OK) return status;
    const size_t count = (size_t)base->width * (size_t)base->height;
    const uint8_t *from = base->pixels, *over = top->pixels;
    uint8_t *to = out->pixels;
    for (size_t i = 0; i < count; i++, from += channels, over += 3, to += out->channels) {
        const int m = mask->pixels[i], alpha = has_alpha ? from[channels - 1] : 255;
        for (int c = 0; c < 3; c++) to[c] = from[grey ? 0 : c];
        if (has_alpha) to[3] = (uint8_t)(alpha + product(255 - alpha, m));
        if (m > 0) blend(to, alpha, over, m);
    }
    return STATUS_OK;
}

void image_to_floats(float *out, const struct image *in)
{
    const size_t count = (size_t)in->width * (size_t)in->height * (size_t)in->channels;
    for (size_t i = 0; i < count; i++) out[i] = (float)in->pixels[i] * (1 / 127.5f) - 1;
}

enum status image_from_floats(struct image *out, const float *in, int width, int height, struct error *err)
{
    const enum status status = image_create(out, width, height, 3, err);
    if (status != STATUS_OK) return status;
    const size_t count = (size_t)width * (size_t)height * 3;
    for (size_t i = 0; i < count; i++) out->pixels[i] = level_of((in[i] + 1) * 127.5f);
    return STATUS_OK;
}
