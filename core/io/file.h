/* SPDX-License-Identifier: MIT
 *
 * Whole files: mapped to read, and written so that a file that is there afterwards is complete.
 *
 *     struct mapped_file file = {0};
 *     file_map(&file, "model.safetensors", &err);        file.bytes[0 .. file.size)
 *     file_unmap(&file);
 *
 * A mapping is as long as the file was when it was opened. Who shortens the file while it is in use takes the pages
 * away and the process gets SIGBUS; replacing a file by rename, as file_write does, is safe.
 */
#ifndef IO_FILE_H
#define IO_FILE_H

#include "core/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mapped_file {
    const unsigned char *bytes; /* owned; not NULL even if size is 0 */
    size_t size;
    void *base; /* of the mapping, NULL if there is none */
};

/* Regular files only: a folder, a pipe or a device is refused. */
MUST_CHECK enum status file_map(struct mapped_file *file, const char *path, struct error *err);
void file_unmap(struct mapped_file *file);

/* Lets the system drop the pages that lie wholly within bytes[0..size) of a mapping; they are read again if needed. */
void file_drop_pages(const void *bytes, size_t size);

/* Writes a temporary file beside `path`, syncs it, renames it and syncs the folder. On failure nothing is left behind
 * and what was at `path` before is still there; so too if the process is killed, where the file system knows files
 * without names (most of Linux's own do). */
MUST_CHECK enum status file_write(const char *path, const void *bytes, size_t size, struct error *err);

/* The same, piece by piece:
 *
 *     struct file_writer w;
 *     file_begin(&w, path, err), file_append(&w, bytes, size, err), ...
 *     file_finish(&w, status, err)                        always, even if file_begin failed
 *
 * Once something has failed, later calls do nothing and return what `err` holds. */
struct file_writer {
    char *path, *temporary; /* owned */
    int fd;                 /* -1: not open */
    bool nameless;          /* the file has no name yet, not even the temporary one */
    uint64_t size;          /* bytes so far */
};

MUST_CHECK enum status file_begin(struct file_writer *w, const char *path, struct error *err);
MUST_CHECK enum status file_append(struct file_writer *w, const void *bytes, size_t size, struct error *err);
/* With STATUS_OK the file comes into place, with any other status it is given up, and that status is returned. */
MUST_CHECK enum status file_finish(struct file_writer *w, enum status status, struct error *err);

#endif
