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

static void run(const char *words, int status, const char *first, const char *second)
{
    train_said(&scratch, words, status, first, second);
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

static bool same_files(const char *a, const char *b)
{
    size_t sizes[2];
    uint8_t *bytes[2] = {file_load(scratch_path(&scratch, a), &sizes[0]),
                         file_load(scratch_path(&scratch, b), &sizes[1])};
    const bool same = sizes[0] == sizes[1] && memcmp(bytes[0], bytes[1], sizes[0]) == 0;
    memory_free(bytes[0]);
    memory_free(bytes[1]);
    return same;
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

/* A model without a checkpoint was not left there by a training that could go on. */
static void test_somebodys_model(void **state)
{
    (void)state;
    struct stat info;
    file_save(scratch_path(&scratch, "own/m.safetensors"), "fetched", 7);
    run(GAN "--config gan.json --out own/m.safetensors", 2, "own/m.safetensors", "--restart");
    run(GAN "--config gan.json --out own/m.safetensors --resume", 2, "own/m.safetensors", "--restart");
    check_file("own/m.safetensors", "fetched", false);
    run(GAN "--config gan.json --out own/m.safetensors --restart --quiet", 0, NULL, NULL);
    assert_int_equal(stat(scratch_path(&scratch, "own/m.safetensors"), &info), 0);
    assert_true(info.st_size > 7);
}

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

static void test_seed_0(void **state)
{
    (void)state;
    run(GAN "--config gan.json --out seed/m.safetensors --seed 0 --quiet", 0, NULL, NULL);
    assert_int_equal(setting_of("seed/m.state.safetensors", "seed"), 0);
    run(GAN "--config gan.json --out seed/n.safetensors --quiet", 0, NULL, NULL);
    assert_int_equal(setting_of("seed/n.state.safetensors", "seed"), 5);
    run(GAN "--out seed/n.safetensors --resume --seed 0 --steps 3 --quiet", 0, NULL, NULL);
    assert_int_equal(setting_of("seed/n.state.safetensors", "seed"), 0);
}

/* ---- begun anew ---- */

/* Kills the training after its first step. */
static void kill_early(const char *words)
{
    char line[1024];
    int status;
    const struct running r = command_start(scratch.folder, words);
    FILE *output = fdopen(r.output, "r");
    assert_non_null(output);
    bool steps = false;
    while (!steps && fgets(line, sizeof line, output)) steps = strstr(line, "\"event\":\"step\"") != NULL;
    assert_int_equal(kill(r.process, SIGKILL), 0);
    assert_int_equal(waitpid(r.process, &status, 0), r.process);
    assert_true(steps && WIFSIGNALED(status));
    fclose(output);
}

/* Killed before its first checkpoint, it is the new training that --resume goes on with, not the old. */
static void test_restarted_and_killed(void **state)
{
    (void)state;
    run(GAN "--config gan.json --out anew/m.safetensors --steps 3 --quiet", 0, NULL, NULL);
    kill_early(GAN "--config gan.json --out anew/m.safetensors --steps 100000000 --save-every 100000000 --seed 7 "
                   "--log-every 1 --json --restart");
    run(GAN "--out anew/m.safetensors --resume --steps 5 --save-every 5 --quiet", 0, NULL, NULL);
    run(GAN "--config gan.json --out fresh/m.safetensors --steps 5 --save-every 5 --seed 7 --quiet", 0, NULL, NULL);
    assert_true(same_files("anew/m.safetensors", "fresh/m.safetensors"));
    /* So, too, where only a model was there. */
    file_save(scratch_path(&scratch, "only/m.safetensors"), "fetched", 7);
    kill_early(GAN "--config gan.json --out only/m.safetensors --steps 100000000 --save-every 100000000 --seed 7 "
                   "--log-every 1 --json --restart");
    check_file("only/m.safetensors", "fetched", false);
    run(GAN "--out only/m.safetensors --resume --steps 5 --save-every 5 --quiet", 0, NULL, NULL);
    assert_true(same_files("only/m.safetensors", "fresh/m.safetensors"));
}

/* What cannot begin replaces nothing. */
static void test_restarted_in_vain(void **state)
{
    (void)state;
    size_t sizes[2];
    run(GAN "--config gan.json --out vain/m.safetensors --quiet", 0, NULL, NULL);
    uint8_t *state_before = file_load(scratch_path(&scratch, "vain/m.state.safetensors"), &sizes[0]);
    uint8_t *log_before = file_load(scratch_path(&scratch, "vain/train.jsonl"), &sizes[1]);
    file_save(scratch_path(&scratch, "vain/state"), state_before, sizes[0]);
    file_save(scratch_path(&scratch, "vain/log"), log_before, sizes[1]);
    run(GAN "--config gan.json --out vain/m.safetensors --restart --init gan.json", 1, "gan.json", "");
    run(GAN "--config gan.json --out vain/m.safetensors --restart --max-memory 1M", 1, "limit", "");
    assert_true(same_files("vain/m.state.safetensors", "vain/state"));
    assert_true(same_files("vain/train.jsonl", "vain/log"));
    memory_free(state_before);
    memory_free(log_before);
}

/* ---- sheets ---- */

/* A caller who wants to stop as soon as a sheet is being painted: when he is asked a second time after step 2. */
struct caller {
    bool due;
    int asked;
};

static int wants_to_stop(void *context)
{
    struct caller *caller = context;
    return caller->due && ++caller->asked > 1;
}

static void see(void *context, const struct limn_train_record *record)
{
    struct caller *caller = context;
    caller->due = record->step == 2;
}

static enum limn_status train_with_sheets(const char *name, bool stopping, struct limn_error *error)
{
    char data[512], out[512], config[512], vae[512];
    struct caller caller = {0};
    const struct limn_watch watch = {.context = &caller, .cancelled = stopping ? wants_to_stop : NULL};
    snprintf(data, sizeof data, "%s", scratch_path(&scratch, "pictures"));
    snprintf(out, sizeof out, "%s", scratch_path(&scratch, name));
    snprintf(config, sizeof config, "%s", scratch_path(&scratch, "tiny.json"));
    snprintf(vae, sizeof vae, "%s", scratch_path(&scratch, "vae.safetensors"));
    const struct limn_train_options options = {
        .family = "diffusion",
        .data = data,
        .out = out,
        .config = config,
        .vae = vae,
        .size = 16,
        .steps = 4,
        .save_every = 100,
        .sheet_every = 2,
        .threads = 1,
        .watch = &watch,
        .record = see,
        .record_context = &caller,
    };
    return limn_train(&options, error);
}

static void test_stopped_at_a_sheet(void **state)
{
    (void)state;
    struct limn_error error = {0};
    assert_int_equal(train_with_sheets("sheet/m.safetensors", true, &error), LIMN_CANCELLED);
    assert_string_equal(error.text, "stopped after step 2 of 4; --resume goes on from there");
    assert_int_equal(step_of("sheet/m.state.safetensors"), 2);
    assert_int_not_equal(access(scratch_path(&scratch, "sheet/m-000002.png"), F_OK), 0);
}

static void test_sheet_that_fails(void **state)
{
    (void)state;
    struct limn_error error = {0};
    file_save(scratch_path(&scratch, "blocked/m-000002.png/a"), "a", 1);
    assert_int_equal(train_with_sheets("blocked/m.safetensors", false, &error), LIMN_IO);
    if (!strstr(error.text, "m-000002.png")) fail_msg("%s", error.text);
    assert_int_equal(step_of("blocked/m.state.safetensors"), 2);
}

/* It is not the first sheet, hours later, that finds out. */
static void test_sheet_too_large(void **state)
{
    (void)state;
    static const char wide[] = "{\"sheet\": {\"columns\": 64}}";
    static const char long_one[] = "{\"sheet\": {\"columns\": 1, \"prompts\": [\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
                                   "\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"]}}";
    file_save(scratch_path(&scratch, "wide.json"), wide, sizeof wide - 1);
    file_save(scratch_path(&scratch, "long.json"), long_one, sizeof long_one - 1);
    run("train diffusion --data pictures --vae vae.safetensors --size 256 --config wide.json --out s.safetensors "
        "--max-memory 1M --threads 1",
        2, "16904 x 272 pixels", "16384");
    run("train diffusion --data pictures --vae vae.safetensors --size 1024 --config long.json --out s.safetensors "
        "--max-memory 1M --threads 1",
        2, "1056 x 18736 pixels", "16384");
}

/* ---- several machines: one's failure is everybody's ---- */

#define TWO "-n 2 " BUILD_DIR "/limn "

/* Rank 0 finds that it cannot write its records when it writes the first of them. */
static void test_records_of_two(void **state)
{
    (void)state;
    assert_int_equal(mkdir(scratch_path(&scratch, "mute"), 0777), 0);
    assert_int_equal(symlink("none/train.jsonl", scratch_path(&scratch, "mute/train.jsonl")), 0);
    train_on_machines(&scratch, TWO GAN "--config gan.json --out mute/m.safetensors --log-every 1", 1,
                      "train.jsonl: could not be opened");
}

#define ONE "-n 1 " BUILD_DIR "/limn "

static void test_two_configurations(void **state)
{
    (void)state;
    static const char other[] = "{\"gan\": {\"width\": 4, \"latent\": 8, \"every\": 2}, \"training\": {\"batch\": 4, "
                                "\"steps\": 2, \"seed\": 5}}";
    static const char spread[] = "{\"training\": {\"seed\": 5}, \"gan\": {\"latent\": 8, \"width\": 4}}";
    file_save(scratch_path(&scratch, "other.json"), other, sizeof other - 1);
    file_save(scratch_path(&scratch, "spread.json"), spread, sizeof spread - 1);
    train_on_machines(&scratch,
                      ONE GAN "--config gan.json --out two/m.safetensors : " ONE GAN
                              "--config other.json --out two/m.safetensors",
                      2, "the configuration is not the same as in process 1");
    /* The same in other words. */
    train_on_machines(&scratch,
                      ONE GAN "--config gan.json --out two/m.safetensors : " ONE GAN
                              "--config spread.json --batch 4 --steps 2 --out two/m.safetensors",
                      0, "");
}

static void test_two_beginnings(void **state)
{
    (void)state;
    run(GAN "--config gan.json --seed 1 --out init1/g.safetensors --quiet", 0, NULL, NULL);
    run(GAN "--config gan.json --seed 2 --out init2/g.safetensors --quiet", 0, NULL, NULL);
    /* By the same name, each in its machine's own folder. */
    static const char words[] =
        "-n 1 -wdir init1 " BUILD_DIR "/limn train gan --data ../pictures --config ../gan.json --size 28 --threads 1 "
        "--init g.safetensors --out ../begun.safetensors : -n 1 -wdir init2 " BUILD_DIR
        "/limn train gan --data ../pictures --config ../gan.json --size 28 --threads 1 --init g.safetensors --out "
        "../begun.safetensors";
    train_on_machines(&scratch, words, 2, "model to begin with is not the same as in process 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_somebodys_model),      cmocka_unit_test(test_lines_of_others),
        cmocka_unit_test(test_remembered_settings),  cmocka_unit_test(test_seed_0),
        cmocka_unit_test(test_restarted_and_killed), cmocka_unit_test(test_restarted_in_vain),
        cmocka_unit_test(test_stopped_at_a_sheet),   cmocka_unit_test(test_sheet_that_fails),
        cmocka_unit_test(test_sheet_too_large),      cmocka_unit_test(test_records_of_two),
        cmocka_unit_test(test_two_configurations),   cmocka_unit_test(test_two_beginnings),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
