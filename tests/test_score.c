/* SPDX-License-Identifier: MIT
 *
 * limn score, through the library and through the program, on the tiny CLIP model of tests/golden/clip_pair.
 */
#include "core/base/memory.h"
#include "core/io/safetensors_write.h"
#include "include/limn.h"
#include "tests/support/command.h"
#include "tests/support/golden.h"
#include "tests/support/scratch.h"
#include "tests/support/weights.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

enum { MOST_TEXTS = 8 };

static struct scratch scratch;
static struct checkpoint *golden;
static json_t *texts_json;
static const char *texts[MOST_TEXTS];
static int count;

static const char *model_path(void)
{
    return scratch_path(&scratch, "clip.safetensors");
}

/* The test picture of the goldens: slopes and waves. */
static struct limn_image make_picture(void)
{
    struct limn_image image = {.width = 53, .height = 44, .channels = 3, .pixels = memory_alloc(53 * 44 * 3)};
    uint8_t *p = image.pixels;
    assert_non_null(p);
    for (int y = 0; y < image.height; y++)
        for (int x = 0; x < image.width; x++)
            for (int c = 0; c < 3; c++) {
                const int v = (x * (3 + c) + y * (7 - 2 * c) + (x * y >> 4) * (c + 1)) & 511;
                *p++ = (uint8_t)(v < 256 ? v : 511 - v);
            }
    return image;
}

static int set_up(void **state)
{
    (void)state;
    struct error err = {0};
    const struct safetensors_note heads = {"limn.pack", "{\"text\": {\"heads\": 4}, \"image\": {\"heads\": 6}}"};
    scratch_open(&scratch);
    if (weights_write_noted(model_path(), (const char *[]){"clip-hf"}, 1, DTYPE_F32, &heads, 1, &err)) return 1;
    golden = golden_open("clip_pair/goldens.safetensors");
    texts_json = json_loads(checkpoint_metadata(golden, "texts"), 0, NULL);
    count = (int)json_array_size(texts_json);
    assert_in_range(count, 2, MOST_TEXTS);
    for (int i = 0; i < count; i++) texts[i] = json_string_value(json_array_get(texts_json, (size_t)i));
    struct limn_image image = make_picture();
    assert_int_equal(limn_image_write(&image, scratch_path(&scratch, "picture.png"), NULL), LIMN_OK);
    limn_image_clear(&image);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    json_decref(texts_json);
    checkpoint_close(golden);
    scratch_close(&scratch);
    return 0;
}

static struct limn_clip *open_clip(void)
{
    struct limn_error error = {0};
    struct limn_clip *clip = NULL;
    if (limn_clip_open(&clip, &(struct limn_clip_options){.path = model_path()}, &error)) fail_msg("%s", error.text);
    return clip;
}

static void count_note(void *context, const char *sentence)
{
    assert_non_null(strstr(sentence, "text 5 is too long for the model: its last "));
    ++*(int *)context;
}

static void scores(void **state)
{
    (void)state;
    struct limn_error error = {0};
    struct limn_clip *clip = open_clip();
    struct limn_image image = make_picture();
    struct limn_score got[MOST_TEXTS];
    int notes = 0;
    const struct limn_watch watch = {.context = &notes, .note = count_note};
    const struct limn_score_request request = {.image = &image, .texts = texts, .count = count, .watch = &watch};
    if (limn_clip_score(clip, &request, got, &error) != LIMN_OK) fail_msg("%s", error.text);
    assert_int_equal(notes, 1);

    const size_t width = (size_t)golden_tensor(golden, "hf.picture")->count;
    float *picture = golden_values(golden, "hf.picture"), *directions = golden_values(golden, "hf.directions");
    const double scale = (double)got[0].logit / (double)got[0].cosine;
    double sum = 0;
    for (int i = 0; i < count; i++) {
        double cosine = 0;
        for (size_t k = 0; k < width; k++) cosine += (double)picture[k] * (double)directions[(size_t)i * width + k];
        assert_true(fabs((double)got[i].cosine - cosine) < 1e-5);
        assert_true(fabs((double)got[i].logit - cosine * scale) < 1e-5);
        sum += exp((double)got[i].logit);
    }
    for (int i = 0; i < count; i++)
        assert_true(fabs((double)got[i].probability - exp((double)got[i].logit) / sum) < 1e-6);
    memory_free(directions);
    memory_free(picture);
    limn_image_clear(&image);
    limn_clip_close(clip);
}

static void refusals(void **state)
{
    (void)state;
    struct limn_error error = {0};
    struct limn_clip *clip = open_clip();
    struct limn_image image = make_picture(), hollow = {.width = 5, .height = 5, .channels = 3};
    struct limn_score got[1];
    const char *const none[] = {NULL}, *const broken[] = {"a\xff"}, *const good[] = {"a"};
    const struct {
        struct limn_score_request request;
        const char *sentence;
    } cases[] = {
        {{.image = &image, .texts = good, .count = 0}, "0 texts: must be 1 to 4096"},
        {{.image = &image, .texts = good, .count = 5000}, "5000 texts: must be 1 to 4096"},
        {{.image = &image, .count = 1}, "0 texts: must be 1 to 4096"},
        {{.image = &image, .texts = none, .count = 1}, "text 1 of 1 is NULL"},
        {{.image = &image, .texts = broken, .count = 1}, "the prompt is not valid UTF-8: byte 0xff at offset 1"},
        {{.texts = good, .count = 1}, "there is no picture to score"},
        {{.image = &hollow, .texts = good, .count = 1},
         "a picture of 5 x 5 pixels with 3 channels and no pixels: sides must be 1 to 16384, channels 1 to 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(limn_clip_score(clip, &cases[i].request, got, &error), LIMN_ARGUMENT);
        assert_string_equal(error.text, cases[i].sentence);
    }
    limn_clip_close(clip);
    limn_clip_close(NULL);
    limn_image_clear(&image);
    struct limn_clip_options options = {.path = model_path(), .threads = 257};
    assert_int_equal(limn_clip_open(&clip, &options, &error), LIMN_ARGUMENT);
    assert_null(clip);
    options = (struct limn_clip_options){.path = model_path(), .activation = "relu"};
    assert_int_equal(limn_clip_open(&clip, &options, &error), LIMN_ARGUMENT);
    options = (struct limn_clip_options){.path = scratch_path(&scratch, "picture.png")};
    assert_int_equal(limn_clip_open(&clip, &options, &error), LIMN_FORMAT);
    assert_null(clip);
    options = (struct limn_clip_options){.path = model_path(), .max_memory = 1 << 20};
    assert_int_equal(limn_clip_open(&clip, &options, &error), LIMN_OK);
    image = make_picture();
    const struct limn_score_request request = {.image = &image, .texts = good, .count = 1};
    assert_int_equal(limn_clip_score(clip, &request, got, &error), LIMN_LIMIT);
    limn_image_clear(&image);
    limn_clip_close(clip);
    for (int i = 0; limn_activation_name(i); i++) {
        options = (struct limn_clip_options){.path = model_path(), .activation = limn_activation_name(i)};
        assert_int_equal(limn_clip_open(&clip, &options, &error), LIMN_OK);
        limn_clip_close(clip);
    }
}

/* ---- retrieval ---- */

/* A folder of the one picture, as often as there are captions; NULL: without one. */
static const char *write_set(const char *name, const char *const captions[], int pictures)
{
    struct limn_image image = make_picture();
    char file[64];
    for (int i = 0; i < pictures; i++) {
        snprintf(file, sizeof file, "%s/%d.png", name, i);
        assert_int_equal(limn_image_write(&image, scratch_path(&scratch, file), NULL), LIMN_OK);
        snprintf(file, sizeof file, "%s/%d.txt", name, i);
        if (captions[i]) file_save(scratch_path(&scratch, file), captions[i], strlen(captions[i]));
    }
    limn_image_clear(&image);
    return scratch_path(&scratch, name);
}

/* Pictures that are as near as each other are nobody's first choice, unless their captions are the same. */
static void retrieval(void **state)
{
    (void)state;
    struct limn_error error = {0};
    struct limn_retrieval got;
    struct limn_clip *clip = open_clip();
    const char *equals[] = {"a cat\n고양이\n",
                            "a dog\n고양이\n",
                            "a bird\n고양이\n",
                            "a fish\n고양이\n",
                            "a fox\n고양이\n",
                            "a hen\n고양이\n",
                            "a cow"};
    struct limn_retrieval_request request = {.folder = write_set("equals", equals, 7)};
    if (limn_clip_retrieve(clip, &request, &got, &error) != LIMN_OK) fail_msg("%s", error.text);
    assert_int_equal(got.pictures, 7);
    assert_int_equal(got.count, 2);
    assert_int_equal(got.rows[0].captions, 7);
    assert_true(got.rows[0].top1 == 0 && got.rows[0].top5 == 0);
    assert_int_equal(got.rows[1].captions, 6);
    assert_true(got.rows[1].top1 == 0 && got.rows[1].top5 == 1); /* one picture is not called so */
    request.folder = write_set("two", equals, 2);
    if (limn_clip_retrieve(clip, &request, &got, &error) != LIMN_OK) fail_msg("%s", error.text);
    assert_true(got.rows[0].top1 == 0 && got.rows[0].top5 == 1);
    assert_true(got.rows[1].top1 == 1);
    limn_clip_close(clip);
}

static void retrieval_refusals(void **state)
{
    (void)state;
    struct limn_error error = {0};
    struct limn_retrieval got;
    struct limn_clip *clip = open_clip();
    struct limn_retrieval_request request = {0};
    assert_int_equal(limn_clip_retrieve(clip, &request, &got, &error), LIMN_ARGUMENT);
    request.folder = scratch_path(&scratch, "nowhere");
    assert_int_equal(limn_clip_retrieve(clip, &request, &got, &error), LIMN_IO);
    request.folder = write_set("plain", (const char *[]){NULL, NULL}, 2);
    assert_int_equal(limn_clip_retrieve(clip, &request, &got, &error), LIMN_FORMAT);
    assert_non_null(strstr(error.text, "captions are needed"));
    assert_int_equal(got.count, 0);
    limn_clip_close(clip);
}

static int at_once(void *context)
{
    (void)context;
    return 1;
}

static void retrieval_cut_short(void **state)
{
    (void)state;
    struct limn_error error = {0};
    struct limn_retrieval got;
    struct limn_clip *clip = open_clip();
    const struct limn_watch watch = {.cancelled = at_once};
    struct limn_retrieval_request request = {.folder = write_set("short", (const char *[]){"a", "b"}, 2),
                                             .watch = &watch};
    assert_int_equal(limn_clip_retrieve(clip, &request, &got, &error), LIMN_CANCELLED);
    request.watch = NULL;
    for (uint64_t n = 1;; n++) {
        memory_fail_after(n);
        const enum limn_status status = limn_clip_retrieve(clip, &request, &got, &error);
        const bool over = memory_fail_after(0) < n;
        assert_int_equal(status, over ? LIMN_OK : LIMN_NO_MEMORY);
        if (over) break;
    }
    limn_clip_close(clip);
}

/* ---- the pair that comes with limn ---- */

/* A disc on white. */
static struct limn_image make_disc(const uint8_t colour[3])
{
    enum { SIDE = 96, RADIUS = 40 };
    struct limn_image image = {.width = SIDE, .height = SIDE, .channels = 3, .pixels = memory_alloc(SIDE * SIDE * 3)};
    assert_non_null(image.pixels);
    for (int i = 0; i < SIDE * SIDE; i++) {
        const int x = i % SIDE - SIDE / 2, y = i / SIDE - SIDE / 2;
        for (int c = 0; c < 3; c++)
            image.pixels[3 * i + c] = x * x + y * y < RADIUS * RADIUS ? colour[c] : (uint8_t)255;
    }
    return image;
}

static void shipped_pair(void **state)
{
    (void)state;
    static const uint8_t colours[][3] = {{230, 40, 40}, {40, 80, 230}};
    static const char *const words[][2] = {{"red circle", "blue circle"}, {"빨간 원", "파란 원"}};
    struct limn_error error = {0};
    struct limn_clip *clip = NULL;
    const struct limn_clip_options options = {.path = SOURCE_DIR "/samples/emoji/clip.safetensors"};
    if (limn_clip_open(&clip, &options, &error) != LIMN_OK) fail_msg("%s", error.text);
    for (int colour = 0; colour < 2; colour++) {
        struct limn_image image = make_disc(colours[colour]);
        for (int language = 0; language < 2; language++) {
            struct limn_score got[2];
            const struct limn_score_request request = {.image = &image, .texts = words[language], .count = 2};
            if (limn_clip_score(clip, &request, got, &error) != LIMN_OK) fail_msg("%s", error.text);
            assert_true(got[colour].probability > 0.9f);
        }
        limn_image_clear(&image);
    }
    limn_clip_close(clip);
}

/* ---- the program ---- */

static struct outcome run(const char *words)
{
    struct outcome o = command_run(scratch.folder, words, NULL);
    if (o.status != 0) fail_msg("limn %s: exit status %d: %s", words, o.status, o.err);
    return o;
}

static void program(void **state)
{
    (void)state;
    struct outcome o = run("score picture.png 'a red apple' 'a photo of a cat' '' -m clip.safetensors --json");
    json_t *root = json_loads(o.out, 0, NULL), *list = json_object_get(root, "scores");
    assert_int_equal(json_array_size(list), 3);
    double sum = 0, best = -1;
    const char *likeliest = NULL;
    for (size_t i = 0; i < 3; i++) {
        const json_t *one = json_array_get(list, i);
        const double probability = json_real_value(json_object_get(one, "probability"));
        sum += probability;
        if (probability > best) likeliest = json_string_value(json_object_get(one, "text"));
        best = fmax(best, probability);
    }
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 1), "text")), "a photo of a cat");
    assert_true(fabs(sum - 1) < 1e-5);
    outcome_clear(&o);

    o = run("score picture.png 'a red apple' 'a photo of a cat' '' -m clip.safetensors");
    double before = 101;
    char *line = strchr(o.out, '\n');
    assert_non_null(line);
    assert_non_null(strstr(line, likeliest));
    for (int i = 0; i < 3; i++, line = strchr(line, '\n')) {
        const double percent = strtod(++line, NULL);
        assert_true(percent > 0 && percent <= before);
        before = percent;
    }
    assert_string_equal(line, "\n");
    json_decref(root);
    outcome_clear(&o);
    o = run("score picture.png a b -m clip.safetensors --quiet");
    assert_string_equal(o.out, "");
    outcome_clear(&o);
    o = command_run(scratch.folder, "score picture.png -m clip.safetensors", NULL);
    assert_int_equal(o.status, 2);
    outcome_clear(&o);
    write_set("program", (const char *[]){"a cat", "a dog"}, 2);
    o = run("score --retrieval program -m clip.safetensors");
    assert_string_equal(o.out, "2 pictures\ncaption  asked  top 1   top 5\n      1      2   0.0%  100.0%\n");
    outcome_clear(&o);
    o = run("score --retrieval program -m clip.safetensors --json");
    root = json_loads(o.out, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(root, "pictures")), 2);
    list = json_object_get(root, "retrieval");
    assert_true(json_real_value(json_object_get(json_array_get(list, 0), "top5")) == 1);
    json_decref(root);
    outcome_clear(&o);
    o = command_run(scratch.folder, "score picture.png a -m picture.png", NULL);
    assert_int_equal(o.status, 1);
    assert_non_null(strstr(o.err, "picture.png: is not a model file"));
    outcome_clear(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores),
        cmocka_unit_test(refusals),
        cmocka_unit_test(retrieval),
        cmocka_unit_test(retrieval_refusals),
        cmocka_unit_test(retrieval_cut_short),
        cmocka_unit_test(shipped_pair),
        cmocka_unit_test(program),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
