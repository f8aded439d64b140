/* SPDX-License-Identifier: MIT
 *
 * An arena is a list of blocks, newest first. A piece is cut from the newest block; when it does not fit, a new block
 * is made, at least BLOCK_BYTES long.
 *
 *     +--------+-------+-------+--------- - - -+
 *     | header | piece | piece |  free         |   -> older block -> ...
 *     +--------+-------+-------+--------- - - -+
 */
#include "core/base/memory.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 64 * 1024, SMALL_ALIGNMENT = 16 };

struct arena_block {
    struct arena_block *older;
    size_t size; /* bytes in the whole block, this header included */
    size_t used;
};

static atomic_ullong asked;     /* allocations since the last memory_fail_after */
static atomic_ullong fail_from; /* number of the first one that fails, 0: none */

uint64_t memory_fail_after(uint64_t countdown)
{
    const uint64_t count = atomic_exchange(&asked, 0);
    atomic_store(&fail_from, countdown);
    return count;
}

static int should_fail(void)
{
    const unsigned long long number = atomic_fetch_add(&asked, 1) + 1;
    const unsigned long long from = atomic_load(&fail_from);
    return from != 0 && number >= from;
}

static size_t round_up(size_t bytes, size_t to)
{
    return (bytes + to - 1) / to * to;
}

void *memory_alloc_raw(size_t bytes)
{
    if (should_fail() || bytes > SIZE_MAX - MEMORY_ALIGNMENT) return NULL;
    return aligned_alloc(MEMORY_ALIGNMENT, round_up(bytes ? bytes : 1, MEMORY_ALIGNMENT));
}

void *memory_alloc(size_t bytes)
{
    void *block = memory_alloc_raw(bytes);
    if (block) memset(block, 0, bytes);
    return block;
}

void *memory_resize(void *block, size_t bytes)
{
    if (!block) return memory_alloc_raw(bytes);
    if (should_fail() || bytes > SIZE_MAX - MEMORY_ALIGNMENT) return NULL;
    /* realloc keeps the contents but promises 16 bytes of alignment only; a misaligned result is moved once more. */
    const size_t rounded = round_up(bytes ? bytes : 1, MEMORY_ALIGNMENT);
    void *fresh = aligned_alloc(MEMORY_ALIGNMENT, rounded);
    if (!fresh) return NULL;
    void *moved = realloc(block, rounded);
    if (!moved) {
        free(fresh);
        return NULL;
    }
    memcpy(fresh, moved, rounded);
    free(moved);
    return fresh;
}

void memory_free(void *block)
{
    free(block);
}

char *memory_strdup(const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *copy = memory_alloc_raw(bytes);
    if (copy) memcpy(copy, text, bytes);
    return copy;
}

static struct arena_block *add_block(struct arena *arena, size_t payload)
{
    const size_t header = round_up(sizeof(struct arena_block), MEMORY_ALIGNMENT);
    if (payload > SIZE_MAX - header - MEMORY_ALIGNMENT) return NULL;
    size_t size = header + payload;
    if (size < BLOCK_BYTES) size = BLOCK_BYTES;
    struct arena_block *block = memory_alloc(size);
    if (!block) return NULL;
    *block = (struct arena_block){.older = arena->newest, .size = size, .used = header};
    arena->newest = block;
    return block;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 2) return NULL;
    const size_t alignment = bytes >= MEMORY_ALIGNMENT ? MEMORY_ALIGNMENT : SMALL_ALIGNMENT;
    struct arena_block *block = arena->newest;
    size_t start = block ? round_up(block->used, alignment) : 0;
    if (!block || start > block->size || bytes > block->size - start) {
        block = add_block(arena, bytes);
        if (!block) return NULL;
        start = block->used;
    }
    block->used = start + bytes;
    arena->used += bytes;
    return (char *)block + start;
}

char *arena_strndup(struct arena *arena, const char *text, size_t bytes)
{
    char *copy = arena_alloc(arena, bytes + 1);
    if (copy) memcpy(copy, text, bytes);
    return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
    return arena_strndup(arena, text, strlen(text));
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    const int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = length < 0 ? NULL : arena_alloc(arena, (size_t)length + 1);
    if (text) vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

void arena_clear(struct arena *arena)
{
    for (struct arena_block *block = arena->newest; block;) {
        struct arena_block *older = block->older;
        memory_free(block);
        block = older;
    }
    *arena = (struct arena){0};
}
