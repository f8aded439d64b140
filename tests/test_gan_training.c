/* SPDX-License-Identifier: MIT
 *
 * A GAN's two losses and their gradients against PyTorch's (tests/golden/gan/losses.safetensors), and twenty steps of
 * training (tests/golden/gradients/dcgan.safetensors), through the networks and graphs that limn trains.
 */
#include "core/nn/params.h"
#include "core/nn/trainer.h"
#include "gan/adversarial.h"
#include "tests/support/golden.h"
#include "tests/support/scratch.h"
#include "tests/support/weights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 4, SIDE = 16, LATENT = 8, TEXT = 6, STEPS = 20, PICTURE = SIDE * SIDE * 3 };

static void must(enum status status, const struct error *err)
{
    if (status != STATUS_OK) fail_msg("%s", err->text);
}

/* ---- the game ---- */

struct players {
    struct gan_config generator, discriminator;
    struct adversarial game;
    struct backend *backend;
    struct graph graphs[2]; /* the discriminator's, the generator's */
    struct trainer *trainers[2];
    struct exec *execs[2];
};

/* Gives all parameters of the graph the values that the weight rule has for their names. */
static void start(struct players *p)
{
    struct scratch s;
    scratch_open(&s);
    struct error err = {0};
    struct checkpoint *checkpoint = NULL;
    struct params *params = NULL;
    const char *path = scratch_path(&s, "start.safetensors");
    must(weights_write_graphs(path, (struct graph *[]){&p->graphs[0]}, 1, DTYPE_F32, &err), &err);
    must(checkpoint_open(&checkpoint, path, &err), &err);
    must(params_create(&params, p->backend, &err), &err);
    must(params_load(params, &p->graphs[0], checkpoint, &err), &err);
    for (int i = 0; i < 2; i++) {
        must(trainer_adopt(p->trainers[i], &p->graphs[0], &err), &err);
        must(trainer_publish(p->trainers[i], &err), &err);
        for (int k = 0; k < 2; k++) trainer_bind(p->trainers[i], &p->graphs[k]);
    }
    params_destroy(params);
    checkpoint_close(checkpoint);
    scratch_close(&s);
}

static void players_open(struct players *p, const struct adversarial *game, int text, bool norms)
{
    struct error err = {0};
    struct gan_plan plan = {.side = SIDE, .channels = 3, .latent = LATENT, .width = 8, .text_width = text};
    *p = (struct players){.game = *game};
    must(gan_config_init(&p->generator, &plan, &err), &err);
    plan.role = GAN_DISCRIMINATOR;
    must(gan_config_init(&p->discriminator, &plan, &err), &err);
    if (!norms) {
        p->discriminator.layers[1].norm[0] = '\0';
        p->discriminator.layers[1].bias = true;
    }
    p->game.generator = &p->generator;
    p->game.discriminator = &p->discriminator;
    p->game.batch = BATCH;
    must(backend_open(&p->backend, "cpu", &(struct backend_options){.threads = 1}, &err), &err);
    struct node *const losses[2] = {adversarial_discriminator(&p->graphs[0], &p->game),
                                    adversarial_generator(&p->graphs[1], &p->game)};
    for (int i = 0; i < 2; i++) {
        const struct trainer_options options = {.prefix = i == 0 ? "discriminator." : "generator.",
                                                .rule = {OPTIMISER_ADAM, 0.5f, 0.999f, .eps = 1e-8f},
                                                .threads = 1};
        must(trainer_create(&p->trainers[i], p->backend, &p->graphs[i], &options, &err), &err);
        trainer_differentiate(p->trainers[i], &p->graphs[i], losses[i], 1);
    }
    start(p);
    for (int i = 0; i < 2; i++) must(exec_create(&p->execs[i], &p->graphs[i], p->backend, 0, &err), &err);
}

static void players_close(struct players *p)
{
    for (int i = 0; i < 2; i++) {
        exec_destroy(p->execs[i]);
        graph_clear(&p->graphs[i]);
        trainer_destroy(p->trainers[i]);
    }
    p->backend->f->close(p->backend);
}

/* Writes an input, if the graph has it, by the rule for `name`. Pictures are [B, C, H, W] there. */
static void write_input(struct players *p, int player, const char *input, const char *name)
{
    const struct node *node = graph_find(&p->graphs[player], input);
    struct error err = {0};
    float plain[BATCH * PICTURE], turned[BATCH * PICTURE];
    if (!node) return;
    const struct shape s = node->shape;
    const int64_t n = shape_count(s), pixels = s.rank == 4 ? s.dim[1] * s.dim[2] : 1, C = shape_dim(s, -1);
    weights_fill(plain, name, s.rank, s.rank == 4 ? (const int64_t[]){s.dim[0], C, s.dim[1], s.dim[2]} : s.dim, 0, n);
    for (int64_t i = 0; i < n; i++) {
        const int64_t b = i / (C * pixels), c = i % C, pixel = i / C % pixels;
        turned[i] = plain[(b * C + c) * pixels + pixel];
        if (strcmp(input, "mix") == 0) turned[i] = (turned[i] + 1) / 2;
    }
    must(exec_write(p->execs[player], input, turned, &err), &err);
}

static float play(struct players *p, int player)
{
    struct error err = {0};
    float loss;
    must(exec_run(p->execs[player], &err), &err);
    must(exec_read(p->execs[player], "loss", &loss, &err), &err);
    return loss;
}

/* ---- losses ---- */

static void check_gradients(struct players *p, int player, const struct checkpoint *golden, const char *name)
{
    int checked = 0;
    for (int i = 0; i < p->trainers[player]->count; i++) {
        const struct trainer_parameter *parameter = &p->trainers[player]->parameters[i];
        char key[256];
        struct error err = {0};
        snprintf(key, sizeof key, "%s.%s %s", name, player == 0 ? "d" : "g", parameter->weight.name);
        if (!checkpoint_find(golden, key)) continue;
        const size_t n = (size_t)golden_tensor(golden, "%s", key)->count;
        float *want = golden_values(golden, "%s", key), *got = test_malloc(n * sizeof *got);
        must(exec_read(p->execs[player], parameter->gradient, got, &err), &err);
        golden_near(got, want, n, 2e-5, "%s", key);
        test_free(got);
        memory_free(want);
        checked++;
    }
    if (checked < 3) fail_msg("%s: %d gradients of player %d are in the golden file", name, checked, player);
}

static void test_losses(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct adversarial game;
        int text;
        bool norms;
    } cases[] = {
        {"bce", {.real = 0.9f}, 0, true},
        {"mismatch", {.mismatch = true}, TEXT, true},
        {"hinge", {.loss = ADVERSARIAL_HINGE}, TEXT, true},
        {"r1", {.r1 = 3}, 0, true},
        {"noise", {.noise = true}, 0, true},
        {"wgan-gp", {.loss = ADVERSARIAL_WGAN_GP, .penalty = 10}, TEXT, false},
    };
    static const char *const inputs[] = {"z", "pictures", "text", "wrong", "mix", "noise", "made noise"};
    struct checkpoint *golden = golden_open("gan/losses.safetensors");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct players p;
        players_open(&p, &cases[i].game, cases[i].text, cases[i].norms);
        for (int player = 0; player < 2; player++) {
            for (size_t k = 0; k < sizeof inputs / sizeof *inputs; k++) write_input(&p, player, inputs[k], inputs[k]);
            const float loss = play(&p, player);
            float *want = golden_values(golden, "%s.%s", cases[i].name, player == 0 ? "d" : "g");
            golden_near(&loss, want, 1, 2e-6, "%s, loss of player %d", cases[i].name, player);
            memory_free(want);
            check_gradients(&p, player, golden, cases[i].name);
        }
        players_close(&p);
    }
    checkpoint_close(golden);
}

/* ---- twenty steps ---- */

static void test_twenty_steps(void **state)
{
    (void)state;
    struct checkpoint *golden = golden_open("gradients/dcgan.safetensors");
    struct players p;
    float losses[2][STEPS];
    players_open(&p, &(struct adversarial){0}, 0, true);
    for (int step = 0; step < STEPS; step++) {
        for (int player = 0; player < 2; player++) {
            struct error err = {0};
            char rule[32];
            snprintf(rule, sizeof rule, "real.%d", step);
            write_input(&p, player, "pictures", rule);
            snprintf(rule, sizeof rule, "z.%d", step);
            write_input(&p, player, "z", rule);
            losses[player][step] = play(&p, player);
            must(trainer_collect(p.trainers[player], p.execs[player], 1, &err), &err);
            must(trainer_step(p.trainers[player], 2e-3f, NULL, &err), &err);
        }
    }
    for (int player = 0; player < 2; player++) {
        float *want = golden_values(golden, player == 0 ? "d losses" : "g losses");
        for (int i = 0; i < STEPS; i++)
            golden_near(&losses[player][i], &want[i], 1, 1e-3, "player %d, step %d", player, i);
        memory_free(want);
    }
    players_close(&p);
    checkpoint_close(golden);
}

/* ---- what cannot be played ---- */

static void test_refused(void **state)
{
    (void)state;
    struct error err = {0};
    struct gan_config generator, discriminator;
    struct gan_plan plan = {.side = SIDE, .channels = 3, .latent = LATENT, .width = 8};
    struct adversarial game = {.generator = &generator, .discriminator = &discriminator, .batch = 2};
    must(gan_config_init(&generator, &plan, &err), &err);
    static const char *const parts[] = {"the discriminator takes 32x32x3", "the discriminator's 6",
                                        "needs a discriminator without batch norm"};
    for (int i = 0; i < 3; i++) {
        struct graph g = {0};
        plan = (struct gan_plan){.role = GAN_DISCRIMINATOR,
                                 .side = i == 0 ? 32 : SIDE,
                                 .channels = 3,
                                 .width = 8,
                                 .text_width = i == 1 ? TEXT : 0};
        game.loss = i == 2 ? ADVERSARIAL_WGAN_GP : ADVERSARIAL_BCE;
        must(gan_config_init(&discriminator, &plan, &err), &err);
        adversarial_discriminator(&g, &game);
        assert_int_equal(g.error.status, STATUS_ARGUMENT);
        if (!strstr(g.error.text, parts[i])) fail_msg("'%s' does not say '%s'", g.error.text, parts[i]);
        graph_clear(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_twenty_steps),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
