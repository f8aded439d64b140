/* SPDX-License-Identifier: MIT
 *
 * limn train: from a folder of pictures to a model that limn opens; killed, stopped and resumed; what is refused. The
 * weights after a training are the same bits however often it was interrupted.
 */
#define _POSIX_C_SOURCE 200809L /* fdopen, kill */
#include "core/base/memory.h"
#include "core/io/checkpoint.h"
#include "include/limn.h"
#include "tests/support/tiny.h"
#include "tests/support/train.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct scratch scratch;

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

static void run_well(const char *words)
{
    struct outcome o = train_run(&scratch, words);
    if (o.status != 0) fail_msg("%s: %s", words, o.err);
    outcome_clear(&o);
}

/* The sentence is asserted to hold each of the words. */
static void run_badly(const char *words, int status, const char *first, const char *second)
{
    struct outcome o = train_run(&scratch, words);
    if (o.status != status || !strstr(o.err, first) || !strstr(o.err, second))
        fail_msg("%s: %d: %s", words, o.status, o.err);
    outcome_clear(&o);
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

/* How many records there are; that they count up by one is asserted. */
static int count_records(const char *path)
{
    size_t size;
    uint8_t *bytes = file_load(scratch_path(&scratch, path), &size);
    int count = 0;
    for (size_t at = 0; at < size;) {
        const uint8_t *end = memchr(bytes + at, '\n', size - at);
        assert_non_null(end);
        json_t *record = json_loadb((const char *)bytes + at, (size_t)(end - (bytes + at)), 0, NULL);
        assert_int_equal(json_integer_value(json_object_get(record, "step")), ++count);
        assert_true(json_real_value(json_object_get(record, "loss")) > 0);
        assert_true(json_real_value(json_object_get(record, "images_per_second")) > 0);
        json_decref(record);
        at = (size_t)(end - bytes) + 1;
    }
    memory_free(bytes);
    return count;
}

/* ---- all is well ---- */

static void test_command(void **state)
{
    (void)state;
    run_well("--out run/m.safetensors --steps 6 --log-every 1 --sheet-every 3");
    assert_int_equal(count_records("run/train.jsonl"), 6);
    struct limn_image curve = {0};
    assert_int_equal(limn_image_read(&curve, scratch_path(&scratch, "run/m-loss.png"), NULL), LIMN_OK);
    limn_image_clear(&curve);
    struct outcome o =
        command_run(scratch.folder, "generate 'a red square' -m run/m.safetensors --steps 2 -o p.png", NULL);
    if (o.status != 0) fail_msg("%s", o.err);
    outcome_clear(&o);
    o = command_run(scratch.folder, "info run/m.safetensors --json", NULL);
    assert_int_equal(o.status, 0);
    assert_non_null(strstr(o.out, "a red square"));
    outcome_clear(&o);
}

/* Without a VAE pixels are painted, and the result says so. */
static void test_pixels(void **state)
{
    (void)state;
    static const char config[] =
        "{\"pixels\": {\"patch\": 4}, \"unet\": {\"channels\": 8, \"multipliers\": [1, 2], \"attention\": [1],"
        " \"head_channels\": 8, \"groups\": 4}, \"text\": {\"width\": 16, \"heads\": 2, \"layers\": 1}}";
    file_save(scratch_path(&scratch, "pixels.json"), config, sizeof config - 1);
    static const char *const commands[] = {
        "train diffusion --data pictures --config pixels.json --size 16 --steps 2 --quiet --out pixels/m.safetensors",
        "train diffusion --data pictures --init pixels/m.safetensors --steps 1 --quiet --out pixels/n.safetensors",
        "generate 'a red square' -m pixels/n.safetensors --steps 2 -o pixels/p.png",
        "edit pixels/p.png 'a blue square' --mask pixels/p.png -m pixels/n.safetensors --steps 2 -o pixels/e.png"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        struct outcome o = command_run(scratch.folder, commands[i], NULL);
        if (o.status != 0) fail_msg("%s: %s", commands[i], o.err);
        outcome_clear(&o);
    }
}

static void test_json(void **state)
{
    (void)state;
    struct outcome o = train_run(&scratch, "--out json/m.safetensors --steps 5 --log-every 2 --sheet-every 0");
    assert_int_equal(o.status, 0);
    int records = 0, step = 0;
    for (char *line = strtok(o.out, "\n"); line; line = strtok(NULL, "\n")) {
        json_t *event = json_loads(line, 0, NULL);
        assert_true(json_is_object(event));
        if (strcmp(json_string_value(json_object_get(event, "event")), "step") == 0) {
            records++;
            step = (int)json_integer_value(json_object_get(event, "step"));
            assert_true(json_is_real(json_object_get(event, "loss")));
            assert_true(json_is_real(json_object_get(event, "images_per_second")));
        }
        json_decref(event);
    }
    assert_int_equal(records, 3); /* steps 2, 4 and the last */
    assert_int_equal(step, 5);
    outcome_clear(&o);
}

static void test_quiet(void **state)
{
    (void)state;
    struct outcome o = command_run(scratch.folder,
                                   "train diffusion --data pictures --vae vae.safetensors --config tiny.json --size 16 "
                                   "--steps 2 --out quiet/m.safetensors --quiet",
                                   NULL);
    assert_int_equal(o.status, 0);
    assert_string_equal(o.out, "");
    assert_string_equal(o.err, "");
    outcome_clear(&o);
}

/* Every tensor of the model that a training begins with is in its result, as it was but for one step of no length:
 * turned to limn's layout and back, and joined again where a graph takes it in pieces. */
static void begin_with(enum tiny kind, const char *name)
{
    char path[TINY_PATH_BYTES], words[512];
    struct error err = {0};
    struct checkpoint *before = NULL, *after = NULL;
    tiny_write(path, kind);
    snprintf(words, sizeof words, "%s.safetensors", name);
    assert_int_equal(rename(path, scratch_path(&scratch, words)), 0);
    snprintf(words, sizeof words,
             "train diffusion --data pictures --config tiny.json --size 32 --threads 2 --init %s.safetensors --out "
             "begun/%s.safetensors --dtype f32 --ema 0 --decay 0 --lr 1e-12 --steps 1 --warm-up 0 --sheet-every 0",
             name, name);
    struct outcome o = command_run(scratch.folder, words, NULL);
    if (o.status != 0) fail_msg("%s: %s", words, o.err);
    outcome_clear(&o);
    snprintf(words, sizeof words, "%s.safetensors", name);
    if (checkpoint_open(&before, scratch_path(&scratch, words), &err) != STATUS_OK) fail_msg("%s", err.text);
    snprintf(words, sizeof words, "begun/%s.safetensors", name);
    if (checkpoint_open(&after, scratch_path(&scratch, words), &err) != STATUS_OK) fail_msg("%s", err.text);
    for (int i = 0; i < checkpoint_count(before); i++) {
        const struct tensor *was = checkpoint_at(before, i), *is = checkpoint_find(after, was->name);
        if (!is || is->dtype != DTYPE_F32 || is->count != was->count) fail_msg("%s is not as it was", was->name);
        for (int64_t k = 0; k < is->count; k++)
            if (fabsf(((const float *)is->data)[k] - ((const float *)was->data)[k]) > 1e-9F)
                fail_msg("%s, element %lld has changed", was->name, (long long)k);
    }
    checkpoint_close(before);
    checkpoint_close(after);
}

static void test_begun_with_a_model(void **state)
{
    (void)state;
    begin_with(TINY_PACK, "pack");
    struct outcome o = command_run(scratch.folder, "generate apple -m begun/pack.safetensors --steps 1 -o p.png", NULL);
    if (o.status != 0) fail_msg("%s", o.err);
    outcome_clear(&o);
}

static void test_begun_with_openclip(void **state)
{
    (void)state;
    begin_with(TINY_SD2, "sd2");
}

/* ---- interrupted ---- */

#define LONG "--steps 24 --log-every 1 --save-every 3 --sheet-every 0 "

/* Reads so many records of a running training and sends it a signal; false if it had ended before. */
static bool interrupt(const char *command, const char *words, int records, int signal_number, int *status)
{
    char line[1024];
    snprintf(line, sizeof line, "%s%s", command, words);
    const struct running r = command_start(scratch.folder, line);
    FILE *output = fdopen(r.output, "r");
    assert_non_null(output);
    bool ended = true;
    while (fgets(line, sizeof line, output)) {
        if (!strstr(line, "\"event\":\"step\"") || --records > 0) continue;
        ended = false;
        kill(r.process, signal_number);
        break;
    }
    assert_int_equal(waitpid(r.process, status, 0), r.process);
    fclose(output);
    return !ended;
}

static void test_killed(void **state)
{
    (void)state;
    /* How many records each life sees before it is killed: before the first checkpoint, at one, between two of them. */
    static const int lives[] = {1, 2, 3, 4, 3, 5, 3, 4, 1, 6};
    int status;
    run_well(LONG "--out whole/m.safetensors");
    for (size_t i = 0; i < sizeof lives / sizeof *lives; i++) {
        const bool killed =
            interrupt(TRAIN_DIFFUSION, LONG "--resume --out killed/m.safetensors", lives[i], SIGKILL, &status);
        assert_true(killed && WIFSIGNALED(status));
    }
    run_well(LONG "--resume --out killed/m.safetensors");
    assert_true(same_files("whole/m.safetensors", "killed/m.safetensors"));
    assert_true(same_files("whole/m.state.safetensors", "killed/m.state.safetensors"));
    assert_int_equal(count_records("killed/train.jsonl"), 24);
}

static void test_stopped(void **state)
{
    (void)state;
    int status;
    assert_true(interrupt(TRAIN_DIFFUSION, LONG "--out stopped/m.safetensors", 5, SIGINT, &status));
    assert_int_equal(WEXITSTATUS(status), 130);
    assert_true(interrupt(TRAIN_DIFFUSION, "--resume --out stopped/m.safetensors", 4, SIGINT,
                          &status)); /* settings are remembered */
    run_well("--resume --out stopped/m.safetensors");
    assert_true(same_files("whole/m.state.safetensors", "stopped/m.state.safetensors"));
    /* Killed after the last checkpoint, before the result. */
    assert_int_equal(unlink(scratch_path(&scratch, "stopped/m.safetensors")), 0);
    run_well("--resume --out stopped/m.safetensors");
    assert_true(same_files("whole/m.safetensors", "stopped/m.safetensors"));
}

/* The other families keep what they need as well. */
static void test_killed_families(void **state)
{
    (void)state;
    static const struct {
        const char *name, *config, *command;
    } families[] = {
        {"vae", "{\"vae\": {\"channels\": 8, \"multipliers\": [1, 2], \"groups\": 4}}",
         "train vae --size 16 --batch 3 "},
        {"gan", "{\"gan\": {\"width\": 4, \"latent\": 8, \"noise\": 0.1}}", "train gan --size 28 --batch 4 "},
        {"clip",
         "{\"image\": {\"patch\": 8, \"width\": 16, \"layers\": 1, \"heads\": 2, \"projection\": 8},"
         " \"text\": {\"merges\": 20, \"length\": 8, \"width\": 16, \"layers\": 1, \"heads\": 2}}",
         "train clip --size 16 --batch 5 --flip "},
    };
    static const int lives[] = {4, 3, 4};
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        char name[64], command[256], words[512], whole[64], killed[64];
        snprintf(name, sizeof name, "%s.json", families[f].name);
        file_save(scratch_path(&scratch, name), families[f].config, strlen(families[f].config));
        snprintf(command, sizeof command,
                 "%s--data pictures --config %s --threads 2 --json --steps 8 --log-every 1 --save-every 2 "
                 "--sheet-every 0 ",
                 families[f].command, name);
        snprintf(words, sizeof words, "%s--out whole/%s.safetensors", command, families[f].name);
        struct outcome o = command_run(scratch.folder, words, NULL);
        if (o.status != 0) fail_msg("%s: %s", words, o.err);
        outcome_clear(&o);
        int status;
        snprintf(words, sizeof words, "--resume --out killed/%s.safetensors", families[f].name);
        for (size_t i = 0; i < sizeof lives / sizeof *lives; i++)
            (void)interrupt(command, words, lives[i], SIGKILL, &status);
        snprintf(words, sizeof words, "%s--resume --out killed/%s.safetensors", command, families[f].name);
        o = command_run(scratch.folder, words, NULL);
        if (o.status != 0) fail_msg("%s: %s", words, o.err);
        outcome_clear(&o);
        snprintf(whole, sizeof whole, "whole/%s.safetensors", families[f].name);
        snprintf(killed, sizeof killed, "killed/%s.safetensors", families[f].name);
        if (!same_files(whole, killed)) fail_msg("%s: killed and resumed, it is another", families[f].name);
    }
}

static void test_earlier_training_is_kept(void **state)
{
    (void)state;
    run_well("--out twice/m.safetensors --steps 2 --sheet-every 0");
    run_badly("--out twice/m.safetensors --steps 2", 2, "--resume", "--restart");
    run_badly("--out twice/m.safetensors --steps 3 --resume --config wide.json", 1, "wide.json", "opened");
    run_well("--out twice/m.safetensors --steps 2 --restart --sheet-every 0");
    file_save(scratch_path(&scratch, "wide.json"), "{\"unet\": {\"channels\": 16}}", 26);
    run_badly("--out twice/m.safetensors --steps 3 --resume --config wide.json", 2, "other shapes", "twice/m.state");
}

/* A learning rate beyond reason: the loss is soon no number, and the last checkpoint is one from before. */
static void test_not_finite(void **state)
{
    (void)state;
    run_badly("--out nan/m.safetensors --steps 200 --lr 100 --clip 0 --warm-up 0 --schedule constant --save-every 1 "
              "--ema 0 --decay 100 --sheet-every 0",
              2, "not finite", "learning rate");
    struct limn_info info;
    struct limn_error error = {0};
    assert_int_equal(limn_info_read(&info, scratch_path(&scratch, "nan/m.safetensors"), &error), LIMN_OK);
    limn_info_clear(&info);
}

/* ---- parts and machines ---- */

/* Fails unless all the first moments, which after one step are a share of the gradient, are the same but for rounding.
 */
static void same_gradients(const char *a, const char *b)
{
    struct error err = {0};
    struct checkpoint *states[2] = {NULL, NULL};
    double apart = 0, length = 0;
    if (checkpoint_open(&states[0], scratch_path(&scratch, a), &err) != STATUS_OK ||
        checkpoint_open(&states[1], scratch_path(&scratch, b), &err) != STATUS_OK)
        fail_msg("%s", err.text);
    for (int i = 0; i < checkpoint_count(states[0]); i++) {
        const struct tensor *one = checkpoint_at(states[0], i), *other = checkpoint_find(states[1], one->name);
        assert_true(other && one->count == other->count);
        const char *dot = strrchr(one->name, '.');
        for (int64_t k = 0; k < one->count && dot && strcmp(dot, ".first") == 0; k++) {
            const double x = (double)((const float *)one->data)[k], y = (double)((const float *)other->data)[k];
            apart += (x - y) * (x - y);
            length += x * x;
        }
    }
    if (!(length > 0) || sqrt(apart / length) > 1e-6) fail_msg("%s and %s: %g apart", a, b, sqrt(apart / length));
    checkpoint_close(states[0]);
    checkpoint_close(states[1]);
}

#define TRAIN_CLIP                                                                                                     \
    "train clip --data pictures --config pair.json --size 16 --threads 2 --json --steps 1 --sheet-every 0 "
#define ONE_STEP "--steps 1 --flip --caption-dropout 0.3 --sheet-every 0 "

static void test_parts(void **state)
{
    (void)state;
    run_well(ONE_STEP "--batch 6 --out parts/one.safetensors");
    run_well(ONE_STEP "--batch 6 --accumulate 3 --out parts/three.safetensors");
    run_well(ONE_STEP "--batch 6 --recompute 3 --out parts/again.safetensors");
    same_gradients("parts/one.state.safetensors", "parts/three.state.safetensors");
    same_gradients("parts/one.state.safetensors", "parts/again.state.safetensors");
}

/* A CLIP pair compares all pictures of a batch, however it is cut. */
static void test_parts_of_a_pair(void **state)
{
    (void)state;
    static const char config[] =
        "{\"image\": {\"patch\": 8, \"width\": 16, \"layers\": 1, \"heads\": 2, \"projection\": 8},"
        " \"text\": {\"merges\": 20, \"length\": 8, \"width\": 16, \"layers\": 1, \"heads\": 2}}";
    file_save(scratch_path(&scratch, "pair.json"), config, sizeof config - 1);
    static const char *const commands[] = {TRAIN_CLIP "--batch 6 --out parts/pair.safetensors",
                                           TRAIN_CLIP "--batch 6 --accumulate 6 --out parts/pairs.safetensors"};
    for (size_t i = 0; i < 2; i++) {
        struct outcome o = command_run(scratch.folder, commands[i], NULL);
        if (o.status != 0) fail_msg("%s: %s", commands[i], o.err);
        outcome_clear(&o);
    }
    same_gradients("parts/pair.state.safetensors", "parts/pairs.state.safetensors");
}

/* Two machines with three pictures each are one machine with six. */
static void test_two_machines(void **state)
{
    (void)state;
    train_on_machines(&scratch, TRAIN_TWO TRAIN_DIFFUSION ONE_STEP "--batch 3 --out parts/two.safetensors", 0, "");
    same_gradients("parts/one.state.safetensors", "parts/two.state.safetensors");
    train_on_machines(&scratch, TRAIN_TWO TRAIN_CLIP "--batch 3 --out parts/pair-on-two.safetensors", 0, "");
    same_gradients("parts/pair.state.safetensors", "parts/pair-on-two.state.safetensors");
}

/* ---- what is refused ---- */

static void test_bad_options(void **state)
{
    (void)state;
    static const struct {
        const char *words, *first, *second;
    } cases[] = {
        {"--out m.png", "m.png", ".safetensors"},
        {"--out .safetensors", ".safetensors", "name"},
        {"--out bad/m.safetensors --batch 5 --accumulate 2", "batch of 5", "equal parts"},
        {"--out bad/m.safetensors --size 20", "size 20", "multiple of"},
        {"--out bad/m.safetensors --prediction x1", "x1", "eps"},
        {"--out bad/m.safetensors --schedule sine", "sine", "cosine"},
        {"--out bad/m.safetensors --dtype int4", "int4", "dtype"},
        {"--out bad/m.safetensors --steps 0", "--steps 0", "from 1"},
        {"--out bad/m.safetensors --lr nan", "--lr nan", "number"},
        {"--out bad/m.safetensors --ema 1", "--ema 1", "number"},
        {"--out bad/m.safetensors --threads 0", "--threads 0", "from 1"},
        {"--out bad/m.safetensors --resume --restart", "--resume", "--restart"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        run_badly(cases[i].words, 2, cases[i].first, cases[i].second);
    run_badly("--out bad/m.safetensors --init none.safetensors", 1, "none.safetensors", "opened");
    run_badly("--out vae.safetensors/m.safetensors", 1, "vae.safetensors", "folder");
    struct outcome o = command_run(scratch.folder, "train painting --data pictures --out m.safetensors", NULL);
    assert_int_equal(o.status, 2);
    assert_non_null(strstr(o.err, "diffusion"));
    outcome_clear(&o);
    o = command_run(scratch.folder, "train diffusion --data nowhere --out m.safetensors", NULL);
    assert_int_equal(o.status, 1);
    assert_non_null(strstr(o.err, "nowhere"));
    outcome_clear(&o);
}

static void test_bad_configurations(void **state)
{
    (void)state;
    static const struct {
        const char *text, *first, *second;
        int status;
    } cases[] = {
        {"{", "bad.json", "line", 1},
        {"[]", "bad.json", "object", 1},
        {"{\"training\": 3}", "training", "object", 2},
        {"{\"trainings\": {}}", "trainings", "training", 2},
        {"{\"training\": {\"stepps\": 3}}", "stepps", "training", 2},
        {"{\"training\": {\"steps\": 0}}", "steps", "from 1", 2},
        {"{\"training\": {\"steps\": 1.5}}", "steps", "whole", 2},
        {"{\"training\": {\"flip\": 1}}", "flip", "true or false", 2},
        {"{\"training\": {\"optimiser\": \"adamx\"}}", "optimiser", "adamw", 2},
        {"{\"unet\": {\"depth\": 2}}", "depth", "unet", 2},
        {"{\"unet\": {\"multipliers\": []}}", "multipliers", "list", 2},
        {"{\"unet\": {\"multipliers\": [1, 99]}}", "multipliers", "from 1", 2},
        {"{\"unet\": {\"groups\": 5}}", "groups", "channels", 2},
        {"{\"text\": {\"heads\": 3}}", "heads", "3", 1},
        {"{\"training\": {\"steps\": 1, \"steps\": 2}}", "bad.json", "steps", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        file_save(scratch_path(&scratch, "bad.json"), cases[i].text, strlen(cases[i].text));
        run_badly("--out bad/m.safetensors --config bad.json", cases[i].status, cases[i].first, cases[i].second);
    }
}

/* A limit is held before the first step, and what is asked for is named; parts of a batch need less than the whole. */
static void test_memory(void **state)
{
    (void)state;
    run_badly("--out memory/m.safetensors --max-memory 1M", 1, "1.0 MiB", "--batch");
    run_badly("--out memory/m.safetensors --max-memory 10M --batch 256", 1, "10.0 MiB", "--accumulate");
    run_well(ONE_STEP "--out memory/m.safetensors --max-memory 10M --batch 256 --accumulate 64");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command),
        cmocka_unit_test(test_pixels),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_quiet),
        cmocka_unit_test(test_begun_with_a_model),
        cmocka_unit_test(test_begun_with_openclip),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_killed_families),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_earlier_training_is_kept),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_parts_of_a_pair),
        cmocka_unit_test(test_two_machines),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_bad_configurations),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
