/* SPDX-License-Identifier: MIT
 *
 * Folders of made-up pictures, 000.png and on: each function makes the folder and fills it.
 */
#ifndef SUPPORT_PICTURES_H
#define SUPPORT_PICTURES_H

#include <stdint.h>

/* Discs and boxes of many colours, sizes and places, by the seed; picture i of seed s is picture 0 of seed s + i. */
void pictures_drawn(const char *folder, int count, uint32_t seed, int side);
/* The first of those, so many times. */
void pictures_repeated(const char *folder, int count, uint32_t seed, int side);
/* Every pixel of its own. */
void pictures_noise(const char *folder, int count, int side);

#endif
