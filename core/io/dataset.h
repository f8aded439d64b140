/* SPDX-License-Identifier: MIT
 *
 * Pictures to learn from, in the layouts that people have them in:
 *
 *     metadata.jsonl        one JSON object a line: {"file_name": "a/b.png", "text": "a red apple"}, as Hugging Face's
 *                           imagefolder has it; "text" may be a list of alternatives
 *     a.png, a.txt          pictures with their captions beside them, one alternative a line
 *     cat/1.jpg, dog/2.jpg  a folder for each class; the caption is its name, with _ and - as spaces
 *     *-images-idx3-ubyte   the files of MNIST and Fashion-MNIST, with their labels, also .gz
 *     a.png, b.png          pictures without captions
 *
 * If there is a folder train/ and no picture beside it, the set is what is in train/.
 *
 *     struct dataset_options o = {.width = 64, .height = 64, .channels = 3, .skipped = list_it};
 *     dataset_open(&set, "pictures", &o, &err);
 *     dataset_fetch(set, i, flip, floats, &err);          and dataset_caption(set, i, k)
 *     dataset_close(set);
 *
 * Items are sorted by the bytes of their names, whatever the file system says; those of IDX files keep their order.
 * Opening reads every picture once: those that cannot be read are told to `skipped` and left out. Pictures are brought
 * to the size asked for: cut to its proportions about the centre, resampled, transparency laid on white. They are kept
 * in memory as bytes up to a limit, the rest is read again whenever it is fetched.
 */
#ifndef IO_DATASET_H
#define IO_DATASET_H

#include "core/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dataset;

/* Most text of one picture, alternatives together, and most alternatives. */
enum { DATASET_CAPTION_BYTES = 65536, DATASET_ALTERNATIVES = 1024 };

struct dataset_options {
    int width, height;
    int channels;       /* 3, or 1: grey */
    size_t cache_bytes; /* for pictures; what is beyond is read again and again. 0: DATASET_CACHE_BYTES */
    int threads;        /* for reading all pictures, as pool_create's */
    bool unread;        /* names and captions are wanted alone: no picture is looked at, and none can be fetched */
    /* Sentences about what is left out, and why. NULL: nobody is told. */
    void (*skipped)(void *context, const char *sentence);
    /* How many pictures have been read. False: stop, with STATUS_CANCELLED. NULL: nobody is asked. */
    bool (*progress)(void *context, int64_t done, int64_t all);
    void *context; /* of both */
};

#define DATASET_CACHE_BYTES ((size_t)1 << 30)

/* path: a folder, a metadata.jsonl, or an IDX file of pictures. A set without a readable picture is an error. */
MUST_CHECK enum status dataset_open(struct dataset **out, const char *path, const struct dataset_options *options,
                                    struct error *err);
void dataset_close(struct dataset *set);

const char *dataset_layout(const struct dataset *set); /* "pictures with .txt captions", for messages */
int64_t dataset_count(const struct dataset *set);
int64_t dataset_skipped(const struct dataset *set);             /* how many sentences there were */
const char *dataset_name(const struct dataset *set, int64_t i); /* of the file, relative to the folder */

int dataset_captions(const struct dataset *set, int64_t i); /* how many alternatives; 0: no caption */
const char *dataset_caption(const struct dataset *set, int64_t i, int alternative); /* UTF-8 */

int dataset_classes(const struct dataset *set); /* 0 if the layout has none */
const char *dataset_class_name(const struct dataset *set, int class);
int dataset_class(const struct dataset *set, int64_t i); /* -1 if it has none */

/* A number for all of it: names, captions, and pixels at the size asked for. Two sets with the same are the same. */
uint64_t dataset_hash(const struct dataset *set);

/* The picture in [-1, 1], [height, width, channels], mirrored if `flip`. Fails if a file that was readable when the set
 * was opened is so no more. Threads may fetch at the same time. */
MUST_CHECK enum status dataset_fetch(const struct dataset *set, int64_t i, bool flip, float *out, struct error *err);

/* Whether the item of this name belongs to the share (0 to 1) that is held out of training: the same answer for ever,
 * whatever else is in the set. */
bool dataset_is_held_out(const char *name, double share);

#endif
