/* SPDX-License-Identifier: MIT
 *
 * Models that a training cannot begin with although their names are right: of other channels, of other texts, of too
 * wide a latent. And those whose weights are stored in blocks, which a result cannot hold.
 */
#include "core/base/memory.h"
#include "core/io/checkpoint.h"
#include "core/io/safetensors_write.h"
#include "diffusion/vae.h"
#include "tests/support/gguf.h"
#include "tests/support/tiny.h"
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

enum { MOST_TENSORS = 512 };

static struct scratch scratch;

#define COMMON    " --data pictures --threads 1 --steps 1 --sheet-every 0 --quiet "
#define DIFFUSION "train diffusion --config tiny.json --size 16" COMMON
#define GAN       "train gan --config gan.json --size 28" COMMON
#define VAE       "train vae --size 16" COMMON

/* The sentences that it writes are asserted to hold each of the words; NULL: that there are none. */
static void run(const char *words, int status, const char *first, const char *second)
{
    struct outcome o = command_run(scratch.folder, words, NULL);
    const bool good = first ? strstr(o.err, first) && strstr(o.err, second) : o.err[0] == '\0';
    if (o.status != status || !good) fail_msg("%s: %d: %s", words, o.status, o.err);
    outcome_clear(&o);
}

static void take_tiny(enum tiny kind, const char *name)
{
    char path[TINY_PATH_BYTES];
    tiny_write(path, kind);
    assert_int_equal(rename(path, scratch_path(&scratch, name)), 0);
}

static struct checkpoint *open_model(const char *name)
{
    struct error err = {0};
    struct checkpoint *c = NULL;
    if (checkpoint_open(&c, scratch_path(&scratch, name), &err) != STATUS_OK) fail_msg("%s", err.text);
    return c;
}

static int set_up(void **state)
{
    (void)state;
    static const char config[] = "{\"gan\": {\"width\": 4, \"latent\": 8}, \"training\": {\"batch\": 2}}";
    train_set_up(&scratch);
    file_save(scratch_path(&scratch, "gan.json"), config, sizeof config - 1);
    take_tiny(TINY_PACK, "pack.safetensors");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_close(&scratch);
    return 0;
}

/* ---- channels ---- */

static void test_channels(void **state)
{
    (void)state;
    static const char pixels[] = "{\"pixels\": {\"patch\": 2}, \"text\": {\"length\": 8}}";
    static const char latents[] = "{\"vae\": {\"channels\": 8, \"multipliers\": [1, 2], \"groups\": 4, \"latent\": 3}}";
    file_save(scratch_path(&scratch, "pixels.json"), pixels, sizeof pixels - 1);
    file_save(scratch_path(&scratch, "latents.json"), latents, sizeof latents - 1);
    take_tiny(TINY_SD1_INPAINT, "inpaint.safetensors");
    take_tiny(TINY_UNET, "unet.safetensors");
    run(DIFFUSION "--vae vae.safetensors --init inpaint.safetensors --out c/m.safetensors", 2, "inpaint.safetensors",
        "takes 9 channels and gives 4, and is to be trained on 8");
    run(VAE "--config latents.json --out c/v.safetensors", 0, NULL, NULL);
    run(DIFFUSION "--vae c/v.safetensors --init pack.safetensors --out c/m.safetensors", 2, "pack.safetensors",
        "takes 8 channels and gives 8, and is to be trained on 3");
    run("train diffusion --config pixels.json --size 16" COMMON "--init unet.safetensors --out c/m.safetensors", 2,
        "unet.safetensors", "takes 4 channels and gives 4, and is to be trained on 12");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_channels),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
