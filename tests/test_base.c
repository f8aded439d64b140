/* SPDX-License-Identifier: MIT
 *
 * Status and sentences, memory and arenas, element types, the thread pool.
 */
#include "core/base/dtype.h"
#include "core/base/memory.h"
#include "core/base/pool.h"
#include "core/base/status.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#undef fail /* cmocka's; the one tested here is limn's */

/* ---- status ---- */

static void test_first_error_wins(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(fail(&err, STATUS_FORMAT, "tensor '%s' ends at %d", "x", 7), STATUS_FORMAT);
    assert_string_equal(err.text, "tensor 'x' ends at 7");
    assert_int_equal(fail(&err, STATUS_IO, "later"), STATUS_FORMAT);
    assert_string_equal(err.text, "tensor 'x' ends at 7");
    error_clear(&err);
    assert_int_equal(err.status, STATUS_OK);
    assert_int_equal(fail_no_memory(&err, "a test", 12), STATUS_NO_MEMORY);
    assert_string_equal(err.text, "no memory for a test (12 bytes)");
    assert_string_equal(status_name(STATUS_NO_MEMORY), "NO_MEMORY");
}

static void test_long_sentences_are_cut(void **state)
{
    (void)state;
    char text[2 * ERROR_TEXT_BYTES];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    struct error err = {0};
    assert_int_equal(fail(&err, STATUS_ARGUMENT, "%s", text), STATUS_ARGUMENT);
    assert_int_equal(strlen(err.text), ERROR_TEXT_BYTES - 1);

    /* Between characters: room for 1023 bytes holds "x" and 340 of three bytes. */
    for (size_t i = 0; i < sizeof text - 1; i++) text[i] = i == 0 ? 'x' : "\xec\x82\xac"[(i - 1) % 3];
    error_clear(&err);
    assert_int_equal(fail(&err, STATUS_ARGUMENT, "%s", text), STATUS_ARGUMENT);
    assert_int_equal(strlen(err.text), 1 + 340 * 3);
}

/* ---- memory ---- */

static int is_aligned(const void *p, size_t to)
{
    return (uintptr_t)p % to == 0;
}

static void test_blocks(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes < 300; bytes += 13) {
        unsigned char *block = memory_alloc(bytes);
        assert_non_null(block);
        assert_true(is_aligned(block, MEMORY_ALIGNMENT));
        for (size_t i = 0; i < bytes; i++) assert_int_equal(block[i], 0);
        memset(block, 7, bytes);
        block = memory_resize(block, bytes + 1000);
        assert_non_null(block);
        assert_true(is_aligned(block, MEMORY_ALIGNMENT));
        for (size_t i = 0; i < bytes; i++) assert_int_equal(block[i], 7);
        memory_free(block);
    }
    memory_free(NULL);
    assert_null(memory_alloc(SIZE_MAX));
    assert_null(memory_alloc_raw(SIZE_MAX - 3));
    char *copy = memory_strdup("limn");
    assert_string_equal(copy, "limn");
    assert_null(memory_resize(copy, SIZE_MAX - 5));
    assert_string_equal(copy, "limn");
    memory_free(copy);
}

static void test_arena(void **state)
{
    (void)state;
    struct arena arena = {0};
    arena_clear(&arena);
    unsigned char *pieces[500];
    for (size_t i = 0; i < 500; i++) {
        const size_t bytes = i * 7 % 1000 + (i == 250 ? 300000 : 0);
        pieces[i] = arena_alloc(&arena, bytes);
        assert_non_null(pieces[i]);
        assert_true(is_aligned(pieces[i], bytes >= 64 ? 64 : 16));
        for (size_t k = 0; k < bytes; k++) assert_int_equal(pieces[i][k], 0);
        memset(pieces[i], (int)(i % 251) + 1, bytes);
    }
    for (size_t i = 0; i < 500; i++)
        for (size_t k = 0; k < i * 7 % 1000; k++) assert_int_equal(pieces[i][k], i % 251 + 1);
    assert_string_equal(arena_printf(&arena, "%d-%s", 5, "a"), "5-a");
    assert_string_equal(arena_strdup(&arena, "word"), "word");
    assert_string_equal(arena_strndup(&arena, "word", 2), "wo");
    assert_null(arena_alloc(&arena, SIZE_MAX - 100));
    assert_true(arena.used > 300000);
    arena_clear(&arena);
    assert_null(arena.newest);
}

static void test_failing_allocations(void **state)
{
    (void)state;
    memory_fail_after(3);
    void *first = memory_alloc(1), *second = memory_alloc_raw(1);
    assert_non_null(first);
    assert_non_null(second);
    assert_null(memory_alloc(1));
    assert_null(memory_resize(first, 100));
    struct arena arena = {0};
    assert_null(arena_alloc(&arena, 10));
    assert_int_equal(memory_fail_after(0), 5);
    assert_non_null(arena_alloc(&arena, 10));
    assert_int_equal(memory_fail_after(0), 1);
    arena_clear(&arena);
    memory_free(first);
    memory_free(second);
}

/* ---- element types ---- */

/* The value of a half by its definition, in double. */
static double half_value(unsigned half)
{
    const int exponent = half >> 10 & 31;
    const double mantissa = half & 1023;
    const double sign = half & 0x8000 ? -1 : 1;
    if (exponent == 0) return sign * ldexp(mantissa, -24);
    return sign * ldexp(1024 + mantissa, exponent - 25);
}

static void test_every_half(void **state)
{
    (void)state;
    for (unsigned half = 0; half < 0x10000; half++) {
        const float value = f16_to_f32((uint16_t)half);
        if ((half & 0x7fff) > 0x7c00) {
            assert_true(isnan(value));
            assert_true((f32_to_f16(value) & 0x7fff) > 0x7c00);
            continue;
        }
        if ((half & 0x7fff) == 0x7c00) {
            assert_true(isinf(value) && (value < 0) == (half > 0x8000));
        } else {
            assert_true((double)value == half_value(half));
        }
        assert_int_equal(f32_to_f16(value), half);
    }
    assert_true(signbit(f16_to_f32(0x8000)));
}

/* Between two neighbours a float goes to the nearer, from the middle to the even one. */
static void test_rounding_to_half(void **state)
{
    (void)state;
    for (unsigned half = 0; half < 0x7bff; half++) {
        const float low = (float)half_value(half), high = (float)half_value(half + 1);
        const float middle = (float)((half_value(half) + half_value(half + 1)) / 2);
        const unsigned even = half & 1 ? half + 1 : half;
        assert_int_equal(f32_to_f16(middle), even);
        assert_int_equal(f32_to_f16(-middle), even | 0x8000);
        assert_int_equal(f32_to_f16(nextafterf(middle, low)), half);
        assert_int_equal(f32_to_f16(nextafterf(middle, high)), half + 1);
    }
    assert_int_equal(f32_to_f16(65519.99f), 0x7bff);
    assert_int_equal(f32_to_f16(65520.0f), 0x7c00);
    assert_int_equal(f32_to_f16(3e38f), 0x7c00);
    assert_int_equal(f32_to_f16(-INFINITY), 0xfc00);
    assert_int_equal(f32_to_f16(1e-30f), 0);
}

static void test_bf16(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 0x10000; bits++) {
        const float value = bf16_to_f32((uint16_t)bits);
        if (isnan(value)) {
            assert_true(isnan(bf16_to_f32(f32_to_bf16(value))));
        } else {
            assert_int_equal(f32_to_bf16(value), bits);
        }
    }
    assert_int_equal(f32_to_bf16(1.00390625f), 0x3f80); /* middle of 0x3f80 and 0x3f81: to even */
    assert_int_equal(f32_to_bf16(1.01171875f), 0x3f82); /* middle of 0x3f81 and 0x3f82: to even */
    assert_int_equal(f32_to_bf16(1.00390637f), 0x3f81); /* just above the first middle */
    assert_int_equal(f32_to_bf16(3.4e38f), 0x7f80);
    const uint32_t low_nan = 0x7f800001; /* a NaN whose upper half is infinity's */
    float nan;
    memcpy(&nan, &low_nan, sizeof nan);
    assert_true(isnan(bf16_to_f32(f32_to_bf16(nan))));
}

/* Converts one element of each type from an odd address. */
static float convert_one(enum dtype dtype, const void *value)
{
    unsigned char bytes[16];
    float out[1];
    memcpy(bytes + 1, value, dtype_bytes(dtype, 1));
    dtype_to_f32(out, bytes + 1, dtype, 0, 1);
    return out[0];
}

static void test_converting_arrays(void **state)
{
    (void)state;
    assert_true(convert_one(DTYPE_F32, &(float){-1.5f}) == -1.5f);
    assert_true(convert_one(DTYPE_F64, &(double){1e-3}) == 1e-3f);
    assert_true(convert_one(DTYPE_I64, &(int64_t){-5000000000}) == -5e9f);
    assert_true(convert_one(DTYPE_I32, &(int32_t){-70000}) == -70000);
    assert_true(convert_one(DTYPE_I16, &(int16_t){-300}) == -300);
    assert_true(convert_one(DTYPE_I8, &(int8_t){-3}) == -3);
    assert_true(convert_one(DTYPE_U8, &(uint8_t){200}) == 200);
    assert_true(convert_one(DTYPE_BOOL, &(uint8_t){1}) == 1);
    assert_true(convert_one(DTYPE_F16, &(uint16_t){0x3c00}) == 1);
    assert_true(convert_one(DTYPE_BF16, &(uint16_t){0xbf80}) == -1);
    const float values[] = {1, -2, 0.5f};
    uint16_t halves[3];
    float copy[3];
    dtype_from_f32(halves, DTYPE_F16, values, 3);
    assert_int_equal(halves[1], 0xc000);
    dtype_from_f32(halves, DTYPE_BF16, values, 3);
    assert_int_equal(halves[2], 0x3f00);
    dtype_from_f32(copy, DTYPE_F32, values, 3);
    assert_memory_equal(copy, values, sizeof copy);
    assert_string_equal(dtype_name(DTYPE_BF16), "BF16");
    assert_int_equal(dtype_bytes(DTYPE_I64, 1), 8);
}

/* ---- the pool ---- */

enum { TASKS = 1000 };

struct job {
    atomic_int done[TASKS];
    atomic_int total;
    int tasks; /* of the run */
    atomic_int bad_worker;
    int threads;
};

static void count_task(void *context, int64_t task, int worker)
{
    struct job *job = context;
    atomic_fetch_add(&job->done[task], 1);
    /* The last task is long, so that a run which does not wait for its workers returns before it. */
    volatile int spin = task == job->tasks - 1 ? 50000 : 1000;
    while (spin > 0) spin = spin - 1;
    atomic_fetch_add(&job->total, 1);
    if (worker < 0 || worker >= job->threads) atomic_store(&job->bad_worker, 1);
}

static void test_each_task_runs_once(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 7; threads += 2) {
        struct error err = {0};
        struct pool *pool = NULL;
        assert_int_equal(pool_create(&pool, threads, &err), STATUS_OK);
        assert_int_equal(pool_threads(pool), threads);
        static struct job job;
        memset(&job, 0, sizeof job);
        job.threads = threads;
        for (int run = 0, expected = 0; run < 200; run++) {
            job.tasks = run % 2 ? TASKS : run % 5;
            pool_run(pool, count_task, &job, job.tasks);
            expected += job.tasks;
            assert_int_equal(job.total, expected);
        }
        pool_run(pool, count_task, &job, 0);
        for (int i = 5; i < TASKS; i++) assert_int_equal(job.done[i], 100);
        assert_int_equal(job.done[0], 180);
        assert_int_equal(job.bad_worker, 0);
        pool_destroy(pool);
    }
    pool_destroy(NULL);
}

static void test_pool_refuses(void **state)
{
    (void)state;
    static const int bad[] = {-1, POOL_MAX_THREADS + 1};
    for (int i = 0; i < 2; i++) {
        struct error err = {0};
        struct pool *pool = NULL;
        assert_int_equal(pool_create(&pool, bad[i], &err), STATUS_ARGUMENT);
        assert_non_null(strstr(err.text, "is not allowed; give 1 to 256, or 0 for all processors"));
        assert_null(pool);
    }
    struct error err = {0};
    struct pool *pool = NULL;
    assert_int_equal(pool_create(&pool, 0, &err), STATUS_OK);
    assert_true(pool_threads(pool) >= 1);
    pool_destroy(pool);
    for (uint64_t n = 1; n <= 2; n++) {
        memory_fail_after(n);
        assert_int_equal(pool_create(&pool, 2, &err), STATUS_NO_MEMORY);
        memory_fail_after(0);
        assert_null(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_error_wins),
        cmocka_unit_test(test_long_sentences_are_cut),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_every_half),
        cmocka_unit_test(test_rounding_to_half),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_converting_arrays),
        cmocka_unit_test(test_each_task_runs_once),
        cmocka_unit_test(test_pool_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
