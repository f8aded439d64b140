/* SPDX-License-Identifier: MIT
 *
 * Data sets in every layout: which items there are, in which order, with which captions and classes, and what their
 * pictures look like once they have been brought to size.
 */
#include "core/base/memory.h"
#include "core/io/dataset.h"
#include "core/io/image.h"
#include "tests/support/pieces.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { SIDE = 8, VALUES = SIDE * SIDE * 3 };

static struct scratch scratch;

static int open_scratch(void **state)
{
    (void)state;
    scratch_open(&scratch);
    return 0;
}

static int close_scratch(void **state)
{
    (void)state;
    scratch_close(&scratch);
    return 0;
}

static void must(enum status status, const struct error *err)
{
    if (status != STATUS_OK) fail_msg("%s", err->text);
}

static void unexpected(void *context, const char *sentence)
{
    (void)context;
    fail_msg("this was not to be said: %s", sentence);
}

static struct dataset *open_good(const char *path)
{
    struct error err = {0};
    struct dataset *set;
    const struct dataset_options options = {
        .width = SIDE, .height = SIDE, .channels = 3, .threads = 2, .skipped = unexpected};
    must(dataset_open(&set, path, &options, &err), &err);
    return set;
}

/* "NAME class: caption | caption" for each item, a line each. */
static void check_items(const struct dataset *set, const char *expected)
{
    char text[4096] = "";
    size_t at = 0;
    for (int64_t i = 0; i < dataset_count(set); i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%s %d:", dataset_name(set, i), dataset_class(set, i));
        for (int k = 0; k < dataset_captions(set, i); k++)
            at += (size_t)snprintf(text + at, sizeof text - at, "%s %s", k ? " |" : "", dataset_caption(set, i, k));
        at += (size_t)snprintf(text + at, sizeof text - at, "\n");
    }
    assert_string_equal(text, expected);
}

/* clang-format off */
#define PNG(at, colour) {at, .kind = PIECE_PNG, .text = colour, .width = 5, .height = 4}
#define TEXT(at, string) {at, .text = string}
#define ARRAY(at, other, string) {at, .kind = other, .text = string, .size = sizeof string - 1}
/* clang-format on */

/* ---- layouts ---- */

static const struct piece listed[] = {
    PNG("z.png", "#ff0000"),
    PNG("sub/a.png", "#00ff00"),
    PNG("B.png", "#0000ff"),
    PNG("left-out.png", "#000000"),
    TEXT("metadata.jsonl", "{\"file_name\": \"z.png\", \"text\": \"\\n a red\\r\\napple \"}\n"
                           "{\"file_name\": \"./sub/a.png\", \"text\": [\"grass\", \"a\\nb\", \"\"], \"other\": {}}\r\n"
                           "\n"
                           "{\"caption\": \"\xeb\xb0\x94\xeb\x8b\xa4\", \"text\": null, \"file_name\": \"B.png\"}"),
    {0}};
static const char listed_items[] = "B.png -1: \xeb\xb0\x94\xeb\x8b\xa4\nsub/a.png -1: grass | a b\n"
                                   "z.png -1: a red  apple\n";

static void metadata_lists_pictures(void **state)
{
    (void)state;
    char path[600];
    struct dataset *set = open_good(pieces_lay(&scratch, "listed", listed));
    assert_string_equal(dataset_layout(set), "pictures listed in metadata.jsonl");
    assert_int_equal(dataset_classes(set), 0);
    check_items(set, listed_items);
    dataset_close(set);
    snprintf(path, sizeof path, "%s/listed/metadata.jsonl", scratch.folder);
    set = open_good(path);
    check_items(set, listed_items);
    dataset_close(set);
}

static const struct piece captioned[] = {PNG("c.png", "#ff0000"),
                                         TEXT("c.txt", "\xef\xbb\xbf"
                                                       "one line\r\n\r\n  another \r\n"),
                                         PNG("a.v2.png", "#00ff00"),
                                         TEXT("a.v2.txt", "dots"),
                                         PNG("b.png", "#00ff00"),
                                         PNG("deep/er/d.png", "#0000ff"),
                                         TEXT("deep/er/d.txt", "deep"),
                                         TEXT("README.txt", "not a caption"),
                                         TEXT("other.json", "{}"),
                                         {0}};

static void captions_lie_beside_pictures(void **state)
{
    (void)state;
    struct dataset *set = open_good(pieces_lay(&scratch, "captioned", captioned));
    assert_string_equal(dataset_layout(set), "pictures with .txt captions");
    check_items(set, "a.v2.png -1: dots\nb.png -1:\nc.png -1: one line | another\ndeep/er/d.png -1: deep\n");
    dataset_close(set);
}

static const struct piece classes[] = {PNG("hot_air-balloon/2.png", "#ff0000"),
                                       PNG("cat/9.png", "#00ff00"),
                                       PNG("cat/10.png", "#00ff00"),
                                       PNG("animals/cat/x.png", "#00ff00"),
                                       PNG("loose.png", "#0000ff"),
                                       TEXT("LICENSE.txt", "hello"),
                                       {0}};
static const char classes_items[] = "animals/cat/x.png 0: cat\ncat/10.png 0: cat\ncat/9.png 0: cat\n"
                                    "hot_air-balloon/2.png 1: hot air balloon\nloose.png -1:\n";

static void folders_are_classes(void **state)
{
    (void)state;
    struct dataset *set = open_good(pieces_lay(&scratch, "classes", classes));
    assert_string_equal(dataset_layout(set), "a folder for each class");
    assert_int_equal(dataset_classes(set), 2);
    assert_string_equal(dataset_class_name(set, 0), "cat");
    assert_string_equal(dataset_class_name(set, 1), "hot air balloon");
    check_items(set, classes_items);
    dataset_close(set);
}

static void plain_pictures_have_no_captions(void **state)
{
    (void)state;
    static const struct piece plain[] = {PNG("b.png", "#ff0000"), PNG("a.PNG", "#00ff00"), {0}};
    struct dataset *set = open_good(pieces_lay(&scratch, "plain", plain));
    assert_string_equal(dataset_layout(set), "pictures without captions");
    check_items(set, "a.PNG -1:\nb.png -1:\n");
    dataset_close(set);
}

/* As Hugging Face has its parts: what is for tests is left alone. */
static void the_set_may_lie_in_train(void **state)
{
    (void)state;
    static const struct piece parts[] = {
        PNG("train/dog/1.png", "#ff0000"), PNG("train/cat/1.png", "#00ff00"), PNG("test/cat/2.png", "#00ff00"), {0}};
    static const struct piece listed_part[] = {
        PNG("train/a.png", "#ff0000"),
        TEXT("train/metadata.jsonl", "{\"file_name\": \"a.png\", \"text\": \"a\"}"),
        PNG("test/b.png", "#ff0000"),
        {0}};
    struct dataset *set = open_good(pieces_lay(&scratch, "parts", parts));
    check_items(set, "cat/1.png 0: cat\ndog/1.png 1: dog\n");
    dataset_close(set);
    set = open_good(pieces_lay(&scratch, "listed-part", listed_part));
    check_items(set, "a.png -1: a\n");
    dataset_close(set);
}

#define PICTURES                                                                                                       \
    "\0\0\x08\x03\0\0\0\x10\0\0\0\1\0\0\0\2"                                                                           \
    "00112233445566778899aabbccddeeff"
#define DIGITS                                                                                                         \
    "\0\0\x08\1\0\0\0\x10"                                                                                             \
    "\5\0\4\1\1\1\1\1\1\1\1\1\1\1\1\7"
#define FASHION                                                                                                        \
    "\0\0\x08\1\0\0\0\x10"                                                                                             \
    "\x9\0\0\3\0\2\7\2\5\5\0\x9\5\5\7\x9"

static void idx_files_have_digits(void **state)
{
    (void)state;
    static const struct piece digits[] = {ARRAY("raw/train-images-idx3-ubyte", PIECE_TEXT, PICTURES),
                                          ARRAY("raw/train-labels-idx1-ubyte.gz", PIECE_GZIP, DIGITS),
                                          TEXT("raw/t10k-images-idx3-ubyte", "not looked at"),
                                          {0}};
    struct error err = {0};
    float values[VALUES];
    struct dataset *set = open_good(pieces_lay(&scratch, "digits", digits));
    assert_string_equal(dataset_layout(set), "pictures in an IDX file");
    assert_int_equal(dataset_count(set), 16);
    assert_int_equal(dataset_classes(set), 8);
    assert_int_equal(dataset_class(set, 15), 7);
    assert_string_equal(dataset_caption(set, 15, 0), "7");
    assert_string_equal(dataset_name(set, 15), "train-images-idx3-ubyte#15");
    must(dataset_fetch(set, 15, false, values, &err), &err);
    for (int i = 0; i < VALUES; i++) assert_true(fabsf(values[i] - ('f' / 127.5f - 1)) < 1e-6f);
    dataset_close(set);
}

static void idx_files_may_be_fashion(void **state)
{
    (void)state;
    static const struct piece clothes[] = {ARRAY("t10k-images.idx3-ubyte.gz", PIECE_GZIP, PICTURES),
                                           ARRAY("t10k-labels.idx1-ubyte", PIECE_TEXT, FASHION),
                                           {0}};
    char path[600];
    pieces_lay(&scratch, "clothes", clothes);
    snprintf(path, sizeof path, "%s/clothes/t10k-images.idx3-ubyte.gz", scratch.folder);
    struct dataset *set = open_good(path);
    assert_int_equal(dataset_classes(set), 10);
    assert_string_equal(dataset_caption(set, 0, 0), "Ankle boot");
    assert_string_equal(dataset_class_name(set, 0), "T-shirt/top");
    dataset_close(set);
}

/* The files of Debian's package, where it is installed. */
static void fashion_mnist_opens(void **state)
{
    (void)state;
    static const char path[] = "/usr/share/datasets/fashion-mnist";
    if (access(path, R_OK) != 0) {
        print_message("left out: dataset-fashion-mnist is not installed\n");
        skip();
    }
    struct dataset *set = open_good(path);
    assert_int_equal(dataset_count(set), 60000);
    assert_int_equal(dataset_classes(set), 10);
    assert_string_equal(dataset_caption(set, 59999, 0), "Sandal");
    dataset_close(set);
}

/* ---- pictures ---- */

static float at(const float *values, int x, int y, int channel)
{
    return values[(y * SIDE + x) * 3 + channel];
}

/* Writes a picture whose pixels `level` gives, and fetches it at SIDE x SIDE. */
static void round_trip(int width, int height, int channels, uint8_t (*level)(int x, int y, int c), bool flip,
                       float *out)
{
    struct error err = {0};
    struct image image;
    must(image_create(&image, width, height, channels, &err), &err);
    for (int i = 0; i < width * height * channels; i++)
        image.pixels[i] = level(i / channels % width, i / channels / width, i % channels);
    const char *path = scratch_path(&scratch, "one/a.png");
    must(image_write(&image, path, NULL, &err), &err);
    image_clear(&image);
    char folder[600];
    snprintf(folder, sizeof folder, "%s/one", scratch.folder);
    struct dataset *set = open_good(folder);
    must(dataset_fetch(set, 0, flip, out, &err), &err);
    dataset_close(set);
}

/* Three squares side by side: black, a gradient, black. */
static uint8_t middle_square(int x, int y, int c)
{
    (void)y;
    return (uint8_t)(x < SIDE || x >= 2 * SIDE ? 0 : 100 + 10 * (x - SIDE) + c);
}

static uint8_t checkerboard(int x, int y, int c)
{
    (void)c;
    return (x + y) % 2 ? 255 : 0;
}

/* Black, and clearer to the right. */
static uint8_t clear_black(int x, int y, int c)
{
    (void)y;
    return (uint8_t)(c == 3 ? 255 - 30 * x : 0);
}

static void pictures_are_cut_about_the_centre(void **state)
{
    (void)state;
    float values[VALUES], mirrored[VALUES];
    round_trip(3 * SIDE, SIDE, 3, middle_square, false, values);
    round_trip(3 * SIDE, SIDE, 3, middle_square, true, mirrored);
    for (int i = 0; i < VALUES; i++) {
        const int x = i / 3 % SIDE, y = i / 3 / SIDE, c = i % 3;
        assert_true(fabsf(at(values, x, y, c) - ((float)(100 + 10 * x + c) / 127.5f - 1)) < 1e-5f);
        assert_true(at(mirrored, SIDE - 1 - x, y, c) == at(values, x, y, c));
    }
}

static void shrinking_takes_the_mean(void **state)
{
    (void)state;
    float values[VALUES];
    round_trip(8 * SIDE, 8 * SIDE, 1, checkerboard, false, values);
    for (int i = 0; i < VALUES; i++) assert_true(fabsf(values[i]) < 0.02f);
}

static void what_is_clear_lies_on_white(void **state)
{
    (void)state;
    float values[VALUES];
    round_trip(SIDE, SIDE, 4, clear_black, false, values);
    for (int x = 0; x < SIDE; x++) assert_true(fabsf(at(values, x, 3, 1) - ((float)(30 * x) / 127.5f - 1)) < 1e-5f);
}

static void grey_is_one_channel_when_asked(void **state)
{
    (void)state;
    struct error err = {0};
    struct dataset *set;
    float values[4 * 6];
    const struct dataset_options options = {.width = 6, .height = 4, .channels = 1};
    must(dataset_open(&set, pieces_lay(&scratch, "grey", classes), &options, &err), &err);
    must(dataset_fetch(set, 3, true, values, &err), &err); /* the red one */
    for (int i = 0; i < 24; i++) assert_true(fabsf(values[i] - (76 / 127.5f - 1)) < 1e-5f);
    dataset_close(set);
}

static bool stop_at_once(void *context, int64_t done, int64_t all)
{
    *(int *)context += 1;
    assert_true(done > 0 && done <= all);
    return false;
}

/* Pictures that are read again are the same as those that are kept, on any number of threads. */
static void the_cache_makes_no_difference(void **state)
{
    (void)state;
    struct error err = {0};
    struct dataset *kept, *mixed;
    struct dataset_options options = {.width = SIDE, .height = SIDE, .channels = 3, .threads = 3};
    const char *path = pieces_lay(&scratch, "cached", classes);
    must(dataset_open(&kept, path, &options, &err), &err);
    options.cache_bytes = 2 * VALUES + 1;
    options.threads = 1;
    must(dataset_open(&mixed, path, &options, &err), &err);
    assert_int_equal(dataset_count(mixed), dataset_count(kept));
    for (int64_t i = 0; i < dataset_count(kept); i++) {
        float a[VALUES], b[VALUES];
        must(dataset_fetch(kept, i, false, a, &err), &err);
        must(dataset_fetch(mixed, i, false, b, &err), &err);
        assert_memory_equal(a, b, sizeof a);
    }
    float values[VALUES];
    assert_int_equal(remove(scratch_path(&scratch, "cached/loose.png")), 0);
    must(dataset_fetch(kept, 4, false, values, &err), &err);
    assert_int_equal(dataset_fetch(mixed, 4, false, values, &err), STATUS_IO);
    assert_non_null(strstr(err.text, "cached/loose.png: could not be opened"));
    dataset_close(mixed);
    dataset_close(kept);
}

static void opening_can_be_stopped(void **state)
{
    (void)state;
    struct error err = {0};
    struct dataset *set;
    int asked = 0;
    const struct dataset_options options = {
        .width = SIDE, .height = SIDE, .channels = 3, .progress = stop_at_once, .context = &asked};
    assert_int_equal(dataset_open(&set, pieces_lay(&scratch, "stopped", classes), &options, &err), STATUS_CANCELLED);
    assert_null(set);
    assert_int_equal(asked, 1);
    error_clear(&err);
    const struct dataset_options none = {.width = 0, .height = 4, .channels = 3};
    assert_int_equal(dataset_open(&set, scratch.folder, &none, &err), STATUS_ARGUMENT);
}

/* From FNV-1a and splitmix64 as their authors print them. The name alone decides, so that pictures which are added to a
 * set leave those that are held out as they are. */
static void the_held_out_share_is_fixed(void **state)
{
    (void)state;
    static const int tenth[] = {17, 28, 37, 47, 49, 53, 57, 68, 81, 84, 93, 94};
    char name[16];
    int count = 0;
    for (int i = 0, next = 0; i < 100; i++) {
        const bool expected = next < 12 && tenth[next] == i;
        snprintf(name, sizeof name, "%04d.png", i);
        assert_int_equal(dataset_is_held_out(name, 0.1), expected);
        next += expected;
        assert_false(dataset_is_held_out(name, 0));
        assert_true(dataset_is_held_out(name, 1));
    }
    for (int i = 0; i < 10000; i++) {
        snprintf(name, sizeof name, "%04d.png", i);
        count += dataset_is_held_out(name, 0.1);
    }
    assert_int_equal(count, 1012);
}

/* ---- every allocation failing in turn ---- */

/* Want of memory is never mistaken for a fault of a picture, and the set is there as soon as there is memory. */
static void starve(const char *path, int64_t count, size_t cache_bytes)
{
    for (uint64_t n = 1;; n++) {
        struct error err = {0};
        struct dataset *set;
        float values[VALUES];
        const struct dataset_options options = {.width = SIDE,
                                                .height = SIDE,
                                                .channels = 3,
                                                .threads = 1,
                                                .cache_bytes = cache_bytes,
                                                .skipped = unexpected};
        memory_fail_after(n);
        enum status status = dataset_open(&set, path, &options, &err);
        if (status == STATUS_OK) status = dataset_fetch(set, count - 1, false, values, &err);
        memory_fail_after(0);
        if (status != STATUS_OK && status != STATUS_NO_MEMORY) fail_msg("%s: %s", path, err.text);
        if (status == STATUS_OK) assert_int_equal(dataset_count(set), count);
        dataset_close(set);
        if (status == STATUS_OK) break;
    }
}

static void survives_lack_of_memory(void **state)
{
    (void)state;
    static const struct piece packed[] = {ARRAY("train-images-idx3-ubyte.gz", PIECE_GZIP, PICTURES),
                                          ARRAY("train-labels-idx1-ubyte.gz", PIECE_GZIP, DIGITS),
                                          {0}};
    for (size_t cache = 0; cache < 2; cache++) {
        char name[32];
        snprintf(name, sizeof name, "hungry-%zu-a", cache);
        starve(pieces_lay(&scratch, name, listed), 3, cache);
        name[9] = 'b';
        starve(pieces_lay(&scratch, name, captioned), 4, cache);
        name[9] = 'c';
        starve(pieces_lay(&scratch, name, classes), 5, cache);
        name[9] = 'd';
        starve(pieces_lay(&scratch, name, packed), 16, cache);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadata_lists_pictures),
        cmocka_unit_test(captions_lie_beside_pictures),
        cmocka_unit_test(folders_are_classes),
        cmocka_unit_test(plain_pictures_have_no_captions),
        cmocka_unit_test(the_set_may_lie_in_train),
        cmocka_unit_test(idx_files_have_digits),
        cmocka_unit_test(idx_files_may_be_fashion),
        cmocka_unit_test(fashion_mnist_opens),
        cmocka_unit_test(pictures_are_cut_about_the_centre),
        cmocka_unit_test(shrinking_takes_the_mean),
        cmocka_unit_test(what_is_clear_lies_on_white),
        cmocka_unit_test(grey_is_one_channel_when_asked),
        cmocka_unit_test(the_cache_makes_no_difference),
        cmocka_unit_test(opening_can_be_stopped),
        cmocka_unit_test(the_held_out_share_is_fixed),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, open_scratch, close_scratch);
}
