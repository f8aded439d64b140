/* SPDX-License-Identifier: MIT
 *
 * What a training keeps: files that were there before it and are not its own, the settings it was begun with, the steps
 * it has done, whatever ends it; and the earlier training, until the one that takes its place has begun.
 */
#define _POSIX_C_SOURCE 200809L /* fdopen, kill */
#include "core/base/memory.h"
#include "core/io/checkpoint.h"
#include "include/limn.h"
#include "tests/support/train.h"

#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct scratch scratch;

#define GAN "train gan --data pictures --size 28 --threads 1 --sheet-every 0 --log-every 99 "

static int set_up(void **state)
{
    (void)state;
    static const char config[] =
        "{\"gan\": {\"width\": 4, \"latent\": 8}, \"training\": {\"batch\": 4, \"steps\": 2, \"seed\": 5}}";
    train_set_up(&scratch);
    file_save(scratch_path(&scratch, "gan.json"), config, sizeof config - 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_close(&scratch);
    return 0;
}

/* The sentences that it writes are asserted to hold each of the words; NULL: that there are none. */
static void run(const char *words, int status, const char *first, const char *second)
{
    struct outcome o = command_run(scratch.folder, words, NULL);
    const bool good = first ? strstr(o.err, first) && strstr(o.err, second) : o.err[0] == '\0';
    if (o.status != status || !good) fail_msg("%s: %d: %s", words, o.status, o.err);
    outcome_clear(&o);
}

/* Is this what the file begins with, and, unless there may be more, all of it? */
static void check_file(const char *name, const char *wanted, bool more)
{
    size_t size;
    uint8_t *bytes = file_load(scratch_path(&scratch, name), &size);
    const size_t length = strlen(wanted);
    if (size < length || (size > length && !more) || memcmp(bytes, wanted, length) != 0)
        fail_msg("%s: %.*s", name, (int)size, (const char *)bytes);
    memory_free(bytes);
}

/* What a checkpoint says about its training; the caller's. */
static json_t *told(const char *state)
{
    struct error err = {0};
    struct checkpoint *c = NULL;
    if (checkpoint_open(&c, scratch_path(&scratch, state), &err) != STATUS_OK) fail_msg("%s", err.text);
    json_t *root = json_loads(checkpoint_metadata(c, "limn.training"), 0, NULL);
    assert_non_null(root);
    checkpoint_close(c);
    return root;
}

static long long step_of(const char *state)
{
    json_t *root = told(state);
    const long long step = json_integer_value(json_object_get(root, "step"));
    json_decref(root);
    return step;
}

static long long setting_of(const char *state, const char *key)
{
    json_t *root = told(state);
    const long long value = json_integer_value(json_object_get(json_object_get(root, "settings"), key));
    json_decref(root);
    return value;
}

/* ---- files ---- */

static const char others[] = "{\"file_name\": \"a.png\", \"text\": \"an apple\"}\n"
                             "no JSON\n"
                             "\n"
                             "[1, 2]\n"
                             "{\"out\":\"other.safetensors\",\"step\":9,\"loss\":1.5}\n"
                             "{\"step\": 9, \"loss\": 1.5}\n"
                             "{\"out\": \"m.safetensors\", \"text\": \"a picture of that name\"}\n"
                             "{\"cut o";

static void test_lines_of_others(void **state)
{
    (void)state;
    char text[2048];
    struct stat before, after;
    file_save(scratch_path(&scratch, "log/train.jsonl"), others, sizeof others - 1);
    assert_int_equal(stat(scratch_path(&scratch, "log/train.jsonl"), &before), 0);
    run(GAN "--config gan.json --out log/m.safetensors --quiet", 0, NULL, NULL);
    assert_int_equal(stat(scratch_path(&scratch, "log/train.jsonl"), &after), 0);
    assert_int_equal(before.st_ino, after.st_ino); /* nothing had to go: it is the same file still */
    snprintf(text, sizeof text, "%s\n{\"out\":\"m.safetensors\",\"step\":2,", others);
    check_file("log/train.jsonl", text, true);
    /* Records that are made again go, one that was cut off among them. */
    snprintf(text, sizeof text, "%s\n%s\n%s\n%s", "{\"out\":\"m.safetensors\",\"step\":1,\"loss\":2.5}", others,
             "{\"out\":\"m.safetensors\",\"step\":3,\"loss\":2.5,\"seconds\":1}", "{\"out\":\"m.safetensors\",\"st");
    file_save(scratch_path(&scratch, "log/train.jsonl"), text, strlen(text));
    run(GAN "--out log/m.safetensors --resume --steps 4 --quiet", 0, NULL, NULL);
    snprintf(text, sizeof text, "%s\n%s\n%s", "{\"out\":\"m.safetensors\",\"step\":1,\"loss\":2.5}", others,
             "{\"out\":\"m.safetensors\",\"step\":4,");
    check_file("log/train.jsonl", text, true);
}

/* ---- settings ---- */

static void test_remembered_settings(void **state)
{
    (void)state;
    run(GAN "--config gan.json --out set/m.safetensors --batch 6 --steps 3 --quiet", 0, NULL, NULL);
    run("train gan --data pictures --out set/m.safetensors --resume --threads 1", 0, "all of the 3 steps", "");
    assert_int_equal(setting_of("set/m.state.safetensors", "batch"), 6);
    assert_int_equal(setting_of("set/m.state.safetensors", "size"), 28);
    /* What is given again is over it: the configuration, and options over that. */
    run(GAN "--config gan.json --out set/m.safetensors --resume --steps 4 --quiet", 0, NULL, NULL);
    assert_int_equal(setting_of("set/m.state.safetensors", "batch"), 4);
    assert_int_equal(step_of("set/m.state.safetensors"), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_of_others),
        cmocka_unit_test(test_remembered_settings),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
