/* SPDX-License-Identifier: MIT
 *
 * What the public API promises, on tiny models: the same bytes for the same request, pixels outside a mask untouched,
 * memory limits kept, sentences for what is not allowed.
 */
#include "core/base/memory.h"
#include "include/limn.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    char path[TINY_COUNT][TINY_PATH_BYTES];
    struct limn_model *pack;
};

static struct limn_model *open_model(const struct limn_model_options *options)
{
    struct limn_error error = {0};
    struct limn_model *model = NULL;
    if (limn_model_open(&model, options, &error) != LIMN_OK) fail_msg("%s: %s", options->path, error.text);
    return model;
}

static int set_up(void **state)
{
    struct fixture *f = memory_alloc(sizeof *f);
    assert_non_null(f);
    tiny_write(f->path[TINY_SD1], TINY_SD1);
    tiny_write(f->path[TINY_SD1_INPAINT], TINY_SD1_INPAINT);
    tiny_write(f->path[TINY_SD2], TINY_SD2);
    tiny_write(f->path[TINY_PACK], TINY_PACK);
    tiny_write(f->path[TINY_UNET], TINY_UNET);
    tiny_write(f->path[TINY_VAE], TINY_VAE);
    f->pack = open_model(&(struct limn_model_options){.path = f->path[TINY_PACK]});
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < TINY_COUNT; i++)
        if (f->path[i][0]) tiny_remove(f->path[i]);
    limn_model_close(f->pack);
    memory_free(f);
    return 0;
}

static struct limn_picture paint(struct limn_model *model, const struct limn_request *request)
{
    struct limn_error error = {0};
    struct limn_picture picture = {0};
    if (limn_paint(model, request, &picture, &error) != LIMN_OK) fail_msg("%s", error.text);
    return picture;
}

static size_t bytes_of(const struct limn_image *image)
{
    return (size_t)image->width * (size_t)image->height * (size_t)image->channels;
}

static void assert_same(const struct limn_picture *a, const struct limn_picture *b)
{
    assert_int_equal(bytes_of(&a->image), bytes_of(&b->image));
    assert_memory_equal(a->image.pixels, b->image.pixels, bytes_of(&a->image));
}

static double mean_difference(const struct limn_image *a, const struct limn_image *b)
{
    double sum = 0;
    assert_int_equal(bytes_of(a), bytes_of(b));
    for (size_t i = 0; i < bytes_of(a); i++) sum += abs(a->pixels[i] - b->pixels[i]);
    return sum / (double)bytes_of(a);
}

/* A picture with hard and soft parts in every channel. */
static struct limn_image make_image(int width, int height, int channels)
{
    struct limn_image image = {.width = width,
                               .height = height,
                               .channels = channels,
                               .pixels = memory_alloc((size_t)width * (size_t)height * (size_t)channels)};
    assert_non_null(image.pixels);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++)
                image.pixels[(y * width + x) * channels + c] =
                    (uint8_t)(x / 8 % 2 ? 40 + 50 * c : (x * (c + 2) + y * 3) % 256);
    return image;
}

/* White from column `from` on. */
static struct limn_image make_mask(int width, int height, int from, int level)
{
    struct limn_image mask = {
        .width = width, .height = height, .channels = 1, .pixels = memory_alloc((size_t)width * (size_t)height)};
    assert_non_null(mask.pixels);
    for (int i = 0; i < width * height; i++) mask.pixels[i] = (uint8_t)(i % width >= from ? level : 0);
    return mask;
}

/* ---- the same request gives the same bytes ---- */

static void test_same_bytes(void **state)
{
    struct fixture *f = *state;
    struct limn_request request = {.prompt = "apple", .negative = "cat face", .sampler = "euler_a", .seed = 5};
    struct limn_picture first[3];
    for (int i = 0; i < 3; i++) {
        first[i] = paint(f->pack, &request);
        assert_int_equal(first[i].seed, 5 + i);
        request.seed++;
    }
    assert_true(mean_difference(&first[0].image, &first[1].image) > 1);
    for (int threads = 1; threads <= 3; threads++) {
        struct limn_model *model =
            open_model(&(struct limn_model_options){.path = f->path[TINY_PACK], .threads = threads});
        for (int i = 2; i >= 0; i--) {
            request.seed = 5 + (uint64_t)i;
            struct limn_picture again = paint(model, &request);
            assert_same(&first[i], &again);
            assert_string_equal(first[i].parameters, again.parameters);
            limn_picture_clear(&again);
        }
        limn_model_close(model);
    }
    for (int i = 0; i < 3; i++) limn_picture_clear(&first[i]);
}

/* The request that a picture's text holds paints it again; one with every setting away from its default. */
static void test_recipe_repeats(void **state)
{
    struct fixture *f = *state;
    const struct limn_request request = {.prompt = "a (red:1.3) apple,\nBREAK x: \"y\"",
                                         .negative = "cat, Steps: 1",
                                         .width = 48,
                                         .height = 64,
                                         .steps = 4,
                                         .cfg = 3.3F,
                                         .sampler = "ddim",
                                         .schedule = "trailing",
                                         .eta = 0.7F,
                                         .seed = 1234567890123,
                                         .subseed = 9,
                                         .subseed_strength = 0.15F,
                                         .clip_skip = 2,
                                         .rng = "mt19937"};
    struct limn_picture picture = paint(f->pack, &request);
    struct limn_recipe *recipe = NULL;
    assert_int_equal(limn_recipe_parse(&recipe, picture.parameters, NULL, NULL), LIMN_OK);
    struct limn_picture again = paint(f->pack, limn_recipe_request(recipe));
    assert_same(&picture, &again);
    assert_string_equal(picture.parameters, again.parameters);
    limn_recipe_close(recipe);
    limn_picture_clear(&again);
    limn_picture_clear(&picture);
}

/* Prompts of more than one chunk: each chunk counts, be it of the prompt or of the negative prompt. */
static void test_long_prompts(void **state)
{
    struct fixture *f = *state;
    static const char *const texts[][2] = {
        {"apple", "cat"}, {"apple", "cat BREAK dog"}, {"apple BREAK red", "cat"}, {"apple BREAK red", "cat BREAK dog"}};
    struct limn_picture pictures[4];
    for (int i = 0; i < 4; i++) {
        pictures[i] = paint(f->pack, &(struct limn_request){.prompt = texts[i][0], .negative = texts[i][1]});
        for (int k = 0; k < i; k++) assert_true(mean_difference(&pictures[k].image, &pictures[i].image) > 0);
    }
    for (int i = 0; i < 4; i++) limn_picture_clear(&pictures[i]);
}

static void test_subseed(void **state)
{
    struct fixture *f = *state;
    struct limn_request request = {.prompt = "apple", .seed = 1};
    struct limn_picture one = paint(f->pack, &request);
    request.seed = 2;
    struct limn_picture two = paint(f->pack, &request);
    request = (struct limn_request){.prompt = "apple", .seed = 1, .subseed = 2, .subseed_strength = 0.05F};
    struct limn_picture near = paint(f->pack, &request);
    request.subseed_strength = 1;
    struct limn_picture far = paint(f->pack, &request);
    assert_true(mean_difference(&one.image, &near.image) > 0.1);
    assert_true(mean_difference(&one.image, &near.image) < mean_difference(&one.image, &two.image));
    assert_true(mean_difference(&two.image, &far.image) < 1);
    limn_picture_clear(&one);
    limn_picture_clear(&two);
    limn_picture_clear(&near);
    limn_picture_clear(&far);
}

/* ---- varying and editing ---- */

static void test_vary(void **state)
{
    struct fixture *f = *state;
    struct limn_image image = make_image(32, 32, 3);
    double last = 0;
    for (int i = 1; i <= 3; i++) {
        const struct limn_request request = {
            .image = &image, .steps = 9, .strength = (float)i / 3, .cfg = 1, .seed = 3};
        struct limn_picture picture = paint(f->pack, &request);
        const double change = mean_difference(&image, &picture.image);
        assert_true(change > last);
        last = change;
        assert_non_null(strstr(picture.parameters, "Denoising strength: "));
        limn_picture_clear(&picture);
    }
    limn_image_clear(&image);

    image = make_image(300, 100, 1); /* Brought near the model's number of pixels; its shape is kept. */
    struct limn_picture wide = paint(f->pack, &(struct limn_request){.image = &image});
    assert_int_equal(wide.image.width, 56);
    assert_int_equal(wide.image.height, 16);
    limn_picture_clear(&wide);
    limn_image_clear(&image);
}

/* Sizes that fit nothing, every number of channels, masks of other sizes: what the mask leaves alone is untouched. */
static void test_edit_keeps(void **state)
{
    struct fixture *f = *state;
    struct limn_model *inpaint = open_model(&(struct limn_model_options){.path = f->path[TINY_SD1_INPAINT]});
    static const int sizes[][2] = {{32, 32}, {51, 37}, {100, 23}};
    for (int i = 0; i < 3; i++) {
        for (int channels = 1; channels <= 4; channels++) {
            const int width = sizes[i][0], height = sizes[i][1];
            struct limn_image image = make_image(width, height, channels),
                              mask = make_mask(width, height, width / 2, 255);
            struct limn_request request = {.prompt = "apple", .image = &image, .mask = &mask, .steps = 2};
            if (channels == 2) request.width = request.height = 64;
            struct limn_picture picture = paint(channels == 2 ? inpaint : f->pack, &request);
            const struct limn_image *out = &picture.image;
            assert_true(out->width == width && out->height == height);
            assert_int_equal(out->channels, channels % 2 ? 3 : 4);
            int changed = 0;
            for (int k = 0; k < width * height; k++) {
                const uint8_t *was = image.pixels + k * channels, *is = out->pixels + k * out->channels;
                const bool grey = channels <= 2;
                const bool same = is[0] == was[0] && is[1] == was[grey ? 0 : 1] && is[2] == was[grey ? 0 : 2] &&
                                  (channels % 2 || is[3] == was[channels - 1]);
                if (!mask.pixels[k] && !same) fail_msg("pixel %d of %dx%dx%d changed", k, width, height, channels);
                changed += !same;
            }
            assert_true(changed > width * height / 4);
            limn_picture_clear(&picture);
            limn_image_clear(&image);
            limn_image_clear(&mask);
        }
    }
    limn_model_close(inpaint);
}

static void test_edit_masks(void **state)
{
    struct fixture *f = *state;
    struct limn_image image = make_image(32, 32, 3), white = make_mask(32, 32, 16, 255);
    struct limn_image grey = make_mask(32, 32, 16, 90), black = make_mask(32, 32, 16, 0);
    struct limn_image small = make_mask(8, 4, 4, 255);
    struct limn_request request = {.prompt = "apple", .image = &image, .mask = &white, .steps = 6, .seed = 3};
    struct limn_picture full = paint(f->pack, &request);

    request.mask = &grey;
    struct limn_picture soft = paint(f->pack, &request);
    const double change = mean_difference(&image, &soft.image);
    assert_true(change > 0.2 && change < 0.6 * mean_difference(&image, &full.image));

    request.mask = &small; /* Half of another size: far from its edge the same pixels are kept. */
    struct limn_picture scaled = paint(f->pack, &request);
    for (int i = 0; i < 32 * 32; i++)
        if (i % 32 < 12) assert_memory_equal(scaled.image.pixels + 3 * i, image.pixels + 3 * i, 3);

    request.mask = &white;
    request.invert_mask = 1;
    struct limn_picture inverted = paint(f->pack, &request);
    for (int i = 0; i < 32 * 32; i++)
        if (i % 32 >= 16) assert_memory_equal(inverted.image.pixels + 3 * i, image.pixels + 3 * i, 3);

    request.invert_mask = 0;
    request.mask_blur = 2;
    struct limn_picture blurred = paint(f->pack, &request);
    assert_memory_equal(blurred.image.pixels, image.pixels, 3 * 4);
    assert_true(memcmp(blurred.image.pixels + 3 * 14, image.pixels + 3 * 14, 3 * 2) != 0);

    struct limn_error error = {0};
    struct limn_picture none;
    request.mask = &black;
    assert_int_equal(limn_paint(f->pack, &request, &none, &error), LIMN_ARGUMENT);
    assert_non_null(strstr(error.text, "nothing to repaint"));
    struct limn_picture *const all[] = {&full, &soft, &scaled, &inverted, &blurred};
    for (int i = 0; i < 5; i++) limn_picture_clear(all[i]);
    struct limn_image *const images[] = {&image, &white, &grey, &black, &small};
    for (int i = 0; i < 5; i++) limn_image_clear(images[i]);
}

/* How much another first noise changes the picture where the mask has this level, the mask's own share taken out. */
static double noise_matters(struct limn_model *model, int level)
{
    struct limn_image image = make_image(32, 32, 3), mask = make_mask(32, 32, 8, level);
    struct limn_request request = {
        .prompt = "apple", .image = &image, .mask = &mask, .steps = 6, .seed = 3, .subseed = 8};
    struct limn_picture one = paint(model, &request);
    request.subseed_strength = 1;
    struct limn_picture two = paint(model, &request);
    const double difference = mean_difference(&one.image, &two.image) * 255 / level;
    limn_picture_clear(&one);
    limn_picture_clear(&two);
    limn_image_clear(&image);
    limn_image_clear(&mask);
    return difference;
}

/* The greyer the mask, the later a place is let go, and the less of the noise is left to paint there. */
static void test_soft_masks(void **state)
{
    struct fixture *f = *state;
    const double dark = noise_matters(f->pack, 60), middle = noise_matters(f->pack, 150);
    const double white = noise_matters(f->pack, 255);
    print_message("the noise matters by %.2f, %.2f and %.2f\n", dark, middle, white);
    assert_true(dark > 0 && dark < 0.7 * middle && middle < 0.9 * white);
}

/* ---- watching ---- */

struct watched {
    int steps, previews, stages;
    int cancel_at; /* -1: never */
    char note[256];
};

static void on_progress(void *context, const struct limn_progress *progress)
{
    struct watched *w = context;
    if (progress->stage == LIMN_STAGE_STEP && progress->done > 0) {
        w->steps++;
        assert_int_equal(progress->done, w->steps);
    }
    w->stages |= 1 << progress->stage;
}

static int on_cancelled(void *context)
{
    const struct watched *w = context;
    return w->cancel_at >= 0 && w->steps >= w->cancel_at;
}

static void on_note(void *context, const char *sentence)
{
    struct watched *w = context;
    snprintf(w->note, sizeof w->note, "%s", sentence);
}

static void on_preview(void *context, const struct limn_image *image, int step)
{
    struct watched *w = context;
    w->previews++;
    assert_int_equal(step, 2 * w->previews);
    assert_int_equal(image->width, 32);
}

static struct limn_watch watch_with(struct watched *w)
{
    return (struct limn_watch){.context = w,
                               .progress = on_progress,
                               .cancelled = on_cancelled,
                               .note = on_note,
                               .preview = on_preview,
                               .preview_every = 2};
}

static void test_watch(void **state)
{
    struct fixture *f = *state;
    struct watched w = {.cancel_at = -1};
    const struct limn_watch watch = watch_with(&w);
    struct limn_request request = {.prompt = "빨간 사과", .steps = 5, .watch = &watch};
    struct limn_picture picture = paint(f->pack, &request);
    assert_int_equal(w.steps, 5);
    assert_int_equal(w.previews, 2);
    assert_int_equal(w.stages, 1 << LIMN_STAGE_TEXT | 1 << LIMN_STAGE_STEP | 1 << LIMN_STAGE_DECODE);
    assert_string_equal(w.note, "");
    limn_picture_clear(&picture);

    /* diffusers' int(10 * 0.7) is 7, though 0.7F is a little less than 0.7. */
    struct limn_image image = make_image(32, 32, 3);
    w = (struct watched){.cancel_at = -1};
    const struct limn_request part = {.image = &image, .steps = 10, .strength = 0.7F, .watch = &watch};
    picture = paint(f->pack, &part);
    assert_int_equal(w.steps, 7);
    limn_picture_clear(&picture);
    limn_image_clear(&image);

    w = (struct watched){.cancel_at = 2};
    struct limn_error error = {0};
    assert_int_equal(limn_paint(f->pack, &request, &picture, &error), LIMN_CANCELLED);
    assert_int_equal(w.steps, 2);
    assert_null(picture.image.pixels);
    assert_null(picture.parameters);

    static const char *const known[] = {"an apple", "Apples!", "red cat face", "사과나무", "(apple:1.2)", ""};
    static const char *const unknown[] = {"a dragon", "pineapple", "applet", "용"};
    for (int i = 0; i < 10; i++) {
        w = (struct watched){.cancel_at = -1};
        request.prompt = i < 6 ? known[i] : unknown[i - 6];
        request.steps = 1;
        picture = paint(f->pack, &request);
        if ((w.note[0] == '\0') != (i < 6)) fail_msg("'%s': %s", request.prompt, w.note);
        limn_picture_clear(&picture);
    }
    assert_string_equal(w.note, "the tiny pack does not know \"용\"; limn info lists what it knows");
}

/* ---- memory ---- */

/* Between too little, which is refused with numbers, and enough for the whole lies a range where the VAE works in
 * tiles: at the least memory that is not refused, the picture is nearly, but not quite, what it is without a limit. */
static void test_memory_limit(void **state)
{
    struct fixture *f = *state;
    const struct limn_request request = {.prompt = "apple", .width = 256, .height = 192, .steps = 1, .cfg = 1};
    struct limn_model *model = open_model(&(struct limn_model_options){.path = f->path[TINY_SD1]});
    struct limn_picture whole = paint(model, &request), tiled = {0};
    limn_model_close(model);
    uint64_t refused = 0, enough = 1 << 29;
    while (enough - refused > 1 << 19) {
        const uint64_t limit = refused + (enough - refused) / 2;
        const struct limn_model_options options = {.path = f->path[TINY_SD1], .max_memory = limit};
        struct limn_error error = {0};
        struct limn_picture picture = {0};
        enum limn_status status = limn_model_open(&model, &options, &error);
        if (status == LIMN_OK) status = limn_paint(model, &request, &picture, &error);
        limn_model_close(model);
        if (status == LIMN_OK) {
            enough = limit;
            limn_picture_clear(&tiled);
            tiled = picture;
        } else {
            assert_int_equal(status, LIMN_LIMIT);
            assert_non_null(strstr(error.text, "MiB"));
            refused = limit;
        }
    }
    const double difference = mean_difference(&whole.image, &tiled.image);
    print_message("enough is %.1f MiB; tiles differ by %.2f of 255\n", (double)enough / 1048576, difference);
    assert_true(difference > 0 && difference < 20);
    limn_picture_clear(&tiled);
    limn_picture_clear(&whole);
}

/* ---- what is not allowed ---- */

static void test_refusals(void **state)
{
    struct fixture *f = *state;
    uint8_t pixel[4] = {0};
    const struct limn_image image = {.width = 1, .height = 1, .channels = 3, .pixels = pixel},
                            bad_image = {.width = 1, .height = 1, .channels = 9, .pixels = pixel},
                            no_pixels = {.width = 4, .height = 4, .channels = 3, .pixels = NULL};
    const struct {
        struct limn_request request;
        const char *says;
    } bad[] = {
        {{.steps = -1}, "steps -1: must be 1 to 1000"},
        {{.steps = 1001}, "steps 1001"},
        {{.cfg = 0.5F}, "cfg 0.5: must be 1 to 100"},
        {{.cfg = NAN}, "cfg nan"},
        {{.cfg = INFINITY}, "cfg inf"},
        {{.eta = -0.1F}, "eta -0.1"},
        {{.eta = 0.5F, .sampler = "euler"}, "eta"},
        {{.image = &image, .strength = 1.5F}, "strength 1.5"},
        {{.image = &image, .strength = 0.01F, .steps = 4}, "strength"},
        {{.image = &image, .strength = 1e-30F, .steps = 1}, "strength 1e-06 of 1 steps leaves none"},
        {{.subseed_strength = 2}, "subseed strength 2"},
        {{.clip_skip = 13}, "clip skip 13"},
        {{.clip_skip = 9}, "clip skip"},
        {{.mask_blur = 65}, "mask blur 65"},
        {{.seed = UINT64_MAX}, "seed 18446744073709551615"},
        {{.width = 100, .height = 96}, "size 100x96: sides must be multiples of 8 from 16 to 4096"},
        {{.width = 64}, "size 64x0"},
        {{.width = 8, .height = 64}, "size 8x64"},
        {{.width = 4104, .height = 64}, "size 4104x64"},
        {{.sampler = "best"}, "sampler 'best': must be one of euler_a"},
        {{.schedule = "fast"}, "schedule 'fast': must be one of default"},
        {{.schedule = "karras", .sampler = "ddim"}, "ddim"},
        {{.rng = "dice"}, "rng 'dice': must be one of philox, mt19937"},
        {{.mask = &image}, "no picture that it belongs to"},
        {{.image = &bad_image}, "a picture of 1 x 1 pixels with 9 channels"},
        {{.image = &image, .mask = &no_pixels}, "a mask of 4 x 4 pixels"},
        {{.prompt = "a\xff"}, "the prompt"},
        {{.negative = "\xc3"}, "the negative prompt"},
        {{.prompt = "(a:99999999)"}, "weight 1e+08"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct limn_error error = {0};
        struct limn_picture picture;
        const enum limn_status status = limn_paint(f->pack, &bad[i].request, &picture, &error);
        if (status != LIMN_ARGUMENT || !strstr(error.text, bad[i].says))
            fail_msg("case %zu (%s): %s: %s", i, bad[i].says, limn_status_name(status), error.text);
        assert_null(picture.image.pixels);
    }
    assert_string_equal(limn_status_name(LIMN_DEVICE), "DEVICE");
    assert_null(limn_status_name((enum limn_status)(LIMN_DEVICE + 1)));
}

static void test_unsound_models(void **state)
{
    struct fixture *f = *state;
    char broken[TINY_PATH_BYTES + 4];
    snprintf(broken, sizeof broken, "not-%s", f->path[TINY_SD1]);
    assert_int_equal(rename(f->path[TINY_SD1], broken), 0);
    tiny_write(f->path[TINY_SD1], TINY_SD1);
    FILE *file = fopen(broken, "r+b");
    assert_non_null(file);
    fseek(file, -4, SEEK_END);
    fwrite("\0\0\xc0\x7f", 1, 4, file); /* a NaN */
    fclose(file);
    const struct {
        struct limn_model_options options;
        enum limn_status status;
        const char *says;
    } bad[] = {
        {{.path = "no-such-file"}, LIMN_IO, "no-such-file"},
        {{.path = f->path[TINY_UNET]}, LIMN_FORMAT, "a U-Net only; needs a text encoder and a VAE"},
        {{.path = f->path[TINY_VAE]}, LIMN_FORMAT, "a VAE only; needs a text encoder and a U-Net"},
        {{.path = f->path[TINY_SD1], .vae = f->path[TINY_UNET]}, LIMN_FORMAT, "there is no VAE in this file"},
        {{.path = f->path[TINY_SD1], .vae = "no-vae"}, LIMN_IO, "no-vae"},
        {{.path = f->path[TINY_SD1], .threads = 257}, LIMN_ARGUMENT, "threads 257"},
        {{.path = f->path[TINY_SD1], .prediction = "w"}, LIMN_ARGUMENT, "prediction 'w': must be eps, v or x0"},
        {{.path = f->path[TINY_SD1], .max_memory = 1000}, LIMN_LIMIT, "MiB"},
        {{.path = broken}, LIMN_FORMAT, "not numbers"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct limn_error error = {0};
        struct limn_model *model = NULL;
        const enum limn_status status = limn_model_open(&model, &bad[i].options, &error);
        if (status != bad[i].status || !strstr(error.text, bad[i].says))
            fail_msg("case %zu (%s): %s: %s", i, bad[i].says, limn_status_name(status), error.text);
        assert_null(model);
    }
    tiny_remove(broken);
}

/* Adds to the values of a tensor of floats in a safetensors file. */
static void raise_tensor(const char *path, const char *name, float by)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    uint64_t header_bytes;
    unsigned long long first, end;
    assert_int_equal(fread(&header_bytes, sizeof header_bytes, 1, file), 1);
    char *header = memory_alloc(header_bytes + 1);
    assert_int_equal(fread(header, 1, header_bytes, file), header_bytes);
    const char *at = strstr(header, name), *offsets = at ? strstr(at, "\"data_offsets\":[") : NULL;
    assert_non_null(offsets);
    assert_int_equal(sscanf(offsets, "\"data_offsets\":[%llu,%llu]", &first, &end), 2);
    for (unsigned long long i = first; i < end; i += sizeof(float)) {
        float value;
        fseek(file, (long)(sizeof header_bytes + header_bytes + i), SEEK_SET);
        assert_int_equal(fread(&value, sizeof value, 1, file), 1);
        value += by;
        fseek(file, -(long)sizeof value, SEEK_CUR);
        assert_int_equal(fwrite(&value, sizeof value, 1, file), 1);
    }
    memory_free(header);
    fclose(file);
}

/* A file of SD 2.x that does not say what its U-Net predicts: it gives back what it is given, or much less. */
static void test_asked_prediction(void **state)
{
    struct fixture *f = *state;
    char path[TINY_PATH_BYTES];
    tiny_write(path, TINY_UNET); /* a name of its own */
    assert_int_equal(rename(f->path[TINY_SD2], path), 0);
    tiny_write(f->path[TINY_SD2], TINY_SD2);
    for (int v = 0; v < 2; v++) {
        struct watched w = {.cancel_at = -1};
        const struct limn_watch watch = watch_with(&w);
        if (v) raise_tensor(path, "\"model.diffusion_model.out.2.bias\"", -2);
        struct limn_model *model = open_model(&(struct limn_model_options){.path = path, .watch = &watch});
        if (!strstr(w.note, v ? "it is v (" : "it is eps (")) fail_msg("'%s'", w.note);
        limn_model_close(model);
        w.note[0] = '\0'; /* who says it is not asked */
        model = open_model(&(struct limn_model_options){.path = path, .prediction = "eps", .watch = &watch});
        assert_string_equal(w.note, "");
        limn_model_close(model);
    }
    tiny_remove(path);
}

/* A VAE from another file with the same weights gives the same picture. */
static void test_other_vae(void **state)
{
    struct fixture *f = *state;
    const struct limn_request request = {.prompt = "apple", .width = 64, .height = 64, .steps = 1};
    struct limn_model *own = open_model(&(struct limn_model_options){.path = f->path[TINY_SD1]});
    struct limn_model *other =
        open_model(&(struct limn_model_options){.path = f->path[TINY_SD1], .vae = f->path[TINY_VAE]});
    struct limn_picture a = paint(own, &request), b = paint(other, &request);
    assert_same(&a, &b);
    assert_null(strstr(a.parameters, "VAE: "));
    assert_non_null(strstr(b.parameters, "VAE: tiny-vae"));
    limn_picture_clear(&a);
    limn_picture_clear(&b);
    limn_model_close(own);
    limn_model_close(other);
}

static void test_info(void **state)
{
    struct fixture *f = *state;
    static const struct {
        enum tiny tiny;
        const char *kind, *prediction, *missing;
    } wanted[] = {
        {TINY_SD1, "sd1", "eps", NULL},
        {TINY_SD1_INPAINT, "sd1-inpaint", "eps", NULL},
        {TINY_SD2, "sd2", "eps", NULL},
        {TINY_PACK, "pack", "v", NULL},
        {TINY_UNET, "sd1", "eps", "a U-Net only; needs a text encoder and a VAE"},
        {TINY_VAE, "unknown", NULL, "a VAE only; needs a text encoder and a U-Net"},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        struct limn_error error = {0};
        struct limn_info info;
        if (limn_info_read(&info, f->path[wanted[i].tiny], &error) != LIMN_OK) fail_msg("%s", error.text);
        assert_string_equal(info.kind, wanted[i].kind);
        assert_string_equal(info.format, "safetensors");
        assert_string_equal(info.missing ? info.missing : "", wanted[i].missing ? wanted[i].missing : "");
        assert_string_equal(info.prediction ? info.prediction : "", wanted[i].prediction ? wanted[i].prediction : "");
        int tensors = 0;
        for (int k = 0; k < LIMN_PARTS; k++) {
            assert_int_equal(info.parts[k].present != 0, info.parts[k].tensors > 0);
            tensors += info.parts[k].tensors;
        }
        assert_int_equal(tensors, info.tensors);
        assert_string_equal(info.dtypes[0].name, "F32");
        assert_int_equal(info.dtypes[0].bytes, 4 * info.parameters);
        assert_null(info.dtypes[1].name);
        limn_info_clear(&info);
    }
    struct limn_info info;
    assert_int_equal(limn_info_read(&info, f->path[TINY_PACK], NULL), LIMN_OK);
    assert_string_equal(info.name, "tiny");
    assert_string_equal(info.concepts[1], "cat face");
    assert_string_equal(info.concepts_ko[1], "고양이 얼굴");
    assert_null(info.concepts[2]);
    assert_string_equal(info.styles[0], "flat style");
    assert_string_equal(info.colours_ko[0], "빨간");
    assert_int_equal(info.width, 32);
    limn_info_clear(&info);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_recipe_repeats),
        cmocka_unit_test(test_subseed),
        cmocka_unit_test(test_long_prompts),
        cmocka_unit_test(test_vary),
        cmocka_unit_test(test_edit_keeps),
        cmocka_unit_test(test_edit_masks),
        cmocka_unit_test(test_soft_masks),
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_memory_limit),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_unsound_models),
        cmocka_unit_test(test_other_vae),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_asked_prediction),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
