/* SPDX-License-Identifier: MIT
 *
 * How near the engine comes to the machine's own speed. The networks of Stable Diffusion 1.5 are built at full size
 * with made-up weights, which lie in memory once: all tensors borrow the same bytes, since time does not depend on
 * values.
 */
#include "core/io/checkpoint_build.h"
#include "core/tensor/exec.h"
#include "core/tensor/flops.h"
#include "pipeline/api.h"
#include "pipeline/devices.h"
#include "pipeline/model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static_assert((int)OP_COUNT < (int)LIMN_BENCH_OPS, "the list of a result has room for every operation");

/* ---- measuring ---- */

/* One run: what each operation took. */
struct run {
    struct limn_bench_op ops[OP_COUNT];
    double last; /* time at which the step before ended */
};

static void on_step(void *context, const struct node *node)
{
    struct run *run = context;
    const double now = api_clock();
    if (node) {
        struct limn_bench_op *op = &run->ops[node->op];
        op->name = op_name(node->op);
        op->count++;
        op->gflop += flops_of_node(node) * 1e-9;
        op->seconds += now - run->last;
    }
    run->last = now;
}

static int by_seconds(const void *a, const void *b)
{
    const double x = ((const struct limn_bench_op *)a)->seconds, y = ((const struct limn_bench_op *)b)->seconds;
    return (x < y) - (x > y);
}

/* Keeps the run if it is the fastest so far. */
static void keep_best(struct limn_bench_result *result, struct run *run, double seconds)
{
    if (result->seconds > 0 && seconds >= result->seconds) return;
    *result = (struct limn_bench_result){.seconds = seconds};
    for (int i = 0; i < OP_COUNT; i++) result->gflop += run->ops[i].gflop;
    qsort(run->ops, OP_COUNT, sizeof *run->ops, by_seconds);
    for (int i = 0, used = 0; i < OP_COUNT; i++)
        if (run->ops[i].count > 0) result->ops[used++] = run->ops[i];
}

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

static enum status write_zeros(struct exec *exec, const struct graph *g, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < g->count && status == STATUS_OK; i++) {
        const struct node *node = g->nodes[i];
        if (node->op != OP_INPUT) continue;
        const size_t bytes = dtype_bytes(node->dtype, (size_t)shape_count(node->shape));
        void *zeros = memory_alloc(bytes);
        status = zeros ? exec_write(exec, node->name, zeros, err) : fail_no_memory(err, "an input", bytes);
        memory_free(zeros);
    }
    return status;
}

static enum status measure_runs(struct limn_bench_result *result, struct exec *exec, struct backend *backend,
                                int rounds, const struct limn_watch *watch, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i <= rounds && status == STATUS_OK; i++) {
        struct run run = {0};
        const struct backend_probe probe = {.step = on_step, .context = &run};
        status = watch_check(watch, err);
        backend->probe = &probe;
        const double start = api_clock();
        if (status == STATUS_OK) status = exec_run(exec, err);
        const double seconds = api_clock() - start;
        backend->probe = NULL;
        if (status == STATUS_OK && i > 0) keep_best(result, &run, seconds); /* The first warms up. */
    }
    return status;
}

static enum status bench_network(struct limn_bench_result *result, void (*build)(struct graph *g), int rounds,
                                 const struct limn_bench_options *options, struct error *err)
{
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
    if (status == STATUS_OK) status = write_zeros(exec, &g, err);
    if (status == STATUS_OK) status = measure_runs(result, exec, backend, rounds, options->watch, err);
    exec_destroy(exec);
    params_destroy(params);
    if (backend) backend->f->close(backend);
    graph_clear(&g);
    return status;
}

static enum status bench_unet(struct limn_bench_result *result, const struct limn_bench_options *options,
                              struct error *err)
{
    return bench_network(result, build_unet, 2, options, err);
}

static enum status bench_vae(struct limn_bench_result *result, const struct limn_bench_options *options,
                             struct error *err)
{
    return bench_network(result, build_vae, 2, options, err);
}

static enum status bench_text(struct limn_bench_result *result, const struct limn_bench_options *options,
                              struct error *err)
{
    return bench_network(result, build_text, 10, options, err);
}

/* A picture as `limn generate` paints it with the model's defaults, without the time to open the model. */
static enum status bench_picture(struct limn_bench_result *result, const struct limn_bench_options *options,
                                 struct error *err)
{
    const struct limn_model_options model_options = {
        .path = options->model,
        .weights = options->weights,
        .device = options->device,
        .compute = options->compute,
        .no_fallback = 1,
        .threads = options->threads,
    };
    const struct limn_request request = {.prompt = "a red apple", .seed = 1, .watch = options->watch};
    struct limn_error why = {0};
    struct limn_model *model = NULL;
    enum limn_status status = limn_model_open(&model, &model_options, &why);
    for (int i = 0; i < 3 && status == LIMN_OK; i++) {
        struct limn_picture picture = {0};
        struct run run = {0};
        const struct backend_probe probe = {.step = on_step, .context = &run};
        model->backend->probe = &probe;
        status = limn_paint(model, &request, &picture, &why);
        if (status == LIMN_OK && i > 0) keep_best(result, &run, picture.seconds);
        limn_picture_clear(&picture);
    }
    limn_model_close(model);
    return status == LIMN_OK ? STATUS_OK : fail(err, (enum status)status, "%s", why.text);
}

static const struct {
    const char *name;
    enum status (*run)(struct limn_bench_result *result, const struct limn_bench_options *options, struct error *err);
} cases[] = {
    {"unet-sd15-512-cfg", bench_unet},
    {"vae-decode-sd15-512", bench_vae},
    {"clip-text", bench_text},
    {"pack-picture", bench_picture},
};

enum { CASES = sizeof cases / sizeof cases[0] };

const char *limn_bench_name(int i)
{
    return i >= 0 && i < CASES ? cases[i].name : NULL;
}

static const struct limn_bench_options no_options = {0};

/* The machine may be busy with something else for a while, so the yardstick is laid on before and after the case, and
 * the faster measure counts: a slow one would flatter the case. */
enum limn_status limn_bench_run(struct limn_bench_result *result, const char *name,
                                const struct limn_bench_options *options, struct limn_error *error)
{
    struct error err = {0};
    double before = 0, after = 0;
    int found = 0;
    *result = (struct limn_bench_result){0};
    if (!options) options = &no_options;
    while (found < CASES && strcmp(cases[found].name, name) != 0) found++;
    if (found == CASES)
        err.status = fail(&err, STATUS_ARGUMENT, "there is no case of that name to measure");
    else
        err.status = backend_sgemm(&before, options->threads, &err);
    if (err.status == STATUS_OK) err.status = cases[found].run(result, options, &err);
    if (err.status == STATUS_OK) err.status = backend_sgemm(&after, options->threads, &err);
    result->sgemm_gflops = before > after ? before : after;
    if (result->gflop > 0) result->ratio = result->seconds / (result->gflop / result->sgemm_gflops);
    return api_result(error, &err);
}
