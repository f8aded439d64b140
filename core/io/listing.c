/* SPDX-License-Identifier: MIT */
#define _XOPEN_SOURCE 700 /* strcasecmp */
#include "core/io/listing.h"

#include "core/base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool name_ends_with(const char *name, const char *ending)
{
    const size_t length = strlen(name), end = strlen(ending);
    return length > end && strcasecmp(name + length - end, ending) == 0;
}

bool name_is_of_picture(const char *name)
{
    static const char *const endings[] = {".png", ".jpg",  ".jpeg", ".webp", ".gif",  ".bmp",
                                          ".tif", ".tiff", ".avif", ".jxl",  ".heic", ".ppm"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (name_ends_with(name, endings[i])) return true;
    return false;
}

void names_clear(struct names *names)
{
    for (size_t i = 0; i < names->count; i++) memory_free(names->list[i]);
    memory_free(names->list);
    *names = (struct names){0};
}

static bool names_add(struct names *names, const char *name)
{
    if (names->count == names->capacity) {
        const size_t capacity = names->capacity ? 2 * names->capacity : 64;
        char **grown = memory_resize(names->list, capacity * sizeof *grown);
        if (!grown) return false;
        names->list = grown;
        names->capacity = capacity;
    }
    char *copy = memory_strdup(name);
    if (copy) names->list[names->count++] = copy;
    return copy != NULL;
}

int names_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum status folder_list(struct names *names, const char *path, struct error *err)
{
    *names = (struct names){0};
    DIR *folder = opendir(path);
    if (!folder) return fail(err, STATUS_IO, "%s: could not be opened: %s", path, strerror(errno));
    enum status status = STATUS_OK;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (!entry) {
            if (errno != 0) status = fail(err, STATUS_IO, "%s: could not be read: %s", path, strerror(errno));
            break;
        }
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, "__MACOSX") == 0) continue;
        if (names_add(names, entry->d_name)) continue;
        status = fail_no_memory(err, path, names->count);
        break;
    }
    closedir(folder);
    if (status == STATUS_OK && names->count > 0)
        qsort(names->list, names->count, sizeof *names->list, names_compare);
    else
        names_clear(names);
    return status;
}
