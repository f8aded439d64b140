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

static void run(const char *words, int status, const char *first, const char *second)
{
    train_said(&scratch, words, status, first, second);
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

/* ---- blocks ---- */

/* True of what is stored in blocks; a convolution of 1x1 is a matrix then. */
static bool is_stored(const struct tensor *t)
{
    return t->rank > 1 && t->dim[1] % DTYPE_MAX_BLOCK == 0 && t->dim[1] * t->dim[0] == t->count;
}

static void describe(struct bytes *b, const struct tensor *t, uint32_t type, uint64_t offset)
{
    uint64_t dim[CHECKPOINT_MAX_RANK];
    const int rank = is_stored(t) ? 2 : t->rank;
    for (int i = 0; i < rank; i++) dim[i] = (uint64_t)t->dim[rank - 1 - i];
    gguf_describe(b, t->name, (uint32_t)rank, dim, is_stored(t) ? type : GGUF_F32, offset);
}

/* The model with its matrices as blocks. */
static void write_gguf(const char *from, const char *to, uint32_t type, enum dtype dtype)
{
    struct checkpoint *c = open_model(from);
    struct bytes b = {0};
    uint64_t offset = 0;
    gguf_begin(&b, 3, (uint64_t)checkpoint_count(c), 1);
    gguf_put_text(&b, "limn.pack");
    gguf_put_u32(&b, GGUF_KIND_TEXT);
    gguf_put_text(&b, checkpoint_metadata(c, "limn.pack"));
    for (int i = 0; i < checkpoint_count(c); i++) {
        const struct tensor *t = checkpoint_at(c, i);
        describe(&b, t, type, offset);
        offset += (dtype_bytes(is_stored(t) ? dtype : DTYPE_F32, (size_t)t->count) + 31) / 32 * 32;
    }
    for (int i = 0; i < checkpoint_count(c); i++) {
        const struct tensor *t = checkpoint_at(c, i);
        const size_t bytes = dtype_bytes(is_stored(t) ? dtype : DTYPE_F32, (size_t)t->count);
        void *values = test_malloc(bytes);
        dtype_from_f32(values, is_stored(t) ? dtype : DTYPE_F32, t->data, (size_t)t->count);
        gguf_pad(&b, 32);
        gguf_put(&b, values, bytes);
        test_free(values);
    }
    file_save(scratch_path(&scratch, to), b.data, b.size);
    bytes_clear(&b);
    checkpoint_close(c);
}

/* The tensors of the part are in the result: those in blocks as the result's type. */
static void check_copied(const char *model, const char *result, const char *part, enum dtype dtype)
{
    struct checkpoint *before = open_model(model), *after = open_model(result);
    int blocks = 0;
    for (int i = 0; i < checkpoint_count(before); i++) {
        const struct tensor *was = checkpoint_at(before, i);
        if (strncmp(was->name, part, strlen(part)) != 0) continue;
        const struct tensor *is = checkpoint_find(after, was->name);
        const size_t n = (size_t)was->count;
        if (!is || is->count != was->count) fail_msg("%s: there is no '%s' as it was", result, was->name);
        const bool turned = dtype_block(was->dtype) > 1;
        float *values = test_malloc(n * sizeof *values);
        void *want = test_malloc(n * sizeof *values);
        dtype_to_f32(values, was->data, was->dtype, 0, n);
        dtype_from_f32(want, turned ? dtype : was->dtype, values, n);
        assert_int_equal(is->dtype, turned ? dtype : was->dtype);
        assert_memory_equal(is->data, want, dtype_bytes(is->dtype, n));
        test_free(values);
        test_free(want);
        blocks += turned;
    }
    assert_true(blocks > 3);
    checkpoint_close(before);
    checkpoint_close(after);
}

static void test_blocks(void **state)
{
    (void)state;
    write_gguf("pack.safetensors", "q8.gguf", GGUF_Q8_0, DTYPE_Q8_0);
    write_gguf("pack.safetensors", "q4.gguf", GGUF_Q4_0, DTYPE_Q4_0);
    run(GAN "--init q8.gguf --out q/g.safetensors", 0, NULL, NULL);
    check_copied("q8.gguf", "q/g.safetensors", "cond_stage_model.", DTYPE_F32);
    run(DIFFUSION "--vae q8.gguf --dtype bf16 --out q/d.safetensors", 0, NULL, NULL);
    check_copied("q8.gguf", "q/d.safetensors", "first_stage_model.", DTYPE_BF16);
    run(DIFFUSION "--init q4.gguf --out q/e.safetensors", 0, NULL, NULL);
    check_copied("q4.gguf", "q/e.safetensors", "first_stage_model.", DTYPE_F16);
    run(VAE "--init q4.gguf --out q/v.safetensors", 0, NULL, NULL);
}

/* ---- texts ---- */

/* Tensors of one model whose names begin so, and of another, with what the other says of its text tower. */
static void join(const char *one, const char *prefix, const char *other, const char *other_prefix, const char *to)
{
    static const char *const keys[] = {"limn.pack", "limn.merges"};
    struct checkpoint *const models[2] = {open_model(one), open_model(other)};
    struct safetensors_note notes[2];
    const char *const prefixes[2] = {prefix, other_prefix};
    static struct tensor list[MOST_TENSORS];
    struct error err = {0};
    int count = 0, note_count = 0;
    for (int i = 0; i < 2; i++)
        if ((notes[note_count].value = checkpoint_metadata(models[1], keys[i]))) notes[note_count++].key = keys[i];
    for (int m = 0; m < 2; m++)
        for (int i = 0; i < checkpoint_count(models[m]); i++) {
            const struct tensor *t = checkpoint_at(models[m], i);
            if (strncmp(t->name, prefixes[m], strlen(prefixes[m])) != 0) continue;
            assert_true(count < MOST_TENSORS);
            list[count++] = *t;
        }
    const struct safetensors_file file = {.tensors = list, .count = count, .notes = notes, .note_count = note_count};
    if (safetensors_write(scratch_path(&scratch, to), &file, &err) != STATUS_OK) fail_msg("%s", err.text);
    for (int m = 0; m < 2; m++) checkpoint_close(models[m]);
}

static void test_texts(void **state)
{
    (void)state;
    run(GAN "--init pack.safetensors --out t/g.safetensors", 0, NULL, NULL);
    run(DIFFUSION "--vae vae.safetensors --out t/d.safetensors", 0, NULL, NULL);
    join("t/g.safetensors", "generator.", "t/g.safetensors", "discriminator.", "t/no-tower.safetensors");
    run(GAN "--init t/no-tower.safetensors --out t/h.safetensors", 2, "t/no-tower.safetensors",
        "its generator reads texts of 128 values, and those of the training have 0");
    join("t/no-tower.safetensors", "", "t/d.safetensors", "cond_stage_model.", "t/narrow.safetensors");
    run(GAN "--init t/narrow.safetensors --out t/h.safetensors", 2, "t/narrow.safetensors",
        "its generator reads texts of 128 values, and those of the training have 16");
    join("t/g.safetensors", "discriminator.", "t/d.safetensors", "cond_stage_model.", "t/judge.safetensors");
    run(GAN "--init t/judge.safetensors --out t/h.safetensors", 2, "t/judge.safetensors",
        "its discriminator reads texts of 128 values, and those of the training have 16");
    run("train gan --config gan.json --size 28 --data pictures --threads 1 --steps 1 --quiet --out t/plain.safetensors",
        0, NULL, NULL);
    join("t/plain.safetensors", "", "pack.safetensors", "cond_stage_model.", "t/deaf.safetensors");
    run(GAN "--init t/deaf.safetensors --out t/h.safetensors", 2, "t/deaf.safetensors",
        "its generator reads texts of 0 values, and those of the training have 128");
}

/* ---- latents ---- */

static void test_wide_latent(void **state)
{
    (void)state;
    enum { LATENT = 80 };
    const struct vae_config config = {.latent_channels = LATENT,
                                      .z_channels = LATENT,
                                      .levels = 2,
                                      .blocks = 1,
                                      .width = {32, 32},
                                      .encoder = true,
                                      .quant = true,
                                      .post_quant = true,
                                      .groups = 32};
    struct graph g = {0};
    struct error err = {0};
    graph_output(&g, "moments", vae_encode(&g, &config, graph_input(&g, "x", DTYPE_F32, SHAPE(1, 16, 16, 3))));
    graph_output(&g, "y", vae_decode(&g, &config, graph_input(&g, "z", DTYPE_F32, SHAPE(1, 8, 8, LATENT))));
    if (weights_write_graphs(scratch_path(&scratch, "wide.safetensors"), (struct graph *[]){&g}, 1, DTYPE_F32, &err))
        fail_msg("%s", err.text);
    graph_clear(&g);
    run(VAE "--init wide.safetensors --out l/v.safetensors", 2, "wide.safetensors",
        "80 channels; at most 64 are allowed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_channels),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_wide_latent),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
