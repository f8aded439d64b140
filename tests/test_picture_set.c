/* SPDX-License-Identifier: MIT
 *
 * Folders of pictures as arrays: which files are read, what size they get, and features by the tiny CLIP model of
 * tests/golden/clip_pair, kept in a file.
 */
#include "compare/picture_set.h"
#include "core/io/image_ops.h"
#include "core/io/safetensors_write.h"
#include "tests/support/golden.h"
#include "tests/support/scratch.h"
#include "tests/support/weights.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { WIDTH = 48, PICTURES = 5 };

static struct scratch scratch;
static struct backend *backend;
static struct clip_pair *pair;

static void check_ok(enum status status, const struct error *err)
{
    if (status != STATUS_OK) fail_msg("%s", err->text);
}

static const char *at(const char *name)
{
    return scratch_path(&scratch, name);
}

static int set_up(void **state)
{
    (void)state;
    struct error err = {0};
    const struct safetensors_note heads = {"limn.pack", "{\"text\": {\"heads\": 4}, \"image\": {\"heads\": 6}}"};
    scratch_open(&scratch);
    char path[512];
    snprintf(path, sizeof path, "%s", at("clip.safetensors"));
    check_ok(weights_write_noted(path, (const char *[]){"clip-hf"}, 1, DTYPE_F32, &heads, 1, &err), &err);
    check_ok(backend_open(&backend, "cpu", &(struct backend_options){.threads = 2}, &err), &err);
    check_ok(clip_pair_open(&pair, &(struct clip_pair_source){.backend = backend, .path = path}, &err), &err);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    clip_pair_close(pair);
    backend->f->close(backend);
    scratch_close(&scratch);
    return 0;
}

/* Slopes that begin elsewhere for each k; the last channel of 4 is half transparent. */
static struct image paint(int k, int width, int height, int channels)
{
    struct error err = {0};
    struct image image = {0};
    check_ok(image_create(&image, width, height, channels, &err), &err);
    for (int i = 0; i < width * height * channels; i++) image.pixels[i] = (uint8_t)(i * (3 + k) + k * 40);
    for (int i = 3; channels == 4 && i < width * height * 4; i += 4) image.pixels[i] = 128;
    return image;
}

static void save(const char *name, int k, int width, int height, int channels)
{
    struct error err = {0};
    struct image image = paint(k, width, height, channels);
    check_ok(image_write(&image, at(name), NULL, &err), &err);
    image_clear(&image);
}

/* A folder of five squares of 24, and things that are none. */
static void fill_folder(const char *folder)
{
    char name[64];
    for (int k = 0; k < PICTURES; k++) {
        snprintf(name, sizeof name, "%s/%d.%s", folder, k, k == 3 ? "PNG" : "png");
        save(name, k, 24, 24, k == 2 ? 4 : 3);
    }
    snprintf(name, sizeof name, "%s/notes.txt", folder);
    file_save(at(name), "no picture", 10);
    snprintf(name, sizeof name, "%s/.hidden.png", folder);
    file_save(at(name), "no picture", 10);
    snprintf(name, sizeof name, "%s/inner.png/0.png", folder);
    save(name, 9, 8, 8, 3);
}

static enum status read_folder(struct picture_set *set, const char *folder, int side, struct error *err)
{
    return picture_set_read(set, at(folder), &(struct picture_set_options){.side = side}, err);
}

static void a_folder_is_read(void **state)
{
    (void)state;
    struct error err = {0};
    struct picture_set set = {0};
    fill_folder("plain");
    check_ok(read_folder(&set, "plain", 0, &err), &err);
    assert_int_equal(set.count, PICTURES);
    assert_int_equal(set.found, PICTURES);
    assert_int_equal(set.side_x, 24);
    assert_int_equal(set.side_y, 24);
    assert_string_equal(set.paths[3], at("plain/3.PNG"));
    struct image third = paint(2, 24, 24, 4), white = {0};
    check_ok(image_to_rgb(&white, &third, &err), &err);
    assert_memory_equal(set.values + 2 * 24 * 24 * 3, white.pixels, 24 * 24 * 3);
    image_clear(&third);
    image_clear(&white);
    assert_int_equal(picture_set_features(&set).count, 0);
    assert_int_equal(picture_set_pixels(&set).count, PICTURES);
    picture_set_clear(&set);
    /* Two of five, spread evenly. */
    check_ok(picture_set_read(&set, at("plain"), &(struct picture_set_options){.limit = 2}, &err), &err);
    assert_int_equal(set.count, 2);
    assert_int_equal(set.found, PICTURES);
    assert_string_equal(set.paths[1], at("plain/2.png"));
    picture_set_clear(&set);
}

/* 40 x 30 to a square of 12: 16 x 12 by PIL's bicubic, then the middle 12. */
static void pictures_are_brought_to_a_size(void **state)
{
    (void)state;
    struct error err = {0};
    struct picture_set set = {0};
    struct image wide = paint(1, 40, 30, 3), tall = paint(2, 30, 41, 3), small = {0};
    check_ok(picture_set_add(&set, &wide, 12, NULL, &err), &err);
    check_ok(picture_set_add(&set, &tall, 12, NULL, &err), &err);
    check_ok(image_resize(&small, &wide, 16, 12, IMAGE_BICUBIC, &err), &err);
    for (int y = 0; y < 12; y++) assert_memory_equal(set.values + y * 12 * 3, small.pixels + (y * 16 + 2) * 3, 12 * 3);
    image_clear(&small);
    check_ok(image_resize(&small, &tall, 12, 16, IMAGE_BICUBIC, &err), &err);
    assert_memory_equal(set.values + 12 * 12 * 3, small.pixels + 2 * 12 * 3, 12 * 12 * 3);
    image_clear(&small);
    for (int i = 0; i < 40; i++) check_ok(picture_set_add(&set, &wide, 12, NULL, &err), &err);
    assert_int_equal(set.count, 42);
    assert_true(set.content[0] == set.content[41] && set.content[0] != set.content[1]);
    assert_null(set.paths[41]);
    picture_set_clear(&set);
    image_clear(&wide);
    image_clear(&tall);
}

static void refused(enum status got, enum status want, struct error *err, const char *format, const char *path)
{
    char sentence[1024];
    snprintf(sentence, sizeof sentence, format, path);
    assert_int_equal(got, want);
    assert_string_equal(err->text, sentence);
    error_clear(err);
}

static void what_is_no_set_is_refused(void **state)
{
    (void)state;
    struct error err = {0};
    struct picture_set set = {0};
    file_save(at("empty/notes.txt"), "no picture", 10);
    refused(read_folder(&set, "empty", 0, &err), STATUS_FORMAT, &err,
            "%s: there is no picture in this folder; PNG and JPEG files are read", at("empty"));
    refused(read_folder(&set, "nowhere", 0, &err), STATUS_IO, &err,
            "%s: could not be opened: No such file or directory", at("nowhere"));
    save("sizes/0.png", 0, 24, 24, 3);
    save("sizes/1.png", 1, 24, 25, 3);
    refused(read_folder(&set, "sizes", 0, &err), STATUS_ARGUMENT, &err,
            "%s: 24 x 25 pixels, but those before have 24 x 24; all must be of one size", at("sizes/1.png"));
    check_ok(read_folder(&set, "sizes", 16, &err), &err);
    picture_set_clear(&set);
    refused(read_folder(&set, "sizes", -1, &err), STATUS_ARGUMENT, &err,
            "pictures of -1 pixels a side; 1 to 2048 are allowed, or 0 for their own size%s", "");
    save("oblong/0.png", 0, 4000, 1, 3);
    refused(read_folder(&set, "oblong", 64, &err), STATUS_ARGUMENT, &err,
            "%s: 4000 x 1 pixels are too oblong for a square of 64", at("oblong/0.png"));
    file_save(at("broken/0.png"), "\x89PNG\r\n\x1a\nrest", 12);
    refused(read_folder(&set, "broken", 0, &err), STATUS_FORMAT, &err, "%s: none of its 1 pictures can be read",
            at("broken"));
    assert_null(set.values);
}

/* ---- unreadable ones ---- */

struct told {
    int count;
    char last[512];
};

static void tell(void *context, const char *sentence)
{
    struct told *told = context;
    told->count++;
    snprintf(told->last, sizeof told->last, "%s", sentence);
}

static void unreadable_pictures_are_left_out(void **state)
{
    (void)state;
    struct error err = {0};
    struct picture_set set = {0};
    struct told told = {0};
    fill_folder("spoilt");
    file_save(at("spoilt/0.png"), "\x89PNG\r\n\x1a\nrest", 12);
    file_save(at("spoilt/1.png"), "no picture", 10);
    struct picture_set_options options = {.skipped = tell, .context = &told};
    check_ok(picture_set_read(&set, at("spoilt"), &options, &err), &err);
    assert_int_equal(set.count, PICTURES - 2);
    assert_int_equal(set.skipped, 2);
    assert_int_equal(set.found, PICTURES);
    assert_int_equal(told.count, 2);
    assert_non_null(strstr(told.last, at("spoilt/1.png")));
    assert_string_equal(set.paths[0], at("spoilt/2.png"));
    picture_set_clear(&set);
    /* The first two that can be read; then those that are named. */
    options.enough = 2;
    check_ok(picture_set_read(&set, at("spoilt"), &options, &err), &err);
    assert_int_equal(set.count, 2);
    assert_string_equal(set.paths[1], at("spoilt/3.PNG"));
    picture_set_clear(&set);
    const char *const names[] = {"4.png", "gone.png", "2.png"};
    options = (struct picture_set_options){.names = names, .name_count = 3};
    check_ok(picture_set_read(&set, at("spoilt"), &options, &err), &err);
    assert_int_equal(set.count, 2);
    assert_int_equal(set.skipped, 1);
    assert_string_equal(set.paths[1], at("spoilt/2.png"));
    picture_set_clear(&set);
}

/* ---- memory ---- */

/* Room for a quarter of the pixels: the pictures are kept at half their sides, features are those of whole ones. */
static void pixels_are_bounded(void **state)
{
    (void)state;
    struct error err = {0};
    struct picture_set set = {0}, whole = {0};
    struct image small = {0};
    fill_folder("many");
    const struct picture_set_options options = {.bytes = (size_t)PICTURES * 12 * 12 * 3};
    check_ok(picture_set_read(&set, at("many"), &options, &err), &err);
    check_ok(read_folder(&whole, "many", 0, &err), &err);
    assert_int_equal(set.side_x, 24);
    assert_int_equal(set.kept_x, 12);
    assert_int_equal(set.kept_y, 12);
    assert_int_equal(picture_set_pixels(&set).width, 12);
    struct image first = {.width = 24, .height = 24, .channels = 3, .pixels = whole.values};
    check_ok(image_resize(&small, &first, 12, 12, IMAGE_BICUBIC, &err), &err);
    assert_memory_equal(set.values, small.pixels, 12 * 12 * 3);
    image_clear(&small);
    assert_memory_equal(set.content, whole.content, PICTURES * sizeof *set.content);
    check_ok(picture_set_embed(&set, &(struct picture_set_embedding){.pair = pair}, &err), &err);
    check_ok(picture_set_embed(&whole, &(struct picture_set_embedding){.pair = pair}, &err), &err);
    assert_memory_equal(set.directions, whole.directions, PICTURES * WIDTH * sizeof(float));
    save("many/4.png", 8, 24, 24, 3);
    set.embedded = 0;
    assert_int_equal(picture_set_embed(&set, &(struct picture_set_embedding){.pair = pair}, &err), STATUS_IO);
    assert_non_null(strstr(err.text, "many/4.png: has changed"));
    picture_set_clear(&set);
    picture_set_clear(&whole);
}

/* ---- features ---- */

static struct picture_set_embedding with_cache(const char *path)
{
    return (struct picture_set_embedding){.pair = pair, .model = "tiny", .cache = path};
}

static void features_are_the_towers(void **state)
{
    (void)state;
    struct error err = {0};
    struct picture_set set = {0};
    float want[WIDTH];
    fill_folder("plain");
    check_ok(read_folder(&set, "plain", 0, &err), &err);
    check_ok(picture_set_embed(&set, &(struct picture_set_embedding){.pair = pair}, &err), &err);
    const struct features f = picture_set_features(&set);
    assert_int_equal(f.count, PICTURES);
    assert_int_equal(f.width, WIDTH);
    for (int k = 0; k < PICTURES; k++) {
        struct image picture = {.width = 24, .height = 24, .channels = 3, .pixels = set.values + k * 24 * 24 * 3};
        check_ok(clip_pair_embed_image(pair, &picture, want, &err), &err);
        assert_memory_equal(f.values + k * WIDTH, want, sizeof want);
    }
    /* One more, and only that one is new. */
    struct image sixth = paint(5, 24, 24, 3);
    check_ok(picture_set_add(&set, &sixth, 0, NULL, &err), &err);
    assert_int_equal(picture_set_features(&set).count, PICTURES);
    check_ok(picture_set_embed(&set, &(struct picture_set_embedding){.pair = pair}, &err), &err);
    assert_int_equal(picture_set_features(&set).count, PICTURES + 1);
    check_ok(features_check(&(struct features){set.directions, 6, WIDTH, NULL}, 6, &err), &err);
    image_clear(&sixth);
    picture_set_clear(&set);
}

/* Overwrites the cache's first direction with the last and says by what is read back whether it was used. */
/* More pictures than a batch, of which some are known already: bytes as one by one. */
static void features_are_the_same_in_batches(void **state)
{
    (void)state;
    enum { MANY = 2 * CLIP_PAIR_MOST_BATCH + 7 };
    struct error err = {0};
    struct picture_set set = {0};
    float want[WIDTH];
    assert_int_equal(clip_pair_batch(pair), CLIP_PAIR_MOST_BATCH);
    struct picture_set_embedding how = with_cache(at("many.safetensors"));
    for (int k = 0; k < MANY; k++) {
        struct image picture = paint(k, 24, 24, 3);
        if (k % 9 == 1) check_ok(picture_set_add(&set, &picture, 0, NULL, &err), &err);
        image_clear(&picture);
    }
    check_ok(picture_set_embed(&set, &how, &err), &err);
    picture_set_clear(&set);
    for (int k = 0; k < MANY; k++) {
        struct image picture = paint(k, 24, 24, 3);
        check_ok(picture_set_add(&set, &picture, 0, NULL, &err), &err);
        image_clear(&picture);
    }
    check_ok(picture_set_embed(&set, &how, &err), &err);
    assert_int_equal(picture_set_features(&set).count, MANY);
    for (int k = 0; k < MANY; k++) {
        struct image picture = {.width = 24, .height = 24, .channels = 3, .pixels = set.values + k * 24 * 24 * 3};
        check_ok(clip_pair_embed_image(pair, &picture, want, &err), &err);
        assert_memory_equal(set.directions + k * WIDTH, want, sizeof want);
    }
    picture_set_clear(&set);
}

static void features_are_kept(void **state)
{
    (void)state;
    struct error err = {0};
    struct picture_set set = {0};
    char cache[512];
    size_t size = 0, again = 0;
    fill_folder("plain");
    snprintf(cache, sizeof cache, "%s", at("cache.safetensors"));
    check_ok(read_folder(&set, "plain", 0, &err), &err);
    struct picture_set_embedding how = with_cache(cache);
    check_ok(picture_set_embed(&set, &how, &err), &err);
    uint8_t *first = file_load(cache, &size);
    picture_set_clear(&set);

    /* Read again: nothing is computed, so what stands there is what comes. */
    float *directions = (float *)(void *)(first + size - PICTURES * WIDTH * sizeof(float));
    float turned[WIDTH];
    for (int j = 0; j < WIDTH; j++) turned[j] = -directions[j];
    memcpy(directions, turned, sizeof turned);
    file_save(cache, first, size);
    check_ok(read_folder(&set, "plain", 0, &err), &err);
    check_ok(picture_set_embed(&set, &how, &err), &err);
    int found = 0;
    for (int k = 0; k < PICTURES; k++) found += memcmp(set.directions + k * WIDTH, turned, sizeof turned) == 0;
    assert_int_equal(found, 1);
    uint8_t *second = file_load(cache, &again);
    assert_int_equal(again, size);
    assert_memory_equal(first, second, size);
    picture_set_clear(&set);

    /* Another network's are not used, nor a damaged file or value. */
    how.model = "other";
    check_ok(read_folder(&set, "plain", 0, &err), &err);
    check_ok(picture_set_embed(&set, &how, &err), &err);
    for (int k = 0; k < PICTURES; k++) assert_true(memcmp(set.directions + k * WIDTH, turned, sizeof turned) != 0);
    how.model = "tiny";
    directions[3] = NAN;
    file_save(cache, first, size);
    set.embedded = 0;
    check_ok(picture_set_embed(&set, &how, &err), &err);
    for (int j = 0; j < PICTURES * WIDTH; j++) assert_true(isfinite(set.directions[j]));
    const struct tensor odd[] = {
        {.name = "content", .dtype = DTYPE_I64, .rank = 1, .dim = {PICTURES}, .data = set.content},
        {.name = "directions", .dtype = DTYPE_F32, .rank = 2, .dim = {1, WIDTH}, .data = turned}};
    const struct safetensors_note note = {"limn.features", "tiny"};
    const struct safetensors_file fewer = {.tensors = odd, .count = 2, .notes = &note, .note_count = 1};
    check_ok(safetensors_write(cache, &fewer, &err), &err);
    set.embedded = 0;
    check_ok(picture_set_embed(&set, &how, &err), &err);
    for (int k = 0; k < PICTURES; k++) assert_true(memcmp(set.directions + k * WIDTH, turned, sizeof turned) != 0);
    file_save(cache, first, size / 2);
    set.embedded = 0;
    check_ok(picture_set_embed(&set, &how, &err), &err);
    picture_set_clear(&set);
    memory_free(first);
    memory_free(second);
}

static bool after_three(void *context)
{
    return ++*(int *)context == 3;
}

static void what_was_done_is_kept_when_stopped(void **state)
{
    (void)state;
    struct error err = {0};
    struct picture_set set = {0};
    struct checkpoint *kept = NULL;
    int asked = 0;
    fill_folder("plain");
    const struct measures_watch watch = {.context = &asked, .cancelled = after_three};
    struct picture_set_embedding how = with_cache(at("stopped.safetensors"));
    how.watch = &watch;
    check_ok(read_folder(&set, "plain", 0, &err), &err);
    assert_int_equal(picture_set_embed(&set, &how, &err), STATUS_CANCELLED);
    error_clear(&err);
    assert_int_equal(picture_set_features(&set).count, 0);
    check_ok(checkpoint_open(&kept, how.cache, &err), &err);
    assert_int_equal(checkpoint_find(kept, "content")->count, 3);
    checkpoint_close(kept);
    how.watch = NULL;
    check_ok(picture_set_embed(&set, &how, &err), &err);
    assert_int_equal(picture_set_features(&set).count, PICTURES);
    char below[600];
    file_save(at("file"), "no folder", 9);
    snprintf(below, sizeof below, "%s/cache.safetensors", at("file"));
    how.cache = below;
    set.embedded = 0;
    assert_int_equal(picture_set_embed(&set, &how, &err), STATUS_IO);
    picture_set_clear(&set);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    fill_folder("plain");
    char folder[512], cache[512];
    snprintf(folder, sizeof folder, "%s", at("plain"));
    snprintf(cache, sizeof cache, "%s", at("oom.safetensors"));
    for (uint64_t n = 1;; n++) {
        struct error err = {0};
        struct picture_set set = {0};
        const struct picture_set_embedding how = with_cache(cache);
        memory_fail_after(n);
        enum status status = picture_set_read(&set, folder, &(struct picture_set_options){.side = 10}, &err);
        if (status == STATUS_OK) status = picture_set_embed(&set, &how, &err);
        memory_fail_after(0);
        picture_set_clear(&set);
        if (status == STATUS_OK) {
            assert_true(n > 20);
            break;
        }
        if (status != STATUS_NO_MEMORY) fail_msg("allocation %d: %s", (int)n, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_is_read),
        cmocka_unit_test(pictures_are_brought_to_a_size),
        cmocka_unit_test(what_is_no_set_is_refused),
        cmocka_unit_test(unreadable_pictures_are_left_out),
        cmocka_unit_test(pixels_are_bounded),
        cmocka_unit_test(features_are_the_towers),
        cmocka_unit_test(features_are_the_same_in_batches),
        cmocka_unit_test(features_are_kept),
        cmocka_unit_test(what_was_done_is_kept_when_stopped),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
