/* SPDX-License-Identifier: MIT
 *
 * Pictures against Pillow (tests/golden/images), their text, what is refused, and what happens when writing fails.
 */
#define _GNU_SOURCE
#include "core/base/memory.h"
#include "core/io/image.h"
#include "core/io/image_ops.h"
#include "tests/support/golden.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct checkpoint *golden;

static int open_golden(void **state)
{
    (void)state;
    golden = golden_open("images/images.safetensors");
    return 0;
}

static int close_golden(void **state)
{
    (void)state;
    checkpoint_close(golden);
    return 0;
}

static const char *golden_path(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/images/%s", GOLDEN, name);
    return path;
}

static void read_golden(struct image *image, struct image_text *text, const char *name)
{
    struct error err = {0};
    if (image_read(image, golden_path(name), text, &err) != STATUS_OK) fail_msg("%s", err.text);
}

/* The image borrows the golden's pixels. */
static struct image golden_image(const char *name)
{
    const struct tensor *t = golden_tensor(golden, "%s", name);
    assert_int_equal(t->rank, 3);
    return (struct image){
        .width = (int)t->dim[1], .height = (int)t->dim[0], .channels = (int)t->dim[2], .pixels = (uint8_t *)t->data};
}

static void assert_near(const struct image *got, const char *name, int tolerance)
{
    const struct image want = golden_image(name);
    if (got->width != want.width || got->height != want.height || got->channels != want.channels)
        fail_msg("%s: %d x %d x %d instead of %d x %d x %d", name, got->width, got->height, got->channels, want.width,
                 want.height, want.channels);
    const int row = got->width * got->channels;
    for (int i = 0; i < row * got->height; i++)
        if (abs(got->pixels[i] - want.pixels[i]) > tolerance)
            fail_msg("%s: at %d, %d channel %d: %d instead of %d", name, i % row / got->channels, i / row,
                     i % got->channels, got->pixels[i], want.pixels[i]);
}

static void reads_what_pillow_reads(void **state)
{
    static const char *const names[] = {
        "rgb.png",
        "rgba.png",
        "grey.png",
        "grey-alpha.png",
        "palette.png",
        "palette-clear.png",
        "bits.png",
        "grey16.png",
        "rgb16.png",
        "interlaced.png",
        "interlaced-rgba.png",
        "turned.png",
        "rgb444.jpg",
        "rgb420.jpg",
        "progressive.jpg",
        "grey.jpg",
        "cmyk.jpg",
        "turned1.jpg",
        "turned2.jpg",
        "turned3.jpg",
        "turned4.jpg",
        "turned5.jpg",
        "turned6.jpg",
        "turned7.jpg",
        "turned8.jpg",
    };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct image image;
        read_golden(&image, NULL, names[i]);
        assert_near(&image, names[i], strstr(names[i], ".png") ? 0 : 1);
        image_clear(&image);
    }
}

static void reads_text(void **state)
{
    static const struct {
        const char *file, *parameters, *xmp;
    } cases[] = {
        {"rgb.png", NULL, NULL},
        {"text-latin1.png", "a café\nSteps: 20", NULL},
        {"text-utf8.png", "빨간 사과 😀\nSteps: 20", NULL},
        {"comment-be.jpg", "빨간 사과 😀, a café\nSteps: 20, Sampler: Euler a", NULL},
        {"comment-le.jpg", "빨간 사과 😀, a café\nSteps: 20, Sampler: Euler a", NULL},
        {"comment-mixed.jpg", "빨간 사과 😀, a café\nSteps: 20, Sampler: Euler a", NULL},
        {"comment-ascii.jpg", "plain\nSteps: 20", NULL},
        {"rgb444.jpg", NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct image image;
        struct image_text text;
        read_golden(&image, &text, cases[i].file);
        if (cases[i].parameters)
            assert_string_equal(text.parameters, cases[i].parameters);
        else
            assert_null(text.parameters);
        assert_null(text.xmp);
        image_text_clear(&text);
        image_clear(&image);
    }
}

static void reads_packed_text(void **state)
{
    struct image image;
    struct image_text text;
    (void)state;
    read_golden(&image, &text, "text-ztxt.png");
    assert_int_equal(strlen(text.parameters), 30 * strlen("a café "));
    assert_memory_equal(text.parameters, "a café a café ", strlen("a café a café "));
    image_text_clear(&text);
    image_clear(&image);
    read_golden(&image, &text, "text-itxt.png");
    assert_int_equal(strlen(text.parameters), 30 * strlen("사과 "));
    assert_memory_equal(text.parameters, "사과 사과 ", strlen("사과 사과 "));
    assert_string_equal(text.xmp, "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"/>");
    image_text_clear(&text);
    image_clear(&image);
}

static struct image sample(int channels)
{
    struct image image;
    struct error err = {0};
    assert_int_equal(image_create(&image, 21, 9, channels, &err), STATUS_OK);
    for (int i = 0; i < 21 * 9 * channels; i++) image.pixels[i] = (uint8_t)(i * i / 7 + i);
    return image;
}

static void png_comes_back_bit_for_bit(void **state)
{
    static const char *const texts[] = {"Ã©, Latin-1 that looks like UTF-8", "café\nline", "빨간 사과", ""};
    struct scratch s;
    (void)state;
    scratch_open(&s);
    for (int channels = 1; channels <= 4; channels++) {
        struct error err = {0};
        struct image image = sample(channels), read;
        struct image_text text = {.parameters = (char *)texts[channels - 1], .xmp = "<x/>"}, read_text;
        const char *path = scratch_path(&s, "out.PNG");
        assert_int_equal(image_write(&image, path, &text, &err), STATUS_OK);
        assert_int_equal(image_read(&read, path, &read_text, &err), STATUS_OK);
        assert_int_equal(read.channels, channels);
        assert_memory_equal(read.pixels, image.pixels, (size_t)(21 * 9 * channels));
        assert_string_equal(read_text.parameters, text.parameters);
        assert_string_equal(read_text.xmp, text.xmp);
        image_clear(&image);
        image_clear(&read);
        image_text_clear(&read_text);
    }
    assert_int_equal(scratch_files(&s), 1);
    scratch_close(&s);
}

/* U+AC00 has a zero byte on the side where ASCII has none. */
static void jpeg_keeps_hangul(void **state)
{
    (void)state;
    struct error err = {0};
    struct image image, read;
    char parameters[200] = "";
    for (int i = 0; i < 24; i++) strcat(parameters, "가");
    strcat(parameters, "\nSteps: 2, Seed: 1");
    struct image_text text = {.parameters = parameters}, read_text;
    uint8_t *bytes;
    size_t size;
    read_golden(&image, NULL, "rgb.png");
    assert_int_equal(image_encode(&image, IMAGE_JPEG, &text, &bytes, &size, &err), STATUS_OK);
    assert_int_equal(image_read_memory(&read, bytes, size, "memory", &read_text, &err), STATUS_OK);
    assert_string_equal(read_text.parameters, text.parameters);
    memory_free(bytes);
    image_text_clear(&read_text);
    image_clear(&read);
    image_clear(&image);
}

static void jpeg_comes_back_nearly(void **state)
{
    (void)state;
    for (int channels = 1; channels <= 4; channels++) {
        struct error err = {0};
        struct image image, flat, read;
        struct image_text text = {.parameters = "빨간 사과 😀, a café", .xmp = "<x/>"}, read_text;
        uint8_t *bytes;
        size_t size;
        read_golden(&image, NULL,
                    channels == 1   ? "grey.png"
                    : channels == 2 ? "grey-alpha.png"
                    : channels == 3 ? "rgb.png"
                                    : "rgba.png");
        assert_int_equal(image.channels, channels);
        assert_int_equal(image_encode(&image, IMAGE_JPEG, &text, &bytes, &size, &err), STATUS_OK);
        assert_int_equal(image_read_memory(&read, bytes, size, "memory", &read_text, &err), STATUS_OK);
        assert_int_equal(read.channels, channels == 1 ? 1 : 3);
        assert_int_equal(image_to_rgb(&flat, &image, &err), STATUS_OK);
        long sum = 0;
        for (int y = 0; y < image.height; y++)
            for (int x = 0; x < image.width; x++) {
                const int i = y * image.width + x;
                sum += abs(read.pixels[i * read.channels] - flat.pixels[i * 3]);
            }
        assert_true(sum < 3L * image.width * image.height);
        assert_string_equal(read_text.parameters, text.parameters);
        assert_string_equal(read_text.xmp, text.xmp);
        memory_free(bytes);
        image_text_clear(&read_text);
        image_clear(&image);
        image_clear(&flat);
        image_clear(&read);
    }
}

static void same_picture_gives_same_bytes(void **state)
{
    (void)state;
    for (int format = IMAGE_PNG; format <= IMAGE_JPEG; format++) {
        struct error err = {0};
        struct image image = sample(3);
        struct image_text text = {.parameters = "p", .xmp = "<x/>"};
        uint8_t *one, *two;
        size_t one_size, two_size;
        assert_int_equal(image_encode(&image, (enum image_format)format, &text, &one, &one_size, &err), STATUS_OK);
        assert_int_equal(image_encode(&image, (enum image_format)format, &text, &two, &two_size, &err), STATUS_OK);
        assert_int_equal(one_size, two_size);
        assert_memory_equal(one, two, one_size);
        memory_free(one);
        memory_free(two);
        image_clear(&image);
    }
}

/* Reads damaged bytes and checks the sentence; `wanted` is a part of it, NULL for anything. */
static void assert_refused(const void *bytes, size_t size, const char *wanted)
{
    struct error err = {0};
    struct image image;
    struct image_text text;
    if (image_read_memory(&image, bytes, size, "bad", &text, &err) == STATUS_OK)
        fail_msg("%zu bytes were read, but '%s' was expected", size, wanted);
    assert_int_equal(err.status, STATUS_FORMAT);
    assert_memory_equal(err.text, "bad: ", 5);
    if (wanted && !strstr(err.text, wanted)) fail_msg("'%s' is not in: %s", wanted, err.text);
    assert_null(image.pixels);
    assert_null(text.parameters);
}

/* A part of a file is never taken for the whole: every cut is refused. */
static void refuses_truncated_files(void **state)
{
    static const char *const names[] = {"rgb.png", "interlaced.png", "text-itxt.png", "rgb420.jpg", "progressive.jpg"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t size;
        uint8_t *bytes = file_load(golden_path(names[i]), &size);
        for (size_t cut = 0; cut < size; cut += cut < 64 || cut + 64 > size ? 1 : 7) assert_refused(bytes, cut, NULL);
        memory_free(bytes);
    }
}

/* Every byte of a PNG is covered by a checksum, so every change is noticed. */
static void refuses_changed_png(void **state)
{
    size_t size;
    (void)state;
    uint8_t *bytes = file_load(golden_path("text-latin1.png"), &size);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= 0x10;
        assert_refused(bytes, size, NULL);
        bytes[i] ^= 0x10;
    }
    memory_free(bytes);
}

static void put_u32(uint8_t *to, uint32_t value)
{
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(value >> 8 * (3 - i));
}

static void names_what_is_wrong(void **state)
{
    size_t size;
    (void)state;
    assert_refused("", 0, "is empty");
    assert_refused("hello, world", 12, "PNG and JPEG");
    uint8_t *png = file_load(golden_path("rgb.png"), &size);
    assert_refused(png, size - 20, "truncated");
    put_u32(png + 16, 70000);
    assert_refused(png, size, "70000 x 13 pixels; 1 to 16384");
    put_u32(png + 16, 0);
    assert_refused(png, size, "0 x 13 pixels");
    put_u32(png + 16, 16000);
    put_u32(png + 20, 16000);
    assert_refused(png, size, "cannot hold 16000 x 16000");
    memory_free(png);
    uint8_t *jpeg = file_load(golden_path("rgb420.jpg"), &size);
    assert_refused(jpeg, size - 20, "remature end");
    uint8_t *frame = jpeg;
    while (frame[0] != 0xff || frame[1] != 0xc0) frame++;
    frame[5] = frame[7] = 0x30;
    assert_refused(jpeg, size, "cannot hold");
    frame[5] = 0xf0;
    assert_refused(jpeg, size, "16384");
    memory_free(jpeg);
}

/* A few bytes that claim to be many are refused before memory is taken for them. */
static void claims_cost_no_memory(void **state)
{
    (void)state;
    size_t size;
    struct rusage before, after;
    uint8_t *bytes = file_load(GOLDEN "/bad/png-huge-chunk.png", &size);
    getrusage(RUSAGE_SELF, &before);
    assert_refused(bytes, size, "truncated");
    getrusage(RUSAGE_SELF, &after);
    assert_true(after.ru_maxrss - before.ru_maxrss < 100 * 1024); /* in kilobytes; the claim is 2 GB */
    memory_free(bytes);
}

static void refuses_what_cannot_be_written(void **state)
{
    static const struct {
        const char *path, *sentence;
        enum status status;
    } cases[] = {
        {"picture", ".png, .jpg or .jpeg", STATUS_ARGUMENT},
        {"picture.gif", ".png, .jpg or .jpeg", STATUS_ARGUMENT},
        {"no/such/folder.png", "No such file", STATUS_IO},
        {"folder.png", "is a folder", STATUS_IO},
    };
    struct scratch s;
    struct image image = sample(3);
    (void)state;
    scratch_open(&s);
    assert_int_equal(mkdir(scratch_path(&s, "folder.png"), 0777), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        char path[600];
        snprintf(path, sizeof path, "%s/%s", s.folder, cases[i].path);
        assert_int_equal(image_write(&image, path, NULL, &err), cases[i].status);
        if (!strstr(err.text, cases[i].sentence)) fail_msg("'%s' is not in: %s", cases[i].sentence, err.text);
        assert_non_null(strstr(err.text, path));
    }
    assert_int_equal(scratch_files(&s), 1);
    struct error err = {0};
    assert_int_equal(image_write(&image, "/dev/null.png/x.png", NULL, &err), STATUS_IO);
    char *long_text = memory_alloc(70000);
    memset(long_text, 'x', 69999);
    error_clear(&err);
    assert_int_equal(
        image_write(&image, scratch_path(&s, "x.jpg"), &(struct image_text){.parameters = long_text}, &err),
        STATUS_ARGUMENT);
    assert_non_null(strstr(err.text, "65533"));
    error_clear(&err);
    assert_int_equal(image_write(&image, scratch_path(&s, "x.png"), &(struct image_text){.parameters = "\xff"}, &err),
                     STATUS_ARGUMENT);
    assert_non_null(strstr(err.text, "UTF-8"));
    memory_free(long_text);
    image_clear(&image);
    scratch_close(&s);
}

/* A limit on the size of files stands for a full disk: write(2) fails in the middle of the file. */
static void full_disk_leaves_the_old_file(void **state)
{
    struct scratch s;
    struct error err = {0};
    struct image small = sample(1), large;
    (void)state;
    scratch_open(&s);
    const char *path = scratch_path(&s, "out.png");
    assert_int_equal(image_write(&small, path, NULL, &err), STATUS_OK);
    assert_int_equal(image_create(&large, 200, 200, 3, &err), STATUS_OK);
    for (int i = 0; i < 200 * 200 * 3; i++) large.pixels[i] = (uint8_t)((unsigned)i * 2654435761u >> 13);
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){1000, 1000});
        const bool good =
            image_write(&large, path, NULL, &err) == STATUS_IO && strstr(err.text, "could not be written");
        _exit(good ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    struct image read;
    assert_int_equal(image_read(&read, path, NULL, &err), STATUS_OK);
    assert_memory_equal(read.pixels, small.pixels, 21 * 9);
    assert_int_equal(scratch_files(&s), 1);
    image_clear(&small);
    image_clear(&large);
    image_clear(&read);
    scratch_close(&s);
}

/* Every allocation of our own fails in turn. */
static void survives_lack_of_memory(void **state)
{
    static const char *const names[] = {"text-itxt.png",  "interlaced.png", "turned.png",
                                        "comment-be.jpg", "cmyk.jpg",       "turned6.jpg"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (uint64_t n = 1;; n++) {
            struct error err = {0};
            struct image image, small = {0};
            struct image_text text;
            uint8_t *bytes = NULL;
            size_t size;
            memory_fail_after(n);
            enum status status = image_read(&image, golden_path(names[i]), &text, &err);
            if (status == STATUS_OK)
                status = image_encode(&image, i % 2 ? IMAGE_PNG : IMAGE_JPEG, &text, &bytes, &size, &err);
            if (status == STATUS_OK) status = image_resize(&small, &image, 4, 4, IMAGE_LANCZOS, &err);
            memory_fail_after(0);
            memory_free(bytes);
            image_clear(&image);
            image_clear(&small);
            image_text_clear(&text);
            if (status == STATUS_OK) break;
            if (status != STATUS_NO_MEMORY) fail_msg("%s, allocation %d: %s", names[i], (int)n, err.text);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_pillow_reads),
        cmocka_unit_test(reads_text),
        cmocka_unit_test(reads_packed_text),
        cmocka_unit_test(png_comes_back_bit_for_bit),
        cmocka_unit_test(jpeg_comes_back_nearly),
        cmocka_unit_test(jpeg_keeps_hangul),
        cmocka_unit_test(same_picture_gives_same_bytes),
        cmocka_unit_test(refuses_truncated_files),
        cmocka_unit_test(refuses_changed_png),
        cmocka_unit_test(names_what_is_wrong),
        cmocka_unit_test(claims_cost_no_memory),
        cmocka_unit_test(refuses_what_cannot_be_written),
        cmocka_unit_test(full_disk_leaves_the_old_file),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
