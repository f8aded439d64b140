/* SPDX-License-Identifier: MIT
 *
 * GGUF files: one that ggml's own package wrote, and what is refused of the rest. Files are put together here byte by
 * byte, so that each can be wrong in one place.
 */
#include "core/base/memory.h"
#include "core/io/checkpoint_build.h"
#include "tests/support/gguf.h"
#include "tests/support/golden.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* ---- what ggml's package wrote ---- */

static void test_reads_a_file(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum dtype dtype;
        int rank;
        int64_t dim[4];
    } want[] = {{"BF16", DTYPE_BF16, 2, {3, 64}},     {"F32", DTYPE_F32, 2, {3, 64}},
                {"Q4_0", DTYPE_Q4_0, 2, {3, 64}},     {"Q8_0", DTYPE_Q8_0, 2, {3, 64}},
                {"conv", DTYPE_F16, 4, {2, 4, 3, 3}}, {"vector", DTYPE_F32, 1, {5}}};
    struct error err = {0};
    struct checkpoint *c = NULL, *golden = golden_open("quantised/quantised.safetensors");
    if (checkpoint_open(&c, GOLDEN "/files/small.gguf", &err) != STATUS_OK) fail_msg("%s", err.text);
    assert_int_equal(checkpoint_format(c), CHECKPOINT_GGUF);
    assert_int_equal(checkpoint_count(c), 6);
    for (int i = 0; i < 6; i++) {
        const struct tensor *t = checkpoint_at(c, i);
        float got[256], *values = golden_values(golden, "small.%s", want[i].name);
        assert_string_equal(t->name, want[i].name);
        assert_int_equal(t->dtype, want[i].dtype);
        assert_int_equal(t->rank, want[i].rank);
        assert_memory_equal(t->dim, want[i].dim, (size_t)t->rank * sizeof *t->dim);
        dtype_to_f32(got, t->data, t->dtype, 0, (size_t)t->count);
        assert_memory_equal(got, values, (size_t)t->count * sizeof *got);
        checkpoint_release(c, t);
        memory_free(values);
    }
    assert_string_equal(checkpoint_metadata(c, "general.architecture"), "sd1");
    assert_string_equal(checkpoint_metadata(c, "general.name"), "small");
    assert_null(checkpoint_metadata(c, "test.number"));
    checkpoint_close(c);
    checkpoint_close(golden);
}

/* Every cut of the file is refused, and so is or can be read every file with one byte changed. */
static void test_cut_and_changed(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = file_load(GOLDEN "/files/small.gguf", &size);
    for (size_t cut = 0; cut < size - 31; cut++) { /* the last tensor is padded */
        struct error err = {0};
        struct checkpoint *c;
        uint8_t *part = memory_alloc_raw(cut + 1);
        assert_non_null(part);
        memcpy(part, bytes, cut);
        if (checkpoint_open_memory(&c, part, cut, "cut", &err) == STATUS_OK) fail_msg("%zu bytes were read", cut);
        assert_ptr_equal(strstr(err.text, "cut: "), err.text);
        memory_free(part);
    }
    for (size_t at = 4; at < size; at++)
        for (int bit = 0; bit < 8; bit += 3) {
            struct error err = {0};
            struct checkpoint *c;
            bytes[at] ^= (uint8_t)(1 << bit);
            if (checkpoint_open_memory(&c, bytes, size, "changed", &err) == STATUS_OK) checkpoint_close(c);
            bytes[at] ^= (uint8_t)(1 << bit);
        }
    memory_free(bytes);
}

/* ---- made by hand ---- */

/* dim ends with a 0. */
static void describe(struct bytes *b, const char *name, const uint64_t *dim, uint32_t type, uint64_t offset)
{
    uint32_t rank = 0;
    while (dim[rank]) rank++;
    gguf_describe(b, name, rank, dim, type, offset);
}

static void put_data(struct bytes *b, size_t alignment, size_t size)
{
    gguf_pad(b, alignment);
    for (size_t i = 0; i < size; i++) gguf_put(b, "\x3c", 1);
}

#define DIM(...) ((const uint64_t[]){__VA_ARGS__, 0})

static void two_tensors(struct bytes *b)
{
    gguf_begin(b, 2, 2, 1);
    gguf_put_text(b, "general.alignment");
    gguf_put_u32(b, GGUF_KIND_U32);
    gguf_put_u32(b, 8);
    describe(b, "a", DIM(3), GGUF_F32, 0);
    describe(b, "b", DIM(32, 2), GGUF_Q8_0, 16);
    put_data(b, 8, 16 + 68);
}

static void no_tensors(struct bytes *b)
{
    gguf_begin(b, 3, 0, 0);
}

static const struct {
    void (*make)(struct bytes *b);
    int tensors;
} good[] = {{two_tensors, 2}, {no_tensors, 0}};

static void test_reads_what_is_right(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct bytes b = {0};
        struct error err = {0};
        struct checkpoint *c;
        good[i].make(&b);
        if (checkpoint_open_memory(&c, b.data, b.size, "good", &err) != STATUS_OK) fail_msg("%s", err.text);
        assert_int_equal(checkpoint_count(c), good[i].tensors);
        checkpoint_close(c);
        bytes_clear(&b);
    }
}

static void version_1(struct bytes *b)
{
    gguf_begin(b, 1, 0, 0);
}

static void big_endian(struct bytes *b)
{
    gguf_begin(b, 3u << 24, 0, 0);
}

static void many_tensors(struct bytes *b)
{
    gguf_begin(b, 3, UINT64_MAX, 0);
}

static void many_pairs(struct bytes *b)
{
    gguf_begin(b, 3, 0, UINT64_MAX);
    gguf_put_text(b, "a");
    gguf_put_u32(b, GGUF_KIND_U32);
    gguf_put_u32(b, 1);
}

static void long_key(struct bytes *b)
{
    gguf_begin(b, 3, 0, 1);
    gguf_put_u64(b, UINT64_MAX);
}

static void unknown_kind(struct bytes *b)
{
    gguf_begin(b, 3, 0, 1);
    gguf_put_text(b, "key");
    gguf_put_u32(b, 13);
}

static void lists_of_lists(struct bytes *b)
{
    gguf_begin(b, 3, 0, 1);
    gguf_put_text(b, "key");
    gguf_put_u32(b, GGUF_KIND_MANY);
    gguf_put_u32(b, GGUF_KIND_MANY);
    gguf_put_u64(b, 1);
}

static void long_list(struct bytes *b)
{
    gguf_begin(b, 3, 0, 1);
    gguf_put_text(b, "key");
    gguf_put_u32(b, GGUF_KIND_MANY);
    gguf_put_u32(b, GGUF_KIND_U32);
    gguf_put_u64(b, UINT64_MAX / 4 + 2); /* times 4 it would be 4 */
    gguf_put_u32(b, 1);
}

static void alignment_of(struct bytes *b, uint32_t alignment)
{
    gguf_begin(b, 3, 0, 1);
    gguf_put_text(b, "general.alignment");
    gguf_put_u32(b, GGUF_KIND_U32);
    gguf_put_u32(b, alignment);
}

static void alignment_0(struct bytes *b)
{
    alignment_of(b, 0);
}

static void alignment_24(struct bytes *b)
{
    alignment_of(b, 24);
}

static void one(struct bytes *b, const char *name, const uint64_t *dim, uint32_t type, uint64_t offset, size_t data)
{
    gguf_begin(b, 3, 1, 0);
    describe(b, name, dim, type, offset);
    put_data(b, 32, data);
}

static void type_q6_k(struct bytes *b)
{
    one(b, "a", DIM(256), GGUF_Q6_K, 0, 210);
}

static void type_99(struct bytes *b)
{
    one(b, "a\x1b[2J", DIM(4), 99, 0, 16);
}

static void nine_dimensions(struct bytes *b)
{
    one(b, "a", DIM(1, 1, 1, 1, 1, 1, 1, 1, 1), GGUF_F32, 0, 4);
}

static void huge_dimension(struct bytes *b)
{
    one(b, "a", DIM(UINT64_MAX), GGUF_F32, 0, 4);
}

static void huge_product(struct bytes *b)
{
    one(b, "a", DIM(UINT64_C(1) << 40, UINT64_C(1) << 40), GGUF_F32, 0, 4);
}

static void half_a_block(struct bytes *b)
{
    one(b, "a", DIM(16, 2), GGUF_Q4_0, 0, 18);
}

static void nul_in_name(struct bytes *b)
{
    gguf_begin(b, 3, 1, 0);
    gguf_put_u64(b, 3);
    gguf_put(b, "a\0b", 3);
}

static void name_no_utf8(struct bytes *b)
{
    one(b, "\xff", DIM(1), GGUF_F32, 0, 4);
}

static void offset_off(struct bytes *b)
{
    one(b, "a", DIM(1), GGUF_F32, 32, 64);
}

static void offset_overlaps(struct bytes *b)
{
    gguf_begin(b, 3, 2, 0);
    describe(b, "a", DIM(1), GGUF_F32, 0);
    describe(b, "b", DIM(1), GGUF_F32, 0);
    put_data(b, 32, 64);
}

static void data_missing(struct bytes *b)
{
    one(b, "a", DIM(100), GGUF_F32, 0, 399);
}

static void data_far_too_long(struct bytes *b)
{
    one(b, "a", DIM(UINT64_C(1) << 60), GGUF_F32, 0, 4);
}

static void same_name(struct bytes *b)
{
    gguf_begin(b, 3, 2, 0);
    describe(b, "a", DIM(1), GGUF_F32, 0);
    describe(b, "a", DIM(1), GGUF_F32, 32);
    put_data(b, 32, 64);
}

static const struct {
    void (*make)(struct bytes *b);
    enum status status;
    const char *words;
} lies[] = {
    {version_1, STATUS_UNSUPPORTED, "GGUF of version 1; 2 and 3, little-endian, can be read"},
    {big_endian, STATUS_UNSUPPORTED, "GGUF of version 50331648"},
    {many_tensors, STATUS_FORMAT, "8 bytes are needed at byte 24 of 24; the file is truncated or damaged"},
    {many_pairs, STATUS_FORMAT, "truncated"},
    {long_key, STATUS_FORMAT, "18446744073709551615 bytes are needed at byte 32 of 32"},
    {unknown_kind, STATUS_UNSUPPORTED, "the value of 'key' is of kind 13"},
    {lists_of_lists, STATUS_UNSUPPORTED, "the value of 'key' is of kind 9"},
    {long_list, STATUS_FORMAT, "18446744073709551615 bytes are needed"},
    {alignment_0, STATUS_FORMAT, "general.alignment is 0; a power of two"},
    {alignment_24, STATUS_FORMAT, "general.alignment is 24"},
    {type_q6_k, STATUS_UNSUPPORTED, "tensor 'a' is of ggml's type 14 (Q6_K); F32, F16, BF16, Q8_0, Q4_0, F64"},
    {type_99, STATUS_UNSUPPORTED, "tensor 'a?[2J' is of ggml's type 99 (unknown)"},
    {nine_dimensions, STATUS_UNSUPPORTED, "tensor 'a' has 9 dimensions; at most 8 are allowed"},
    {huge_dimension, STATUS_FORMAT, "tensor 'a' has a dimension of 18446744073709551615 elements"},
    {huge_product, STATUS_FORMAT, "more elements than memory can hold"},
    {half_a_block, STATUS_FORMAT, "tensor 'a' is Q4_0 and has rows of 16 elements; multiples of 32 are allowed"},
    {nul_in_name, STATUS_FORMAT, "a tensor's name 'a?b' has 3 bytes"},
    {name_no_utf8, STATUS_FORMAT, "at most 255 of UTF-8"},
    {offset_off, STATUS_FORMAT, "tensor 'a' begins at byte 32 of the data; after the one before it must be 0"},
    {offset_overlaps, STATUS_FORMAT, "tensor 'b' begins at byte 0 of the data; after the one before it must be 32"},
    {data_missing, STATUS_FORMAT, "truncated or damaged"},
    {data_far_too_long, STATUS_FORMAT, "tensor 'a' needs 4611686018427387904 bytes at byte 0 of the data"},
    {same_name, STATUS_FORMAT, "two tensors have the name 'a'"},
};

static void test_refuses_lies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct bytes b = {0};
        struct error err = {0};
        struct checkpoint *c;
        lies[i].make(&b);
        if (checkpoint_open_memory(&c, b.data, b.size, "bad", &err) == STATUS_OK)
            fail_msg("read, but expected: %s", lies[i].words);
        if (err.status != lies[i].status || !strstr(err.text, lies[i].words))
            fail_msg("%s '%s' instead of '%s'", status_name(err.status), err.text, lies[i].words);
        bytes_clear(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_a_file),
        cmocka_unit_test(test_cut_and_changed),
        cmocka_unit_test(test_reads_what_is_right),
        cmocka_unit_test(test_refuses_lies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
