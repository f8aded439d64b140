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

enum { TRAIN_PICTURES = 12 };

void train_set_up(struct scratch *s);
struct outcome train_run(struct scratch *s, const char *words);
/* Runs limn with all of these words on two machines; skips the test where that cannot be done. */
void train_on_two(struct scratch *s, const char *words);

#endif
