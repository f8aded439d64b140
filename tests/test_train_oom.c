/* SPDX-License-Identifier: MIT
 *
 * Every allocation of a training made to fail in turn: opening, one step, its checkpoint and result, and the same
 * resumed. Each time the answer is LIMN_NO_MEMORY, without a leak (the sanitizers watch), and what was written before
 * is still whole.
 */
#include "core/base/memory.h"
#include "include/limn.h"
#include "tests/support/train.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct scratch scratch;

static int set_up(void **state)
{
    (void)state;
    train_set_up(&scratch);
    static const char vae[] =
        "{\"training\": {\"optimiser\": \"muon\"}, \"vae\": {\"channels\": 4, \"multipliers\": [1, 2],"
        " \"latent\": 2, \"groups\": 2}}";
    file_save(scratch_path(&scratch, "vae.json"), vae, sizeof vae - 1);
    return chdir(scratch.folder);
}

static int tear_down(void **state)
{
    (void)state;
    if (chdir("..") != 0) return 1;
    scratch_close(&scratch);
    return 0;
}

static enum limn_status train_diffusion(int steps, int resume, struct limn_error *error)
{
    const struct limn_train_options options = {
        .family = "diffusion",
        .data = "pictures",
        .out = "m.safetensors",
        .config = "tiny.json",
        .vae = "vae.safetensors",
        .size = 16,
        .steps = steps,
        .batch = 2,
        .threads = 1,
        .resume = resume,
        .restart = !resume,
        .sheet_every = -1,
    };
    return limn_train(&options, error);
}

/* With a sheet. */
static enum limn_status train_vae(int steps, int resume, struct limn_error *error)
{
    const struct limn_train_options options = {
        .family = "vae",
        .data = "pictures",
        .out = "v.safetensors",
        .config = "vae.json",
        .size = 16,
        .steps = steps,
        .batch = 2,
        .threads = 1,
        .resume = resume,
        .restart = !resume,
        .sheet_every = 1,
    };
    return limn_train(&options, error);
}

/* Calls `train` with its first allocation failing, then its second, until it gets by without the one that would. */
static void fail_each(enum limn_status (*train)(int, int, struct limn_error *), int steps, int resume)
{
    for (uint64_t i = 1;; i++) {
        struct limn_error error = {0};
        (void)memory_fail_after(i);
        const enum limn_status status = train(steps, resume, &error);
        const uint64_t asked = memory_fail_after(0);
        if (asked < i) {
            assert_int_equal(status, LIMN_OK);
            print_message("%llu allocations\n", (unsigned long long)asked);
            assert_true(i > 100);
            return;
        }
        if (status != LIMN_NO_MEMORY)
            fail_msg("allocation %llu: %s: %s", (unsigned long long)i, limn_status_name(status), error.text);
        assert_true(error.text[0] != '\0');
    }
}

static void test_one_step(void **state)
{
    (void)state;
    fail_each(train_diffusion, 1, 0);
}

/* What is resumed is never lost: the checkpoint of step 1 is there until that of step 2 is. */
static void test_resumed(void **state)
{
    (void)state;
    fail_each(train_diffusion, 2, 1);
}

static void test_vae(void **state)
{
    (void)state;
    fail_each(train_vae, 1, 0);
    fail_each(train_vae, 2, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_step),
        cmocka_unit_test(test_resumed),
        cmocka_unit_test(test_vae),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
