/* SPDX-License-Identifier: MIT
 *
 * The names in one folder.
 *
 *     struct names names;
 *     folder_list(&names, "photos", &err);
 *     names_clear(&names);
 */
#ifndef IO_LISTING_H
#define IO_LISTING_H

#include "core/base/status.h"

#include <stdbool.h>
#include <stddef.h>

struct names {
    char **list; /* owned, with the names */
    size_t count, capacity;
};

/* Sorted by their bytes, so that what is told comes in the same order everywhere. Hidden files, and those that
 * archivers of one kind of computer add, are left out. */
MUST_CHECK enum status folder_list(struct names *names, const char *path, struct error *err);
void names_clear(struct names *names);
int names_compare(const void *a, const void *b); /* of a list of names, for qsort */

/* Letters of either case; false for a name that is all ending. */
bool name_ends_with(const char *name, const char *ending);
/* Other kinds than PNG and JPEG are pictures too, so that they are told about rather than passed over. */
bool name_is_of_picture(const char *name);

#endif
