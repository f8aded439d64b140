/* SPDX-License-Identifier: MIT
 *
 * Checkpoints of every kind: what torch.save wrote (tests/golden/files), zip files and folders made by hand, and what
 * is refused.
 */
#include "core/base/memory.h"
#include "core/io/checkpoint_build.h"
#include "core/io/safetensors_write.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zip.h>

#include <cmocka.h>

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

static const char *golden_path(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/files/%s", GOLDEN, name);
    return path;
}

static struct checkpoint *open_good(const char *path)
{
    struct error err = {0};
    struct checkpoint *c;
    if (checkpoint_open(&c, path, &err) != STATUS_OK) fail_msg("%s", err.text);
    return c;
}

static void assert_refused(const char *path, enum status status, const char *words)
{
    struct error err = {0};
    struct checkpoint *c;
    if (checkpoint_open(&c, path, &err) == STATUS_OK) fail_msg("%s was read, but expected: %s", path, words);
    if (err.status != status || !strstr(err.text, words))
        fail_msg("%s '%s' instead of '%s'", status_name(err.status), err.text, words);
    if (!strstr(err.text, path)) fail_msg("the sentence does not name the file: %s", err.text);
    assert_null(c);
}

static void assert_values(const struct checkpoint *c, const char *name, int rank, const int64_t *dim, const float *want)
{
    float got[32];
    const struct tensor *t = checkpoint_find(c, name);
    if (!t) fail_msg("%s is missing", name);
    assert_int_equal(t->rank, rank);
    int64_t count = 1;
    for (int i = 0; i < rank; i++) {
        assert_int_equal(t->dim[i], dim[i]);
        count *= dim[i];
    }
    assert_int_equal(t->count, count);
    dtype_to_f32(got, t->data, t->dtype, 0, (size_t)count);
    for (int64_t i = 0; i < count; i++)
        if (got[i] != want[i]) fail_msg("%s[%d]: %g instead of %g", name, (int)i, (double)got[i], (double)want[i]);
}

/* What make_files.py saved: all of it is 0, 1, 2, ... or made from that. */
static void assert_state(const struct checkpoint *c)
{
    static const char *const typed[] = {"half", "bfloat", "double", "long", "int", "short", "char", "byte"};
    static const enum dtype types[] = {DTYPE_F16, DTYPE_BF16, DTYPE_F64, DTYPE_I64,
                                       DTYPE_I32, DTYPE_I16,  DTYPE_I8,  DTYPE_U8};
    float a[24], turned[24];
    for (int i = 0; i < 24; i++) a[i] = (float)i;
    for (int i = 0; i < 24; i++) turned[i] = (float)(i / 6 + i % 6 * 4);
    assert_int_equal(checkpoint_count(c), 16);
    assert_int_equal(checkpoint_format(c), CHECKPOINT_PICKLE);
    assert_values(c, "a", 3, (int64_t[]){2, 3, 4}, a);
    assert_values(c, "a.view", 1, (int64_t[]){6}, a + 4);
    assert_values(c, "a.turned", 3, (int64_t[]){4, 2, 3}, turned);
    assert_values(c, "a.same", 2, (int64_t[]){2, 3}, (float[]){7, 7, 7, 7, 7, 7});
    for (int i = 0; i < 8; i++) {
        assert_values(c, typed[i], 1, (int64_t[]){5}, a);
        assert_int_equal(checkpoint_find(c, typed[i])->dtype, types[i]);
    }
    assert_values(c, "bool", 1, (int64_t[]){5}, (float[]){0, 0, 0, 1, 1});
    assert_values(c, "number", 0, NULL, (float[]){7});
    assert_values(c, "empty", 2, (int64_t[]){0, 3}, NULL);
    assert_values(c, "parameter", 1, (int64_t[]){2}, a);
}

static void reads_what_torch_saves(void **state)
{
    static const char *const names[] = {"flat.pth",          "flat-old.pth",  "training.ckpt",
                                        "training-old.ckpt", "protocol4.pth", "packed.pth"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct checkpoint *c = open_good(golden_path(names[i]));
        assert_state(c);
        checkpoint_close(c);
    }
}

/* Stored tensors are used where they lie; only what is packed or strided is copied. */
static void tensors_are_mapped(void **state)
{
    static const char *const names[] = {"flat.pth", "flat-old.pth", "packed.pth"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct error err = {0};
        struct checkpoint *c;
        size_t size;
        uint8_t *bytes = file_load(golden_path(names[i]), &size);
        assert_int_equal(checkpoint_open_memory(&c, bytes, size, names[i], &err), STATUS_OK);
        const uint8_t *data = checkpoint_find(c, "a")->data;
        assert_int_equal(data >= bytes && data < bytes + size, i < 2);
        data = checkpoint_find(c, "a.turned")->data;
        assert_false(data >= bytes && data < bytes + size);
        checkpoint_close(c);
        memory_free(bytes);
    }
}

/* A tensor beside a network's state dict. */
static void sees_behind_single_tensors(void **state)
{
    (void)state;
    struct checkpoint *c = open_good(golden_path("beside.pth"));
    assert_int_equal(checkpoint_count(c), 2);
    assert_values(c, "fixed_noise", 2, (int64_t[]){2, 3}, (float[6]){0});
    assert_values(c, "G.main.0.weight", 1, (int64_t[]){4}, (float[]){1, 1, 1, 1});
    checkpoint_close(c);
}

static void refuses_what_is_no_state_dict(void **state)
{
    (void)state;
    assert_refused(golden_path("evil.ckpt"), STATUS_UNSUPPORTED, "'posix.system'");
    assert_refused(golden_path("module.pth"), STATUS_UNSUPPORTED, "torch.save(model.state_dict(), PATH)");
    assert_refused(golden_path("list.pth"), STATUS_FORMAT, "holds a list");
    assert_refused(golden_path("no-tensors.pth"), STATUS_FORMAT, "holds no tensors");
}

static void refuses_every_cut(void **state)
{
    static const char *const names[] = {"flat.pth", "flat-old.pth", "packed.pth"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        size_t size;
        uint8_t *bytes = file_load(golden_path(names[i]), &size);
        for (size_t cut = 0; cut < size; cut += cut + 200 < size ? 13 : 1) {
            struct error err = {0};
            struct checkpoint *c;
            if (checkpoint_open_memory(&c, bytes, cut, "cut", &err) != STATUS_FORMAT)
                fail_msg("%s, cut to %zu: '%s'", names[i], cut, err.text);
        }
        memory_free(bytes);
    }
}

/* A changed byte may be harmless or not, but never leads outside of the file (which the sanitizers would notice). */
static void survives_every_change(void **state)
{
    static const char *const names[] = {"flat.pth", "flat-old.pth", "packed.pth"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        size_t size;
        uint8_t *bytes = file_load(golden_path(names[i]), &size);
        for (size_t at = 0; at < size; at++) {
            struct error err = {0};
            struct checkpoint *c;
            float values[1024];
            const uint8_t old = bytes[at];
            bytes[at] = (uint8_t)(old ^ (at % 2 ? 0xff : 0x01));
            const enum status status = checkpoint_open_memory(&c, bytes, size, "changed", &err);
            assert_true(status == STATUS_OK || status == STATUS_FORMAT || status == STATUS_UNSUPPORTED);
            for (int n = 0; c && n < checkpoint_count(c); n++) {
                const struct tensor *t = checkpoint_at(c, n);
                if (t->count <= 1024) dtype_to_f32(values, t->data, t->dtype, 0, (size_t)t->count);
            }
            checkpoint_close(c);
            bytes[at] = old;
        }
        memory_free(bytes);
    }
}

struct entry {
    const char *name;
    const void *bytes;
    size_t size;
};

#define ENTRY(name, text)                                                                                              \
    {                                                                                                                  \
        name, text, sizeof(text) - 1                                                                                   \
    }

static const char *write_zip(const char *name, const struct entry *entries, size_t count, int method)
{
    const char *path = scratch_path(&scratch, name);
    zip_t *zip = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, NULL);
    assert_non_null(zip);
    for (size_t i = 0; i < count && entries[i].name; i++) {
        zip_source_t *source = zip_source_buffer(zip, entries[i].bytes, entries[i].size, 0);
        const zip_int64_t index = zip_file_add(zip, entries[i].name, source, 0);
        assert_true(index >= 0);
        assert_int_equal(zip_set_file_compression(zip, (zip_uint64_t)index, method, 0), 0);
    }
    assert_int_equal(zip_close(zip), 0);
    return path;
}

/* A pickle of one dict with one tensor: NAME (one letter), its storage's key (one letter) and number of elements, and
 * offset, shape and strides as pickle operations. */
#define TENSOR(key, count, place)                                                                                      \
    "ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x01" key "U\x03"                         \
    "cpu" count "tQ" place "\x89NtR"
#define ONE(name, tensor) "\x80\x02}U\x01" name tensor "s."
#define DATA              "0123456789abcdef" /* four floats */

static const struct {
    struct entry entries[3];
    int method;
    enum status status;
    const char *words;
} zips[] = {
    {{ENTRY("a/data.pkl", ONE("w", TENSOR("0", "K\x04", "K\x00K\x04\x85K\x01\x85"))), ENTRY("a/data/0", DATA)},
     ZIP_CM_STORE,
     STATUS_OK,
     ""},
    {{ENTRY("data.pkl", ONE("w", TENSOR("0", "K\x04", "K\x00K\x04\x85K\x01\x85"))), ENTRY("data/0", DATA)},
     ZIP_CM_DEFLATE,
     STATUS_OK,
     ""},
    {{ENTRY("a/readme", "hello")}, ZIP_CM_STORE, STATUS_FORMAT, "without a data.pkl"},
    {{ENTRY("a/b/data.pkl", ONE("w", "N"))}, ZIP_CM_STORE, STATUS_FORMAT, "without a data.pkl"},
    {{ENTRY("a/data.pkl", "")}, ZIP_CM_STORE, STATUS_FORMAT, "ends too soon"},
    {{ENTRY("a/data.pkl", ONE("w", TENSOR("0", "K\x04", "K\x00K\x04\x85K\x01\x85")))},
     ZIP_CM_STORE,
     STATUS_FORMAT,
     "storage '0' is missing"},
    {{ENTRY("a/data.pkl", ONE("w", TENSOR("0", "K\x05", "K\x00K\x04\x85K\x01\x85"))), ENTRY("a/data/0", DATA)},
     ZIP_CM_STORE,
     STATUS_FORMAT,
     "has 16 bytes, but 20 are described"},
    {{ENTRY("a/data.pkl", ONE("w", TENSOR("0", "K\x04", "K\x01K\x04\x85K\x01\x85"))), ENTRY("a/data/0", DATA)},
     ZIP_CM_STORE,
     STATUS_FORMAT,
     "goes past the end of its storage of 4 elements"},
    {{ENTRY("a/data.pkl", ONE("w", TENSOR("0", "K\x04", "K\x00K\x02\x85K\x04\x85"))), ENTRY("a/data/0", DATA)},
     ZIP_CM_STORE,
     STATUS_FORMAT,
     "goes past the end"},
    {{ENTRY("a/data.pkl", ONE("w", TENSOR("0", "K\x04", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\x04\x85K\x01\x85"))),
      ENTRY("a/data/0", DATA)},
     ZIP_CM_STORE,
     STATUS_FORMAT,
     "goes past the end"},
    {{ENTRY("a/data.pkl", ONE("w", TENSOR("0", "K\x04", "K\x00K\x04\x85\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85"))),
      ENTRY("a/data/0", DATA)},
     ZIP_CM_STORE,
     STATUS_FORMAT,
     "goes past the end"},
    {{ENTRY("a/data.pkl", ONE("w", TENSOR("0", "K\x04",
                                          "K\x00\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x8a\x08\xff\xff\xff\xff\xff"
                                          "\xff\xff\x7f\x86K\x00K\x00\x86"))),
      ENTRY("a/data/0", DATA)},
     ZIP_CM_STORE,
     STATUS_FORMAT,
     "more elements than memory"},
    /* One number, spread over a hundred million places by a stride of 0. */
    {{ENTRY("a/data.pkl", ONE("w", TENSOR("0", "K\x04", "K\x00J\x00\xe1\xf5\x05\x85K\x00\x85"))),
      ENTRY("a/data/0", DATA)},
     ZIP_CM_STORE,
     STATUS_FORMAT,
     "no honest file"},
    {{ENTRY("a/data.pkl", ONE("\0", TENSOR("0", "K\x04", "K\x00K\x04\x85K\x01\x85"))), ENTRY("a/data/0", DATA)},
     ZIP_CM_STORE,
     STATUS_FORMAT,
     "is not text"},
    {{ENTRY("a/data.pkl", ONE("\xff", TENSOR("0", "K\x04", "K\x00K\x04\x85K\x01\x85"))), ENTRY("a/data/0", DATA)},
     ZIP_CM_STORE,
     STATUS_FORMAT,
     "is not text"},
    {{ENTRY("a/data.pkl", "}(U\x01w" TENSOR("0", "K\x04", "K\x00K\x04\x85K\x01\x85") "U\x01w" TENSOR(
                              "0", "K\x04", "K\x00K\x04\x85K\x01\x85") "u."),
      ENTRY("a/data/0", DATA)},
     ZIP_CM_STORE,
     STATUS_FORMAT,
     "two tensors have the name 'w'"},
    {{ENTRY("a/data.pkl", "}(U\x01w" TENSOR("0", "K\x04", "K\x00K\x04\x85K\x01\x85") "U\x01v" TENSOR(
                              "0", "K\x02", "K\x00K\x02\x85K\x01\x85") "u."),
      ENTRY("a/data/0", DATA)},
     ZIP_CM_STORE,
     STATUS_FORMAT,
     "storage '0' is described in two ways"},
    {{ENTRY("a/data.pkl", ONE("w", TENSOR("0", "K\x04", "K\x00K\x04\x85K\x01\x85"))), ENTRY("a/data/0", DATA),
      ENTRY("a/byteorder", "middle")},
     ZIP_CM_STORE,
     STATUS_UNSUPPORTED,
     "byte order is 'middle'"},
    {{ENTRY("a/data.pkl", ONE("w", TENSOR("0", "K\x04", "K\x00K\x04\x85K\x01\x85"))), ENTRY("a/data/0", DATA),
      ENTRY("a/byteorder", "little")},
     ZIP_CM_STORE,
     STATUS_OK,
     ""},
};

static void zip_files_that_lie(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof zips / sizeof *zips; i++) {
        const char *path = write_zip("lie.ckpt", zips[i].entries, 3, zips[i].method);
        if (zips[i].status != STATUS_OK) {
            assert_refused(path, zips[i].status, zips[i].words);
            continue;
        }
        struct checkpoint *c = open_good(path);
        const struct tensor *w = checkpoint_find(c, "w");
        assert_non_null(w);
        assert_memory_equal(w->data, DATA, 16);
        checkpoint_close(c);
    }
}

/* Zeros that unpack to far more than the file: refused before memory is taken. */
static void refuses_zip_bombs(void **state)
{
    (void)state;
    enum { ELEMENTS = 20000000 };
    uint8_t *zeros = memory_alloc(ELEMENTS * sizeof(float));
    assert_non_null(zeros);
    const struct entry entries[] = {
        ENTRY("a/data.pkl", ONE("w", TENSOR("0", "J\x00\x2d\x31\x01", "K\x00K\x04\x85K\x01\x85"))),
        {"a/data/0", zeros, ELEMENTS * sizeof(float)},
    };
    assert_refused(write_zip("bomb.ckpt", entries, 2, ZIP_CM_DEFLATE), STATUS_FORMAT, "no honest file");
    memory_free(zeros);
}

/* A size in the directory that goes beyond the file, written over that of the entry a/data/0. */
static void refuses_entries_beyond_the_file(void **state)
{
    (void)state;
    const struct entry entries[] = {
        ENTRY("a/data.pkl", ONE("w", TENSOR("0", "K\x04", "K\x00K\x04\x85K\x01\x85"))),
        ENTRY("a/data/0", DATA),
    };
    size_t size, found = 0;
    uint8_t *bytes = file_load(write_zip("beyond.ckpt", entries, 2, ZIP_CM_STORE), &size);
    for (size_t at = 0; at + 54 < size; at++) {
        if (memcmp(bytes + at, "PK\1\2", 4) != 0 || memcmp(bytes + at + 46, "a/data/0", 8) != 0) continue;
        memcpy(bytes + at + 20, "\xf0\xff\xff\x7f\xf0\xff\xff\x7f", 8); /* packed and unpacked size */
        found++;
    }
    assert_int_equal(found, 1);
    const char *path = scratch_path(&scratch, "beyond.ckpt");
    file_save(path, bytes, size);
    assert_refused(path, STATUS_FORMAT, "damaged zip");
    memory_free(bytes);
}

#define MAGIC   "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
#define VERSION "\x80\x02M\xe9\x03."
#define SYSTEM  "\x80\x02}X\x0d\x00\x00\x00little_endian\x88s."
#define OLD_TENSOR(view)                                                                                               \
    "\x80\x02}U\x01w" REBUILD_OLD "((U\x07storagectorch\nFloatStorage\nU\x01" KEY_OLD "U\x03"                          \
    "cpuK\x04" view "tQK\x00K\x02\x85K\x01\x85\x89NtRs."
#define REBUILD_OLD "ctorch._utils\n_rebuild_tensor_v2\n"
#define KEY_OLD     "0"
#define KEYS(list)  "\x80\x02](" list "e."
#define COUNT_OLD   "\x04\x00\x00\x00\x00\x00\x00\x00"

static const struct {
    const char *bytes;
    size_t size;
    enum status status;
    const char *words;
} old_files[] = {
#define OLD(text) text, sizeof(text) - 1
    {OLD(MAGIC VERSION SYSTEM OLD_TENSOR("N") KEYS("U\x01" KEY_OLD) COUNT_OLD DATA), STATUS_OK, "0123"},
    {OLD(MAGIC VERSION SYSTEM OLD_TENSOR("(U\x01vK\x02K\x02t") KEYS("U\x01" KEY_OLD) COUNT_OLD DATA), STATUS_OK,
     "89ab"},
    {OLD(MAGIC VERSION SYSTEM OLD_TENSOR("(U\x01vK\x03K\x02t") KEYS("U\x01" KEY_OLD) COUNT_OLD DATA), STATUS_FORMAT,
     "goes past the end"},
    {OLD(MAGIC VERSION SYSTEM OLD_TENSOR("K\x05") KEYS("U\x01" KEY_OLD) COUNT_OLD DATA), STATUS_FORMAT,
     "a storage's view"},
    {OLD(MAGIC "\x80\x02M\xea\x03." SYSTEM OLD_TENSOR("N") KEYS("U\x01" KEY_OLD) COUNT_OLD DATA), STATUS_UNSUPPORTED,
     "unknown version"},
    {OLD(MAGIC VERSION "\x80\x02}X\x0d\x00\x00\x00little_endian\x89s." OLD_TENSOR("N") KEYS("U\x01" KEY_OLD)
             COUNT_OLD DATA),
     STATUS_UNSUPPORTED, "byte order is 'big'"},
    {OLD(MAGIC VERSION SYSTEM OLD_TENSOR("N") "\x80\x02N." COUNT_OLD DATA), STATUS_FORMAT, "no list of storages"},
    {OLD(MAGIC VERSION SYSTEM OLD_TENSOR("N") KEYS("U\x01x") COUNT_OLD DATA), STATUS_FORMAT, "has no tensor"},
    {OLD(MAGIC VERSION SYSTEM OLD_TENSOR("N") KEYS("U\x01" KEY_OLD "U\x01" KEY_OLD) COUNT_OLD DATA COUNT_OLD DATA),
     STATUS_FORMAT, "comes twice"},
    {OLD(MAGIC VERSION SYSTEM OLD_TENSOR("N") KEYS("U\x01" KEY_OLD) "\x05\x00\x00\x00\x00\x00\x00\x00" DATA "x123"),
     STATUS_FORMAT, "has 5 elements, but 4 are described"},
    {OLD(MAGIC VERSION SYSTEM OLD_TENSOR("N") KEYS("U\x01" KEY_OLD) "\x04\x00"), STATUS_FORMAT, "is truncated before"},
    {OLD(MAGIC VERSION SYSTEM OLD_TENSOR("N") KEYS("U\x01" KEY_OLD) COUNT_OLD "0123"), STATUS_FORMAT,
     "is truncated: storage"},
    {OLD(MAGIC VERSION SYSTEM OLD_TENSOR("N") KEYS("")), STATUS_FORMAT, "the data of tensor 'w' are missing"},
#undef OLD
};

static void old_files_that_lie(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof old_files / sizeof *old_files; i++) {
        const char *path = scratch_path(&scratch, "old.pth");
        file_save(path, old_files[i].bytes, old_files[i].size);
        if (old_files[i].status != STATUS_OK) {
            assert_refused(path, old_files[i].status, old_files[i].words);
            continue;
        }
        struct checkpoint *c = open_good(path);
        assert_memory_equal(checkpoint_find(c, "w")->data, old_files[i].words, 4);
        checkpoint_close(c);
    }
}

static const float weights[] = {1, 2, 3, 4, 5, 6};

/* A safetensors file with one tensor of these names each, [2, 3]. */
static void write_tensors(const char *path, const char *first, const char *second)
{
    struct error err = {0};
    const struct tensor tensors[] = {
        {.name = first, .dtype = DTYPE_F32, .rank = 2, .dim = {2, 3}, .data = weights},
        {.name = second ? second : "", .dtype = DTYPE_F32, .rank = 2, .dim = {2, 3}, .data = weights},
    };
    const struct safetensors_file file = {.tensors = tensors, .count = second ? 2 : 1};
    if (safetensors_write(path, &file, &err) != STATUS_OK) fail_msg("%s", err.text);
}

static void write_text(const char *name, const char *text)
{
    file_save(scratch_path(&scratch, name), text, strlen(text));
}

static const char *folder_path(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", scratch.folder, name);
    return path;
}

static void reads_a_diffusers_folder(void **state)
{
    (void)state;
    size_t size;
    write_text("m/model_index.json", "{\"_class_name\": \"StableDiffusionPipeline\"}");
    write_text("m/unet/config.json", "{\"in_channels\": 4}");
    write_text("m/scheduler/scheduler_config.json", "{}");
    write_text("m/tokenizer/merges.txt", "#version\na b\n");
    write_text(
        "m/unet/diffusion_pytorch_model.safetensors.index.json",
        "{\"weight_map\": {\"one\": \"s-1.safetensors\", \"two\": \"s-2.safetensors\", \"uno\": \"s-1.safetensors\"}}");
    write_tensors(scratch_path(&scratch, "m/unet/s-1.safetensors"), "one", "uno");
    write_tensors(scratch_path(&scratch, "m/unet/s-2.safetensors"), "two", NULL);
    write_tensors(scratch_path(&scratch, "m/vae/diffusion_pytorch_model.fp16.safetensors"), "v", NULL);
    write_tensors(scratch_path(&scratch, "m/safety_checker/model.safetensors"), "no", NULL);
    uint8_t *bin = file_load(golden_path("flat.pth"), &size);
    file_save(scratch_path(&scratch, "m/text_encoder/pytorch_model.bin"), bin, size);
    memory_free(bin);

    struct checkpoint *c = open_good(folder_path("m"));
    assert_int_equal(checkpoint_format(c), CHECKPOINT_FOLDER);
    assert_int_equal(checkpoint_count(c), 3 + 1 + 16);
    assert_values(c, "unet/one", 2, (int64_t[]){2, 3}, weights);
    assert_values(c, "unet/two", 2, (int64_t[]){2, 3}, weights);
    assert_values(c, "unet/uno", 2, (int64_t[]){2, 3}, weights);
    assert_values(c, "vae/v", 2, (int64_t[]){2, 3}, weights);
    assert_values(c, "text_encoder/number", 0, NULL, (float[]){7});
    assert_string_equal(checkpoint_metadata(c, "unet/config.json"), "{\"in_channels\": 4}");
    assert_string_equal(checkpoint_metadata(c, "tokenizer/merges.txt"), "#version\na b\n");
    assert_null(checkpoint_metadata(c, "vae/config.json"));
    assert_true(checkpoint_file_bytes(c) > size);
    checkpoint_close(c);
}

static void full_precision_is_preferred(void **state)
{
    (void)state;
    write_text("p/model_index.json", "{}");
    write_tensors(scratch_path(&scratch, "p/unet/diffusion_pytorch_model.fp16.safetensors"), "half", NULL);
    write_tensors(scratch_path(&scratch, "p/unet/diffusion_pytorch_model.safetensors"), "full", NULL);
    struct checkpoint *c = open_good(folder_path("p"));
    assert_int_equal(checkpoint_count(c), 1);
    assert_non_null(checkpoint_find(c, "unet/full"));
    checkpoint_close(c);
}

static void folders_that_lie(void **state)
{
    static const struct {
        const char *index, *words;
    } cases[] = {
        {"{\"weight_map\": {\"w\": \"../model.safetensors\"}}", "'../model.safetensors'"},
        {"{\"weight_map\": {\"w\": \"/etc/passwd\"}}", "'/etc/passwd'"},
        {"{\"weight_map\": {\"w\": \"..\"}}", "'..'"},
        {"{\"weight_map\": {\"w\": \"\"}}", "said to be in ''"},
        {"{\"weight_map\": {\"w\": 7}}", "(no text)"},
        {"{\"weight_map\": [1]}", "no weight_map"},
        {"{}", "no weight_map"},
        {"{\"weight_map\"", "no index of shards"},
        {"{\"weight_map\": {}}", "no weights"},
    };
    (void)state;
    write_text("l/readme", "");
    assert_refused(folder_path("l"), STATUS_FORMAT, "without model_index.json");
    write_text("l/model_index.json", "{}");
    assert_refused(folder_path("l"), STATUS_FORMAT, "has no weights");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text("l/unet/diffusion_pytorch_model.safetensors.index.json", cases[i].index);
        assert_refused(folder_path("l"), STATUS_FORMAT, cases[i].words);
    }
    write_text("l/unet/diffusion_pytorch_model.safetensors.index.json",
               "{\"weight_map\": {\"w\": \"gone.safetensors\"}}");
    assert_refused(folder_path("l"), STATUS_IO, "gone.safetensors: could not be opened");
}

static void names_what_a_file_is_instead(void **state)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "is empty"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"},
        {"GGUF\x03", "truncated"},
        {"<!DOCTYPE html>", "web page"},
        {"hello", "not a model file"},
        {"PK\x03\x04 and no more", "damaged zip"},
        {"\x80\x02}q\x00.", "not a model file"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text("what.ckpt", cases[i].text);
        assert_refused(folder_path("what.ckpt"), STATUS_FORMAT, cases[i].words);
    }
    assert_refused(folder_path("nothing.ckpt"), STATUS_IO, "No such file");
    assert_int_equal(mkfifo(folder_path("pipe"), 0666), 0);
    assert_refused(folder_path("pipe"), STATUS_IO, "is a pipe");
    assert_refused("/dev/null", STATUS_IO, "is a device");
}

static bool add_prefix(void *context, const char *old, char out[CHECKPOINT_NAME_BYTES])
{
    if (strcmp(old, "one") != 0) return false;
    snprintf(out, CHECKPOINT_NAME_BYTES, "%s", (const char *)context);
    return true;
}

static void renames(void **state)
{
    (void)state;
    struct error err = {0};
    const char *path = scratch_path(&scratch, "r.safetensors");
    write_tensors(path, "one", "two");
    struct checkpoint *c = open_good(path);
    assert_int_equal(checkpoint_rename(c, add_prefix, "zero", &err), STATUS_OK);
    assert_string_equal(checkpoint_at(c, 0)->name, "two");
    assert_values(c, "zero", 2, (int64_t[]){2, 3}, weights);
    assert_null(checkpoint_find(c, "one"));
    checkpoint_close(c);
    c = open_good(path);
    assert_int_equal(checkpoint_rename(c, add_prefix, "two", &err), STATUS_FORMAT);
    assert_non_null(strstr(err.text, "two tensors have the name 'two'"));
    checkpoint_close(c);
}

/* Pages of a file that were given back are read again; copies of tensors must not be lost. */
static void release_keeps_the_values(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    struct error err = {0};
    float *values = memory_alloc(COUNT * sizeof *values);
    for (int i = 0; i < COUNT; i++) values[i] = (float)i;
    const char *path = scratch_path(&scratch, "large.safetensors");
    const struct tensor tensor = {.name = "w", .dtype = DTYPE_F32, .rank = 1, .dim = {COUNT}, .data = values};
    assert_int_equal(safetensors_write(path, &(struct safetensors_file){.tensors = &tensor, .count = 1}, &err),
                     STATUS_OK);
    struct checkpoint *c = open_good(path);
    const struct tensor *w = checkpoint_find(c, "w");
    for (int pass = 0; pass < 2; pass++) {
        assert_memory_equal(w->data, values, COUNT * sizeof *values);
        checkpoint_release(c, w);
    }
    checkpoint_close(c);
    const struct entry entries[] = {
        ENTRY("a/data.pkl", ONE("w", TENSOR("0", "J\xa0\x86\x01\x00", "K\x00J\xa0\x86\x01\x00\x85K\x01\x85"))),
        {"a/data/0", values, COUNT * sizeof *values},
    };
    c = open_good(write_zip("large.ckpt", entries, 2, ZIP_CM_DEFLATE));
    w = checkpoint_find(c, "w");
    checkpoint_release(c, w);
    assert_memory_equal(w->data, values, COUNT * sizeof *values);
    checkpoint_close(c);
    memory_free(values);
}

static void survives_lack_of_memory(void **state)
{
    static const char *const names[] = {"training.ckpt", "training-old.ckpt", "packed.pth", NULL};
    (void)state;
    for (size_t i = 0; i < 4; i++)
        for (uint64_t n = 1;; n++) {
            struct error err = {0};
            struct checkpoint *c;
            memory_fail_after(n);
            const enum status status = checkpoint_open(&c, names[i] ? golden_path(names[i]) : folder_path("m"), &err);
            memory_fail_after(0);
            checkpoint_close(c);
            if (status == STATUS_OK) break;
            if (status != STATUS_NO_MEMORY) fail_msg("allocation %d: %s", (int)n, err.text);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_torch_saves),
        cmocka_unit_test(tensors_are_mapped),
        cmocka_unit_test(refuses_what_is_no_state_dict),
        cmocka_unit_test(sees_behind_single_tensors),
        cmocka_unit_test(refuses_every_cut),
        cmocka_unit_test(survives_every_change),
        cmocka_unit_test(zip_files_that_lie),
        cmocka_unit_test(refuses_zip_bombs),
        cmocka_unit_test(refuses_entries_beyond_the_file),
        cmocka_unit_test(old_files_that_lie),
        cmocka_unit_test(reads_a_diffusers_folder),
        cmocka_unit_test(full_precision_is_preferred),
        cmocka_unit_test(folders_that_lie),
        cmocka_unit_test(names_what_a_file_is_instead),
        cmocka_unit_test(renames),
        cmocka_unit_test(release_keeps_the_values),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, open_scratch, close_scratch);
}
