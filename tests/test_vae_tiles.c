/* SPDX-License-Identifier: MIT
 *
 * The arithmetic of tiles alone, with pictures whose right answer is known.
 */
#include "core/base/memory.h"
#include "diffusion/vae_tiles.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MOST = 96 * 96 * 2 };

struct job {
    const struct vae_tiling *tiling;
    int calls, fail_at;
};

/* Doubles the size by repeating pixels: a decoder that needs no surroundings, so that tiling must change nothing. */
static enum status repeat(void *context, const float *in, float *out, struct error *err)
{
    struct job *job = context;
    const struct vae_tiling *t = job->tiling;
    if (++job->calls == job->fail_at)
        return (fail)(err, STATUS_CANCELLED, "stopped"); /* cmocka has a macro of that name */
    const int width = vae_tile_width(t), f = t->out.scale, c = t->out.channels;
    for (int y = 0; y < vae_tile_height(t) * f; y++)
        for (int x = 0; x < width * f; x++)
            for (int i = 0; i < c; i++) out[(y * width * f + x) * c + i] = in[(y / f * width + x / f) * c + i];
    return STATUS_OK;
}

/* Paints each tile in its own shade: shows where the seams are. */
static enum status shade(void *context, const float *in, float *out, struct error *err)
{
    (void)in, (void)err;
    struct job *job = context;
    const struct vae_tiling *t = job->tiling;
    const float value = (float)job->calls++;
    for (int i = 0; i < vae_tile_height(t) * vae_tile_width(t) * t->out.scale * t->out.scale * t->out.channels; i++)
        out[i] = value;
    return STATUS_OK;
}

static void weights_sum_to_one(void **state)
{
    (void)state;
    static float in[MOST], out[MOST];
    for (int i = 0; i < MOST; i++) in[i] = (float)sin(i * 0.7);
    for (int length = 1; length <= 40; length++)
        for (int tile = 2; tile <= 12; tile += 3)
            for (int overlap = 1; overlap < tile; overlap++) {
                const struct vae_tiling t = {
                    .height = length, .width = 7, .tile = tile, .overlap = overlap, .in = {1, 2}, .out = {2, 2}};
                struct job job = {.tiling = &t};
                struct error err = {0};
                assert_int_equal(vae_tiles_run(&t, in, out, repeat, &job, &err), STATUS_OK);
                assert_int_equal(job.calls, vae_tiles_count(&t));
                for (int i = 0; i < length * 2 * 7 * 2 * 2; i++) {
                    const int c = i % 2, x = i / 2 % 14 / 2, y = i / 28 / 2;
                    const float want = in[(y * 7 + x) * 2 + c];
                    if (!(fabsf(out[i] - want) < 1e-6f))
                        fail_msg("length %d tile %d overlap %d", length, tile, overlap);
                }
            }
}

static void seams_are_linear_ramps(void **state)
{
    (void)state;
    float in[16], out[16 * 4];
    /* Tiles of 10 at 0 and 6 of 16 overlap in 6..9; two pixels to one: from 12 on, 8 pixels of ramp at the wanted 4. */
    const struct vae_tiling t = {.height = 1, .width = 16, .tile = 10, .overlap = 4, .in = {1, 1}, .out = {2, 1}};
    struct job job = {.tiling = &t};
    struct error err = {0};
    for (int i = 0; i < 16; i++) in[i] = 0;
    assert_int_equal(vae_tiles_count(&t), 2);
    assert_int_equal(vae_tiles_run(&t, in, out, shade, &job, &err), STATUS_OK);
    for (int y = 0; y < 2; y++)
        for (int x = 0; x < 32; x++) {
            const double want = fmin(fmax((x - 12 + 0.5) / 8, 0), 1);
            assert_true(fabs((double)out[y * 32 + x] - want) < 1e-6);
        }
}

/* Downwards too: an encoder's tiles are cut from the picture. */
static void tiles_are_cut_from_larger_pictures(void **state)
{
    (void)state;
    float in[4 * 20 * 2], out[2 * 10];
    struct vae_tiling t = {.height = 2, .width = 10, .tile = 6, .overlap = 2, .in = {2, 2}, .out = {1, 1}};
    for (int i = 0; i < 4 * 20 * 2; i++) in[i] = (float)i;
    struct job job = {.tiling = &t};
    struct error err = {0};
    assert_int_equal(vae_tile_height(&t), 2);
    assert_int_equal(vae_tile_width(&t), 6);
    assert_int_equal(vae_tiles_run(&t, in, out, shade, &job, &err), STATUS_OK);
    assert_true(out[0] == 0 && out[9] == 1 && out[10] == 0 && out[19] == 1);
}

static void failures_come_through(void **state)
{
    (void)state;
    float in[16 * 16] = {0}, out[16 * 16];
    const struct vae_tiling t = {.height = 16, .width = 16, .tile = 8, .overlap = 2, .in = {1, 1}, .out = {1, 1}};
    struct job job = {.tiling = &t, .fail_at = 3};
    struct error err = {0};
    assert_int_equal(vae_tiles_count(&t), 9);
    assert_int_equal(vae_tiles_run(&t, in, out, repeat, &job, &err), STATUS_CANCELLED);
    assert_int_equal(job.calls, 3);
    for (uint64_t at = 1; at <= 2; at++) {
        err = (struct error){0};
        memory_fail_after(at);
        assert_int_equal(vae_tiles_run(&t, in, out, repeat, &job, &err), STATUS_NO_MEMORY);
        memory_fail_after(0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_sum_to_one),
        cmocka_unit_test(seams_are_linear_ramps),
        cmocka_unit_test(tiles_are_cut_from_larger_pictures),
        cmocka_unit_test(failures_come_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
