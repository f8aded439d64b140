/* SPDX-License-Identifier: MIT
 *
 * Paints every line of a file of prompts, line i with seed i, and puts the pictures on one sheet, row by row:
 *
 *     sample_contact_sheet prompts.txt COLUMNS SCALE sheet.png [MODEL]      each pixel SCALE x SCALE
 */
#include "limn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PROMPTS = 256, PROMPT_BYTES = 512, GAP = 2 };

struct sheet {
    struct limn_image image; /* its pixels are this program's own */
    int columns, rows, scale;
};

/* The first picture decides how large the sheet is. White between the pictures. */
static int make_sheet(struct sheet *s, const struct limn_image *tile)
{
    if (s->image.pixels) return 1;
    s->image.width = s->columns * (tile->width * s->scale + GAP) + GAP;
    s->image.height = s->rows * (tile->height * s->scale + GAP) + GAP;
    s->image.channels = 3;
    const size_t bytes = (size_t)s->image.width * (size_t)s->image.height * 3;
    s->image.pixels = malloc(bytes); /* library: a program outside the house */
    if (s->image.pixels) memset(s->image.pixels, 255, bytes);
    return s->image.pixels != NULL;
}

static void put(struct sheet *s, const struct limn_image *tile, int i)
{
    const int left = GAP + i % s->columns * (tile->width * s->scale + GAP);
    const int top = GAP + i / s->columns * (tile->height * s->scale + GAP);
    for (int y = 0; y < tile->height * s->scale; y++)
        for (int x = 0; x < tile->width * s->scale; x++)
            memcpy(s->image.pixels + 3 * ((size_t)(top + y) * (size_t)s->image.width + (size_t)(left + x)),
                   tile->pixels + 3 * ((size_t)(y / s->scale) * (size_t)tile->width + (size_t)(x / s->scale)), 3);
}

static int read_prompts(const char *path, char prompts[MOST_PROMPTS][PROMPT_BYTES])
{
    FILE *file = fopen(path, "r");
    int count = 0;
    while (file && count < MOST_PROMPTS && fgets(prompts[count], PROMPT_BYTES, file)) {
        prompts[count][strcspn(prompts[count], "\r\n")] = '\0';
        if (prompts[count][0] != '\0') count++;
    }
    if (file) fclose(file);
    return count;
}

int main(int argc, char **argv)
{
    static char prompts[MOST_PROMPTS][PROMPT_BYTES];
    struct sheet sheet = {.columns = argc > 4 ? atoi(argv[2]) : 0, .scale = argc > 4 ? atoi(argv[3]) : 0};
    const int count = argc > 4 ? read_prompts(argv[1], prompts) : 0;
    if (count < 1 || sheet.columns < 1 || sheet.scale < 1 || sheet.scale > 16) {
        fprintf(stderr, "usage: %s PROMPTS.txt COLUMNS SCALE SHEET.png [MODEL]\n", argv[0]);
        return 2;
    }
    sheet.rows = (count + sheet.columns - 1) / sheet.columns;
    struct limn_error error = {0};
    struct limn_model *model = NULL;
    const struct limn_model_options options = {.path = argc > 5 ? argv[5] : NULL};
    enum limn_status status = limn_model_open(&model, &options, &error);
    for (int i = 0; i < count && status == LIMN_OK; i++) {
        struct limn_picture picture = {0};
        const struct limn_request request = {.prompt = prompts[i], .seed = (uint64_t)i + 1};
        status = limn_paint(model, &request, &picture, &error);
        if (status == LIMN_OK && make_sheet(&sheet, &picture.image)) put(&sheet, &picture.image, i);
        limn_picture_clear(&picture);
    }
    if (status == LIMN_OK && sheet.image.pixels) status = limn_image_write(&sheet.image, argv[4], &error);
    if (status != LIMN_OK) fprintf(stderr, "%s\n", error.text);
    free(sheet.image.pixels); /* library: as above */
    limn_model_close(model);
    return status == LIMN_OK && sheet.image.pixels ? 0 : 1;
}
