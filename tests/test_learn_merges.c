/* SPDX-License-Identifier: MIT
 *
 * Tables of merges that are learnt: the worked example of Sennrich et al., order, bounds, and tables that tokenize.
 */
#include "clip/learn_merges.h"

#include "clip/tokenizer.h"
#include "core/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static enum status learn(const char *const *texts, int count, bool backwards, int most, char **table, struct error *err)
{
    struct merges_learner *learner = NULL;
    enum status status = merges_learner_create(&learner, err);
    for (int i = 0; i < count && status == STATUS_OK; i++)
        status = merges_learner_add(learner, texts[backwards ? count - 1 - i : i], err);
    *table = status == STATUS_OK ? merges_learner_finish(learner, most, err) : NULL;
    merges_learner_destroy(learner);
    return err->status;
}

/* Algorithm 1 of the paper: low 5 times, lower 2, newest 6, widest 3. */
static const char *const paper[] = {"low low low low low", "lower lower", "newest Newest newest newest newest newest",
                                    "widest widest, widest"};

static void test_paper(void **state)
{
    (void)state;
    struct error err = {0};
    char *table = NULL;
    assert_int_equal(learn(paper, 4, false, 6, &table, &err), STATUS_OK);
    /* Of equal pairs, bytes come in the order of the vocabulary, and bytes before what was made of them. */
    assert_string_equal(table, "e s\nes t</w>\nl o\ne w\nn ew\nnew est</w>\n");
    memory_free(table);
}

static void test_order_does_not_matter(void **state)
{
    (void)state;
    struct error err = {0};
    char *forward = NULL, *backward = NULL;
    assert_int_equal(learn(paper, 4, false, 100, &forward, &err), STATUS_OK);
    assert_int_equal(learn(paper, 4, true, 100, &backward, &err), STATUS_OK);
    assert_string_equal(forward, backward);
    memory_free(forward);
    memory_free(backward);
}

/* Every word that occurs twice is one token in the end, in any script. */
static void test_whole_words(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "a red apple, noto style", "빨간 사과, 노토", "빨간 사과", "A Red Apple", "<|endoftext|>red",
    };
    const char *asked = "red apple 빨간 사과";
    struct error err = {0};
    char *table = NULL;
    assert_int_equal(learn(texts, 5, false, 4000, &table, &err), STATUS_OK);
    struct tokenizer *tokenizer = NULL;
    assert_int_equal(tokenizer_create(&tokenizer, table, &err), STATUS_OK);
    struct tokens tokens = {0};
    assert_int_equal(tokenizer_encode(tokenizer, asked, strlen(asked), &tokens, &err), STATUS_OK);
    assert_int_equal(tokens.count, 4);
    tokens.count = 0;
    assert_int_equal(tokenizer_encode(tokenizer, "style", 5, &tokens, &err), STATUS_OK);
    assert_int_equal(tokens.count, 4); /* it occurred once, but its end is also an apple's */
    tokens_clear(&tokens);
    tokenizer_destroy(tokenizer);
    memory_free(table);
}

static void test_nothing_to_learn(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "a b c", "\xff"};
    struct error err = {0};
    char *table = NULL;
    assert_int_equal(learn(texts, 2, false, 100, &table, &err), STATUS_OK);
    assert_string_equal(table, "");
    memory_free(table);
    assert_int_equal(learn(paper, 4, false, 0, &table, &err), STATUS_OK);
    assert_string_equal(table, "");
    memory_free(table);
    assert_int_equal(learn(texts, 3, false, 100, &table, &err), STATUS_ARGUMENT);
    assert_non_null(strstr(err.text, "UTF-8"));
}

/* Many words, so that all the tables grow. */
static void test_many_words(void **state)
{
    (void)state;
    struct error err = {0};
    struct merges_learner *learner = NULL;
    assert_int_equal(merges_learner_create(&learner, &err), STATUS_OK);
    for (int i = 0; i < 3000; i++) {
        char text[] = "........ .";
        for (int k = 0, n = i * 26544 % 1000003; k < 8; k++, n = (n * 7 + k) % 1000003)
            text[k] = (char)('a' + n / 3 % 26);
        assert_int_equal(merges_learner_add(learner, text, &err), STATUS_OK);
    }
    char *table = merges_learner_finish(learner, 700, &err);
    merges_learner_destroy(learner);
    assert_non_null(table);
    struct tokenizer *tokenizer = NULL;
    assert_int_equal(tokenizer_create(&tokenizer, table, &err), STATUS_OK);
    assert_int_equal(tokenizer_names(tokenizer).size, 512 + 700 + 2);
    tokenizer_destroy(tokenizer);
    memory_free(table);
}

static void test_no_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct error err = {0};
        char *table = NULL;
        memory_fail_after(n);
        const enum status status = learn(paper, 4, false, 100, &table, &err);
        const bool over = memory_fail_after(0) < n;
        assert_int_equal(status, over ? STATUS_OK : STATUS_NO_MEMORY);
        memory_free(table);
        if (over) break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paper),       cmocka_unit_test(test_order_does_not_matter),
        cmocka_unit_test(test_whole_words), cmocka_unit_test(test_nothing_to_learn),
        cmocka_unit_test(test_many_words),  cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
