/* SPDX-License-Identifier: MIT
 *
 * All memory of the program comes from here: blocks and arenas.
 *
 * What dies together is allocated together: an arena hands out zeroed pieces and frees them all in `arena_clear`.
 * Blocks (`memory_alloc`) are for the few things that live alone: big buffers, arrays that grow.
 * Everything is 64-byte aligned, so vector kernels may use aligned loads on whole buffers.
 *
 *     struct arena a = {0};
 *     struct thing *t = arena_alloc(&a, sizeof *t);      NULL when there is no memory
 *     arena_clear(&a);
 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

enum { MEMORY_ALIGNMENT = 64 };

/* Zeroed block, or NULL. Freed by memory_free; `memory_free(NULL)` is a no-op. */
void *memory_alloc(size_t bytes);
/* As memory_alloc, but the contents are whatever was there: for buffers that are written before they are read. */
void *memory_alloc_raw(size_t bytes);
/* Grows or shrinks; on failure returns NULL and leaves `block` as it was. New bytes are not zeroed. */
void *memory_resize(void *block, size_t bytes);
void memory_free(void *block);

/* Copy of a C string in a block of its own, or NULL. */
char *memory_strdup(const char *text);

struct arena_block;

/* Zero-initialised it is a valid, empty arena. Not for two threads at once. */
struct arena {
    struct arena_block *newest; /* owned */
    size_t used;                /* bytes handed out, for reports */
};

/* Zeroed, 64-byte aligned for pieces >= 64 bytes and 16-byte aligned below; NULL when there is no memory. */
void *arena_alloc(struct arena *arena, size_t bytes);
char *arena_strdup(struct arena *arena, const char *text);
char *arena_strndup(struct arena *arena, const char *text, size_t bytes);
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
void arena_clear(struct arena *arena);

/* For tests: the allocation number `countdown` from now (1 = the next one) and all later ones fail; 0 turns it off.
 * Returns how many allocations have been asked for since the last call. This counter is the one mutable global. */
uint64_t memory_fail_after(uint64_t countdown);

#endif
