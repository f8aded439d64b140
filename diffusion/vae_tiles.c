/* SPDX-License-Identifier: MIT
 *
 * Along one axis tile i begins at s(i), and has a ramp r(i) that climbs from 0 to 1 over the overlap after s(i); r(0)
 * is 1 everywhere, and r of the tile after the last is 0. The weight of tile i is r(i) - r(i + 1):
 *
 *     tile 0   ############\
 *     tile 1            /########\
 *     tile 2                  /##########
 *
 * The sum telescopes to 1 wherever the tiles lie, and since all ramps have one slope no weight is negative. In two
 * dimensions weights multiply.
 */
#include "diffusion/vae_tiles.h"

#include "core/base/memory.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

/* One axis: `length` latent pixels in `count` tiles of `tile`. */
struct axis {
    int length, tile, overlap, count;
};

static struct axis axis_of(const struct vae_tiling *t, int length)
{
    assert(length >= 1 && t->overlap >= 1 && t->overlap < t->tile);
    struct axis axis = {
        .length = length, .tile = t->tile < length ? t->tile : length, .overlap = t->overlap, .count = 1};
    const int stride = t->tile - t->overlap;
    if (length > t->tile) axis.count = 1 + (length - t->tile + stride - 1) / stride;
    return axis;
}

/* Tiles are spread evenly, which never puts them further apart than tile - overlap. */
static int start_of(const struct axis *axis, int i)
{
    if (axis->count == 1) return 0;
    return (int)((long long)i * (axis->length - axis->tile) / (axis->count - 1));
}

/* r(i) at pixel p, where a latent pixel is `scale` pixels. */
static double ramp(const struct axis *axis, int i, int p, int scale)
{
    if (i == 0) return 1;
    if (i == axis->count) return 0;
    const double into = p - start_of(axis, i) * scale + 0.5;
    return fmin(fmax(into / (axis->overlap * scale), 0), 1);
}

static double weight(const struct axis *axis, int i, int p, int scale)
{
    return ramp(axis, i, p, scale) - ramp(axis, i + 1, p, scale);
}

int vae_tile_height(const struct vae_tiling *tiling)
{
    return axis_of(tiling, tiling->height).tile;
}

int vae_tile_width(const struct vae_tiling *tiling)
{
    return axis_of(tiling, tiling->width).tile;
}

int vae_tiles_count(const struct vae_tiling *tiling)
{
    return axis_of(tiling, tiling->height).count * axis_of(tiling, tiling->width).count;
}

/* A tile's place in the picture. */
struct place {
    struct axis rows, columns;
    int row, column; /* number of the tile */
};

static void cut(const struct place *at, struct vae_side side, const float *picture, float *tile)
{
    const size_t scale = (size_t)side.scale, channels = (size_t)side.channels;
    const size_t top = (size_t)start_of(&at->rows, at->row) * scale;
    const size_t left = (size_t)start_of(&at->columns, at->column) * scale;
    const size_t width = (size_t)at->columns.length * scale, run = (size_t)at->columns.tile * scale * channels;
    for (size_t y = 0; y < (size_t)at->rows.tile * scale; y++)
        memcpy(tile + y * run, picture + ((top + y) * width + left) * channels, run * sizeof *tile);
}

static void blend(const struct place *at, struct vae_side side, const float *tile, float *picture)
{
    const int top = start_of(&at->rows, at->row) * side.scale, left = start_of(&at->columns, at->column) * side.scale;
    const int width = at->columns.length * side.scale;
    for (int y = 0; y < at->rows.tile * side.scale; y++) {
        const double across = weight(&at->rows, at->row, top + y, side.scale);
        float *out = picture + ((size_t)(top + y) * (size_t)width + (size_t)left) * (size_t)side.channels;
        for (int x = 0; x < at->columns.tile * side.scale; x++) {
            const double w = across * weight(&at->columns, at->column, left + x, side.scale);
            for (int c = 0; c < side.channels; c++, out++, tile++) *out += (float)(w * (double)*tile);
        }
    }
}

static size_t values_of(int height, int width, struct vae_side side)
{
    return (size_t)height * (size_t)width * (size_t)side.scale * (size_t)side.scale * (size_t)side.channels;
}

enum status vae_tiles_run(const struct vae_tiling *tiling, const float *in, float *out,
                          enum status (*run)(void *context, const float *in, float *out, struct error *err),
                          void *context, struct error *err)
{
    struct place at = {.rows = axis_of(tiling, tiling->height), .columns = axis_of(tiling, tiling->width)};
    const size_t in_values = values_of(at.rows.tile, at.columns.tile, tiling->in);
    const size_t out_values = values_of(at.rows.tile, at.columns.tile, tiling->out);
    float *tile_in = memory_alloc_raw(in_values * sizeof *tile_in);
    float *tile_out = memory_alloc_raw(out_values * sizeof *tile_out);
    enum status status = STATUS_OK;
    if (tile_in == NULL || tile_out == NULL)
        status = fail_no_memory(err, "a tile", (in_values + out_values) * sizeof *tile_in);
    memset(out, 0, values_of(tiling->height, tiling->width, tiling->out) * sizeof *out);
    const int count = at.rows.count * at.columns.count;
    for (int i = 0; i < count && status == STATUS_OK; i++) {
        at.row = i / at.columns.count;
        at.column = i % at.columns.count;
        cut(&at, tiling->in, in, tile_in);
        status = run(context, tile_in, tile_out, err);
        if (status == STATUS_OK) blend(&at, tiling->out, tile_out, out);
    }
    memory_free(tile_out);
    memory_free(tile_in);
    return status;
}
