/* SPDX-License-Identifier: MIT
 *
 * The U-Net against diffusers on tiny models of every kind, and what is read from a checkpoint.
 */
#include "core/base/memory.h"
#include "core/io/safetensors_write.h"
#include "core/nn/params.h"
#include "diffusion/unet.h"
#include "tests/support/golden.h"
#include "tests/support/weights.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MODEL BUILD_DIR "/test_unet.safetensors"

static void must(enum status status, const struct error *err)
{
    if (status != STATUS_OK) fail_msg("%s", err->text);
}

static struct checkpoint *tiny_model(const char *kind)
{
    struct error err = {0};
    struct checkpoint *c = NULL;
    must(weights_write_lists(MODEL, (const char *[]){kind}, 1, DTYPE_F32, &err), &err);
    must(checkpoint_open(&c, MODEL, &err), &err);
    return c;
}

static const struct kind {
    const char *name;
    struct unet_config config; /* as detected */
    int heads, groups;         /* written over it, 0: not */
} kinds[] = {
    {"unet-sd1",
     {.in_channels = 4,
      .out_channels = 4,
      .model_channels = 32,
      .time_width = 128,
      .context_width = 128,
      .levels = 4,
      .blocks = 2,
      .width = {32, 64, 128, 128},
      .depth = {1, 1, 1, 0},
      .middle_depth = 1,
      .heads = 8,
      .groups = 32},
     0,
     0},
    {"unet-sd1-inpaint",
     {.in_channels = 9,
      .out_channels = 4,
      .model_channels = 32,
      .time_width = 128,
      .context_width = 128,
      .levels = 4,
      .blocks = 2,
      .width = {32, 64, 128, 128},
      .depth = {1, 1, 1, 0},
      .middle_depth = 1,
      .heads = 8,
      .groups = 32},
     0,
     0},
    {"unet-sd2",
     {.in_channels = 4,
      .out_channels = 4,
      .model_channels = 64,
      .time_width = 256,
      .context_width = 128,
      .levels = 4,
      .blocks = 2,
      .width = {64, 128, 128, 128},
      .depth = {1, 1, 1, 0},
      .middle_depth = 1,
      .head_size = 64,
      .groups = 32},
     0,
     0},
    {"unet-pack",
     {.in_channels = 8,
      .out_channels = 8,
      .model_channels = 32,
      .time_width = 128,
      .context_width = 128,
      .levels = 2,
      .blocks = 2,
      .width = {32, 64},
      .depth = {1, 1},
      .middle_depth = 1,
      .head_size = 64,
      .groups = 32},
     4,
     16},
    {"unet-pooled",
     {.in_channels = 4,
      .out_channels = 4,
      .model_channels = 48,
      .time_width = 192,
      .context_width = 64,
      .pooled_width = 64,
      .levels = 2,
      .blocks = 2,
      .width = {48, 96},
      .depth = {0, 1},
      .middle_depth = 1,
      .heads = 8,
      .groups = 32},
     3,
     8},
};

enum { KINDS = sizeof kinds / sizeof *kinds };

/* ---- parity ---- */

struct model {
    struct checkpoint *checkpoint;
    struct backend *backend;
    struct params *params;
    struct unet_config config;
};

static struct model open_model(const struct kind *kind)
{
    struct error err = {0};
    struct model m = {.checkpoint = tiny_model(kind->name)};
    must(backend_open(&m.backend, "cpu", &(struct backend_options){.threads = 2}, &err), &err);
    must(params_create(&m.params, m.backend, &err), &err);
    must(unet_config_detect(&m.config, m.checkpoint, &err), &err);
    assert_memory_equal(&m.config, &kind->config, sizeof m.config);
    if (kind->heads > 0) {
        m.config.heads = kind->heads;
        m.config.head_size = 0;
    }
    if (kind->groups > 0) m.config.groups = kind->groups;
    return m;
}

static void close_model(struct model *m)
{
    params_destroy(m->params);
    m->backend->f->close(m->backend);
    checkpoint_close(m->checkpoint);
    remove(MODEL);
}

/* x [batch, height, width, in]; times [batch]; context [batch, 77, width]; pooled [batch, width] or NULL -> out. */
struct call {
    const float *x, *times, *context, *pooled;
};

static void run(const struct model *m, int batch, int height, int width, const struct call *call, float *out)
{
    const struct unet_config *c = &m->config;
    struct error err = {0};
    struct graph g = {0};
    struct exec *exec = NULL;
    const struct unet_inputs inputs = {
        .x = graph_input(&g, "x", DTYPE_F32, SHAPE(batch, height, width, c->in_channels)),
        .embedding = graph_input(&g, "time", DTYPE_F32, SHAPE(batch, c->model_channels)),
        .context = graph_input(&g, "context", DTYPE_F32, SHAPE(batch, 77, c->context_width)),
        .pooled = c->pooled_width > 0 ? graph_input(&g, "pooled", DTYPE_F32, SHAPE(batch, c->pooled_width)) : NULL,
    };
    struct node *y = unet_build(&g, c, &inputs);
    graph_output(&g, "eps", y);
    must(params_load(m->params, &g, m->checkpoint, &err), &err);
    must(exec_create(&exec, &g, m->backend, 0, &err), &err);
    float embedding[2 * 64];
    for (int b = 0; b < batch; b++)
        unet_time_embedding((double)call->times[b], c->model_channels, embedding + b * c->model_channels);
    must(exec_write(exec, "x", call->x, &err), &err);
    must(exec_write(exec, "time", embedding, &err), &err);
    must(exec_write(exec, "context", call->context, &err), &err);
    if (call->pooled) must(exec_write(exec, "pooled", call->pooled, &err), &err);
    must(exec_run(exec, &err), &err);
    must(exec_read(exec, "eps", out, &err), &err);
    exec_destroy(exec);
    graph_clear(&g);
}

static void compare_kind(const struct kind *kind)
{
    struct model m = open_model(kind);
    char file[64];
    snprintf(file, sizeof file, "%s.safetensors", kind->name);
    struct checkpoint *g = golden_open(file);
    float *context = golden_values(g, "context");
    float *pooled = m.config.pooled_width > 0 ? golden_values(g, "pooled") : NULL;
    for (char name = 'a'; name <= 'c'; name++) {
        const struct tensor *y = golden_tensor(g, "%c.y", name);
        const size_t n = (size_t)y->count;
        float *x = golden_nhwc(g, "%c.x", name), *t = golden_values(g, "%c.t", name);
        float *want = golden_nhwc(g, "%c.y", name), *got = memory_alloc(n * sizeof *got);
        assert_non_null(got);
        run(&m, 2, (int)y->dim[2], (int)y->dim[3], &(struct call){x, t, context, pooled}, got);
        golden_near(got, want, n, 1e-4, "%s %c", kind->name, name);
        print_message("%s %c: relative error %.1e\n", kind->name, name, golden_error(got, want, n));
        memory_free(x);
        memory_free(t);
        memory_free(want);
        memory_free(got);
    }
    memory_free(context);
    memory_free(pooled);
    checkpoint_close(g);
    close_model(&m);
}

static void a_call_is_diffusers(void **state)
{
    (void)state;
    for (int i = 0; i < KINDS; i++) compare_kind(&kinds[i]);
}

/* Sizes that do not halve evenly run as they do in diffusers (every 31st of its values for this call is below), and
 * image i of a batch is the single image. */
static void any_size_and_batch(void **state)
{
    (void)state;
    struct model m = open_model(&kinds[0]);
    struct checkpoint *g = golden_open("unet-sd1.safetensors");
    float *context = golden_values(g, "context"), *x = golden_nhwc(g, "b.x");
    enum { H = 7, W = 5, N = H * W * 4 };
    float both[2 * N], single[N];
    const float times[2] = {500.5f, 3};
    const float want[9] = {0.1573594f,  0.6177759f,  0.9259814f, -0.4872018f, 0.3733684f,
                           -0.1868824f, -1.1367542f, 0.7638936f, -0.0926753f};
    run(&m, 2, H, W, &(struct call){x, times, context, NULL}, both);
    for (int i = 0; i < 9; i++) assert_true(fabs((double)(both[31 * i] - want[i])) < 1e-5);
    for (int b = 0; b < 2; b++) {
        run(&m, 1, H, W, &(struct call){x + b * N, times + b, context + b * 77 * 128, NULL}, single);
        assert_memory_equal(single, both + b * N, sizeof single);
        for (int i = 0; i < N; i++) assert_true(isfinite(single[i]));
    }
    memory_free(context);
    memory_free(x);
    checkpoint_close(g);
    close_model(&m);
}

/* The formula of openaimodel.py's timestep_embedding, at points where it is plain. */
static void time_embedding(void **state)
{
    (void)state;
    float e[320];
    unet_time_embedding(0, 320, e);
    for (int i = 0; i < 160; i++) assert_true(e[i] == 1 && e[160 + i] == 0);
    unet_time_embedding(981.5, 320, e);
    assert_true(fabs((double)e[0] - cos(981.5)) < 1e-6 && fabs((double)e[160] - sin(981.5)) < 1e-6);
    assert_true(fabs((double)e[80] - cos(9.815)) < 1e-6 && fabs((double)e[240] - sin(9.815)) < 1e-6);
    e[4] = 5;
    unet_time_embedding(3, 5, e);
    assert_true(e[4] == 0);
}

/* ---- hostile and unfit checkpoints ---- */

enum { MOST = 64 };

struct file {
    struct tensor tensors[MOST];
    char names[MOST][96];
    float zeros[4096];
    int count;
};

static void add(struct file *f, const char *name, int rank, const int64_t *dim)
{
    struct tensor *t = &f->tensors[f->count];
    snprintf(f->names[f->count], sizeof f->names[0], "model.diffusion_model.%s", name);
    *t = (struct tensor){.name = f->names[f->count++], .rank = rank, .count = 1, .data = f->zeros};
    for (int i = 0; i < rank; i++) t->count *= t->dim[i] = dim[i];
    assert_true(t->count <= 4096);
}

#define ADD(f, name, ...)                                                                                              \
    add(f, name, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__})

static void add_smallest(struct file *f)
{
    f->count = 0;
    ADD(f, "input_blocks.0.0.weight", 8, 4, 3, 3);
    ADD(f, "time_embed.0.weight", 32, 8);
    ADD(f, "out.2.weight", 4, 8, 3, 3);
    ADD(f, "input_blocks.1.0.in_layers.2.weight", 8, 8, 3, 3);
    ADD(f, "middle_block.1.transformer_blocks.0.norm1.weight", 8);
    ADD(f, "middle_block.1.transformer_blocks.0.attn2.to_k.weight", 8, 16);
}

static enum status detect(const struct file *f, struct error *err)
{
    struct error write = {0};
    struct checkpoint *c = NULL;
    struct unet_config config;
    must(safetensors_write(MODEL, &(struct safetensors_file){.tensors = f->tensors, .count = f->count}, &write),
         &write);
    must(checkpoint_open(&c, MODEL, &write), &write);
    assert_true(unet_present(c));
    const enum status status = unet_config_detect(&config, c, err);
    checkpoint_close(c);
    remove(MODEL);
    return status;
}

static void refused(const struct file *f, enum status status, const char *part)
{
    struct error err = {0};
    assert_int_equal(detect(f, &err), status);
    if (strstr(err.text, part) == NULL) fail_msg("'%s' lacks '%s'", err.text, part);
}

static void unfit_checkpoints_are_refused(void **state)
{
    (void)state;
    struct file *f = memory_alloc(sizeof *f);
    assert_non_null(f);
    struct error err = {0};
    add_smallest(f);
    assert_int_equal(detect(f, &err), STATUS_OK);

    add_smallest(f);
    ADD(f, "label_emb.0.0.weight", 8, 9);
    refused(f, STATUS_UNSUPPORTED, "SDXL");
    add_smallest(f);
    ADD(f, "label_emb.weight", 8, 8);
    refused(f, STATUS_UNSUPPORTED, "upscalers");
    for (int without = 1; without < 6; without++) {
        add_smallest(f);
        f->tensors[without] = f->tensors[--f->count];
        refused(f, without == 3 || without == 4 ? STATUS_UNSUPPORTED : STATUS_FORMAT, "the U-Net");
    }
    add_smallest(f);
    f->tensors[1].rank = 1;
    f->tensors[1].count = 32;
    refused(f, STATUS_FORMAT, "1 dimensions and must have 2");
    add_smallest(f);
    f->tensors[5].dim[0] = 0;
    f->tensors[5].dim[1] = 20000;
    f->tensors[5].count = 0;
    refused(f, STATUS_FORMAT, "is 20000");
    add_smallest(f);
    ADD(f, "input_blocks.2.0.in_layers.2.weight", 16, 8, 3, 3);
    refused(f, STATUS_UNSUPPORTED, "different kinds");
    add_smallest(f);
    ADD(f, "input_blocks.2.0.op.weight", 8, 8, 3, 3);
    refused(f, STATUS_UNSUPPORTED, "level 1 has 0 residual blocks");
    add_smallest(f);
    for (int i = 2; i < 12; i++) {
        char name[64];
        snprintf(name, sizeof name, "input_blocks.%d.0.in_layers.2.weight", i);
        ADD(f, name, 8, 1, 1, 1);
    }
    refused(f, STATUS_UNSUPPORTED, "more than 8 residual");
    add_smallest(f);
    for (int i = 2; i < 30; i++) {
        char name[64];
        snprintf(name, sizeof name, i % 2 ? "input_blocks.%d.0.in_layers.2.weight" : "input_blocks.%d.0.op.weight", i);
        ADD(f, name, 8, 1, 1, 1);
    }
    refused(f, STATUS_UNSUPPORTED, "more than 8 levels");
    memory_free(f);
}

static void heads_must_fit(void **state)
{
    (void)state;
    struct unet_config config = kinds[3].config;
    config.width[0] = 48;
    for (int i = 0; i < 2; i++) {
        struct graph g = {0};
        unet_build(&g, &config,
                   &(struct unet_inputs){graph_input(&g, "x", DTYPE_F32, SHAPE(1, 8, 8, 8)),
                                         graph_input(&g, "time", DTYPE_F32, SHAPE(1, 32)),
                                         graph_input(&g, "context", DTYPE_F32, SHAPE(1, 77, 128)), NULL});
        assert_int_equal(g.error.status, STATUS_ARGUMENT);
        assert_non_null(strstr(g.error.text, i == 0 ? "heads of 64" : "neither"));
        graph_clear(&g);
        config.head_size = 0;
    }
}

/* A builder has no checks of its own: with any allocation missing it must run to its end, and the graph must say so. */
static void memory_may_run_out(void **state)
{
    (void)state;
    for (uint64_t at = 1, finished = 0; !finished; at++) {
        struct graph g = {0};
        memory_fail_after(at);
        unet_build(&g, &kinds[0].config,
                   &(struct unet_inputs){graph_input(&g, "x", DTYPE_F32, SHAPE(1, 9, 9, 4)),
                                         graph_input(&g, "time", DTYPE_F32, SHAPE(1, 32)),
                                         graph_input(&g, "context", DTYPE_F32, SHAPE(1, 77, 128)), NULL});
        finished = memory_fail_after(0) < at;
        assert_int_equal(g.error.status, finished ? STATUS_OK : STATUS_NO_MEMORY);
        graph_clear(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_is_diffusers), cmocka_unit_test(any_size_and_batch),
        cmocka_unit_test(time_embedding),      cmocka_unit_test(unfit_checkpoints_are_refused),
        cmocka_unit_test(heads_must_fit),      cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
