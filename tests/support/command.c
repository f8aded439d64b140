/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "tests/support/command.h"

#include "core/base/memory.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST_WORDS = 64 };

/* Cuts `text` into words in place; argv ends with NULL. */
static void split(char *text, char *argv[MOST_WORDS])
{
    int count = 1;
    for (char *from = text, *to = text; *from;) {
        while (*from == ' ') from++;
        if (!*from) break;
        assert_true(count < MOST_WORDS - 1);
        argv[count++] = to;
        bool quoted = false;
        for (; *from && (quoted || *from != ' '); from++) {
            if (*from == '\'')
                quoted = !quoted;
            else
                *to++ = *from;
        }
        if (*from) from++;
        *to++ = '\0';
    }
    argv[count] = NULL;
}

/* In the child. */
static void become(const char *folder, char *argv[], const struct command_limits *limits)
{
    if (limits && limits->file_bytes > 0) {
        const struct rlimit limit = {(rlim_t)limits->file_bytes, (rlim_t)limits->file_bytes};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    char program[1024];
    snprintf(program, sizeof program, "%s/%s", BUILD_DIR, limits && limits->program ? limits->program : "limn");
    argv[0] = program;
    setenv("LIMN_DEVICE", "cpu", 0); /* A machine's GPU paints nearly the same, and tests compare bytes. */
    if (chdir(folder) == 0) execv(program, argv);
    _exit(127);
}

static char *read_all(FILE *file)
{
    size_t size = 0, capacity = 1 << 16;
    char *text = memory_alloc(capacity);
    assert_non_null(text);
    rewind(file);
    for (size_t got; (got = fread(text + size, 1, capacity - size - 1, file)) > 0; text[size] = '\0') {
        size += got;
        if (capacity - size > 1) continue;
        text = memory_resize(text, capacity *= 2);
        assert_non_null(text);
    }
    fclose(file);
    return text;
}

struct outcome command_run(const char *folder, const char *words, const struct command_limits *limits)
{
    char *argv[MOST_WORDS], *text = memory_strdup(words);
    FILE *out = tmpfile(), *err = tmpfile();
    int status = 0;
    assert_true(text && out && err);
    split(text, argv);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        const int sink = limits && limits->output ? open(limits->output, O_WRONLY) : fileno(out);
        dup2(sink, STDOUT_FILENO);
        dup2(fileno(err), STDERR_FILENO);
        become(folder, argv, limits);
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    memory_free(text);
    return (struct outcome){
        .status = WIFEXITED(status) ? WEXITSTATUS(status) : -1, .out = read_all(out), .err = read_all(err)};
}

void outcome_clear(struct outcome *outcome)
{
    memory_free(outcome->out);
    memory_free(outcome->err);
    *outcome = (struct outcome){0};
}

struct running command_start(const char *folder, const char *words)
{
    char *argv[MOST_WORDS], *text = memory_strdup(words);
    int ends[2];
    assert_non_null(text);
    assert_int_equal(pipe(ends), 0);
    split(text, argv);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        become(folder, argv, NULL);
    }
    assert_true(child > 0);
    close(ends[1]);
    memory_free(text);
    return (struct running){.process = child, .output = ends[0]};
}
