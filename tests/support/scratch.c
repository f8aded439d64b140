/* SPDX-License-Identifier: MIT */
#define _XOPEN_SOURCE 700 /* nftw */
#include "tests/support/scratch.h"

#include "core/base/memory.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

void scratch_open(struct scratch *s)
{
    const char *place = getenv("TMPDIR");
    *s = (struct scratch){0};
    for (int i = 0; i < 1000; i++) {
        snprintf(s->folder, sizeof s->folder, "%s/limn-test-%ld-%d", place && *place ? place : "/tmp", (long)getpid(),
                 i);
        if (mkdir(s->folder, 0777) == 0) return;
        if (errno != EEXIST) break;
    }
    fail_msg("%s: %s", s->folder, strerror(errno));
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info;
    (void)type;
    (void)place;
    return remove(path);
}

void scratch_close(struct scratch *s)
{
    if (nftw(s->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0) fail_msg("%s: %s", s->folder, strerror(errno));
}

const char *scratch_path(struct scratch *s, const char *name)
{
    char *path = s->paths[s->next++ % SCRATCH_PATHS];
    memcpy(path, s->folder, sizeof s->folder);
    snprintf(path + strlen(path), sizeof s->paths[0] - sizeof s->folder, "/%s", name);
    for (char *slash = path + strlen(s->folder) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST) fail_msg("%s: %s", path, strerror(errno));
        *slash = '/';
    }
    return path;
}

static int found; /* nftw passes no context */

static int count_one(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)path;
    (void)info;
    (void)type;
    found += place->level > 0;
    return 0;
}

int scratch_files(struct scratch *s)
{
    found = 0;
    if (nftw(s->folder, count_one, 8, FTW_PHYS) != 0) fail_msg("%s: %s", s->folder, strerror(errno));
    return found;
}

uint8_t *file_load(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("%s: %s", path, strerror(errno));
    struct stat info;
    assert_int_equal(fstat(fileno(file), &info), 0);
    *size = (size_t)info.st_size;
    uint8_t *bytes = memory_alloc(*size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

void file_save(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (!file) fail_msg("%s: %s", path, strerror(errno));
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}
