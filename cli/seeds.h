/* SPDX-License-Identifier: MIT
 *
 * Which seeds pictures are painted from: so many from one on, or a list such as "0,3,10-19".
 *
 *     struct seeds seeds;
 *     if (!seeds_parse(&seeds, "--seeds", "0,3,10-19")) return EXIT_USAGE;       the sentence is on stderr
 *     for (int i = 0; i < seeds.count; i++) ... seeds_at(&seeds, i) ...
 */
#ifndef CLI_SEEDS_H
#define CLI_SEEDS_H

#include <stdbool.h>
#include <stdint.h>

enum { SEEDS_RUNS = 64, SEEDS_MOST = 100000 };

struct seeds {
    struct {
        uint64_t first;
        int count;
    } runs[SEEDS_RUNS];
    int run_count, count; /* count: of all seeds, at least 1 */
};

/* count seeds from `first` on. False: the last would be too large, and a sentence has been written to stderr. */
bool seeds_follow(struct seeds *seeds, uint64_t first, int count);

/* option: for the sentence that is written to stderr if the text is no list of seeds. */
bool seeds_parse(struct seeds *seeds, const char *option, const char *text);

uint64_t seeds_at(const struct seeds *seeds, int i);

#endif
