/* SPDX-License-Identifier: MIT
 *
 * Resizing and blurring are the same thing twice: every pixel of the result is a weighted sum of neighbours in its row,
 * then of neighbours in its column. Between the two passes values are rounded to 8 bits, and weights are whole
 * multiples of 2^-22, as PIL has it (Pillow, src/libImaging/Resample.c): so resized pictures are Pillow's to the bit.
 */
#include "core/io/image_ops.h"

#include "core/base/memory.h"
#include "core/io/image_codec.h"

#include <assert.h>
#include <math.h>

static const double pi = 3.14159265358979323846;
static const float most_sigma = 256;

/* A sum of 8-bit values fits into 32 bits with sign as long as its weights' magnitudes sum up to less than two. */
enum { WEIGHT_BITS = 22 };

/* For every place i of the result: its sources are first[i] to first[i] + count[i] - 1, with weight[i * most + k]. */
struct taps {
    int size, most;
    int *first, *count; /* owned, like the next two */
    int32_t *weight;
    double *exact; /* [most]: of the place that is being made, before they are normalised and rounded */
};

static void taps_clear(struct taps *taps)
{
    memory_free(taps->first);
    memory_free(taps->count);
    memory_free(taps->weight);
    memory_free(taps->exact);
}

/* What a failure leaves half made is the caller's to clear. */
static enum status taps_create(struct taps *taps, int size, int most, struct error *err)
{
    const size_t weights = (size_t)size * (size_t)most;
    *taps = (struct taps){.size = size, .most = most};
    taps->first = memory_alloc((size_t)size * sizeof(int));
    taps->count = memory_alloc((size_t)size * sizeof(int));
    taps->weight = memory_alloc(weights * sizeof(int32_t));
    taps->exact = memory_alloc((size_t)most * sizeof(double));
    if (taps->first && taps->count && taps->weight && taps->exact) return STATUS_OK;
    return fail_no_memory(err, "the weights of a filter", weights * sizeof(int32_t));
}

/* Place i has `count` sources from `first` on, with the exact weights as they are now. */
static void set_place(struct taps *taps, int i, int first, int count)
{
    int32_t *weight = taps->weight + (size_t)i * (size_t)taps->most;
    double sum = 0;
    taps->first[i] = first;
    taps->count[i] = count;
    for (int k = 0; k < count; k++) sum += taps->exact[k];
    for (int k = 0; k < count; k++) {
        const double fixed = taps->exact[k] / sum * (1 << WEIGHT_BITS);
        weight[k] = (int32_t)(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
    }
}

static double sinc(double x)
{
    return x == 0 ? 1 : sin(pi * x) / (pi * x);
}

static double triangle(double x)
{
    return fabs(x) < 1 ? 1 - fabs(x) : 0;
}

/* Keys 1981, a = -1/2. */
static double cubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static double lanczos(double x)
{
    return fabs(x) < 3 ? sinc(x) * sinc(x / 3) : 0;
}

static const struct kernel {
    double (*at)(double x);
    double support; /* it is zero from here on */
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
        for (int k = first; k < last; k++) taps->exact[k - first] = kernel->at((k - center + 0.5) * (1 / stretch));
        set_place(taps, i, first, last - first);
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
        for (int k = first; k <= last; k++) taps->exact[k - first] = 0;
        for (int k = -reach; k <= reach; k++) {
            const int at = i + k < first ? first : i + k > last ? last : i + k;
            taps->exact[at - first] += exp(-0.5 * k * k / ((double)sigma * (double)sigma));
        }
        set_place(taps, i, first, last - first + 1);
    }
    return STATUS_OK;
}

/* A sum of weighted pixels, which began at a half, as a pixel. */
enum { HALF = 1 << (WEIGHT_BITS - 1) };
static uint8_t level_of(int32_t sum)
{
    return sum > 0 ? sum >> WEIGHT_BITS < 255 ? (uint8_t)(sum >> WEIGHT_BITS) : 255 : 0;
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
            const int32_t *weight = taps->weight + (size_t)x * (size_t)taps->most;
            const uint8_t *from = row + (size_t)taps->first[x] * (size_t)channels;
            int32_t sum[4] = {HALF, HALF, HALF, HALF};
            for (int k = 0; k < taps->count[x]; k++, from += channels)
                for (int c = 0; c < channels; c++) sum[c] += weight[k] * from[c];
            for (int c = 0; c < channels; c++) to[c] = level_of(sum[c]);
        }
    }
    return STATUS_OK;
}

static enum status resample_columns(struct image *out, const struct image *in, const struct taps *taps,
                                    struct error *err)
{
    const size_t row_bytes = (size_t)in->width * (size_t)in->channels;
    int32_t *sum = memory_alloc(row_bytes * sizeof *sum);
    if (!sum) return fail_no_memory(err, "a row of pixels", row_bytes * sizeof *sum);
    const enum status status = image_create(out, in->width, taps->size, in->channels, err);
    for (int y = 0; status == STATUS_OK && y < taps->size; y++) {
        const int32_t *weight = taps->weight + (size_t)y * (size_t)taps->most;
        const uint8_t *from = in->pixels + (size_t)taps->first[y] * row_bytes;
        for (size_t x = 0; x < row_bytes; x++) sum[x] = HALF;
        for (int k = 0; k < taps->count[y]; k++, from += row_bytes)
            for (size_t x = 0; x < row_bytes; x++) sum[x] += weight[k] * from[x];
        uint8_t *to = out->pixels + (size_t)y * row_bytes;
        for (size_t x = 0; x < row_bytes; x++) to[x] = level_of(sum[x]);
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
