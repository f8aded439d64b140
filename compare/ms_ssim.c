/* SPDX-License-Identifier: MIT
 *
 * With windows w, means mx = w*x, my = w*y, variances w*x^2 - mx^2 and so on, and the constants c1 = (0.01 L)^2,
 * c2 = (0.03 L)^2 for L = 255:
 *
 *     contrast   cs = (2 sxy + c2) / (sxx + syy + c2)
 *     likeness   ssim = cs (2 mx my + c1) / (mx^2 + my^2 + c1)
 *     MS-SSIM  = cs_1^a1 cs_2^a2 cs_3^a3 cs_4^a4 ssim_5^a5           each the mean over the scale
 *
 * Next scale: means of 2 x 2; an odd side gets a row of zeros on both ends first, as pytorch's avg_pool2d does it.
 */
#include "compare/diversity.h"

#include "compare/draw.h"
#include "core/base/memory.h"

#include <math.h>
#include <string.h>

enum { WINDOW = 11, CHANNELS = 3 };
#define SIGMA 1.5
#define C1    (0.01 * 255 * 0.01 * 255)
#define C2    (0.03 * 255 * 0.03 * 255)

static const double weights[MS_SSIM_LEVELS] = {0.0448, 0.2856, 0.3001, 0.2363, 0.1333};

/* One channel of both pictures, and room for what is made of them: all [height, width] of the first scale or less. */
struct planes {
    int width, height;
    double *x, *y, *squares, *narrow, *mean_x, *mean_y, *xx, *yy, *xy;
    double *block; /* owned; holds all of these */
};

struct window {
    int size;
    double weight[WINDOW];
};

static struct window window_for(int width, int height)
{
    const int side = width < height ? width : height;
    struct window w = {.size = side < WINDOW ? side : WINDOW};
    const double sigma = SIGMA * w.size / WINDOW, middle = (w.size - 1) / 2.0;
    double sum = 0;
    for (int i = 0; i < w.size; i++) sum += w.weight[i] = exp(-(i - middle) * (i - middle) / (2 * sigma * sigma));
    for (int i = 0; i < w.size; i++) w.weight[i] /= sum;
    return w;
}

/* out = the window over in, rows then columns, only where it lies wholly inside. */
static void filter(const struct planes *p, const struct window *w, const double *in, double *out)
{
    const int width = p->width - w->size + 1, height = p->height - w->size + 1;
    for (int y = 0; y < p->height; y++)
        for (int x = 0; x < width; x++) {
            double sum = 0;
            for (int k = 0; k < w->size; k++) sum += w->weight[k] * in[y * p->width + x + k];
            p->narrow[y * width + x] = sum;
        }
    for (int i = 0; i < width * height; i++) out[i] = 0;
    for (int y = 0; y < height; y++)
        for (int k = 0; k < w->size; k++)
            for (int x = 0; x < width; x++) out[y * width + x] += w->weight[k] * p->narrow[(y + k) * width + x];
}

static void filter_product(const struct planes *p, const struct window *w, const double *a, const double *b,
                           double *out)
{
    for (int i = 0; i < p->width * p->height; i++) p->squares[i] = a[i] * b[i];
    filter(p, w, p->squares, out);
}

static void measure(const struct planes *p, double *likeness, double *contrast)
{
    const struct window w = window_for(p->width, p->height);
    const int n = (p->width - w.size + 1) * (p->height - w.size + 1);
    filter(p, &w, p->x, p->mean_x);
    filter(p, &w, p->y, p->mean_y);
    filter_product(p, &w, p->x, p->x, p->xx);
    filter_product(p, &w, p->y, p->y, p->yy);
    filter_product(p, &w, p->x, p->y, p->xy);
    *likeness = *contrast = 0;
    for (int i = 0; i < n; i++) {
        const double mx = p->mean_x[i], my = p->mean_y[i];
        const double cs = (2 * (p->xy[i] - mx * my) + C2) / (p->xx[i] - mx * mx + p->yy[i] - my * my + C2);
        *contrast += cs / n;
        *likeness += cs * (2 * mx * my + C1) / (mx * mx + my * my + C1) / n;
    }
}

static double at(const double *plane, int width, int height, int x, int y)
{
    return x < 0 || y < 0 || x >= width || y >= height ? 0 : plane[y * width + x];
}

/* In place: what is written has been read. */
static void halve(double *plane, int width, int height)
{
    const int left = width % 2, top = height % 2, columns = (width + 2 * left) / 2, rows = (height + 2 * top) / 2;
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < columns; x++) {
            const int u = 2 * x - left, v = 2 * y - top;
            plane[y * columns + x] = (at(plane, width, height, u, v) + at(plane, width, height, u + 1, v) +
                                      at(plane, width, height, u, v + 1) + at(plane, width, height, u + 1, v + 1)) /
                                     4;
        }
}

static double above_zero(double x)
{
    return x > 0 ? x : 0;
}

/* width and height of p are those of the first scale, and again afterwards. */
static double channel_likeness(struct planes *p)
{
    const int width = p->width, height = p->height;
    double product = 1, likeness = 0, contrast = 0;
    for (int level = 0; level < MS_SSIM_LEVELS; level++) {
        measure(p, &likeness, &contrast);
        const bool last = level == MS_SSIM_LEVELS - 1;
        product *= pow(above_zero(last ? likeness : contrast), weights[level]);
        if (last) break;
        halve(p->x, p->width, p->height);
        halve(p->y, p->width, p->height);
        p->width = (p->width + 1) / 2;
        p->height = (p->height + 1) / 2;
    }
    p->width = width;
    p->height = height;
    return product;
}

static double pair_likeness(struct planes *p, const struct pixels *pixels, int64_t first, int64_t second)
{
    const int64_t n = (int64_t)p->width * p->height;
    const uint8_t *a = pixels->values + first * n * CHANNELS, *b = pixels->values + second * n * CHANNELS;
    double sum = 0;
    for (int c = 0; c < CHANNELS; c++) {
        for (int64_t i = 0; i < n; i++) {
            p->x[i] = a[i * CHANNELS + c];
            p->y[i] = b[i * CHANNELS + c];
        }
        sum += channel_likeness(p);
    }
    return sum / CHANNELS;
}

static enum status planes_create(struct planes *p, int width, int height, struct error *err)
{
    enum { PLANES = 9 };
    const size_t n = (size_t)width * (size_t)height, bytes = PLANES * n * sizeof(double);
    p->width = width;
    p->height = height;
    p->block = memory_alloc_raw(bytes);
    if (!p->block) return fail_no_memory(err, "two pictures to compare", bytes);
    double **const planes[PLANES] = {&p->x,      &p->y,  &p->squares, &p->narrow, &p->mean_x,
                                     &p->mean_y, &p->xx, &p->yy,      &p->xy};
    for (size_t i = 0; i < PLANES; i++) *planes[i] = p->block + i * n;
    return STATUS_OK;
}

static enum status check(const struct pixels *pixels, const struct ms_ssim_options *options, struct error *err)
{
    const char *name = pixels->name ? pixels->name : "the pictures";
    if (pixels->count < 2 || pixels->count > FEATURES_MAX_COUNT)
        return fail(err, STATUS_ARGUMENT, "%s: %lld of them; 2 to %d are needed", name, (long long)pixels->count,
                    FEATURES_MAX_COUNT);
    if (pixels->width < MS_SSIM_LEAST_SIDE || pixels->height < MS_SSIM_LEAST_SIDE)
        return fail(err, STATUS_ARGUMENT, "%s are %d x %d pixels; MS-SSIM needs %d each way", name, pixels->width,
                    pixels->height, MS_SSIM_LEAST_SIDE);
    if (options->pairs < 1)
        return fail(err, STATUS_ARGUMENT, "%lld pairs of pictures; at least 1 is needed", (long long)options->pairs);
    return STATUS_OK;
}

/* Two different pictures. */
static void draw_pair(struct rng *rng, int64_t count, int64_t *first, int64_t *second)
{
    *first = draw_up_to(rng, (uint32_t)(count - 1));
    *second = draw_up_to(rng, (uint32_t)(count - 2));
    *second += *second >= *first;
}

/* Leaves each picture out in turn, with the pairs that it is in; sums and counts are of a picture's pairs. */
static double jackknife(const double *sums, const int64_t *counts, int64_t n, double total, int64_t pairs)
{
    double mean = 0, squares = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < n; i++) {
            if (counts[i] == pairs) return NAN;
            const double left = (total - sums[i]) / (double)(pairs - counts[i]);
            if (pass == 0)
                mean += left / (double)n;
            else
                squares += (left - mean) * (left - mean);
        }
    return sqrt(squares * (double)(n - 1) / (double)n);
}

struct pairing {
    struct rng rng;
    int64_t count, pairs, first, second;
    bool all;
};

static void next_pair(struct pairing *p)
{
    if (!p->all) {
        draw_pair(&p->rng, p->count, &p->first, &p->second);
    } else if (++p->second == p->count) {
        p->first++;
        p->second = p->first + 1;
    }
}

static enum status measure_pairs(struct ms_ssim *out, const struct pixels *pixels, struct planes *planes,
                                 struct pairing *p, const struct measures_watch *watch, struct error *err)
{
    const size_t n = (size_t)pixels->count, bytes = n * (sizeof(double) + sizeof(int64_t));
    double *sums = memory_alloc(bytes), total = 0;
    if (!sums) return fail_no_memory(err, "likenesses of pictures", bytes);
    int64_t *counts = (int64_t *)(void *)(sums + n);
    enum status status = STATUS_OK;
    for (int64_t i = 0; i < p->pairs && status == STATUS_OK; i++) {
        next_pair(p);
        const double value = pair_likeness(planes, pixels, p->first, p->second);
        total += value;
        sums[p->first] += value;
        sums[p->second] += value;
        counts[p->first]++;
        counts[p->second]++;
        status = measures_step(watch, "MS-SSIM", i + 1, p->pairs, err);
    }
    if (status == STATUS_OK)
        *out = (struct ms_ssim){total / (double)p->pairs, jackknife(sums, counts, pixels->count, total, p->pairs),
                                p->pairs};
    memory_free(sums);
    return status;
}

enum status diversity_ms_ssim(struct ms_ssim *out, const struct pixels *pixels, const struct ms_ssim_options *options,
                              struct error *err)
{
    struct planes planes = {0};
    *out = (struct ms_ssim){.error = NAN};
    enum status status = check(pixels, options, err);
    if (status == STATUS_OK) status = planes_create(&planes, pixels->width, pixels->height, err);
    if (status == STATUS_OK) {
        const int64_t all = pixels->count * (pixels->count - 1) / 2;
        struct pairing pairing = {.count = pixels->count, .all = all <= options->pairs};
        pairing.pairs = pairing.all ? all : options->pairs;
        rng_init(&pairing.rng, RNG_MT19937, options->seed);
        status = measure_pairs(out, pixels, &planes, &pairing, options->watch, err);
    }
    memory_free(planes.block);
    return status;
}
