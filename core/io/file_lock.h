/* SPDX-License-Identifier: MIT
 *
 * A lock that one process has at a time, for what must not be written by two. The system takes it back when the process
 * ends, however it ends; what a killed process leaves behind is an empty file that nobody has locked.
 *
 *     struct file_lock lock = FILE_LOCK_NONE;
 *     status = file_lock_take(&lock, "mine.lock", err);      STATUS_IO: another process has it
 *     file_lock_release(&lock);                              also of one that was never taken
 */
#ifndef IO_FILE_LOCK_H
#define IO_FILE_LOCK_H

#include "core/base/status.h"

struct file_lock {
    char *path; /* owned; NULL: nothing is locked */
    int fd;
};

#define FILE_LOCK_NONE ((struct file_lock){NULL, -1})

/* Does not wait. STATUS_UNSUPPORTED: the file system knows no locks. */
MUST_CHECK enum status file_lock_take(struct file_lock *lock, const char *path, struct error *err);
/* Takes the file away, too. */
void file_lock_release(struct file_lock *lock);

#endif
