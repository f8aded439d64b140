/* SPDX-License-Identifier: MIT
 *
 * A data set while it is opened: dataset_index.c finds out what lies in a folder, with the help of dataset_metadata.c,
 * dataset_captions.c and dataset_idx.c; dataset.c then reads the pictures. A half-built set can be closed.
 */
#ifndef IO_DATASET_BUILD_H
#define IO_DATASET_BUILD_H

#include "core/base/memory.h"
#include "core/io/bytes.h"
#include "core/io/dataset.h"
#include "core/io/idx.h"

enum { DATASET_MAX_ITEMS = 1 << 24 };

struct dataset_item {
    const char *name;     /* relative to the folder; NULL: to be left out */
    const char *captions; /* one after the other, each with its NUL */
    int caption_count;
    int class;     /* -1: none */
    int64_t place; /* the picture's in an IDX file, or the number of its line in metadata.jsonl */
    int64_t slot;  /* in the cache; -1: not there */
    uint64_t hash; /* of its pixels, at the size asked for */
};

struct dataset {
    struct dataset_options options;
    struct arena arena;         /* names, captions, classes */
    const char *folder;         /* that names are relative to */
    const char *layout;         /* for messages */
    struct dataset_item *items; /* owned */
    int64_t count, capacity;
    const char **classes;
    int class_count;
    int64_t skipped;
    struct idx pictures; /* of rank 0 if the pictures are files of their own */
    uint8_t *cache;      /* owned; `slots` pictures of `picture_bytes` */
    int64_t slots;
    size_t picture_bytes;
};

/* Finds the layout and fills items, classes and captions, sorted. */
MUST_CHECK enum status dataset_index(struct dataset *set, const char *path, struct error *err);

/* The lines of a metadata.jsonl as items, unsorted; `name` is for sentences. */
MUST_CHECK enum status dataset_read_metadata(struct dataset *set, const char *bytes, size_t size, const char *name,
                                             struct error *err);
/* The pictures of an IDX file, and the labels of the one beside it. */
MUST_CHECK enum status dataset_read_idx(struct dataset *set, const char *path, struct error *err);

/* The captions of one picture while they are gathered: each with its NUL, one after the other. */
struct captions {
    struct bytes text; /* owned */
    int count;
    size_t seen; /* bytes that were looked at */
};

/* Takes text[0..size) as one caption, whose line ends become blanks, or apart into lines, each of them a caption; those
 * with nothing on them are left out. What makes the text unfit is returned as the end of a sentence, NULL if it is fit;
 * for want of memory `err` is set. */
const char *captions_add(struct captions *captions, const char *text, size_t size, struct error *err);
const char *captions_add_lines(struct captions *captions, const char *text, size_t size, struct error *err);
MUST_CHECK enum status captions_keep(const struct captions *captions, struct dataset *set, struct dataset_item *item,
                                     struct error *err);
void captions_clear(struct captions *captions);

/* A new item at the end: valid until the next one. NULL: see `err`. The name is copied. */
struct dataset_item *dataset_add(struct dataset *set, const char *name, struct error *err);

/* Tells that something is left out. */
void dataset_skip(struct dataset *set, const char *format, ...) PRINTF_LIKE(2, 3);
/* Takes out the items that have no name any more. */
void dataset_compact(struct dataset *set);

#endif
