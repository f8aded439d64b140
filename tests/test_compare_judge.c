/* SPDX-License-Identifier: MIT
 *
 * The verdict from given figures: who wins, when nobody does, and when a score may not speak.
 */
#include "pipeline/compare.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct side {
    double score, kid, rank1; /* NaN: not known */
    bool knows, unprompted;
    const char *fault; /* NULL: none */
};

/* Standard errors are 1 of scores and 0.01 of KID. */
static void set(struct entrant *e, enum measure measure, double value, double error)
{
    e->measures.figure[measure] = (struct figure){.known = !isnan(value), .value = value, .error = error, .ideal = NAN};
}

static void judge(struct comparison *c, const struct side *sides, int count)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    struct error err = {0};
    *c = (struct comparison){.count = count, .prompt_count = 16};
    for (int i = 0; i < count; i++) {
        struct entrant *e = &c->entrants[i];
        e->name = names[i];
        e->takes_prompts = !sides[i].unprompted;
        e->knows_network = sides[i].knows;
        set(e, MEASURE_CLIP_SCORE, sides[i].score, 1);
        set(e, MEASURE_KID, sides[i].kid, 0.03);
        set(e, MEASURE_PROMPT_RANK1, sides[i].rank1, 0.01);
        e->measures.kid_picture_error = 0.01;
        if (!sides[i].fault) continue;
        e->verdicts.count = 1;
        e->verdicts.verdict[0].kind = VERDICT_FAULT;
        snprintf(e->verdicts.verdict[0].text, VERDICT_BYTES, "%s", sides[i].fault);
    }
    if (compare_judge(c, &err) != STATUS_OK) fail_msg("%s", err.text);
}

#define PLAIN(s, k, r)                                                                                                 \
    {                                                                                                                  \
        .score = (s), .kid = (k), .rank1 = (r)                                                                         \
    }
#define KNOWS(s, k, r)                                                                                                 \
    {                                                                                                                  \
        .score = (s), .kid = (k), .rank1 = (r), .knows = true                                                          \
    }
#define FAULTY(s, k, r, f)                                                                                             \
    {                                                                                                                  \
        .score = (s), .kid = (k), .rank1 = (r), .fault = (f)                                                           \
    }
#define NO_PROMPT(k)                                                                                                   \
    {                                                                                                                  \
        .score = NAN, .kid = (k), .rank1 = NAN, .unprompted = true                                                     \
    }

static const struct {
    const char *headline;
    struct side sides[4];
    int count;
} cases[] = {
    {"a keeps closer to what was asked for.", {PLAIN(70, NAN, 1), PLAIN(60, NAN, 1)}, 2},
    {"No clear difference in quality.", {PLAIN(62, NAN, 1), PLAIN(60, NAN, 1)}, 2},
    {"b comes closer to the reference pictures.", {PLAIN(62, 0.2, 1), PLAIN(60, 0.1, 1)}, 2},
    {"b paints these 16 prompts better.", {PLAIN(60, 0.2, 1), PLAIN(70, 0.1, 1)}, 2},
    {"a keeps closer to the prompts, b to the reference pictures.", {PLAIN(70, 0.2, 1), PLAIN(60, 0.1, 1)}, 2},
    {"Nothing here says which is better: that needs prompts that they follow, or reference pictures.",
     {PLAIN(NAN, NAN, NAN), PLAIN(NAN, NAN, NAN)},
     2},
    /* Made with the network that scores: the score is no voice, for it or against it. */
    {"Nothing here says which is better: that needs reference pictures.", {PLAIN(60, NAN, 1), KNOWS(70, NAN, 1)}, 2},
    {"Nothing here says which is better: that needs reference pictures.", {PLAIN(70, NAN, 1), KNOWS(60, NAN, 1)}, 2},
    {"a paints these 16 prompts better.", {PLAIN(60, 0.1, 0.95), KNOWS(70, 0.2, 1)}, 2},
    {"a comes closer to the reference pictures.", {PLAIN(60, 0.1, 0.5), KNOWS(70, 0.2, 1)}, 2},
    {"b comes closer to the reference pictures.", {PLAIN(60, 0.2, 0.95), KNOWS(70, 0.1, 0.8)}, 2},
    {"No clear difference in quality.", {PLAIN(60, 0.1, 0.95), KNOWS(70, 0.11, 1)}, 2},
    {"b keeps closer to what was asked for.", {KNOWS(60, NAN, 1), KNOWS(70, NAN, 1)}, 2},
    /* Who takes no prompt cannot follow one. */
    {"Nothing here says which is better: that needs prompts that they follow, or reference pictures.",
     {PLAIN(70, NAN, 1), NO_PROMPT(NAN)},
     2},
    {"b comes closer to the reference pictures.", {PLAIN(70, 0.2, 1), NO_PROMPT(0.1)}, 2},
    {"c keeps closer to what was asked for.", {PLAIN(60, NAN, 1), NO_PROMPT(NAN), PLAIN(70, NAN, 1)}, 3},
    /* Faults. */
    {"a paints these 16 prompts better, but copies its training set.",
     {FAULTY(70, 0.1, 1, "copies its training set: 3 of 9"), PLAIN(60, 0.2, 1)},
     2},
    {"a has the better figures, but copies its training set.",
     {FAULTY(60, 0.1, 1, "copies its training set: 3 of 9"), PLAIN(60, 0.2, 1)},
     2},
    {"b alone paints without a grave fault.", {FAULTY(60, 0.1, 1, "paints one picture"), PLAIN(60, 0.1, 1)}, 2},
    {"b paints these 16 prompts better.", {FAULTY(60, 0.2, 1, "paints one picture"), PLAIN(60, 0.1, 1)}, 2},
    {"d paints these 16 prompts better.",
     {PLAIN(60, 0.2, 1), PLAIN(61, 0.3, 1), PLAIN(62, 0.2, 1), PLAIN(70, 0.1, 1)},
     4},
};

static void headlines(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct comparison *c = memory_alloc(sizeof *c);
        judge(c, cases[i].sides, cases[i].count);
        if (strcmp(c->verdict[0], cases[i].headline) != 0)
            fail_msg("case %d: '%s', not '%s'", (int)i + 1, c->verdict[0], cases[i].headline);
        arena_clear(&c->memory);
        memory_free(c);
    }
}

static bool says(const struct comparison *c, const char *words)
{
    for (int i = 0; i < c->verdict_count; i++)
        if (strstr(c->verdict[i], words)) return true;
    return false;
}

static void reasons(void **state)
{
    (void)state;
    struct comparison *c = memory_alloc(sizeof *c);
    judge(c, (const struct side[]){PLAIN(60, 0.1, 0.95), KNOWS(70, 0.2, 1)}, 2);
    assert_true(says(c, "CLIP score decides nothing here (70 for b, 60 for a): it flatters b, made with"));
    assert_true(says(c,
                     "a is nearer to the reference pictures: its KID is 0.1 and that of b 0.2, with a standard error "
                     "of 0.014"));
    arena_clear(&c->memory);
    judge(
        c,
        (const struct side[]){PLAIN(60, 0.1, 0.95),
                              {.score = NAN, .kid = 0.2, .rank1 = NAN, .unprompted = true, .fault = "repeats: 1 of 2"}},
        2);
    assert_true(says(c, "b takes no prompt"));
    assert_true(says(c, "b: repeats: 1 of 2."));
    assert_false(says(c, "CLIP score"));
    arena_clear(&c->memory);
    memory_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(headlines), cmocka_unit_test(reasons)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
