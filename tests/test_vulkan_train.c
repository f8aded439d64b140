/* SPDX-License-Identifier: MIT
 *
 * limn train on a Vulkan device: after a step of a DCGAN, and of a diffusion model with its text tower, the weights are
 * those that the CPU comes to. Where: tests/support/device.h.
 */
#include "core/base/memory.h"
#include "core/io/checkpoint.h"
#include "include/limn.h"
#include "tests/support/device.h"
#include "tests/support/train.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void train(struct scratch *s, const char *words, const char *device, const char *out)
{
    char line[1024];
    snprintf(line, sizeof line, "%s --steps 1 --sheet-every 0 --dtype f32 --device '%s' --out %s", words, device, out);
    struct outcome o = command_run(s->folder, line, NULL);
    if (o.status != 0) fail_msg("limn %s: exit status %d: %s", line, o.status, o.err);
    if (strstr(o.err, "CPU")) fail_msg("limn %s: %s", line, o.err);
    outcome_clear(&o);
}

static struct checkpoint *open_model(struct scratch *s, const char *name)
{
    struct error err = {0};
    struct checkpoint *c = NULL;
    if (checkpoint_open(&c, scratch_path(s, name), &err) != STATUS_OK) fail_msg("%s", err.text);
    return c;
}

struct distance {
    double apart, length; /* squares */
};

static void check_distance(const struct distance *d, double allowed, const char *what)
{
    if (!(d->apart <= allowed * allowed * d->length))
        fail_msg("%s: weights are %g apart, where %g are allowed", what, sqrt(d->apart / d->length), allowed);
}

/* The distance of all weights together by the length of all, or of each tensor by its own. */
static void check_near(struct scratch *s, double allowed, bool each)
{
    struct checkpoint *cpu = open_model(s, "cpu.safetensors"), *gpu = open_model(s, "gpu.safetensors");
    struct distance all = {0};
    assert_int_equal(checkpoint_count(cpu), checkpoint_count(gpu));
    for (int i = 0; i < checkpoint_count(cpu); i++) {
        const struct tensor *a = checkpoint_at(cpu, i), *b = checkpoint_find(gpu, a->name);
        assert_true(b && b->count == a->count);
        float *x = memory_alloc((size_t)a->count * 2 * sizeof *x), *y = x + a->count;
        assert_non_null(x);
        dtype_to_f32(x, a->data, a->dtype, 0, (size_t)a->count);
        dtype_to_f32(y, b->data, b->dtype, 0, (size_t)b->count);
        struct distance one = {0};
        for (int64_t k = 0; k < a->count; k++) {
            assert_true(isfinite(y[k]));
            one.apart += ((double)x[k] - (double)y[k]) * ((double)x[k] - (double)y[k]);
            one.length += (double)x[k] * (double)x[k];
        }
        all.apart += one.apart;
        all.length += one.length;
        memory_free(x);
        if (each) check_distance(&one, allowed, a->name);
    }
    check_distance(&all, allowed, "all tensors");
    assert_true(all.length > 0);
    checkpoint_close(cpu);
    checkpoint_close(gpu);
}

static void check_step(const char *words, const char *gan, bool each)
{
    struct scratch s;
    char device[128];
    train_set_up(&s);
    file_save(scratch_path(&s, "gan.json"), gan, strlen(gan));
    snprintf(device, sizeof device, "vulkan:%s", device_for_tests());
    train(&s, words, "cpu", "cpu.safetensors");
    train(&s, words, device, "gpu.safetensors");
    check_near(&s, 1e-4, each);
    scratch_close(&s);
}

#define TRAIN_GAN "train gan --data pictures --config gan.json --size 16 --batch 4 --threads 2 --json"

/* Adam's first step goes as far for a gradient of rounding as for any, so single tensors cannot be compared after it.
 */
static void test_gan(void **state)
{
    (void)state;
    check_step(TRAIN_GAN, "{\"gan\": {\"width\": 4, \"latent\": 8}}", false);
}

static void test_gan_by_gradients(void **state)
{
    (void)state;
    check_step(TRAIN_GAN " --lr 0.1",
               "{\"gan\": {\"width\": 4, \"latent\": 8}, \"training\": {\"optimiser\": \"sgd\"}}", true);
}

static void test_diffusion(void **state)
{
    (void)state;
    check_step(TRAIN_DIFFUSION, "{}", false);
}

int main(void)
{
    struct limn_error error = {0};
    struct limn_model *model = NULL;
    char device[128];
    const struct limn_model_options options = {.path = "no such file", .device = device};
    snprintf(device, sizeof device, "vulkan:%s", device_for_tests());
    if (limn_model_open(&model, &options, &error) == LIMN_UNSUPPORTED) { /* the device is asked for first */
        fprintf(stderr, "skipped: %s\n", error.text);
        return DEVICE_SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gan),
        cmocka_unit_test(test_gan_by_gradients),
        cmocka_unit_test(test_diffusion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
