/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "tests/support/pictures.h"

#include "core/io/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static struct image blank(int side)
{
    struct error err = {0};
    struct image image = {0};
    if (image_create(&image, side, side, 3, &err) != STATUS_OK) fail_msg("%s", err.text);
    return image;
}

static void save(struct image *image, const char *folder, int number)
{
    struct error err = {0};
    char path[1024];
    snprintf(path, sizeof path, "%s/%03d.png", folder, number);
    if (image_write(image, path, NULL, &err) != STATUS_OK) fail_msg("%s", err.text);
    image_clear(image);
}

/* One disc or box on a plain ground. */
static void draw(struct image *image, uint32_t seed)
{
    uint32_t state = seed * 2654435761u;
    uint8_t ground[3], colour[3];
    for (int i = 0; i < 4; i++) next(&state);
    for (int c = 0; c < 3; c++) ground[c] = (uint8_t)(next(&state) & 255);
    for (int c = 0; c < 3; c++) colour[c] = (uint8_t)(next(&state) & 255);
    const int side = image->width, radius = side / 8 + (int)(next(&state) % (uint32_t)(side / 4));
    const int x0 = (int)(next(&state) % (uint32_t)side), y0 = (int)(next(&state) % (uint32_t)side);
    const bool disc = next(&state) & 1;
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            const int dx = x - x0, dy = y - y0;
            const bool within = disc ? dx * dx + dy * dy <= radius * radius
                                     : dx <= radius && -dx <= radius && dy <= radius && -dy <= radius;
            memcpy(image->pixels + 3 * (y * side + x), within ? colour : ground, 3);
        }
}

void pictures_drawn(const char *folder, int count, uint32_t seed, int side)
{
    mkdir(folder, 0777);
    for (int i = 0; i < count; i++) {
        struct image image = blank(side);
        draw(&image, seed + (uint32_t)i);
        save(&image, folder, i);
    }
}

void pictures_repeated(const char *folder, int count, uint32_t seed, int side)
{
    mkdir(folder, 0777);
    for (int i = 0; i < count; i++) {
        struct image image = blank(side);
        draw(&image, seed);
        save(&image, folder, i);
    }
}

void pictures_noise(const char *folder, int count, int side)
{
    uint32_t state = 1;
    mkdir(folder, 0777);
    for (int i = 0; i < count; i++) {
        struct image image = blank(side);
        for (int k = 0; k < side * side * 3; k++) image.pixels[k] = (uint8_t)(next(&state) & 255);
        save(&image, folder, i);
    }
}
