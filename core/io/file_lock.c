/* SPDX-License-Identifier: MIT
 *
 * Whoever has the lock takes the file away at the end. So it may happen that a process opens the file, waits its turn
 * and then holds the lock of a file that nobody will find any more: it looks whether the name still leads to the file
 * that it has locked, and tries again if not.
 */
#define _DEFAULT_SOURCE /* flock */
#include "core/io/file_lock.h"

#include "core/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 100 };

static bool is_still_there(int fd, const char *path)
{
    struct stat mine, there;
    return fstat(fd, &mine) == 0 && stat(path, &there) == 0 && mine.st_dev == there.st_dev &&
           mine.st_ino == there.st_ino;
}

static enum status refuse(const char *path, int why, struct error *err)
{
    if (why == EWOULDBLOCK)
        return fail(err, STATUS_IO, "%s: another process has locked it and works on the same; wait until it ends",
                    path);
    const bool unknown = why == ENOLCK || why == EOPNOTSUPP || why == ENOSYS;
    return fail(err, unknown ? STATUS_UNSUPPORTED : STATUS_IO, "%s: could not be locked: %s", path, strerror(why));
}

enum status file_lock_take(struct file_lock *lock, const char *path, struct error *err)
{
    *lock = FILE_LOCK_NONE;
    for (int i = 0; i < TRIES; i++) {
        const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
        if (fd < 0) return fail(err, STATUS_IO, "%s: could not be opened: %s", path, strerror(errno));
        const int why = flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
        if (why == 0 && is_still_there(fd, path)) {
            lock->fd = fd;
            lock->path = memory_strdup(path);
            if (lock->path) return STATUS_OK;
            file_lock_release(lock);
            return fail_no_memory(err, "a file name", strlen(path));
        }
        close(fd);
        if (why != 0) return refuse(path, why, err);
    }
    return refuse(path, EWOULDBLOCK, err);
}

void file_lock_release(struct file_lock *lock)
{
    if (lock->path) unlink(lock->path);
    if (lock->fd >= 0) close(lock->fd);
    memory_free(lock->path);
    *lock = FILE_LOCK_NONE;
}
