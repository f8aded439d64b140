/* SPDX-License-Identifier: MIT
 *
 * GANs through limn.h: painting from seeds as PyTorch would, a training of one that follows captions from pictures to
 * the pack that paints prompts, and its latent space.
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { PICTURES = 8, SIDE = 28, MOST_LATENT = 256 };

static void must(enum limn_status status, const struct limn_error *error)
{
    if (status != LIMN_OK) fail_msg("%s", error->text);
}

static void refused(enum limn_status status, const struct limn_error *error, enum limn_status wanted, const char *part)
{
    if (status != wanted || !strstr(error->text, part))
        fail_msg("%s: '%s' does not say '%s'", limn_status_name(status), error->text, part);
}

static struct limn_model *open_model(const char *path)
{
    struct limn_model *model = NULL;
    struct limn_error error = {0};
    must(limn_model_open(&model, &(struct limn_model_options){.path = path, .threads = 2}, &error), &error);
    return model;
}

static struct limn_picture paint(struct limn_model *model, const struct limn_request *request)
{
    struct limn_picture picture = {0};
    struct limn_error error = {0};
    must(limn_paint(model, request, &picture, &error), &error);
    return picture;
}

static bool same_pixels(const struct limn_image *a, const struct limn_image *b)
{
    return a->width == b->width && a->height == b->height && a->channels == b->channels &&
           memcmp(a->pixels, b->pixels, (size_t)a->width * (size_t)a->height * (size_t)a->channels) == 0;
}

/* ---- a training that all tests after it use ---- */

struct fixture {
    struct scratch scratch;
    char pack[512], plain[512]; /* the trained GANs: one that follows captions, and one that does not */
    char begun[512];            /* as `pack`, but one step of next to no learning */
};

static struct limn_image make_picture(int width, int height, int tone)
{
    struct limn_image image = {
        .width = width, .height = height, .channels = 3, .pixels = test_malloc((size_t)(width * height * 3))};
    for (int i = 0; i < width * height; i++)
        for (int c = 0; c < 3; c++)
            image.pixels[3 * i + c] = (uint8_t)((i % width * 7 + i / width * (3 + c) + tone * 29) % 256);
    return image;
}

static void count_skipped(void *context, const char *sentence)
{
    (void)sentence;
    ++*(int *)context;
}

static const char plain_config[] =
    "{\"gan\": {\"width\": 4, \"latent\": 16, \"loss\": \"wgan-gp\", \"every\": 2}, "
    "\"training\": {\"channels\": 1, \"accumulate\": 2, \"ema\": 0, \"learning_rate\": 0.01}}";

/* resume: goes on from a training of fewer steps. Returns how many notes there were. */
static int train(const char *config, const char *init, const char *data, const char *out, const char *config_path,
                 int64_t steps, bool resume)
{
    struct limn_error error = {0};
    int notes = 0;
    const struct limn_watch watch = {.context = &notes, .note = count_skipped};
    file_save(config_path, config, strlen(config));
    const struct limn_train_options options = {.family = "gan",
                                               .data = data,
                                               .out = out,
                                               .init = init,
                                               .config = config_path,
                                               .restart = !resume,
                                               .resume = resume,
                                               .steps = steps,
                                               .batch = 4,
                                               .size = SIDE,
                                               .save_every = 6,
                                               .sheet_every = 6,
                                               .threads = 2,
                                               .watch = &watch};
    must(limn_train(&options, &error), &error);
    return notes;
}

static int set_up(void **state)
{
    static struct fixture f;
    struct scratch *s = &f.scratch;
    char init[TINY_PATH_BYTES], data[512], name[64];
    scratch_open(s);
    for (int i = 0; i < PICTURES; i++) {
        struct limn_error error = {0};
        const char *caption = i % 2 ? "a red apple" : "a cat face";
        struct limn_image image = make_picture(32, 32, i);
        snprintf(name, sizeof name, "data/%d.png", i);
        must(limn_image_write(&image, scratch_path(s, name), &error), &error);
        test_free(image.pixels);
        snprintf(name, sizeof name, "data/%d.txt", i);
        file_save(scratch_path(s, name), caption, strlen(caption));
    }
    snprintf(data, sizeof data, "%s", scratch_path(s, "data"));
    snprintf(f.pack, sizeof f.pack, "%s", scratch_path(s, "pack.safetensors"));
    snprintf(f.plain, sizeof f.plain, "%s", scratch_path(s, "plain.safetensors"));
    const char *config = scratch_path(s, "config.json");
    tiny_write(init, TINY_PACK);
    train("{\"gan\": {\"width\": 4, \"latent\": 20, \"noise\": 0.1}, \"training\": {\"learning_rate\": 0.01, "
          "\"ema\": 0.5}}",
          init, data, f.pack, config, 6, false);
    snprintf(f.begun, sizeof f.begun, "%s", scratch_path(s, "begun.safetensors"));
    train("{\"gan\": {\"width\": 4, \"latent\": 20}, \"training\": {\"learning_rate\": 1e-9}}", init, data, f.begun,
          config, 1, false);
    tiny_remove(init);
    /* That the captions are left aside is said. */
    assert_int_equal(train(plain_config, NULL, data, f.plain, config, 6, false), 1);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    scratch_close(&f->scratch);
    return 0;
}

/* Three steps, and three more from the checkpoint, are six steps. */
static void test_resume(void **state)
{
    struct fixture *f = *state;
    char data[512], out[512];
    size_t size, other_size;
    snprintf(data, sizeof data, "%s", scratch_path(&f->scratch, "data"));
    snprintf(out, sizeof out, "%s", scratch_path(&f->scratch, "other/plain.safetensors"));
    const char *config = scratch_path(&f->scratch, "config.json");
    train(plain_config, NULL, data, out, config, 3, false);
    uint8_t *three = file_load(out, &size);
    train(plain_config, NULL, data, out, config, 6, true);
    uint8_t *six = file_load(f->plain, &size), *resumed = file_load(out, &other_size);
    assert_int_equal(size, other_size);
    assert_memory_equal(six, resumed, size);
    assert_memory_not_equal(six, three, size);
    memory_free(three);
    memory_free(six);
    memory_free(resumed);
}

/* ---- painting ---- */

static void test_seeds(void **state)
{
    (void)state;
    static const char *const names[] = {"seeds", "seeds-grey"};
    static const uint64_t seeds[] = {5, 123456789};
    struct checkpoint *golden = golden_open("gan/gan.safetensors");
    for (int i = 0; i < 2; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/gan/%s.safetensors", GOLDEN, names[i]);
        struct limn_model *model = open_model(path);
        const int32_t *want = golden_tensor(golden, "%s.pixels", names[i])->data;
        for (int k = 0; k < 2; k++) {
            struct limn_picture p = paint(model, &(struct limn_request){.seed = seeds[k], .rng = "mt19937"});
            assert_int_equal(p.image.width, 32);
            assert_int_equal(p.image.channels, 3);
            for (int j = 0; j < 32 * 32 * 3; j++)
                if (abs(p.image.pixels[j] - want[k * 32 * 32 * 3 + j]) > 1)
                    fail_msg("%s, seed %d: value %d is %d, not %d", names[i], k, j, p.image.pixels[j],
                             want[k * 32 * 32 * 3 + j]);
            limn_picture_clear(&p);
        }
        limn_model_close(model);
    }
    checkpoint_close(golden);
}

static void test_prompts(void **state)
{
    const struct fixture *f = *state;
    struct limn_model *model = open_model(f->pack);
    struct limn_picture apple = paint(model, &(struct limn_request){.prompt = "a red apple", .seed = 3});
    struct limn_picture cat = paint(model, &(struct limn_request){.prompt = "a cat face", .seed = 3});
    struct limn_picture again = paint(model, &(struct limn_request){.prompt = "a red apple", .seed = 3});
    struct limn_picture other = paint(model, &(struct limn_request){.prompt = "a red apple", .seed = 4});
    assert_int_equal(apple.image.width, SIDE);
    assert_true(same_pixels(&apple.image, &again.image));
    assert_false(same_pixels(&apple.image, &cat.image));
    assert_false(same_pixels(&apple.image, &other.image));
    /* The text says how, and repeats it. */
    struct limn_recipe *recipe = NULL;
    struct limn_error error = {0};
    assert_non_null(strstr(apple.parameters, "a red apple\nSeed: 3, Size: 28x28, Model hash: "));
    must(limn_recipe_parse(&recipe, apple.parameters, NULL, &error), &error);
    struct limn_picture repeated = paint(model, limn_recipe_request(recipe));
    assert_true(same_pixels(&apple.image, &repeated.image));
    limn_recipe_close(recipe);
    struct limn_picture *const all[] = {&apple, &cat, &again, &other, &repeated};
    for (int i = 0; i < 5; i++) limn_picture_clear(all[i]);
    limn_model_close(model);
}

static void keep_note(void *context, const char *sentence)
{
    snprintf(context, 256, "%s", sentence);
}

static void test_settings(void **state)
{
    const struct fixture *f = *state;
    struct limn_model *model = open_model(f->plain);
    struct limn_error error = {0};
    struct limn_picture p = {0};
    char note[256] = "";
    const struct limn_watch watch = {.context = note, .note = keep_note};
    p = paint(model, &(struct limn_request){.steps = 3, .cfg = 2, .sampler = "ddim", .watch = &watch});
    assert_string_equal(note, "a GAN paints in one pass and has no use for steps, cfg and sampler");
    limn_picture_clear(&p);
    p = paint(model, &(struct limn_request){.prompt = "a red apple", .watch = &watch});
    assert_string_equal(note, "this GAN takes no text: the prompt does not change the picture");
    limn_picture_clear(&p);
    refused(limn_paint(model, &(struct limn_request){.width = 64, .height = 64}, &p, &error), &error, LIMN_ARGUMENT,
            "this GAN paints pictures of 28x28 and no others");
    refused(limn_paint(model, &(struct limn_request){.truncation = 0.001f}, &p, &error), &error, LIMN_ARGUMENT,
            "truncation 0.001: must be 0.01 to 10");
    refused(limn_paint(model, &(struct limn_request){.truncation = 11}, &p, &error), &error, LIMN_ARGUMENT,
            "truncation 11: must be 0 to 10");
    refused(limn_paint(model, &(struct limn_request){.rng = "dice"}, &p, &error), &error, LIMN_ARGUMENT, "rng 'dice'");
    limn_model_close(model);
    model = NULL;
    refused(limn_model_open(&model, &(struct limn_model_options){.path = f->plain, .vae = f->plain}, &error), &error,
            LIMN_FORMAT, "there is no VAE in this file");
    refused(limn_model_open(&model, &(struct limn_model_options){.path = f->plain, .prediction = "v"}, &error), &error,
            LIMN_ARGUMENT, "a GAN has no use for a prediction");
}

static void test_info(void **state)
{
    const struct fixture *f = *state;
    struct limn_info info = {0};
    struct limn_error error = {0};
    must(limn_info_read(&info, f->pack, &error), &error);
    assert_string_equal(info.kind, "gan");
    assert_string_equal(info.name, "pack");
    assert_string_equal(info.concepts[0], "a cat face");
    assert_int_equal(info.width, SIDE);
    assert_null(info.missing);
    assert_null(info.prediction);
    for (int i = 0; i < 3; i++) {
        assert_true(info.parts[i].present);
        assert_true(info.parts[i].tensors > 5);
    }
    assert_null(info.parts[3].name);
    assert_int_equal(info.parts[0].tensors + info.parts[1].tensors + info.parts[2].tensors, info.tensors);
    limn_info_clear(&info);
}

/* What reads the text begins whitened: far from the 0.02 that DCGAN's weights have, for two captions are nearly alike.
 */
static void test_text_begins_whitened(void **state)
{
    const struct fixture *f = *state;
    static const char *const names[] = {"generator.text.weight", "discriminator.text.weight", "generator.0.weight"};
    struct checkpoint *c = NULL;
    struct error err = {0};
    assert_int_equal(checkpoint_open(&c, f->begun, &err), STATUS_OK);
    for (int i = 0; i < 3; i++) {
        const struct tensor *t = checkpoint_find(c, names[i]);
        assert_non_null(t);
        const float *values = t->data;
        double square = 0;
        for (int64_t k = 0; k < t->count; k++) square += (double)values[k] * (double)values[k] / (double)t->count;
        if ((sqrt(square) > 0.04) != (i < 2)) fail_msg("%s: a deviation of %g", names[i], sqrt(square));
    }
    checkpoint_close(c);
}

/* ---- latent vectors ---- */

static double length_of(const float *z, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)z[i] * (double)z[i];
    return sqrt(sum);
}

static void test_vectors(void **state)
{
    const struct fixture *f = *state;
    struct limn_model *model = open_model(f->plain);
    struct limn_error error = {0};
    float a[MOST_LATENT], b[MOST_LATENT], c[MOST_LATENT];
    assert_int_equal(limn_latent_size(model), 16);
    must(limn_latent_draw(model, &(struct limn_request){.seed = 1}, a, &error), &error);
    must(limn_latent_draw(model, &(struct limn_request){.seed = 2}, b, &error), &error);
    must(limn_latent_draw(model, &(struct limn_request){.seed = 1, .truncation = 0.3f}, c, &error), &error);
    for (int i = 0; i < 16; i++) {
        assert_true(fabsf(c[i]) <= 0.3f);
        if (fabsf(a[i]) <= 0.3f) assert_true(a[i] == c[i]); /* what was within stays as it was */
    }
    /* Between two vectors lengths change evenly, and the ends are the ends. */
    limn_latent_between(c, a, b, 16, 0);
    for (int i = 0; i < 16; i++) assert_true(fabsf(c[i] - a[i]) < 1e-6f);
    limn_latent_between(c, a, b, 16, 1);
    for (int i = 0; i < 16; i++) assert_true(fabsf(c[i] - b[i]) < 1e-6f);
    limn_latent_between(c, a, b, 16, 0.5);
    const double shorter = fmin(length_of(a, 16), length_of(b, 16));
    assert_true(length_of(c, 16) > 0.95 * shorter);
    limn_latent_between(c, a, a, 16, 0.7);
    for (int i = 0; i < 16; i++) assert_true(fabsf(c[i] - a[i]) < 1e-6f);
    /* A vector paints what its seed paints. */
    struct limn_picture from_seed = paint(model, &(struct limn_request){.seed = 1}), from_vector = {0};
    must(limn_latent_paint(model, &(struct limn_request){0}, a, &from_vector, &error), &error);
    assert_true(same_pixels(&from_seed.image, &from_vector.image));
    assert_null(from_vector.parameters);
    limn_picture_clear(&from_seed);
    limn_picture_clear(&from_vector);
    limn_model_close(model);
}

static void test_find(void **state)
{
    const struct fixture *f = *state;
    struct limn_model *model = open_model(f->plain);
    struct limn_error error = {0};
    float z[MOST_LATENT], rms = 1, score = NAN, others = NAN;
    struct limn_picture p = paint(model, &(struct limn_request){.seed = 1}), found = {0};
    const struct limn_request request = {.seed = 9, .image = &p.image};
    must(limn_latent_find(model, &request, z, &rms, &error), &error);
    assert_true(rms < 0.02f);
    must(limn_latent_paint(model, &(struct limn_request){0}, z, &found, &error), &error);
    double apart = 0;
    for (int i = 0; i < SIDE * SIDE * 3; i++) apart += abs(found.image.pixels[i] - p.image.pixels[i]);
    assert_true(apart / (SIDE * SIDE * 3) < 5);
    /* With half of it covered and spoilt, by the other half. */
    struct limn_image mask = make_picture(SIDE, SIDE, 0);
    for (int i = 0; i < SIDE * SIDE; i++) {
        memset(mask.pixels + 3 * i, i % SIDE < SIDE / 2 ? 255 : 0, 3);
        if (i % SIDE < SIDE / 2) memset(p.image.pixels + 3 * i, 0, 3);
    }
    must(limn_latent_find(model, &(struct limn_request){.seed = 9, .image = &p.image, .mask = &mask}, z, &rms, &error),
         &error);
    assert_true(rms < 0.02f);
    test_free(mask.pixels);
    must(limn_latent_judge(model, &request, &score, &error), &error);
    assert_true(isfinite(score));
    struct limn_image photo = make_picture(40, 30, 1);
    must(limn_latent_judge(model, &(struct limn_request){.image = &photo}, &others, &error), &error);
    assert_true(isfinite(others) && others != score);
    refused(limn_latent_judge(model, &(struct limn_request){0}, &score, &error), &error, LIMN_ARGUMENT, "no picture");
    test_free(photo.pixels);
    limn_picture_clear(&p);
    limn_picture_clear(&found);
    limn_model_close(model);
}

/* ---- vary and edit ---- */

static void test_vary(void **state)
{
    const struct fixture *f = *state;
    struct limn_model *model = open_model(f->plain);
    struct limn_picture p = paint(model, &(struct limn_request){.seed = 1}), varied[3];
    static const float strengths[] = {0.02f, 1, 1};
    for (int i = 0; i < 3; i++)
        varied[i] =
            paint(model, &(struct limn_request){
                             .image = &p.image, .strength = strengths[i], .seed = i == 2 ? 6u : 5u, .prompt = ""});
    struct limn_picture of_seed = paint(model, &(struct limn_request){.seed = 5});
    double apart[2] = {0};
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < SIDE * SIDE * 3; i++) apart[k] += abs(varied[k].image.pixels[i] - p.image.pixels[i]);
    assert_true(apart[0] < apart[1]);
    assert_true(same_pixels(&varied[1].image, &of_seed.image)); /* all the way to the seed's own */
    assert_false(same_pixels(&varied[1].image, &varied[2].image));
    for (int i = 0; i < 3; i++) limn_picture_clear(&varied[i]);
    limn_picture_clear(&of_seed);
    limn_picture_clear(&p);
    limn_model_close(model);
}

static void test_edit(void **state)
{
    enum { WIDTH = 50, HEIGHT = 36 };
    const struct fixture *f = *state;
    struct limn_model *model = open_model(f->pack);
    struct limn_image photo = make_picture(WIDTH, HEIGHT, 3), mask = make_picture(WIDTH, HEIGHT, 0);
    for (int i = 0; i < WIDTH * HEIGHT; i++) memset(mask.pixels + 3 * i, i % WIDTH < 20 ? 255 : 0, 3);
    const struct limn_request request = {.prompt = "a red apple", .image = &photo, .mask = &mask, .seed = 2};
    struct limn_picture p = paint(model, &request);
    int changed = 0;
    assert_int_equal(p.image.width, WIDTH);
    assert_int_equal(p.image.height, HEIGHT);
    for (int i = 0; i < WIDTH * HEIGHT; i++) {
        const bool same = memcmp(p.image.pixels + 3 * i, photo.pixels + 3 * i, 3) == 0;
        if (i % WIDTH >= 20) assert_true(same);
        changed += !same;
    }
    assert_true(changed > 20 * HEIGHT / 2);
    limn_picture_clear(&p);
    struct limn_error error = {0};
    memset(mask.pixels, 255, (size_t)(WIDTH * HEIGHT * 3));
    refused(limn_paint(model, &request, &p, &error), &error, LIMN_ARGUMENT, "the mask is white everywhere");
    memset(mask.pixels, 0, (size_t)(WIDTH * HEIGHT * 3));
    refused(limn_paint(model, &request, &p, &error), &error, LIMN_ARGUMENT, "the mask is black");
    test_free(photo.pixels);
    test_free(mask.pixels);
    limn_model_close(model);
}

static void count_steps(void *context, const struct limn_progress *progress)
{
    *(int *)context += progress->stage == LIMN_STAGE_STEP;
}

/* Seeds of a batch share what is found of their picture; whether it was there already makes no difference to a pixel.
 */
static void test_one_search_a_picture(void **state)
{
    const struct fixture *f = *state;
    int steps = 0;
    const struct limn_watch watch = {.context = &steps, .progress = count_steps};
    struct limn_model *model = open_model(f->plain), *fresh = open_model(f->plain);
    struct limn_image photo = make_picture(40, 30, 1), mask = make_picture(40, 30, 0);
    for (int i = 0; i < 40 * 15; i++) memset(mask.pixels + 3 * i, 255, 3);
    for (int masked = 0; masked < 2; masked++) {
        struct limn_request request = {.image = &photo, .mask = masked ? &mask : NULL, .seed = 5, .watch = &watch};
        struct limn_picture first = paint(model, &request);
        const int whole = steps;
        request.seed = 6;
        struct limn_picture second = paint(model, &request), alone = paint(fresh, &request);
        assert_true(steps == 2 * whole + (masked ? whole - 301 : 0)); /* model's second one, and fresh's */
        assert_true(same_pixels(&second.image, &alone.image));
        assert_false(same_pixels(&second.image, &first.image));
        limn_picture_clear(&first);
        limn_picture_clear(&second);
        limn_picture_clear(&alone);
        steps = 0;
    }
    test_free(photo.pixels);
    test_free(mask.pixels);
    limn_model_close(model);
    limn_model_close(fresh);
}

/* ---- pictures together ---- */

static int count_chunks(const uint8_t *png, size_t size, const char *type)
{
    int count = 0;
    for (size_t at = 8; at + 12 <= size;) {
        const size_t length =
            (size_t)png[at] << 24 | (size_t)png[at + 1] << 16 | (size_t)png[at + 2] << 8 | png[at + 3];
        count += memcmp(png + at + 4, type, 4) == 0;
        at += length + 12;
    }
    return count;
}

static void test_animation(void **state)
{
    struct fixture *f = *state;
    struct limn_error error = {0};
    struct limn_picture frames[3] = {{{0}, NULL, 0, 0}};
    struct limn_image read = {0};
    size_t size;
    for (int i = 0; i < 3; i++) frames[i].image = make_picture(20, 10, i);
    const char *path = scratch_path(&f->scratch, "walk.png");
    must(limn_animation_write(frames, 3, 50, path, &error), &error);
    uint8_t *bytes = file_load(path, &size);
    assert_int_equal(count_chunks(bytes, size, "acTL"), 1);
    assert_int_equal(count_chunks(bytes, size, "fcTL"), 3);
    assert_int_equal(count_chunks(bytes, size, "IDAT"), 1);
    assert_int_equal(count_chunks(bytes, size, "fdAT"), 2);
    assert_int_equal(count_chunks(bytes, size, "IEND"), 1);
    assert_int_equal(count_chunks(bytes, size, "iTXt"), 1); /* the mark */
    memory_free(bytes);
    must(limn_image_read(&read, path, &error), &error); /* to other readers it is its first frame */
    assert_true(same_pixels(&read, &frames[0].image));
    limn_image_clear(&read);
    frames[1].image.height = 9;
    refused(limn_animation_write(frames, 3, 50, path, &error), &error, LIMN_ARGUMENT, "frame 2 is 20x9");
    refused(limn_animation_write(frames, 0, 50, path, &error), &error, LIMN_ARGUMENT, "0 pictures");
    refused(limn_animation_write(frames, 1, 0, path, &error), &error, LIMN_ARGUMENT, "frames of 0 milliseconds");
    for (int i = 0; i < 3; i++) test_free(frames[i].image.pixels);
}

/* ---- no memory ---- */

/* Each allocation of opening, painting and finding made to fail in turn. */
static void test_no_memory(void **state)
{
    struct fixture *f = *state;
    struct limn_image photo = make_picture(SIDE, SIDE, 1);
    for (int kind = 0; kind < 3; kind++) {
        for (uint64_t i = 1;; i++) {
            struct limn_error error = {0};
            struct limn_model *model = NULL;
            struct limn_picture p = {0};
            float score;
            (void)memory_fail_after(i);
            enum limn_status status =
                limn_model_open(&model, &(struct limn_model_options){.path = f->pack, .threads = 1}, &error);
            struct limn_request request = {.prompt = "a red apple", .truncation = 0.5f};
            if (kind == 1) request.image = &photo;
            if (status == LIMN_OK && kind < 1) status = limn_paint(model, &request, &p, &error);
            if (status == LIMN_OK && kind == 1) status = limn_latent_judge(model, &request, &score, &error);
            if (status == LIMN_OK && kind == 2) {
                const struct limn_picture frames[2] = {{.image = photo}, {.image = photo}};
                status = limn_animation_write(frames, 2, 10, scratch_path(&f->scratch, "x.png"), &error);
            }
            const uint64_t asked = memory_fail_after(0);
            limn_picture_clear(&p);
            limn_model_close(model);
            if (asked < i) {
                assert_int_equal(status, LIMN_OK);
                break;
            }
            if (status != LIMN_NO_MEMORY)
                fail_msg("allocation %d: %s: %s", (int)i, limn_status_name(status), error.text);
        }
    }
    test_free(photo.pixels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_prompts),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_vary),
        cmocka_unit_test(test_edit),
        cmocka_unit_test(test_animation),
        cmocka_unit_test(test_one_search_a_picture),
        cmocka_unit_test(test_text_begins_whitened),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
