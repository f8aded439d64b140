/* SPDX-License-Identifier: MIT
 *
 * The programs in samples/, run as their comments say.
 */
#include "include/limn.h"
#include "tests/support/command.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char model[TINY_PATH_BYTES];

static int set_up(void **state)
{
    (void)state;
    tiny_write(model, TINY_PACK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tiny_remove(model);
    return 0;
}

static struct outcome run(const char *program, const char *words)
{
    char all[256];
    snprintf(all, sizeof all, "%s %s", words, model);
    struct outcome o = command_run(".", all, &(struct command_limits){.program = program});
    if (o.status != 0) fail_msg("%s %s: exit status %d: %s", program, all, o.status, o.err);
    return o;
}

static void test_samples(void **state)
{
    (void)state;
    struct outcome o = run("sample_generate", "'a red apple' sample-apple.png");
    assert_non_null(strstr(o.out, "sample-apple.png: 32 x 32 pixels"));
    assert_non_null(strstr(o.out, "a red apple\nSteps: 3, Sampler: DDIM"));
    outcome_clear(&o);

    o = run("sample_edit", "sample-apple.png 'a cat face' sample-edit.png");
    struct limn_image before, after;
    assert_int_equal(limn_image_read(&before, "sample-apple.png", NULL), LIMN_OK);
    assert_int_equal(limn_image_read(&after, "sample-edit.png", NULL), LIMN_OK);
    assert_memory_equal(before.pixels, after.pixels, (size_t)3 * 32);
    assert_memory_not_equal(before.pixels + 3 * 32 * 16, after.pixels + 3 * 32 * 16, (size_t)3 * 32);
    limn_image_clear(&before);
    limn_image_clear(&after);
    outcome_clear(&o);

    o = run("sample_vary", "sample-apple.png 1000 sample-vary");
    assert_string_equal(o.out, "sample-vary-1.png\nsample-vary-2.png\nsample-vary-3.png\n");
    assert_non_null(strstr(o.err, "step "));
    outcome_clear(&o);

    static const char *const made[] = {"sample-apple.png", "sample-edit.png", "sample-vary-1.png", "sample-vary-2.png",
                                       "sample-vary-3.png"};
    for (int i = 0; i < 5; i++) assert_int_equal(unlink(made[i]), 0);

    o = command_run(".", "x y.png no-such-model", &(struct command_limits){.program = "sample_generate"});
    assert_int_equal(o.status, 1);
    assert_non_null(strstr(o.err, "no-such-model"));
    outcome_clear(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_samples)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
