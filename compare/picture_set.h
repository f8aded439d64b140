/* SPDX-License-Identifier: MIT
 *
 * A folder of pictures as arrays: pixels of one size, and features by a CLIP image tower, kept in a cache file so that
 * a set is looked at once.
 *
 *     struct picture_set set = {0};
 *     picture_set_read(&set, "photos", &(struct picture_set_options){.side = 64}, &err);
 *     picture_set_embed(&set, &(struct picture_set_embedding){.pair = pair, .model = hash}, &err);
 *     ... picture_set_features(&set), picture_set_pixels(&set) ...
 *     picture_set_clear(&set);
 */
#ifndef COMPARE_PICTURE_SET_H
#define COMPARE_PICTURE_SET_H

#include "clip/clip_pair.h"
#include "compare/features.h"
#include "core/base/memory.h"
#include "core/io/image.h"

/* Where the resize rule is named in a table or file: all of Pillow's bicubic on 8-bit RGB laid on white. */
#define PICTURE_SET_RESIZE_RULE "PIL bicubic, shorter side to size, centre square, RGB on white"

enum { PICTURE_SET_MAX = 200000, PICTURE_SET_MAX_SIDE = 2048 };

/* Most bytes of pixels that a set keeps. */
#define PICTURE_SET_BYTES ((size_t)512 << 20)

struct picture_set_options {
    int side;                 /* pixels a side of every picture; 0: the size of the first, and all must have it */
    int64_t limit;            /* at most so many, spread evenly over the sorted names; 0: all */
    int64_t enough;           /* none is read after so many; 0: all are */
    size_t bytes;             /* most that their pixels may take in memory; 0: PICTURE_SET_BYTES */
    const char *const *names; /* files of the folder that are read instead of all; NULL: all */
    int64_t name_count;
    /* A sentence about each picture that cannot be read and is left out. NULL: nobody is told. */
    void (*skipped)(void *context, const char *sentence);
    void *context;
    const struct measures_watch *watch;
};

struct picture_set {
    struct arena memory; /* holds the name and the paths; the set owns the arrays */
    char *name;          /* of the folder; NULL: none */
    const char **paths;  /* [count]; NULL for a picture that came from memory */
    uint8_t *values;     /* [count, kept_y, kept_x, 3] */
    uint64_t *content;   /* [count]: a hash of each picture's pixels, what the cache knows it by */
    float *directions;   /* [count, width]; NULL until embedded */
    int64_t count, capacity, width;
    int64_t embedded;   /* the first so many have features */
    int64_t found;      /* pictures in the folder before the limit */
    int64_t skipped;    /* left out, because they could not be read */
    int side_x, side_y; /* width and height of each picture */
    /* The same as they are kept: smaller, in the same proportions, where all of them would take too much memory. Then
     * features are of the files, which are read once more. */
    int kept_x, kept_y;
    int fitted;       /* the options' side */
    int64_t expected; /* so many are to come, for the bound to be kept; 0: no bound */
    size_t bytes;     /* the bound; 0: PICTURE_SET_BYTES */
};

/* All PNG and JPEG files of the folder, not of folders in it, in order of their names. One that cannot be read is left
 * out; a folder without one that can is an error. */
MUST_CHECK enum status picture_set_read(struct picture_set *set, const char *folder,
                                        const struct picture_set_options *options, struct error *err);
/* Adds a picture from memory; side as in the options (0: as the first). For sets that are being painted. path: of a
 * file with the same picture, borrowed; it must not be NULL where `expected` was set before the first one. */
MUST_CHECK enum status picture_set_add(struct picture_set *set, const struct image *picture, int side, const char *path,
                                       struct error *err);

struct picture_set_embedding {
    struct clip_pair *pair; /* borrowed */
    const char *model;      /* what the cache calls the network: the checkpoint's hash, say */
    const char *cache;      /* a file that is read if it is there and written afterwards; NULL: none */
    const struct measures_watch *watch;
};

/* Features of every picture of the set, which has one at least. A picture is known to the cache by its pixels; a cache
 * of another network or that is damaged is not used. Who is stopped finds in the cache what was done. */
MUST_CHECK enum status picture_set_embed(struct picture_set *set, const struct picture_set_embedding *how,
                                         struct error *err);

/* Picture i at its own size, from its file. STATUS_IO if that is not what it was. */
MUST_CHECK enum status picture_set_load(const struct picture_set *set, int64_t i, struct image *out, struct error *err);

struct features picture_set_features(const struct picture_set *set);
struct pixels picture_set_pixels(const struct picture_set *set);
void picture_set_clear(struct picture_set *set);

#endif
