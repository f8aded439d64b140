/* SPDX-License-Identifier: MIT */
#include "core/io/plot.h"

#include "core/base/memory.h"
#include "core/io/canvas.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The frame that curves are drawn in. */
enum { LEFT = 72, TOP = 44, RIGHT = PLOT_WIDTH - 28, BOTTOM = PLOT_HEIGHT - 44 };

enum {
    SMOOTHING = 40, /* the running mean goes over this part of all values */
    LOG_SPAN = 10,  /* values that span more are shown on a logarithmic axis */
    MOST_TICKS = 8,
};

enum { GRID = 0xe7e9ec, FRAME = 0x9aa0a6, TEXT = 0x4a4f55 };

static const double most_value = 1e30; /* values beyond are left out, as those that are not numbers */

/* Okabe and Ito's colours, which those who see few colours can tell apart. */
static const uint32_t colours[PLOT_MOST_SERIES] = {0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7, 0xe69f00, 0x56b4e9};

/* A series as it is drawn: without what cannot be, values on the axis (their logarithms, if it is logarithmic). */
struct curve {
    double *x, *y, *mean; /* owned; one block, x */
    int64_t count;
};

struct axis {
    double low, high;
    bool is_log;
};

struct plot {
    struct canvas canvas;
    struct curve curves[PLOT_MOST_SERIES];
    int count;
    struct axis x, y;
};

static float place_x(const struct plot *p, double x)
{
    return (float)(LEFT + (x - p->x.low) / (p->x.high - p->x.low) * (RIGHT - LEFT));
}

static float place_y(const struct plot *p, double y)
{
    const double at = (y - p->y.low) / (p->y.high - p->y.low);
    return (float)(BOTTOM - fmin(fmax(at, -1), 2) * (BOTTOM - TOP));
}

/* ---- curves ---- */

static enum status curve_create(struct curve *curve, const struct plot_series *series, struct error *err)
{
    const size_t bytes = 3 * (size_t)(series->count + 1) * sizeof(double);
    curve->x = memory_alloc(bytes);
    if (!curve->x) return fail_no_memory(err, "a curve", bytes);
    curve->y = curve->x + series->count + 1;
    curve->mean = curve->y + series->count + 1;
    for (int64_t i = 0; i < series->count; i++) {
        if (!(fabs(series->value[i]) < most_value)) continue;
        curve->x[curve->count] = (double)series->step[i];
        curve->y[curve->count++] = series->value[i];
    }
    return STATUS_OK;
}

/* The mean of the values about each; at the ends, of those that there are. */
static void smooth(struct curve *curve)
{
    const int64_t reach = curve->count / SMOOTHING / 2 + (curve->count >= SMOOTHING);
    double sum = 0;
    int64_t first = 0, end = 0; /* what the sum goes over */
    for (int64_t i = 0; i < curve->count; i++) {
        while (end < curve->count && end <= i + reach) sum += curve->y[end++];
        while (first < i - reach) sum -= curve->y[first++];
        curve->mean[i] = sum / (double)(end - first);
    }
}

static int compare_numbers(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Widens low..high to all values but the outermost hundredth on either side: one wild value must not press all others
 * flat. */
static enum status widen(const struct curve *curve, double *low, double *high, struct error *err)
{
    if (curve->count == 0) return STATUS_OK;
    const size_t bytes = (size_t)curve->count * sizeof(double);
    double *sorted = memory_alloc(bytes);
    if (!sorted) return fail_no_memory(err, "a curve", bytes);
    memcpy(sorted, curve->y, bytes);
    qsort(sorted, (size_t)curve->count, sizeof *sorted, compare_numbers);
    *low = fmin(*low, sorted[curve->count / 100]);
    *high = fmax(*high, sorted[curve->count - 1 - curve->count / 100]);
    memory_free(sorted);
    return STATUS_OK;
}

/* ---- axes ---- */

static enum status measure(struct plot *p, struct error *err)
{
    double low = INFINITY, high = -INFINITY, first = INFINITY, last = -INFINITY;
    bool positive = true;
    for (int s = 0; s < p->count; s++) {
        const struct curve *curve = &p->curves[s];
        if (curve->count > 0) first = fmin(first, curve->x[0]);
        if (curve->count > 0) last = fmax(last, curve->x[curve->count - 1]);
        for (int64_t i = 0; i < curve->count; i++) positive = positive && curve->y[i] > 0;
        const enum status status = widen(curve, &low, &high, err);
        if (status != STATUS_OK) return status;
    }
    if (!(first <= last)) first = last = 0;
    if (first == last) last += fmax(1, 1e-9 * fabs(last)); /* so much that it makes a difference */
    if (!(low <= high)) low = 0, high = 1;
    p->x = (struct axis){first, last, false};
    p->y = (struct axis){low, high, positive && low > 0 && high > LOG_SPAN * low};
    return STATUS_OK;
}

/* Brings the values onto the vertical axis, and sees to it that their means have room there. */
static void fit(struct plot *p)
{
    double low = p->y.low, high = p->y.high;
    if (p->y.is_log) low = log10(low), high = log10(high);
    for (int s = 0; s < p->count; s++) {
        struct curve *curve = &p->curves[s];
        for (int64_t i = 0; p->y.is_log && i < curve->count; i++) curve->y[i] = log10(curve->y[i]);
        smooth(curve);
        for (int64_t i = 0; i < curve->count; i++) low = fmin(low, curve->mean[i]), high = fmax(high, curve->mean[i]);
    }
    const bool is_flat = high - low < fmax(1e-6 * fabs(high), 1e-30);
    const double margin = is_flat ? fmax(0.1 * fabs(high), 1e-6) : 0.06 * (high - low);
    p->y.low = low - margin;
    p->y.high = high + margin;
}

/* 1, 2 or 5 times a power of ten, such that there are at most MOST_TICKS of them. */
static double tick_distance(double span)
{
    static const double nice[] = {1, 2, 5};
    for (double power = pow(10, floor(log10(span / MOST_TICKS)));; power *= 10)
        for (size_t i = 0; i < 3; i++)
            if (span / (nice[i] * power) <= MOST_TICKS) return nice[i] * power;
}

/* Numbers as short as they can be told: 0.25, 20k, 1.5M, 1e-5. */
static void write_number(char text[32], double value, int digits)
{
    const double size = fabs(value);
    if (size >= 1e6)
        snprintf(text, 32, "%.*gM", digits, value / 1e6);
    else if (size >= 1e4)
        snprintf(text, 32, "%.*gk", digits, value / 1e3);
    else if (size >= 1e-4 || value == 0)
        snprintf(text, 32, "%.*g", digits, value);
    else
        snprintf(text, 32, "%.*ge-%d", digits, value * pow(10, ceil(-log10(size))), (int)ceil(-log10(size)));
}

/* A line through the frame and its number; at: on the axis, value: what it says. */
static void tick_y(struct plot *p, double at, double value, bool numbers)
{
    char text[32];
    const float y = floorf(place_y(p, at)) + 0.5f;
    if (at < p->y.low || at > p->y.high) return;
    write_number(text, value, 6);
    if (numbers)
        canvas_text(&p->canvas, LEFT - 10, y + CANVAS_DIGIT_HEIGHT / 2, CANVAS_RIGHT, text);
    else
        canvas_line(&p->canvas, LEFT, y, RIGHT, y, 1);
}

/* At 1, 2 and 5 times the powers of ten; over many of those, at the powers alone. */
static void ticks_log(struct plot *p, bool numbers)
{
    static const int all[] = {1, 2, 5};
    const size_t used = p->y.high - p->y.low > 2.5 ? 1 : 3;
    const int each = (int)fmax(1, ceil((p->y.high - p->y.low) / MOST_TICKS));
    for (int power = (int)floor(p->y.low / each) * each; power <= p->y.high; power += each)
        for (size_t i = 0; i < used; i++) tick_y(p, power + log10(all[i]), all[i] * pow(10, power), numbers);
}

static void tick_x(struct plot *p, double at, bool numbers)
{
    char text[32];
    const float x = floorf(place_x(p, at)) + 0.5f;
    if (at > p->x.high) return;
    write_number(text, at, 6);
    if (numbers)
        canvas_text(&p->canvas, x, BOTTOM + 12 + CANVAS_DIGIT_HEIGHT, CANVAS_MIDDLE, text);
    else
        canvas_line(&p->canvas, x, TOP, x, BOTTOM, 1);
}

/* numbers: the numbers, or the lines that go with them. */
static void ticks(struct plot *p, bool numbers)
{
    const double wide = fmax(tick_distance(p->x.high - p->x.low), 1), high = tick_distance(p->y.high - p->y.low);
    const double first_x = ceil(p->x.low / wide), first_y = ceil(p->y.low / high);
    for (int i = 0; i <= MOST_TICKS; i++) {
        tick_x(p, (first_x + i) * wide, numbers);
        if (!p->y.is_log) tick_y(p, (first_y + i) * high, (first_y + i) * high, numbers);
    }
    if (p->y.is_log) ticks_log(p, numbers);
}

static void draw_axes(struct plot *p)
{
    ticks(p, false);
    canvas_paint(&p->canvas, GRID, 1);
    canvas_line(&p->canvas, LEFT + 0.5f, TOP, LEFT + 0.5f, BOTTOM, 1);
    canvas_line(&p->canvas, LEFT, BOTTOM + 0.5f, RIGHT, BOTTOM + 0.5f, 1);
    canvas_paint(&p->canvas, FRAME, 1);
    ticks(p, true);
    canvas_text(&p->canvas, RIGHT, BOTTOM + 39, CANVAS_RIGHT, "step");
    canvas_paint(&p->canvas, TEXT, 1);
}

/* ---- drawing ---- */

/* The values as dots; few enough of them are larger. */
static void draw_dots(struct plot *p, const struct curve *curve, uint32_t colour)
{
    const float size = curve->count < 200 ? 3.5f : curve->count < 5000 ? 2.2f : 1.5f;
    for (int64_t i = 0; i < curve->count; i++) {
        const float x = place_x(p, curve->x[i]), y = place_y(p, curve->y[i]);
        canvas_line(&p->canvas, x, y, x, y, size);
    }
    canvas_paint(&p->canvas, colour, 0.25f);
}

/* Points that are closer than half a pixel make no difference. */
static void draw_mean(struct plot *p, const struct curve *curve, uint32_t colour)
{
    float x = 0, y = 0;
    for (int64_t i = 0; i < curve->count; i++) {
        const float to_x = place_x(p, curve->x[i]), to_y = place_y(p, curve->mean[i]);
        if (i > 0 && i + 1 < curve->count && to_x - x < 0.5f) continue;
        canvas_line(&p->canvas, i > 0 ? x : to_x, i > 0 ? y : to_y, to_x, to_y, 2);
        x = to_x;
        y = to_y;
    }
    canvas_paint(&p->canvas, colour, 1);
}

/* Names, colours and where each curve has come to, above the frame. */
static void draw_legend(struct plot *p, const struct plot_series *series)
{
    const float y = TOP - 16;
    float x = LEFT;
    for (int s = 0; s < p->count; s++) {
        const struct curve *curve = &p->curves[s];
        char number[32] = "", text[96];
        if (curve->count > 0) {
            const double last = curve->mean[curve->count - 1];
            write_number(number, p->y.is_log ? pow(10, last) : last, 4);
        }
        snprintf(text, sizeof text, "%.60s  %s", series[s].name ? series[s].name : "", number);
        canvas_line(&p->canvas, x + 1, y - 4, x + 19, y - 4, 3);
        canvas_paint(&p->canvas, colours[s], 1);
        canvas_text(&p->canvas, x + 28, y, CANVAS_LEFT, text);
        canvas_paint(&p->canvas, TEXT, 1);
        x += 28 + canvas_text_width(text) + 32;
    }
}

static void draw(struct plot *p, const struct plot_series *series)
{
    draw_axes(p);
    canvas_clip(&p->canvas, LEFT, TOP, RIGHT, BOTTOM);
    for (int s = 0; s < p->count; s++) draw_dots(p, &p->curves[s], colours[s]);
    for (int s = 0; s < p->count; s++) draw_mean(p, &p->curves[s], colours[s]);
    canvas_clip(&p->canvas, 0, 0, PLOT_WIDTH, PLOT_HEIGHT);
    draw_legend(p, series);
}

enum status plot_draw(struct image *picture, const struct plot_series *series, int count, struct error *err)
{
    assert(count >= 1 && count <= PLOT_MOST_SERIES);
    struct plot p = {.count = count};
    enum status status = image_create(picture, PLOT_WIDTH, PLOT_HEIGHT, 3, err);
    if (status == STATUS_OK) status = canvas_open(&p.canvas, picture, err);
    for (int s = 0; s < count && status == STATUS_OK; s++) status = curve_create(&p.curves[s], &series[s], err);
    if (status == STATUS_OK) status = measure(&p, err);
    if (status == STATUS_OK) {
        memset(picture->pixels, 255, (size_t)PLOT_WIDTH * PLOT_HEIGHT * 3);
        fit(&p);
        draw(&p, series);
    } else {
        image_clear(picture);
    }
    for (int s = 0; s < count; s++) memory_free(p.curves[s].x);
    canvas_close(&p.canvas);
    return status;
}
