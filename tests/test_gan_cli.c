/* SPDX-License-Identifier: MIT
 *
 * GANs on the command line: lists of seeds, and limn latent.
 */
#include "tests/support/command.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BOTH "-m " GOLDEN "/gan/both.pth "
#define GREY "-m " GOLDEN "/gan/seeds-grey.safetensors "

static void run(struct scratch *s, const char *words, int status, const char *part)
{
    struct outcome o = command_run(s->folder, words, NULL);
    if (o.status != status || (!strstr(o.out, part) && !strstr(o.err, part)))
        fail_msg("limn %s: status %d, '%s', '%s': not %d and '%s'", words, o.status, o.out, o.err, status, part);
    outcome_clear(&o);
}

static void test_seeds(void **state)
{
    (void)state;
    struct scratch s;
    scratch_open(&s);
    run(&s, "generate " GREY "--seeds 0,3,10-11 -o {seed}.png", 0, "11.png  seed 11");
    assert_int_equal(scratch_files(&s), 4);
    run(&s, "generate " GREY "--seed 10 -o one.png", 0, "one.png  seed 10");
    run(&s, "generate " GREY "--seeds 0,3 --count 2", 2, "--seeds says which pictures there are to be");
    static const char *const bad[] = {"", "3,", "5-3", "a", "1,,2", "-1", "1-200000", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char words[512];
        snprintf(words, sizeof words, "generate " GREY "'--seeds=%s'", bad[i]);
        run(&s, words, 2, "must be seeds and runs of seeds with commas between");
    }
    run(&s, "generate", 2, "generate needs a PROMPT");
    run(&s, "generate " GREY "--truncation 0", 2, "--truncation");
    run(&s, "generate -m " GOLDEN "/gan/module.pth", 1, "torch.save(model.state_dict(), PATH)");
    assert_int_equal(scratch_files(&s), 5);
    scratch_close(&s);
}

static void test_latent(void **state)
{
    (void)state;
    struct scratch s;
    scratch_open(&s);
    run(&s, "latent walk " BOTH "--seeds 1-3 --frames 4 -o walk.png", 0, "walk.png  9 pictures");
    run(&s, "latent walk " BOTH "--seeds 1-3 --frames 4 -o walk.apng", 0, "walk.apng  12 pictures");
    run(&s, "latent walk " BOTH "--seeds 1-3 --frames 4 -o walk.gif", 0, "walk.gif  12 pictures");
    run(&s, "latent walk " BOTH "--seeds 0-8 --frames 1", 0, "limn-latent.png  9 pictures");
    run(&s, "latent mix " BOTH "'1,2 - 3-5 + 7' -o mix.png", 0, "mix.png  4 pictures");
    run(&s, "generate " BOTH "-s 5 -o five.png", 0, "five.png");
    run(&s, "latent judge " BOTH "five.png five.png --json", 0, "\"event\":\"judgement\"");
    run(&s, "latent find " BOTH "five.png -o found.png", 0, "found; off by");
    assert_int_equal(scratch_files(&s), 7);
    run(&s, "latent walk --prompt 'a red apple' --seeds 1,2 --frames 1 -o own.png", 0,
        "own.png  2 pictures"); /* limn's own */
    run(&s, "latent walk -m " SOURCE_DIR "/samples/emoji/emoji.safetensors --seeds 1,2", 1, "the model is no GAN");
    run(&s, "latent walk " BOTH, 2, "say which with --seeds");
    run(&s, "latent walk " BOTH "--seeds 1-900 --frames 8", 2, "at most 1024 are allowed");
    run(&s, "latent mix " BOTH "'1,2 * 3'", 2, "is not understood");
    run(&s, "latent mix " BOTH "'1 -'", 2, "is not understood");
    run(&s, "latent mix " BOTH, 2, "mix takes one expression");
    run(&s, "latent mix " BOTH "1 -o a.gif", 2, "must end in .png");
    run(&s, "latent judge " GREY "five.png", 1, "holds no discriminator");
    run(&s, "latent find " BOTH "none.png", 1, "none.png");
    run(&s, "latent dance", 2, "there are walk, mix, find and judge");
    scratch_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_seeds), cmocka_unit_test(test_latent)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
