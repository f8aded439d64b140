/* SPDX-License-Identifier: MIT
 *
 * limn train clip: its losses beside PyTorch's, a pair that learns a handful of pictures, what it writes, and what it
 * refuses.
 */
#include "core/base/memory.h"
#include "core/io/checkpoint.h"
#include "core/io/safetensors_write.h"
#include "include/limn.h"
#include "pipeline/warp.h"
#include "tests/support/golden.h"
#include "tests/support/scratch.h"
#include "tests/support/weights.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 32, PICTURES = 6, STEPS = 8 };

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

/* The tiny model of the goldens, whose scale is ln(1 / 0.07) and no made-up weight. */
static void write_init(void)
{
    enum { MOST_TENSORS = 128 };
    static const float scale = 2.6592600f;
    const struct safetensors_note heads = {"limn.pack", "{\"text\": {\"heads\": 4}, \"image\": {\"heads\": 6}}"};
    struct error err = {0};
    struct checkpoint *c = NULL;
    struct tensor list[MOST_TENSORS];
    const char *made_up = scratch_path(&scratch, "made-up.safetensors");
    assert_int_equal(weights_write_lists(made_up, (const char *[]){"clip-hf"}, 1, DTYPE_F32, &err), STATUS_OK);
    assert_int_equal(checkpoint_open(&c, made_up, &err), STATUS_OK);
    assert_true(checkpoint_count(c) <= MOST_TENSORS);
    for (int i = 0; i < checkpoint_count(c); i++) {
        list[i] = *checkpoint_at(c, i);
        if (strcmp(list[i].name, "logit_scale") == 0) list[i].data = &scale;
    }
    const struct safetensors_file file = {
        .tensors = list, .count = checkpoint_count(c), .notes = &heads, .note_count = 1};
    assert_int_equal(safetensors_write(scratch_path(&scratch, "init.safetensors"), &file, &err), STATUS_OK);
    checkpoint_close(c);
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
        assert_int_equal(limn_image_write(&image, scratch_path(&scratch, name), NULL), LIMN_OK);
        const size_t used = strlen(lines);
        snprintf(lines + used, sizeof lines - used, "{\"file_name\": \"%d.png\", \"text\": [\"%s\"]}\n", i, texts[i]);
    }
    write_text("set/metadata.jsonl", lines);
    write_text("torch.json", "{\"training\": {\"beta2\": 0.98, \"eps\": 1e-6, \"decay\": 0.1, \"clip\": 1,"
                             " \"schedule\": \"constant\", \"learning_rate\": 2e-4, \"warm_up\": 0},"
                             " \"image\": {\"shift\": 0, \"scale\": 0, \"brightness\": 0, \"colour\": 0}}");
    write_text("small.json", "{\"image\": {\"width\": 32, \"layers\": 1, \"heads\": 2, \"projection\": 16},"
                             " \"text\": {\"width\": 16, \"layers\": 1, \"heads\": 2, \"length\": 12}}");
    write_init();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_close(&scratch);
    return 0;
}

/* Losses by step. */
struct history {
    double loss[STEPS], scale[STEPS];
};

static void keep(void *context, const struct limn_train_record *record)
{
    struct history *history = context;
    assert_in_range(record->step, 1, STEPS);
    assert_int_equal(record->count, 2);
    assert_string_equal(record->names[1], "scale");
    history->loss[record->step - 1] = record->values[0];
    history->scale[record->step - 1] = record->values[1];
}

static struct limn_train_options options_for(char data[512], char out[512], const char *name)
{
    snprintf(data, 512, "%s", scratch_path(&scratch, "set"));
    snprintf(out, 512, "%s", scratch_path(&scratch, name));
    return (struct limn_train_options){.family = "clip",
                                       .data = data,
                                       .out = out,
                                       .size = SIDE,
                                       .batch = PICTURES,
                                       .steps = STEPS,
                                       .log_every = 1,
                                       .restart = 1,
                                       .threads = 1,
                                       .dtype = "f32"};
}

/* All pictures are in each batch, so their order does not matter to the loss. */
static void test_follows_torch(void **state)
{
    (void)state;
    char data[512], out[512], init[512], config[512];
    struct history history;
    struct limn_error error = {0};
    struct limn_train_options options = options_for(data, out, "torch.safetensors");
    snprintf(init, sizeof init, "%s", scratch_path(&scratch, "init.safetensors"));
    snprintf(config, sizeof config, "%s", scratch_path(&scratch, "torch.json"));
    options.init = init;
    options.config = config;
    options.record = keep;
    options.record_context = &history;
    if (limn_train(&options, &error) != LIMN_OK) fail_msg("%s", error.text);
    struct checkpoint *golden = golden_open("clip_pair/training.safetensors");
    float *losses = golden_values(golden, "losses"), *scales = golden_values(golden, "scales");
    for (int i = 0; i < STEPS; i++) {
        if (fabs(history.loss[i] / (double)losses[i] - 1) > 1e-3)
            fail_msg("step %d: the loss is %.6f and should be %.6f", i, history.loss[i], (double)losses[i]);
        if (fabs(history.scale[i] / (double)scales[i] - 1) > 1e-5)
            fail_msg("step %d: the scale is %.6f and should be %.6f", i, history.scale[i], (double)scales[i]);
    }
    memory_free(losses);
    memory_free(scales);
    checkpoint_close(golden);
}

/* Stops the training when its third step is done. */
static int after_three(void *context)
{
    return *(const int64_t *)context >= 3;
}

static void count_step(void *context, const struct limn_train_record *record)
{
    *(int64_t *)context = record->step;
}

static enum limn_status train_small(const char *name, int64_t steps, bool stop, bool resume)
{
    char data[512], out[512], config[512];
    int64_t step = 0;
    struct limn_error error = {0};
    struct limn_train_options options = options_for(data, out, name);
    const struct limn_watch watch = {.context = &step, .cancelled = after_three};
    snprintf(config, sizeof config, "%s", scratch_path(&scratch, "small.json"));
    options.config = config;
    options.steps = steps;
    options.resume = resume;
    options.restart = !resume;
    options.record = count_step;
    options.record_context = &step;
    if (stop) options.watch = &watch;
    const enum limn_status status = limn_train(&options, &error);
    if (status != LIMN_OK && status != LIMN_CANCELLED) fail_msg("%s", error.text);
    return status;
}

/* From nothing: a tokenizer and two towers that know the six pictures apart, in a file that score opens. */
static void test_learns(void **state)
{
    (void)state;
    struct limn_error error = {0};
    struct limn_clip *clip = NULL;
    struct limn_retrieval retrieval;
    train_small("small.safetensors", 150, false, false);
    const struct limn_clip_options options = {.path = scratch_path(&scratch, "small.safetensors"), .threads = 1};
    if (limn_clip_open(&clip, &options, &error) != LIMN_OK) fail_msg("%s", error.text);
    const struct limn_retrieval_request request = {.folder = scratch_path(&scratch, "set")};
    if (limn_clip_retrieve(clip, &request, &retrieval, &error) != LIMN_OK) fail_msg("%s", error.text);
    assert_int_equal(retrieval.pictures, PICTURES);
    assert_int_equal(retrieval.count, 1);
    assert_int_equal(retrieval.rows[0].captions, PICTURES);
    assert_true(retrieval.rows[0].top1 > 0.99);
    assert_true(retrieval.rows[0].top5 > 0.99);
    limn_clip_close(clip);
}

/* Names and shapes are CLIPModel's, so that others can load it. */
static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int rank;
    } wanted[] = {
        {"logit_scale", 0},
        {"text_model.embeddings.token_embedding.weight", 2},
        {"text_model.encoder.layers.0.self_attn.q_proj.bias", 1},
        {"text_projection.weight", 2},
        {"vision_model.embeddings.class_embedding", 1},
        {"vision_model.embeddings.patch_embedding.weight", 4},
        {"visual_projection.weight", 2},
    };
    struct error err = {0};
    struct checkpoint *c = NULL;
    train_small("names.safetensors", 1, false, false);
    assert_int_equal(checkpoint_open(&c, scratch_path(&scratch, "names.safetensors"), &err), STATUS_OK);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        const struct tensor *tensor = checkpoint_find(c, wanted[i].name);
        if (!tensor) fail_msg("'%s' is missing", wanted[i].name);
        assert_int_equal(tensor->rank, wanted[i].rank);
    }
    for (int i = 0; i < checkpoint_count(c); i++) assert_null(strstr(checkpoint_at(c, i)->name, "cond_stage_model"));
    struct limn_info info;
    assert_int_equal(limn_info_read(&info, scratch_path(&scratch, "names.safetensors"), NULL), LIMN_OK);
    assert_string_equal(info.kind, "clip");
    assert_non_null(strstr(info.missing, "limn score"));
    limn_info_clear(&info);
    assert_non_null(checkpoint_metadata(c, "limn.merges"));
    assert_non_null(strstr(checkpoint_metadata(c, "limn.pack"), "\"image_mean\":[0.5,0.5,0.5]"));
    checkpoint_close(c);
}

static void test_resumes(void **state)
{
    (void)state;
    assert_int_equal(train_small("whole.safetensors", 6, false, false), LIMN_OK);
    assert_int_equal(train_small("halves.safetensors", 6, true, false), LIMN_CANCELLED);
    assert_int_equal(train_small("halves.safetensors", 6, false, true), LIMN_OK);
    size_t whole_size = 0, halves_size = 0;
    uint8_t *whole = file_load(scratch_path(&scratch, "whole.safetensors"), &whole_size);
    uint8_t *halves = file_load(scratch_path(&scratch, "halves.safetensors"), &halves_size);
    assert_int_equal(whole_size, halves_size);
    assert_memory_equal(whole, halves, whole_size);
    memory_free(whole);
    memory_free(halves);
}

/* What limn_train says to these options; the caller's copy has a name for the result. */
static void refuse(struct limn_train_options options, const char *config, const char *wanted)
{
    char data[512], out[512], path[512];
    struct limn_error error = {0};
    struct limn_train_options all = options_for(data, out, "refused.safetensors");
    write_text("refused.json", config);
    snprintf(path, sizeof path, "%s", scratch_path(&scratch, "refused.json"));
    all.config = path;
    all.init = options.init;
    if (options.batch) all.batch = options.batch;
    if (options.size) all.size = options.size;
    if (options.data) all.data = options.data;
    assert_int_not_equal(limn_train(&all, &error), LIMN_OK);
    if (!strstr(error.text, wanted)) fail_msg("'%s' does not say '%s'", error.text, wanted);
}

static void test_refuses(void **state)
{
    (void)state;
    char init[512];
    char mute[512];
    uint8_t pixels[SIDE * SIDE * 3];
    const struct limn_image image = {.width = SIDE, .height = SIDE, .channels = 3, .pixels = pixels};
    draw(0, pixels);
    assert_int_equal(limn_image_write(&image, scratch_path(&scratch, "mute/0.png"), NULL), LIMN_OK);
    snprintf(mute, sizeof mute, "%s", scratch_path(&scratch, "mute"));
    snprintf(init, sizeof init, "%s", scratch_path(&scratch, "init.safetensors"));
    refuse((struct limn_train_options){.batch = 1}, "{}", "at least 2 are needed");
    refuse((struct limn_train_options){0}, "{\"image\": {\"patch\": 12}}", "do not divide pictures of 32");
    refuse((struct limn_train_options){0}, "{\"image\": {\"heads\": 5}}", "5 heads do not divide that");
    refuse((struct limn_train_options){0}, "{\"text\": {\"length\": 2}}", "length");
    refuse((struct limn_train_options){0}, "{\"txt\": {}}", "txt");
    refuse((struct limn_train_options){.data = mute}, "{}", "pictures without captions");
    refuse((struct limn_train_options){.size = 64, .init = init}, "{}", "use --size 32");
    refuse((struct limn_train_options){.init = scratch_path(&scratch, "set/0.png")}, "{}", "is not a model file");
}

/* Every seventh or so allocation of a training of one step fails in turn. */
static void test_no_memory(void **state)
{
    (void)state;
    char data[512], out[512], config[512];
    struct limn_train_options options = options_for(data, out, "memory.safetensors");
    snprintf(config, sizeof config, "%s", scratch_path(&scratch, "small.json"));
    options.config = config;
    options.steps = 1;
    for (uint64_t n = 1;; n += 1 + n / 12) {
        struct limn_error error = {0};
        memory_fail_after(n);
        const enum limn_status status = limn_train(&options, &error);
        const bool over = memory_fail_after(0) < n;
        assert_int_equal(status, over ? LIMN_OK : LIMN_NO_MEMORY);
        if (over) break;
    }
}

/* ---- warps ---- */

static void test_warp(void **state)
{
    (void)state;
    enum { SMALL = 8, VALUES = SMALL * SMALL * 3 };
    float from[VALUES], to[VALUES], again[VALUES];
    struct rng rng;
    for (int i = 0; i < VALUES; i++) from[i] = (float)(i % 7) / 7 - 0.5f;
    rng_init(&rng, RNG_PHILOX, 1);
    warp_picture(to, from, SMALL, &(struct warp_range){0}, &rng);
    assert_memory_equal(to, from, sizeof from);
    const struct warp_range range = {.shift = 0.3, .scale = 0.2};
    rng_init(&rng, RNG_PHILOX, 2);
    warp_picture(to, from, SMALL, &range, &rng);
    rng_init(&rng, RNG_PHILOX, 2);
    warp_picture(again, from, SMALL, &range, &rng);
    assert_memory_equal(to, again, sizeof to);
    assert_memory_not_equal(to, from, sizeof to);
    float most = -2;
    for (int i = 0; i < VALUES; i++) most = to[i] > most ? to[i] : most;
    assert_true(most > 0.5f && most <= 1); /* white has come in */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_warp),      cmocka_unit_test(test_follows_torch), cmocka_unit_test(test_learns),
        cmocka_unit_test(test_names),     cmocka_unit_test(test_resumes),       cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
