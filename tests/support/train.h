/* SPDX-License-Identifier: MIT
 *
 * A small training for tests: twelve pictures with captions, a tiny VAE and a configuration of tiny networks.
 *
 *     train_set_up(&scratch);                                 opens it and fills it
 *     struct outcome o = train_run(&scratch, "--out m.safetensors --steps 4");
 *     ... TRAIN_COMMAND is what it puts before the words ...
 */
#ifndef SUPPORT_TRAIN_H
#define SUPPORT_TRAIN_H

#include "tests/support/command.h"
#include "tests/support/scratch.h"

#define TRAIN_DIFFUSION                                                                                                \
    "train diffusion --data pictures --vae vae.safetensors --config tiny.json --size 16 --threads 2 --json "

/* For train_on_machines: two on this one. */
#define TRAIN_TWO "-n 2 " BUILD_DIR "/limn "

enum { TRAIN_PICTURES = 12 };

void train_set_up(struct scratch *s);
/* Runs limn, asserted to end with that status; the sentences that it writes hold both words, or, if the first is NULL,
 * there are none. */
void train_said(struct scratch *s, const char *words, int status, const char *first, const char *second);
struct outcome train_run(struct scratch *s, const char *words);
/* mpirun with these words, "-n 2 .../limn train ...", asserted to end with that status and to have written that; one
 * that does not end is killed. Skips the test where it cannot be done. */
void train_on_machines(struct scratch *s, const char *words, int status, const char *said);

#endif
