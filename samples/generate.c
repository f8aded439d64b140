/* SPDX-License-Identifier: MIT
 *
 * Paints a prompt with limn's C API and prints the settings that were used:
 *
 *     sample_generate "a red apple" apple.png [MODEL]
 */
#include "limn.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s PROMPT OUT.png [MODEL]\n", argv[0]);
        return 2;
    }
    struct limn_error error = {0};
    struct limn_model *model = NULL;
    struct limn_picture picture = {0};
    int exit_status = EXIT_FAILURE;

    /* Without a path, the pack that comes with limn is opened. Every field that is left out has its default. */
    const struct limn_model_options options = {.path = argc > 3 ? argv[3] : NULL};
    const struct limn_request request = {.prompt = argv[1], .seed = 42};

    if (limn_model_open(&model, &options, &error) != LIMN_OK) goto done;
    if (limn_paint(model, &request, &picture, &error) != LIMN_OK) goto done;
    if (limn_picture_write(&picture, argv[2], &error) != LIMN_OK) goto done;
    printf("%s: %d x %d pixels in %.1f s\n\n%s\n", argv[2], picture.image.width, picture.image.height, picture.seconds,
           picture.parameters);
    exit_status = EXIT_SUCCESS;

done:
    if (exit_status != EXIT_SUCCESS) fprintf(stderr, "%s\n", error.text);
    limn_picture_clear(&picture);
    limn_model_close(model);
    return exit_status;
}
