/* SPDX-License-Identifier: MIT */
#include "pipeline/latent.h"

#include "core/tensor/exec.h"
#include "diffusion/vae_tiles.h"

/* Sides of tiles in latent pixels, tried from the left until one fits; a quarter of it overlaps. Small tiles cost more
 * and see less of the picture at once. */
static const int tile_sides[] = {96, 64, 48, 32, 24, 16};

/* Encoding and decoding differ in the graph and in what a latent pixel becomes. */
struct transform {
    struct limn_model *model;
    struct latent_shape shape;
    struct vae_side in, out;
    bool encodes;
};

static enum status open_vae(struct stage *stage, const struct transform *t, int height, int width, struct error *err)
{
    const struct vae_config *vae = &t->model->vae;
    struct graph *g = &stage->graph;
    const int64_t scale = t->in.scale;
    struct node *x = graph_input(g, "x", DTYPE_F32, SHAPE(1, height * scale, width * scale, t->in.channels));
    graph_output(g, "y", t->encodes ? vae_encode(g, vae, x) : vae_decode(g, vae, x));
    return stage_open(stage, t->model, model_vae_checkpoint(t->model), err);
}

static enum status run_tile(void *context, const float *in, float *out, struct error *err)
{
    struct stage *stage = context;
    enum status status = exec_write(stage->exec, "x", in, err);
    if (status == STATUS_OK) status = exec_run(stage->exec, err);
    if (status == STATUS_OK) status = exec_read(stage->exec, "y", out, err);
    return status;
}

static enum status run_tiled(const struct transform *t, int tile, const float *in, float *out, struct error *err)
{
    const struct vae_tiling tiling = {.height = t->shape.height,
                                      .width = t->shape.width,
                                      .tile = tile,
                                      .overlap = tile / 4,
                                      .in = t->in,
                                      .out = t->out};
    struct stage stage = {0};
    enum status status = open_vae(&stage, t, vae_tile_height(&tiling), vae_tile_width(&tiling), err);
    if (status == STATUS_OK) status = vae_tiles_run(&tiling, in, out, run_tile, &stage, err);
    stage_close(&stage);
    return status;
}

static enum status run_transform(const struct transform *t, const float *in, float *out, struct error *err)
{
    struct error why = {0};
    struct stage stage = {0};
    enum status status = open_vae(&stage, t, t->shape.height, t->shape.width, &why);
    if (status == STATUS_OK) status = run_tile(&stage, in, out, &why);
    stage_close(&stage);
    for (size_t i = 0; status == STATUS_LIMIT && i < sizeof tile_sides / sizeof *tile_sides; i++) {
        if (tile_sides[i] >= t->shape.height && tile_sides[i] >= t->shape.width) continue;
        error_clear(&why);
        status = run_tiled(t, tile_sides[i], in, out, &why);
    }
    return status == STATUS_OK ? STATUS_OK : fail(err, status, "%s", why.text);
}

enum status latent_encode(struct limn_model *model, struct latent_shape shape, const float *image, float *moments,
                          struct error *err)
{
    const struct transform t = {.model = model,
                                .shape = shape,
                                .in = {vae_factor(&model->vae), 3},
                                .out = {1, 2 * shape.channels},
                                .encodes = true};
    if (!model->vae.encoder)
        return fail(err, STATUS_UNSUPPORTED, "%s: the VAE has no encoder, so pictures can be made but not changed",
                    model->vae_checkpoint ? model->vae_path : model->path);
    return run_transform(&t, image, moments, err);
}

enum status latent_decode(struct limn_model *model, struct latent_shape shape, const float *latent, float *image,
                          struct error *err)
{
    const struct transform t = {
        .model = model, .shape = shape, .in = {1, shape.channels}, .out = {vae_factor(&model->vae), 3}};
    const size_t values = (size_t)shape.height * (size_t)shape.width * (size_t)shape.channels;
    float *unscaled = memory_alloc_raw(values * sizeof *unscaled);
    if (!unscaled) return fail_no_memory(err, "a latent", values * sizeof *unscaled);
    for (size_t i = 0; i < values; i++) unscaled[i] = (float)((double)latent[i] / model->latent_scale);
    const enum status status = run_transform(&t, unscaled, image, err);
    memory_free(unscaled);
    return status;
}
