/* SPDX-License-Identifier: MIT
 *
 * GANs of others that do not say all: square weights, tensors beside the networks, parts that are missing.
 */
#include "core/io/safetensors_write.h"
#include "gan/detect.h"
#include "include/limn.h"
#include "tests/support/golden.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A layer "main.N" of a test's network; kernel 0: linear; -1: a norm. */
struct piece {
    int64_t first, second;
    int kernel;
};

static const float zeros[40000];

/* Pieces of `prefix`.0, .1, ... as torch.nn.Sequential names them; `left_out`: a name that is not written. */
static void write_pieces(const char *path, const char *prefix, const struct piece *pieces, int count,
                         const char *left_out)
{
    enum { MOST = 64 };
    struct tensor tensors[MOST];
    char names[MOST][64];
    struct error err = {0};
    int n = 0;
    for (int i = 0; i < count; i++) {
        static const char *const norm[] = {"weight", "bias", "running_mean", "running_var"};
        const struct piece *p = &pieces[i];
        for (int k = 0; k < (p->kernel < 0 ? 4 : 1); k++) {
            assert_true(n < MOST);
            snprintf(names[n], sizeof names[n], "%s.%d.%s", prefix, i, norm[k]);
            if (left_out && strcmp(names[n], left_out) == 0) continue;
            struct tensor t = {.name = names[n], .dtype = DTYPE_F32, .rank = p->kernel < 0 ? 1 : 4, .data = zeros};
            t.dim[0] = p->first;
            t.dim[1] = p->second;
            t.dim[2] = t.dim[3] = p->kernel;
            tensors[n++] = t;
        }
    }
    if (safetensors_write(path, &(struct safetensors_file){.tensors = tensors, .count = n}, &err) != STATUS_OK)
        fail_msg("%s", err.text);
}

/* The first `split` pieces as a generator, the others as a discriminator; all of them convolutions. */
static void write_networks(const char *path, const struct piece *pieces, int count, int split)
{
    enum { MOST = 16 };
    struct tensor tensors[MOST];
    char names[MOST][64];
    struct error err = {0};
    for (int i = 0; i < count; i++) {
        const struct piece *p = &pieces[i];
        snprintf(names[i], sizeof names[i], "%s.main.%d.weight", i < split ? "G" : "D", i);
        tensors[i] = (struct tensor){.name = names[i], .dtype = DTYPE_F32, .rank = 4, .data = zeros};
        memcpy(tensors[i].dim, (int64_t[]){p->first, p->second, p->kernel, p->kernel}, 4 * sizeof(int64_t));
    }
    if (safetensors_write(path, &(struct safetensors_file){.tensors = tensors, .count = count}, &err) != STATUS_OK)
        fail_msg("%s", err.text);
}

static enum status detect(struct gan_config *config, enum gan_role role, const char *path, struct error *err)
{
    struct checkpoint *c = NULL;
    enum status status = checkpoint_open(&c, path, err);
    if (status == STATUS_OK) status = gan_config_detect(config, role, c, path, err);
    checkpoint_close(c);
    return status;
}

/* ---- square weights ---- */

/* The course's layout wherever its channels do not change, and the same stack with 3x3 convolutions between. */
static void test_square(void **state)
{
    (void)state;
    static const struct {
        struct piece pieces[4];
        int side;
        enum gan_operation operations[4];
    } cases[] = {
        {{{8, 8, 3}, {8, 4, 4}, {4, 2, 3}, {2, 1, 4}}, 28, {0}},
        {{{8, 8, 3}, {8, 8, 4}, {8, 8, 3}, {8, 1, 4}}, 28, {0}},
        {{{8, 4, 3}, {4, 4, 4}, {4, 4, 3}, {4, 3, 4}}, 28, {0}},
        {{{8, 8, 4}, {8, 8, 3}, {8, 4, 4}, {4, 1, 4}}, 16, {0, GAN_CONV, 0, 0}},
    };
    struct scratch s;
    scratch_open(&s);
    const char *path = scratch_path(&s, "square.safetensors"), *beside = scratch_path(&s, "square.json");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        struct gan_config config;
        write_pieces(path, "gen", cases[i].pieces, 4, NULL);
        if (detect(&config, GAN_GENERATOR, path, &err) != STATUS_OK) fail_msg("case %d: %s", (int)i, err.text);
        assert_int_equal(config.side, cases[i].side);
        for (int k = 0; k < 4; k++) assert_int_equal(config.layers[k].operation, cases[i].operations[k]);
    }
    static const char json[] =
        "{\"operation\": \"conv_transpose\", \"stride\": [1, 2, 2, 2], \"padding\": [0, 1, 1, 1]}";
    struct error err = {0};
    struct gan_config config;
    file_save(beside, json, sizeof json - 1);
    if (detect(&config, GAN_GENERATOR, path, &err) != STATUS_OK) fail_msg("%s", err.text);
    assert_int_equal(config.side, 28);
    scratch_close(&s);
}

/* A last layer of one pixel that takes away two from each edge: 32 x 32 made 28 x 28. */
static void test_crop(void **state)
{
    (void)state;
    static const struct piece pieces[] = {{8, 4, 4}, {4, 4, 4}, {4, 2, 4}, {2, 2, 4}, {2, 1, 1}};
    static const struct {
        const char *json;
        int side;
    } cases[] = {
        {"{\"stride\": [1, 2, 2, 2, 1], \"padding\": [0, 1, 1, 1, 2]}", 28},
        {"{\"stride\": [1, 2, 2, 2, 1], \"padding\": [0, 1, 1, 1, 15]}", 2},
        {"{\"stride\": [1, 2, 2, 2, 1], \"padding\": [0, 1, 1, 1, 16]}", 0},
        {"{\"stride\": [1, 2, 2, 2, 1], \"padding\": [0, 1, 1, 1, 65]}", 0},
    };
    struct scratch s;
    scratch_open(&s);
    const char *path = scratch_path(&s, "crop.safetensors"), *beside = scratch_path(&s, "crop.json");
    write_pieces(path, "main", pieces, 5, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct limn_picture picture = {0};
        struct limn_model *model = NULL;
        struct limn_error error = {0};
        file_save(beside, cases[i].json, strlen(cases[i].json));
        enum limn_status status =
            limn_model_open(&model, &(struct limn_model_options){.path = path, .threads = 1}, &error);
        assert_int_equal(status == LIMN_OK, cases[i].side > 0);
        if (status == LIMN_OK) status = limn_paint(model, &(struct limn_request){0}, &picture, &error);
        if (cases[i].side > 0 && status != LIMN_OK) fail_msg("%s", error.text);
        assert_int_equal(picture.image.width, cases[i].side);
        limn_picture_clear(&picture);
        limn_model_close(model);
    }
    scratch_close(&s);
}

/* ---- what is missing ---- */

static void test_missing(void **state)
{
    (void)state;
    static const struct piece pieces[] = {{8, 4, 4}, {4, 0, -1}, {4, 2, 4}, {2, 0, -1}, {2, 1, 4}};
    static const char *const left_out[] = {"main.3.weight", "main.1.running_mean"};
    struct scratch s;
    scratch_open(&s);
    const char *path = scratch_path(&s, "part.safetensors");
    struct limn_model_options options = {.path = path, .threads = 1};
    for (size_t i = 0; i <= 3; i++) {
        char says[64];
        struct limn_model *model = NULL;
        struct limn_error error = {0};
        struct piece gap[5];
        memcpy(gap, pieces, sizeof gap);
        if (i == 2) gap[2].first = 3; /* as if another layer had been there */
        write_pieces(path, "main", gap, 5, i < 2 ? left_out[i] : NULL);
        snprintf(says, sizeof says, i < 2 ? "%s is missing" : "between main.0 and main.2 a layer is missing",
                 left_out[i % 2]);
        const enum limn_status status = limn_model_open(&model, &options, &error);
        assert_int_equal(status, i == 3 ? LIMN_OK : LIMN_FORMAT);
        if (i < 3 && !strstr(error.text, says)) fail_msg("'%s' does not say '%s'", error.text, says);
        limn_model_close(model);
    }
    scratch_close(&s);
}

/* ---- discriminators ---- */

/* PyTorch's example saves netG and netD apart. */
static void test_alone(void **state)
{
    (void)state;
    static uint8_t pixels[64 * 64 * 3];
    const struct limn_image image = {.width = 64, .height = 64, .channels = 3, .pixels = pixels};
    const struct limn_model_options options = {.path = GOLDEN "/gan/example-64-d.safetensors", .threads = 1};
    struct limn_request request = {.image = &image};
    struct limn_picture picture = {0};
    struct limn_model *model = NULL;
    struct limn_error error = {0};
    float score = 0, z[1];
    if (limn_model_open(&model, &options, &error) != LIMN_OK) fail_msg("%s", error.text);
    if (limn_latent_judge(model, &request, &score, &error) != LIMN_OK) fail_msg("%s", error.text);
    assert_true(score != 0);
    assert_int_equal(limn_latent_size(model), 0);
    request.image = NULL;
    for (int i = 0; i < 2; i++) {
        const enum limn_status status =
            i ? limn_paint(model, &request, &picture, &error) : limn_latent_draw(model, &request, z, &error);
        assert_int_equal(status, LIMN_UNSUPPORTED);
        assert_non_null(strstr(error.text, "needs a generator"));
    }
    limn_model_close(model);
}

/* A discriminator that nothing describes keeps nobody from painting. */
static void test_unclear(void **state)
{
    (void)state;
    enum { PIECES = 6 };
    static const struct piece both[PIECES] = {{8, 4, 4}, {4, 2, 4}, {2, 1, 4}, {4, 1, 5}, {4, 4, 5}, {1, 4, 5}};
    static uint8_t pixels[16 * 16 * 3];
    const struct limn_image image = {.width = 16, .height = 16, .channels = 3, .pixels = pixels};
    struct scratch s;
    scratch_open(&s);
    const char *path = scratch_path(&s, "both.safetensors");
    const struct limn_model_options options = {.path = path, .threads = 1};
    struct limn_request request = {0};
    struct limn_picture picture = {0};
    struct limn_model *model = NULL;
    struct limn_error error = {0};
    float score;
    write_networks(path, both, PIECES, 3);
    if (limn_model_open(&model, &options, &error) != LIMN_OK) fail_msg("%s", error.text);
    if (limn_paint(model, &request, &picture, &error) != LIMN_OK) fail_msg("%s", error.text);
    limn_picture_clear(&picture);
    request.image = &image;
    assert_int_equal(limn_latent_judge(model, &request, &score, &error), LIMN_UNSUPPORTED);
    if (!strstr(error.text, ": {\"discriminator\": {\"stride\": [2, 2, 1], \"padding\": [2, 2, 0], ") ||
        !strstr(error.text, "\"none\"}}"))
        fail_msg("%s", error.text);
    limn_model_close(model);
    scratch_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_square), cmocka_unit_test(test_missing), cmocka_unit_test(test_crop),
        cmocka_unit_test(test_alone),  cmocka_unit_test(test_unclear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
