/* SPDX-License-Identifier: MIT
 *
 * Sentences for the user on standard error. What they quote (arguments, paths, names out of files) may hold any bytes;
 * a terminal must obey none of them.
 *
 *     print_sentence(error.text);                        limn: a\x1b[2J.png: could not be opened: ...
 */
#ifndef CLI_SENTENCE_H
#define CLI_SENTENCE_H

/* Writes "limn: ", the text and a line end. Control characters and bytes that are not UTF-8 come out as \xNN. */
void print_sentence(const char *text);

#endif
