/* SPDX-License-Identifier: MIT
 *
 * Protocols: https://sw.kovidgoyal.net/kitty/graphics-protocol/ (raw RGB or RGBA in base64, at most 4096 bytes a
 * piece) and https://iterm2.com/documentation-images.html (a whole file in base64).
 */
#define _DEFAULT_SOURCE /* struct winsize */
#include "cli/show.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void put_base64(const uint8_t *bytes, size_t count)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < count; i += 3) {
        const unsigned second = i + 1 < count ? bytes[i + 1] : 0, third = i + 2 < count ? bytes[i + 2] : 0;
        const unsigned word = (unsigned)bytes[i] << 16 | second << 8 | third;
        putchar(digits[word >> 18]);
        putchar(digits[word >> 12 & 63]);
        putchar(i + 1 < count ? digits[word >> 6 & 63] : '=');
        putchar(i + 2 < count ? digits[word & 63] : '=');
    }
}

/* The picture's pixel as red, green, blue, alpha. */
static void get_pixel(const struct limn_image *image, int x, int y, uint8_t rgba[4])
{
    const uint8_t *p = image->pixels + ((size_t)y * (size_t)image->width + (size_t)x) * (size_t)image->channels;
    const bool grey = image->channels <= 2;
    rgba[0] = p[0];
    rgba[1] = grey ? p[0] : p[1];
    rgba[2] = grey ? p[0] : p[2];
    rgba[3] = image->channels == 4 ? p[3] : image->channels == 2 ? p[1] : 255;
}

static void show_kitty(const struct limn_image *image)
{
    enum { PIXELS_A_PIECE = 768 }; /* 768 * 4 bytes are 4096 in base64 */
    const size_t total = (size_t)image->width * (size_t)image->height;
    uint8_t piece[PIXELS_A_PIECE * 4];
    for (size_t first = 0; first < total; first += PIXELS_A_PIECE) {
        const size_t count = total - first < PIXELS_A_PIECE ? total - first : PIXELS_A_PIECE;
        for (size_t i = 0; i < count; i++) {
            const size_t at = first + i;
            get_pixel(image, (int)(at % (size_t)image->width), (int)(at / (size_t)image->width), piece + i * 4);
        }
        const int more = first + count < total;
        if (first == 0)
            printf("\033_Ga=T,f=32,s=%d,v=%d,q=2,m=%d;", image->width, image->height, more);
        else
            printf("\033_Gm=%d;", more);
        put_base64(piece, count * 4);
        fputs("\033\\", stdout);
    }
    putchar('\n');
}

static bool show_iterm(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    uint8_t block[3 * 1024];
    size_t count;
    fputs("\033]1337;File=inline=1:", stdout);
    while ((count = fread(block, 1, sizeof block, file)) > 0) put_base64(block, count);
    fputs("\a\n", stdout);
    fclose(file);
    return true;
}

/* Mean colour of a rectangle of the picture, over a black ground where it is transparent. */
static void mean_colour(const struct limn_image *image, int left, int right, int top, int bottom, unsigned rgb[3])
{
    unsigned long sum[3] = {0};
    if (right <= left) right = left + 1;
    if (bottom <= top) bottom = top + 1;
    for (int y = top; y < bottom; y++) {
        for (int x = left; x < right; x++) {
            uint8_t p[4];
            get_pixel(image, x, y, p);
            for (int c = 0; c < 3; c++) sum[c] += (unsigned long)p[c] * p[3] / 255;
        }
    }
    for (int c = 0; c < 3; c++)
        rgb[c] = (unsigned)(sum[c] / ((unsigned long)(right - left) * (unsigned long)(bottom - top)));
}

static void show_half_blocks(const struct limn_image *image)
{
    struct winsize window = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_col == 0) {
        window.ws_col = 80;
        window.ws_row = 40;
    }
    int columns = window.ws_col, rows = columns * image->height / image->width / 2;
    const int most_rows = window.ws_row > 4 ? window.ws_row - 3 : 1;
    if (rows > most_rows) {
        rows = most_rows;
        columns = 2 * rows * image->width / image->height;
    }
    if (columns > image->width) {
        columns = image->width;
        rows = (image->height + 1) / 2;
    }
    if (rows < 1) rows = 1;
    if (columns < 1) columns = 1;
    for (int row = 0; row < rows; row++) {
        const int top = 2 * row * image->height / (2 * rows), middle = (2 * row + 1) * image->height / (2 * rows);
        const int bottom = (2 * row + 2) * image->height / (2 * rows);
        for (int column = 0; column < columns; column++) {
            const int left = column * image->width / columns, right = (column + 1) * image->width / columns;
            unsigned upper[3], lower[3];
            mean_colour(image, left, right, top, middle, upper);
            mean_colour(image, left, right, middle < image->height ? middle : top, bottom, lower);
            printf("\033[38;2;%u;%u;%um\033[48;2;%u;%u;%um\u2580", upper[0], upper[1], upper[2], lower[0], lower[1],
                   lower[2]);
        }
        fputs("\033[0m\n", stdout);
    }
}

static bool variable_has(const char *name, const char *part)
{
    const char *value = getenv(name);
    return value && strstr(value, part);
}

void show_picture(const struct limn_image *image, const char *path)
{
    if (getenv("KITTY_WINDOW_ID") || variable_has("TERM", "kitty") || variable_has("TERM_PROGRAM", "ghostty"))
        show_kitty(image);
    else if (!(variable_has("TERM_PROGRAM", "iTerm") && show_iterm(path)))
        show_half_blocks(image);
    fflush(stdout);
}
