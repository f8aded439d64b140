/* SPDX-License-Identifier: MIT */
#include "core/io/sheet.h"

#include "core/io/image_ops.h"

#include <assert.h>
#include <string.h>

enum { SHOWN_SIDE = 96 }; /* small pictures are shown up to about this size */

struct grid {
    int columns, rows;
    int width, height; /* of a picture */
    int scale, gap;
    int64_t cell_width, cell_height; /* picture and gap */
};

/* For pictures up to this size. */
static struct grid grid_for(int picture_width, int picture_height, int count, int columns)
{
    struct grid g = {.columns = columns, .width = picture_width, .height = picture_height};
    while (g.columns == 0 || (columns == 0 && g.columns * g.columns < count)) g.columns++;
    g.rows = (count + g.columns - 1) / g.columns;
    const int side = g.width > g.height ? g.width : g.height, margin = side / 32;
    g.scale = side < SHOWN_SIDE ? SHOWN_SIDE / side : 1;
    g.gap = margin < 4 ? 4 : margin > 16 ? 16 : margin;
    g.cell_width = (int64_t)g.width * g.scale + g.gap;
    g.cell_height = (int64_t)g.height * g.scale + g.gap;
    return g;
}

static enum status check_extent(const struct grid *g, struct error *err)
{
    const int64_t width = g->columns * g->cell_width + g->gap, height = g->rows * g->cell_height + g->gap;
    if (width <= IMAGE_MAX_SIDE && height <= IMAGE_MAX_SIDE) return STATUS_OK;
    return fail(err, STATUS_ARGUMENT, "a sheet of %lld x %lld pixels is too large; at most %d a side are allowed",
                (long long)width, (long long)height, IMAGE_MAX_SIDE);
}

enum status sheet_check(int width, int height, int count, int columns, struct error *err)
{
    assert(width >= 1 && height >= 1 && count >= 1 && columns >= 0);
    const struct grid g = grid_for(width, height, count, columns);
    return check_extent(&g, err);
}

/* Each pixel becomes a square of scale x scale. */
static void put(struct image *sheet, const struct image *picture, int left, int top, int scale)
{
    for (int y = 0; y < picture->height * scale; y++) {
        const uint8_t *from = picture->pixels + (size_t)(y / scale) * (size_t)picture->width * 3;
        uint8_t *to = sheet->pixels + ((size_t)(top + y) * (size_t)sheet->width + (size_t)left) * 3;
        for (int x = 0; x < picture->width * scale; x++) memcpy(to + 3 * (size_t)x, from + 3 * (size_t)(x / scale), 3);
    }
}

enum status sheet_draw(struct image *sheet, const struct image *pictures, int count, int columns, struct error *err)
{
    assert(count >= 1 && columns >= 0);
    int most_wide = 0, most_high = 0;
    for (int i = 0; i < count; i++) {
        if (pictures[i].width > most_wide) most_wide = pictures[i].width;
        if (pictures[i].height > most_high) most_high = pictures[i].height;
    }
    const struct grid g = grid_for(most_wide, most_high, count, columns);
    *sheet = (struct image){0};
    enum status status = check_extent(&g, err);
    if (status != STATUS_OK) return status;
    const int width = g.columns * (int)g.cell_width + g.gap, height = g.rows * (int)g.cell_height + g.gap;
    status = image_create(sheet, width, height, 3, err);
    if (status == STATUS_OK) memset(sheet->pixels, 255, (size_t)width * (size_t)height * 3);
    for (int i = 0; i < count && status == STATUS_OK; i++) {
        struct image rgb;
        status = image_to_rgb(&rgb, &pictures[i], err);
        if (status != STATUS_OK) break;
        const int left = g.gap + i % g.columns * (int)g.cell_width + (g.width - rgb.width) * g.scale / 2;
        const int top = g.gap + i / g.columns * (int)g.cell_height + (g.height - rgb.height) * g.scale / 2;
        put(sheet, &rgb, left, top, g.scale);
        image_clear(&rgb);
    }
    if (status != STATUS_OK) image_clear(sheet);
    return status;
}
