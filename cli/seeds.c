/* SPDX-License-Identifier: MIT */
#include "cli/seeds.h"

#include "cli/options.h"

#include <errno.h>
#include <stdlib.h>

bool seeds_follow(struct seeds *seeds, uint64_t first, int count)
{
    const uint64_t most = INT64_MAX;
    *seeds = (struct seeds){.runs = {{first, count}}, .run_count = 1, .count = count};
    if (first <= most - (uint64_t)(count - 1)) return true;
    usage_error("--count %d from seed %llu on: the last seed would be above %llu", count, (unsigned long long)first,
                (unsigned long long)most);
    return false;
}

/* A whole number at *at, which moves behind it; false if there is none, or it is no seed. */
static bool take_number(const char **at, uint64_t *out)
{
    char *end;
    if (**at < '0' || **at > '9') return false;
    errno = 0;
    *out = strtoull(*at, &end, 10);
    *at = end;
    return errno == 0 && *out <= INT64_MAX;
}

/* "7" or "10-19" */
static bool take_run(struct seeds *seeds, const char **at)
{
    uint64_t first, last;
    if (seeds->run_count == SEEDS_RUNS || !take_number(at, &first)) return false;
    last = first;
    if (**at == '-') {
        ++*at;
        if (!take_number(at, &last) || last < first) return false;
    }
    if (last - first >= (uint64_t)(SEEDS_MOST - seeds->count)) return false;
    const int count = (int)(last - first) + 1;
    seeds->runs[seeds->run_count].first = first;
    seeds->runs[seeds->run_count++].count = count;
    seeds->count += count;
    return true;
}

bool seeds_parse(struct seeds *seeds, const char *option, const char *text)
{
    const char *at = text;
    *seeds = (struct seeds){0};
    bool good = take_run(seeds, &at);
    while (good && *at == ',') {
        at++;
        good = take_run(seeds, &at);
    }
    if (good && *at == '\0') return true;
    usage_error("%s %s: must be seeds and runs of seeds with commas between, such as 0,3,10-19; at most %d runs and %d "
                "seeds, each 0 to %lld",
                option, text, SEEDS_RUNS, SEEDS_MOST, (long long)INT64_MAX);
    return false;
}

uint64_t seeds_at(const struct seeds *seeds, int i)
{
    int run = 0;
    while (i >= seeds->runs[run].count) i -= seeds->runs[run++].count;
    return seeds->runs[run].first + (uint64_t)i;
}
