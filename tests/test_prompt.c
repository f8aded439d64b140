/* SPDX-License-Identifier: MIT
 *
 * Prompts against the web UI's rules as tests/golden/prompts.py works them out, and what it leaves open.
 */
#include "clip/prompt.h"
#include "clip/text.h"
#include "tests/support/golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

enum { END = 49407 };

static int make_tokenizer(void **state)
{
    struct error err = {0};
    return tokenizer_create((struct tokenizer **)state, NULL, &err) != STATUS_OK;
}

static int drop_tokenizer(void **state)
{
    tokenizer_destroy(*state);
    return 0;
}

static void check_parts(const char *prompt, const json_t *want)
{
    struct error err = {0};
    struct prompt_parts got;
    assert_int_equal(prompt_parse(&got, prompt, strlen(prompt), &err), STATUS_OK);
    if (got.count != json_array_size(want)) fail_msg("'%s': %zu parts", prompt, got.count);
    for (size_t i = 0; i < got.count; i++) {
        const json_t *pair = json_array_get(want, i);
        const json_t *text = json_array_get(pair, 0);
        const bool same = json_string_length(text) == got.parts[i].bytes &&
                          memcmp(json_string_value(text), got.parts[i].text, got.parts[i].bytes) == 0 &&
                          json_number_value(json_array_get(pair, 1)) == got.parts[i].weight;
        if (!same)
            fail_msg("'%s', part %zu: '%.*s' %.17g", prompt, i, (int)got.parts[i].bytes, got.parts[i].text,
                     got.parts[i].weight);
    }
    prompt_parts_clear(&got);
}

static void check_chunks(const struct tokenizer *t, const char *prompt, const json_t *want)
{
    struct error err = {0};
    struct prompt_chunks got;
    const struct prompt_options options = {.length = 77, .pad = END};
    assert_int_equal(prompt_cut(&got, t, prompt, strlen(prompt), &options, &err), STATUS_OK);
    if (got.count != (int)json_array_size(want)) fail_msg("'%s': %d chunks", prompt, got.count);
    for (int i = 0; i < got.count; i++) {
        const int32_t *ids = got.ids + 77 * i;
        const json_t *chunk = json_array_get(want, (size_t)i);
        assert_int_equal(ids[0], 49406);
        for (size_t j = 1; j < 77; j++) {
            const bool text = j <= json_array_size(chunk);
            const json_int_t id = text ? json_integer_value(json_array_get(chunk, j - 1)) : END;
            if (ids[j] != id) fail_msg("'%s', chunk %d, place %zu: %d, not %d", prompt, i, j, ids[j], (int)id);
        }
    }
    prompt_chunks_clear(&got);
}

static void test_equals_web_ui(void **state)
{
    json_error_t why;
    json_t *rows = json_load_file(GOLDEN "/prompts.json", 0, &why);
    assert_non_null(rows);
    assert_true(json_array_size(rows) >= 50);
    size_t i;
    const json_t *row;
    json_array_foreach (rows, i, row) {
        const char *prompt = json_string_value(json_object_get(row, "prompt"));
        check_parts(prompt, json_object_get(row, "parts"));
        check_chunks(*state, prompt, json_object_get(row, "chunks"));
    }
    json_decref(rows);
}

static void test_weights_of_tokens(void **state)
{
    struct checkpoint *g = golden_open("prompts.safetensors");
    json_t *cases = json_loads(checkpoint_metadata(g, "cases"), 0, NULL);
    assert_true(json_object_size(cases) >= 8);
    const char *name;
    json_t *one;
    json_object_foreach (cases, name, one) {
        struct error err = {0};
        struct prompt_chunks got;
        const char *prompt = json_string_value(json_object_get(one, "prompt"));
        const bool sd1 = strcmp(json_string_value(json_object_get(one, "kind")), "sd1") == 0;
        const struct prompt_options options = {.length = 77, .pad = sd1 ? END : 0};
        assert_int_equal(prompt_cut(&got, *state, prompt, strlen(prompt), &options, &err), STATUS_OK);
        const struct tensor *ids = golden_tensor(g, "%s.ids", name), *weights = golden_tensor(g, "%s.weights", name);
        assert_int_equal(got.count * 77, ids->count);
        assert_memory_equal(got.ids, ids->data, (size_t)ids->count * sizeof *got.ids);
        assert_memory_equal(got.weights, weights->data, (size_t)ids->count * sizeof *got.weights);
        prompt_chunks_clear(&got);
    }
    json_decref(cases);
    checkpoint_close(g);
}

/* What the golden cannot hold, because the web UI fails on it or Python's JSON would not carry it. */
static void test_more_parts(void **state)
{
    (void)state;
    static const struct {
        const char *prompt, *parts;
    } cases[] = {
        {"(cat:.)", "[[\"cat:.\", 1.1]]"},
        {"(cat:1.2.3) (dog:+)", "[[\"cat:1.2.3\", 1.1], [\" \", 1.0], [\"dog:+\", 1.1]]"},
        {"(cat:00000000000000000000001.50000000000000000000000000000000000000000)", "[[\"cat\", 1.5]]"},
        {"(cat:\xe3\x80\x80"
         "1.5\xc2\xa0)",
         "[[\"cat\", 1.5]]"},
        {"a\xe3\x80\x80"
         "BREAK\xc2\xa0"
         "b",
         "[[\"a\", 1.0], [\"BREAK\", -1], [\"b\", 1.0]]"},
        {"\xea\xb0\x80"
         "BREAK",
         "[[\"\xea\xb0\x80"
         "BREAK\", 1.0]]"},
        {"BREAK1 BREAK_ _BREAK", "[[\"BREAK1 BREAK_ _BREAK\", 1.0]]"},
        {"a\xcc\x81"
         "BREAK",
         "[[\"a\xcc\x81\", 1.0], [\"BREAK\", -1], [\"\", 1.0]]"},
        {"(a BREAK b:1)", "[[\"a\", 1.0], [\"BREAK\", -1], [\"b\", 1.0]]"},
        {"(BRE\\AK:-1)", "[[\"BREAK\", -1]]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *want = json_loads(cases[i].parts, 0, NULL);
        assert_non_null(want);
        check_parts(cases[i].prompt, want);
        json_decref(want);
    }
}

static void test_nul_in_text(void **state)
{
    (void)state;
    struct error err = {0};
    struct prompt_parts got;
    assert_int_equal(prompt_parse(&got, "\0\\\0(\0)\0", 7, &err), STATUS_OK);
    assert_int_equal(got.count, 3);
    assert_int_equal(got.parts[0].bytes, 2);
    assert_true(got.parts[1].bytes == 1 && got.parts[1].weight == 1.1);
    prompt_parts_clear(&got);
}

static void test_end_token_in_text(void **state)
{
    struct error err = {0};
    struct prompt_chunks got;
    const char *prompt = "a <|endoftext|> cat";
    for (int32_t pad = 0; pad <= END; pad += END) {
        const struct prompt_options options = {.length = 77, .pad = pad};
        assert_int_equal(prompt_cut(&got, *state, prompt, strlen(prompt), &options, &err), STATUS_OK);
        assert_int_equal(got.ids[2], END);
        assert_int_equal(got.ids[3], pad ? 2368 : 0);
        assert_int_equal(got.ids[4], pad);
        assert_int_equal(got.tokens, 3);
        prompt_chunks_clear(&got);
    }
}

static void count_tokens(const struct tokenizer *t, const char *prompt, const int *want, int count)
{
    struct error err = {0};
    struct prompt_chunks got;
    const struct prompt_options options = {.length = 77, .pad = END};
    assert_int_equal(prompt_cut(&got, t, prompt, strlen(prompt), &options, &err), STATUS_OK);
    assert_int_equal(got.count, count);
    for (int i = 0; i < count; i++) {
        int tokens = 0;
        while (got.ids[77 * i + 1 + tokens] != END) tokens++;
        assert_int_equal(tokens, want[i]);
    }
    prompt_chunks_clear(&got);
}

/* A comma among the last 20 of 75 tokens is where a chunk is cut; one token earlier it is not. A comma of the chunk
 * before does not count. */
static void test_comma(void **state)
{
    static const struct {
        int words, count, tokens[3]; /* before the sign; chunks */
        const char *sign;
    } cases[] = {
        {54, 2, {75, 16}, ","}, {55, 2, {56, 35}, ","},          {74, 2, {75, 16}, ","},
        {75, 2, {75, 16}, ","}, {10, 3, {11, 75, 5}, ", BREAK"}, {60, 2, {61, 30}, ", BREAK"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char prompt[512] = "";
        for (int word = 0; word < 90; word++) {
            if (word == cases[i].words) strcat(prompt, cases[i].sign);
            strcat(prompt, " cat");
        }
        count_tokens(*state, prompt, cases[i].tokens, cases[i].count);
    }
    char prompt[1024] = "";
    for (int word = 0; word < 140; word++) strcat(prompt, word == 60 ? " cat, BREAK" : " cat");
    count_tokens(*state, prompt, (const int[]){62, 75, 4}, 3);
}

static void test_plain_and_short(void **state)
{
    struct error err = {0};
    struct prompt_chunks got;
    const char *prompt = "(a:1.3) BREAK";
    const struct prompt_options plain = {.length = 77, .pad = END, .plain = true};
    assert_int_equal(prompt_cut(&got, *state, prompt, strlen(prompt), &plain, &err), STATUS_OK);
    assert_int_equal(got.count, 1);
    assert_true(got.tokens == 8 && got.weights[2] == 1);
    prompt_chunks_clear(&got);
    const struct prompt_options small = {.length = 3, .pad = END}; /* a tower that takes one token of text at a time */
    assert_int_equal(prompt_cut(&got, *state, "a red apple", 11, &small, &err), STATUS_OK);
    const int32_t want[] = {49406, 320, END, 49406, 736, END, 49406, 3055, END};
    assert_int_equal(got.count, 3);
    assert_memory_equal(got.ids, want, sizeof want);
    prompt_chunks_clear(&got);
}

static void refuse(const struct tokenizer *t, const char *prompt, size_t bytes, const char *sentence)
{
    struct error err = {0};
    struct prompt_chunks got;
    const struct prompt_options options = {.length = 77, .pad = END};
    assert_int_equal(prompt_cut(&got, t, prompt, bytes, &options, &err), STATUS_ARGUMENT);
    assert_string_equal(err.text, sentence);
    assert_null(got.ids);
}

static void test_refused(void **state)
{
    refuse(*state, "(a:1.2) \xff", 9, "the prompt is not valid UTF-8: byte 0xff at offset 8");
    refuse(*state, "(a cat:1000001)", 15, "the prompt gives 'a cat' the weight 1e+06; -1000000 to 1000000 are allowed");
    refuse(*state, "((((cat:99):99):99):99)", 23,
           "the prompt gives 'cat' the weight 9.60596e+07; -1000000 to 1000000 are allowed");
    char *text = memory_alloc(TEXT_MAX_BYTES);
    assert_non_null(text);
    memset(text, '(', TEXT_MAX_BYTES - 1);
    text[TEXT_MAX_BYTES - 1] = 'x';
    refuse(*state, text, TEXT_MAX_BYTES, "the prompt gives 'x' the weight inf; -1000000 to 1000000 are allowed");
    for (size_t i = 0; i < TEXT_MAX_BYTES / 8; i++) memcpy(text + 8 * i, "a BREAK ", 8);
    refuse(*state, text, 8 * 257, "the prompt needs more than 256 chunks of 75 tokens, which is the most allowed");
    struct error err = {0};
    struct prompt_chunks got;
    const struct prompt_options options = {.length = 77, .pad = END};
    assert_int_equal(prompt_cut(&got, *state, text, 8 * 256, &options, &err), STATUS_OK);
    assert_int_equal(got.count, 256);
    prompt_chunks_clear(&got);
    memory_free(text);
}

static void test_no_memory(void **state)
{
    const char *prompt = "a (red:1.2) apple BREAK [b] BREAK c";
    for (uint64_t n = 1;; n++) {
        struct error err = {0};
        struct prompt_chunks got;
        const struct prompt_options options = {.length = 77, .pad = END};
        memory_fail_after(n);
        const enum status status = prompt_cut(&got, *state, prompt, strlen(prompt), &options, &err);
        const bool over = memory_fail_after(0) < n;
        assert_int_equal(status, over ? STATUS_OK : STATUS_NO_MEMORY);
        prompt_chunks_clear(&got);
        if (over) break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_web_ui),
        cmocka_unit_test(test_weights_of_tokens),
        cmocka_unit_test(test_more_parts),
        cmocka_unit_test(test_nul_in_text),
        cmocka_unit_test(test_end_token_in_text),
        cmocka_unit_test(test_plain_and_short),
        cmocka_unit_test(test_comma),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, make_tokenizer, drop_tokenizer);
}
