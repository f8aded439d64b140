/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* fileno */
#include "core/vulkan/pipeline_cache.h"

#include "core/base/hash.h"
#include "core/base/memory.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, MOST_BYTES = 256 << 20, DRIVERS_HEADER = 32 };

/* All that the driver's bytes depend on. Written as it lies in memory: the file never leaves the machine. */
struct header {
    char magic[8];
    uint32_t vendor, device, driver, api;
    uint8_t uuid[VK_UUID_SIZE];
    uint64_t size, checksum; /* of what follows */
};

static struct header header_of(const VkPhysicalDeviceProperties *device)
{
    struct header h = {.magic = {'l', 'i', 'm', 'n', 'p', 'c', '0', '1'},
                       .vendor = device->vendorID,
                       .device = device->deviceID,
                       .driver = device->driverVersion,
                       .api = device->apiVersion};
    memcpy(h.uuid, device->pipelineCacheUUID, sizeof h.uuid);
    return h;
}

/* Folder and file; false if there is no place for it. make: the folder, if it is not there. */
static bool find_path(const VkPhysicalDeviceProperties *device, bool make, char path[PATH_BYTES])
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char folder[PATH_BYTES - 64];
    int length;
    if (cache && cache[0] == '/') /* The specification wants others to be passed over. */
        length = snprintf(folder, sizeof folder, "%s", cache);
    else if (home && home[0] == '/')
        length = snprintf(folder, sizeof folder, "%s/.cache", home);
    else
        return false;
    if (length < 0 || (size_t)length + 8 > sizeof folder) return false;
    if (make) (void)mkdir(folder, 0700);
    snprintf(folder + length, sizeof folder - (size_t)length, "/limn");
    if (make && mkdir(folder, 0700) != 0 && errno != EEXIST) return false;
    snprintf(path, PATH_BYTES, "%s/pipelines-%08x-%08x.bin", folder, device->vendorID, device->deviceID);
    return true;
}

static bool is_sound(const struct header *found, const VkPhysicalDeviceProperties *device, const void *bytes,
                     size_t size)
{
    struct header wanted = header_of(device);
    wanted.size = size;
    wanted.checksum = hash_bytes(HASH_START, bytes, size);
    return memcmp(found, &wanted, sizeof wanted) == 0;
}

void pipeline_cache_load(struct vk_cached *cached, const VkPhysicalDeviceProperties *device)
{
    char path[PATH_BYTES];
    struct stat info;
    *cached = (struct vk_cached){0};
    FILE *file = find_path(device, false, path) ? fopen(path, "rb") : NULL;
    if (!file) return;
    const bool fits = fstat(fileno(file), &info) == 0 && S_ISREG(info.st_mode) &&
                      info.st_size > (off_t)sizeof(struct header) && info.st_size <= MOST_BYTES;
    const size_t size = fits ? (size_t)info.st_size : 0, rest = fits ? size - sizeof(struct header) : 0;
    struct header *header = fits ? memory_alloc(size) : NULL;
    const bool whole = header && fread(header, 1, size, file) == size;
    fclose(file);
    if (whole && is_sound(header, device, header + 1, rest))
        *cached = (struct vk_cached){.bytes = header + 1, .size = rest, .file = header};
    else
        memory_free(header);
}

void pipeline_cache_free(struct vk_cached *cached)
{
    memory_free(cached->file);
    *cached = (struct vk_cached){0};
}

void pipeline_cache_save(const VkPhysicalDeviceProperties *device, const void *bytes, size_t size)
{
    char path[PATH_BYTES], temporary[PATH_BYTES + 32];
    if (size <= DRIVERS_HEADER || size > MOST_BYTES - sizeof(struct header)) return; /* nothing is in it */
    if (!find_path(device, true, path)) return;
    snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid());
    FILE *file = fopen(temporary, "wbx"); /* x: another process's is left alone */
    if (!file) return;
    struct header header = header_of(device);
    header.size = size;
    header.checksum = hash_bytes(HASH_START, bytes, size);
    bool good = fwrite(&header, sizeof header, 1, file) == 1 && fwrite(bytes, 1, size, file) == size;
    good = fflush(file) == 0 && good;
    good = fclose(file) == 0 && good;
    if (!good || rename(temporary, path) != 0) unlink(temporary);
}
