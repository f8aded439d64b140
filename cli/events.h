/* SPDX-License-Identifier: MIT
 *
 * JSON on standard output: one object a line.
 *
 *     event_write(json_pack("{s:s, s:o}", "event", "note", "message", event_text(sentence)));
 */
#ifndef CLI_EVENTS_H
#define CLI_EVENTS_H

#include <jansson.h>

/* Writes the object as one line, flushes, and gives it back. NULL (no memory) writes nothing. */
void event_write(json_t *event);

/* A JSON string of any bytes: what is not UTF-8 (a file name may be anything) becomes question marks. */
json_t *event_text(const char *text);

#endif
