/* SPDX-License-Identifier: MIT
 *
 * What a training is given and whether it belongs to it: options and settings of another kind, a model to begin with of
 * which nothing fits, other pictures or another VAE than it was begun with, a result that somebody else is training.
 */
#define _POSIX_C_SOURCE 200809L /* fdopen, kill */
#include "core/base/memory.h"
#include "core/io/checkpoint.h"
#include "include/limn.h"
#include "tests/support/train.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

static void run(const char *words, int status, const char *first, const char *second)
{
    train_said(&scratch, words, status, first, second);
}

#define DIFFUSION                                                                                                      \
    "train diffusion --vae vae.safetensors --config tiny.json --size 16 --threads 1 --sheet-every 0 --log-every 99 "
#define GAN "train gan --data pictures --config gan.json --size 28 --threads 1 --sheet-every 0 --log-every 99 "

static void save_gan_config(void)
{
    static const char config[] = "{\"gan\": {\"width\": 4, \"latent\": 8}, \"training\": {\"batch\": 2}}";
    file_save(scratch_path(&scratch, "gan.json"), config, sizeof config - 1);
}

/* ---- kinds ---- */

static void test_options_of_another_kind(void **state)
{
    (void)state;
    static const struct {
        const char *words, *whose;
    } cases[] = {
        {"train gan --data pictures --out o.safetensors --min-snr 5", "limn train gan, but to: diffusion"},
        {"train gan --data pictures --out o.safetensors --vae vae.safetensors", "limn train gan, but to: diffusion"},
        {"train clip --data pictures --out o.safetensors --prediction v", "limn train clip, but to: diffusion"},
        {"train vae --data pictures --out o.safetensors --caption-dropout 0", "but to: diffusion, gan, clip"},
        {"latent judge a.png --seeds 1,2", "limn latent judge, but to: walk"},
        {"latent find a.png --truncation 1", "limn latent find, but to: walk, mix"},
        {"latent mix '1 + 2' --frames 2", "limn latent mix, but to: walk"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) run(cases[i].words, 2, "does not belong", cases[i].whose);
    struct outcome o = command_run(scratch.folder, "help train", NULL);
    assert_non_null(strstr(o.out, "--min-snr GAMMA         diffusion: "));
    assert_non_null(strstr(o.out, "--caption-dropout SHARE diffusion, gan, clip: "));
    assert_non_null(strstr(o.out, "--steps N               steps "));
    outcome_clear(&o);
}

static void test_settings_of_another_kind(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *text, *first, *second;
    } cases[] = {
        {"gan", "{\"training\": {\"min_snr\": 5}}", "min_snr", "of gan, but to: diffusion"},
        {"gan", "{\"training\": {\"vae\": null}}", "vae", "of gan, but to: diffusion"},
        {"vae", "{\"training\": {\"channels\": 1}}", "channels", "of vae, but to: gan"},
        {"gan", "{\"training\": {\"channels\": 2}}", "channels 2", "1 or 3"},
        {"gan", "{\"unet\": {}}", "unet", "there are: training, gan, pack"},
        {"vae", "{\"pack\": {}}", "pack", "there are: training, vae"},
        {"gan", "{\"pack\": []}", "pack", "an object"},
        {"diffusion", "{\"pack\": {\"concepts\": 5}, \"training\": {\"size\": 16}}", "concepts", "array"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char words[256];
        file_save(scratch_path(&scratch, "other.json"), cases[i].text, strlen(cases[i].text));
        snprintf(words, sizeof words, "train %s --data pictures --out o.safetensors --config other.json",
                 cases[i].kind);
        run(words, strcmp(cases[i].first, "concepts") == 0 ? 1 : 2, cases[i].first, cases[i].second);
    }
    struct limn_error error = {0};
    const struct limn_train_options options = {
        .family = "gan", .data = scratch_path(&scratch, "pictures"), .out = "o.safetensors", .min_snr = 5};
    assert_int_equal(limn_train(&options, &error), LIMN_ARGUMENT);
    assert_non_null(strstr(error.text, "min_snr"));
    run("train gan --data pictures --out o.safetensors --ema 1", 2, "--ema 1", "from 0 to 0.9999999");
}

/* ---- a model to begin with ---- */

static void test_init_of_which_nothing_fits(void **state)
{
    (void)state;
    save_gan_config();
    run(GAN "--quiet --out init/g.safetensors --steps 1", 0, NULL, NULL);
    run("train vae --data pictures --out init/v.safetensors --size 16 --init init/g.safetensors", 2,
        "init/g.safetensors", "no use for any of its 18 tensors");
    run(DIFFUSION "--data pictures --out init/d.safetensors --steps 1 --init init/g.safetensors", 2,
        "init/g.safetensors", "'cond_stage_model.");
    run(GAN "--out init/h.safetensors --steps 1 --init init/g.safetensors", 0, "14 of its 18 tensors are taken",
        "all that are trained");
    run(GAN "--out init/p.safetensors --steps 1 --init vae.safetensors", 0, " tensors are taken; 15 of the 15",
        "begin at random");
}

/* ---- other data ---- */

static char *merges_of(const char *name)
{
    struct error err = {0};
    struct checkpoint *c = NULL;
    if (checkpoint_open(&c, scratch_path(&scratch, name), &err) != STATUS_OK) fail_msg("%s", err.text);
    char *text = memory_strdup(checkpoint_metadata(c, "limn.merges"));
    assert_non_null(text);
    checkpoint_close(c);
    return text;
}

static void test_resumed_with_other_pictures(void **state)
{
    (void)state;
    size_t size;
    static const char caption[] = "zebra zebra zebra zebra zebra zebra zebra zebra zebra zebra zebra";
    uint8_t *picture = file_load(scratch_path(&scratch, "pictures/00.png"), &size);
    file_save(scratch_path(&scratch, "others/00.png"), picture, size);
    file_save(scratch_path(&scratch, "others/00.txt"), caption, sizeof caption - 1);
    memory_free(picture);
    run(DIFFUSION "--data pictures --out data/m.safetensors --steps 1", 0, "step 1/1", "");
    char *before = merges_of("data/m.safetensors");
    run(DIFFUSION "--quiet --data pictures --out data/m.safetensors --steps 2 --resume", 0, NULL, NULL);
    run(DIFFUSION "--data others --out data/m.safetensors --steps 3 --resume", 0, "with 12 pictures of 'pictures'",
        "with 1 of 'others'");
    char *after = merges_of("data/m.safetensors"); /* ids must go on to mean what the text tower has learnt */
    assert_string_equal(before, after);
    memory_free(before);
    memory_free(after);
    /* The same number of pictures with the same names, but one of them is another. */
    picture = file_load(scratch_path(&scratch, "pictures/05.png"), &size);
    file_save(scratch_path(&scratch, "others/00.png"), picture, size);
    memory_free(picture);
    run(DIFFUSION "--data others --out data/m.safetensors --steps 4 --resume", 0, "other pictures or captions",
        "with 1 of 'others'");
    run(DIFFUSION "--data others --out data/m.safetensors --steps 5 --resume", 0, "step 5/5", "");
}

static void test_resumed_with_another_vae(void **state)
{
    (void)state;
    size_t size;
    run(DIFFUSION "--data pictures --out vae/m.safetensors --steps 1", 0, "step 1/1", "");
    uint8_t *vae = file_load(scratch_path(&scratch, "vae.safetensors"), &size);
    file_save(scratch_path(&scratch, "copy.safetensors"), vae, size);
    for (size_t i = size / 2; i < size; i += 64) vae[i] ^= 1;
    file_save(scratch_path(&scratch, "other.safetensors"), vae, size);
    memory_free(vae);
    run("train diffusion --data pictures --out vae/m.safetensors --steps 2 --resume --threads 1 --vae "
        "copy.safetensors",
        0, "step 2/2", "");
    run("train diffusion --data pictures --out vae/m.safetensors --steps 3 --resume --threads 1 --vae "
        "other.safetensors",
        2, "vae/m.state.safetensors", "begun with another VAE");
}

/* ---- two at once ---- */

static void test_one_at_a_time(void **state)
{
    (void)state;
    char line[1024];
    int status;
    save_gan_config();
    const struct running r =
        command_start(scratch.folder, GAN "--out lock/m.safetensors --steps 100000000 --log-every 1 --json");
    FILE *output = fdopen(r.output, "r");
    assert_non_null(output);
    bool steps = false;
    while (!steps && fgets(line, sizeof line, output)) steps = strstr(line, "\"event\":\"step\"") != NULL;
    assert_true(steps);
    run(GAN "--out lock/m.safetensors --steps 2", 1, "lock/m.lock", "another process");
    run(GAN "--out lock/m.safetensors --steps 2 --restart", 1, "lock/m.lock", "another process");
    run(GAN "--quiet --out lock/n.safetensors --steps 1", 0, NULL, NULL); /* its neighbour is free */
    assert_int_equal(kill(r.process, SIGKILL), 0);
    assert_int_equal(waitpid(r.process, &status, 0), r.process);
    fclose(output);
    run(GAN "--quiet --out lock/m.safetensors --steps 2 --restart", 0, NULL, NULL);
    assert_int_not_equal(access(scratch_path(&scratch, "lock/m.lock"), F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_of_another_kind),    cmocka_unit_test(test_settings_of_another_kind),
        cmocka_unit_test(test_init_of_which_nothing_fits), cmocka_unit_test(test_resumed_with_other_pictures),
        cmocka_unit_test(test_resumed_with_another_vae),   cmocka_unit_test(test_one_at_a_time),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
