/* SPDX-License-Identifier: MIT
 *
 * What a training needs besides its own networks is within --max-memory as well: the VAE and the text encoder that it
 * reads its pictures and captions by, weights to begin with, and the model that a sheet is painted by.
 */
#include "diffusion/vae.h"
#include "tests/support/train.h"
#include "tests/support/weights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct scratch scratch;

static int set_up(void **state)
{
    (void)state;
    train_set_up(&scratch);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_close(&scratch);
    return 0;
}

static void save_text(const char *name, const char *text)
{
    file_save(scratch_path(&scratch, name), text, strlen(text));
}

static void run(const char *words, int status, const char *first, const char *second)
{
    train_said(&scratch, words, status, first, second);
}

/* A VAE whose encoder needs far more than the small networks behind it. */
static void write_vae(void)
{
    const struct vae_config config = {.latent_channels = 4,
                                      .z_channels = 4,
                                      .levels = 4,
                                      .blocks = 1,
                                      .width = {32, 32, 32, 32},
                                      .encoder = true,
                                      .quant = true,
                                      .post_quant = true,
                                      .groups = 32};
    struct graph g = {0};
    struct error err = {0};
    graph_output(&g, "moments", vae_encode(&g, &config, graph_input(&g, "x", DTYPE_F32, SHAPE(1, 16, 16, 3))));
    graph_output(&g, "y", vae_decode(&g, &config, graph_input(&g, "z", DTYPE_F32, SHAPE(1, 2, 2, 4))));
    if (weights_write_graphs(scratch_path(&scratch, "big.safetensors"), (struct graph *[]){&g}, 1, DTYPE_F32, &err))
        fail_msg("%s", err.text);
    graph_clear(&g);
}

#define DIFFUSION "train diffusion --data pictures --config tiny.json --threads 1 --steps 1 --quiet "
#define GAN       "train gan --data pictures --config gan.json --size 28 --threads 1 --steps 1 --sheet-every 0 --quiet "

static void test_vae(void **state)
{
    (void)state;
    write_vae();
    run(DIFFUSION "--vae big.safetensors --size 128 --batch 1 --sheet-every 0 --max-memory 6M --out v/m.safetensors", 1,
        "6.0 MiB", "the VAE's encoder");
    run(DIFFUSION "--vae big.safetensors --size 128 --batch 1 --sheet-every 0 --max-memory 64M --out v/m.safetensors",
        0, NULL, NULL);
}

/* The text encoder's table of tokens alone is 24 MiB. */
static void test_text_encoder(void **state)
{
    (void)state;
    save_text("gan.json", "{\"gan\": {\"width\": 4, \"latent\": 8}, \"training\": {\"batch\": 2}}");
    run(GAN "--init vae.safetensors --max-memory 16M --out g/m.safetensors", 1, "16.0 MiB", "the text encoder");
    run(GAN "--init vae.safetensors --max-memory 64M --out g/m.safetensors", 0, NULL, NULL);
}

/* Weights to begin with are there twice for as long as they are taken over. */
static void test_init(void **state)
{
    (void)state;
    run(DIFFUSION "--init vae.safetensors --size 16 --batch 1 --max-memory 200M --out i/m.safetensors", 1, "200.0 MiB",
        "weights to begin with");
}

/* With hardly more memory than the training needs it goes on without sheets. */
static void test_sheet(void **state)
{
    (void)state;
    char words[512];
    save_text("pixels.json",
              "{\"pixels\": {\"patch\": 4}, \"unet\": {\"channels\": 32, \"multipliers\": [1, 2], \"attention\": [1],"
              " \"head_channels\": 16}, \"text\": {\"width\": 16, \"heads\": 2, \"layers\": 1, \"warm_up\": 0}}");
    for (int limit = 4; limit < 200; limit++) {
        snprintf(words, sizeof words,
                 "train diffusion --data pictures --config pixels.json --size 16 --batch 1 --threads 1 --steps 1 "
                 "--sheet-every 1 --out s/m.safetensors --max-memory %dK",
                 512 * limit);
        struct outcome o = command_run(scratch.folder, words, NULL);
        const bool refused = o.status == 1 && strstr(o.err, "the training needs at least");
        if (!refused && (o.status != 0 || !strstr(o.err, "no sheet of step 1: ")))
            fail_msg("%s: %d: %s", words, o.status, o.err);
        outcome_clear(&o);
        if (!refused) return;
    }
    fail_msg("100 MiB are not enough");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vae),
        cmocka_unit_test(test_text_encoder),
        cmocka_unit_test(test_init),
        cmocka_unit_test(test_sheet),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
