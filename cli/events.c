/* SPDX-License-Identifier: MIT */
#include "cli/events.h"

#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

void event_write(json_t *event)
{
    if (!event) return;
    json_dumpf(event, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(event);
}

json_t *event_text(const char *text)
{
    json_t *value = json_string(text);
    if (value) return value;
    char plain[4096];
    snprintf(plain, sizeof plain, "%s", text);
    for (char *c = plain; *c; c++)
        if ((unsigned char)*c >= 0x80) *c = '?';
    return json_string(plain);
}
