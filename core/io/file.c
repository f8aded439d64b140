/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* madvise, O_TMPFILE */
#include "core/io/file.h"

#include "core/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEMPORARY_NAMES = 1000, NAME_ROOM = 64, LINK_BYTES = 64 };

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

/* How much of a path is its folder: up to and with the last slash, 0 for a bare name. */
static int folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (int)(slash + 1 - path) : 0;
}

/* The name says nothing of the file's own, which may be as long as the file system allows. */
static void set_temporary(struct file_writer *w, int number)
{
    snprintf(w->temporary, strlen(w->path) + NAME_ROOM, "%.*s.limn-%ld-%d.tmp", folder_length(w->path), w->path,
             (long)getpid(), number);
}

/* The name under which a file without one can be found. */
static void set_link(const struct file_writer *w, char link[LINK_BYTES])
{
    snprintf(link, LINK_BYTES, "/proc/self/fd/%d", w->fd);
}

/* A file without a name goes away with the process, even if that is killed. Not every file system has them. */
static void open_nameless(struct file_writer *w)
{
    char link[LINK_BYTES];
    snprintf(w->temporary, strlen(w->path) + NAME_ROOM, "%.*s.", folder_length(w->path), w->path);
    w->fd = open(w->temporary, O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666);
    if (w->fd < 0) return;
    set_link(w, link);
    w->nameless = access(link, F_OK) == 0;
    if (w->nameless) return;
    close(w->fd);
    w->fd = -1;
}

/* O_EXCL makes the name ours alone; 0666 leaves the permissions to the user's umask. */
static void open_temporary(struct file_writer *w)
{
    for (int i = 0; i < TEMPORARY_NAMES; i++) {
        set_temporary(w, i);
        w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (w->fd >= 0 || errno != EEXIST) return;
    }
}

/* A link does not replace what is there, as a rename does: so the file gets a temporary name first. */
static bool give_name(struct file_writer *w)
{
    char link[LINK_BYTES];
    set_link(w, link);
    for (int i = 0; w->nameless && i < TEMPORARY_NAMES; i++) {
        set_temporary(w, i);
        w->nameless = linkat(AT_FDCWD, link, AT_FDCWD, w->temporary, AT_SYMLINK_FOLLOW) != 0;
        if (w->nameless && errno != EEXIST) break;
    }
    return !w->nameless;
}

enum status file_begin(struct file_writer *w, const char *path, struct error *err)
{
    *w = (struct file_writer){.fd = -1};
    const enum status status = check_target(path, err);
    if (status != STATUS_OK) return status;
    const size_t name_bytes = strlen(path) + NAME_ROOM;
    w->path = memory_strdup(path);
    w->temporary = memory_alloc(name_bytes);
    if (!w->path || !w->temporary) return fail_no_memory(err, "a file name", name_bytes);
    open_nameless(w);
    if (w->fd < 0) open_temporary(w);
    return w->fd >= 0 ? STATUS_OK : fail(err, STATUS_IO, "%s: could not be created: %s", path, strerror(errno));
}

enum status file_append(struct file_writer *w, const void *bytes, size_t size, struct error *err)
{
    const unsigned char *from = bytes;
    if (err->status != STATUS_OK) return err->status;
    while (size > 0) {
        const ssize_t done = write(w->fd, from, size);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0)
            return fail(err, STATUS_IO, "%s: could not be written: %s", w->path, strerror(done < 0 ? errno : EIO));
        from += done;
        size -= (size_t)done;
        w->size += (uint64_t)done;
    }
    return STATUS_OK;
}

/* Makes the new name last through a power failure. The file is in place already, and not every file system can do this:
 * so that it cannot be done is no failure. */
static void sync_folder(char *path)
{
    path[folder_length(path)] = '\0';
    const int fd = open(path[0] ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    (void)fsync(fd);
    close(fd);
}

/* Whether the file is where it belongs now; errno says why not. */
static bool bring_into_place(struct file_writer *w)
{
    bool good = fsync(w->fd) == 0 && give_name(w);
    int cause = errno;
    if (close(w->fd) != 0 && good) {
        good = false;
        cause = errno;
    }
    if (good && rename(w->temporary, w->path) != 0) {
        good = false;
        cause = errno;
    }
    w->fd = -1;
    errno = cause;
    return good;
}

enum status file_finish(struct file_writer *w, enum status status, struct error *err)
{
    if (w->fd >= 0 && status == STATUS_OK) {
        const bool good = bring_into_place(w);
        if (!good) status = fail(err, STATUS_IO, "%s: could not be written: %s", w->path, strerror(errno));
        if (!good && !w->nameless) unlink(w->temporary);
        if (good) sync_folder(w->path);
    } else if (w->fd >= 0) {
        close(w->fd);
        if (!w->nameless) unlink(w->temporary);
    }
    memory_free(w->path);
    memory_free(w->temporary);
    *w = (struct file_writer){.fd = -1};
    return status;
}

enum status file_write(const char *path, const void *bytes, size_t size, struct error *err)
{
    struct file_writer w;
    enum status status = file_begin(&w, path, err);
    if (status == STATUS_OK) status = file_append(&w, bytes, size, err);
    return file_finish(&w, status, err);
}
