/* SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* madvise */
#include "core/io/file.h"

#include "core/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEMPORARY_NAMES = 1000 };

static const char *kind_of(mode_t mode)
{
    return S_ISDIR(mode)                    ? "a folder"
           : S_ISFIFO(mode)                 ? "a pipe"
           : S_ISCHR(mode) || S_ISBLK(mode) ? "a device"
                                            : "not a regular file";
}

static enum status map_descriptor(struct mapped_file *file, int fd, const char *path, struct error *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0) return fail(err, STATUS_IO, "%s: could not be examined: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode)) return fail(err, STATUS_IO, "%s: is %s; a file is needed", path, kind_of(info.st_mode));
    *file = (struct mapped_file){.bytes = (const unsigned char *)"", .size = (size_t)info.st_size};
    if (file->size == 0) return STATUS_OK;
    void *base = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (base == MAP_FAILED) {
        const size_t size = file->size;
        *file = (struct mapped_file){0};
        if (errno == ENOMEM) return fail_no_memory(err, path, size);
        return fail(err, STATUS_IO, "%s: could not be mapped: %s", path, strerror(errno));
    }
    file->base = base;
    file->bytes = base;
    return STATUS_OK;
}

enum status file_map(struct mapped_file *file, const char *path, struct error *err)
{
    *file = (struct mapped_file){0};
    /* O_NONBLOCK: opening a pipe nobody writes to must not wait; it means nothing for regular files. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return fail(err, STATUS_IO, "%s: could not be opened: %s", path, strerror(errno));
    const enum status status = map_descriptor(file, fd, path, err);
    close(fd);
    return status;
}

void file_unmap(struct mapped_file *file)
{
    if (file->base) munmap(file->base, file->size);
    *file = (struct mapped_file){0};
}

void file_drop_pages(const void *bytes, size_t size)
{
    const long page_size = sysconf(_SC_PAGESIZE);
    if (page_size <= 0) return;
    const uintptr_t page = (uintptr_t)page_size;
    const uintptr_t begin = ((uintptr_t)bytes + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)bytes + size) / page * page;
    if (begin < end) (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}

static enum status check_target(const char *path, struct error *err)
{
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return fail(err, STATUS_IO, "%s: is %s; the name of a file is needed", path, kind_of(info.st_mode));
    return STATUS_OK;
}

/* O_EXCL makes the name ours alone; 0666 leaves the permissions to the user's umask. The name says nothing of the
 * file's own, which may be as long as the file system allows. */
static int open_temporary(const char *path, char *name, size_t name_bytes)
{
    const char *slash = strrchr(path, '/');
    const int folder = slash ? (int)(slash + 1 - path) : 0;
    for (int i = 0; i < TEMPORARY_NAMES; i++) {
        snprintf(name, name_bytes, "%.*s.limn-%ld-%d.tmp", folder, path, (long)getpid(), i);
        const int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

static bool write_all(int fd, const unsigned char *bytes, size_t size)
{
    while (size > 0) {
        const ssize_t done = write(fd, bytes, size);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return false;
        bytes += done;
        size -= (size_t)done;
    }
    return true;
}

enum status file_write(const char *path, const void *bytes, size_t size, struct error *err)
{
    enum status status = check_target(path, err);
    if (status != STATUS_OK) return status;
    const size_t name_bytes = strlen(path) + 64;
    char *name = memory_alloc(name_bytes);
    if (!name) return fail_no_memory(err, "a file name", name_bytes);
    const int fd = open_temporary(path, name, name_bytes);
    if (fd < 0) {
        status = fail(err, STATUS_IO, "%s: could not be created: %s", path, strerror(errno));
        memory_free(name);
        return status;
    }
    bool good = write_all(fd, bytes, size) && fsync(fd) == 0;
    int cause = errno;
    if (close(fd) != 0 && good) {
        good = false;
        cause = errno;
    }
    if (good && rename(name, path) != 0) {
        good = false;
        cause = errno;
    }
    if (!good) {
        unlink(name);
        status = fail(err, STATUS_IO, "%s: could not be written: %s", path, strerror(cause));
    }
    memory_free(name);
    return status;
}
