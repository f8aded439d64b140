/* SPDX-License-Identifier: MIT
 *
 * Repaints a disc in the middle of a picture. The mask is made in memory; outside the disc every pixel stays as it is.
 *
 *     sample_edit photo.png "a cat face" out.png [MODEL]
 */
#include "limn.h"

#include <stdio.h>
#include <stdlib.h>

/* One channel, white inside the disc. The caller frees the pixels. */
static struct limn_image make_disc(int width, int height)
{
    struct limn_image mask = {.width = width, .height = height, .channels = 1};
    mask.pixels = calloc((size_t)width, (size_t)height); /* library: the mask is the caller's own memory */
    const double radius = 0.3 * (width < height ? width : height);
    for (int y = 0; mask.pixels && y < height; y++) {
        for (int x = 0; x < width; x++) {
            const double dx = x - width / 2.0, dy = y - height / 2.0;
            if (dx * dx + dy * dy < radius * radius) mask.pixels[y * width + x] = 255;
        }
    }
    return mask;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: %s PICTURE PROMPT OUT.png [MODEL]\n", argv[0]);
        return 2;
    }
    struct limn_error error = {0};
    struct limn_model *model = NULL;
    struct limn_image photo = {0}, mask = {0};
    struct limn_picture picture = {0};
    int exit_status = EXIT_FAILURE;

    if (limn_image_read(&photo, argv[1], &error) != LIMN_OK) goto done;
    mask = make_disc(photo.width, photo.height);
    const struct limn_model_options options = {.path = argc > 4 ? argv[4] : NULL};
    const struct limn_request request = {
        .prompt = argv[2], .image = &photo, .mask = &mask, .mask_blur = 2, .strength = 0.9F, .seed = 7};

    if (limn_model_open(&model, &options, &error) != LIMN_OK) goto done;
    if (limn_paint(model, &request, &picture, &error) != LIMN_OK) goto done;
    if (limn_picture_write(&picture, argv[3], &error) != LIMN_OK) goto done;
    printf("%s\n", argv[3]);
    exit_status = EXIT_SUCCESS;

done:
    if (exit_status != EXIT_SUCCESS) fprintf(stderr, "%s\n", error.text);
    limn_picture_clear(&picture);
    limn_model_close(model);
    limn_image_clear(&photo);
    free(mask.pixels); /* library: see make_disc */
    return exit_status;
}
