/* SPDX-License-Identifier: MIT
 *
 * Stable Diffusion 1.5 at its full size with made-up weights: a 512x512 picture within 3.2 GB of resident memory. It
 * writes a checkpoint of 2.1 GB and computes for a minute or more, so it runs only where LIMN_FULL_SIZE is set.
 */
#define _DEFAULT_SOURCE /* getrusage's ru_maxrss */
#include "clip/text_tower.h"
#include "diffusion/unet.h"
#include "diffusion/vae.h"
#include "tests/support/command.h"
#include "tests/support/weights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static const long most_kib = 3200L * 1000 * 1000 / 1024;

static void build_text(struct graph *g)
{
    const struct text_config config = {
        .layout = TEXT_LAYOUT_HF,
        .vocabulary = 49408,
        .length = 77,
        .width = 768,
        .blocks = {.prefix = "cond_stage_model.transformer.text_model.encoder.layers",
                   .causal = true,
                   .layers = 12,
                   .mlp_width = 3072,
                   .heads = 12,
                   .activation = UNARY_QUICK_GELU},
    };
    struct node *ids = graph_input(g, "ids", DTYPE_I32, SHAPE(1, config.length));
    graph_output(g, "y", text_tower_build(g, &config, ids, 0));
}

static void build_unet(struct graph *g)
{
    const struct unet_config config = {
        .in_channels = 4,
        .out_channels = 4,
        .model_channels = 320,
        .time_width = 1280,
        .context_width = 768,
        .levels = 4,
        .blocks = 2,
        .width = {320, 640, 1280, 1280},
        .depth = {1, 1, 1, 0},
        .middle_depth = 1,
        .heads = 8,
        .groups = 32,
    };
    const struct unet_inputs inputs = {
        .x = graph_input(g, "x", DTYPE_F32, SHAPE(1, 8, 8, 4)),
        .embedding = graph_input(g, "embedding", DTYPE_F32, SHAPE(1, 320)),
        .context = graph_input(g, "context", DTYPE_F32, SHAPE(1, 77, 768)),
    };
    graph_output(g, "y", unet_build(g, &config, &inputs));
}

static void build_vae(struct graph *g)
{
    const struct vae_config config = {
        .latent_channels = 4,
        .z_channels = 4,
        .levels = 4,
        .blocks = 2,
        .width = {128, 256, 512, 512},
        .encoder = true,
        .quant = true,
        .post_quant = true,
        .groups = 32,
    };
    struct node *latent = graph_input(g, "x", DTYPE_F32, SHAPE(1, 8, 8, 4));
    graph_output(g, "y", vae_decode(g, &config, latent));
    struct node *image = graph_input(g, "image", DTYPE_F32, SHAPE(1, 64, 64, 3));
    graph_output(g, "moments", vae_encode(g, &config, image));
}

static void test_resident_memory(void **state)
{
    (void)state;
    if (!getenv("LIMN_FULL_SIZE")) {
        print_message("SKIP: it takes 2.1 GB of disk and minutes; set LIMN_FULL_SIZE=1 to run it\n");
        skip();
    }
    struct graph text = {0}, unet = {0}, vae = {0};
    struct error err = {0};
    char path[64], words[256];
    build_text(&text);
    build_unet(&unet);
    build_vae(&vae);
    snprintf(path, sizeof path, "full-size-%d.safetensors", (int)getpid());
    if (weights_write_graphs(path, (struct graph *[]){&text, &unet, &vae}, 3, DTYPE_F16, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    graph_clear(&text);
    graph_clear(&unet);
    graph_clear(&vae);

    snprintf(words, sizeof words, "generate 'a red apple' -m %s --steps 2 -s 1 -o full-size.png", path);
    struct outcome o = command_run(".", words, NULL);
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_CHILDREN, &usage), 0);
    print_message("%s%s%.2f GB resident at most\n", o.out, o.err, (double)usage.ru_maxrss * 1024e-9);
    assert_int_equal(o.status, 0);
    assert_true(usage.ru_maxrss < most_kib);
    outcome_clear(&o);
    unlink("full-size.png");
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_resident_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
