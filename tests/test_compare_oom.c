/* SPDX-License-Identifier: MIT
 *
 * Allocations of a comparison made to fail: of folders, and of models. There are too many to try each one, so the
 * steps grow: every one of the first hundred, then ever fewer. Each time the answer is LIMN_NO_MEMORY, without a leak
 * (the sanitizers watch), and nothing is left in what was to be filled in.
 */
#include "core/base/memory.h"
#include "core/io/safetensors_write.h"
#include "include/limn.h"
#include "tests/support/pictures.h"
#include "tests/support/scratch.h"
#include "tests/support/tiny.h"
#include "tests/support/weights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct scratch scratch;
static char clip[512], pack[512], real[512], mine[512], output[512];

static void keep(char path[512], const char *name)
{
    snprintf(path, 512, "%s", scratch_path(&scratch, name));
}

static int set_up(void **state)
{
    (void)state;
    struct error err = {0};
    char written[TINY_PATH_BYTES];
    const struct safetensors_note heads = {"limn.pack", "{\"text\": {\"heads\": 4}, \"image\": {\"heads\": 6}}"};
    scratch_open(&scratch);
    keep(clip, "clip.safetensors");
    keep(pack, "pack.safetensors");
    keep(real, "real");
    keep(mine, "mine");
    keep(output, "out");
    assert_int_equal(weights_write_noted(clip, (const char *[]){"clip-hf"}, 1, DTYPE_F32, &heads, 1, &err), STATUS_OK);
    tiny_write(written, TINY_PACK);
    assert_int_equal(rename(written, pack), 0);
    pictures_drawn(real, 3, 1, 16);
    pictures_drawn(mine, 3, 11, 16);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_close(&scratch);
    return 0;
}

/* growth: of the number of allocations that are let through, in parts of a hundred. */
static void fail_some(const struct limn_compare_request *request, int growth)
{
    int tries = 0;
    for (uint64_t i = 1;; i += 1 + (i > 100 ? i * (uint64_t)growth / 100 : 0)) {
        struct limn_error error = {0};
        struct limn_comparison comparison;
        (void)memory_fail_after(i);
        const enum limn_status status = limn_compare(request, &comparison, &error);
        const uint64_t asked = memory_fail_after(0);
        assert_int_equal(comparison.report != NULL && comparison.verdict != NULL, status == LIMN_OK);
        limn_comparison_clear(&comparison);
        tries++;
        if (asked < i) {
            assert_int_equal(status, LIMN_OK);
            print_message("%llu allocations, %d tries\n", (unsigned long long)asked, tries);
            return;
        }
        if (status != LIMN_NO_MEMORY)
            fail_msg("allocation %llu: %s: %s", (unsigned long long)i, limn_status_name(status), error.text);
    }
}

static void test_folders(void **state)
{
    (void)state;
    const char *const folders[] = {mine, real};
    fail_some(
        &(struct limn_compare_request){
            .folders = folders, .folder_count = 2, .reference = real, .clip = clip, .output = output, .threads = 1},
        4);
}

static void test_models(void **state)
{
    (void)state;
    const char *const models[] = {pack, GOLDEN "/gan/seeds.safetensors"}, *const prompts[] = {"apple", "사과"};
    fail_some(&(struct limn_compare_request){.models = models,
                                             .model_count = 2,
                                             .prompts = prompts,
                                             .prompt_count = 2,
                                             .count = 2,
                                             .clip = clip,
                                             .output = output,
                                             .threads = 1},
              40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_folders), cmocka_unit_test(test_models)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
