/* SPDX-License-Identifier: MIT
 *
 * GANs as PyTorch programs save them (tests/golden/gan): recognised by shape under any name, and painting and judging
 * what PyTorch does; and limn's own networks.
 */
#include "core/io/safetensors_write.h"
#include "core/nn/params.h"
#include "gan/detect.h"
#include "gan/network.h"
#include "tests/support/golden.h"
#include "tests/support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void must(enum status status, const struct error *err)
{
    if (status != STATUS_OK) fail_msg("%s", err->text);
}

static void golden_path(char path[512], const char *file)
{
    snprintf(path, 512, "%s/gan/%s", GOLDEN, file);
}

/* A network from a file, ready to run on a batch of 2. */
struct runner {
    struct checkpoint *file;
    struct gan_config config;
    struct backend *backend;
    struct params *params;
    struct graph g;
    struct exec *exec;
};

static void runner_open(struct runner *r, const char *file, enum gan_role role)
{
    char path[512];
    struct error err = {0};
    *r = (struct runner){0};
    golden_path(path, file);
    must(checkpoint_open(&r->file, path, &err), &err);
    must(gan_config_detect(&r->config, role, r->file, path, &err), &err);
    must(backend_open(&r->backend, "cpu", &(struct backend_options){.threads = 1}, &err), &err);
    must(params_create(&r->params, r->backend, &err), &err);
    const int side = r->config.side, channels = r->config.channels;
    const struct shape shape =
        role == GAN_GENERATOR ? SHAPE(2, 1, 1, r->config.latent) : SHAPE(2, side, side, channels);
    struct node *x = graph_input(&r->g, "x", DTYPE_F32, shape), *text = NULL;
    if (r->config.text_width) text = graph_input(&r->g, "text", DTYPE_F32, SHAPE(2, r->config.text_width));
    graph_output(&r->g, "y", gan_build(&r->g, &r->config, x, text, NULL));
    must(r->g.error.status, &r->g.error);
    must(params_load(r->params, &r->g, r->file, &err), &err);
    must(exec_create(&r->exec, &r->g, r->backend, 0, &err), &err);
}

static void runner_close(struct runner *r)
{
    exec_destroy(r->exec);
    graph_clear(&r->g);
    params_destroy(r->params);
    r->backend->f->close(r->backend);
    checkpoint_close(r->file);
}

static void run(struct runner *r, const struct checkpoint *golden, const float *x, float *y)
{
    struct error err = {0};
    must(exec_write(r->exec, "x", x, &err), &err);
    if (r->config.text_width) {
        float *text = golden_values(golden, "conditional.text");
        must(exec_write(r->exec, "text", text, &err), &err);
        memory_free(text);
    }
    must(exec_run(r->exec, &err), &err);
    must(exec_read(r->exec, "y", y, &err), &err);
}

/* ---- parity with PyTorch ---- */

static const struct {
    const char *name, *file;
    int side, channels, latent;
} generators[] = {
    {"example-32", "example-32.safetensors", 32, 3, 6},
    {"example-64", "example-64.safetensors", 64, 3, 6},
    {"example-128", "example-128.safetensors", 128, 3, 6},
    {"parallel", "parallel.pth", 32, 1, 5},
    {"both", "both.pth", 32, 3, 5},
    {"course", "course.safetensors", 28, 1, 7},
    {"seven", "seven.safetensors", 28, 1, 6},
    {"named", "named.safetensors", 28, 1, 6},
    {"extra", "extra.safetensors", 16, 1, 6},
    {"upsampling", "upsampling.safetensors", 28, 1, 6},
    {"five", "five.safetensors", 28, 3, 6},
    {"conditional", "conditional.safetensors", 14, 3, 4},
};

static void check_generator(const struct checkpoint *golden, int i)
{
    struct runner r;
    const char *name = generators[i].name;
    runner_open(&r, generators[i].file, GAN_GENERATOR);
    assert_int_equal(r.config.side, generators[i].side);
    assert_int_equal(r.config.channels, generators[i].channels);
    assert_int_equal(r.config.latent, generators[i].latent);
    const int side = r.config.side, channels = r.config.channels;
    const int step = *(const int32_t *)golden_tensor(golden, "%s.step", name)->data;
    const int64_t n = golden_tensor(golden, "%s.y", name)->count;
    float *z = golden_values(golden, "%s.z", name), *want = golden_values(golden, "%s.y", name);
    float *y = test_malloc((size_t)(2 * side * side * channels) * sizeof *y);
    run(&r, golden, z, y);
    int64_t kept = 0; /* every step-th row and column, moved together */
    for (int64_t k = 0; k < (int64_t)2 * side * side * channels; k++)
        if (k / channels % side % step == 0 && k / channels / side % side % step == 0) y[kept++] = y[k];
    assert_int_equal(kept, n);
    golden_near(y, want, (size_t)n, 2e-6, "%s", name);
    test_free(y);
    memory_free(z);
    memory_free(want);
    runner_close(&r);
}

static void test_generators(void **state)
{
    (void)state;
    struct checkpoint *golden = golden_open("gan/gan.safetensors");
    for (size_t i = 0; i < sizeof generators / sizeof *generators; i++) check_generator(golden, (int)i);
    checkpoint_close(golden);
}

static const struct {
    const char *name, *file;
    int side, channels;
} discriminators[] = {
    {"example-32-d", "example-32-d.safetensors", 32, 3},
    {"example-64-d", "example-64-d.safetensors", 64, 3},
    {"example-128-d", "example-128-d.safetensors", 128, 3},
    {"both-d", "both.pth", 32, 3},
    {"course-d", "course-d.safetensors", 28, 1},
    {"seven-d", "seven-d.safetensors", 28, 1},
    {"linear-d", "linear-d.safetensors", 32, 3},
    {"conditional-d", "conditional.safetensors", 14, 3},
};

static void check_discriminator(const struct checkpoint *golden, int i)
{
    enum { CORNER = 28 };
    struct runner r;
    const char *name = discriminators[i].name;
    runner_open(&r, discriminators[i].file, GAN_DISCRIMINATOR);
    assert_int_equal(r.config.side, discriminators[i].side);
    assert_int_equal(r.config.channels, discriminators[i].channels);
    const int side = r.config.side, corner = side < CORNER ? side : CORNER;
    const size_t row = (size_t)(corner * r.config.channels);
    float *given = golden_values(golden, "%s.x", name), *want = golden_values(golden, "%s.score", name), scores[2];
    float *x = test_calloc((size_t)(2 * side * side * r.config.channels), sizeof *x);
    for (int b = 0; b < 2; b++)
        for (int h = 0; h < corner; h++)
            memcpy(x + (b * side + h) * side * r.config.channels, given + (size_t)(b * corner + h) * row,
                   row * sizeof *x);
    run(&r, golden, x, scores);
    golden_near(scores, want, 2, 5e-6, "%s", name);
    test_free(x);
    memory_free(given);
    memory_free(want);
    runner_close(&r);
}

static void test_discriminators(void **state)
{
    (void)state;
    struct checkpoint *golden = golden_open("gan/gan.safetensors");
    for (size_t i = 0; i < sizeof discriminators / sizeof *discriminators; i++) check_discriminator(golden, (int)i);
    checkpoint_close(golden);
}

/* ---- what is refused ---- */

static void refuse(const char *path, enum gan_role role, const char *part)
{
    struct error err = {0};
    struct checkpoint *c = NULL;
    struct gan_config config;
    if (checkpoint_open(&c, path, &err) == STATUS_OK)
        assert_int_not_equal(gan_config_detect(&config, role, c, path, &err), STATUS_OK);
    if (!strstr(err.text, part)) fail_msg("'%s' does not say '%s'", err.text, part);
    checkpoint_close(c);
}

static void test_refused(void **state)
{
    (void)state;
    char path[512];
    golden_path(path, "unknown.safetensors");
    refuse(path, GAN_GENERATOR,
           "unknown.json with the right numbers in place of these: {\"stride\": [1, 2, 2], \"padding\": [0, 2, 2], "
           "\"output_padding\": [0, 1, 1], \"activation\": \"relu\", \"output\": \"tanh\"}");
    refuse(path, GAN_DISCRIMINATOR, "holds no GAN's discriminator");
    golden_path(path, "module.pth");
    refuse(path, GAN_GENERATOR, "torch.save(model.state_dict(), PATH)");
    golden_path(path, "example-64-d.safetensors");
    refuse(path, GAN_GENERATOR, "holds no GAN's generator");
    golden_path(path, "../gradients/denoiser.safetensors");
    refuse(path, GAN_GENERATOR, "holds no GAN's generator");
}

/* JSON files beside a copy of the unknown layout. */
static void test_json(void **state)
{
    (void)state;
    static const struct {
        const char *json, *part;
    } cases[] = {
        {"[1, 2]", "is not a JSON object"},
        {"{\"stride\": ", "is not a JSON object (line 1)"},
        {"{\"stride\": [1, 2], \"padding\": 0}", "'stride' has 2 entries; the network has 3 layers"},
        {"{\"stride\": 2, \"strides\": 1}", "'strides' is no key"},
        {"{\"training\": {\"steps\": 1}}", "whose strides no checkpoint holds"}, /* somebody else's */
        {"{\"generator\": 3}", "'generator' must be an object"},
        {"{\"stride\": [1, 2, 2]}", "'padding' is missing there; write"},
        {"{\"stride\": 0, \"padding\": 0}", "'stride' of layer 1 must be a whole number from 1 to 16"},
        {"{\"stride\": [1, 2, 2], \"padding\": [0, 2, \"2\"]}", "'padding' of layer 3 must be"},
        {"{\"stride\": [1, 2, 2], \"padding\": [0, 2, 2], \"output_padding\": 1}", "'output_padding' of layer 1"},
        {"{\"stride\": [1, 2, 2], \"padding\": [0, 2, 2], \"eps\": -1}", "'eps' of layer 1 must be a number"},
        {"{\"stride\": [1, 2, 2], \"padding\": [0, 2, 2], \"output\": \"soft\"}",
         "must be none, relu, leaky_relu, tanh"},
        {"{\"stride\": [1, 2, 2], \"padding\": [0, 2, 2], \"operation\": \"conv\"}",
         "by its shape it is conv_transpose"},
        {"{\"stride\": 16, \"padding\": 0}", ""}, /* 4, 53, 837: allowed */
        {"{\"stride\": [1, 16, 16], \"padding\": [2, 0, 0]}", "behind layer 'main.0' the pictures have a side of 0"},
        {"{\"stride\": [16, 16, 16], \"padding\": [0, 0, 0], \"upsample\": [16, 1, 1]}", "it must be 1 to 1024"},
    };
    struct scratch s;
    scratch_open(&s);
    char from[512];
    size_t size;
    golden_path(from, "unknown.safetensors");
    uint8_t *bytes = file_load(from, &size);
    const char *path = scratch_path(&s, "copy.safetensors"), *beside = scratch_path(&s, "copy.json");
    file_save(path, bytes, size);
    memory_free(bytes);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        struct checkpoint *c = NULL;
        struct gan_config config;
        file_save(beside, cases[i].json, strlen(cases[i].json));
        must(checkpoint_open(&c, path, &err), &err);
        const enum status status = gan_config_detect(&config, GAN_GENERATOR, c, path, &err);
        if ((status == STATUS_OK) != (cases[i].part[0] == '\0') || !strstr(err.text, cases[i].part))
            fail_msg("%s: '%s' does not say '%s'", cases[i].json, err.text, cases[i].part);
        checkpoint_close(c);
    }
    scratch_close(&s);
}

/* Files of chance: whatever is found in them can be built, or is refused in a sentence. */
static void test_chance(void **state)
{
    enum { FILES = 400, MOST = 12, MOST_VALUES = 100000 };
    static const float zeros[MOST_VALUES];
    static const int sides[] = {1, 1, 2, 3, 4, 4, 4, 5, 7};
    static const char *const settings[] = {"{\"stride\": 1, \"padding\": 1}",
                                           "{\"stride\": 2, \"padding\": 0, \"output_padding\": 1, \"size\": 33}",
                                           "{\"stride\": 3, \"padding\": 0, \"upsample\": 2, \"size\": 200}", "{}"};
    (void)state;
    struct scratch s;
    scratch_open(&s);
    const char *path = scratch_path(&s, "chance.safetensors");
    uint32_t random = 1;
    int found = 0, built = 0;
    for (int file = 0; file < FILES; file++) {
        struct tensor tensors[3 * MOST];
        char names[3 * MOST][32];
        int count = 0;
        int64_t channels = 4;
        for (int i = 0; i < MOST && count < 3 * MOST - 3; i++) {
            random = random * 1664525u + 1013904223u;
            const uint32_t r = random >> 8;
            const int64_t other = 1 + r % 6, kernel = sides[r / 7 % 9];
            const bool transposed = r / 64 % 4 != 0, linear = r / 256 % 8 == 0, wild = r / 4096 % 16 == 0;
            if (i > 2 && r / 32 % 4 == 0) break;
            struct tensor t = {.dtype = DTYPE_F32, .rank = linear ? 2 : 4, .data = zeros};
            t.dim[0] = transposed && !linear ? channels : other;
            t.dim[1] = transposed && !linear ? other : channels;
            t.dim[2] = kernel;
            t.dim[3] = wild ? kernel + 1 : kernel;
            if (linear && r / 512 % 2) t.dim[0] *= 49;
            snprintf(names[count], sizeof names[count], "%s.%d.weight", file % 3 ? "main" : "net", 2 * i);
            t.name = names[count];
            tensors[count++] = t;
            channels = linear ? t.dim[0] : other;
            if (r / 1024 % 3 != 0) continue;
            for (int k = 0; k < 2; k++) {
                struct tensor norm = {.dtype = DTYPE_F32, .rank = 1, .dim = {other}, .data = zeros};
                snprintf(names[count], sizeof names[count], "main.%d.%s", 2 * i + 1, k ? "running_mean" : "weight");
                norm.name = names[count];
                tensors[count++] = norm;
            }
        }
        struct error err = {0};
        struct checkpoint *c = NULL;
        const struct safetensors_note note = {"limn.gan", settings[file % 4]};
        const struct safetensors_file written = {.tensors = tensors, .count = count, .notes = &note, .note_count = 1};
        must(safetensors_write(path, &written, &err), &err);
        must(checkpoint_open(&c, path, &err), &err);
        for (int role = 0; role < 2; role++) {
            struct gan_config config;
            struct graph g = {0};
            struct error why = {0};
            found += gan_find(&config, (enum gan_role)role, c);
            if (gan_config_detect(&config, (enum gan_role)role, c, path, &why) == STATUS_OK) {
                const struct shape shape = role == GAN_GENERATOR ? SHAPE(1, 1, 1, config.latent)
                                                                 : SHAPE(1, config.side, config.side, config.channels);
                gan_build(&g, &config, graph_input(&g, "x", DTYPE_F32, shape), NULL, NULL);
                must(g.error.status, &g.error);
                built++;
            } else {
                assert_true(why.text[0] != '\0');
            }
            graph_clear(&g);
        }
        checkpoint_close(c);
    }
    if (found < 20 || built < 5) fail_msg("%d found, %d built: the test has become too easy", found, built);
    scratch_close(&s);
}

/* ---- limn's own networks ---- */

static void test_plans(void **state)
{
    (void)state;
    static const int sides[] = {28, 32, 64, 128, 8, 14, 256};
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        for (int k = 0; k < 4; k++) {
            struct error err = {0};
            struct gan_plan plan = {.side = sides[i], .channels = k % 2 ? 3 : 1, .latent = 100, .width = 4};
            struct gan_config generator, discriminator;
            struct graph g = {0};
            struct node *text = NULL;
            plan.text_width = k / 2 ? 12 : 0;
            must(gan_config_init(&generator, &plan, &err), &err);
            plan.role = GAN_DISCRIMINATOR;
            must(gan_config_init(&discriminator, &plan, &err), &err);
            if (k / 2) text = graph_input(&g, "text", DTYPE_F32, SHAPE(2, 12));
            struct node *z = graph_input(&g, "z", DTYPE_F32, SHAPE(2, 1, 1, 100));
            struct node *picture = gan_build(&g, &generator, z, text, NULL);
            assert_true(shape_equal(picture->shape, SHAPE(2, sides[i], sides[i], plan.channels)));
            struct gan_statistics statistics = {0};
            struct node *score = gan_build(&g, &discriminator, picture, text, &statistics);
            must(g.error.status, &g.error);
            assert_true(shape_equal(score->shape, SHAPE(2, 1)));
            graph_clear(&g);
        }
    }
    static const int bad[] = {0, 4, 7, 12, 30, 512, -28};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct error err = {0};
        struct gan_config config;
        const struct gan_plan plan = {.side = bad[i], .channels = 1, .latent = 8, .width = 8};
        assert_int_equal(gan_config_init(&config, &plan, &err), STATUS_ARGUMENT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generators), cmocka_unit_test(test_discriminators), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_json),       cmocka_unit_test(test_plans),          cmocka_unit_test(test_chance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
