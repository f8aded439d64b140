/* SPDX-License-Identifier: MIT
 *
 * The tokenizer against the ids of Hugging Face's (tests/golden/README.md), its limits, and merges that lie.
 */
#include "clip/text.h"
#include "clip/tokenizer.h"

#include "core/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

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

/* The row's ids: "ids", or "runs", each [times, id, ...]. */
static void expected_ids(const json_t *row, struct tokens *out)
{
    struct error err = {0};
    size_t i, j;
    const json_t *run, *id;
    json_array_foreach (json_object_get(row, "ids"), i, id) {
        assert_int_equal(tokens_reserve(out, 1, &err), STATUS_OK);
        out->ids[out->count++] = (int32_t)json_integer_value(id);
    }
    json_array_foreach (json_object_get(row, "runs"), i, run) {
        for (json_int_t times = json_integer_value(json_array_get(run, 0)); times > 0; times--) {
            json_array_foreach (run, j, id) {
                if (j == 0) continue;
                assert_int_equal(tokens_reserve(out, 1, &err), STATUS_OK);
                out->ids[out->count++] = (int32_t)json_integer_value(id);
            }
        }
    }
}

static char *repeated(const char *text, size_t bytes, size_t times)
{
    char *out = memory_alloc(bytes * times + 1);
    assert_non_null(out);
    for (size_t i = 0; i < times; i++) memcpy(out + i * bytes, text, bytes);
    return out;
}

static bool row_matches(const struct tokenizer *t, const json_t *row)
{
    struct error err = {0};
    struct tokens want = {0}, got = {0};
    const json_t *text = json_object_get(row, "text"), *said = json_object_get(row, "times");
    const size_t bytes = json_string_length(text), times = said ? (size_t)json_integer_value(said) : 1;
    char *whole = repeated(json_string_value(text), bytes, times);
    expected_ids(row, &want);
    assert_int_equal(tokenizer_encode(t, whole, bytes * times, &got, &err), STATUS_OK);
    const bool same =
        want.count == got.count && (got.count == 0 || memcmp(want.ids, got.ids, got.count * sizeof *got.ids) == 0);
    if (!same) {
        print_error("%s \"%s\":", json_string_value(json_object_get(row, "kind")), json_string_value(text));
        for (size_t i = 0; i < got.count && i < 20; i++) print_error(" %d", got.ids[i]);
        print_error("\n");
    }
    memory_free(whole);
    tokens_clear(&want);
    tokens_clear(&got);
    return same;
}

static void test_equals_hugging_face(void **state)
{
    json_error_t why;
    json_t *rows = json_load_file(GOLDEN "/tokens.json", 0, &why);
    assert_non_null(rows);
    assert_true(json_array_size(rows) >= 2000);
    size_t i, wrong = 0;
    const json_t *row;
    json_array_foreach (rows, i, row) wrong += !row_matches(*state, row);
    json_decref(rows);
    assert_int_equal(wrong, 0);
}

static void test_names(void **state)
{
    const struct token_names names = tokenizer_names(*state);
    assert_int_equal(names.start, 49406);
    assert_int_equal(names.end, 49407);
    assert_int_equal(names.comma, 267);
    assert_int_equal(names.size, 49408);
}

static void test_appends(void **state)
{
    struct error err = {0};
    struct tokens tokens = {0};
    assert_int_equal(tokenizer_encode(*state, "a red", 5, &tokens, &err), STATUS_OK);
    assert_int_equal(tokenizer_encode(*state, "apple", 5, &tokens, &err), STATUS_OK);
    assert_int_equal(tokens.count, 3);
    assert_int_equal(tokens.ids[2], 3055);
    assert_int_equal(tokenizer_encode(*state, "", 0, &tokens, &err), STATUS_OK);
    assert_int_equal(tokens.count, 3);
    assert_int_equal(tokenizer_encode(*state, "\0\0", 2, &tokens, &err), STATUS_OK); /* two control characters */
    assert_true(tokens.count > 3);
    tokens_clear(&tokens);
}

static void test_bad_text(void **state)
{
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        {"ab\xff", "the prompt is not valid UTF-8: byte 0xff at offset 2"},
        {"\x80", "the prompt is not valid UTF-8: byte 0x80 at offset 0"},
        {"caf\xc3", "the prompt is not valid UTF-8: byte 0xc3 at offset 3"},
        {"\xc0\x80", "the prompt is not valid UTF-8: byte 0xc0 at offset 0"},
        {"a\xed\xa0\x80", "the prompt is not valid UTF-8: byte 0xed at offset 1"},
        {"\xf4\x90\x80\x80", "the prompt is not valid UTF-8: byte 0xf4 at offset 0"},
        {"\xea\xb0\x80\xe2\x82", "the prompt is not valid UTF-8: byte 0xe2 at offset 3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        struct tokens tokens = {0};
        assert_int_equal(tokenizer_encode(*state, cases[i].text, strlen(cases[i].text), &tokens, &err),
                         STATUS_ARGUMENT);
        assert_string_equal(err.text, cases[i].sentence);
        assert_int_equal(tokens.count, 0);
        tokens_clear(&tokens);
    }
}

/* The longest text allowed, of what costs most: combining marks in the wrong order. One byte more is refused. */
static void test_long_text(void **state)
{
    struct error err = {0};
    struct tokens tokens = {0};
    char *text = memory_alloc(TEXT_MAX_BYTES + 1);
    assert_non_null(text);
    for (size_t i = 0; i < TEXT_MAX_BYTES; i += 2) /* U+0301 (class 230), then U+0323 (class 220) */
        memcpy(text + i, i < TEXT_MAX_BYTES / 2 ? "\xcc\x81" : "\xcc\xa3", 2);
    assert_int_equal(tokenizer_encode(*state, text, TEXT_MAX_BYTES, &tokens, &err), STATUS_OK);
    assert_true(tokens.count > 0);
    assert_int_equal(tokenizer_encode(*state, text, TEXT_MAX_BYTES + 1, &tokens, &err), STATUS_ARGUMENT);
    assert_string_equal(err.text, "the prompt is 16385 bytes long; at most 16384 are allowed");
    memory_free(text);
    tokens_clear(&tokens);
}

static void test_own_merges(void **state)
{
    (void)state;
    struct error err = {0};
    struct tokenizer *t = NULL;
    struct tokens tokens = {0};
    /* "aab" is a a b</w>: the first line makes aa, the second line aa b</w>. Byte a is 64, b at a word's end 256 + 65.
     */
    assert_int_equal(tokenizer_create(&t, "#version: 0.2\na a\naa b</w>\r\n\xc4\xa0 a\n", &err), STATUS_OK);
    assert_int_equal(tokenizer_encode(t, "aab aaab ba a", 13, &tokens, &err), STATUS_OK);
    const int32_t want[] = {513, 512, 64, 321, 65, 320, 320};
    assert_int_equal(tokens.count, 7);
    assert_memory_equal(tokens.ids, want, sizeof want);
    assert_int_equal(tokenizer_names(t).size, 512 + 3 + 2);
    assert_int_equal(tokenizer_names(t).start, 515);
    tokens_clear(&tokens);
    tokenizer_destroy(t);
    assert_int_equal(tokenizer_create(&t, "", &err), STATUS_OK); /* bytes only */
    tokenizer_destroy(t);
}

static void test_bad_merges(void **state)
{
    (void)state;
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        {"a b\nab", "merges, line 2: not two symbols with one space between them"},
        {"a b c", "merges, line 1: not two symbols with one space between them"},
        {" a", "merges, line 1: not two symbols with one space between them"},
        {"a ", "merges, line 1: not two symbols with one space between them"},
        {"a b\n\nabc d", "merges, line 3: the first symbol is neither a byte nor made by an earlier line"},
        {"a \xff", "merges, line 1: the second symbol is neither a byte nor made by an earlier line"},
        {"a b\na b", "merges, line 2: makes a symbol that is there already"},
        {"a b\nb c\na bc\nab c", "merges, line 4: makes a symbol that is there already"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        struct tokenizer *t = NULL;
        assert_int_equal(tokenizer_create(&t, cases[i].text, &err), STATUS_FORMAT);
        assert_string_equal(err.text, cases[i].sentence);
        assert_null(t);
    }
}

static void test_too_many_merges(void **state)
{
    (void)state;
    struct error err = {0};
    struct tokenizer *t = NULL;
    char *text = repeated("\n", 1, MERGES_MAX_COUNT);
    assert_int_equal(tokenizer_create(&t, text, &err), STATUS_FORMAT);
    assert_string_equal(err.text, "merges: 131073 lines; at most 131072 are allowed");
    memory_free(text);
    error_clear(&err);
    text = repeated("a", 1, MERGES_MAX_BYTES + 1);
    assert_int_equal(tokenizer_create(&t, text, &err), STATUS_FORMAT);
    assert_string_equal(err.text, "merges: 4194305 bytes of text; at most 4194304 are allowed");
    memory_free(text);
}

/* Every allocation fails once, and each failure is reported and leaves nothing behind. */
static void test_no_memory(void **state)
{
    const struct tokenizer *const whole = *state;
    for (int own = 0; own < 2; own++) {
        for (uint64_t n = 1;; n++) {
            struct error err = {0};
            struct tokenizer *t = NULL;
            memory_fail_after(n);
            const enum status status = tokenizer_create(&t, own ? "a b\n" : NULL, &err);
            const bool over = memory_fail_after(0) < n;
            assert_int_equal(status, over ? STATUS_OK : STATUS_NO_MEMORY);
            tokenizer_destroy(t);
            if (over) break;
        }
    }
    for (uint64_t n = 1;; n++) {
        struct error err = {0};
        struct tokens tokens = {0};
        memory_fail_after(n);
        const enum status status = tokenizer_encode(whole, "a red apple<|endoftext|>", 24, &tokens, &err);
        const bool over = memory_fail_after(0) < n;
        assert_int_equal(status, over ? STATUS_OK : STATUS_NO_MEMORY);
        tokens_clear(&tokens);
        if (over) break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_hugging_face),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_appends),
        cmocka_unit_test(test_bad_text),
        cmocka_unit_test(test_long_text),
        cmocka_unit_test(test_own_merges),
        cmocka_unit_test(test_bad_merges),
        cmocka_unit_test(test_too_many_merges),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, make_tokenizer, drop_tokenizer);
}
