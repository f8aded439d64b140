/* SPDX-License-Identifier: MIT
 *
 * Runs the built program in a folder and says what came of it.
 *
 *     struct outcome o = command_run(folder, "generate 'a red apple' --steps 2", NULL);
 *     assert_int_equal(o.status, 0);
 *     outcome_clear(&o);
 */
#ifndef SUPPORT_COMMAND_H
#define SUPPORT_COMMAND_H

struct outcome {
    int status;      /* exit status; -1 if a signal ended it */
    char *out, *err; /* what it wrote; owned */
};

struct command_limits {
    long file_bytes;     /* no file may become longer: a disk that is full; 0: no limit */
    const char *program; /* "sample_edit"; NULL: "limn" */
    const char *output;  /* file that becomes its standard output ("/dev/full"); NULL: it is kept in `out` */
};

/* words: separated by blanks; single quotes keep blanks. limits may be NULL. The program is limn itself, unless
 * limits names another that was built. */
struct outcome command_run(const char *folder, const char *words, const struct command_limits *limits);
void outcome_clear(struct outcome *outcome);

/* Starts it with its standard output in a pipe and leaves it running. */
struct running {
    int process, output; /* ids of the process and of the pipe's reading end */
};
struct running command_start(const char *folder, const char *words);

#endif
