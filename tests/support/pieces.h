/* SPDX-License-Identifier: MIT
 *
 * Folders for tests, described as lists of what lies in them. Anything that goes wrong fails the test.
 *
 *     static const struct piece set[] = {{"cat/a.png", PIECE_PNG, .width = 8, .height = 8}, {"cat/a.txt", .text = "a
 * cat"}, {0}}; pieces_lay(&scratch, "set", set);
 */
#ifndef SUPPORT_PIECES_H
#define SUPPORT_PIECES_H

#include "tests/support/scratch.h"

enum piece_kind {
    PIECE_TEXT,   /* a file of `text`, or of `size` bytes of it */
    PIECE_LONG,   /* a file of `size` bytes: `text` over and over */
    PIECE_GZIP,   /* a file of `size` bytes of `text`, compressed */
    PIECE_GOLDEN, /* a copy of tests/golden/TEXT, cut to `size` bytes if size is not 0, less -size bytes if it is below
                   */
    PIECE_PNG,    /* width x height grey pixels, of any size; `text`: of this colour, "#rrggbb" */
    PIECE_FOLDER,
    PIECE_LINK, /* to `text` */
    PIECE_PIPE,
    PIECE_CLOSED, /* what is there already loses its permissions */
};

struct piece {
    const char *name; /* relative to the folder; NULL ends the list */
    enum piece_kind kind;
    const char *text;
    long size;
    int width, height;
};

/* Returns the folder's path, as scratch_path does. */
const char *pieces_lay(struct scratch *scratch, const char *folder, const struct piece *pieces);

#endif
