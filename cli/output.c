/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* access, strcasecmp, O_CLOEXEC */
#include "cli/output.h"

#include "cli/options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LAST_DEFAULT = 999999 };

struct builder {
    char *text;
    size_t length;
    bool full;
    bool tells_apart; /* a number or a seed is in it */
};

static void put(struct builder *b, const char *text, size_t length)
{
    if (length >= OUTPUT_NAME_BYTES - b->length) {
        b->full = true;
        return;
    }
    memcpy(b->text + b->length, text, length);
    b->length += length;
    b->text[b->length] = '\0';
}

/* "%d", "%3d" or "%03d" at `text`: its length, and the field's width and fill; 0 if it is none of these. */
static size_t number_field(const char *text, int *width, char *fill)
{
    size_t at = 1;
    *fill = text[at] == '0' ? '0' : ' ';
    *width = 0;
    if (text[at] == '0') at++;
    if (text[at] >= '1' && text[at] <= '9') *width = text[at++] - '0';
    return text[at] == 'd' ? at + 1 : 0;
}

static void put_number(struct builder *b, uint64_t number, int width, char fill)
{
    char digits[24];
    const int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    for (int i = length; i < width; i++) put(b, &fill, 1);
    put(b, digits, (size_t)length);
    b->tells_apart = true;
}

/* False if a percent sign is followed by something that is not allowed. */
static bool expand(struct builder *b, const char *pattern, int number, uint64_t seed)
{
    for (const char *at = pattern; *at;) {
        int width;
        char fill;
        if (strncmp(at, "{seed}", 6) == 0) {
            put_number(b, seed, 0, ' ');
            at += 6;
        } else if (at[0] == '%' && at[1] == '%') {
            put(b, "%", 1);
            at += 2;
        } else if (at[0] == '%') {
            const size_t used = number_field(at, &width, &fill);
            if (used == 0) return false;
            put_number(b, (uint64_t)number, width, fill);
            at += used;
        } else {
            put(b, at++, 1);
        }
    }
    return true;
}

static bool has_picture_ending(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && (strcasecmp(dot, ".png") == 0 || strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0);
}

/* The folder that the file is to lie in must be there and be writable: better to know before the painting. */
static bool check_folder(const char *name)
{
    char folder[OUTPUT_NAME_BYTES];
    const char *slash = strrchr(name, '/');
    if (!slash)
        snprintf(folder, sizeof folder, ".");
    else
        snprintf(folder, sizeof folder, "%.*s", slash == name ? 1 : (int)(slash - name), name);
    if (access(folder, F_OK) != 0) {
        usage_error("--output %s: there is no folder '%s'", name, folder);
        return false;
    }
    if (access(folder, W_OK | X_OK) != 0) {
        usage_error("--output %s: the folder '%s' cannot be written to", name, folder);
        return false;
    }
    return true;
}

/* Else the painting would be for nothing, for a file is never renamed over a folder, a pipe or a device. */
static bool check_file(const char *name)
{
    struct stat info;
    errno = 0;
    if (stat(name, &info) == 0 && !S_ISREG(info.st_mode)) {
        usage_error("--output %s: %s is there already", name, S_ISDIR(info.st_mode) ? "a folder" : "what is no file");
        return false;
    }
    if (errno == ENAMETOOLONG) {
        usage_error("--output %s: the name is longer than the file system allows", name);
        return false;
    }
    return true;
}

/* The path of one picture of `count`. False: a sentence has been written. */
static bool put_together(char name[OUTPUT_NAME_BYTES], const char *pattern, int number, int count, uint64_t seed)
{
    struct builder b = {.text = name};
    bool ok = expand(&b, pattern, number, seed);
    if (ok && count > 1 && !b.tells_apart) {
        const char *dot = strrchr(pattern, '.');
        char numbered[OUTPUT_NAME_BYTES];
        const int length = snprintf(numbered, sizeof numbered, "%.*s-%%d%s", (int)(dot - pattern), pattern, dot);
        b = (struct builder){.text = name};
        if (length >= (int)sizeof numbered)
            b.full = true;
        else
            ok = expand(&b, numbered, number, seed);
    }
    if (!ok)
        usage_error("--output %s: after a percent sign, only %%d, %%03d (any one digit for 3) and %%%% are allowed",
                    pattern);
    else if (b.full)
        usage_error("--output: the path of picture %d is too long; at most %d bytes are allowed", number,
                    OUTPUT_NAME_BYTES - 1);
    return ok && !b.full;
}

bool output_check(const char *pattern, const struct seeds *seeds)
{
    if (!pattern) return check_folder("limn.png");
    if (!has_picture_ending(pattern)) {
        usage_error("--output %s: must end in .png, .jpg or .jpeg", pattern);
        return false;
    }
    for (int i = 0; i < seeds->count; i++) {
        char name[OUTPUT_NAME_BYTES] = "";
        if (!put_together(name, pattern, i + 1, seeds->count, seeds_at(seeds, i))) return false;
        if (!check_folder(name) || !check_file(name)) return false;
    }
    return true;
}

/* O_EXCL gives each name to one of the programs that look for a free one at the same time. */
static bool claim_default(char name[OUTPUT_NAME_BYTES], bool *claimed)
{
    for (int i = 1; i <= LAST_DEFAULT; i++) {
        snprintf(name, OUTPUT_NAME_BYTES, "limn-%04d.png", i);
        const int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno == EEXIST) continue;
        *claimed = fd >= 0;
        if (fd >= 0) close(fd);
        return true; /* Writing will say what is wrong if it could not be made. */
    }
    usage_error("limn-0001.png to limn-%d.png are all taken; say --output", LAST_DEFAULT);
    return false;
}

bool output_name(char name[OUTPUT_NAME_BYTES], const char *pattern, int number, int count, uint64_t seed, bool *claimed)
{
    *claimed = false;
    return pattern ? put_together(name, pattern, number, count, seed) : claim_default(name, claimed);
}
