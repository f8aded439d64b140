/* SPDX-License-Identifier: MIT
 *
 * Files that once led a parser astray (tests/golden/bad, found by the fuzzers): every parser takes every one of them,
 * and the sanitizers watch. There is nothing to compare: whether they are read or refused, they must do no harm.
 */
#include "core/base/memory.h"
#include "core/io/checkpoint_build.h"
#include "core/io/exif.h"
#include "core/io/image.h"
#include "core/io/pickle.h"
#include "tests/support/scratch.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void read_as_checkpoint(const uint8_t *bytes, size_t size)
{
    struct error err = {0};
    struct checkpoint *c;
    if (checkpoint_open_memory(&c, bytes, size, "bad", &err) != STATUS_OK) assert_true(err.text[0] != '\0');
    for (int i = 0; c && i < checkpoint_count(c); i++) {
        const struct tensor *t = checkpoint_at(c, i);
        const size_t count = t->count < 1000 ? (size_t)t->count : 1000;
        float values[1000];
        dtype_to_f32(values, t->data, t->dtype, 0, count);
    }
    checkpoint_close(c);
}

static void read_as_picture(const uint8_t *bytes, size_t size)
{
    struct error err = {0};
    struct image image;
    struct image_text text;
    if (image_read_memory(&image, bytes, size, "bad", &text, &err) != STATUS_OK) assert_true(err.text[0] != '\0');
    image_clear(&image);
    image_text_clear(&text);
}

static void read_as_pickle(const uint8_t *bytes, size_t size)
{
    struct error err = {0};
    struct arena arena = {0};
    struct pickle pickle;
    if (pickle_parse(&pickle, &arena, bytes, size, "bad", &err) != STATUS_OK) assert_true(err.text[0] != '\0');
    arena_clear(&arena);
}

static void read_as_exif(const uint8_t *bytes, size_t size)
{
    struct exif exif;
    assert_true(exif_parse(&exif, bytes, size));
    memory_free(exif.comment);
}

static void bad_files_do_no_harm(void **state)
{
    (void)state;
    int count = 0;
    DIR *folder = opendir(GOLDEN "/bad");
    assert_non_null(folder);
    for (const struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.') continue;
        char path[512];
        size_t size;
        snprintf(path, sizeof path, "%s/bad/%s", GOLDEN, entry->d_name);
        uint8_t *bytes = file_load(path, &size);
        read_as_checkpoint(bytes, size);
        read_as_picture(bytes, size);
        read_as_pickle(bytes, size);
        read_as_exif(bytes, size);
        memory_free(bytes);
        count++;
    }
    closedir(folder);
    assert_true(count > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bad_files_do_no_harm)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
