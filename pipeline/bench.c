/* SPDX-License-Identifier: MIT
 *
 * How near the engine comes to the machine's own speed. The networks of Stable Diffusion 1.5 are built at full size
 * with made-up weights, which lie in memory once: all tensors borrow the same bytes, since time does not depend on
 * values.
 */
#include "pipeline/bench.h"
#include "core/io/checkpoint_build.h"
#include "pipeline/api.h"
#include "pipeline/devices.h"
#include "pipeline/model.h"

#include <string.h>

/* ---- networks of full size ---- */

static const struct unet_config sd15_unet = {
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

static const struct vae_config sd15_vae = {
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

static const struct text_config sd15_text = {
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

static void build_unet(struct graph *g)
{
    struct node *x = graph_input(g, "x", DTYPE_F32, SHAPE(2, 64, 64, sd15_unet.in_channels));
    struct node *embedding = graph_input(g, "embedding", DTYPE_F32, SHAPE(2, sd15_unet.model_channels));
    struct node *context = graph_input(g, "context", DTYPE_F32, SHAPE(2, 77, sd15_unet.context_width));
    graph_output(g, "y", unet_build(g, &sd15_unet, &(struct unet_inputs){x, embedding, context, NULL}));
}

static void build_vae(struct graph *g)
{
    struct node *latent = graph_input(g, "x", DTYPE_F32, SHAPE(1, 64, 64, sd15_vae.latent_channels));
    graph_output(g, "y", vae_decode(g, &sd15_vae, latent));
}

static void build_text(struct graph *g)
{
    struct node *ids = graph_input(g, "ids", DTYPE_I32, SHAPE(1, sd15_text.length));
    graph_output(g, "y", text_tower_build(g, &sd15_text, ids, 0));
}

/* ---- made-up weights ---- */

/* A parameter as it would lie in a checkpoint: convolutions [out, in, kh, kw], joined rows whole. */
static struct tensor tensor_of(const struct node *node, const void *data)
{
    const int64_t *d = node->shape.dim;
    struct tensor t = {.name = node->name, .dtype = DTYPE_F16, .rank = node->shape.rank, .count = 1, .data = data};
    memcpy(t.dim, d, sizeof node->shape.dim);
    if (node->as.param.layout != PARAM_PLAIN) {
        t.dim[1] = d[3];
        t.dim[2] = d[1];
        t.dim[3] = d[2];
    }
    if (node->as.param.total_rows) t.dim[0] = node->as.param.total_rows;
    for (int i = 0; i < t.rank; i++) t.count *= t.dim[i];
    return t;
}

/* Numbers of either sign between 2^-5 and 2^-3. */
static void fill(uint16_t *halves, int64_t count)
{
    uint32_t state = 1;
    for (int64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        halves[i] = (uint16_t)((state >> 16 & 0x87ff) | 0x2800);
    }
}

static enum status make_checkpoint(struct checkpoint **out, const struct graph *g, struct error *err)
{
    int64_t most = 0;
    void *data = NULL;
    struct checkpoint *c = memory_alloc(sizeof *c);
    *out = c;
    if (!c) return fail_no_memory(err, "made-up weights", sizeof *c);
    c->file_bytes = UINT32_MAX; /* as if they came from a file: checkpoint_block wants to know */
    for (int i = 0; i < g->count; i++)
        if (g->nodes[i]->op == OP_PARAM && tensor_of(g->nodes[i], NULL).count > most)
            most = tensor_of(g->nodes[i], NULL).count;
    enum status status = checkpoint_block(c, (size_t)most * sizeof(uint16_t), "bench", &data, err);
    if (status != STATUS_OK) return status;
    fill(data, most);
    for (int i = 0; i < g->count && status == STATUS_OK; i++) {
        if (g->nodes[i]->op != OP_PARAM) continue;
        const struct tensor tensor = tensor_of(g->nodes[i], data);
        status = checkpoint_add(c, "", &tensor, err);
    }
    return status == STATUS_OK ? checkpoint_finish(c, "bench", err) : status;
}

/* ---- cases ---- */

static enum status run_exec(void *context, struct error *err)
{
    return exec_run(context, err);
}

static enum status bench_network(const struct bench *bench, void (*build)(struct graph *g), int rounds,
                                 struct error *err)
{
    const struct limn_bench_options *options = bench->options;
    const struct device_request device = {
        .threads = options->threads, .compute = options->compute, .no_fallback = true, .watch = options->watch};
    struct backend *backend = NULL;
    struct params *params = NULL;
    struct checkpoint *checkpoint = NULL;
    struct exec *exec = NULL;
    struct graph g = {0};
    enum dtype storage;
    build(&g);
    enum status status = g.error.status;
    if (status != STATUS_OK) status = fail(err, status, "%s", g.error.text);
    if (status == STATUS_OK) status = model_storage(options->weights, &storage, err);
    if (status == STATUS_OK) status = make_checkpoint(&checkpoint, &g, err);
    if (status == STATUS_OK) status = device_open(&backend, options->device, &device, err);
    if (status == STATUS_OK) status = params_create(&params, backend, err);
    if (status == STATUS_OK) params_store_as(params, storage);
    if (status == STATUS_OK) status = params_load(params, &g, checkpoint, err);
    checkpoint_close(checkpoint);
    if (status == STATUS_OK) status = exec_create(&exec, &g, backend, 0, err);
    if (status == STATUS_OK) status = bench_write_inputs(exec, &g, err);
    const struct bench_work work = {.backend = backend, .run = run_exec, .context = exec, .rounds = rounds};
    if (status == STATUS_OK) status = bench_measure(bench, &work, err);
    exec_destroy(exec);
    params_destroy(params);
    if (backend) backend->f->close(backend);
    graph_clear(&g);
    return status;
}

static enum status bench_unet(const struct bench *bench, struct error *err)
{
    return bench_network(bench, build_unet, 2, err);
}

static enum status bench_vae(const struct bench *bench, struct error *err)
{
    return bench_network(bench, build_vae, 2, err);
}

static enum status bench_text(const struct bench *bench, struct error *err)
{
    return bench_network(bench, build_text, 10, err);
}

struct painting {
    struct limn_model *model;
    struct limn_request request;
};

static enum status paint_picture(void *context, struct error *err)
{
    struct painting *painting = context;
    struct limn_picture picture = {0};
    struct limn_error why = {0};
    const enum limn_status status = limn_paint(painting->model, &painting->request, &picture, &why);
    limn_picture_clear(&picture);
    return status == LIMN_OK ? STATUS_OK : fail(err, (enum status)status, "%s", why.text);
}

/* A picture as `limn generate` paints it with the model's defaults, without the time to open the model. */
static enum status bench_picture(const struct bench *bench, struct error *err)
{
    struct painting painting = {.request = {
                                    .prompt = "a red apple",
                                    .seed = 1,
                                    .steps = bench->options->steps,
                                    .watch = bench->options->watch,
                                }};
    enum status status = bench_open_model(&painting.model, bench, err);
    if (status != STATUS_OK) return status;
    const struct bench_work work = {
        .backend = painting.model->backend, .run = paint_picture, .context = &painting, .rounds = 2};
    status = bench_measure(bench, &work, err);
    limn_model_close(painting.model);
    return status;
}

static const struct {
    const char *name;
    enum status (*run)(const struct bench *bench, struct error *err);
} cases[] = {
    {"unet-sd15-512-cfg", bench_unet}, {"vae-decode-sd15-512", bench_vae},    {"clip-text", bench_text},
    {"pack-picture", bench_picture},   {"train-unet-pack", bench_train_unet},
};

enum { CASES = sizeof cases / sizeof cases[0] };

const char *limn_bench_name(int i)
{
    return i >= 0 && i < CASES ? cases[i].name : NULL;
}

enum limn_status limn_bench_run(struct limn_bench_result *result, const char *name,
                                const struct limn_bench_options *options, struct limn_error *error)
{
    static const struct limn_bench_options no_options = {0};
    const struct bench bench = {.name = name, .options = options ? options : &no_options, .result = result};
    struct error err = {0};
    int found = 0;
    *result = (struct limn_bench_result){0};
    while (found < CASES && strcmp(cases[found].name, name) != 0) found++;
    if (found < CASES)
        err.status = cases[found].run(&bench, &err);
    else
        err.status = fail(&err, STATUS_ARGUMENT, "there is no case of that name to measure");
    return api_result(error, &err);
}
