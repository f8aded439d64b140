/* SPDX-License-Identifier: MIT */
#include "core/io/canvas.h"

#include "core/base/memory.h"
#include "core/io/lettering.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum status canvas_open(struct canvas *c, struct image *picture, struct error *err)
{
    assert(picture->channels == 3);
    const size_t bytes = (size_t)picture->width * (size_t)picture->height;
    *c = (struct canvas){.picture = picture, .right = picture->width, .bottom = picture->height};
    c->mask = memory_alloc(bytes);
    return c->mask ? STATUS_OK : fail_no_memory(err, "a drawing", bytes);
}

void canvas_close(struct canvas *c)
{
    memory_free(c->mask);
    *c = (struct canvas){0};
}

void canvas_clip(struct canvas *c, int left, int top, int right, int bottom)
{
    assert(left >= 0 && top >= 0 && right <= c->picture->width && bottom <= c->picture->height);
    c->left = left;
    c->top = top;
    c->right = right;
    c->bottom = bottom;
}

/* The distance of a point from the line's nearest point. */
static float distance(float x, float y, float x0, float y0, float x1, float y1)
{
    const float dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy;
    const float t = length > 0 ? ((x - x0) * dx + (y - y0) * dy) / length : 0;
    const float along = t < 0 ? 0 : t > 1 ? 1 : t;
    return hypotf(x - x0 - along * dx, y - y0 - along * dy);
}

static int limited(float value, int least, int most)
{
    return value < (float)least ? least : value > (float)most ? most : (int)value;
}

/* A pixel is covered as far as its middle lies within the stroke, from none to all over the width of a pixel. */
void canvas_line(struct canvas *c, float x0, float y0, float x1, float y1, float width)
{
    const float reach = width / 2 + 0.5f;
    const int left = limited(fminf(x0, x1) - reach, c->left, c->right);
    const int right = limited(fmaxf(x0, x1) + reach + 1, c->left, c->right);
    const int top = limited(fminf(y0, y1) - reach, c->top, c->bottom);
    const int bottom = limited(fmaxf(y0, y1) + reach + 1, c->top, c->bottom);
    for (int y = top; y < bottom; y++)
        for (int x = left; x < right; x++) {
            const float inside = reach - distance((float)x + 0.5f, (float)y + 0.5f, x0, y0, x1, y1);
            const uint8_t level = inside >= 1 ? 255 : inside > 0 ? (uint8_t)(inside * 255 + 0.5f) : 0;
            uint8_t *mask = &c->mask[(size_t)y * (size_t)c->picture->width + (size_t)x];
            if (level > *mask) *mask = level;
        }
}

void canvas_paint(struct canvas *c, uint32_t rgb, float opacity)
{
    const size_t count = (size_t)c->picture->width * (size_t)c->picture->height;
    for (size_t i = 0; i < count; i++) {
        if (c->mask[i] == 0) continue;
        uint8_t *pixel = c->picture->pixels + 3 * i;
        const float share = (float)c->mask[i] * (opacity / 255);
        for (int k = 0; k < 3; k++) {
            const float colour = (float)(rgb >> (16 - 8 * k) & 255), below = pixel[k];
            pixel[k] = (uint8_t)(below + (colour - below) * share + 0.5f);
        }
    }
    memset(c->mask, 0, count);
}

/* ---- text ---- */

float canvas_text_width(const char *text)
{
    return lettering_width(text, strlen(text), CANVAS_DIGIT_HEIGHT);
}

void canvas_text(struct canvas *c, float x, float y, enum canvas_place place, const char *text)
{
    x -= canvas_text_width(text) * (place == CANVAS_LEFT ? 0 : place == CANVAS_MIDDLE ? 0.5f : 1);
    lettering_draw(c, text, x, y, CANVAS_DIGIT_HEIGHT);
}
