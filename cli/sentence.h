/* SPDX-License-Identifier: MIT
 *
 * Text for the user. What it quotes (arguments, paths, names out of files) may hold any bytes;
 * a terminal must obey none of them.
 *
 *     print_sentence(error.text);                        limn: a\x1b[2J.png: could not be opened: ...
 */
#ifndef CLI_SENTENCE_H
#define CLI_SENTENCE_H

#include <stdio.h>

/* Writes the text. Control characters and bytes that are not UTF-8 come out as \xNN. */
void print_clean(FILE *file, const char *text);

/* Writes "limn: ", the text as print_clean does, and a line end, to standard error. */
void print_sentence(const char *text);

#endif
