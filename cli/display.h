/* SPDX-License-Identifier: MIT
 *
 * What the user sees while limn works: a bar with the time that is left on a terminal, a JSON object a line with
 * --json, nothing with --quiet or when standard error is no terminal. Notes are shown in each but the quiet case.
 *
 *     struct display display;
 *     struct limn_watch watch = display_watch(&display, options, count);
 *     ... display.picture = 2; limn_paint(...); display_clear(&display);
 */
#ifndef CLI_DISPLAY_H
#define CLI_DISPLAY_H

#include "cli/options.h"

struct display {
    const struct options *options; /* borrowed */
    int picture, pictures;         /* 1..pictures */
    bool terminal;                 /* stderr is one */
    bool bar_shown;
    char last_note[512]; /* the same note is not shown for every picture of a batch */
};

struct limn_watch display_watch(struct display *display, const struct options *options, int pictures);
void display_clear(struct display *display); /* takes the bar away */

/* "m:ss" or "h:mm:ss". */
void display_duration(char text[32], double seconds);

#endif
