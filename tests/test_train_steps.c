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

static void run(const char *words, int status, const char *part)
{
    train_said(&scratch, words, status, part, "");
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

/* What a training that is resumed is told of it. */
static int kept_warm_up(const char *state)
{
    struct checkpoint *c = open_model(state);
    json_t *root = json_loads(checkpoint_metadata(c, "limn.training"), 0, NULL);
    const json_t *text = json_object_get(json_object_get(root, "config"), "text");
    const int steps = (int)json_integer_value(json_object_get(text, "warm_up"));
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
    /* Made longer it would have a longer one, but its U-Net has begun. */
    assert_int_equal(kept_warm_up("warm/m.state.safetensors"), 1);
    run(PIXELS "--resume --steps 40 --quiet", 0, NULL);
    check_steps(40, 39);
    assert_int_equal(kept_warm_up("warm/m.state.safetensors"), 1);
    run(PIXELS "--config given.json --steps 6 --restart", 2, "'warm_up' in 'text' is 6 and the training has 6 steps");
    run(PIXELS "--config given.json --steps 7 --restart --quiet", 0, NULL);
    check_steps(7, 1);
}

/* ---- wrong captions ---- */

#define ONE_STEP GAN "--init gan/init.safetensors --steps 1 "
#define GAN      "train gan --data pictures --size 28 --threads 1 --sheet-every 0 --quiet "

static bool has_beside(const struct checkpoint *c, const char *name, const char *what)
{
    char beside[256];
    const char *dot = strrchr(name, '.');
    snprintf(beside, sizeof beside, "%.*s.%s", (int)(dot - name), name, what);
    return checkpoint_find(c, beside) != NULL;
}

/* A GAN without its batch norms: by these, pictures would depend on the others of their part. */
static void leave_norms_out(const char *from, const char *to)
{
    enum { MOST = 128 };
    struct checkpoint *c = open_model(from);
    const struct safetensors_note note = {"limn.pack", checkpoint_metadata(c, "limn.pack")};
    struct tensor list[MOST];
    struct error err = {0};
    int count = 0;
    for (int i = 0; i < checkpoint_count(c); i++) {
        if (has_beside(c, checkpoint_at(c, i)->name, "running_mean")) continue;
        assert_true(count < MOST);
        list[count++] = *checkpoint_at(c, i);
    }
    assert_true(count < checkpoint_count(c));
    const struct safetensors_file file = {.tensors = list, .count = count, .notes = &note, .note_count = 1};
    if (safetensors_write(scratch_path(&scratch, to), &file, &err) != STATUS_OK) fail_msg("%s", err.text);
    checkpoint_close(c);
}

/* How far apart the discriminators' first moments are, which after one step are a share of the gradient. */
static double apart(const char *a, const char *b)
{
    struct checkpoint *const states[2] = {open_model(a), open_model(b)};
    const struct tensor *one = checkpoint_find(states[0], "discriminator.first");
    const struct tensor *other = checkpoint_find(states[1], "discriminator.first");
    double square = 0, length = 0;
    assert_true(one && other && one->count == other->count);
    for (int64_t k = 0; k < one->count; k++) {
        const double x = (double)((const float *)one->data)[k], y = (double)((const float *)other->data)[k];
        square += (x - y) * (x - y);
        length += x * x;
    }
    assert_true(length > 0);
    for (int i = 0; i < 2; i++) checkpoint_close(states[i]);
    return sqrt(square / length);
}

/* Whichever parts a batch is cut into, a picture's wrong caption is the next picture's. */
static void test_wrong_captions(void **state)
{
    (void)state;
    save_text("gan.json", "{\"gan\": {\"width\": 4, \"latent\": 8}}");
    save_text("trusting.json", "{\"gan\": {\"width\": 4, \"latent\": 8, \"mismatch\": false}}");
    run(GAN "--config gan.json --init vae.safetensors --steps 1 --batch 2 --out gan/begun.safetensors", 0, NULL);
    leave_norms_out("gan/begun.safetensors", "gan/init.safetensors");
    run(ONE_STEP "--config gan.json --batch 4 --out gan/one.safetensors", 0, NULL);
    run(ONE_STEP "--config gan.json --batch 4 --accumulate 2 --out gan/two.safetensors", 0, NULL);
    run(ONE_STEP "--config gan.json --batch 4 --accumulate 4 --out gan/four.safetensors", 0, NULL);
    run(ONE_STEP "--config trusting.json --batch 4 --out gan/trusting.safetensors", 0, NULL);
    assert_true(apart("gan/one.state.safetensors", "gan/trusting.state.safetensors") > 1e-2);
    assert_true(apart("gan/one.state.safetensors", "gan/two.state.safetensors") < 1e-6);
    assert_true(apart("gan/one.state.safetensors", "gan/four.state.safetensors") < 1e-6);
    /* One picture's caption would be called wrong for itself. */
    run(ONE_STEP "--config gan.json --batch 1 --out gan/alone.safetensors", 0, NULL);
    run(ONE_STEP "--config trusting.json --batch 1 --out gan/alone-trusting.safetensors", 0, NULL);
    assert_true(apart("gan/alone.state.safetensors", "gan/alone-trusting.state.safetensors") == 0);
}

/* ---- records ---- */

/* Does the record of the step have this loss? The line is found by its number. */
static bool has_loss(const char *records, int step, const char *name)
{
    size_t size;
    uint8_t *bytes = file_load(scratch_path(&scratch, records), &size);
    const char *at = (const char *)bytes, *end = at + size;
    bool found = false;
    for (const char *stop; at < end && (stop = memchr(at, '\n', (size_t)(end - at))); at = stop + 1) {
        json_t *record = json_loadb(at, (size_t)(stop - at), 0, NULL);
        if (json_integer_value(json_object_get(record, "step")) == step)
            found = json_is_real(json_object_get(record, name));
        json_decref(record);
    }
    memory_free(bytes);
    return found;
}

/* A network that did not move since the last record has no loss in this one. */
static void test_losses_of_steps(void **state)
{
    (void)state;
    save_text("every.json", "{\"gan\": {\"width\": 4, \"latent\": 8, \"every\": 2}}");
    run(GAN "--config every.json --steps 5 --batch 2 --log-every 1 --out each/m.safetensors", 0, NULL);
    for (int step = 1; step <= 5; step++) {
        assert_true(has_loss("each/train.jsonl", step, "loss") && has_loss("each/train.jsonl", step, "discriminator"));
        assert_int_equal(has_loss("each/train.jsonl", step, "generator"), step % 2 == 0);
    }
    run(GAN "--config every.json --steps 4 --batch 2 --log-every 2 --out both/m.safetensors", 0, NULL);
    assert_true(has_loss("both/train.jsonl", 2, "generator") && has_loss("both/train.jsonl", 4, "generator"));
}

/* ---- two machines ---- */

/* With two pictures each they are one with four, and what one leaves out of the record the other does. */
static void test_two_machines(void **state)
{
    (void)state;
    train_on_machines(&scratch,
                      TRAIN_TWO ONE_STEP "--config gan.json --batch 2 --accumulate 2 --out gan/machines.safetensors", 0,
                      "");
    assert_true(apart("gan/one.state.safetensors", "gan/machines.state.safetensors") < 1e-6);
    train_on_machines(&scratch,
                      TRAIN_TWO GAN "--config every.json --steps 3 --batch 2 --log-every 1 --out ranks/m.safetensors",
                      0, "");
    for (int step = 1; step <= 3; step++) assert_int_equal(has_loss("ranks/train.jsonl", step, "generator"), step == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_warm_up),
        cmocka_unit_test(test_wrong_captions),
        cmocka_unit_test(test_losses_of_steps),
        cmocka_unit_test(test_two_machines),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
