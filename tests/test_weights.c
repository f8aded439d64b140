/* SPDX-License-Identifier: MIT
 *
 * Models whose weights are converted as they are loaded: how far the picture moves, what memory it saves, what the
 * picture's metadata say; and models in GGUF files.
 */
#include "core/base/memory.h"
#include "core/io/checkpoint.h"
#include "include/limn.h"
#include "tests/support/gguf.h"
#include "tests/support/scratch.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct limn_picture paint(const struct limn_model_options *options, const struct limn_request *request)
{
    struct limn_error error = {0};
    struct limn_model *model = NULL;
    struct limn_picture picture = {0};
    if (limn_model_open(&model, options, &error) != LIMN_OK) fail_msg("%s", error.text);
    if (limn_paint(model, request, &picture, &error) != LIMN_OK) fail_msg("%s", error.text);
    limn_model_close(model);
    return picture;
}

/* Root mean squares of a picture about its mean, and of the difference of two, in steps of 255. */
struct sizes {
    double signal, error;
};

static struct sizes measure(const struct limn_picture *a, const struct limn_picture *b)
{
    const size_t n = (size_t)a->image.width * (size_t)a->image.height * (size_t)a->image.channels;
    double sum = 0, squares = 0, error = 0;
    for (size_t i = 0; i < n; i++) {
        const double x = a->image.pixels[i], d = x - b->image.pixels[i];
        sum += x;
        squares += x * x;
        error += d * d;
    }
    const double mean = sum / (double)n;
    return (struct sizes){sqrt(squares / (double)n - mean * mean), sqrt(error / (double)n)};
}

/* How far a picture may be off by Q8_0 alone, as a share of its signal. A weight is off by up to half a step, which is
 * the block's largest value over 127: in the root mean square by that over sqrt(12). Of 32 normal values the largest is
 * 2.36 deviations on average, so a weight is off by 2.36 / 127 / sqrt(12) = 0.0054 deviations, and so is, in
 * proportion, a product of many such weights: errors of different weights have nothing to do with each other. L
 * products one after the other, which neither damp nor grow what comes in, are off by sqrt(L) times that. */
static double most_error(int weights)
{
    return 2.36 / 127 / sqrt(12) * sqrt(weights);
}

/* The pack has 168 weights whose rows are whole blocks. */
static void test_picture_at_q8_0(void **state)
{
    (void)state;
    static const char *const prompts[] = {"a red apple", "a cat face"};
    for (int i = 0; i < 2; i++) {
        const struct limn_request request = {.prompt = prompts[i], .seed = 1 + (uint64_t)i, .steps = 8};
        struct limn_picture want = paint(&(struct limn_model_options){0}, &request);
        struct limn_picture got = paint(&(struct limn_model_options){.weights = "q8_0"}, &request);
        struct limn_picture less = paint(&(struct limn_model_options){.weights = "q4_0"}, &request);
        const struct sizes at_8 = measure(&want, &got), at_4 = measure(&want, &less);
        print_message("%s: signal %.1f, off by %.2f (q8_0) and %.2f (q4_0)\n", prompts[i], at_8.signal, at_8.error,
                      at_4.error);
        assert_true(at_8.error > 0 && at_8.error <= most_error(168) * at_8.signal);
        assert_true(at_4.error > at_8.error);
        limn_picture_clear(&want);
        limn_picture_clear(&got);
        limn_picture_clear(&less);
    }
}

/* f16 is what the pack is stored as: to ask for it changes nothing but the words. */
static void test_metadata(void **state)
{
    (void)state;
    const struct limn_request request = {.prompt = "a red apple", .steps = 1, .cfg = 1};
    struct limn_error error = {0};
    struct limn_recipe *recipe = NULL;
    struct limn_picture plain = paint(&(struct limn_model_options){0}, &request);
    struct limn_picture asked = paint(&(struct limn_model_options){.weights = "f16"}, &request);
    assert_true(measure(&plain, &asked).error == 0);
    assert_null(strstr(plain.parameters, "Weights"));
    assert_non_null(strstr(asked.parameters, ", Weights: f16"));
    assert_int_equal(limn_recipe_parse(&recipe, asked.parameters, NULL, &error), LIMN_OK);
    assert_string_equal(limn_recipe_field(recipe, "Weights"), "f16");
    limn_recipe_close(recipe);
    limn_picture_clear(&plain);
    limn_picture_clear(&asked);
}

/* Arithmetic that rounds is said too; f32 is not. */
static void test_compute_metadata(void **state)
{
    (void)state;
    const struct limn_request request = {.prompt = "a red apple", .steps = 1, .cfg = 1};
    struct limn_error error = {0};
    struct limn_model *model = NULL;
    if (limn_model_open(&model, &(struct limn_model_options){.compute = "bf16"}, &error) != LIMN_OK) {
        print_message("left out: %s\n", error.text);
        skip();
    }
    limn_model_close(model);
    struct limn_picture plain = paint(&(struct limn_model_options){0}, &request);
    struct limn_picture rounded = paint(&(struct limn_model_options){.compute = "bf16"}, &request);
    assert_null(strstr(plain.parameters, "Compute"));
    assert_non_null(strstr(rounded.parameters, ", Compute: bf16"));
    limn_picture_clear(&plain);
    limn_picture_clear(&rounded);
}

/* The pack's U-Net has 9.35 million weights: 17.8 MiB as halves, 9.5 in blocks of 34 bytes, 5 in blocks of 18. */
static void test_memory(void **state)
{
    (void)state;
    static const struct {
        const char *weights;
        uint64_t mib;
        enum limn_status status;
    } cases[] = {{NULL, 17, LIMN_LIMIT},  {"q8_0", 17, LIMN_OK},   {"q8_0", 9, LIMN_LIMIT}, {"q4_0", 10, LIMN_OK},
                 {"q4_0", 5, LIMN_LIMIT}, {"f32", 35, LIMN_LIMIT}, {"f32", 64, LIMN_OK}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct limn_model_options options = {.weights = cases[i].weights, .max_memory = cases[i].mib << 20};
        struct limn_error error = {0};
        struct limn_model *model = NULL;
        const enum limn_status status = limn_model_open(&model, &options, &error);
        if (status != cases[i].status)
            fail_msg("%s within %d MiB: '%s'", cases[i].weights ? cases[i].weights : "as stored", (int)cases[i].mib,
                     error.text);
        limn_model_close(model);
    }
}

static void test_names(void **state)
{
    (void)state;
    struct limn_error error = {0};
    struct limn_model *model = NULL;
    assert_string_equal(limn_weights_name(3), "q8_0");
    assert_null(limn_weights_name(5));
    assert_null(limn_weights_name(-1));
    assert_int_equal(limn_model_open(&model, &(struct limn_model_options){.weights = "Q8"}, &error), LIMN_ARGUMENT);
    assert_string_equal(error.text, "weights 'Q8': must be f32, f16, bf16, q8_0 or q4_0");
}

/* ---- GGUF ---- */

/* What stable-diffusion.cpp makes of a checkpoint: the same names, dimensions turned round, and matrices in blocks
 * where their rows allow it; so many are returned. */
static int write_gguf(const char *path, const struct checkpoint *from, bool blocks)
{
    struct bytes head = {0}, data = {0};
    const int count = checkpoint_count(from);
    int in_blocks = 0;
    gguf_begin(&head, 3, (uint64_t)count, 1);
    gguf_put_text(&head, "general.architecture");
    gguf_put_u32(&head, GGUF_KIND_TEXT);
    gguf_put_text(&head, "sd1");
    for (int i = 0; i < count; i++) {
        const struct tensor *t = checkpoint_at(from, i);
        const bool block = blocks && t->rank == 2 && t->dim[1] % DTYPE_MAX_BLOCK == 0;
        uint64_t dim[CHECKPOINT_MAX_RANK];
        in_blocks += block;
        for (int d = 0; d < t->rank; d++) dim[d] = (uint64_t)t->dim[t->rank - 1 - d];
        gguf_pad(&data, 32);
        gguf_describe(&head, t->name, (uint32_t)t->rank, dim, block ? GGUF_Q8_0 : GGUF_F32, data.size);
        const size_t bytes = dtype_bytes(block ? DTYPE_Q8_0 : DTYPE_F32, (size_t)t->count);
        float *values = test_malloc((size_t)t->count * sizeof *values);
        void *stored = test_malloc(bytes);
        dtype_to_f32(values, t->data, t->dtype, 0, (size_t)t->count);
        dtype_from_f32(stored, block ? DTYPE_Q8_0 : DTYPE_F32, values, (size_t)t->count);
        gguf_put(&data, stored, bytes);
        test_free(stored);
        test_free(values);
    }
    gguf_pad(&head, 32);
    gguf_put(&head, data.data, data.size);
    file_save(path, head.data, head.size);
    bytes_clear(&head);
    bytes_clear(&data);
    return in_blocks;
}

/* The same tensors give the same picture, whatever the file; matrices in blocks give one that is near. */
static void test_gguf_model(void **state)
{
    (void)state;
    static const char path[] = "tiny-weights.gguf";
    const struct limn_request request = {.prompt = "apple", .width = 64, .height = 64, .steps = 2};
    char source[TINY_PATH_BYTES];
    struct error err = {0};
    struct limn_error error = {0};
    struct limn_info info;
    struct checkpoint *c = NULL;
    tiny_write(source, TINY_SD1);
    if (checkpoint_open(&c, source, &err) != STATUS_OK) fail_msg("%s", err.text);
    struct limn_picture want = paint(&(struct limn_model_options){.path = source}, &request);
    for (int blocks = 0; blocks < 2; blocks++) {
        const int in_blocks = write_gguf(path, c, blocks);
        struct limn_picture got = paint(&(struct limn_model_options){.path = path}, &request);
        const struct sizes sizes = measure(&want, &got);
        assert_true(sizes.error <= most_error(in_blocks) * sizes.signal);
        assert_true(blocks ? sizes.error > 0 : sizes.error == 0);
        limn_picture_clear(&got);
        assert_int_equal(limn_info_read(&info, path, &error), LIMN_OK);
        assert_string_equal(info.format, "GGUF");
        assert_string_equal(info.kind, "sd1");
        assert_null(info.missing);
        assert_string_equal(info.dtypes[1].name ? info.dtypes[1].name : "", blocks ? "Q8_0" : "");
        limn_info_clear(&info);
    }
    limn_picture_clear(&want);
    checkpoint_close(c);
    tiny_remove(source);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_picture_at_q8_0),
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_compute_metadata),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_gguf_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
