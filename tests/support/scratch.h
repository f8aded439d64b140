/* SPDX-License-Identifier: MIT
 *
 * A folder for a test's files, and whole files in memory. Anything that goes wrong fails the test.
 *
 *     struct scratch s;
 *     scratch_open(&s);
 *     image_write(&picture, scratch_path(&s, "out.png"), NULL, &err);
 *     scratch_close(&s);                                     removes the folder and all that is in it
 */
#ifndef SUPPORT_SCRATCH_H
#define SUPPORT_SCRATCH_H

#include <stddef.h>
#include <stdint.h>

enum { SCRATCH_PATHS = 8 };

struct scratch {
    char folder[256];
    char paths[SCRATCH_PATHS][512];
    int next;
};

void scratch_open(struct scratch *s);
void scratch_close(struct scratch *s);
/* Folder and name; valid for the next SCRATCH_PATHS - 1 calls. Folders in the name are made. */
const char *scratch_path(struct scratch *s, const char *name);
int scratch_files(struct scratch *s); /* how many files and folders there are */

/* A copy of a file, freed by memory_free. */
uint8_t *file_load(const char *path, size_t *size);
void file_save(const char *path, const void *bytes, size_t size);

#endif
