/* SPDX-License-Identifier: MIT */
#include "compare/copying.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* A threshold without real pictures, and the least and the most one with them. Directions 0.1 apart have a cosine of
 * 0.995, 0.2 apart of 0.98. */
static const struct limits {
    double fixed, least, most;
} limits[] = {
    [COPYING_FEATURES] = {0.1, 0.02, 0.2},
    [COPYING_PIXELS] = {6, 2, 16},
};

/* From a squared distance of rows to the one that is spoken of. */
static double in_units(double square, enum copying_kind kind, int64_t width)
{
    return sqrt(kind == COPYING_PIXELS ? square / (double)width : square);
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of(const double *rising, int64_t n)
{
    return (rising[(n - 1) / 2] + rising[n / 2]) / 2;
}

/* ---- nearest of another set ---- */

struct search {
    bool leave_out; /* a row of the block is a row of the set (query_row), and not its own neighbour */
    int64_t set_count, queries;
    int64_t *nearest; /* may be NULL */
    double *square;
};

/* Row of the set that query i is. */
static int64_t query_row(int64_t i, int64_t queries, int64_t count)
{
    return i * count / queries;
}

static void search_block(void *context, const struct rows_block *block)
{
    const struct search *s = context;
    for (int64_t i = 0; i < block->count; i++) {
        const double *row = block->table + i * block->columns;
        const int64_t at = block->first + i;
        const int64_t self = s->leave_out ? query_row(at, s->queries, s->set_count) : -1;
        int64_t best = self == 0 ? 1 : 0;
        for (int64_t j = best + 1; j < block->columns; j++)
            if (row[j] < row[best] && j != self) best = j;
        s->square[at] = row[best];
        if (s->nearest) s->nearest[at] = best;
    }
}

/* ---- threshold ---- */

/* Rows spread evenly over the set, as a set of their own. */
static enum status pick_queries(struct rows *out, const struct rows *set, int64_t queries, struct arena *memory,
                                struct error *err)
{
    const size_t each = set->values ? sizeof(float) : 1, row = (size_t)set->width * each;
    unsigned char *copy = arena_alloc(memory, (size_t)queries * row);
    if (!copy) return fail_no_memory(err, "pictures to calibrate by", (size_t)queries * row);
    const unsigned char *from = set->values ? (const unsigned char *)set->values : set->bytes;
    for (int64_t i = 0; i < queries; i++) {
        const unsigned char *source = from + (size_t)query_row(i, queries, set->count) * row;
        for (size_t b = 0; b < row; b++) copy[(size_t)i * row + b] = source[b];
    }
    *out = (struct rows){.count = queries, .width = set->width};
    if (set->values)
        out->values = (const float *)(const void *)copy;
    else
        out->bytes = copy;
    return STATUS_OK;
}

static double clamp(double x, double least, double most)
{
    return x < least ? least : x > most ? most : x;
}

enum status copying_threshold(struct copying_threshold *out, const struct rows *real, enum copying_kind kind,
                              struct arena *memory, const struct measures_watch *watch, struct error *err)
{
    *out = (struct copying_threshold){.distance = limits[kind].fixed, .median = NAN};
    if (!real) return STATUS_OK;
    assert(real->count >= 2);
    const int64_t queries = real->count < COPYING_QUERIES ? real->count : COPYING_QUERIES;
    struct rows picked;
    enum status status = pick_queries(&picked, real, queries, memory, err);
    double *nearest = arena_alloc(memory, (size_t)queries * sizeof *nearest);
    if (status == STATUS_OK && !nearest)
        status = fail_no_memory(err, "distances of real pictures", (size_t)queries * sizeof *nearest);
    if (status != STATUS_OK) return status;
    struct search search = {.leave_out = true, .set_count = real->count, .queries = queries, .square = nearest};
    const struct rows_visit visit = {.block = search_block, .context = &search, .watch = watch, .what = "calibration"};
    status = rows_walk(&picked, real, &visit, err);
    if (status != STATUS_OK) return status;
    for (int64_t i = 0; i < queries; i++) nearest[i] = in_units(nearest[i], kind, real->width);
    qsort(nearest, (size_t)queries, sizeof *nearest, compare_doubles);
    const double at_share = nearest[(int64_t)floor(COPYING_SHARE * (double)(queries - 1))];
    *out = (struct copying_threshold){.distance = clamp(at_share, limits[kind].least, limits[kind].most),
                                      .calibrated = true,
                                      .median = median_of(nearest, queries),
                                      .nearest = nearest,
                                      .queries = queries};
    return STATUS_OK;
}

/* ---- duplicates ---- */

struct joining {
    double most; /* squared distance */
    int64_t *parent, pairs;
};

static int64_t root_of(int64_t *parent, int64_t i)
{
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
}

/* The smaller number becomes the root, so that a root is its group's first picture. */
static void join_block(void *context, const struct rows_block *block)
{
    struct joining *joining = context;
    for (int64_t i = 0; i < block->count; i++) {
        const int64_t at = block->first + i;
        for (int64_t j = at + 1; j < block->columns; j++) {
            if (block->table[i * block->columns + j] > joining->most) continue;
            const int64_t a = root_of(joining->parent, at), b = root_of(joining->parent, j);
            joining->parent[a > b ? a : b] = a < b ? a : b;
            joining->pairs++;
        }
    }
}

static void number_groups(struct duplicates *out, int64_t *parent, int64_t *sizes, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t root = root_of(parent, i);
        out->group[i] = root == i ? out->distinct++ : out->group[root];
        const int64_t size = ++sizes[out->group[i]];
        if (size > out->largest) out->largest = size;
    }
}

enum status copying_duplicates(struct duplicates *out, const struct rows *pictures, double distance,
                               enum copying_kind kind, struct arena *memory, const struct measures_watch *watch,
                               struct error *err)
{
    const int64_t n = pictures->count;
    const size_t bytes = (size_t)n * sizeof(int64_t);
    const double scale = kind == COPYING_PIXELS ? (double)pictures->width : 1;
    struct joining joining = {distance * distance * scale, arena_alloc(memory, bytes), 0};
    int64_t *sizes = arena_alloc(memory, bytes);
    *out = (struct duplicates){.group = arena_alloc(memory, bytes)};
    if (!joining.parent || !sizes || !out->group) return fail_no_memory(err, "groups of pictures", 3 * bytes);
    for (int64_t i = 0; i < n; i++) joining.parent[i] = i;
    const struct rows_visit visit = {
        .block = join_block, .context = &joining, .watch = watch, .what = "duplicates", .upper = true};
    const enum status status = rows_walk(pictures, pictures, &visit, err);
    if (status != STATUS_OK) return status;
    number_groups(out, joining.parent, sizes, n);
    const double pairs = (double)n * (double)(n - 1) / 2;
    out->pairs = joining.pairs;
    out->support_is_bound = joining.pairs == 0;
    out->support = pairs / (joining.pairs ? (double)joining.pairs : log(20));
    return STATUS_OK;
}

/* ---- copies ---- */

/* x [n] and y [m] rise. U counts the pairs in which x is the larger, ties as half. */
static double mann_whitney_z(const double *x, int64_t n, const double *y, int64_t m)
{
    double u = 0, ties = 0;
    for (int64_t i = 0, j = 0; i < n || j < m;) {
        const double value = j == m || (i < n && x[i] < y[j]) ? x[i] : y[j];
        int64_t of_x = 0, of_y = 0;
        while (i + of_x < n && x[i + of_x] <= value) of_x++;
        while (j + of_y < m && y[j + of_y] <= value) of_y++;
        const double t = (double)(of_x + of_y);
        u += (double)of_x * ((double)j + (double)of_y / 2);
        ties += t * t * t - t;
        i += of_x;
        j += of_y;
    }
    const double a = (double)n, b = (double)m, all = a + b;
    const double variance = a * b / 12 * (all + 1 - ties / (all * (all - 1)));
    return variance > 0 ? (u - a * b / 2) / sqrt(variance) : 0;
}

enum status copying_copies(struct copies *out, const struct rows *pictures, const struct rows *training,
                           const struct copying_threshold *threshold, enum copying_kind kind, struct arena *memory,
                           const struct measures_watch *watch, struct error *err)
{
    const int64_t n = pictures->count;
    const size_t bytes = (size_t)n * sizeof(double);
    *out = (struct copies){.nearest = arena_alloc(memory, (size_t)n * sizeof *out->nearest),
                           .distance = arena_alloc(memory, bytes),
                           .z = NAN};
    double *rising = arena_alloc(memory, bytes);
    if (!out->nearest || !out->distance || !rising) return fail_no_memory(err, "nearest training pictures", 3 * bytes);
    struct search search = {.nearest = out->nearest, .square = out->distance};
    const struct rows_visit visit = {.block = search_block, .context = &search, .watch = watch, .what = "memorisation"};
    const enum status status = rows_walk(pictures, training, &visit, err);
    if (status != STATUS_OK) return status;
    for (int64_t i = 0; i < n; i++) {
        rising[i] = out->distance[i] = in_units(out->distance[i], kind, pictures->width);
        out->copies += out->distance[i] <= threshold->distance;
    }
    qsort(rising, (size_t)n, sizeof *rising, compare_doubles);
    out->median = median_of(rising, n);
    if (threshold->nearest) out->z = mann_whitney_z(rising, n, threshold->nearest, threshold->queries);
    return STATUS_OK;
}
