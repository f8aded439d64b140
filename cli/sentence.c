/* SPDX-License-Identifier: MIT */
#include "cli/sentence.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Bytes of the UTF-8 character that begins at `text`, or 0 if none does or it is a control character (Unicode 15,
 * table 3-7; U+0080 to U+009F are control characters too, and U+2028 and U+2029 end lines). */
static int printable(const unsigned char *text)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const int bytes = text[0] < 0x80             ? 1
                      : (text[0] & 0xe0) == 0xc0 ? 2
                      : (text[0] & 0xf0) == 0xe0 ? 3
                      : (text[0] & 0xf8) == 0xf0 ? 4
                                                 : 0;
    if (bytes == 0) return 0;
    if (bytes == 1) return text[0] >= 0x20 && text[0] != 0x7f;
    uint32_t letter = text[0] & (0x7fU >> bytes);
    for (int i = 1; i < bytes; i++) {
        if ((text[i] & 0xc0) != 0x80) return 0; /* a NUL at the text's end too */
        letter = letter << 6 | (text[i] & 0x3fU);
    }
    const bool exists = letter >= least[bytes] && letter <= 0x10ffff && (letter < 0xd800 || letter > 0xdfff);
    return exists && letter >= 0xa0 && letter != 0x2028 && letter != 0x2029 ? bytes : 0;
}

void print_clean(FILE *file, const char *text)
{
    while (*text) {
        size_t run = 0;
        for (int bytes; (bytes = printable((const unsigned char *)text + run)) > 0;) run += (size_t)bytes;
        fwrite(text, 1, run, file);
        text += run;
        if (*text) fprintf(file, "\\x%02x", (unsigned)(unsigned char)*text++);
    }
}

void print_sentence(const char *text)
{
    fputs("limn: ", stderr);
    print_clean(stderr, text);
    fputc('\n', stderr);
}
