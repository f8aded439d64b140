/* SPDX-License-Identifier: MIT
 *
 * Draws a picture in the terminal: by kitty's graphics protocol or iTerm2's inline images where the terminal says that
 * it is one of these, else with half blocks in 24-bit colour, two pixels a character.
 */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include "include/limn.h"

/* path: the file that holds the picture (iTerm2 is sent the file itself). To standard output. */
void show_picture(const struct limn_image *image, const char *path);

#endif
