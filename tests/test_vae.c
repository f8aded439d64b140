/* SPDX-License-Identifier: MIT
 *
 * The autoencoder against diffusers on tiny models, and what is read from a checkpoint.
 */
#include "core/base/memory.h"
#include "core/base/random.h"
#include "core/io/safetensors_write.h"
#include "core/nn/params.h"
#include "diffusion/vae.h"
#include "diffusion/vae_tiles.h"
#include "tests/support/golden.h"
#include "tests/support/weights.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MODEL BUILD_DIR "/test_vae.safetensors"

static void must(enum status status, const struct error *err)
{
    if (status != STATUS_OK) fail_msg("%s", err->text);
}

static const struct kind {
    const char *name;
    struct vae_config config;
    int groups;
} kinds[] = {
    {"vae-sd",
     {.latent_channels = 4,
      .z_channels = 4,
      .levels = 4,
      .blocks = 2,
      .width = {32, 64, 128, 128},
      .encoder = true,
      .quant = true,
      .post_quant = true,
      .groups = 32,
      .scale = 0.18215},
     32},
    {"vae-pack",
     {.latent_channels = 8,
      .z_channels = 8,
      .levels = 3,
      .blocks = 2,
      .width = {16, 32, 64},
      .encoder = true,
      .quant = true,
      .post_quant = true,
      .groups = 32,
      .scale = 0.18215},
     16},
};

enum { KINDS = sizeof kinds / sizeof *kinds };

struct model {
    struct checkpoint *checkpoint;
    struct backend *backend;
    struct params *params;
    struct vae_config config;
};

static struct model open_model(const struct kind *kind)
{
    struct error err = {0};
    struct model m = {0};
    must(weights_write_lists(MODEL, (const char *[]){kind->name}, 1, DTYPE_F32, &err), &err);
    must(checkpoint_open(&m.checkpoint, MODEL, &err), &err);
    must(backend_open(&m.backend, "cpu", &(struct backend_options){.threads = 2}, &err), &err);
    must(params_create(&m.params, m.backend, &err), &err);
    must(vae_config_detect(&m.config, m.checkpoint, &err), &err);
    assert_memory_equal(&m.config, &kind->config, sizeof m.config);
    m.config.groups = kind->groups;
    return m;
}

static void close_model(struct model *m)
{
    params_destroy(m->params);
    m->backend->f->close(m->backend);
    checkpoint_close(m->checkpoint);
    remove(MODEL);
}

typedef struct node *build(struct graph *g, const struct vae_config *config, struct node *x);

static void run(const struct model *m, build *net, struct shape shape, const float *in, float *out)
{
    struct error err = {0};
    struct graph g = {0};
    struct exec *exec = NULL;
    graph_output(&g, "out", net(&g, &m->config, graph_input(&g, "in", DTYPE_F32, shape)));
    must(params_load(m->params, &g, m->checkpoint, &err), &err);
    must(exec_create(&exec, &g, m->backend, 0, &err), &err);
    must(exec_write(exec, "in", in, &err), &err);
    must(exec_run(exec, &err), &err);
    must(exec_read(exec, "out", out, &err), &err);
    exec_destroy(exec);
    graph_clear(&g);
}

/* ---- parity ---- */

static void compare_encoder(const struct model *m, const struct checkpoint *g, const struct kind *kind, char name)
{
    const struct tensor *image = golden_tensor(g, "%c.image", name), *mean = golden_tensor(g, "%c.mean", name);
    const size_t pixels = (size_t)(mean->dim[2] * mean->dim[3]), z = (size_t)mean->dim[1], n = pixels * z;
    float *in = golden_nhwc(g, "%c.image", name), *moments = memory_alloc(2 * n * sizeof *moments);
    float *want_mean = golden_nhwc(g, "%c.mean", name), *want_logvar = golden_nhwc(g, "%c.logvar", name);
    float *part = memory_alloc(n * sizeof *part);
    assert_true(moments != NULL && part != NULL);
    run(m, vae_encode, SHAPE(1, image->dim[2], image->dim[3], 3), in, moments);
    vae_sample(moments, NULL, (int64_t)pixels, (int)z, part);
    golden_near(part, want_mean, n, 1e-4, "%s %c: mean", kind->name, name);
    for (size_t i = 0; i < n; i++) part[i] = moments[i / z * 2 * z + z + i % z];
    golden_near(part, want_logvar, n, 1e-4, "%s %c: log variance", kind->name, name);
    print_message("%s %c: relative error %.1e", kind->name, name, golden_error(part, want_logvar, n));
    memory_free(in);
    memory_free(moments);
    memory_free(want_mean);
    memory_free(want_logvar);
    memory_free(part);
}

static void compare_decoder(const struct model *m, const struct checkpoint *g, const struct kind *kind, char name)
{
    const struct tensor *latent = golden_tensor(g, "%c.latent", name);
    const size_t n = (size_t)golden_tensor(g, "%c.decoded", name)->count;
    float *in = golden_nhwc(g, "%c.latent", name), *want = golden_nhwc(g, "%c.decoded", name);
    float *got = memory_alloc(n * sizeof *got);
    assert_non_null(got);
    run(m, vae_decode, SHAPE(1, latent->dim[2], latent->dim[3], latent->dim[1]), in, got);
    golden_near(got, want, n, 1e-4, "%s %c: decoded", kind->name, name);
    print_message(", decoded %.1e\n", golden_error(got, want, n));
    memory_free(in);
    memory_free(want);
    memory_free(got);
}

static void both_ways_are_diffusers(void **state)
{
    (void)state;
    for (int i = 0; i < KINDS; i++) {
        struct model m = open_model(&kinds[i]);
        char file[64];
        snprintf(file, sizeof file, "%s.safetensors", kinds[i].name);
        struct checkpoint *g = golden_open(file);
        for (char name = 'a'; name <= 'b'; name++) {
            compare_encoder(&m, g, &kinds[i], name);
            compare_decoder(&m, g, &kinds[i], name);
        }
        checkpoint_close(g);
        close_model(&m);
    }
}

static void samples_are_clamped(void **state)
{
    (void)state;
    const float moments[8] = {1, 2, 0, (float)(2 * log(3)), -1, 0.5f, -1e9f, 1e9f}, noise[4] = {2, -1, 1, 1};
    float got[4];
    vae_sample(moments, noise, 2, 2, got);
    assert_true(fabs((double)got[0] - 3) < 1e-6 && fabs((double)got[1] + 1) < 1e-6);
    assert_true(fabs((double)got[2] - (exp(-15) - 1)) < 1e-6 && fabs((double)got[3] - (exp(10) + 0.5)) < 1e-2);
}

/* ---- tiles ---- */

struct tiled {
    const struct model *m;
    const struct vae_tiling *tiling;
};

static enum status decode_tile(void *context, const float *in, float *out, struct error *err)
{
    (void)err;
    const struct tiled *t = context;
    const int channels = t->tiling->in.channels;
    run(t->m, vae_decode, SHAPE(1, vae_tile_height(t->tiling), vae_tile_width(t->tiling), channels), in, out);
    return STATUS_OK;
}

/* Norms and attention see only their own tile, so a tiled picture is not the whole one, but it must be close where all
 * tiles are alike, as on noise; and the jump across any pair of columns must stay what it is in the whole. */
static void tiled_decoding_is_nearly_the_whole(void **state)
{
    (void)state;
    enum { H = 16, W = 26, Z = 8, F = 4, N = H * F * W * F * 3 };
    struct model m = open_model(&kinds[1]);
    struct vae_tiling tiling = {.height = H, .width = W, .tile = 14, .overlap = 6, .in = {1, Z}, .out = {F, 3}};
    float *latent = memory_alloc(H * W * Z * sizeof *latent);
    float *whole = memory_alloc(N * sizeof *whole), *tiled = memory_alloc(N * sizeof *tiled);
    assert_true(latent != NULL && whole != NULL && tiled != NULL);
    struct rng rng;
    rng_init(&rng, RNG_PHILOX, 1);
    rng_normal(&rng, latent, H * W * Z);
    run(&m, vae_decode, SHAPE(1, H, W, Z), latent, whole);
    struct error err = {0};
    struct tiled context = {&m, &tiling};
    assert_int_equal(vae_tiles_count(&tiling), 6);
    must(vae_tiles_run(&tiling, latent, tiled, decode_tile, &context, &err), &err);
    double difference = 0, size = 0, step = 0, whole_step = 0;
    for (int i = 0; i < N; i++) {
        difference += pow((double)(tiled[i] - whole[i]), 2);
        size += pow((double)whole[i], 2);
        if (i / 3 % (W * F) == 0) continue;
        step = fmax(step, fabs((double)(tiled[i] - tiled[i - 3])));
        whole_step = fmax(whole_step, fabs((double)(whole[i] - whole[i - 3])));
    }
    print_message("tiled: rms difference %.3f of the picture's, steepest step %.2f of the whole's\n",
                  sqrt(difference / size), step / whole_step);
    assert_true(sqrt(difference / size) < 0.25);
    assert_true(step < 1.25 * whole_step);

    tiling.tile = W; /* one tile is the whole */
    assert_int_equal(vae_tiles_count(&tiling), 1);
    must(vae_tiles_run(&tiling, latent, tiled, decode_tile, &context, &err), &err);
    assert_memory_equal(tiled, whole, N * sizeof *whole);
    memory_free(latent);
    memory_free(whole);
    memory_free(tiled);
    close_model(&m);
}

/* ---- unfit checkpoints ---- */

static void sizes_must_fit(void **state)
{
    (void)state;
    struct vae_config config = kinds[0].config;
    struct graph g = {0};
    vae_encode(&g, &config, graph_input(&g, "in", DTYPE_F32, SHAPE(1, 64, 60, 3)));
    assert_int_equal(g.error.status, STATUS_ARGUMENT);
    assert_non_null(strstr(g.error.text, "60x64"));
    graph_clear(&g);
    config.encoder = false;
    vae_encode(&g, &config, graph_input(&g, "in", DTYPE_F32, SHAPE(1, 64, 64, 3)));
    assert_int_equal(g.error.status, STATUS_FORMAT);
    graph_clear(&g);
}

enum { MOST = 24 };

struct file {
    struct tensor tensors[MOST];
    char names[MOST][96];
    float zeros[4096];
    int count;
};

static void add(struct file *f, const char *name, int64_t out, int64_t in)
{
    struct tensor *t = &f->tensors[f->count];
    snprintf(f->names[f->count], sizeof f->names[0], "first_stage_model.%s", name);
    *t = (struct tensor){
        .name = f->names[f->count++], .rank = 4, .dim = {out, in, 1, 1}, .count = out * in, .data = f->zeros};
    assert_true(f->count <= MOST && t->count <= 4096);
}

static void add_smallest(struct file *f)
{
    f->count = 0;
    add(f, "decoder.conv_in.weight", 8, 4);
    add(f, "decoder.conv_out.weight", 3, 8);
    add(f, "decoder.up.0.block.0.conv1.weight", 8, 8);
    add(f, "decoder.up.0.block.1.conv1.weight", 8, 8);
}

static enum status detect(const struct file *f, struct vae_config *config, struct error *err)
{
    struct error write = {0};
    struct checkpoint *c = NULL;
    must(safetensors_write(MODEL, &(struct safetensors_file){.tensors = f->tensors, .count = f->count}, &write),
         &write);
    must(checkpoint_open(&c, MODEL, &write), &write);
    const enum status status = vae_config_detect(config, c, err);
    checkpoint_close(c);
    remove(MODEL);
    return status;
}

static void refused(const struct file *f, enum status status, const char *part)
{
    struct error err = {0};
    struct vae_config config;
    assert_int_equal(detect(f, &config, &err), status);
    if (strstr(err.text, part) == NULL) fail_msg("'%s' lacks '%s'", err.text, part);
}

static void unfit_checkpoints_are_refused(void **state)
{
    (void)state;
    struct file *f = memory_alloc(sizeof *f);
    assert_non_null(f);
    struct error err = {0};
    struct vae_config config;
    add_smallest(f);
    assert_int_equal(detect(f, &config, &err), STATUS_OK);
    assert_true(config.levels == 1 && config.blocks == 1 && config.width[0] == 8 && config.latent_channels == 4);
    assert_true(!config.encoder && !config.quant && !config.post_quant && vae_factor(&config) == 1);
    for (int without = 0; without < 4; without++) {
        add_smallest(f);
        f->tensors[without] = f->tensors[--f->count];
        refused(f, without < 3 ? STATUS_FORMAT : STATUS_UNSUPPORTED, "the VAE");
    }
    add_smallest(f);
    f->tensors[1].dim[0] = 4;
    f->tensors[1].count = 32;
    refused(f, STATUS_UNSUPPORTED, "4 channels");
    add_smallest(f);
    add(f, "post_quant_conv.weight", 4, 0);
    refused(f, STATUS_FORMAT, "is 0");
    add_smallest(f);
    add(f, "decoder.up.1.block.0.conv1.weight", 8, 8);
    refused(f, STATUS_UNSUPPORTED, "1 residual blocks at level 1");
    add_smallest(f);
    for (int i = 2; i < 12; i++) {
        char name[64];
        snprintf(name, sizeof name, "decoder.up.0.block.%d.conv1.weight", i);
        add(f, name, 1, 1);
    }
    refused(f, STATUS_UNSUPPORTED, "10 residual blocks");
    memory_free(f);
}

static void memory_may_run_out(void **state)
{
    (void)state;
    for (uint64_t at = 1, finished = 0; !finished; at++) {
        struct graph g = {0};
        memory_fail_after(at);
        vae_encode(&g, &kinds[0].config, graph_input(&g, "image", DTYPE_F32, SHAPE(1, 64, 64, 3)));
        vae_decode(&g, &kinds[0].config, graph_input(&g, "latent", DTYPE_F32, SHAPE(1, 8, 8, 4)));
        finished = memory_fail_after(0) < at;
        assert_int_equal(g.error.status, finished ? STATUS_OK : STATUS_NO_MEMORY);
        graph_clear(&g);
    }
}

/* A model of pixels moves them and no more: each 2 x 2 becomes one of 12 channels, and comes back. */
static void pixels_are_moved(void **state)
{
    (void)state;
    enum { SIDE = 4, VALUES = SIDE * SIDE * 3, LATENTS = VALUES * 2 };
    const struct vae_config config = vae_of_pixels(2);
    struct error err = {0};
    struct backend *backend = NULL;
    struct exec *exec = NULL;
    struct graph g = {0};
    float image[VALUES], back[VALUES], moments[LATENTS], latent[VALUES];
    for (int i = 0; i < VALUES; i++) image[i] = (float)i / VALUES - 0.5f;
    must(backend_open(&backend, "cpu", NULL, &err), &err);
    struct node *x = graph_input(&g, "image", DTYPE_F32, SHAPE(1, SIDE, SIDE, 3));
    struct node *encoded = vae_encode(&g, &config, x);
    graph_output(&g, "moments", encoded);
    graph_output(&g, "back", vae_decode(&g, &config, graph_slice(&g, encoded, 3, 0, config.latent_channels)));
    must(exec_create(&exec, &g, backend, 0, &err), &err);
    must(exec_write(exec, "image", image, &err), &err);
    must(exec_run(exec, &err), &err);
    must(exec_read(exec, "moments", moments, &err), &err);
    must(exec_read(exec, "back", back, &err), &err);
    assert_int_equal(vae_factor(&config), 2);
    assert_memory_equal(back, image, sizeof image);
    vae_sample(moments, NULL, SIDE, config.latent_channels, latent);
    /* The lower left square's lower right pixel, green: row 3, column 1 of the picture. */
    assert_true(latent[2 * 12 + 3 * 3 + 1] == image[(3 * SIDE + 1) * 3 + 1]);
    exec_destroy(exec);
    graph_clear(&g);
    backend->f->close(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways_are_diffusers),
        cmocka_unit_test(samples_are_clamped),
        cmocka_unit_test(tiled_decoding_is_nearly_the_whole),
        cmocka_unit_test(sizes_must_fit),
        cmocka_unit_test(unfit_checkpoints_are_refused),
        cmocka_unit_test(memory_may_run_out),
        cmocka_unit_test(pixels_are_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
