/* SPDX-License-Identifier: MIT */
#include "compare/distances.h"

#include "compare/linear.h"
#include "core/base/memory.h"

#include <assert.h>

/* A block has so many rows of a, and at most so many numbers; b comes in panels of at most so many numbers. */
enum { BLOCK_ROWS = 256, BLOCK_NUMBERS = 1 << 22, PANEL_ROWS = 512, PANEL_NUMBERS = 1 << 22 };

struct walk {
    const struct rows *a, *b;
    int64_t block_rows, panel_rows;
    double *left, *panel, *table; /* [block_rows, width], [panel_rows, width], [block_rows, b.count] */
    double *a_norms, *b_norms;    /* squared lengths */
};

struct rows rows_of_features(const struct features *features)
{
    return (struct rows){.values = features->values, .count = features->count, .width = features->width};
}

struct rows rows_of_pixels(const struct pixels *pixels)
{
    return (struct rows){
        .bytes = pixels->values, .count = pixels->count, .width = (int64_t)pixels->width * pixels->height * 3};
}

static double number(const struct rows *rows, int64_t i)
{
    return rows->values ? (double)rows->values[i] : rows->bytes[i];
}

static void copy_rows(const struct rows *rows, int64_t first, int64_t count, double *out)
{
    const int64_t from = first * rows->width, n = count * rows->width;
    for (int64_t i = 0; i < n; i++) out[i] = number(rows, from + i);
}

static void square_lengths(const struct rows *rows, double *out)
{
    for (int64_t i = 0; i < rows->count; i++) {
        out[i] = 0;
        for (int64_t j = 0; j < rows->width; j++) {
            const double x = number(rows, i * rows->width + j);
            out[i] += x * x;
        }
    }
}

static double difference(const double *x, const double *y, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (x[i] - y[i]) * (x[i] - y[i]);
    return sum;
}

/* table holds the block's inner products with the panel's rows, which become squared distances. */
static void to_distances(struct walk *w, int64_t first, int64_t count, int64_t panel, int64_t panel_count)
{
    const double cancelled = 1e-9; /* below this share of the lengths half of the digits are gone */
    const int64_t width = w->a->width, columns = w->b->count;
    for (int64_t i = 0; i < count; i++) {
        double *row = w->table + i * columns + panel;
        for (int64_t j = 0; j < panel_count; j++) {
            const double lengths = w->a_norms[first + i] + w->b_norms[panel + j];
            const double square = lengths - 2 * row[j];
            row[j] =
                square > cancelled * lengths ? square : difference(w->left + i * width, w->panel + j * width, width);
        }
    }
}

static void fill_block(struct walk *w, int64_t first, int64_t count, int64_t from, bool products)
{
    const int64_t columns = w->b->count, width = w->a->width;
    copy_rows(w->a, first, count, w->left);
    for (int64_t panel = from; panel < columns; panel += w->panel_rows) {
        const int64_t rest = columns - panel, panel_count = rest < w->panel_rows ? rest : w->panel_rows;
        copy_rows(w->b, panel, panel_count, w->panel);
        linear_products(w->left, w->panel, count, panel_count, width, w->table + panel, columns);
        if (!products) to_distances(w, first, count, panel, panel_count);
    }
}

static int64_t within(int64_t most, int64_t numbers, int64_t width)
{
    const int64_t fit = numbers / width;
    return fit < 1 ? 1 : fit < most ? fit : most;
}

static enum status allocate(struct walk *w, struct error *err)
{
    const int64_t width = w->a->width, columns = w->b->count;
    w->panel_rows = within(PANEL_ROWS, PANEL_NUMBERS, width);
    w->block_rows = within(BLOCK_ROWS, BLOCK_NUMBERS, columns > width ? columns : width);
    const int64_t numbers = w->block_rows * (width + columns) + w->panel_rows * width + w->a->count + columns;
    w->left = memory_alloc_raw((size_t)numbers * sizeof(double));
    if (!w->left) return fail_no_memory(err, "a block of distances", (size_t)numbers * sizeof(double));
    w->table = w->left + w->block_rows * width;
    w->panel = w->table + w->block_rows * columns;
    w->a_norms = w->panel + w->panel_rows * width;
    w->b_norms = w->a_norms + w->a->count;
    return STATUS_OK;
}

enum status rows_walk(const struct rows *a, const struct rows *b, const struct rows_visit *visit, struct error *err)
{
    assert(a->width == b->width && a->count > 0 && b->count > 0);
    struct walk w = {.a = a, .b = b};
    enum status status = allocate(&w, err);
    if (status == STATUS_OK && !visit->products) {
        square_lengths(a, w.a_norms);
        square_lengths(b, w.b_norms);
    }
    for (int64_t first = 0; first < a->count && status == STATUS_OK; first += w.block_rows) {
        const int64_t rest = a->count - first, count = rest < w.block_rows ? rest : w.block_rows;
        const int64_t from = visit->upper ? first : 0;
        fill_block(&w, first, count, from, visit->products);
        visit->block(visit->context, &(struct rows_block){w.table, first, count, from, b->count, w.a_norms, w.b_norms});
        status = measures_step(visit->watch, visit->what, first + count, a->count, err);
    }
    memory_free(w.left);
    return status;
}

/* ---- nearest ---- */

/* The smallest of a stream of values, smallest first. */
struct nearest {
    int wanted, count;
    double square[NEAREST_MAX];
};

static void nearest_add(struct nearest *nearest, double square)
{
    int at = nearest->count;
    if (at == nearest->wanted) {
        if (!(square < nearest->square[at - 1])) return;
        at--;
    } else {
        nearest->count++;
    }
    for (; at > 0 && nearest->square[at - 1] > square; at--) nearest->square[at] = nearest->square[at - 1];
    nearest->square[at] = square;
}

static void find_radii(void *context, const struct rows_block *block)
{
    const struct rows_radii *radii = context;
    const int most = radii->other && radii->other_k > radii->k ? radii->other_k : radii->k;
    for (int64_t i = 0; i < block->count; i++) {
        struct nearest nearest = {.wanted = most};
        const int64_t at = block->first + i;
        for (int64_t j = 0; j < block->columns; j++)
            if (j != at) nearest_add(&nearest, block->table[i * block->columns + j]);
        radii->out[at] = nearest.square[radii->k - 1];
        if (radii->other) radii->other[at] = nearest.square[radii->other_k - 1];
    }
}

enum status rows_find_radii(const struct rows *set, const struct rows_radii *radii, struct error *err)
{
    struct rows_radii mine = *radii;
    assert(radii->k >= 1 && radii->k <= NEAREST_MAX && set->count > radii->k);
    assert(!radii->other || (radii->other_k >= 1 && radii->other_k <= NEAREST_MAX && set->count > radii->other_k));
    const struct rows_visit visit = {
        .block = find_radii, .context = &mine, .watch = radii->watch, .what = "neighbours"};
    return rows_walk(set, set, &visit, err);
}
