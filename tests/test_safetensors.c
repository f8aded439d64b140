/* SPDX-License-Identifier: MIT
 *
 * Safetensors files made by hand: what is read, and one sentence for each way in which a file can lie.
 */
#include "core/base/memory.h"
#include "core/io/checkpoint_build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A file of this header and as many bytes of data: 0, 1, 2, ... Freed by memory_free. */
static uint8_t *make_file(const char *header, size_t data_bytes, size_t *size)
{
    const size_t length = strlen(header);
    *size = 8 + length + data_bytes;
    uint8_t *bytes = memory_alloc(*size);
    assert_non_null(bytes);
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(length >> 8 * i);
    memcpy(bytes + 8, header, length);
    for (size_t i = 0; i < data_bytes; i++) bytes[8 + length + i] = (uint8_t)i;
    return bytes;
}

static void reads_tensors_and_metadata(void **state)
{
    (void)state;
    size_t size;
    struct error err = {0};
    struct checkpoint *c;
    uint8_t *bytes = make_file("{\"__metadata__\":{\"format\":\"pt\",\"note\":\"\\uac00\"},"
                               "\"b\":{\"dtype\":\"I16\",\"shape\":[2,1],\"data_offsets\":[8,12]},"
                               "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                               "\"one\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[12,13]},"
                               "\"none\":{\"dtype\":\"F64\",\"shape\":[3,0],\"data_offsets\":[13,13]}}   ",
                               13, &size);
    assert_int_equal(checkpoint_open_memory(&c, bytes, size, "memory", &err), STATUS_OK);
    assert_int_equal(checkpoint_count(c), 4);
    assert_int_equal(checkpoint_format(c), CHECKPOINT_SAFETENSORS);
    assert_string_equal(checkpoint_at(c, 0)->name, "a");
    assert_string_equal(checkpoint_at(c, 1)->name, "b");
    assert_string_equal(checkpoint_at(c, 3)->name, "one");
    assert_null(checkpoint_at(c, 4));
    assert_null(checkpoint_at(c, -1));
    const struct tensor *b = checkpoint_find(c, "b");
    assert_non_null(b);
    assert_int_equal(b->dtype, DTYPE_I16);
    assert_int_equal(b->rank, 2);
    assert_int_equal(b->dim[0], 2);
    assert_int_equal(b->dim[1], 1);
    assert_int_equal(b->count, 2);
    assert_memory_equal(b->data, "\x08\x09\x0a\x0b", 4);
    assert_int_equal(checkpoint_find(c, "one")->rank, 0);
    assert_int_equal(checkpoint_find(c, "one")->count, 1);
    assert_int_equal(checkpoint_find(c, "none")->count, 0);
    assert_null(checkpoint_find(c, "c"));
    assert_string_equal(checkpoint_metadata(c, "format"), "pt");
    assert_string_equal(checkpoint_metadata(c, "note"), "가");
    assert_null(checkpoint_metadata(c, "other"));
    checkpoint_close(c);
    memory_free(bytes);
}

static void reads_a_file_without_tensors(void **state)
{
    (void)state;
    size_t size;
    struct error err = {0};
    struct checkpoint *c;
    uint8_t *bytes = make_file("{}", 0, &size);
    assert_int_equal(checkpoint_open_memory(&c, bytes, size, "memory", &err), STATUS_OK);
    assert_int_equal(checkpoint_count(c), 0);
    assert_null(checkpoint_find(c, "a"));
    checkpoint_close(c);
    memory_free(bytes);
}

#define TENSOR(dtype, shape, offsets) "{\"a\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static const struct {
    const char *header;
    size_t data;
    enum status status;
    const char *words;
} lies[] = {
    {"{\"a\":", 4, STATUS_FORMAT, "not valid JSON"},
    {"{\"a\":\xff}", 4, STATUS_FORMAT, "not valid JSON"},
    {"{\"a\\u0000b\":1}", 4, STATUS_FORMAT, "not valid JSON"},
    {"{} x", 0, STATUS_FORMAT, "not valid JSON"},
    {"{\"a\":1,\"a\":1}", 4, STATUS_FORMAT, "duplicate"},
    {"{\"a\":1}", 4, STATUS_FORMAT, "'a' is not described by an object"},
    {"{\"a\":{}}", 4, STATUS_FORMAT, "'a' has no dtype"},
    {TENSOR("7", "[1]", "[0,4]"), 4, STATUS_FORMAT, "'a' has no dtype"},
    {TENSOR("\"F8_E4M3\"", "[4]", "[0,4]"), 4, STATUS_UNSUPPORTED, "dtype 'F8_E4M3'"},
    {TENSOR("\"\\u001b[2J\"", "[4]", "[0,4]"), 4, STATUS_UNSUPPORTED, "dtype '?[2J'"},
    {TENSOR("\"F32\"", "1", "[0,4]"), 4, STATUS_FORMAT, "'a' has no shape"},
    {TENSOR("\"F32\"", "[-1]", "[0,4]"), 4, STATUS_FORMAT, "dimension 0"},
    {TENSOR("\"F32\"", "[1,1.5]", "[0,4]"), 4, STATUS_FORMAT, "dimension 1"},
    {TENSOR("\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, STATUS_UNSUPPORTED, "9 dimensions; at most 8"},
    {TENSOR("\"F32\"", "[4611686018427387904,4]", "[0,0]"), 4, STATUS_FORMAT, "more elements than memory"},
    {TENSOR("\"F32\"", "[4611686018427387904]", "[0,0]"), 4, STATUS_FORMAT, "more elements than memory"},
    {TENSOR("\"F32\"", "[99999999999999999999]", "[0,0]"), 4, STATUS_FORMAT, "not valid JSON"},
    {TENSOR("\"F32\"", "[1]", "4"), 4, STATUS_FORMAT, "begin and end"},
    {TENSOR("\"F32\"", "[1]", "[0]"), 4, STATUS_FORMAT, "begin and end"},
    {TENSOR("\"F32\"", "[1]", "[0,4,8]"), 4, STATUS_FORMAT, "begin and end"},
    {TENSOR("\"F32\"", "[1]", "[4,0]"), 4, STATUS_FORMAT, "begin and end"},
    {TENSOR("\"F32\"", "[1]", "[-4,0]"), 4, STATUS_FORMAT, "begin and end"},
    {TENSOR("\"F32\"", "[1]", "[0,4.0]"), 4, STATUS_FORMAT, "begin and end"},
    {TENSOR("\"F32\"", "[2]", "[0,8]"), 4, STATUS_FORMAT, "ends at byte 8 of 4; the file is truncated"},
    {TENSOR("\"F32\"", "[1]", "[9223372036854775800,9223372036854775804]"), 4, STATUS_FORMAT, "truncated"},
    {TENSOR("\"F32\"", "[1]", "[0,3]"), 4, STATUS_FORMAT, "takes 3 bytes, but its shape and dtype need 4"},
    {TENSOR("\"F32\"", "[1]", "[0,4]"), 9, STATUS_FORMAT, "end at byte 4, but the file goes on to 9"},
    {TENSOR("\"F32\"", "[1]", "[4,8]"), 8, STATUS_FORMAT, "bytes 0 to 4, before tensor 'a', belong to no tensor"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[3,7]}}",
     7, STATUS_FORMAT, "'b' begins at byte 3, inside another that ends at 4"},
    {"{\"__metadata__\":1}", 0, STATUS_FORMAT, "not an object of strings"},
    {"{\"__metadata__\":{\"k\":1}}", 0, STATUS_FORMAT, "entry 'k' is not a string"},
};

static void assert_refused(const uint8_t *bytes, size_t size, enum status status, const char *words)
{
    struct error err = {0};
    struct checkpoint *c;
    if (checkpoint_open_memory(&c, bytes, size, "bad", &err) == STATUS_OK) fail_msg("read, but expected: %s", words);
    if (err.status != status || !strstr(err.text, words))
        fail_msg("%s '%s' instead of '%s'", status_name(err.status), err.text, words);
    assert_memory_equal(err.text, "bad: ", 5);
    assert_null(c);
}

static void refuses_lies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        size_t size;
        uint8_t *bytes = make_file(lies[i].header, lies[i].data, &size);
        assert_refused(bytes, size, lies[i].status, lies[i].words);
        memory_free(bytes);
    }
}

static void refuses_wrong_lengths(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = make_file("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, &size);
    for (size_t cut = 9; cut < size - 1; cut++) assert_refused(bytes, cut, STATUS_FORMAT, "the file is truncated");
    assert_refused(bytes, size - 1, STATUS_FORMAT, "ends at byte 1 of 0");
    bytes[3] = 0x20;
    assert_refused(bytes, size, STATUS_FORMAT, "at most 100000000");
    for (size_t cut = 1; cut < 9; cut++) assert_refused(bytes, cut, STATUS_FORMAT, "not a model file");
    memory_free(bytes);
}

/* Nested far deeper than any stack: refused, not followed. */
static void refuses_deep_nesting(void **state)
{
    (void)state;
    enum { DEPTH = 200000 };
    char *header = memory_alloc(DEPTH + 6);
    memcpy(header, "{\"a\":", 5);
    memset(header + 5, '[', DEPTH);
    size_t size;
    uint8_t *bytes = make_file(header, 0, &size);
    assert_refused(bytes, size, STATUS_FORMAT, "not valid JSON");
    memory_free(bytes);
    memory_free(header);
}

static void survives_lack_of_memory(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = make_file("{\"__metadata__\":{\"format\":\"pt\"},"
                               "\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
                               "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
                               8, &size);
    for (uint64_t n = 1;; n++) {
        struct error err = {0};
        struct checkpoint *c;
        memory_fail_after(n);
        const enum status status = checkpoint_open_memory(&c, bytes, size, "memory", &err);
        memory_fail_after(0);
        checkpoint_close(c);
        if (status == STATUS_OK) break;
        assert_int_equal(status, STATUS_NO_MEMORY);
    }
    memory_free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_tensors_and_metadata),
        cmocka_unit_test(reads_a_file_without_tensors),
        cmocka_unit_test(refuses_lies),
        cmocka_unit_test(refuses_wrong_lengths),
        cmocka_unit_test(refuses_deep_nesting),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
