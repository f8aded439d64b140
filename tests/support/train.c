/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* setenv, memmem */
#include "tests/support/train.h"

#include "core/base/memory.h"
#include "core/io/image.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

static const char config[] = "{\"training\": {\"batch\": 4, \"learning_rate\": 0.01, \"warm_up\": 2},"
                             " \"unet\": {\"channels\": 8, \"multipliers\": [1, 2], \"attention\": [1],"
                             " \"head_channels\": 8, \"groups\": 4},"
                             " \"text\": {\"width\": 16, \"heads\": 2, \"layers\": 1, \"length\": 8, \"merges\": 20}}";

/* A square of one of three colours in one of four places. */
static void write_picture(struct scratch *s, int number)
{
    static const char *const colours[] = {"red", "green", "blue"}, *const places[] = {"left", "right", "top", "bottom"};
    static const int corners[4][2] = {{2, 8}, {16, 8}, {8, 2}, {8, 16}};
    struct error err = {0};
    struct image picture = {0};
    char name[64], caption[64];
    assert_int_equal(image_create(&picture, 24, 24, 3, &err), STATUS_OK);
    memset(picture.pixels, 255, (size_t)24 * 24 * 3);
    for (int y = 0; y < 6; y++)
        for (int x = 0; x < 6; x++) {
            uint8_t *pixel = picture.pixels + 3 * ((corners[number / 3][1] + y) * 24 + corners[number / 3][0] + x);
            for (int c = 0; c < 3; c++) pixel[c] = c == number % 3 ? 230 : 20;
        }
    snprintf(name, sizeof name, "pictures/%02d.png", number);
    if (image_write(&picture, scratch_path(s, name), NULL, &err) != STATUS_OK) fail_msg("%s", err.text);
    image_clear(&picture);
    snprintf(name, sizeof name, "pictures/%02d.txt", number);
    snprintf(caption, sizeof caption, "a %s square\n%s %s\n", colours[number % 3], colours[number % 3],
             places[number / 3]);
    file_save(scratch_path(s, name), caption, strlen(caption));
}

void train_set_up(struct scratch *s)
{
    char vae[TINY_PATH_BYTES];
    scratch_open(s);
    for (int i = 0; i < TRAIN_PICTURES; i++) write_picture(s, i);
    file_save(scratch_path(s, "tiny.json"), config, sizeof config - 1);
    tiny_write(vae, TINY_PACK);
    assert_int_equal(rename(vae, scratch_path(s, "vae.safetensors")), 0);
}

struct outcome train_run(struct scratch *s, const char *words)
{
    char line[1024];
    snprintf(line, sizeof line, TRAIN_DIFFUSION "%s", words);
    return command_run(s->folder, line, NULL);
}

void train_said(struct scratch *s, const char *words, int status, const char *first, const char *second)
{
    struct outcome o = command_run(s->folder, words, NULL);
    const bool good = first ? strstr(o.err, first) && strstr(o.err, second) : o.err[0] == '\0';
    if (o.status != status || !good) fail_msg("%s: %d: %s", words, o.status, o.err);
    outcome_clear(&o);
}

static void skip_machines(const char *why)
{
    print_message("left out: %s\n", why);
    skip();
}

void train_on_machines(struct scratch *s, const char *words, int status, const char *said)
{
    char command[4096];
    size_t size;
    if (system("mpirun --version > /dev/null 2>&1") != 0) skip_machines("there is no mpirun here");
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    setenv("OMPI_MCA_rmaps_base_oversubscribe", "1", 1);
    setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 1); /* containers forbid the other */
    setenv("ASAN_OPTIONS", "detect_leaks=0", 0);                   /* MPI keeps what it has until the end */
    snprintf(command, sizeof command, "cd '%s' && timeout -k 5 120 mpirun %s > mpi.txt 2>&1 < /dev/null", s->folder,
             words);
    const int result = system(command);
    uint8_t *text = file_load(scratch_path(s, "mpi.txt"), &size);
    const bool without = size > 0 && memmem(text, size, "built without MPI", 17) != NULL;
    const bool good = WIFEXITED(result) && WEXITSTATUS(result) == status &&
                      (said[0] == '\0' || (size > 0 && memmem(text, size, said, strlen(said))));
    if (!without && !good) fail_msg("%d: %.*s", WEXITSTATUS(result), (int)size, (const char *)text);
    memory_free(text);
    if (without) skip_machines("limn was built without MPI");
}
