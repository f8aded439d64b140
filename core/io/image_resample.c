/* SPDX-License-Identifier: MIT
 *
 * Resizing and blurring are the same thing twice: every pixel of the result is a weighted sum of neighbours in its row,
 * then of neighbours in its column. Between the two passes values are rounded to 8 bits, as PIL does it
 * (Pillow, src/libImaging/Resample.c).
 */
#include "core/io/image_ops.h"

#include "core/base/memory.h"
#include "core/io/image_codec.h"

#include <assert.h>
#include <math.h>

static const float pi = 3.14159265358979f;
static const float most_sigma = 256;

/* For every place i of the result: its sources are first[i] to first[i] + count[i] - 1, with weight[i * most + k]. */
struct taps {
    int size, most;
    int *first, *count; /* owned */
    float *weight;      /* owned */
};

static void taps_clear(struct taps *taps)
{
    memory_free(taps->first);
    memory_free(taps->count);
    memory_free(taps->weight);
}

/* What a failure leaves half made is the caller's to clear. */
static enum status taps_create(struct taps *taps, int size, int most, struct error *err)
{
    const size_t weights = (size_t)size * (size_t)most;
    *taps = (struct taps){.size = size, .most = most};
    taps->first = memory_alloc((size_t)size * sizeof(int));
    taps->count = memory_alloc((size_t)size * sizeof(int));
    taps->weight = memory_alloc(weights * sizeof(float));
    if (taps->first && taps->count && taps->weight) return STATUS_OK;
    return fail_no_memory(err, "the weights of a filter", weights * sizeof(float));
}

static void normalise(float *weight, int count)
{
    double sum = 0;
    for (int k = 0; k < count; k++) sum += weight[k];
    for (int k = 0; k < count; k++) weight[k] = (float)(weight[k] / sum);
}

static float sinc(float x)
{
    return x == 0 ? 1 : sinf(pi * x) / (pi * x);
}

static float triangle(float x)
{
    return fabsf(x) < 1 ? 1 - fabsf(x) : 0;
}

/* Keys 1981, a = -1/2. */
static float cubic(float x)
{
    const float a = -0.5f;
    x = fabsf(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static float lanczos(float x)
{
    return fabsf(x) < 3 ? sinc(x) * sinc(x / 3) : 0;
}

static const struct kernel {
    float (*at)(float x);
    float support; /* it is zero from here on */
} kernels[] = {
    [IMAGE_BILINEAR] = {triangle, 1},
    [IMAGE_BICUBIC] = {cubic, 2},
    [IMAGE_LANCZOS] = {lanczos, 3},
};

/* Shrinking stretches the kernel, so that no source pixel is passed over. */
static enum status taps_for_resize(struct taps *taps, int from, int to, enum image_filter filter, struct error *err)
{
    const struct kernel *kernel = &kernels[filter];
    const double scale = (double)from / to, stretch = scale > 1 ? scale : 1, support = kernel->support * stretch;
    const enum status status = taps_create(taps, to, (int)ceil(support) * 2 + 1, err);
    if (status != STATUS_OK) return status;
    for (int i = 0; i < to; i++) {
        const double center = (i + 0.5) * scale;
        const int first = center - support + 0.5 < 0 ? 0 : (int)(center - support + 0.5);
        const int last = center + support + 0.5 > from ? from : (int)(center + support + 0.5);
        float *weight = taps->weight + (size_t)i * (size_t)taps->most;
        for (int k = first; k < last; k++) weight[k - first] = kernel->at((float)((k - center + 0.5) / stretch));
        taps->first[i] = first;
        taps->count[i] = last - first;
        normalise(weight, last - first);
    }
    return STATUS_OK;
}

/* A Gaussian cut off at four sigma; the weights of places outside are added to the edge's. */
static enum status taps_for_blur(struct taps *taps, int size, float sigma, struct error *err)
{
    const int reach = (int)ceilf(4 * sigma);
    const enum status status = taps_create(taps, size, 2 * reach + 1, err);
    if (status != STATUS_OK) return status;
    for (int i = 0; i < size; i++) {
        const int first = i < reach ? 0 : i - reach, last = i + reach >= size ? size - 1 : i + reach;
        float *weight = taps->weight + (size_t)i * (size_t)taps->most;
        for (int k = -reach; k <= reach; k++) {
            const int at = i + k < first ? first : i + k > last ? last : i + k;
            weight[at - first] += expf(-0.5f * (float)(k * k) / (sigma * sigma));
        }
        taps->first[i] = first;
        taps->count[i] = last - first + 1;
        normalise(weight, taps->count[i]);
    }
    return STATUS_OK;
}

static enum status resample_rows(struct image *out, const struct image *in, const struct taps *taps, struct error *err)
{
    const enum status status = image_create(out, taps->size, in->height, in->channels, err);
    if (status != STATUS_OK) return status;
    const int channels = in->channels;
    uint8_t *to = out->pixels;
    for (int y = 0; y < in->height; y++) {
        const uint8_t *row = in->pixels + (size_t)y * (size_t)in->width * (size_t)channels;
        for (int x = 0; x < taps->size; x++, to += channels) {
            const float *weight = taps->weight + (size_t)x * (size_t)taps->most;
            const uint8_t *from = row + (size_t)taps->first[x] * (size_t)channels;
            float sum[4] = {0};
            for (int k = 0; k < taps->count[x]; k++, from += channels)
                for (int c = 0; c < channels; c++) sum[c] += weight[k] * (float)from[c];
            for (int c = 0; c < channels; c++) to[c] = image_level(sum[c]);
        }
    }
    return STATUS_OK;
}

static enum status resample_columns(struct image *out, const struct image *in, const struct taps *taps,
                                    struct error *err)
{
    const size_t row_bytes = (size_t)in->width * (size_t)in->channels;
    float *sum = memory_alloc(row_bytes * sizeof *sum);
    if (!sum) return fail_no_memory(err, "a row of pixels", row_bytes * sizeof *sum);
    const enum status status = image_create(out, in->width, taps->size, in->channels, err);
    for (int y = 0; status == STATUS_OK && y < taps->size; y++) {
        const float *weight = taps->weight + (size_t)y * (size_t)taps->most;
        const uint8_t *from = in->pixels + (size_t)taps->first[y] * row_bytes;
        for (size_t x = 0; x < row_bytes; x++) sum[x] = 0;
        for (int k = 0; k < taps->count[y]; k++, from += row_bytes)
            for (size_t x = 0; x < row_bytes; x++) sum[x] += weight[k] * (float)from[x];
        uint8_t *to = out->pixels + (size_t)y * row_bytes;
        for (size_t x = 0; x < row_bytes; x++) to[x] = image_level(sum[x]);
    }
    memory_free(sum);
    return status;
}

static enum status resample(struct image *out, const struct image *in, const struct taps *across,
                            const struct taps *down, struct error *err)
{
    struct image middle;
    enum status status = resample_rows(&middle, in, across, err);
    if (status == STATUS_OK) status = resample_columns(out, &middle, down, err);
    image_clear(&middle);
    return status;
}

enum status image_resize(struct image *out, const struct image *in, int width, int height, enum image_filter filter,
                         struct error *err)
{
    assert(in->channels == 1 || in->channels == 3);
    struct taps across = {0}, down = {0};
    *out = (struct image){0};
    enum status status = image_check_size(width, height, "the picture", STATUS_ARGUMENT, err);
    if (status == STATUS_OK) status = taps_for_resize(&across, in->width, width, filter, err);
    if (status == STATUS_OK) status = taps_for_resize(&down, in->height, height, filter, err);
    if (status == STATUS_OK) status = resample(out, in, &across, &down, err);
    taps_clear(&across);
    taps_clear(&down);
    return status;
}

enum status image_blur(struct image *out, const struct image *in, float sigma, struct error *err)
{
    struct taps across = {0}, down = {0};
    *out = (struct image){0};
    if (!(sigma >= 0 && sigma <= most_sigma))
        return fail(err, STATUS_ARGUMENT, "a blur of %g pixels is not allowed; 0 to %g are", (double)sigma,
                    (double)most_sigma);
    const float width = sigma > 0 ? sigma : 1e-3f; /* so narrow that it changes nothing */
    enum status status = taps_for_blur(&across, in->width, width, err);
    if (status == STATUS_OK) status = taps_for_blur(&down, in->height, width, err);
    if (status == STATUS_OK) status = resample(out, in, &across, &down, err);
    taps_clear(&across);
    taps_clear(&down);
    return status;
}
