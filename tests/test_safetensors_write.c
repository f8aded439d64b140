/* SPDX-License-Identifier: MIT
 *
 * Safetensors files as limn writes them: what comes back when they are read, and what is left when they cannot be.
 */
#define _GNU_SOURCE /* O_TMPFILE */
#include "core/base/memory.h"
#include "core/io/checkpoint.h"
#include "core/io/safetensors_write.h"
#include "tests/support/scratch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { LONG = 300001 }; /* more than one piece of a fill */

static struct scratch scratch;
static const float six[] = {1, 2, 3, 4, 5, 6};
static const uint8_t byte = 200;

static const struct tensor three[] = {
    {.name = "층.weight", .dtype = DTYPE_F32, .rank = 2, .dim = {2, 3}, .data = six},
    {.name = "a \"quoted\\ name\"\n", .dtype = DTYPE_U8, .rank = 0, .data = &byte},
    {.name = "nothing", .dtype = DTYPE_F16, .rank = 2, .dim = {4, 0}, .data = ""},
};
static const struct safetensors_note two_notes[] = {{"format", "pt"}, {"limn", "{\"size\": 64}\t가"}};
static const struct safetensors_file small = {.tensors = three, .count = 3, .notes = two_notes, .note_count = 2};

static void must(enum status status, const struct error *err)
{
    if (status != STATUS_OK) fail_msg("%s", err->text);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct error err = {0};
    struct checkpoint *c;
    const char *path = scratch_path(&scratch, "small.safetensors");
    must(safetensors_write(path, &small, &err), &err);
    must(checkpoint_open(&c, path, &err), &err);
    assert_int_equal(checkpoint_count(c), 3);
    for (int i = 0; i < 3; i++) {
        const struct tensor *t = checkpoint_find(c, three[i].name);
        assert_non_null(t);
        assert_int_equal(t->dtype, three[i].dtype);
        assert_int_equal(t->rank, three[i].rank);
        assert_memory_equal(t->dim, three[i].dim, (size_t)t->rank * sizeof *t->dim);
        assert_memory_equal(t->data, three[i].data, dtype_bytes(t->dtype, (size_t)t->count));
    }
    assert_int_equal((uintptr_t)checkpoint_find(c, "층.weight")->data % 8, 0); /* the header is filled up */
    for (int i = 0; i < 2; i++) assert_string_equal(checkpoint_metadata(c, two_notes[i].key), two_notes[i].value);
    checkpoint_close(c);
}

static void fill_counting(void *context, int i, int64_t first, int64_t n, void *out)
{
    *(int64_t *)context += n;
    for (int64_t k = 0; k < n; k++) {
        if (i == 0)
            ((uint16_t *)out)[k] = (uint16_t)(first + k);
        else
            ((double *)out)[k] = (double)(first + k);
    }
}

static void pieces_are_asked_for_in_order(void **state)
{
    (void)state;
    struct error err = {0};
    struct checkpoint *c;
    int64_t filled = 0;
    const struct tensor tensors[] = {{.name = "b", .dtype = DTYPE_I16, .rank = 1, .dim = {LONG}},
                                     {.name = "d", .dtype = DTYPE_F64, .rank = 2, .dim = {3, LONG}}};
    const struct safetensors_file file = {.tensors = tensors, .count = 2, .fill = fill_counting, .context = &filled};
    const char *path = scratch_path(&scratch, "long.safetensors");
    must(safetensors_write(path, &file, &err), &err);
    assert_int_equal(filled, 4 * LONG);
    must(checkpoint_open(&c, path, &err), &err);
    const struct tensor *d = checkpoint_find(c, "d"), *b = checkpoint_find(c, "b");
    for (int64_t k = 0; k < LONG; k += 997) {
        uint16_t word;
        double value;
        memcpy(&word, (const char *)b->data + 2 * k, 2);
        memcpy(&value, (const char *)d->data + 8 * (2 * LONG + k), 8);
        assert_int_equal(word, (uint16_t)k);
        assert_true(value == (double)(2 * LONG + k));
    }
    checkpoint_close(c);
}

static void the_same_contents_give_the_same_bytes(void **state)
{
    (void)state;
    struct error err = {0};
    const char *names[] = {scratch_path(&scratch, "one.safetensors"), scratch_path(&scratch, "two.safetensors")};
    uint8_t *bytes[2];
    size_t size[2];
    for (int i = 0; i < 2; i++) {
        must(safetensors_write(names[i], &small, &err), &err);
        bytes[i] = file_load(names[i], &size[i]);
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(bytes[0], bytes[1], size[0]);
    for (int i = 0; i < 2; i++) memory_free(bytes[i]);
}

static const struct tensor twice[] = {{.name = "w", .dtype = DTYPE_F32, .rank = 1, .dim = {6}, .data = six},
                                      {.name = "w", .dtype = DTYPE_F32, .rank = 1, .dim = {6}, .data = six}};
static const struct tensor reserved = {.name = "__metadata__", .dtype = DTYPE_F32, .rank = 1, .dim = {6}, .data = six};
static const struct tensor not_text = {.name = "w\xff", .dtype = DTYPE_F32, .rank = 1, .dim = {6}, .data = six};
static const struct tensor endless = {
    .name = "w", .dtype = DTYPE_F32, .rank = 3, .dim = {INT64_C(1) << 31, INT64_C(1) << 31, 1 << 20}, .data = six};
static const struct tensor negative = {.name = "w", .dtype = DTYPE_F32, .rank = 1, .dim = {-1}, .data = six};
static const struct safetensors_note bad_note = {"note", "\xc3"};
static const struct safetensors_note two_same[] = {{"note", "a"}, {"note", "b"}};

static const struct {
    struct safetensors_file file;
    const char *says;
} refusals[] = {
    {{.tensors = twice, .count = 2}, "the name 'w' is there twice"},
    {{.tensors = &reserved, .count = 1}, "a tensor cannot be named __metadata__"},
    {{.tensors = &not_text, .count = 1}, "is not valid UTF-8"},
    {{.tensors = &endless, .count = 1}, "tensor 'w' has a shape that no file can hold"},
    {{.tensors = &negative, .count = 1}, "tensor 'w' has a shape that no file can hold"},
    {{.notes = &bad_note, .note_count = 1}, "the text of 'note' is not valid UTF-8"},
    {{.notes = two_same, .note_count = 2}, "the name 'note' is there twice"},
};

/* The file that was there before stays, and nothing else does. */
static void refusals_leave_what_was_there(void **state)
{
    (void)state;
    const char *path = scratch_path(&scratch, "refused/kept.safetensors");
    file_save(path, "before", 6);
    const int files = scratch_files(&scratch);
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct error err = {0};
        size_t size;
        assert_int_equal(safetensors_write(path, &refusals[i].file, &err), STATUS_ARGUMENT);
        if (!strstr(err.text, refusals[i].says)) fail_msg("said: %s\nwanted: %s", err.text, refusals[i].says);
        uint8_t *bytes = file_load(path, &size);
        assert_int_equal(size, 6);
        assert_memory_equal(bytes, "before", 6);
        memory_free(bytes);
    }
    assert_int_equal(scratch_files(&scratch), files);
}

/* A limit on file sizes stands for a full disk. */
static void a_full_disk_leaves_nothing(void **state)
{
    (void)state;
    struct error err = {0};
    int64_t filled = 0;
    const struct tensor tensor = {.name = "b", .dtype = DTYPE_I16, .rank = 1, .dim = {LONG}};
    const struct safetensors_file file = {.tensors = &tensor, .count = 1, .fill = fill_counting, .context = &filled};
    const char *path = scratch_path(&scratch, "full.safetensors");
    const int files = scratch_files(&scratch);
    struct rlimit old, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = old;
    limit.rlim_cur = 100000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    const enum status status = safetensors_write(path, &file, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(status, STATUS_IO);
    assert_non_null(strstr(err.text, "could not be written: File too large"));
    assert_int_equal(scratch_files(&scratch), files);
}

static void die(void *context, int i, int64_t first, int64_t n, void *out)
{
    (void)context, (void)i, (void)n, (void)out;
    if (first > 0) raise(SIGKILL);
}

static void being_killed_leaves_nothing(void **state)
{
    (void)state;
    const char *path = scratch_path(&scratch, "killed/kept.safetensors");
    file_save(path, "before", 6);
    const int files = scratch_files(&scratch);
    const int probe = open(scratch.folder, O_WRONLY | O_TMPFILE, 0666);
    if (probe < 0) {
        print_message("left out: the file system has no files without names\n");
        skip();
    }
    close(probe);
    const pid_t child = fork();
    if (child == 0) {
        struct error err = {0};
        const struct tensor tensor = {.name = "b", .dtype = DTYPE_I16, .rank = 1, .dim = {LONG}};
        const struct safetensors_file file = {.tensors = &tensor, .count = 1, .fill = die};
        _exit((int)safetensors_write(path, &file, &err));
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFSIGNALED(result));
    assert_int_equal(scratch_files(&scratch), files);
    size_t size;
    uint8_t *bytes = file_load(path, &size);
    assert_int_equal(size, 6);
    memory_free(bytes);
}

static void bad_places_are_named(void **state)
{
    (void)state;
    struct error err = {0};
    char path[600];
    snprintf(path, sizeof path, "%s/missing/out.safetensors", scratch.folder);
    assert_int_equal(safetensors_write(path, &small, &err), STATUS_IO);
    assert_non_null(strstr(err.text, "missing/out.safetensors: could not be created: No such file"));
    error_clear(&err);
    assert_int_equal(safetensors_write(scratch.folder, &small, &err), STATUS_IO);
    assert_non_null(strstr(err.text, "is a folder; the name of a file is needed"));
}

static void survives_lack_of_memory(void **state)
{
    (void)state;
    int64_t filled = 0;
    struct safetensors_file file = small;
    file.count = 0;
    file.fill = fill_counting;
    file.context = &filled;
    const char *path = scratch_path(&scratch, "hungry.safetensors");
    const int files = scratch_files(&scratch);
    for (uint64_t n = 1;; n++) {
        struct error err = {0};
        memory_fail_after(n);
        const enum status status = safetensors_write(path, &file, &err);
        memory_fail_after(0);
        if (status == STATUS_OK) break;
        assert_int_equal(status, STATUS_NO_MEMORY);
        assert_int_equal(scratch_files(&scratch), files);
    }
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(pieces_are_asked_for_in_order),
        cmocka_unit_test(the_same_contents_give_the_same_bytes),
        cmocka_unit_test(refusals_leave_what_was_there),
        cmocka_unit_test(a_full_disk_leaves_nothing),
        cmocka_unit_test(being_killed_leaves_nothing),
        cmocka_unit_test(bad_places_are_named),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, open_scratch, close_scratch);
}
