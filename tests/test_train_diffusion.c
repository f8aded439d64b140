/* SPDX-License-Identifier: MIT
 *
 * limn train diffusion and vae: losses beside PyTorch's, a text tower that is warmed up, latents that come out
 * standard, and that a training which is stopped and resumed ends with the same bits.
 */
#include "core/base/memory.h"
#include "core/io/checkpoint.h"
#include "include/limn.h"
#include "tests/support/golden.h"
#include "tests/support/scratch.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { SIDE = 32, PICTURES = 6, MOST_STEPS = 64, PATH = 512 };

static const char *const texts[PICTURES] = {"a red apple",     "a photo of a cat", "빨간 사과",
                                            "a cat and a dog", "the moon",         "a blue car, flat style"};

static struct scratch scratch;

/* As picture() in tests/golden/clip_pair/train.py. */
static void draw(int i, uint8_t *p)
{
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            for (int c = 0; c < 3; c++) {
                const int v = (x * (3 + c + i) + y * (7 - 2 * c + 3 * i) + (x * y >> 4) * (c + 1 + i)) & 511;
                *p++ = (uint8_t)(v < 256 ? v : 511 - v);
            }
}

static void write_text(const char *name, const char *text)
{
    file_save(scratch_path(&scratch, name), text, strlen(text));
}

/* Small networks, and so many steps in which the text tower is warmed up. */
static void write_small(const char *name, int warm_up)
{
    char text[1024];
    snprintf(text, sizeof text,
             "{\"training\": {\"learning_rate\": 2e-3, \"warm_up\": 5, \"ema\": 0.5},"
             " \"unet\": {\"channels\": 16, \"multipliers\": [1, 2], \"attention\": [1], \"head_channels\": 16},"
             " \"text\": {\"width\": 16, \"layers\": 1, \"heads\": 2, \"merges\": 40, \"warm_up\": %d},"
             " \"sheet\": {\"prompts\": [\"the moon\", \"a cat\"], \"columns\": 2},"
             " \"pack\": {\"name\": \"moons\", \"concepts\": [\"moon\"]}}",
             warm_up);
    write_text(name, text);
}

static int set_up(void **state)
{
    (void)state;
    char lines[2048] = "", name[64];
    uint8_t pixels[SIDE * SIDE * 3];
    scratch_open(&scratch);
    for (int i = 0; i < PICTURES; i++) {
        const struct limn_image image = {.width = SIDE, .height = SIDE, .channels = 3, .pixels = pixels};
        draw(i, pixels);
        snprintf(name, sizeof name, "set/%d.png", i);
        if (limn_image_write(&image, scratch_path(&scratch, name), NULL) != LIMN_OK) return -1;
        const size_t used = strlen(lines);
        snprintf(lines + used, sizeof lines - used, "{\"file_name\": \"%d.png\", \"text\": [\"%s\"]}\n", i, texts[i]);
    }
    write_text("set/metadata.jsonl", lines);
    write_text("torch.json", "{\"training\": {\"seed\": 7, \"learning_rate\": 1e-3, \"floor\": 1e-4, \"warm_up\": 0,"
                             " \"caption_dropout\": 0.25}, \"times\": {\"first\": 0.5, \"last\": 1.5}}");
    write_small("small.json", 24);
    write_small("short.json", 2);
    write_text("vae.json", "{\"training\": {\"optimiser\": \"muon\", \"learning_rate\": 1e-3, \"warm_up\": 2},"
                           " \"vae\": {\"channels\": 8, \"multipliers\": [1, 2], \"latent\": 3, \"groups\": 4}}");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_close(&scratch);
    return 0;
}

/* ---- trainings ---- */

struct history {
    int count;
    double loss[MOST_STEPS];
    int64_t stop_after; /* 0: never */
    bool stopped;
};

static void keep(void *context, const struct limn_train_record *record)
{
    struct history *history = context;
    assert_in_range(record->step, 1, MOST_STEPS);
    history->count = (int)record->step;
    history->loss[record->step - 1] = record->loss;
    history->stopped = history->stop_after > 0 && record->step >= history->stop_after;
}

static int wants_stop(void *context)
{
    return ((const struct history *)context)->stopped;
}

struct run {
    struct limn_train_options options;
    struct limn_watch watch;
    char data[PATH], out[PATH], config[PATH], other[PATH];
};

static void prepare(struct run *run, const char *family, const char *config, const char *out, struct history *history)
{
    *run = (struct run){.watch = {.context = history, .cancelled = wants_stop}};
    snprintf(run->data, PATH, "%s", scratch_path(&scratch, "set"));
    snprintf(run->out, PATH, "%s", scratch_path(&scratch, out));
    snprintf(run->config, PATH, "%s", scratch_path(&scratch, config));
    run->options = (struct limn_train_options){.family = family,
                                               .data = run->data,
                                               .out = run->out,
                                               .config = run->config,
                                               .size = SIDE,
                                               .log_every = 1,
                                               .sheet_every = -1,
                                               .threads = 2,
                                               .dtype = "f32",
                                               .watch = &run->watch,
                                               .record = keep,
                                               .record_context = history};
}

static void train(const struct run *run)
{
    struct limn_error error = {0};
    if (limn_train(&run->options, &error) != LIMN_OK) fail_msg("%s", error.text);
}

/* As many steps as the history wants, and then the rest. */
static void train_with_a_break(struct run *run, struct history *history, int64_t stop_after)
{
    struct limn_error error = {0};
    history->stop_after = stop_after;
    assert_int_equal(limn_train(&run->options, &error), LIMN_CANCELLED);
    assert_int_equal(history->count, (int)stop_after);
    *history = (struct history){0};
    run->options.resume = 1;
    train(run);
}

/* Both results hold the same tensors, bit for bit. */
static void same_files(const char *a, const char *b)
{
    struct error err = {0};
    struct checkpoint *one = NULL, *two = NULL;
    assert_int_equal(checkpoint_open(&one, a, &err), STATUS_OK);
    assert_int_equal(checkpoint_open(&two, b, &err), STATUS_OK);
    assert_int_equal(checkpoint_count(one), checkpoint_count(two));
    for (int i = 0; i < checkpoint_count(one); i++) {
        const struct tensor *t = checkpoint_at(one, i), *other = checkpoint_find(two, t->name);
        assert_non_null(other);
        if (memcmp(t->data, other->data, dtype_bytes(t->dtype, (size_t)t->count)) != 0) fail_msg("%s", t->name);
    }
    checkpoint_close(one);
    checkpoint_close(two);
}

static double mean(const double *values, int from, int to)
{
    double sum = 0;
    for (int i = from; i < to; i++) sum += values[i];
    return sum / (to - from);
}

/* ---- diffusion ---- */

/* The same weights, batches, times and noise: PyTorch's side draws them by its own model of the generators. */
static void test_follows_torch(void **state)
{
    (void)state;
    enum { STEPS = 20 };
    struct history history = {0};
    struct run run;
    char init[TINY_PATH_BYTES];
    tiny_write(init, TINY_PACK);
    prepare(&run, "diffusion", "torch.json", "torch.safetensors", &history);
    run.options.init = init;
    run.options.steps = STEPS;
    run.options.batch = 4;
    train(&run);
    tiny_remove(init);
    struct checkpoint *golden = golden_open("diffusion_training/losses.safetensors");
    float *want = golden_values(golden, "losses");
    assert_int_equal(history.count, STEPS);
    for (int i = 0; i < STEPS; i++) {
        const float got = (float)history.loss[i];
        golden_near(&got, &want[i], 1, 1e-3, "loss of step %d", i + 1);
    }
    memory_free(want);
    checkpoint_close(golden);
}

static void test_from_nothing(void **state)
{
    (void)state;
    enum { STEPS = 60, WARM_UP = 24 };
    struct history history = {0};
    struct run run;
    char vae[TINY_PATH_BYTES], whole[PATH];
    tiny_write(vae, TINY_PACK);
    prepare(&run, "diffusion", "small.json", "whole.safetensors", &history);
    run.options.vae = vae;
    run.options.steps = STEPS;
    run.options.batch = 6;
    train(&run);
    snprintf(whole, sizeof whole, "%s", run.out);
    assert_true(mean(history.loss, WARM_UP - 4, WARM_UP) < 0.7 * history.loss[0]);
    assert_true(mean(history.loss, STEPS - 10, STEPS) < 0.95 * mean(history.loss, WARM_UP, WARM_UP + 5));

    /* In the warm-up, after it, and on another number of threads. */
    const int64_t stops[] = {10, 40};
    for (int i = 0; i < 2; i++) {
        history = (struct history){0};
        prepare(&run, "diffusion", "small.json", i ? "late.safetensors" : "early.safetensors", &history);
        run.options.vae = vae;
        run.options.steps = STEPS;
        run.options.batch = 6;
        run.options.threads = 1;
        train_with_a_break(&run, &history, stops[i]);
        same_files(run.out, whole);
    }
    tiny_remove(vae);
}

/* The sheet is painted from a file that is gone afterwards; what the configuration says of the pack is in the result.
 */
static void test_sheet(void **state)
{
    (void)state;
    struct history history = {0};
    struct run run;
    char vae[TINY_PATH_BYTES], path[PATH + 32];
    tiny_write(vae, TINY_PACK);
    prepare(&run, "diffusion", "short.json", "sheet.safetensors", &history);
    run.options.vae = vae;
    run.options.steps = 6;
    run.options.batch = 2;
    run.options.sheet_every = 6;
    train(&run);
    tiny_remove(vae);
    struct limn_image sheet = {0};
    assert_int_equal(limn_image_read(&sheet, scratch_path(&scratch, "sheet-000006.png"), NULL), LIMN_OK);
    assert_true(sheet.width > sheet.height);
    limn_image_clear(&sheet);
    snprintf(path, sizeof path, "%s.sheet.safetensors", run.out);
    assert_int_not_equal(access(path, F_OK), 0);
    struct limn_info info = {0};
    assert_int_equal(limn_info_read(&info, run.out, NULL), LIMN_OK);
    assert_null(info.missing);
    assert_string_equal(info.name, "moons");
    assert_string_equal(info.concepts[0], "moon");
    limn_info_clear(&info);
}

/* ---- the VAE ---- */

/* Mean and deviation of the latents of the set, by the written file: what the file says it is. */
static void check_standard(const char *path)
{
    struct history history = {0};
    struct run run;
    struct error err = {0};
    struct checkpoint *c = NULL;
    assert_int_equal(checkpoint_open(&c, path, &err), STATUS_OK);
    assert_non_null(strstr(checkpoint_metadata(c, "limn.pack"), "\"latent_scale\":1.0"));
    assert_int_equal(checkpoint_find(c, "first_stage_model.quant_conv.weight")->dim[0], 6);
    checkpoint_close(c);
    /* Begun with it and hardly moved, a result needs no more turning: the 1x1 convolution stays as it was. */
    prepare(&run, "vae", "vae.json", "again.safetensors", &history);
    run.options.init = path;
    run.options.steps = 1;
    run.options.batch = PICTURES;
    run.options.learning_rate = 1e-9;
    run.options.warm_up = -1;
    train(&run);
    struct checkpoint *again = NULL;
    assert_int_equal(checkpoint_open(&c, path, &err), STATUS_OK);
    assert_int_equal(checkpoint_open(&again, run.out, &err), STATUS_OK);
    static const char *const names[] = {"first_stage_model.quant_conv.weight", "first_stage_model.quant_conv.bias"};
    for (int i = 0; i < 2; i++) {
        const struct tensor *want = checkpoint_find(c, names[i]), *got = checkpoint_find(again, names[i]);
        golden_near(got->data, want->data, (size_t)want->count, 1e-4, "%s", names[i]);
    }
    checkpoint_close(c);
    checkpoint_close(again);
}

static void test_vae(void **state)
{
    (void)state;
    enum { STEPS = 40 };
    struct history history = {0};
    struct run run;
    char whole[PATH];
    prepare(&run, "vae", "vae.json", "vae.safetensors", &history);
    run.options.steps = STEPS;
    run.options.batch = 4;
    run.options.sheet_every = STEPS;
    train(&run);
    snprintf(whole, sizeof whole, "%s", run.out);
    assert_true(mean(history.loss, STEPS - 5, STEPS) < 0.6 * history.loss[0]);
    assert_int_equal(access(scratch_path(&scratch, "vae-000040.png"), F_OK), 0);
    check_standard(whole);
    history = (struct history){0};
    prepare(&run, "vae", "vae.json", "vae-again.safetensors", &history);
    run.options.steps = STEPS;
    run.options.batch = 4;
    run.options.threads = 1;
    train_with_a_break(&run, &history, 7);
    same_files(run.out, whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_follows_torch),
        cmocka_unit_test(test_from_nothing),
        cmocka_unit_test(test_sheet),
        cmocka_unit_test(test_vae),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
