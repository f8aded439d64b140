/* SPDX-License-Identifier: MIT
 *
 * What the steps of a training are: how many of them warm the text tower up, which captions are wrong ones, and which
 * losses a record holds.
 */
#include "core/base/memory.h"
#include "core/io/checkpoint.h"
#include "core/io/safetensors_write.h"
#include "tests/support/train.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct scratch scratch;

/* The sentences that it writes are asserted to hold the words; NULL: that there are none. */
static void run(const char *words, int status, const char *part)
{
    struct outcome o = command_run(scratch.folder, words, NULL);
    if (o.status != status || !(part ? strstr(o.err, part) != NULL : o.err[0] == '\0'))
        fail_msg("%s: %d: %s", words, o.status, o.err);
    outcome_clear(&o);
}

static void save_text(const char *name, const char *text)
{
    file_save(scratch_path(&scratch, name), text, strlen(text));
}

static struct checkpoint *open_model(const char *name)
{
    struct error err = {0};
    struct checkpoint *c = NULL;
    if (checkpoint_open(&c, scratch_path(&scratch, name), &err) != STATUS_OK) fail_msg("%s", err.text);
    return c;
}

static int set_up(void **state)
{
    (void)state;
    train_set_up(&scratch);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_close(&scratch);
    return 0;
}

/* ---- the warm-up ---- */

#define SHAPES                                                                                                         \
    "\"pixels\": {\"patch\": 4}, \"unet\": {\"channels\": 8, \"multipliers\": [1, 2], \"attention\": [1],"             \
    " \"head_channels\": 8, \"groups\": 4}, \"text\": {\"width\": 16, \"heads\": 2, \"layers\": 1"
#define PIXELS                                                                                                         \
    "train diffusion --data pictures --size 16 --threads 1 --batch 2 --sheet-every 0 --out warm/m.safetensors "

/* How many steps the trainer has made, by the checkpoint. */
static int steps_of(const char *state, const char *trainer)
{
    struct checkpoint *c = open_model(state);
    json_t *root = json_loads(checkpoint_metadata(c, "limn.training"), 0, NULL);
    const int steps = (int)json_integer_value(json_object_get(json_object_get(root, "trainers"), trainer));
    json_decref(root);
    checkpoint_close(c);
    return steps;
}

static void check_steps(int text, int unet)
{
    assert_int_equal(steps_of("warm/m.state.safetensors", "text"), text);
    assert_int_equal(steps_of("warm/m.state.safetensors", "unet"), unet);
}

static void test_warm_up(void **state)
{
    (void)state;
    save_text("default.json", "{" SHAPES "}}");
    save_text("given.json", "{" SHAPES ", \"warm_up\": 6}}");
    run(PIXELS "--config default.json --steps 10", 0, "warm-up is shortened to 1 of the 10 steps");
    check_steps(10, 9);
    /* Made longer it would have 800 of its own, but its U-Net has begun. */
    run(PIXELS "--resume --steps 1700 --quiet", 0, NULL);
    check_steps(1700, 1699);
    run(PIXELS "--config given.json --steps 6 --restart", 2, "'warm_up' in 'text' is 6 and the training has 6 steps");
    run(PIXELS "--config given.json --steps 7 --restart --quiet", 0, NULL);
    check_steps(7, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_warm_up),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
