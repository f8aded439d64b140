/* SPDX-License-Identifier: MIT
 *
 * Names of output files. A pattern is the user's text and never reaches printf: %d, %03d and {seed} are replaced by
 * hand, %% stands for one percent sign.
 *
 *     output_check(pattern, &seeds)       before painting: is the ending right, do the folders exist?
 *     output_name(name, pattern, 2, 5, seed, &claimed)       the file of picture 2 of 5
 */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "cli/seeds.h"

enum { OUTPUT_NAME_BYTES = 4096 };

/* pattern: NULL for the default. The name of each seed's picture is looked at. False: a sentence has been written to
 * stderr. */
bool output_check(const char *pattern, const struct seeds *seeds);

/* number: 1..count. Without a number or seed in the pattern, "-1", "-2", ... go before the ending when count > 1.
 * Without a pattern, the first free of limn-0001.png, limn-0002.png, ...; *claimed: it is there now, empty, for the
 * caller to write over or to remove. False: a sentence has been written. */
bool output_name(char name[OUTPUT_NAME_BYTES], const char *pattern, int number, int count, uint64_t seed,
                 bool *claimed);

#endif
