/* SPDX-License-Identifier: MIT
 *
 * A tiny picture is painted while the device fails, at each of many calls in turn and in each of three ways: what comes
 * out are the bytes that the CPU paints and a sentence that says why, or, without the CPU's help, an error that is one
 * sentence. Pictures of values that are no numbers are never passed on in silence.
 */
#include "core/vulkan/backend_vulkan.h"
#include "pipeline/model.h"
#include "tests/support/device.h"
#include "tests/support/faults.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    char path[TINY_PATH_BYTES];
    char device[128];
    struct limn_picture want; /* by the CPU */
};

struct notes {
    char last[LIMN_ERROR_BYTES];
    int count;
};

static void on_note(void *context, const char *sentence)
{
    struct notes *notes = context;
    snprintf(notes->last, sizeof notes->last, "%s", sentence);
    notes->count++;
}

static struct limn_model *open_model_to(struct fixture *f, const char *device, const char *compute, bool no_fallback)
{
    struct limn_error error = {0};
    struct limn_model *model = NULL;
    const struct limn_model_options options = {
        .path = f->path, .device = device, .compute = compute, .no_fallback = no_fallback, .threads = 1};
    if (limn_model_open(&model, &options, &error) != LIMN_OK) fail_msg("%s", error.text);
    return model;
}

static struct limn_model *open_model(struct fixture *f, const char *device, bool no_fallback)
{
    return open_model_to(f, device, NULL, no_fallback);
}

static enum limn_status paint(struct limn_model *model, struct notes *notes, struct limn_picture *picture,
                              struct limn_error *error)
{
    const struct limn_watch watch = {.context = notes, .note = on_note};
    const struct limn_request request = {
        .prompt = "apple", .seed = 3, .steps = 2, .width = 16, .height = 16, .watch = &watch};
    *notes = (struct notes){0};
    return limn_paint(model, &request, picture, error);
}

static void check_same(const struct fixture *f, struct limn_picture *picture)
{
    const struct limn_image *want = &f->want.image;
    assert_int_equal(picture->image.width, want->width);
    assert_memory_equal(picture->image.pixels, want->pixels,
                        (size_t)want->width * (size_t)want->height * (size_t)want->channels);
    limn_picture_clear(picture);
}

static struct vk_device *hook(struct limn_model *model)
{
    struct vk_device *device = vulkan_backend_context(model->backend)->device;
    faults_put(NULL, &device->loader.f);
    return device;
}

static const struct {
    VkResult result;
    bool for_good;
    const char *words;
} kinds[] = {
    {VK_ERROR_DEVICE_LOST, true, " was lost at "},
    {VK_ERROR_OUT_OF_DEVICE_MEMORY, false, " has no memory left for "},
    {VK_ERROR_UNKNOWN, false, " failed at "},
};

/* How many calls a picture takes, on a model that has painted none. */
static int count_calls(struct fixture *f)
{
    struct notes notes;
    struct limn_error error = {0};
    struct limn_picture picture = {0};
    struct limn_model *model = open_model(f, f->device, true);
    hook(model);
    faults_at(FAULTS_NEVER, VK_SUCCESS, false);
    if (paint(model, &notes, &picture, &error) != LIMN_OK) fail_msg("%s", error.text);
    limn_picture_clear(&picture);
    const int calls = faults_calls();
    limn_model_close(model);
    return calls;
}

/* Calls spread over the whole picture, more of them where it begins. */
static int next_call(int call, int calls)
{
    return call + 1 + call / 4 + (call > 8 ? calls / 40 : 0);
}

static void test_the_cpu_goes_on(void **state)
{
    struct fixture *f = *state;
    const int calls = count_calls(f);
    int kind = 0;
    assert_true(calls > 100);
    for (int call = 1; call <= calls; call = next_call(call, calls), kind = (kind + 1) % 3) {
        struct notes notes;
        struct limn_error error = {0};
        struct limn_picture picture = {0};
        struct limn_model *model = open_model(f, f->device, false);
        hook(model);
        faults_at(call, kinds[kind].result, kinds[kind].for_good);
        const enum limn_status status = paint(model, &notes, &picture, &error);
        faults_at(FAULTS_NEVER, VK_SUCCESS, false);
        if (status != LIMN_OK) fail_msg("call %d of %d: %s", call, calls, error.text);
        if (!strstr(notes.last, kinds[kind].words) || !strstr(notes.last, "limn goes on with the CPU"))
            fail_msg("call %d of %d: '%s'", call, calls, notes.last);
        check_same(f, &picture);
        /* It stays there: the next picture has no news. */
        if (paint(model, &notes, &picture, &error) != LIMN_OK) fail_msg("%s", error.text);
        assert_int_equal(notes.count, 0);
        check_same(f, &picture);
        limn_model_close(model);
    }
}

/* What the device was to do in halves the CPU does in f32. */
static void test_the_cpu_goes_on_from_halves(void **state)
{
    struct fixture *f = *state;
    struct notes notes;
    struct limn_error error = {0};
    struct limn_picture picture = {0};
    struct limn_model *model = open_model_to(f, f->device, "f16", false);
    hook(model);
    faults_at(60, kinds[0].result, kinds[0].for_good);
    const enum limn_status status = paint(model, &notes, &picture, &error);
    faults_at(FAULTS_NEVER, VK_SUCCESS, false);
    if (status != LIMN_OK) fail_msg("%s", error.text);
    assert_non_null(strstr(notes.last, "limn goes on with the CPU"));
    check_same(f, &picture);
    limn_model_close(model);
}

static void test_an_error_if_asked_for(void **state)
{
    struct fixture *f = *state;
    for (int kind = 0; kind < 3; kind++) {
        struct notes notes;
        struct limn_error error = {0};
        struct limn_picture picture = {0};
        struct limn_model *model = open_model(f, f->device, true);
        struct vk_device *device = hook(model);
        faults_at(60, kinds[kind].result, kinds[kind].for_good);
        const enum limn_status status = paint(model, &notes, &picture, &error);
        faults_at(FAULTS_NEVER, VK_SUCCESS, false);
        assert_int_equal(status, kind == 1 ? LIMN_NO_MEMORY : LIMN_DEVICE);
        if (!strstr(error.text, kinds[kind].words) || !strstr(error.text, "run on the CPU"))
            fail_msg("'%s'", error.text);
        assert_null(picture.image.pixels);
        assert_int_equal(notes.count, 0);
        assert_int_equal(device->lost, kind == 0);
        limn_model_close(model);
    }
}

/* ---- values that are no numbers ---- */

/* Of the device's downloads: those of the decoder's picture, which is the largest, are spoilt so many times. */
static struct {
    enum status (*download)(struct backend *b, void *to, const struct buffer *from, size_t offset, size_t bytes,
                            struct error *err);
    struct backend_functions functions;
    int spoilt, left;
} spoiler;

static enum status spoil(struct backend *b, void *to, const struct buffer *from, size_t offset, size_t bytes,
                         struct error *err)
{
    const enum status status = spoiler.download(b, to, from, offset, bytes, err);
    if (bytes != 16 * 16 * 3 * sizeof(float) || spoiler.left == 0) return status;
    spoiler.left--;
    spoiler.spoilt++;
    ((float *)to)[5] = NAN;
    ((float *)to)[6] = INFINITY;
    return status;
}

static void spoil_downloads(struct backend *backend, int times)
{
    spoiler.functions = *backend->f;
    spoiler.download = backend->f->download;
    spoiler.functions.download = spoil;
    spoiler.left = times;
    spoiler.spoilt = 0;
    backend->f = &spoiler.functions;
}

static void test_no_numbers(void **state)
{
    struct fixture *f = *state;
    static const struct {
        int times, notes;
        const char *words;
    } rounds[] = {
        {0, 0, ""},
        {1, 1, "2 of the picture's 768 values, as the GPU computed them, are no numbers"},
        {2, 2, "limn goes on with the CPU"},
    };
    for (int i = 0; i < 3; i++) {
        struct notes notes;
        struct limn_error error = {0};
        struct limn_picture picture = {0};
        struct limn_model *model = open_model(f, f->device, false);
        spoil_downloads(model->backend, rounds[i].times);
        if (paint(model, &notes, &picture, &error) != LIMN_OK) fail_msg("%s", error.text);
        assert_int_equal(spoiler.spoilt, rounds[i].times);
        assert_int_equal(notes.count, rounds[i].notes);
        if (!strstr(notes.last, rounds[i].words)) fail_msg("'%s'", notes.last);
        if (i == 2)
            check_same(f, &picture);
        else
            limn_picture_clear(&picture);
        limn_model_close(model);
    }
}

/* There is nothing the CPU could hand over to, so it says what is black. */
static void test_no_numbers_on_the_cpu(void **state)
{
    struct notes notes;
    struct limn_error error = {0};
    struct limn_picture picture = {0};
    struct limn_model *model = open_model(*state, "cpu", false);
    spoil_downloads(model->backend, 1);
    if (paint(model, &notes, &picture, &error) != LIMN_OK) fail_msg("%s", error.text);
    assert_int_equal(notes.count, 1);
    assert_non_null(strstr(notes.last, "2 of the picture's 768 values are no numbers and black"));
    limn_picture_clear(&picture);
    limn_model_close(model);
}

int main(void)
{
    struct fixture f = {0};
    struct notes notes;
    struct limn_error error = {0};
    struct limn_model *model = NULL;
    snprintf(f.device, sizeof f.device, "vulkan:%s", device_for_tests());
    tiny_write(f.path, TINY_SD1);
    const struct limn_model_options options = {.path = f.path, .device = f.device};
    if (limn_model_open(&model, &options, &error) != LIMN_OK) {
        fprintf(stderr, "skipped: %s\n", error.text);
        tiny_remove(f.path);
        return DEVICE_SKIPPED;
    }
    limn_model_close(model);
    model = open_model(&f, "cpu", false);
    if (paint(model, &notes, &f.want, &error) != LIMN_OK) fail_msg("%s", error.text);
    limn_model_close(model);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_the_cpu_goes_on, &f),
        cmocka_unit_test_prestate(test_the_cpu_goes_on_from_halves, &f),
        cmocka_unit_test_prestate(test_an_error_if_asked_for, &f),
        cmocka_unit_test_prestate(test_no_numbers, &f),
        cmocka_unit_test_prestate(test_no_numbers_on_the_cpu, &f),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    limn_picture_clear(&f.want);
    tiny_remove(f.path);
    return failed;
}
