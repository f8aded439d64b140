/* SPDX-License-Identifier: MIT
 *
 * Three variations of a picture, each further from it, with progress on the terminal; stops after a number of seconds.
 *
 *     sample_vary photo.png SECONDS PREFIX [MODEL]        PREFIX-1.png, PREFIX-2.png, PREFIX-3.png
 */
#include "limn.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void show_progress(void *context, const struct limn_progress *progress)
{
    (void)context;
    if (progress->stage == LIMN_STAGE_STEP) fprintf(stderr, "\rstep %d of %d ", progress->done, progress->total);
}

static int is_late(void *context)
{
    const time_t *deadline = context;
    return time(NULL) > *deadline;
}

static void show_note(void *context, const char *sentence)
{
    (void)context;
    fprintf(stderr, "note: %s\n", sentence);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: %s PICTURE SECONDS PREFIX [MODEL]\n", argv[0]);
        return 2;
    }
    time_t deadline = time(NULL) + strtol(argv[2], NULL, 10);
    const struct limn_watch watch = {
        .context = &deadline, .progress = show_progress, .cancelled = is_late, .note = show_note};
    struct limn_error error = {0};
    struct limn_model *model = NULL;
    struct limn_image photo = {0};
    struct limn_picture picture = {0};
    int exit_status = EXIT_FAILURE;

    if (limn_image_read(&photo, argv[1], &error) != LIMN_OK) goto done;
    const struct limn_model_options options = {.path = argc > 4 ? argv[4] : NULL, .watch = &watch};
    if (limn_model_open(&model, &options, &error) != LIMN_OK) goto done;
    for (int i = 1; i <= 3; i++) {
        char path[1024];
        const struct limn_request request = {
            .image = &photo, .steps = 12, .strength = 0.25F * (float)i, .seed = 11, .watch = &watch};
        if (limn_paint(model, &request, &picture, &error) != LIMN_OK) goto done;
        snprintf(path, sizeof path, "%s-%d.png", argv[3], i);
        if (limn_picture_write(&picture, path, &error) != LIMN_OK) goto done;
        printf("%s\n", path);
        limn_picture_clear(&picture);
    }
    exit_status = EXIT_SUCCESS;

done:
    if (exit_status != EXIT_SUCCESS) fprintf(stderr, "%s\n", error.text);
    limn_picture_clear(&picture);
    limn_model_close(model);
    limn_image_clear(&photo);
    return exit_status;
}
